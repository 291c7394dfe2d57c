//! The counts of one endpoint, and the arithmetic of ejection. Pure but for the atomics: the outlier detector decides
//! which endpoint may be ejected.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::atomic_instant::AtomicInstant;
use super::suspicion::Suspicion;
use crate::config::model::{MaxFails, OutlierDetection};
use crate::outcome::{EjectionClass, Outcome};

/// Why an endpoint was ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Failures in a row, 5xx of any kind.
    Consecutive5xx,
    /// Failures in a row that show it down or broken.
    ConsecutiveGateway,
    /// Failures within a window.
    MaxFails,
    /// It succeeds much less often than the others.
    SuccessRate,
    /// Too large a share fails.
    FailurePercentage,
    /// It sent `Retry-After`.
    RetryAfter,
}

impl Cause {
    /// The word of metrics and logs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Consecutive5xx => "consecutive_5xx",
            Self::ConsecutiveGateway => "consecutive_gateway_errors",
            Self::MaxFails => "max_fails",
            Self::SuccessRate => "success_rate",
            Self::FailurePercentage => "failure_percentage",
            Self::RetryAfter => "retry_after",
        }
    }
}

/// All of them.
const CAUSES: [Cause; 6] = [
    Cause::Consecutive5xx,
    Cause::ConsecutiveGateway,
    Cause::MaxFails,
    Cause::SuccessRate,
    Cause::FailurePercentage,
    Cause::RetryAfter,
];

/// One endpoint's record, shared by all workers. All relaxed: nothing else is ordered by it.
#[derive(Debug, Default)]
pub(super) struct EndpointRecord {
    until: AtomicInstant,
    /// Apart, and made with the first failure: most endpoints have none, and lines that all workers write are short.
    failed: OnceLock<Box<Failures>>,
    in_row_5xx: AtomicU32,
    in_row_down: AtomicU32,
    requests: AtomicU32,
    failures: AtomicU32,
    times: AtomicU32,
    /// Why it was ejected last: its place in [`CAUSES`], counted from one; zero for never.
    cause: AtomicU8,
    /// Attempts in a row without an answer, whether the policy counts them or not.
    absences: AtomicU32,
    failing_until: AtomicInstant,
}

/// What is kept of failures.
#[derive(Debug, Default)]
struct Failures {
    /// When the last ones were, since the base: as many as `maxFails`. A lock of one endpoint that only failures take.
    recent: Mutex<VecDeque<Duration>>,
    /// Those that do not count in a row while they may be the fault of one input.
    suspicion: Suspicion,
}

impl EndpointRecord {
    /// Whether it is out.
    #[inline]
    pub(super) fn is_ejected(&self, base: Instant, now: Instant) -> bool {
        self.until.is_after(base, now)
    }

    /// The end of the latest ejection, which may be over.
    pub(super) fn ejected_until(&self, base: Instant) -> Option<Instant> {
        self.until.get(base)
    }

    /// Times ejected, less one for each healthy interval.
    pub(super) fn times(&self) -> u32 {
        self.times.load(Relaxed)
    }

    /// Why it was ejected last.
    pub(super) fn cause(&self) -> Option<Cause> {
        let place = self.cause.load(Relaxed).checked_sub(1)?;
        CAUSES.get(usize::from(place)).copied()
    }

    /// Says why it is ejected.
    pub(super) fn note_cause(&self, cause: Cause) {
        let place = CAUSES.iter().position(|known| *known == cause).map_or(0, |place| place + 1);
        self.cause.store(u8::try_from(place).unwrap_or(0), Relaxed);
    }

    /// Whether it was absent time and again, the last time not long ago.
    #[inline]
    pub(super) fn is_failing(&self, base: Instant, now: Instant) -> bool {
        self.failing_until.is_after(base, now)
    }

    /// Takes in whether an attempt found it there.
    pub(super) fn note_presence(&self, outcome: Outcome, base: Instant, now: Instant) {
        match outcome.presence() {
            Some(true) if self.absences.load(Relaxed) != 0 => {
                self.absences.store(0, Relaxed);
                self.failing_until.clear();
            }
            Some(false) => {
                let before = self.absences.fetch_add(1, Relaxed);
                if before.saturating_add(1) >= FAILING_AFTER {
                    self.failing_until.set(base, now + FAILING_FOR);
                }
            }
            _ => {}
        }
    }

    /// Takes in a mark that `client` has seen; the cause, when that was one failure too many.
    pub(super) fn note(
        &self,
        mark: EjectionClass,
        client: Option<u64>,
        policy: &OutlierDetection,
        since_base: Duration,
    ) -> Option<Cause> {
        if mark == EjectionClass::Nothing {
            return None;
        }
        let down = mark == EjectionClass::Failed { down: true };
        if !down {
            reset(&self.in_row_down);
        }
        if policy.compares_rates() {
            self.requests.fetch_add(1, Relaxed);
        }
        let failures = match mark {
            EjectionClass::Good => {
                reset(&self.in_row_5xx);
                self.failed.get().inspect(|failed| failed.suspicion.clear());
                return None;
            }
            EjectionClass::Alive | EjectionClass::Nothing => return None,
            EjectionClass::Suspect => client.map_or(0, |client| self.failed().suspicion.raise(client)),
            EjectionClass::Failed { .. } => 1,
        };
        if policy.compares_rates() {
            self.failures.fetch_add(1, Relaxed);
        }
        self.count(failures, down, policy, since_base)
    }

    /// Counts failures in a row and within a window; the cause, when that was one too many.
    fn count(&self, failures: u32, down: bool, policy: &OutlierDetection, since_base: Duration) -> Option<Cause> {
        if failures == 0 {
            return None;
        }
        let in_row_5xx = more(&self.in_row_5xx, failures, policy.consecutive_5xx());
        let in_row_down = down && more(&self.in_row_down, failures, policy.consecutive_gateway());
        let within = |limit| (0..failures).any(|_| self.one_more_within(limit, since_base));
        let in_window = policy.window().is_some_and(within);
        if in_row_5xx {
            Some(Cause::Consecutive5xx)
        } else if in_row_down {
            Some(Cause::ConsecutiveGateway)
        } else {
            in_window.then_some(Cause::MaxFails)
        }
    }

    /// Counts a failure; whether there were as many as the limit within its time, whenever that began.
    fn one_more_within(&self, limit: MaxFails, since_base: Duration) -> bool {
        let mut recent = self.failed().recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(since_base);
        while recent.len() > limit.fails as usize {
            recent.pop_front();
        }
        let first = recent.front().copied().unwrap_or(since_base);
        let reached = recent.len() == limit.fails as usize && since_base.saturating_sub(first) <= limit.timeout;
        if reached {
            recent.clear();
        }
        reached
    }

    fn failed(&self) -> &Failures {
        self.failed.get_or_init(Box::default)
    }

    /// Puts it out until then. `grows` makes the next time longer.
    pub(super) fn eject(&self, base: Instant, until: Instant, grows: bool) {
        self.until.set(base, until);
        if grows {
            self.times.fetch_add(1, Relaxed);
        }
        self.start_over();
    }

    /// Ends an ejection; the failures behind it are forgotten, not how often there was one.
    pub(super) fn pardon(&self) {
        self.until.clear();
        self.start_over();
    }

    /// Forgets everything.
    pub(super) fn forget(&self) {
        self.pardon();
        self.times.store(0, Relaxed);
        self.absences.store(0, Relaxed);
        self.failing_until.clear();
        self.take_sample();
    }

    fn start_over(&self) {
        self.in_row_5xx.store(0, Relaxed);
        self.in_row_down.store(0, Relaxed);
        if let Some(failed) = self.failed.get() {
            failed.suspicion.clear();
            failed.recent.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// What was counted since the last time.
    pub(super) fn take_sample(&self) -> Sample {
        // Failures first: one that comes in between is in neither, and a rate stays below one.
        let failures = self.failures.swap(0, Relaxed);
        let requests = self.requests.swap(0, Relaxed);
        Sample { requests: requests.max(failures), failures }
    }

    /// An interval that began then is over: one in which the endpoint was never out makes the next ejection shorter.
    pub(super) fn decay(&self, base: Instant, interval_began: Instant) {
        let healthy = self.ejected_until(base).is_none_or(|until| until <= interval_began);
        if healthy {
            let less = |times: u32| times.checked_sub(1);
            self.times.fetch_update(Relaxed, Relaxed, less).ok();
        }
    }
}

/// Attempts in a row after which an endpoint without checks counts as failing.
const FAILING_AFTER: u32 = 5;

/// How long it stays failing after the last of them. Without requests the gateway could not notice that it works again.
const FAILING_FOR: Duration = Duration::from_secs(30);

/// A store dirties the cache line for everybody, and a success has nearly always nothing to reset.
fn reset(count: &AtomicU32) {
    if count.load(Relaxed) != 0 {
        count.store(0, Relaxed);
    }
}

/// Counts so many; whether that makes `limit`. From there it starts over, so that an endpoint that may not go asks only
/// now and then.
fn more(count: &AtomicU32, failures: u32, limit: Option<u32>) -> bool {
    let Some(limit) = limit else { return false };
    let reached = count.fetch_add(failures, Relaxed).saturating_add(failures) >= limit;
    if reached {
        count.store(0, Relaxed);
    }
    reached
}

/// Requests of one endpoint in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) requests: u32,
    pub(super) failures: u32,
}

/// How many of so many endpoints may be out at a time: the percentage, but one when there is another, and never all.
pub(super) fn allowance(endpoints: usize, percent: u32) -> usize {
    if percent == 0 {
        return 0;
    }
    let share = endpoints.saturating_mul(percent.min(100) as usize) / 100;
    share.max(1).min(endpoints.saturating_sub(1))
}

/// How long the ejection lasts that is this one in number.
pub(super) fn ejection_time(policy: &OutlierDetection, number: u32) -> Duration {
    policy.base_ejection_time.saturating_mul(number.max(1)).min(policy.longest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::FailurePercentage;

    const SECOND: Duration = Duration::from_secs(1);

    /// Marks as letters: g good, f failed, d down, a alive, n nothing; a digit is a client that makes it suspect.
    fn play(policy: &OutlierDetection, marks: &str) -> Vec<(usize, Cause)> {
        let record = EndpointRecord::default();
        let mark = |letter| match letter {
            'g' => EjectionClass::Good,
            'f' => EjectionClass::Failed { down: false },
            'd' => EjectionClass::Failed { down: true },
            'a' => EjectionClass::Alive,
            '0'..='9' => EjectionClass::Suspect,
            _ => EjectionClass::Nothing,
        };
        let caused = |(index, letter): (usize, char)| {
            let (client, at) = (letter.to_digit(10).map(u64::from), SECOND * u32::try_from(index).unwrap());
            let cause = record.note(mark(letter), client, policy, at)?;
            Some((index, cause))
        };
        marks.chars().enumerate().filter_map(caused).collect()
    }

    #[test]
    fn failures_in_a_row() {
        let five = OutlierDetection::default();
        let down_only = OutlierDetection::unasked();
        let both = OutlierDetection {
            consecutive_5xx_errors: Some(3),
            consecutive_gateway_errors: 2,
            ..OutlierDetection::default()
        };
        let (any, down) = (Cause::Consecutive5xx, Cause::ConsecutiveGateway);
        for (policy, marks, expected) in [
            (&five, "ffff", vec![]),
            (&five, "fffff", vec![(4, any)]),
            (&five, "ffdfd", vec![(4, any)]),
            (&five, "ffffgffff", vec![]),
            // A head that says nothing and a 500 that does not count interrupt nothing.
            (&five, "ffnffanf", vec![(7, any)]),
            // An endpoint that may not go is asked about again after as many more.
            (&five, "dddddddddd", vec![(4, any), (9, any)]),
            (&down_only, "ffffffffff", vec![]),
            (&down_only, "ddddd", vec![(4, down)]),
            (&down_only, "ddddfd", vec![]),
            (&down_only, "ddddad", vec![]),
            (&both, "dd", vec![(1, down)]),
            (&both, "fdd", vec![(2, any)]),
            // What one input can do everywhere counts once three clients have seen it, one for each of them.
            (&five, "1111111111", vec![]),
            (&five, "1212121212", vec![]),
            (&five, "1231", vec![]),
            (&five, "12311", vec![(4, any)]),
            (&five, "12g123", vec![]),
            (&five, "ff123", vec![(4, any)]),
            (&five, "ffff11", vec![]),
            (&down_only, "1234567", vec![]),
            (&down_only, "dddd1d", vec![]),
        ] {
            assert_eq!(play(policy, marks), expected, "{marks}");
        }
    }

    #[test]
    fn failures_in_a_window() {
        let policy = OutlierDetection {
            consecutive_5xx_errors: Some(0),
            max_fails: 3,
            fail_timeout: SECOND * 10,
            ..OutlierDetection::default()
        };
        let out = Cause::MaxFails;
        for (marks, expected) in [
            ("fff", vec![(2, out)]),
            // A success does not take a failure back.
            ("fgfgd", vec![(4, out)]),
            ("fnnnnnnnnff", vec![(10, out)]),
            // The third comes too late for the first, but not for the second.
            ("fnnnnnnnnfnf", vec![]),
            ("fnnnnnnnnfnff", vec![(12, out)]),
            ("fnnnnnnnnfnnnnnnnnnf", vec![]),
            ("ffffff", vec![(2, out), (5, out)]),
            ("111111", vec![]),
            ("1123", vec![(3, out)]),
        ] {
            assert_eq!(play(&policy, marks), expected, "{marks}");
        }
    }

    #[test]
    fn ejections_grow_to_a_limit_and_decay() {
        let policy = OutlierDetection::default();
        let base = Instant::now();
        let record = EndpointRecord::default();
        let mut now = base;
        let mut lengths = Vec::new();
        for _ in 0..12 {
            let length = ejection_time(&policy, record.times() + 1);
            record.eject(base, now + length, true);
            assert!(record.is_ejected(base, now));
            now += length;
            assert!(!record.is_ejected(base, now));
            lengths.push(length.as_secs());
        }
        assert_eq!(lengths, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300]);
        record.decay(base, now - SECOND);
        assert_eq!(record.times(), 12, "it was out for a part of the interval");
        for left in (0..12).rev() {
            record.decay(base, now);
            assert_eq!(record.times(), left);
        }
        record.decay(base, now);
        assert_eq!(record.times(), 0);
    }

    #[test]
    fn at_least_one_and_never_all_may_go() {
        for endpoints in 1..=50_usize {
            for percent in 1..=100 {
                let allowed = allowance(endpoints, percent);
                assert_eq!(allowed == 0, endpoints < 2, "{percent} % of {endpoints}");
                assert!(allowed < endpoints);
                assert!(allowed == 1 || allowed * 100 <= endpoints * percent as usize);
            }
            assert_eq!(allowance(endpoints, 0), 0);
        }
        for (endpoints, percent, allowed) in [(3, 10, 1), (3, 50, 1), (4, 50, 2), (20, 10, 2), (2, 100, 1)] {
            assert_eq!(allowance(endpoints, percent), allowed);
        }
    }

    #[test]
    fn a_sample_is_taken_once() {
        let policy = OutlierDetection {
            failure_percentage: Some(FailurePercentage { threshold: 85, min_hosts: 1, min_requests: 1 }),
            ..OutlierDetection::default()
        };
        let record = EndpointRecord::default();
        let down = EjectionClass::Failed { down: true };
        for (mark, client) in [
            (EjectionClass::Good, None),
            (EjectionClass::Alive, None),
            (EjectionClass::Nothing, None),
            (down, None),
            (EjectionClass::Suspect, Some(1)),
            (EjectionClass::Suspect, None),
        ] {
            record.note(mark, client, &policy, Duration::ZERO);
        }
        let sample = Sample { requests: 5, failures: 3 };
        assert_eq!(record.take_sample(), sample);
        assert_eq!(record.take_sample(), Sample::default());
    }
}
