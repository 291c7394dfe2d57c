//! The state of one DNS name: the last good answer of each address family, how long it has been stale and when to ask
//! again.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::answer::{Error, Family, Missing, ResolvedName};
use crate::cluster::status::NameStatus;

/// The state of one name. It only changes in [`Self::record`].
#[derive(Clone, Debug)]
pub(super) struct Resolution {
    addresses: Vec<IpAddr>,
    resolved_at: Option<SystemTime>,
    failing: Option<Failing>,
    due: Instant,
}

/// What of a name's last answer was not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stale {
    /// All of it.
    Whole,
    /// This family; the other one was.
    Family(Family),
}

/// An unbroken row of failures of one kind.
#[derive(Clone, Debug)]
struct Failing {
    what: Stale,
    since: SystemTime,
    /// Set while every failure of the row so far said that the name has no addresses.
    absent_since: Option<Instant>,
    retry_delay: Duration,
    error: String,
}

impl Resolution {
    /// A name never asked for: due at once.
    pub(super) fn unknown(now: Instant) -> Self {
        Self { addresses: Vec::new(), resolved_at: None, failing: None, due: now }
    }

    /// Addresses in use, sorted.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }

    /// When to ask next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// What of the last answer was not there.
    pub(super) fn stale(&self) -> Option<Stale> {
        self.failing.as_ref().map(|failing| failing.what)
    }

    /// Takes in the outcome of a question. Returns whether the addresses changed. `refresh` replaces the answer's time
    /// to live.
    pub(super) fn record(
        &mut self,
        outcome: &Result<ResolvedName, Error>,
        refresh: Option<Duration>,
        now: Instant,
        wall: SystemTime,
    ) -> bool {
        match outcome {
            Ok(answer) => {
                let mut addresses = answer.addresses.clone();
                self.resolved_at = Some(wall);
                self.due = now
                    + refresh.map_or_else(|| answer.ttl.clamp(MIN_TTL, MAX_TTL), |refresh| refresh.max(MIN_REFRESH));
                match &answer.missing {
                    None => self.failing = None,
                    Some(Missing { family, reason }) => {
                        // The addresses of the one hold when nothing is known about the other.
                        let kept = self.addresses.iter().filter(|ip| family.holds(**ip));
                        addresses.extend(kept);
                        let failing = self.failing(Stale::Family(*family), wall);
                        failing.error = format!("{family}: {reason}");
                        let retry = now + failing.next_delay();
                        self.due = self.due.min(retry);
                    }
                }
                addresses.sort_unstable();
                addresses.dedup();
                let changed = self.addresses != addresses;
                self.addresses = addresses;
                changed
            }
            Err(error) => self.fail(error, now, wall),
        }
    }

    /// The row of failures this one belongs to, perhaps its first.
    fn failing(&mut self, what: Stale, wall: SystemTime) -> &mut Failing {
        let started = Failing { what, since: wall, absent_since: None, retry_delay: FIRST_RETRY, error: String::new() };
        let failing = self.failing.get_or_insert_with(|| started.clone());
        if failing.what != what {
            *failing = started;
        }
        failing
    }

    fn fail(&mut self, error: &Error, now: Instant, wall: SystemTime) -> bool {
        let is_absent = matches!(error, Error::NoAddresses);
        let failing = self.failing(Stale::Whole, wall);
        if !is_absent {
            failing.absent_since = None;
        } else if failing.absent_since.is_none() {
            failing.absent_since = Some(now);
        }
        failing.error = error.to_string();
        let is_gone = failing.absent_since.is_some_and(|since| now.duration_since(since) >= HOLD_ABSENT);
        self.due = now + failing.next_delay();
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

impl Failing {
    /// How long to wait this time; the next time it is twice as long.
    fn next_delay(&mut self) -> Duration {
        let delay = self.retry_delay;
        self.retry_delay = (delay * 2).min(LAST_RETRY);
        delay
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

/// "No such name" and "no addresses" are believed after being repeated this long (HAProxy's `hold nx`): a zone being
/// reloaded must not empty a cluster, but a service scaled to nothing must end up empty.
const HOLD_ABSENT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: SystemTime = SystemTime::UNIX_EPOCH;

    fn answer(ip: &str, ttl: u64) -> Result<ResolvedName, Error> {
        Ok(ResolvedName { addresses: vec![ip.parse().unwrap()], ttl: Duration::from_secs(ttl), missing: None })
    }

    #[test]
    fn ttl_is_honoured_within_bounds_unless_an_interval_is_configured() {
        let now = Instant::now();
        for (ttl, refresh, wait) in [
            (0, None, Duration::from_secs(1)),
            (30, None, Duration::from_secs(30)),
            (86_400, None, Duration::from_secs(300)),
            (86_400, Some(Duration::from_millis(500)), Duration::from_millis(500)),
            (30, Some(Duration::ZERO), Duration::from_millis(100)),
        ] {
            let mut resolution = Resolution::unknown(now);
            assert!(resolution.record(&answer("10.0.0.1", ttl), refresh, now, WALL));
            assert_eq!(resolution.due() - now, wait, "ttl {ttl}, refresh {refresh:?}");
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
        assert_eq!((status.addresses.len(), status.stale_since), (1, Some(first_failure)));
        assert!(!resolution.record(&answer("10.0.0.1", 30), None, now, WALL), "same address, nothing changed");
        assert_eq!(resolution.status("a").stale_since, None);
        resolution.record(&Err(Error::TimedOut), None, now, WALL);
        assert_eq!(resolution.due() - now, Duration::from_secs(1), "back-off starts over");
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
            assert_eq!(resolution.record(&Err(error), None, at(seconds), WALL), changed, "at {seconds} s");
        }
        assert!(resolution.addresses().is_empty());
        assert!(resolution.record(&answer("10.0.0.1", 30), None, at(80), WALL), "the name is back");
    }

    #[test]
    fn a_family_without_answer_keeps_its_last_addresses() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let half = |ip: &str, family| {
            let reason = "no answer in time".to_owned();
            answer(ip, 30).map(|answer| ResolvedName { missing: Some(Missing { family, reason }), ..answer })
        };
        let mut resolution = Resolution::unknown(start);
        let addresses = |resolution: &Resolution| {
            let ips = resolution.addresses().iter();
            ips.map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        for (seconds, outcome, expected, stale, wait) in [
            (0, half("10.0.0.1", Family::V6), "10.0.0.1", Some(Stale::Family(Family::V6)), 1),
            (1, half("10.0.0.2", Family::V6), "10.0.0.2", Some(Stale::Family(Family::V6)), 2),
            (3, half("fd00::1", Family::V4), "10.0.0.2 fd00::1", Some(Stale::Family(Family::V4)), 1),
            (4, half("10.0.0.3", Family::V6), "10.0.0.3 fd00::1", Some(Stale::Family(Family::V6)), 1),
            (5, Err(Error::TimedOut), "10.0.0.3 fd00::1", Some(Stale::Whole), 1),
            (6, answer("10.0.0.4", 30), "10.0.0.4", None, 30),
        ] {
            resolution.record(&outcome, None, at(seconds), WALL);
            assert_eq!(addresses(&resolution), expected, "at {seconds} s");
            assert_eq!(resolution.stale(), stale, "at {seconds} s");
            assert_eq!(resolution.due(), at(seconds + wait), "at {seconds} s");
        }
        resolution.record(&half("10.0.0.4", Family::V6), None, at(36), WALL);
        let error = resolution.status("a").error;
        assert_eq!(error.as_deref(), Some("IPv6: no answer in time"));
    }

    #[test]
    fn a_family_that_never_answers_does_not_speed_questions_up_for_ever() {
        let start = Instant::now();
        let mut resolution = Resolution::unknown(start);
        let half = answer("10.0.0.1", 300).map(|answer| ResolvedName {
            missing: Some(Missing { family: Family::V6, reason: String::new() }),
            ..answer
        });
        let mut waits = Vec::new();
        for _ in 0..7 {
            let now = resolution.due();
            resolution.record(&half, None, now, WALL);
            waits.push((resolution.due() - now).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    }
}
