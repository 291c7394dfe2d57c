//! The access log's way out: workers collect lines in buffers of their own and hand them to one writer thread through a bounded
//! channel. A worker never waits for a disk or a pipe; what does not fit is dropped and counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;
use super::record::Record;
use crate::config::model::AccessLog;

/// The writer thread's owner.
#[derive(Debug)]
pub struct Writer {}

impl Writer {
    /// Opens the output and starts the thread; `None` when the log is off.
    pub fn start(config: &AccessLog, metrics: Arc<Metrics>) -> io::Result<Option<Self>> {
        todo!()
    }

    /// A place for one worker to write to.
    #[must_use]
    pub fn sink(&self) -> Sink {
        todo!()
    }

    /// Opens the file again under its name, after it was moved away (SIGUSR1).
    pub fn reopen(&self) {
        todo!()
    }

    /// Writes what was handed over so far and ends the thread; sinks must have been flushed or dropped before. Blocks for at
    /// most `bound`; false when that was not enough.
    pub fn close(self, bound: Duration) -> bool {
        todo!()
    }
}

/// One worker's side of the log. Dropping it flushes.
#[derive(Debug)]
pub struct Sink {}

impl Sink {
    /// Writes one record in the configured format.
    pub fn record(&self, record: &Record<'_>) {
        todo!()
    }

    /// Appends one line, newline included, made by `write`.
    pub fn line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        todo!()
    }

    /// Hands over what was collected. Called on the worker's tick.
    pub fn flush(&self) {
        todo!()
    }
}
