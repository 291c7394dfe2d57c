//! Rollouts: from the first share of a new version to all of it, or back. Pure: time and counts come from the caller.

mod control;
mod progress;
mod tally;
mod verdict;

#[cfg(test)]
mod tests;

pub use control::{Control, Held, OperateError, Saved, Share, Status, Trial};
pub use progress::{Event, Millis, Phase, Progress, Refusal, Verb};
pub use tally::{Counts, Tally};
pub use verdict::Reading;
