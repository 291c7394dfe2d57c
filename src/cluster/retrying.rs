//! How many requests of a cluster are being tried again at the moment: one count for all workers, which outlives a
//! reload.

use std::sync::Arc;

use crate::bounded::{Count, Permit};

/// The count.
#[derive(Debug, Default)]
pub struct Retrying {
    requests: Arc<Count>,
    /// Those of them that wait before their next try, at no endpoint.
    waiting: Arc<Count>,
}

impl Retrying {
    /// Requests that are being tried again.
    #[must_use]
    pub fn requests(&self) -> u32 {
        u32::try_from(self.requests.taken()).unwrap_or(u32::MAX)
    }

    /// Those of them that are at an endpoint, so that it counts them as in flight too.
    #[must_use]
    pub fn under_way(&self) -> u32 {
        let waiting = u32::try_from(self.waiting.taken()).unwrap_or(u32::MAX);
        self.requests().saturating_sub(waiting)
    }

    /// Counts one of them as waiting before its next try until the guard is dropped.
    #[must_use]
    pub fn wait(&self) -> Permit {
        self.waiting.add()
    }

    /// Counts one more until the guard is dropped; `None` when there are `limit` already.
    #[must_use]
    pub fn begin(&self, limit: u32) -> Option<RetryingGuard> {
        self.requests.enter(usize::try_from(limit).unwrap_or(usize::MAX))
    }
}

/// One request that is being tried again.
pub type RetryingGuard = Permit;

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
