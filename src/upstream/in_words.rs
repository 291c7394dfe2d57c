//! What retries come to, in words for operators: decided by what decides when a request runs.

use super::policy::Repeat;
use crate::config::model::{Failure, Retries, RetryPolicy};
use crate::config::time;

impl Repeat {
    /// After what a request is tried again, how often and how soon; `None` where there is no reason to.
    #[must_use]
    pub fn retries(self, policy: &RetryPolicy) -> Option<String> {
        let failures = Failure::ALL.into_iter().filter(|failure| self.is_repeated(policy, *failure));
        let failures = failures.map(|failure| failure.to_string());
        match policy {
            RetryPolicy::Off => Some("none".to_owned()),
            RetryPolicy::Default => Some(format!("1, when there was {}", failures.collect::<Vec<_>>().join(", "))),
            RetryPolicy::By(retries) => {
                let causes: Vec<_> = failures.chain(self.causes(retries).answers()).collect();
                (!causes.is_empty()).then(|| self.configured(retries, &causes))
            }
        }
    }

    fn configured(self, retries: &Retries, causes: &[String]) -> String {
        let tries = format!("up to {} on {}", retries.attempts, causes.join(", "));
        let per_try = retries.per_try_timeout.map(|limit| {
            let is_hedged = retries.hedging && self == Self::Safe;
            format!("{} per try{}", time(limit), if is_hedged { ", then another beside" } else { "" })
        });
        let budget = retries.budget.map_or_else(|| "no budget".to_owned(), |budget| budget.to_string());
        let parts: Vec<_> = [Some(tries), per_try, Some(budget)].into_iter().flatten().collect();
        parts.join("; ")
    }
}
