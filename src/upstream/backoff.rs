//! How long to wait before a retry. Pure: chance and the time of day are arguments.

use std::time::Duration;

use crate::config::model::Backoff;

/// A random time below a limit that doubles with each retry ("full jitter"), so that many requests that failed together
/// do not come back together. `retry` counts from zero.
pub(super) fn jittered(backoff: &Backoff, retry: u32, rng: &mut fastrand::Rng) -> Duration {
    let factor = 1_u32.checked_shl(retry).unwrap_or(u32::MAX);
    let limit = backoff.base.saturating_mul(factor).min(backoff.max);
    limit.mul_f64(rng.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_doubles_up_to_its_cap_and_all_of_it_is_used() {
        let backoff = Backoff { base: Duration::from_millis(25), max: Duration::from_millis(250) };
        let mut rng = fastrand::Rng::with_seed(7);
        for (retry, limit) in [(0, 25), (1, 50), (2, 100), (3, 200), (4, 250), (40, 250)] {
            let limit = Duration::from_millis(limit);
            let waits: Vec<_> = (0..1000).map(|_| jittered(&backoff, retry, &mut rng)).collect();
            assert!(waits.iter().all(|wait| *wait < limit), "retry {retry}");
            assert!(waits.iter().any(|wait| *wait < limit / 10), "retry {retry}");
            assert!(waits.iter().any(|wait| *wait > limit * 9 / 10), "retry {retry}");
        }
    }
}
