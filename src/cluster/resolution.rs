//! What is known about one DNS name: the last good answer, how long it has been stale and when to ask again.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::dns::{Answer, Error};
use super::status::NameStatus;

/// The state of one name. It only changes in [`Self::record`].
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    addresses: Vec<IpAddr>,
    resolved_at: Option<SystemTime>,
    failing: Option<Failing>,
    due: Instant,
}

/// An unbroken row of failures.
#[derive(Clone, Debug)]
struct Failing {
    since: SystemTime,
    /// Set while every failure of the row so far said that the name has no addresses.
    absent_since: Option<Instant>,
    retry_delay: Duration,
    error: String,
}

impl Resolution {
    /// A name never asked for: due at once.
    pub(super) fn unknown(now: Instant) -> Self {
        Self {
            addresses: Vec::new(),
            resolved_at: None,
            failing: None,
            due: now,
        }
    }

    /// Addresses in use, sorted.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// When to ask next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Whether the last question failed.
    pub(super) fn is_stale(&self) -> bool {
        self.failing.is_some()
    }

    /// Takes in the outcome of a question. Returns whether the addresses changed. `refresh` replaces the answer's time to live.
    pub(super) fn record(
        &mut self,
        outcome: &Result<Answer, Error>,
        refresh: Option<Duration>,
        now: Instant,
        wall: SystemTime,
    ) -> bool {
        match outcome {
            Ok(answer) => {
                let mut addresses = answer.addresses.clone();
                addresses.sort_unstable();
                addresses.dedup();
                let changed = self.addresses != addresses;
                self.due = now
                    + refresh.map_or_else(
                        || answer.ttl.clamp(MIN_TTL, MAX_TTL),
                        |refresh| refresh.max(MIN_REFRESH),
                    );
                self.addresses = addresses;
                self.resolved_at = Some(wall);
                self.failing = None;
                changed
            }
            Err(error) => self.fail(error, now, wall),
        }
    }

    fn fail(&mut self, error: &Error, now: Instant, wall: SystemTime) -> bool {
        let is_absent = matches!(error, Error::NoAddresses);
        let failing = self.failing.get_or_insert_with(|| Failing {
            since: wall,
            absent_since: is_absent.then_some(now),
            retry_delay: FIRST_RETRY,
            error: String::new(),
        });
        if !is_absent {
            failing.absent_since = None;
        } else if failing.absent_since.is_none() {
            failing.absent_since = Some(now);
        }
        let cause = std::error::Error::source(error);
        failing.error =
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        self.due = now + failing.retry_delay;
        failing.retry_delay = (failing.retry_delay * 2).min(LAST_RETRY);
        let is_gone = failing
            .absent_since
            .is_some_and(|since| now.duration_since(since) >= HOLD_ABSENT);
        if is_gone && !self.addresses.is_empty() {
            self.addresses.clear();
            return true;
        }
        false
    }

    pub(super) fn status(&self, host: &str) -> NameStatus {
        NameStatus {
            host: host.to_owned(),
            addresses: self.addresses.clone(),
            resolved_at: self.resolved_at,
            stale_since: self.failing.as_ref().map(|failing| failing.since),
            error: self.failing.as_ref().map(|failing| failing.error.clone()),
        }
    }
}

/// Answers are believed at least this long, or a zero TTL would mean a question per request or a busy loop.
const MIN_TTL: Duration = Duration::from_secs(1);

/// Answers are believed at most this long.
const MAX_TTL: Duration = Duration::from_secs(300);

/// A configured interval below this would be a busy loop.
const MIN_REFRESH: Duration = Duration::from_millis(100);

/// Wait after the first failure; it doubles with each.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// Longest wait after a failure.
const LAST_RETRY: Duration = Duration::from_secs(30);

/// "No such name" and "no addresses" are believed after being repeated this long (HAProxy's `hold nx`): a zone being reloaded
/// must not empty a cluster, but a service scaled to nothing must end up empty.
const HOLD_ABSENT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: SystemTime = SystemTime::UNIX_EPOCH;

    fn answer(ip: &str, ttl: u64) -> Result<Answer, Error> {
        Ok(Answer {
            addresses: vec![ip.parse().unwrap()],
            ttl: Duration::from_secs(ttl),
        })
    }

    #[test]
    fn ttl_is_honoured_within_bounds_unless_an_interval_is_configured() {
        let now = Instant::now();
        for (ttl, refresh, wait) in [
            (0, None, Duration::from_secs(1)),
            (30, None, Duration::from_secs(30)),
            (86_400, None, Duration::from_secs(300)),
            (
                86_400,
                Some(Duration::from_millis(500)),
                Duration::from_millis(500),
            ),
            (30, Some(Duration::ZERO), Duration::from_millis(100)),
        ] {
            let mut resolution = Resolution::unknown(now);
            assert!(resolution.record(&answer("10.0.0.1", ttl), refresh, now, WALL));
            assert_eq!(
                resolution.due() - now,
                wait,
                "ttl {ttl}, refresh {refresh:?}"
            );
        }
    }

    #[test]
    fn failures_keep_the_last_good_answer_and_back_off() {
        let start = Instant::now();
        let mut resolution = Resolution::unknown(start);
        resolution.record(&answer("10.0.0.1", 30), None, start, WALL);
        let first_failure = WALL + Duration::from_secs(30);
        let mut now = resolution.due();
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            assert!(!resolution.record(&Err(Error::TimedOut), None, now, WALL + (now - start)));
            assert_eq!(resolution.due() - now, Duration::from_secs(wait));
            now = resolution.due();
        }
        let status = resolution.status("a");
        assert_eq!(
            (status.addresses.len(), status.stale_since),
            (1, Some(first_failure))
        );
        assert!(
            !resolution.record(&answer("10.0.0.1", 30), None, now, WALL),
            "same address, nothing changed"
        );
        assert_eq!(resolution.status("a").stale_since, None);
        resolution.record(&Err(Error::TimedOut), None, now, WALL);
        assert_eq!(
            resolution.due() - now,
            Duration::from_secs(1),
            "back-off starts over"
        );
    }

    #[test]
    fn absence_is_believed_after_it_has_lasted() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut resolution = Resolution::unknown(start);
        resolution.record(&answer("10.0.0.1", 30), None, start, WALL);
        for (seconds, error, changed) in [
            (10, Error::NoAddresses, false),
            (39, Error::NoAddresses, false),
            (41, Error::TimedOut, false),
            (42, Error::NoAddresses, false),
            (71, Error::NoAddresses, false),
            (72, Error::NoAddresses, true),
            (73, Error::NoAddresses, false),
        ] {
            assert_eq!(
                resolution.record(&Err(error), None, at(seconds), WALL),
                changed,
                "at {seconds} s"
            );
        }
        assert!(resolution.addresses().is_empty());
        assert!(
            resolution.record(&answer("10.0.0.1", 30), None, at(80), WALL),
            "the name is back"
        );
    }
}
