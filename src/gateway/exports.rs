//! What goes to collectors: spans, and access logs that say so. The way there exists from the start, so that tracing
//! can be switched on while running; the thread that sends exists once there is a collector.

use std::sync::Arc;

use super::{Error, LOG_CLOSE};
use crate::config::model::{AccessLog, Config, LogOutput, Otlp};
use crate::observe::log::{LogLine, Sink};
use crate::observe::metrics::Metrics;
use crate::observe::outbox::{Inbox, Outbox, Tray, outbox};
use crate::observe::series::Counter;
use crate::observe::span::Span;
use crate::otlp::{Counters, Exporter, Resource, Signal, Target};

/// The ways of spans and of lines.
#[derive(Debug)]
pub(super) struct Exports {
    spans: Export<Span>,
    /// By the position of the access log; `None` where it does not go to a collector.
    lines: Vec<Option<Export<LogLine>>>,
    /// Tells this gateway from others of its service.
    instance: String,
    metrics: Arc<Metrics>,
}

/// The way of one kind of things.
#[derive(Debug)]
struct Export<T> {
    outbox: Outbox<T>,
    /// Until there is a thread.
    waiting: Option<Inbox<T>>,
    exporter: Option<Exporter>,
    counters: Counters,
}

impl Exports {
    /// With threads for the collectors that `config` names.
    pub(super) fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let lines = |log: &AccessLog| {
            let goes = log.output == Some(LogOutput::Otlp);
            goes.then(|| Export::new(QUEUED_LINES, metrics.access_log_dropped(), LINES))
        };
        let mut exports = Self {
            spans: Export::new(QUEUED_SPANS, metrics.spans_dropped("queue_full"), SPANS),
            lines: config.access_log.iter().map(lines).collect(),
            instance: uuid::Uuid::now_v7().to_string(),
            metrics: Arc::clone(metrics),
        };
        exports.follow(config)?;
        Ok(exports)
    }

    /// A place for the spans of one worker.
    pub(super) fn tray(&self) -> Option<Tray<Span>> {
        Some(Tray::new(self.spans.outbox.clone()))
    }

    /// A place for the lines of one worker, where the access log at this position goes to a collector.
    pub(super) fn sink(&self, log: usize) -> Option<Sink> {
        let lines = self.lines.get(log)?.as_ref()?;
        Some(Sink::to_collector(lines.outbox.clone(), self.metrics.access_log_dropped()))
    }

    /// Sends where `config` says from now on.
    ///
    /// # Errors
    /// When there can be no thread; then what it would send is dropped and counted until a reload finds it otherwise.
    pub(super) fn follow(&mut self, config: &Config) -> Result<(), Error> {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Some(host).filter(|host| !host.is_empty());
        let tracing = config.tracing.as_deref();
        let name = tracing.map_or("attache", |tracing| &tracing.service_name);
        let further = tracing.map_or(&[][..], |tracing| &tracing.attributes);
        let resource = Resource::new(name, self.instance.clone(), host, further);
        let target = |otlp: Option<&Otlp>| Some(Target { otlp: otlp?.clone(), resource: resource.clone() });
        self.spans.follow(target(tracing.and_then(|tracing| tracing.otlp.as_ref())), &self.metrics)?;
        for (lines, log) in self.lines.iter_mut().zip(&config.access_log) {
            if let Some(lines) = lines {
                lines.follow(target(log.otlp.as_ref()), &self.metrics)?;
            }
        }
        Ok(())
    }

    /// Delivers the rest. Trays and sinks must have been flushed or dropped before.
    pub(super) async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || {
            let lines = self.lines.into_iter().flatten().map(Export::close);
            lines.chain([self.spans.close()]).fold(true, |all, closed| all & closed)
        });
        if !closed.await.unwrap_or(false) {
            tracing::warn!("the rest could not be delivered to a collector");
        }
    }
}

impl<T: Signal + 'static> Export<T> {
    fn new(limit: usize, lost: Counter, counters: Counters) -> Self {
        let (outbox, waiting) = outbox(limit, lost);
        Self { outbox, waiting: Some(waiting), exporter: None, counters }
    }

    fn follow(&mut self, target: Option<Target>, metrics: &Arc<Metrics>) -> Result<(), Error> {
        match (&self.exporter, target) {
            (Some(exporter), target) => exporter.follow(target),
            (None, Some(target)) => {
                let exporter = Exporter::start(&mut self.waiting, target, self.counters, Arc::clone(metrics));
                self.exporter = Some(exporter.map_err(Error::Worker)?);
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Whether all was delivered.
    fn close(self) -> bool {
        drop(self.outbox);
        self.exporter.is_none_or(|exporter| exporter.close(LOG_CLOSE))
    }
}

const SPANS: Counters = Counters {
    task: "spans",
    exported: Some(|metrics| metrics.spans_exported()),
    dropped: |metrics, why| metrics.spans_dropped(why),
};

const LINES: Counters =
    Counters { task: "access-log-otlp", exported: None, dropped: |metrics, _why| metrics.access_log_dropped() };

/// Spans that wait, or are on their way.
const QUEUED_SPANS: usize = 8192;
/// The same of lines, each of some hundred bytes, and of some kilobytes at most.
const QUEUED_LINES: usize = 4096;
