//! Requests as they end, for those who watch. While nobody does, a request pays one relaxed read. A watcher that reads
//! too slowly misses requests and is told how many.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::mpsc;

use super::filter::TailFilter;
use super::short::shortened;
use crate::observe::clock::Clock;
use crate::observe::record::{AccessRecord, write_json};

/// Everybody who watches.
#[derive(Debug, Default)]
pub struct Tail {
    watching: AtomicUsize,
    watchers: RwLock<Vec<Watcher>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Watcher {
    id: u64,
    filter: TailFilter,
    lines: mpsc::Sender<Arc<[u8]>>,
    missed: Arc<AtomicU64>,
}

/// The requests that one watcher wants to see. Dropped, nothing is sent to it any more.
#[derive(Debug)]
pub struct Subscription {
    tail: Arc<Tail>,
    id: u64,
    lines: mpsc::Receiver<Arc<[u8]>>,
    missed: Arc<AtomicU64>,
}

impl Tail {
    /// Whether anybody watches.
    #[must_use]
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.watching.load(Relaxed) > 0
    }

    /// Shows a request to those who want to see it.
    pub fn publish(&self, record: &AccessRecord<'_>, clock: &mut Clock) {
        let watchers = self.watchers.read().unwrap_or_else(PoisonError::into_inner);
        let mut line: Option<Arc<[u8]>> = None;
        for watcher in watchers.iter().filter(|watcher| watcher.filter.wants(record)) {
            let line = line.get_or_insert_with(|| {
                let mut text = Vec::with_capacity(LINE);
                write_json(&shortened(record), clock, &mut text);
                text.into()
            });
            if watcher.lines.try_send(Arc::clone(line)).is_err() {
                watcher.missed.fetch_add(1, Relaxed);
            }
        }
    }

    /// One more watches.
    #[must_use]
    pub fn subscribe(self: &Arc<Self>, filter: TailFilter) -> Subscription {
        let (sender, lines) = mpsc::channel(WAITING);
        let (id, missed) = (self.next.fetch_add(1, Relaxed), Arc::<AtomicU64>::default());
        let watcher = Watcher { id, filter, lines: sender, missed: Arc::clone(&missed) };
        self.watchers.write().unwrap_or_else(PoisonError::into_inner).push(watcher);
        self.watching.fetch_add(1, Relaxed);
        Subscription { tail: Arc::clone(self), id, lines, missed }
    }
}

impl Subscription {
    /// The next request, as a line of JSON. Cancelling loses none.
    pub async fn next(&mut self) -> Option<Arc<[u8]>> {
        self.lines.recv().await
    }

    /// How many were missed since this was asked last.
    #[must_use]
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.tail.watching.fetch_sub(1, Relaxed);
        let mut watchers = self.tail.watchers.write().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.id != self.id);
    }
}

/// Requests that wait for one watcher.
const WAITING: usize = 512;
/// Room for a usual line.
const LINE: usize = 768;

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::observe::record::tests::record as plain;

    fn filter(status: &str) -> TailFilter {
        let mut filter = TailFilter::default();
        filter.set("status", status).unwrap().unwrap();
        filter
    }

    #[test]
    fn each_watcher_sees_what_it_wants() {
        let tail = Arc::new(Tail::default());
        assert!(!tail.is_wanted());
        let (mut good, mut bad) = (tail.subscribe(filter("2xx")), tail.subscribe(filter("5xx")));
        assert!(tail.is_wanted());
        let mut clock = Clock::default();
        tail.publish(&AccessRecord { status: 200, ..plain() }, &mut clock);
        let line = good.next().now_or_never().flatten().expect("it was sent");
        assert!(std::str::from_utf8(&line).unwrap().contains("\"status\":200"));
        assert!(bad.next().now_or_never().is_none());
        drop((good, bad));
        assert!(!tail.is_wanted());
    }

    #[test]
    fn a_slow_watcher_misses_and_is_told() {
        let tail = Arc::new(Tail::default());
        let mut slow = tail.subscribe(TailFilter::default());
        let mut clock = Clock::default();
        for _ in 0..WAITING + 7 {
            tail.publish(&plain(), &mut clock);
        }
        assert_eq!((slow.take_missed(), slow.take_missed()), (7, 0));
        assert!(slow.next().now_or_never().flatten().is_some());
    }
}
