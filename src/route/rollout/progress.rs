//! The progress of a rollout as a state machine. Time comes in as milliseconds since 1970, so that the state can be
//! written and restored by another process; a steady clock beside it shows when the wall clock was set.

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::verdict::{Reading, Verdict};
use crate::config::model::{OnFailure, Rollout, Step};

/// Milliseconds since 1970.
pub type Millis = u64;

/// A moment on both clocks: the written state needs the wall clock, elapsed time needs the steady one.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock. It may be set, also back.
    pub wall: Millis,
    /// A clock that only goes on, and stands still while the machine sleeps.
    pub steady: Instant,
}

impl Now {
    /// By how much the wall clock was set since `before`, or the machine slept. Small corrections are time like any
    /// other.
    pub(super) fn jump_since(&self, before: &Self) -> i64 {
        let passed = self.steady.saturating_duration_since(before.steady);
        let jump = difference(self.wall, before.wall).saturating_sub(signed(passed.as_millis()));
        if jump.unsigned_abs() < JUMP { 0 } else { jump }
    }
}

/// How far `to` is from `from`.
pub(super) fn difference(to: Millis, from: Millis) -> i64 {
    let by = signed(u128::from(to.abs_diff(from)));
    if to < from { -by } else { by }
}

fn signed(millis: u128) -> i64 {
    i64::try_from(millis).unwrap_or(i64::MAX)
}

/// How far a rollout is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// What it is doing.
    pub phase: Phase,
    /// The step it is at, counted from 0; the number of steps when it is through.
    pub step: usize,
    /// When that step began.
    pub entered: Millis,
    /// The canary's share in percent.
    pub weight: u32,
    /// When the next measurement is due, once measuring has begun.
    pub next_measurement: Option<Millis>,
    /// Conclusive measurements since the step began.
    pub measured: u32,
    /// When the last of them was made.
    pub measured_at: Millis,
    /// Failed measurements since the start, by metric.
    pub failures: Vec<u32>,
    /// Why it stands where it stands, for people.
    pub reason: Option<String>,
    /// The numbers of the last measurement.
    pub readings: Vec<Reading>,
    /// The other versions' numbers when they were last measured, by metric.
    #[serde(default)]
    pub stable: Vec<f64>,
    /// Since when its time stands still, while it is paused or a share is set by hand.
    pub standing: Option<Millis>,
}

/// What a rollout is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Going on, step by step.
    Progressing,
    /// Held by an operator or a failed analysis.
    Paused,
    /// Through: everything goes to the canary.
    Promoted,
    /// Given up: nothing goes to the canary. State files of before have it with a hyphen.
    #[serde(alias = "rolled-back")]
    RolledBack,
}

impl Phase {
    /// Whether the phase lasts until an operator acts.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack)
    }

    /// Its name in logs, metrics and answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Progressing => "progressing",
            Self::Paused => "paused",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled_back",
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// One word for logs and metrics.
    pub kind: &'static str,
    /// What happened, for people.
    pub message: String,
}

impl Event {
    fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Stay as it is.
    Pause,
    /// Go on; ends a pause without a duration.
    Resume,
    /// All to the canary, now.
    Promote,
    /// Nothing to the canary, now.
    Abort,
    /// From the first step again.
    Restart,
}

/// Why a verb was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is over.
    #[error("the rollout is over")]
    Over,
    /// It is not paused.
    #[error("the rollout is not paused")]
    NotPaused,
    /// It is paused already.
    #[error("the rollout is paused already")]
    Paused,
}

impl Progress {
    /// At the first step, since `now`.
    #[must_use]
    pub fn begin(rollout: &Rollout, now: Millis) -> Self {
        let start = rollout.settings.start_at.map(|at| {
            at.duration_since(std::time::UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(now))
        });
        Self {
            phase: Phase::Progressing,
            step: 0,
            entered: start.unwrap_or(now),
            weight: 0,
            next_measurement: None,
            measured: 0,
            measured_at: 0,
            failures: Vec::new(),
            reason: None,
            readings: Vec::new(),
            stable: Vec::new(),
            standing: None,
        }
    }

    /// Whether it measures the canary at this step.
    #[must_use]
    pub fn is_measuring(&self, rollout: &Rollout) -> bool {
        let begun = |step| self.step >= step;
        self.phase == Phase::Progressing
            && rollout.settings.analysis.as_ref().is_some_and(|analysis| begun(analysis.starting_step))
    }

    /// Whether it is in a pause whose time goes on.
    #[must_use]
    pub fn is_waiting(&self, rollout: &Rollout) -> bool {
        let step = rollout.steps.get(self.step);
        self.phase == Phase::Progressing && self.standing.is_none() && matches!(step, Some(Step::Pause(Some(_))))
    }

    /// Whether it can have been so at `then`, with these steps.
    pub(super) fn fits(&self, rollout: &Rollout, then: Millis) -> bool {
        let times = [Some(self.entered), Some(self.measured_at), self.standing];
        self.step <= rollout.steps.len()
            && self.weight <= 100
            && times.into_iter().flatten().all(|time| time <= then.saturating_add(SLACK))
    }

    /// Takes every step that is due at `now`.
    pub fn advance(&mut self, rollout: &Rollout, now: Millis) -> Vec<Event> {
        let mut events = Vec::new();
        // At most one round for each step, whatever the clock says.
        for _ in 0..=rollout.steps.len() {
            if self.phase != Phase::Progressing || now < self.entered {
                break;
            }
            let Some(step) = rollout.steps.get(self.step) else {
                self.finish(Phase::Promoted, 100);
                events.push(Event::new("promoted", "every step is done"));
                break;
            };
            if let Step::SetWeight(weight) = *step
                && self.weight != weight
            {
                self.weight = weight;
                // People count from one.
                let (step, steps) = (self.step + 1, rollout.steps.len());
                let message = format!("step {step} of {steps}: the canary gets {weight} %");
                events.push(Event::new("weight", message));
            }
            let Some(over) = self.over(rollout, *step, now) else {
                break;
            };
            self.step += 1;
            self.entered = over;
            self.measured = 0;
            self.reason = None;
        }
        events
    }

    /// When the present step was over, if it is.
    fn over(&self, rollout: &Rollout, step: Step, now: Millis) -> Option<Millis> {
        let last = self.step + 1 >= rollout.steps.len();
        let clock = match step {
            Step::SetWeight(_) => self.entered,
            Step::Pause(Some(duration)) => {
                self.entered.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
            }
            Step::Pause(None) => return None,
        };
        let needed = match (&rollout.settings.analysis, step) {
            (Some(analysis), Step::Pause(_)) if self.step >= analysis.starting_step => analysis.count,
            // The weights of the last step are looked at too, before there is no way back.
            (Some(analysis), Step::SetWeight(_)) if last => analysis.count,
            _ => 0,
        };
        if now < clock || self.measured < needed {
            return None;
        }
        let measured = if needed > 0 { self.measured_at.min(now) } else { 0 };
        Some(clock.max(measured))
    }

    /// Takes in a measurement made at `now`.
    pub(super) fn measured(&mut self, rollout: &Rollout, verdict: Verdict, now: Millis) -> Vec<Event> {
        let Some(analysis) = &rollout.settings.analysis else {
            return Vec::new();
        };
        let (readings, failed) = match verdict {
            Verdict::Inconclusive { requests, readings } => {
                let reason = format!("inconclusive: {requests} requests so far, {} are needed", analysis.min_requests);
                self.readings = readings;
                self.reason = Some(reason.clone());
                return vec![Event::new("inconclusive", reason)];
            }
            Verdict::Conclusive { readings, stable } => {
                self.stable = stable;
                let failed: Vec<usize> = readings
                    .iter()
                    .enumerate()
                    .filter(|(_, reading)| !reading.passed)
                    .map(|(index, _)| index)
                    .collect();
                (readings, failed)
            }
        };
        self.measured = self.measured.saturating_add(1);
        self.measured_at = now;
        self.reason = None;
        self.failures.resize(analysis.metrics.len(), 0);
        let mut events = Vec::new();
        let mut fatal = None;
        for index in failed {
            let (Some(failures), Some(reading)) = (self.failures.get_mut(index), readings.get(index)) else {
                continue;
            };
            *failures = failures.saturating_add(1);
            let message = format!("{reading} (failure {failures}, {} allowed)", analysis.failure_limit);
            if *failures > analysis.failure_limit {
                fatal.get_or_insert_with(|| message.clone());
            }
            events.push(Event::new("measurement_failed", message));
        }
        if events.is_empty() {
            let shown: Vec<String> = readings.iter().map(ToString::to_string).collect();
            events.push(Event::new("measurement_passed", shown.join(", ")));
        }
        self.readings = readings;
        if let Some(reason) = fatal {
            events.push(self.fail(rollout, reason));
        }
        events
    }

    fn fail(&mut self, rollout: &Rollout, reason: String) -> Event {
        let event = match rollout.settings.on_failure {
            OnFailure::Rollback => {
                self.finish(Phase::RolledBack, 0);
                Event::new("rolled_back", reason.clone())
            }
            OnFailure::Pause => {
                self.phase = Phase::Paused;
                Event::new("paused", reason.clone())
            }
        };
        self.reason = Some(reason);
        event
    }

    fn finish(&mut self, phase: Phase, weight: u32) {
        self.phase = phase;
        self.weight = weight;
        self.next_measurement = None;
    }

    /// Does what an operator asks for.
    ///
    /// # Errors
    /// When it makes no sense now; nothing has changed then.
    pub fn operate(&mut self, rollout: &Rollout, verb: Verb, by: &str, now: Millis) -> Result<Event, Refusal> {
        let over = self.phase.is_over();
        let event = match verb {
            Verb::Restart => {
                *self = Self::begin(rollout, now);
                self.entered = now;
                Event::new("restarted", format!("restarted by {by}"))
            }
            Verb::Promote if self.phase == Phase::Promoted => return Err(Refusal::Over),
            Verb::Abort if self.phase == Phase::RolledBack => return Err(Refusal::Over),
            Verb::Promote => {
                self.step = rollout.steps.len();
                self.finish(Phase::Promoted, 100);
                self.reason = Some(format!("promoted by {by}"));
                Event::new("promoted", format!("promoted by {by}"))
            }
            Verb::Abort => {
                self.finish(Phase::RolledBack, 0);
                self.reason = Some(format!("aborted by {by}"));
                Event::new("rolled_back", format!("aborted by {by}"))
            }
            Verb::Pause | Verb::Resume if over => return Err(Refusal::Over),
            Verb::Pause if self.phase == Phase::Paused => return Err(Refusal::Paused),
            Verb::Pause => {
                self.phase = Phase::Paused;
                self.reason = Some(format!("paused by {by}"));
                Event::new("paused", format!("paused by {by}"))
            }
            Verb::Resume => self.resume(rollout, by, now)?,
        };
        Ok(event)
    }

    fn resume(&mut self, rollout: &Rollout, by: &str, now: Millis) -> Result<Event, Refusal> {
        let waiting = rollout.steps.get(self.step) == Some(&Step::Pause(None));
        match (self.phase, waiting) {
            (Phase::Paused, _) => {
                self.phase = Phase::Progressing;
                self.failures.clear();
            }
            (_, true) => {
                self.step += 1;
                self.entered = now;
                self.measured = 0;
            }
            _ => return Err(Refusal::NotPaused),
        }
        self.reason = None;
        Ok(Event::new("resumed", format!("resumed by {by}")))
    }

    /// Lets its time stand still from `now` on, or go on again.
    pub(super) fn stand(&mut self, still: bool, now: Millis) {
        match self.standing {
            None if still => self.standing = Some(now),
            Some(since) if !still => {
                self.standing = None;
                self.skip(difference(now, since), now);
            }
            _ => {}
        }
    }

    /// Skips time before `now` in which the gateway did not serve, or by which the clock was set. A paused rollout
    /// ignores time anyway.
    pub(super) fn pass_over(&mut self, time: i64, now: Millis) {
        if self.standing.is_none() {
            self.skip(time, now);
        }
    }

    /// Takes the time before `now` out of the step it is at. A step that had not begun begins when it was to.
    fn skip(&mut self, passed: i64, now: Millis) {
        self.entered = if self.entered <= now.saturating_sub_signed(passed) {
            self.entered.saturating_add_signed(passed)
        } else {
            self.entered.max(now)
        };
        self.follow(passed);
    }

    /// Moves the times of measurements.
    pub(super) fn follow(&mut self, jump: i64) {
        self.measured_at = self.measured_at.saturating_add_signed(jump);
        self.next_measurement = self.next_measurement.map(|at| at.saturating_add_signed(jump));
    }
}

/// From here on a difference between the clocks is a jump of one of them.
const JUMP: u64 = 1_000;

/// Milliseconds that may pass between an event and the note of it.
pub(super) const SLACK: Millis = 60_000;
