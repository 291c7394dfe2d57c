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

    /// One more worker's side of it. `watches_streams` says whether anybody can ask for streams.
    #[must_use]
    pub fn worker(self: &Arc<Self>, watches_streams: bool) -> WorkerLive {
        let shard = self.workers.fetch_add(1, Relaxed);
        WorkerLive { live: Arc::clone(self), shard, watches_streams }
    }
}

/// One worker's side.
#[derive(Clone, Debug, Default)]
pub struct WorkerLive {
    live: Arc<Live>,
    shard: usize,
    watches_streams: bool,
}

impl WorkerLive {
    /// Whether somebody wants to know of an exchange that has ended: one relaxed read.
    #[must_use]
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.live.tail.is_wanted()
    }

    /// An exchange has ended.
    pub fn ended(&self, record: &AccessRecord<'_>) {
        if record.is_error() {
            self.live.errors.note(self.shard, record, &mut Clock::default());
        }
        if self.live.tail.is_wanted() {
            self.live.tail.publish(record, &mut Clock::default());
        }
    }

    /// A stream has begun. Shown until what is returned is dropped; `None` where nobody can ask, or too many are shown.
    #[must_use]
    pub fn stream(&self, facts: impl FnOnce() -> StreamFacts) -> Option<OpenStream> {
        if !self.watches_streams {
            return None;
        }
        OpenStreams::enter(&self.live.streams, self.shard, facts)
    }
}
