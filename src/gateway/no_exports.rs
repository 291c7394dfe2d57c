//! Stands for the exports in a build that has none.

use std::sync::Arc;

use super::Error;
use crate::config::model::Config;
use crate::observe::log::Sink;
use crate::observe::metrics::Metrics;
use crate::observe::outbox::Tray;
use crate::observe::span::Span;

/// Nothing.
#[derive(Debug)]
pub(super) struct Exports;

#[allow(clippy::unused_self, clippy::unused_async, clippy::unnecessary_wraps, reason = "as where there are some")]
impl Exports {
    pub(super) fn start(_config: &Config, _metrics: &Arc<Metrics>) -> Result<Self, Error> {
        Ok(Self)
    }

    pub(super) fn tray(&self) -> Option<Tray<Span>> {
        None
    }

    pub(super) fn sink(&self, _log: usize) -> Option<Sink> {
        None
    }

    pub(super) fn follow(&mut self, _config: &Config) -> Result<(), Error> {
        Ok(())
    }

    pub(super) async fn close(self) {}
}
