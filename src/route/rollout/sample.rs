//! One exchange's place in a split: where its outcome is counted, and whether its side was withdrawn since.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::control::RolloutControl;
use crate::config::model::Losing;
use crate::route::split::Choice;

/// One exchange's place in a split: where its outcome is counted.
#[derive(Clone, Debug)]
pub struct RolloutSample {
    control: Arc<RolloutControl>,
    part: usize,
    generation: u64,
}

impl RolloutSample {
    /// An exchange that goes where it was chosen to.
    #[must_use]
    pub fn new(control: Arc<RolloutControl>, choice: Choice) -> Self {
        Self { control, part: choice.part, generation: choice.generation }
    }

    /// Counts the outcome.
    pub fn finished(&self, succeeded: bool, took: Duration) {
        if let Some(tally) = self.control.tallies.get(self.part) {
            tally.record(succeeded, took);
        }
    }

    /// The client left after it had waited for the version this long. One such client means nothing; when most clients
    /// leave, the version hangs. A client that left before twice the usual time of requests of this split does not
    /// count.
    pub fn abandoned(&self, client: IpAddr, waited: Duration) {
        let tallies = self.control.tallies.iter();
        let slowest = tallies.filter_map(|tally| tally.counts().percentile(0.99));
        let slowest = slowest.fold(0.0, f64::max);
        if waited < PATIENCE || waited.as_secs_f64() < 2.0 * slowest {
            return;
        }
        if let Some(tally) = self.control.tallies.get(self.part) {
            tally.abandon(client);
        }
    }

    /// Whether its version has lost since and its requests are to be cut. Requests that are sent to the losing version
    /// later, such as those of testers, stay.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        let lost = self.control.lost.get(self.part);
        self.may_be_cut() && lost.is_some_and(|lost| lost.load(Relaxed) > self.generation)
    }

    /// Whether its side may be cut at all.
    #[must_use]
    pub fn may_be_cut(&self) -> bool {
        let rollout = self.control.rollout.as_ref();
        rollout.is_some_and(|rollout| rollout.settings.losing == Losing::Cut)
    }
}

/// A client that leaves sooner than this has not waited.
const PATIENCE: Duration = Duration::from_secs(5);
