//! The half-open breaker of a cluster: after failures in a row nothing is sent for a while, then one request as a
//! probe, then a growing share. The state machine takes time and random numbers as arguments; the code around it lets
//! workers share it without a lock while the breaker is closed.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::model::HalfOpen;
use crate::outcome::{BreakerClass, Outcome};

/// How a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Everything is sent.
    Closed,
    /// A probe, or a share of the requests, is sent.
    HalfOpen,
    /// Nothing is sent.
    Open,
}

impl BreakerState {
    /// As a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    /// As the number of the metric.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }

    fn of(number: u8) -> Self {
        match number {
            0 => Self::Closed,
            1 => Self::HalfOpen,
            _ => Self::Open,
        }
    }
}

/// The breaker of one cluster, shared by all workers.
#[derive(Debug)]
pub struct Breaker {
    cluster: Arc<str>,
    settings: HalfOpen,
    machine: Mutex<Machine>,
    /// Copies of the machine's state, so that requests take no lock while the breaker is closed.
    state: AtomicU8,
    is_clean: AtomicBool,
}

impl Breaker {
    /// The breaker of `cluster`: the one of `previous` when its settings are the same, `None` where none is configured.
    #[must_use]
    pub fn build(cluster: &Arc<str>, settings: Option<&HalfOpen>, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let settings = settings?;
        if let Some(same) = previous.filter(|previous| previous.settings == *settings) {
            return Some(Arc::clone(same));
        }
        Some(Arc::new(Self {
            cluster: Arc::clone(cluster),
            settings: settings.clone(),
            machine: Mutex::default(),
            state: AtomicU8::new(BreakerState::Closed.number()),
            is_clean: AtomicBool::new(true),
        }))
    }

    /// How it stands. Open lasts until the first request after its time.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        BreakerState::of(self.state.load(Relaxed))
    }

    /// Whether a request may be sent: yes, as the probe, or not before some time has passed.
    pub fn admit(self: &Arc<Self>, now: Instant, rng: &mut fastrand::Rng) -> Result<Option<Probe>, Duration> {
        if self.state() == BreakerState::Closed {
            return Ok(None);
        }
        let roll = rng.f64();
        match self.change(|machine| machine.admit(&self.settings, now, roll)) {
            BreakerDecision::Pass => Ok(None),
            BreakerDecision::Probe(number) => Ok(Some(Probe(Some((Arc::clone(self), number))))),
            BreakerDecision::Refuse(wait) => Err(wait),
        }
    }

    /// Reports the outcome of an attempt at an endpoint of the cluster.
    pub fn report(&self, outcome: Outcome, now: Instant) {
        let Some(sign) = outcome.breaker() else {
            return;
        };
        let is_news = self.state() != BreakerState::Closed || !self.is_clean.load(Relaxed);
        if sign.is_bad || is_news {
            self.change(|machine| machine.hear(&self.settings, sign, now));
        }
    }

    fn change<T>(&self, step: impl FnOnce(&mut Machine) -> T) -> T {
        let mut machine = self.machine();
        let before = machine.state();
        let result = step(&mut machine);
        let after = machine.state();
        self.state.store(after.number(), Relaxed);
        self.is_clean.store(machine.is_clean(), Relaxed);
        drop(machine);
        if before != after {
            let cluster = &*self.cluster;
            if after == BreakerState::Open {
                tracing::warn!(cluster, was = before.word(), "circuit breaker opened");
            } else {
                let state = after.word();
                tracing::info!(cluster, was = before.word(), "circuit breaker {state}");
            }
        }
        result
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that probes whether the cluster works again. When it is dropped without a report, the next request
/// becomes the probe. The report of a probe that was replaced because it took too long is ignored.
#[derive(Debug)]
pub struct Probe(Option<(Arc<Breaker>, u64)>);

impl Probe {
    /// Reports the result of the probe.
    pub fn settle(mut self, is_good: bool, now: Instant) {
        if let Some((breaker, number)) = self.0.take() {
            breaker.change(|machine| machine.probed(&breaker.settings, number, is_good, now));
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some((breaker, number)) = self.0.take() {
            breaker.change(|machine| machine.abandoned(number, Instant::now()));
        }
    }
}

/// The state machine.
#[derive(Debug, Default)]
struct Machine {
    phase: Phase,
    /// Bad heads in a row.
    heads: u32,
    /// Bodies broken off in a row.
    bodies: u32,
    /// Probes so far: the number of the last one.
    probes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Closed,
    Open {
        until: Instant,
    },
    /// The last probe is under way, and has until then.
    Probing {
        until: Instant,
    },
    Ramping {
        since: Instant,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum BreakerDecision {
    Pass,
    /// As the probe with this number.
    Probe(u64),
    Refuse(Duration),
}

impl Machine {
    fn state(&self) -> BreakerState {
        match self.phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Open { .. } => BreakerState::Open,
            Phase::Probing { .. } | Phase::Ramping { .. } => BreakerState::HalfOpen,
        }
    }

    fn is_clean(&self) -> bool {
        self.heads == 0 && self.bodies == 0
    }

    /// `roll` is from 0 up to 1.
    fn admit(&mut self, settings: &HalfOpen, now: Instant, roll: f64) -> BreakerDecision {
        match self.phase {
            Phase::Closed => BreakerDecision::Pass,
            Phase::Open { until } if now < until => BreakerDecision::Refuse(until - now),
            Phase::Probing { until } if now < until => BreakerDecision::Refuse(MOMENT),
            Phase::Open { .. } | Phase::Probing { .. } => {
                // A probe that takes this long (a task may) must not keep everybody else out.
                let until = now + settings.recovery_timeout;
                self.phase = Phase::Probing { until };
                self.probes += 1;
                BreakerDecision::Probe(self.probes)
            }
            Phase::Ramping { since } => {
                let share = share(now.saturating_duration_since(since), settings.ramp_up);
                if share >= 1.0 {
                    self.phase = Phase::Closed;
                }
                if roll < share { BreakerDecision::Pass } else { BreakerDecision::Refuse(MOMENT) }
            }
        }
    }

    fn hear(&mut self, settings: &HalfOpen, sign: BreakerClass, now: Instant) {
        if matches!(self.phase, Phase::Open { .. } | Phase::Probing { .. }) {
            // The attempt began before the breaker opened. The probe reports separately.
            return;
        }
        let run = if sign.is_body { &mut self.bodies } else { &mut self.heads };
        *run = if sign.is_bad { run.saturating_add(1) } else { 0 };
        if *run >= settings.failure_threshold {
            self.open(settings, now);
        }
    }

    /// Whether `number` is the current probe.
    fn awaits(&self, number: u64) -> bool {
        number == self.probes && matches!(self.phase, Phase::Probing { .. })
    }

    fn probed(&mut self, settings: &HalfOpen, number: u64, is_good: bool, now: Instant) {
        if !self.awaits(number) {
            return;
        }
        if !is_good {
            return self.open(settings, now);
        }
        self.phase = if settings.ramp_up.is_zero() { Phase::Closed } else { Phase::Ramping { since: now } };
    }

    /// The probe's client left, or it could not be sent: nothing is known.
    fn abandoned(&mut self, number: u64, now: Instant) {
        if self.awaits(number) {
            self.phase = Phase::Open { until: now };
        }
    }

    fn open(&mut self, settings: &HalfOpen, now: Instant) {
        let until = now + settings.recovery_timeout;
        *self = Self { phase: Phase::Open { until }, probes: self.probes, ..Self::default() };
    }
}

/// The share of requests that is sent `elapsed` after a good probe.
fn share(elapsed: Duration, ramp_up: Duration) -> f64 {
    if elapsed >= ramp_up {
        return 1.0;
    }
    (elapsed.as_secs_f64() / ramp_up.as_secs_f64()).max(FIRST_SHARE)
}

/// Share of the requests sent right after a good probe.
const FIRST_SHARE: f64 = 0.1;
/// After which a refused client may ask again while the breaker is half-open.
const MOMENT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::{Application, Transport};

    const OK: StatusCode = StatusCode::OK;
    const BAD: Outcome = Outcome::answered(StatusCode::SERVICE_UNAVAILABLE, Application::Silent);
    const GOOD: Outcome = Outcome::answered(OK, Application::Silent);
    const SECOND: Duration = Duration::from_secs(1);

    fn settings() -> HalfOpen {
        HalfOpen { failure_threshold: 3, recovery_timeout: 30 * SECOND, ramp_up: 10 * SECOND }
    }

    fn hear(machine: &mut Machine, outcome: Outcome, now: Instant) {
        if let Some(sign) = outcome.breaker() {
            machine.hear(&settings(), sign, now);
        }
    }

    fn opened(now: Instant) -> Machine {
        let mut machine = Machine::default();
        for _ in 0..3 {
            hear(&mut machine, BAD, now);
        }
        assert_eq!(machine.state(), BreakerState::Open);
        machine
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_nothing_else() {
        let aborted = Outcome::ended(Transport::BrokenOff);
        let finished = Outcome::complete(OK, Application::Silent);
        let failed = Outcome::answered(StatusCode::INTERNAL_SERVER_ERROR, Application::Silent);
        let failed_end = Outcome::complete(StatusCode::INTERNAL_SERVER_ERROR, Application::Silent);
        let missing = Outcome::answered(StatusCode::NOT_FOUND, Application::Silent);
        let cases: [(&[Outcome], bool, &str); 9] = [
            (&[BAD, BAD, BAD], true, "three in a row"),
            (&[BAD, BAD, GOOD, BAD, BAD], false, "one good between"),
            (&[BAD, BAD, missing, BAD, BAD], false, "a 404 is an answer"),
            (
                &[
                    Outcome::ended(Transport::ConnectFailed),
                    Outcome::ended(Transport::Reset),
                    Outcome::ended(Transport::TimedOut),
                ],
                true,
                "of any kind",
            ),
            (&[Outcome::ended(Transport::Invalid), failed, BAD], true, "of any kind"),
            (&[failed, failed_end, failed], false, "head and end of one answer count once"),
            (&[GOOD, aborted, GOOD, aborted, GOOD, aborted], true, "streams that break off begin well"),
            (&[GOOD, aborted, GOOD, aborted, GOOD, finished, aborted], false, "one that ends well between"),
            (&[BAD, BAD, finished, BAD], true, "an old stream that ends"),
        ];
        for (outcomes, opens, why) in cases {
            let (mut machine, now) = (Machine::default(), Instant::now());
            for outcome in outcomes {
                hear(&mut machine, *outcome, now);
            }
            assert_eq!(machine.state() == BreakerState::Open, opens, "{why}");
        }
    }

    #[test]
    fn open_probe_ramp_closed() {
        let start = Instant::now();
        let mut machine = opened(start);
        let at = |seconds: u32| start + seconds * SECOND;
        let admit = |machine: &mut Machine, seconds, roll| machine.admit(&settings(), at(seconds), roll);
        assert_eq!(admit(&mut machine, 0, 0.0), BreakerDecision::Refuse(30 * SECOND));
        assert_eq!(admit(&mut machine, 29, 0.0), BreakerDecision::Refuse(SECOND));
        assert_eq!(admit(&mut machine, 30, 0.99), BreakerDecision::Probe(1));
        assert_eq!(machine.state(), BreakerState::HalfOpen);
        assert_eq!(admit(&mut machine, 31, 0.0), BreakerDecision::Refuse(MOMENT), "one");
        machine.probed(&settings(), 1, true, at(32));
        for (seconds, roll, verdict) in [
            (32, 0.09, BreakerDecision::Pass),
            (32, 0.11, BreakerDecision::Refuse(MOMENT)),
            (37, 0.49, BreakerDecision::Pass),
            (37, 0.51, BreakerDecision::Refuse(MOMENT)),
            (41, 0.89, BreakerDecision::Pass),
        ] {
            assert_eq!(admit(&mut machine, seconds, roll), verdict, "at {seconds}");
            assert_eq!(machine.state(), BreakerState::HalfOpen);
        }
        assert_eq!(admit(&mut machine, 42, 0.999), BreakerDecision::Pass);
        assert_eq!(machine.state(), BreakerState::Closed);
    }

    #[test]
    fn a_bad_probe_opens_it_again_for_the_whole_time() {
        let start = Instant::now();
        let mut machine = opened(start);
        let later = start + 30 * SECOND;
        assert_eq!(machine.admit(&settings(), later, 0.0), BreakerDecision::Probe(1));
        machine.probed(&settings(), 1, false, later + SECOND);
        let verdict = machine.admit(&settings(), later + SECOND, 0.0);
        assert_eq!(verdict, BreakerDecision::Refuse(30 * SECOND));
    }

    #[test]
    fn failures_while_it_ramps_up_open_it_again() {
        let start = Instant::now();
        let mut machine = opened(start);
        let later = start + 30 * SECOND;
        assert_eq!(machine.admit(&settings(), later, 0.0), BreakerDecision::Probe(1));
        machine.probed(&settings(), 1, true, later);
        hear(&mut machine, BAD, later);
        hear(&mut machine, BAD, later);
        assert_eq!(machine.state(), BreakerState::HalfOpen);
        hear(&mut machine, BAD, later + SECOND);
        assert_eq!(machine.state(), BreakerState::Open);
    }

    #[test]
    fn what_began_before_it_opened_changes_nothing() {
        let start = Instant::now();
        let mut machine = opened(start);
        for outcome in [GOOD, Outcome::complete(OK, Application::Silent), BAD, Outcome::ended(Transport::BrokenOff)] {
            hear(&mut machine, outcome, start + SECOND);
        }
        let verdict = machine.admit(&settings(), start + SECOND, 0.0);
        assert_eq!(verdict, BreakerDecision::Refuse(29 * SECOND));
        assert_eq!(machine.admit(&settings(), start + 30 * SECOND, 0.0), BreakerDecision::Probe(1));
        hear(&mut machine, BAD, start + 31 * SECOND);
        machine.probed(&settings(), 1, true, start + 31 * SECOND);
        assert_eq!(machine.state(), BreakerState::HalfOpen);
        machine.probed(&settings(), 1, false, start + 32 * SECOND);
        assert_eq!(machine.state(), BreakerState::HalfOpen, "it is no probe");
    }

    #[test]
    fn a_probe_that_does_not_end_is_followed_by_another() {
        let start = Instant::now();
        let mut machine = opened(start);
        let first = start + 30 * SECOND;
        assert_eq!(machine.admit(&settings(), first, 0.0), BreakerDecision::Probe(1));
        let verdict = machine.admit(&settings(), first + 29 * SECOND, 0.0);
        assert_eq!(verdict, BreakerDecision::Refuse(MOMENT));
        let second = first + 30 * SECOND;
        let admit = |machine: &mut Machine| machine.admit(&settings(), second, 0.0);
        assert_eq!(admit(&mut machine), BreakerDecision::Probe(2));
        // Whatever the first one comes to now, the second is the only one under way.
        machine.abandoned(1, second);
        assert_eq!(admit(&mut machine), BreakerDecision::Refuse(MOMENT));
        machine.probed(&settings(), 1, true, second);
        assert_eq!(admit(&mut machine), BreakerDecision::Refuse(MOMENT));
        machine.probed(&settings(), 1, false, second);
        assert_eq!(admit(&mut machine), BreakerDecision::Refuse(MOMENT));
        machine.abandoned(2, second);
        assert_eq!(admit(&mut machine), BreakerDecision::Probe(3));
    }

    fn breaker(previous: Option<&Arc<Breaker>>, settings: &HalfOpen) -> Arc<Breaker> {
        Breaker::build(&"agents".into(), Some(settings), previous).unwrap()
    }

    #[test]
    fn a_probe_whose_client_leaves_lets_the_next_one_find_out() {
        let (breaker, start) = (breaker(None, &settings()), Instant::now());
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..3 {
            assert!(matches!(breaker.admit(start, &mut rng), Ok(None)));
            breaker.report(Outcome::ended(Transport::ConnectFailed), start);
        }
        let wait = breaker.admit(start, &mut rng).unwrap_err();
        assert_eq!(wait, 30 * SECOND);
        let later = start + 30 * SECOND;
        let probe = breaker.admit(later, &mut rng).unwrap();
        assert!(probe.is_some() && breaker.admit(later, &mut rng).is_err());
        drop(probe);
        let probe = breaker.admit(later, &mut rng).unwrap().unwrap();
        probe.settle(true, later);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
    }

    #[test]
    fn an_open_breaker_survives_a_reload_with_equal_settings() {
        let (before, now) = (breaker(None, &settings()), Instant::now());
        for _ in 0..3 {
            before.report(BAD, now);
        }
        let same = breaker(Some(&before), &settings());
        assert_eq!(same.state(), BreakerState::Open);
        let mut other = settings();
        other.failure_threshold = 4;
        let changed = breaker(Some(&before), &other);
        assert_eq!(changed.state(), BreakerState::Closed);
        assert!(Breaker::build(&"agents".into(), None, Some(&before)).is_none());
    }

    proptest! {
        /// Against a model that knows only the outcomes since the last one that was good.
        #[test]
        fn closed_means_fewer_failures_in_a_row_than_the_threshold(
            heads in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let (mut machine, now) = (Machine::default(), Instant::now());
            let mut run = 0;
            for is_bad in heads {
                hear(&mut machine, if is_bad { BAD } else { GOOD }, now);
                run = if is_bad { run + 1 } else { 0 };
                prop_assert_eq!(machine.state() == BreakerState::Open, run >= 3);
                if run >= 3 {
                    break;
                }
            }
        }
    }
}
