//! Counts of the finished requests of one version. Shared by all workers: a few relaxed adds per request, and only on
//! routes with a rollout. Requests whose clients left while they waited have counts of their own: one client may leave
//! at any time, but a version hangs when most of several clients give up waiting for it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::context::network;

/// Counters of one version since the start.
#[derive(Debug)]
pub struct Tally {
    failed: AtomicU64,
    buckets: Box<[AtomicU64]>,
    /// Requests that were given up, by a hash of the client's address with a secret seed.
    left: Box<[AtomicU64]>,
    seed: RandomState,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            failed: AtomicU64::new(0),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            left: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(),
            seed: RandomState::new(),
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

    /// Counts a request whose client left while it waited.
    pub fn abandon(&self, client: IpAddr) {
        let hash = self.seed.hash_one(network(client));
        let place = usize::try_from(hash % CLIENTS as u64).unwrap_or_default();
        if let Some(left) = self.left.get(place) {
            let _ = left.fetch_add(1, Relaxed);
        }
    }

    /// The counts of the moment.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { failed: self.failed.load(Relaxed), buckets: load(&self.buckets), left: load(&self.left) }
    }
}

/// Counts at one moment, or of the time between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    failed: u64,
    buckets: Vec<u64>,
    left: Vec<u64>,
}

impl Counts {
    /// The difference to `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            failed: self.failed.saturating_sub(before.failed),
            buckets: less(&self.buckets, &before.buckets),
            left: less(&self.left, &before.left),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        add(&mut self.buckets, &other.buckets);
        add(&mut self.left, &other.left);
        self.failed += other.failed;
        self
    }

    /// Finished requests, and those that were given up where they count.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.finished() + self.abandoned()
    }

    fn finished(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Requests that were given up, where several clients did so with more than half of all. None of them counts for
    /// more than the third of them did.
    fn abandoned(&self) -> u64 {
        let mut left = self.left.clone();
        left.sort_unstable_by(|a, b| b.cmp(a));
        let most = left.get(SEVERAL - 1).copied().unwrap_or_default();
        let counted = left.iter().map(|one| (*one).min(most)).sum();
        if counted > self.finished() { counted } else { 0 }
    }

    /// Share of requests that did not fail; `None` without requests.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let requests = self.requests();
        let succeeded = self.finished().saturating_sub(self.failed);
        (requests > 0).then(|| succeeded as f64 / requests as f64)
    }

    /// The time in seconds that this share of requests did not exceed, within 7 %; `None` without requests.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let requests = self.finished();
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

fn load(counters: &[AtomicU64]) -> Vec<u64> {
    counters.iter().map(|one| one.load(Relaxed)).collect()
}

fn less(now: &[u64], before: &[u64]) -> Vec<u64> {
    let before = before.iter().copied().chain(std::iter::repeat(0));
    let both = now.iter().zip(before);
    both.map(|(now, then)| now.saturating_sub(then)).collect()
}

fn add(sums: &mut Vec<u64>, more: &[u64]) {
    sums.resize(sums.len().max(more.len()), 0);
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
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

/// Places for clients that left; two may share one.
const CLIENTS: usize = 64;
/// So many clients are several.
const SEVERAL: usize = 3;

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
    fn a_version_fails_when_most_of_several_clients_leave_it() {
        // Addresses in different places, whatever the seed.
        let tally = Tally::default();
        let place = |last: u8| {
            let network = u64::from(std::net::Ipv4Addr::new(192, 0, 2, last).to_bits());
            tally.seed.hash_one(network) % 64
        };
        let mut apart: Vec<u8> = Vec::new();
        for last in 0..=255 {
            if apart.iter().all(|known| place(*known) != place(last)) {
                apart.push(last);
            }
        }
        let leave = |who: usize, times: u32| {
            (0..times).for_each(|_| tally.abandon([192, 0, 2, apart[who]].into()));
        };
        (0..5).for_each(|_| tally.record(true, Duration::from_millis(1)));
        let start = tally.counts();
        leave(0, 1000);
        assert_eq!(tally.counts().success_rate(), Some(1.0), "one client");
        leave(1, 1000);
        assert_eq!(tally.counts().success_rate(), Some(1.0), "two clients");
        leave(2, 1);
        assert_eq!(tally.counts().success_rate(), Some(1.0), "3 of 8");
        leave(2, 1);
        let counts = tally.counts();
        assert_eq!(counts.success_rate(), Some(5.0 / 11.0), "6 of 11");
        assert_eq!(counts.requests(), 11);
        assert!(counts.percentile(0.99).unwrap() < 0.01);
        assert_eq!(counts.since(&start).success_rate(), Some(0.0), "6 of 6");
        assert_eq!(Counts::default().plus(&counts).requests(), 11);
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
