//! An optional moment in one atomic that workers share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// A moment, kept as nanoseconds since a `base` that the owner knows and never changes. Relaxed: no other data depends
/// on it.
#[derive(Debug, Default)]
pub(super) struct AtomicInstant(AtomicU64);

impl AtomicInstant {
    /// Sets it to `at`, or to `base` where that is later.
    pub(super) fn set(&self, base: Instant, at: Instant) {
        let since = at.saturating_duration_since(base).as_nanos();
        // Zero means none. Being one nanosecond off does not matter.
        self.0.store(u64::try_from(since).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(NONE, Relaxed);
    }

    pub(super) fn get(&self, base: Instant) -> Option<Instant> {
        match self.0.load(Relaxed) {
            NONE => None,
            since => base.checked_add(Duration::from_nanos(since)),
        }
    }

    /// Whether it is set and after `now`. Nearly always it is not set, and then this is one load.
    #[inline]
    pub(super) fn is_after(&self, base: Instant, now: Instant) -> bool {
        self.0.load(Relaxed) != NONE && self.get(base).is_some_and(|at| at > now)
    }
}

const NONE: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_none_before_or_after() {
        let base = Instant::now();
        let second = Duration::from_secs(1);
        let moment = AtomicInstant::default();
        assert_eq!(moment.get(base), None);
        assert!(!moment.is_after(base, base));
        moment.set(base, base + second);
        assert_eq!(moment.get(base), Some(base + second));
        assert!(moment.is_after(base, base) && !moment.is_after(base, base + second));
        moment.set(base + second, base);
        assert!(moment.get(base).is_some(), "before its base it is still one");
        moment.clear();
        assert_eq!(moment.get(base), None);
    }
}
