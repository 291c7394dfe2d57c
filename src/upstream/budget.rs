//! The permit that a request needs before it is tried again. When all requests retry at once, a slow cluster becomes a
//! dead one; so only a share of its requests may be on another try at a time. Every other bound on the number of
//! retries belongs here.

use crate::cluster::{Cluster, RetryingGuard};
use crate::config::model::{RetryBudget, RetryPolicy};

/// Counts a request as being tried again until the permit is dropped; `None` when too many are already.
pub(super) fn permit(cluster: &Cluster, policy: &RetryPolicy) -> Option<RetryingGuard> {
    let limit = match policy {
        RetryPolicy::Off => 0,
        // One more try each, and only of what was not done: the share of requests that fail bounds them.
        RetryPolicy::Default => u32::MAX,
        RetryPolicy::By(retries) => retries.budget.as_ref().map_or(u32::MAX, |budget| {
            let again = cluster.retrying.under_way();
            limit(budget, cluster.in_flight().saturating_sub(again))
        }),
    };
    cluster.retrying.begin(limit)
}

/// How many may retry at a time while `first` requests are on their first try. Retrying requests are not part of that
/// number, otherwise 20 % of all would be 25 % more tries.
fn limit(budget: &RetryBudget, first: u32) -> u32 {
    let share = u64::from(first) * u64::from(budget.millionths) / 1_000_000;
    u32::try_from(share).unwrap_or(u32::MAX).max(budget.min_concurrent)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::cluster::Retrying;

    #[test]
    fn a_share_of_first_tries_but_always_a_few() {
        for (percent, min, first, expected) in [
            (20, 3, 0, 3),
            (20, 3, 15, 3),
            (20, 3, 19, 3),
            (20, 3, 20, 4),
            (20, 3, 1000, 200),
            (0, 0, 1000, 0),
            (100, 0, 7, 7),
            (100, 0, u32::MAX, u32::MAX),
        ] {
            let budget = RetryBudget { millionths: percent * 10_000, min_concurrent: min };
            assert_eq!(limit(&budget, first), expected, "{percent} % of {first}");
        }
    }

    proptest! {
        /// Requests come, fail, retry and end in any order: those that retry are never more than allowed when the last
        /// one began, and every permit comes back.
        #[test]
        fn retries_stay_within_the_budget(
            millionths in 0_u32..=1_000_000,
            min_concurrent in 0_u32..10,
            steps in prop::collection::vec(0_u8..4, 1..400),
        ) {
            let budget = RetryBudget { millionths, min_concurrent };
            let retrying = Arc::new(Retrying::default());
            let (mut first, mut permits) = (0_u32, Vec::new());
            for step in steps {
                match step {
                    0 | 1 => first += 1,
                    2 if first > 0 => {
                        let limit = limit(&budget, first);
                        let before = retrying.requests();
                        let permit = retrying.begin(limit);
                        prop_assert_eq!(permit.is_some(), before < limit);
                        prop_assert!(before >= limit || retrying.requests() <= limit);
                        let share = u64::from(first) * u64::from(millionths);
                        prop_assert!(
                            permit.is_none()
                                || u64::from(retrying.requests()) * 1_000_000 <= share
                                || retrying.requests() <= min_concurrent
                        );
                        if let Some(permit) = permit {
                            first -= 1;
                            permits.push(permit);
                        }
                    }
                    _ => drop(permits.pop()),
                }
                prop_assert_eq!(retrying.requests() as usize, permits.len());
            }
            permits.clear();
            prop_assert_eq!(retrying.requests(), 0);
        }
    }
}
