//! Rollouts: from the first share of a new version to all of it, or back. Pure: time and counts come from the caller.

mod control;
mod progress;
mod record;
mod sample;
mod state;
mod tally;
mod verdict;

#[cfg(test)]
mod tests;

pub use control::RolloutControl;
pub use progress::{Event, Millis, Now, Phase, Progress, Refusal, Verb};
pub use record::{Held, OperateError, Saved, Share, Status};
pub use sample::RolloutSample;
pub use tally::{Counts, Tally};
pub use verdict::Reading;
