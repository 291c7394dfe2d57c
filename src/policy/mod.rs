//! What a route does to its traffic besides passing it on: whether a client may send it now, faults, copies. Decisions
//! as pure functions of settings, request, time and chance, and the counts that workers share. The edge asks and acts;
//! this room waits for nothing.

pub mod agent_url;
mod answer_room;
pub mod auth;
pub mod auth_failures;
pub mod authorization;
pub mod block_list;
mod call_limits;
pub mod calls;
mod concurrency;
pub mod cross_site;
pub mod fault;
mod key;
mod limiter;
mod limits;
pub mod mirror;
mod most_limited;
pub mod ownership;
pub mod screening;
mod shared_answer;
mod shared_calls;
mod table;

use crate::config::model::Percentage;

pub use answer_room::AnswerRoom;
pub use call_limits::{AdmittedCall, CallLimit, CallLimits, OpenCall, WorkerCallLimits};
pub use concurrency::{Concurrency, Open};
pub use key::{Caller, Key, Makers};
pub use limiter::{LimitDecision, Limiter};
pub use limits::{Admitted, Counted, Limits, RateLimitHeaders, Refused, RouteLimits, WorkerLimits};
pub use most_limited::LimitedClient;
pub use shared_answer::SharedAnswer;
pub use shared_calls::{Begun, Ended, RouteShares, Run, Share, ShareTerms, SharedCall, SharedCalls};

/// Draws whether this request is in the share.
fn falls_on(share: Percentage, rng: &mut fastrand::Rng) -> bool {
    // No draw where chance decides nothing.
    share != Percentage::NONE
        && (share == Percentage::ALL || rng.u32(..Percentage::ALL.of_million()) < share.of_million())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_share_is_what_it_says(millionths in 0_u32..=1_000_000, seed: u64) {
            const DRAWS: u32 = 20_000;
            let share = Percentage::millionths(millionths);
            let mut rng = fastrand::Rng::with_seed(seed);
            let hits = (0..DRAWS).filter(|_| falls_on(share, &mut rng)).count();
            let (p, n) = (f64::from(millionths) / 1e6, f64::from(DRAWS));
            // Six standard deviations: less than one seed in a hundred million is further off.
            let margin = 6.0 * (n * p * (1.0 - p)).sqrt() + 1.0;
            prop_assert!((hits as f64 - n * p).abs() <= margin, "{hits} of {DRAWS} at {share}");
        }
    }

    #[test]
    fn none_and_all_are_certain() {
        let mut rng = fastrand::Rng::with_seed(1);
        assert!((0..10_000).all(|_| falls_on(Percentage::ALL, &mut rng)));
        assert!(!(0..10_000).any(|_| falls_on(Percentage::NONE, &mut rng)));
    }
}
