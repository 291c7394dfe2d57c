//! Refused admin requests. Each is counted, and the log gets at most one line of bounded length a second.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::request::Parts;
use tokio::time::Instant;

use crate::observe::metrics::Metrics;

/// What was refused since the last line.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Refusals {
    /// Counts a refusal, and tells of it when the last line is long enough ago.
    pub(super) fn refused(&self, metrics: &Metrics, request: &Parts, status: StatusCode, now: Instant) {
        metrics.admin_refused(status.as_str()).inc();
        if let Some(untold) = self.tells(now) {
            let (method, path) = (cut(request.method.as_str()), cut(request.uri.path()));
            let status = status.as_u16();
            tracing::warn!(method, path, status, untold, "admin request refused");
        }
    }

    /// Whether this one is told of, and then how many before it were not.
    pub(super) fn tells(&self, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |last| now.saturating_duration_since(last) >= EVERY;
        if told.last.is_none_or(due) {
            told.last = Some(now);
            return Some(std::mem::take(&mut told.untold));
        }
        told.untold += 1;
        None
    }
}

/// The beginning of what a caller sent.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_SHOWN)).unwrap_or(text)
}

/// Time between two lines.
const EVERY: Duration = Duration::from_secs(1);
/// Bytes of a method or path that are shown.
const MAX_SHOWN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_told_once_a_second_and_none_is_forgotten() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let at = |millis| start + Duration::from_millis(millis);
        let told: Vec<_> =
            [0, 1, 500, 999, 1000, 1001, 5000].into_iter().map(|millis| refusals.tells(at(millis))).collect();
        assert_eq!(
            told,
            [Some(0), None, None, None, Some(3), None, Some(1)],
            "how many were not told before each that was"
        );
    }

    #[test]
    fn what_a_caller_sent_is_cut() {
        assert_eq!(cut("/short"), "/short");
        let long = "\u{e4}".repeat(5000);
        assert_eq!(cut(&long).len(), MAX_SHOWN);
    }
}
