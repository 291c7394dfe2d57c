//! How many requests of a cluster are being tried again at the moment: one count for all workers, which outlives a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The count.
#[derive(Debug, Default)]
pub struct Retrying {
    requests: AtomicU32,
}

impl Retrying {
    /// Requests that are being tried again.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Counts one more until the guard is dropped; `None` when there are `limit` already.
    #[must_use]
    pub fn begin(self: &Arc<Self>, limit: u32) -> Option<RetryingGuard> {
        let below = |requests: u32| (requests < limit).then(|| requests + 1);
        // Relaxed: the count guards nothing but itself.
        self.requests.fetch_update(Relaxed, Relaxed, below).ok()?;
        Some(RetryingGuard {
            retrying: Arc::clone(self),
        })
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
}
