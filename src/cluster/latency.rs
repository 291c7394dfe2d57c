//! Peak-sensitive moving average of an endpoint's time to a response head: up at once, down slowly.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use super::atomic_instant::AtomicInstant;

/// The average of one endpoint. Two workers that measure at the same moment may lose one of the two: it is an average.
#[derive(Debug, Default)]
pub(super) struct Latency {
    nanos: AtomicU64,
    measured: AtomicInstant,
}

impl Latency {
    /// Takes in how long a response head took.
    pub(super) fn observe(&self, took: Duration, base: Instant, now: Instant) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1) as f64;
        let next = match self.now(base, now) {
            // A peak counts in full, so an endpoint that became slow is avoided from the next request on.
            Some((average, weight)) if took <= average => average * weight + took * (1.0 - weight),
            _ => took,
        };
        self.nanos.store(next.to_bits(), Relaxed);
        self.measured.set(base, now);
    }

    /// Expected nanoseconds now; `None` when nothing was measured yet. Fades while nothing is measured, so that an
    /// endpoint that was slow once is tried again.
    pub(super) fn expected(&self, base: Instant, now: Instant) -> Option<f64> {
        self.now(base, now).map(|(average, weight)| (average * weight).max(1.0))
    }

    /// The average when it was taken, and what it still weighs.
    fn now(&self, base: Instant, now: Instant) -> Option<(f64, f64)> {
        let age = now.saturating_duration_since(self.measured.get(base)?);
        let weight = (-age.as_secs_f64() / FADE.as_secs_f64()).exp();
        Some((f64::from_bits(self.nanos.load(Relaxed)), weight))
    }
}

/// After this an old measurement weighs a third.
const FADE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn expected(latency: &Latency, base: Instant, now: Instant) -> f64 {
        latency.expected(base, now).unwrap() / 1e6
    }

    #[test]
    fn up_at_once_and_down_slowly() {
        let base = Instant::now();
        let latency = Latency::default();
        assert_eq!(latency.expected(base, base), None);
        latency.observe(10 * MS, base, base);
        assert!((expected(&latency, base, base) - 10.0).abs() < 0.01);
        latency.observe(500 * MS, base, base + MS);
        assert!((expected(&latency, base, base + MS) - 500.0).abs() < 0.01);
        latency.observe(10 * MS, base, base + 2 * MS);
        assert!(expected(&latency, base, base + 2 * MS) > 499.0);
        let later = base + 3 * FADE;
        latency.observe(10 * MS, base, later);
        assert!((30.0..40.0).contains(&expected(&latency, base, later)));
    }

    #[test]
    fn fades_without_traffic_but_never_to_nothing() {
        let base = Instant::now();
        let latency = Latency::default();
        latency.observe(100 * MS, base, base);
        let after = |times: u32| expected(&latency, base, base + times * FADE);
        assert!((36.0..37.0).contains(&after(1)));
        assert!(after(1_000) > 0.0);
    }
}
