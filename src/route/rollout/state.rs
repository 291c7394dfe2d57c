//! The changing state of a split: a rollout's progress, the settings of operators, and the clock of the last look.

use super::progress::{Event, Millis, Now, Phase, Progress};
use super::record::Held;
use super::tally::Counts;

/// The changing state of a split.
#[derive(Debug)]
pub(super) struct State {
    pub(super) progress: Option<Progress>,
    pub(super) held: Option<Held>,
    /// The tallies at the start of the present measurement.
    pub(super) baseline: Option<Vec<Counts>>,
    /// How the rollout ended, where the weights in force say so.
    pub(super) over: Option<Phase>,
    /// When it was last looked at.
    pub(super) seen: Now,
}

impl State {
    /// Follows a clock that was set, or went on while the machine slept.
    pub(super) fn jumped(&mut self, jump: i64, shared: bool, now: Millis) {
        match &mut self.progress {
            Some(progress) if shared => progress.follow(jump),
            Some(progress) => progress.pass_over(jump, now),
            None => {}
        }
        if let Some(held) = &mut self.held {
            held.since = held.since.saturating_add_signed(jump);
            held.until = held.until.map(|until| until.saturating_add_signed(jump));
        }
    }

    /// Steps have no time while they are paused or a share is set by hand.
    pub(super) fn settle(&mut self, now: Millis) {
        let held = self.held.is_some();
        if let Some(progress) = &mut self.progress {
            progress.stand(held || progress.phase == Phase::Paused, now);
        }
    }

    /// Ends the setting of an operator.
    pub(super) fn release(&mut self, why: &str) -> Option<Event> {
        let held = self.held.take()?;
        self.baseline = None;
        let message = format!("the share {} of {} set by {} ended: {why}", held.weight, held.cluster, held.by);
        Some(Event { kind: "released", message })
    }
}
