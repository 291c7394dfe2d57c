//! The logs of requests and decisions, and the way of spans: opened before anything is served, closed after everything
//! is.

use std::path::Path;
use std::sync::Arc;

use super::exports::Exports;
use super::source::Followed;
use super::{Error, Gateway, LOG_CLOSE};
use crate::admin::journal::Entry;
use crate::config::Untouchable;
use crate::config::model::{AuditKind, Config, LogOutput};
use crate::observe::audit::{AuditDecision, AuditEvent, AuditSink, Auditor, Sinks};
use crate::observe::live::Live;
use crate::observe::log::Writer;
use crate::observe::metrics::Metrics;

/// What writes them.
#[derive(Debug)]
pub(super) struct Logs {
    /// By the position of the access log.
    access: Vec<Option<Writer>>,
    audit: Option<Writer>,
    exports: Box<Exports>,
    pub(super) live: Arc<Live>,
    /// Whether there is anybody to show streams to.
    has_admin: bool,
}

impl Logs {
    pub(super) fn open(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let mut access: Vec<Option<Writer>> = Vec::new();
        for log in &config.access_log {
            let others: Vec<&Writer> = access.iter().flatten().collect();
            let writer = match &log.output {
                None | Some(LogOutput::Otlp) => None,
                Some(output) => Some(Writer::start(output, log.format, Arc::clone(metrics), &others)),
            };
            access.push(writer.transpose().map_err(Error::AccessLog)?);
        }
        let others: Vec<&Writer> = access.iter().flatten().collect();
        let audit = Writer::start_audit(&config.audit_log, Arc::clone(metrics), &others).map_err(Error::AuditLog)?;
        let exports = Box::new(Exports::start(config, metrics)?);
        Ok(Self { access, audit, exports, live: Arc::default(), has_admin: config.admin.is_some() })
    }

    /// A place for one worker to write to.
    pub(super) fn sinks(&self) -> Sinks {
        let sink = |(at, writer): (usize, &Option<Writer>)| {
            writer.as_ref().map(Writer::sink).or_else(|| self.exports.sink(at))
        };
        Sinks {
            access: self.access.iter().enumerate().map(sink).collect(),
            audit: self.audit.as_ref().map(AuditSink::of),
            spans: self.exports.tray(),
            live: self.live.worker(self.has_admin),
        }
    }

    /// Sends spans where `config` says from now on.
    pub(super) fn follow(&mut self, config: &Config) {
        if let Err(error) = self.exports.follow(config) {
            tracing::error!(error = error.in_one_line(), "spans go nowhere");
        }
    }

    /// A place for what happens beside the traffic.
    pub(super) fn auditor(&self) -> Arc<Auditor> {
        Arc::new(Auditor::new(self.audit.as_ref()))
    }

    /// Writes the rest. Sinks must have been flushed or dropped before.
    pub(super) async fn close(self) {
        Box::pin(self.exports.close()).await;
        // The first access log last: its thread may write all.
        for log in [self.audit].into_iter().chain(self.access.into_iter().rev()).flatten() {
            let name = log.name();
            let closed = tokio::task::spawn_blocking(move || log.close(LOG_CLOSE)).await;
            if !closed.unwrap_or(false) {
                tracing::warn!("the {name} could not be written to its end");
            }
        }
    }
}

impl Gateway {
    /// Tells the audit log which configuration is in force, or was not taken: what it changed, or why not.
    pub(super) fn audit_configuration(&self, decision: AuditDecision, reason: &str, entry: &Entry) {
        let config = self.config();
        let detail = match decision {
            AuditDecision::Refused => entry.diagnostics.clone(),
            _ => entry.summary(),
        };
        let event = AuditEvent {
            by: Some(entry.trigger.word()),
            detail: Some(&detail),
            ..AuditEvent::now(AuditKind::Configuration, decision, reason)
        };
        self.control.auditor.tell(&config.audit_log, &event);
    }

    /// Opens the files of the logs again under their names, after they were moved away.
    pub fn reopen_log(&self) {
        let config = self.config();
        let replaced = [config.state_file.as_deref(), config.reload.last_good_file.as_deref()];
        let replaced: Vec<&Path> = replaced.into_iter().flatten().collect();
        for log in self.logs.access.iter().chain([&self.logs.audit]).flatten() {
            let inputs = self.source.as_ref().map(Followed::inputs).unwrap_or_default();
            log.reopen(Untouchable::new(inputs, &replaced));
        }
    }
}
