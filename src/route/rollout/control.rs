//! The live side of one split: its weights, the tallies of its traffic, its rollout's progress and the settings of
//! operators. Survives a reload that changes neither the split nor the rollout.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

use super::progress::{Event, Millis, Now, Phase, Progress, Verb, difference};
use super::record::{Held, OperateError, Saved, Share, Status};
use super::state::State;
use super::tally::{Counts, Tally};
use super::verdict::{Others, Verdict, compare};
use crate::config::model::{Analysis, CookieKey, Losing, OnFailure, Part, Rollout, Split, Step};
use crate::route::split::{Shares, Weights};

/// A split at work. Shared by all workers, the task that moves it and operators.
#[derive(Debug)]
pub struct RolloutControl {
    parts: Vec<Part>,
    pub(super) rollout: Option<Rollout>,
    fingerprint: String,
    shares: Arc<Shares>,
    pub(super) tallies: Vec<Tally>,
    /// For each part the generation of weights with which it last lost; requests of earlier generations may be cut.
    pub(super) lost: Vec<AtomicU64>,
    state: Mutex<State>,
    /// The key of its cookies. Locked after the state.
    key: Mutex<CookieKey>,
}

impl RolloutControl {
    /// A split at its beginning. Its cookies are made with its own key, or with `default_key`.
    #[must_use]
    pub fn new(split: &Split, default_key: &CookieKey, now: Now) -> Self {
        let progress = split.rollout.as_ref().map(|rollout| Progress::begin(rollout, now.wall));
        let control = Self {
            fingerprint: fingerprint(split),
            shares: Arc::new(Shares::new(Weights::new(std::iter::empty(), default_key))),
            tallies: split.parts.iter().map(|_| Tally::default()).collect(),
            parts: split.parts.clone(),
            rollout: split.rollout.clone(),
            lost: split.parts.iter().map(|_| AtomicU64::new(0)).collect(),
            state: Mutex::new(State { progress, held: None, baseline: None, over: None, seen: now }),
            key: Mutex::new(split.cookie_key.as_ref().unwrap_or(default_key).clone()),
        };
        control.publish(&mut control.state());
        control
    }

    /// Whether it belongs to these settings.
    #[must_use]
    pub fn is_of(&self, split: &Split) -> bool {
        self.fingerprint == fingerprint(split)
    }

    /// Goes on under a configuration in which only the key of its cookies may be another. Cookies of the old key count
    /// for nothing from now on.
    pub fn go_on(&self, split: &Split, default_key: &CookieKey) {
        let key = split.cookie_key.as_ref().unwrap_or(default_key);
        let mut state = self.state();
        let before = std::mem::replace(&mut *self.key(), key.clone());
        if before != *key {
            self.publish(&mut state);
        }
    }

    fn key(&self) -> MutexGuard<'_, CookieKey> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The weights of the moment.
    #[must_use]
    pub fn shares(&self) -> &Arc<Shares> {
        &self.shares
    }

    /// Whether it has a rollout.
    #[must_use]
    pub fn has_rollout(&self) -> bool {
        self.rollout.is_some()
    }

    /// Does what is due at `now`: ends temporary settings of operators, measures, takes steps.
    pub fn tick(&self, now: Now) -> Vec<Event> {
        let mut state = self.look(now);
        let now = now.wall;
        let mut events = Vec::new();
        let expired = |held: &Held| held.until.is_some_and(|until| now >= until);
        if state.held.as_ref().is_some_and(expired) {
            events.extend(state.release("its time is over"));
            state.settle(now);
        }
        if state.held.is_none()
            && let Some(rollout) = &self.rollout
        {
            events.extend(self.measure(&mut state, rollout, now));
            if let Some(progress) = &mut state.progress {
                events.extend(progress.advance(rollout, now));
            }
            if state.baseline.is_none() {
                // Measuring may begin with the step just taken.
                events.extend(self.measure(&mut state, rollout, now));
            }
            state.settle(now);
        }
        if !events.is_empty() {
            self.publish(&mut state);
        }
        events
    }

    fn measure(&self, state: &mut State, rollout: &Rollout, now: Millis) -> Vec<Event> {
        let State { progress: Some(progress), baseline, .. } = state else {
            return Vec::new();
        };
        let Some(analysis) =
            rollout.settings.analysis.as_ref().filter(|_| progress.is_measuring(rollout) && now >= progress.entered)
        else {
            *baseline = None;
            return Vec::new();
        };
        let interval = u64::try_from(analysis.interval.as_millis()).unwrap_or(u64::MAX);
        let counts = || self.tallies.iter().map(Tally::counts).collect::<Vec<_>>();
        let Some(before) = baseline else {
            *baseline = Some(counts());
            progress.next_measurement = Some(now.saturating_add(interval));
            return Vec::new();
        };
        if progress.next_measurement.is_some_and(|due| now < due) {
            return Vec::new();
        }
        let after = counts();
        let (mut canary, mut stable) = (Counts::default(), Counts::default());
        for (index, (after, before)) in after.iter().zip(&*before).enumerate() {
            let window = after.since(before);
            if index == rollout.canary {
                canary = window;
            } else {
                stable = stable.plus(&window);
            }
        }
        progress.next_measurement = Some(now.saturating_add(interval));
        let verdict = {
            // At 100 % the other versions get no requests; the canary is compared with their last numbers.
            let last = (progress.weight == 100).then_some(&*progress.stable);
            let counts = &stable;
            compare(analysis, &canary, Others { counts, last })
        };
        if matches!(verdict, Verdict::Conclusive { .. }) {
            // Requests of an inconclusive window count for the next one, so that a few requests a minute are enough in
            // the end.
            *baseline = Some(after);
        }
        progress.measured(rollout, verdict, now)
    }

    /// Carries out an operator's request.
    ///
    /// # Errors
    /// When it makes no sense; nothing has changed then.
    pub fn operate(&self, verb: Verb, by: &str, now: Now) -> Result<Vec<Event>, OperateError> {
        let rollout = self.rollout.as_ref().ok_or(OperateError::NoRollout)?;
        let mut state = self.look(now);
        let now = now.wall;
        let progress = state.progress.as_mut().ok_or(OperateError::NoRollout)?;
        let event = progress.operate(rollout, verb, by, now)?;
        let mut events = vec![event];
        if verb != Verb::Pause {
            events.extend(state.release("another order came"));
            state.baseline = None;
        }
        state.settle(now);
        if let Some(progress) = &mut state.progress {
            events.extend(progress.advance(rollout, now));
        }
        self.publish(&mut state);
        Ok(events)
    }

    /// Sets a share by hand, until it is released or for a time. The rollout stands still meanwhile. Without a name the
    /// canary is meant.
    ///
    /// # Errors
    /// When the share or the cluster is none of this split's.
    pub fn hold(
        &self,
        cluster: Option<&str>,
        weight: u32,
        lasts: Option<Millis>,
        by: &str,
        now: Now,
    ) -> Result<Event, OperateError> {
        if weight > 100 {
            return Err(OperateError::NotAShare);
        }
        let part = match (cluster, &self.rollout) {
            (Some(name), _) => self.parts.iter().find(|part| part.name == name),
            (None, Some(rollout)) => self.parts.get(rollout.canary),
            (None, None) => return Err(OperateError::WhichCluster),
        };
        let unknown = || OperateError::NoSuchCluster(cluster.unwrap_or_default().to_owned());
        let cluster = part.ok_or_else(unknown)?.name.clone();
        let mut state = self.look(now);
        let now = now.wall;
        let message = format!("{by} set {cluster} to {weight} %");
        state.held = Some(Held {
            cluster,
            weight,
            until: lasts.map(|lasts| now.saturating_add(lasts)),
            since: now,
            by: by.to_owned(),
        });
        state.settle(now);
        self.publish(&mut state);
        Ok(Event { kind: "held", message })
    }

    /// Sends everything to one cluster of a split without a rollout, by default to the one of two that has less now.
    ///
    /// # Errors
    /// When there is a rollout, which is promoted or aborted instead, or when it is not clear which cluster is meant.
    pub fn switch(&self, cluster: Option<&str>, by: &str, now: Now) -> Result<Event, OperateError> {
        if self.rollout.is_some() {
            return Err(OperateError::HasRollout);
        }
        let other = || {
            let weights = self.shares.current();
            let least = self.parts.iter().zip(weights.iter()).min_by_key(|(_, weight)| *weight);
            least.filter(|_| self.parts.len() == 2).map(|(part, _)| part.name.as_str())
        };
        let cluster = cluster.or_else(other).ok_or(OperateError::WhichCluster)?;
        self.hold(Some(cluster), 100, None, by, now)
    }

    /// Ends the setting of an operator.
    ///
    /// # Errors
    /// When nothing was.
    pub fn release(&self, by: &str, now: Now) -> Result<Event, OperateError> {
        let mut state = self.look(now);
        let event = state.release(&format!("released by {by}"));
        state.settle(now.wall);
        self.publish(&mut state);
        event.ok_or(OperateError::NothingHeld)
    }

    /// What a rollout is doing, its step, and the canary's share in percent.
    #[must_use]
    pub fn position(&self) -> Option<(Phase, usize, f64)> {
        let canary = self.rollout.as_ref()?.canary;
        let weights = self.shares.current();
        let total: i64 = weights.iter().sum();
        let weight = weights.iter().nth(canary)?;
        let state = self.state();
        let progress = state.progress.as_ref()?;
        let percent = weight as f64 * 100.0 / total.max(1) as f64;
        Some((progress.phase, progress.step, percent))
    }

    /// The setting of an operator.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.state().held.clone()
    }

    /// What it looks like.
    #[must_use]
    pub fn status(&self) -> Status {
        let state = self.state();
        let weights = self.shares.current();
        let total: i64 = weights.iter().sum();
        let shares = self.parts.iter().zip(weights.iter()).zip(&self.tallies);
        Status {
            shares: shares
                .map(|((part, weight), tally)| {
                    let counts = tally.counts();
                    Share {
                        cluster: part.name.clone(),
                        percent: weight as f64 * 100.0 / total.max(1) as f64,
                        requests: counts.requests(),
                        success_rate: counts.success_rate(),
                        latency_p99: counts.percentile(0.99),
                    }
                })
                .collect(),
            canary: self.rollout.as_ref().and_then(|rollout| Some(self.parts.get(rollout.canary)?.name.clone())),
            steps: self.rollout.as_ref().map(|rollout| rollout.steps.len()),
            progress: state.progress.clone(),
            held: state.held.clone(),
        }
    }

    /// Whether the written state ages: the time of writing says how much of a pause is over.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let Some(rollout) = self.rollout.as_ref().filter(|_| !self.is_shared()) else {
            return false;
        };
        let state = self.state();
        let waits = |progress: &Progress| progress.is_waiting(rollout);
        state.progress.as_ref().is_some_and(waits)
    }

    /// The state to write.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let state = self.state();
        Saved { fingerprint: self.fingerprint.clone(), progress: state.progress.clone(), held: state.held.clone() }
    }

    /// Restores the state written at `then`, if it belongs to the same settings; returns whether it did. The time in
    /// between is not part of a step, unless the rollout follows a common clock (`startAt`).
    pub fn restore(&self, saved: &Saved, then: Millis, now: Now) -> bool {
        let has = |name: &str| self.parts.iter().any(|part| part.name == name);
        let rollout = self.rollout.as_ref();
        if saved.fingerprint != self.fingerprint || !saved.is_plausible(rollout, has, then) {
            return false;
        }
        let mut state = self.state();
        state.progress.clone_from(&saved.progress);
        state.held.clone_from(&saved.held);
        state.baseline = None;
        state.seen = now;
        let away = difference(now.wall, then);
        if away < 0 {
            state.jumped(away, self.is_shared(), now.wall);
        } else if let Some(progress) = &mut state.progress
            && !self.is_shared()
        {
            progress.pass_over(away, now.wall);
        }
        self.publish(&mut state);
        true
    }

    /// Makes the weights of the state those in force.
    fn publish(&self, state: &mut State) {
        let canary = match (&self.rollout, &state.progress) {
            (Some(rollout), Some(progress)) => Some((rollout, progress)),
            _ => None,
        };
        let fixed = match (&state.held, canary) {
            (Some(held), _) => {
                self.parts.iter().position(|part| part.name == held.cluster).map(|index| (index, held.weight))
            }
            (None, Some((rollout, progress))) => Some((rollout.canary, progress.weight)),
            (None, None) => None,
        };
        let weights = effective(&self.parts, fixed);
        let over = canary.map(|(_, progress)| progress.phase).filter(|phase| state.held.is_none() && phase.is_over());
        let lost = |index: usize| match canary {
            Some((rollout, _)) => over.is_some_and(|phase| (phase == Phase::RolledBack) == (index == rollout.canary)),
            None => false,
        };
        // Callers with an old version stay there when it gets no new ones, whether the last step is still measured or
        // done.
        let finishing = canary.is_some_and(|(rollout, progress)| {
            state.held.is_none() && progress.weight == 100 && rollout.settings.losing == Losing::Finish
        });
        let mut parts = Vec::new();
        for (part, weight) in self.parts.iter().zip(weights) {
            let held = weight > 0 || finishing;
            parts.push((part.name.clone(), weight, held));
        }
        let weights = Weights::new(parts.into_iter(), &self.key());
        let generation = self.shares.set(weights);
        if std::mem::replace(&mut state.over, over) != over {
            for (index, part) in self.lost.iter().enumerate() {
                if lost(index) {
                    part.store(generation, Relaxed);
                }
            }
        }
    }

    /// Whether others with the same moment of beginning move in step.
    fn is_shared(&self) -> bool {
        let rollout = self.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.settings.start_at.is_some())
    }

    /// The state at this moment, also when the clock was set since the last look.
    fn look(&self, now: Now) -> MutexGuard<'_, State> {
        let mut state = self.state();
        let jump = now.jump_since(&state.seen);
        state.seen = now;
        if jump != 0 {
            state.jumped(jump, self.is_shared(), now.wall);
        }
        state
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part at a share in percent, the others dividing the rest in the proportion of the file; or all as in the file.
fn effective(parts: &[Part], fixed: Option<(usize, u32)>) -> Vec<i64> {
    let Some((fixed, percent)) = fixed else {
        return parts.iter().map(|part| part.weight.into()).collect();
    };
    let percent = i64::from(percent.min(100));
    let others: Vec<i64> =
        parts.iter().enumerate().map(|(index, part)| if index == fixed { 0 } else { part.weight.into() }).collect();
    let total: i64 = others.iter().sum();
    if total == 0 {
        // The configuration gives the other parts the weight 0: the rest is divided evenly.
        let rest = parts.len() as i64 - 1;
        let weight = |index| {
            if index == fixed { percent * rest.max(1) } else { 100 - percent }
        };
        return (0..parts.len()).map(weight).collect();
    }
    let weight = |(index, other): (usize, &i64)| {
        if index == fixed { percent * total } else { other * (100 - percent) }
    };
    others.iter().enumerate().map(weight).collect()
}

/// The same for the same split and rollout, in every process.
fn fingerprint(split: &Split) -> String {
    format!("{:016x}", xxh3_64(printed(split).as_bytes()))
}

/// What a split and its rollout are known again by. Rollouts are kept over an upgrade, so this text stays as it is.
pub(super) fn printed(split: &Split) -> String {
    #[derive(serde::Serialize)]
    struct Print<'a> {
        canary: usize,
        steps: &'a [Step],
        analysis: Option<&'a Analysis>,
        on_failure: OnFailure,
        losing: Losing,
        start_at: Option<SystemTime>,
    }
    let rollout = split.rollout.as_ref().map(|Rollout { canary, steps, settings }| Print {
        canary: *canary,
        steps,
        analysis: settings.analysis.as_ref(),
        on_failure: settings.on_failure,
        losing: settings.losing,
        start_at: settings.start_at,
    });
    serde_json::to_string(&(&split.parts, rollout)).unwrap_or_default()
}
