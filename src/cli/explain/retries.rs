//! Retries of the request.

use super::subject::Subject;
use crate::cli::words::time;
use crate::config::model::{Failure, Retries, RetryPolicy};
use crate::upstream::Repeat;

/// The line of a route that forwards.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    if subject.clusters().is_empty() {
        return Vec::new();
    }
    let (policy, repeat) = (&subject.settings().retries, Repeat::of_method(subject.method()));
    let mut causes = failures(policy, repeat);
    let text = match policy {
        RetryPolicy::Off => "none".to_owned(),
        RetryPolicy::Default => format!("1, when there was {}", causes.join(", ")),
        RetryPolicy::By(retries) => {
            causes.extend(repeat.causes(retries).answers());
            if causes.is_empty() {
                format!("none for {}", subject.method())
            } else {
                configured(retries, repeat, &causes)
            }
        }
    };
    vec![format!("retries   {text}")]
}

fn configured(retries: &Retries, repeat: Repeat, causes: &[String]) -> String {
    let mut parts = vec![format!("up to {} on {}", retries.attempts, causes.join(", "))];
    if let Some(limit) = retries.per_try_timeout {
        let hedged = retries.hedging && repeat == Repeat::Safe;
        let then = if hedged { ", then another beside" } else { "" };
        parts.push(format!("{} per try{then}", time(limit)));
    }
    parts.push(match &retries.budget {
        None => "no budget".to_owned(),
        Some(budget) => {
            let share = f64::from(budget.millionths) / 10_000.0;
            format!("budget {share}% of first tries, at least {}", budget.min_concurrent)
        }
    });
    parts.join("; ")
}

/// Failures after which the request is tried again, as retries themselves decide.
fn failures(policy: &RetryPolicy, repeat: Repeat) -> Vec<String> {
    let repeated = Failure::ALL.into_iter().filter(|failure| repeat.is_repeated(policy, *failure));
    repeated.map(|failure| failure.to_string()).collect()
}
