//! What operators look at while it happens: requests as they end, errors by their causes, streams that are open, and
//! events of the gateway's life. Everything is bounded, and costs next to nothing while nobody looks.

mod errors;
mod events;
mod filter;
mod logging;
mod short;
mod streams;
mod tail;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

pub use errors::{ErrorGroup, Errors};
pub use events::{EventBook, EventLayer};
pub use filter::TailFilter;
pub use logging::{LevelNow, LogLevel, SetLevel};
pub use streams::{OpenStream, OpenStreams, StreamFacts, StreamNow};
pub use tail::{Subscription, Tail};

use super::clock::Clock;
use super::record::AccessRecord;

/// All of it, of one gateway.
#[derive(Debug, Default)]
pub struct Live {
    /// Requests as they end.
    pub tail: Arc<Tail>,
    /// What failed, by causes.
    pub errors: Errors,
    /// Streams that are open.
    pub streams: Arc<OpenStreams>,
    /// The level of the gateway's own log.
    pub log_level: LogLevel,
    events: OnceLock<Arc<EventBook>>,
    workers: AtomicUsize,
}

impl Live {
    /// Shows these events, which the log's subscriber collects. The first book stays.
    pub fn show_events(&self, book: Arc<EventBook>) {
        self.events.set(book).ok();
    }

    /// Events of the gateway's life. A gateway whose process does not collect them has none.
    #[must_use]
    pub fn events(&self) -> &EventBook {
        self.events.get_or_init(Arc::default)
    }

    /// One more worker's side of it. `can_be_asked` says whether there is anybody to show streams and errors to.
    #[must_use]
    pub fn worker(self: &Arc<Self>, can_be_asked: bool) -> WorkerLive {
        let shard = self.workers.fetch_add(1, Relaxed);
        WorkerLive { live: Arc::clone(self), shard, can_be_asked }
    }
}

/// One worker's side.
#[derive(Clone, Debug, Default)]
pub struct WorkerLive {
    live: Arc<Live>,
    shard: usize,
    can_be_asked: bool,
}

impl WorkerLive {
    /// Whether somebody wants to know of an exchange that has ended, or may ask for it: one relaxed read.
    #[must_use]
    #[inline]
    pub fn wants(&self, is_error: bool) -> bool {
        self.can_be_asked && is_error || self.live.tail.is_wanted()
    }

    /// An exchange has ended.
    pub fn ended(&self, record: &AccessRecord<'_>) {
        if self.can_be_asked && record.is_error() {
            self.live.errors.note(self.shard, record, &mut Clock::default());
        }
        if self.live.tail.is_wanted() {
            self.live.tail.publish(record, &mut Clock::default());
        }
    }

    /// A stream has begun. Shown until what is returned is dropped; `None` where nobody can ask, or too many are shown.
    #[must_use]
    pub fn stream(&self, facts: impl FnOnce() -> StreamFacts) -> Option<OpenStream> {
        if !self.can_be_asked {
            return None;
        }
        OpenStreams::enter(&self.live.streams, self.shard, facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::record as plain;

    #[test]
    fn errors_are_kept_where_somebody_can_ask_for_them() {
        let live = Arc::new(Live::default());
        for (can_be_asked, kept) in [(false, 0), (true, 1)] {
            let worker = live.worker(can_be_asked);
            assert_eq!((worker.wants(true), worker.wants(false)), (can_be_asked, false));
            worker.ended(&AccessRecord { status: 503, ..plain() });
            assert_eq!(live.errors.groups().len(), kept);
        }
    }
}
