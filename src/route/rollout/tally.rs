//! What finished requests of one version add up to. Shared by all workers: a few relaxed adds per request, and only on routes
//! with a rollout.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counters of one version since the start.
#[derive(Debug)]
pub struct Tally {
    failed: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            failed: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Tally {
    /// Counts a finished request.
    pub fn record(&self, succeeded: bool, took: Duration) {
        if !succeeded {
            let _ = self.failed.fetch_add(1, Relaxed);
        }
        if let Some(bucket) = self.buckets.get(bucket(took)) {
            let _ = bucket.fetch_add(1, Relaxed);
        }
    }

    /// The counts of the moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            failed: self.failed.load(Relaxed),
            buckets: self
                .buckets
                .iter()
                .map(|bucket| bucket.load(Relaxed))
                .collect(),
        }
    }
}

/// Counts at one moment, or of the time between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    failed: u64,
    buckets: Vec<u64>,
}

impl Counts {
    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let earlier = before.buckets.iter().copied().chain(std::iter::repeat(0));
        let buckets = self.buckets.iter().zip(earlier);
        Self {
            failed: self.failed.saturating_sub(before.failed),
            buckets: buckets
                .map(|(now, then)| now.saturating_sub(then))
                .collect(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.buckets
            .resize(self.buckets.len().max(other.buckets.len()), 0);
        for (sum, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *sum += more;
        }
        self.failed += other.failed;
        self
    }

    /// Finished requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Share of requests that did not fail; `None` without requests.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let requests = self.requests();
        let succeeded = requests.saturating_sub(self.failed);
        (requests > 0).then(|| succeeded as f64 / requests as f64)
    }

    /// The time in seconds that this share of requests did not exceed, within 7 %; `None` without requests.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let requests = self.requests();
        if requests == 0 {
            return None;
        }
        let rank = (requests as f64 * share).ceil().max(1.0);
        let mut below = 0.0;
        for (index, count) in self.buckets.iter().enumerate() {
            let within = *count as f64;
            if below + within >= rank {
                let (low, high) = (edge(index), edge(index + 1));
                return Some(low + (high - low) * (rank - below) / within);
            }
            below += within;
        }
        None
    }
}

/// Sixteen buckets of the same width for each doubling, from 16 us up.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(16);
    let doublings = micros.ilog2() - 4;
    let within = (micros >> doublings) & 15;
    let index = u64::from(doublings) * 16 + within;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// Lower edge of a bucket in seconds.
fn edge(index: usize) -> f64 {
    let micros = (16 + index % 16) as f64 * ((index / 16) as f64).exp2();
    micros / 1_000_000.0
}

/// Up to 16 us times 2^25, nine minutes.
const BUCKETS: usize = 25 * 16;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_is_the_difference() {
        let tally = Tally::default();
        tally.record(false, Duration::from_millis(5));
        let before = tally.counts();
        for _ in 0..3 {
            tally.record(true, Duration::from_millis(100));
        }
        tally.record(false, Duration::from_secs(2));
        let window = tally.counts().since(&before);
        assert_eq!((window.requests(), window.success_rate()), (4, Some(0.75)));
        assert_eq!(Counts::default().success_rate(), None);
        assert_eq!(Counts::default().percentile(0.99), None);
        assert_eq!(Counts::default().plus(&window).requests(), 4);
    }

    #[test]
    fn the_longest_times_stay_in_the_last_bucket() {
        let tally = Tally::default();
        tally.record(true, Duration::from_secs(86_400));
        assert_eq!(tally.counts().requests(), 1);
        assert!(tally.counts().percentile(0.99).unwrap() > 500.0);
    }

    proptest! {
        #[test]
        fn percentiles_are_near(mut times in prop::collection::vec(1_u64..100_000, 1..300), share in 0.5..0.999_f64) {
            let tally = Tally::default();
            for time in &times {
                tally.record(true, Duration::from_millis(*time));
            }
            times.sort_unstable();
            let below = |rank: &usize| *rank as f64 >= times.len() as f64 * share;
            let rank = (1..=times.len()).find(below).unwrap();
            let exact = times[rank - 1] as f64 / 1000.0;
            let near = tally.counts().percentile(share).unwrap();
            prop_assert!((near / exact - 1.0).abs() < 0.07, "{} is not near {}", near, exact);
        }
    }
}
