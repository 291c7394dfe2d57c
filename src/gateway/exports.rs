//! What goes to collectors: the way there exists from the start, so that tracing can be switched on while running; the
//! thread that sends exists once there is a collector.

use std::sync::Arc;

use super::{Error, LOG_CLOSE};
use crate::config::model::Config;
use crate::observe::metrics::Metrics;
use crate::observe::outbox::{Inbox, Outbox, Tray, outbox};
use crate::observe::span::Span;
use crate::otlp::{Counters, Exporter, Resource, Target};

/// The way of spans.
#[derive(Debug)]
pub(super) struct Exports {
    spans: Outbox<Span>,
    /// Until there is a thread.
    waiting: Option<Inbox<Span>>,
    exporter: Option<Exporter>,
    /// Tells this gateway from others of its service.
    instance: String,
    metrics: Arc<Metrics>,
}

impl Exports {
    /// With a thread, where `config` names a collector.
    pub(super) fn start(config: &Config, metrics: &Arc<Metrics>) -> Result<Self, Error> {
        let (spans, waiting) = outbox(QUEUED_SPANS, metrics.spans_dropped("queue_full"));
        let mut exports = Self {
            spans,
            waiting: Some(waiting),
            exporter: None,
            instance: uuid::Uuid::now_v7().to_string(),
            metrics: Arc::clone(metrics),
        };
        exports.follow(config)?;
        Ok(exports)
    }

    /// A place for the spans of one worker.
    pub(super) fn tray(&self) -> Option<Tray<Span>> {
        Some(Tray::new(self.spans.clone()))
    }

    /// Sends where `config` says from now on.
    ///
    /// # Errors
    /// When there can be no thread; then spans are dropped and counted until a reload finds it otherwise.
    pub(super) fn follow(&mut self, config: &Config) -> Result<(), Error> {
        let target = self.target(config);
        match (&self.exporter, target) {
            (Some(exporter), target) => exporter.follow(target),
            (None, Some(target)) => {
                let exporter = Exporter::start(&mut self.waiting, target, SPANS, Arc::clone(&self.metrics));
                self.exporter = Some(exporter.map_err(Error::Worker)?);
            }
            (None, None) => {}
        }
        Ok(())
    }

    fn target(&self, config: &Config) -> Option<Target> {
        let tracing = config.tracing.as_deref()?;
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let host = Some(host).filter(|host| !host.is_empty());
        let resource = Resource::new(&tracing.service_name, self.instance.clone(), host, &tracing.attributes);
        Some(Target { otlp: tracing.otlp.clone()?, resource })
    }

    /// Delivers the rest. Trays must have been flushed or dropped before.
    pub(super) async fn close(self) {
        let Self { spans, exporter: Some(exporter), .. } = self else { return };
        drop(spans);
        let closed = tokio::task::spawn_blocking(move || exporter.close(LOG_CLOSE)).await;
        if !closed.unwrap_or(false) {
            tracing::warn!("the last spans could not be delivered");
        }
    }
}

const SPANS: Counters = Counters {
    task: "spans",
    exported: |metrics| metrics.spans_exported(),
    dropped: |metrics, why| metrics.spans_dropped(why),
};

/// Spans that wait, or are on their way.
const QUEUED_SPANS: usize = 8192;
