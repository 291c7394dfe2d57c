//! Ids that no endpoint held when all of them were asked. Remembered for a moment, so that a flood of made-up ids does
//! not become a flood for every endpoint. Bounded; shared by all workers.

use std::sync::Arc;
use std::time::Duration;

use quick_cache::sync::Cache;
use tokio::time::Instant;

use super::affinity::HeldKey;

/// The ids.
#[derive(Debug)]
pub struct UnknownIds {
    /// Until when, in milliseconds since `epoch`.
    until: Cache<u128, u64>,
    epoch: Instant,
}

impl UnknownIds {
    /// None as yet.
    #[must_use]
    pub fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self { until: Cache::new(MAX_IDS), epoch: now })
    }

    /// Nobody holds it now.
    pub fn note(&self, key: HeldKey, now: Instant) {
        self.until.insert(key.0, self.millis(now + MEMORY));
    }

    /// Whether nobody held it a moment ago.
    #[must_use]
    pub fn contains(&self, key: HeldKey, now: Instant) -> bool {
        self.until.get(&key.0).is_some_and(|until| until > self.millis(now))
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }
}

/// How long an answer holds.
const MEMORY: Duration = Duration::from_secs(2);
/// Ids that are remembered, in less than 500 KB.
const MAX_IDS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_unknown_for_a_moment_and_there_are_not_many() {
        let start = Instant::now();
        let ids = UnknownIds::new(start);
        ids.note(HeldKey(7), start);
        let just_before = start + MEMORY - Duration::from_millis(1);
        assert!(ids.contains(HeldKey(7), start) && ids.contains(HeldKey(7), just_before));
        assert!(!ids.contains(HeldKey(7), start + MEMORY) && !ids.contains(HeldKey(8), start));
        for id in 0..100_000 {
            ids.note(HeldKey(id), start);
        }
        let kept = (0..100_000).filter(|id| ids.contains(HeldKey(*id), start)).count();
        assert!(kept > MAX_IDS / 2 && kept < MAX_IDS + MAX_IDS / 4, "{kept}");
    }
}
