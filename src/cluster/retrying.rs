//! How many requests of a cluster are being tried again at the moment: one count for all workers, which outlives a
//! reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The count.
#[derive(Debug, Default)]
pub struct Retrying {
    requests: AtomicU32,
    /// Those of them that wait before their next try, at no endpoint.
    waiting: AtomicU32,
}

impl Retrying {
    /// Requests that are being tried again.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Those of them that are at an endpoint, so that it counts them as in flight too.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        let waiting = self.waiting.load(Relaxed);
        self.requests().saturating_sub(waiting)
    }

    /// Counts one of them as waiting before its next try until the guard is dropped.
    #[must_use]
    pub fn wait(self: &Arc<Self>) -> WaitingGuard {
        let _ = self.waiting.fetch_add(1, Relaxed);
        WaitingGuard { retrying: Arc::clone(self) }
    }

    /// Counts one more until the guard is dropped; `None` when there are `limit` already.
    #[must_use]
    pub fn begin(self: &Arc<Self>, limit: u32) -> Option<RetryingGuard> {
        let below = |requests: u32| (requests < limit).then(|| requests + 1);
        // Relaxed: the count guards nothing but itself.
        self.requests.fetch_update(Relaxed, Relaxed, below).ok()?;
        Some(RetryingGuard { retrying: Arc::clone(self) })
    }
}

/// One request that is being tried again.
#[derive(Debug)]
pub struct RetryingGuard {
    retrying: Arc<Retrying>,
}

impl Drop for RetryingGuard {
    fn drop(&mut self) {
        let _ = self.retrying.requests.fetch_sub(1, Relaxed);
    }
}

/// One request that waits before its next try.
#[derive(Debug)]
pub struct WaitingGuard {
    retrying: Arc<Retrying>,
}

impl Drop for WaitingGuard {
    fn drop(&mut self) {
        let _ = self.retrying.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_together_never_pass_the_limit() {
        let retrying = Arc::new(Retrying::default());
        let worker = || {
            let retrying = Arc::clone(&retrying);
            move || {
                for _ in 0..10_000 {
                    let guard = retrying.begin(2);
                    assert!(retrying.requests() <= 2);
                    drop(guard);
                }
            }
        };
        let threads = [worker(), worker(), worker()].map(std::thread::spawn);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(retrying.requests(), 0, "all were given back");
        assert!(retrying.begin(0).is_none());
    }

    #[test]
    fn who_waits_for_the_next_try_is_at_no_endpoint() {
        let retrying = Arc::new(Retrying::default());
        let permits: Vec<_> = (0..3).filter_map(|_| retrying.begin(9)).collect();
        let waiting = [retrying.wait(), retrying.wait()];
        assert_eq!((retrying.requests(), retrying.under_way()), (3, 1));
        drop(waiting);
        assert_eq!((retrying.requests(), retrying.under_way()), (3, 3));
        drop(permits);
        assert_eq!(retrying.under_way(), 0);
    }
}
