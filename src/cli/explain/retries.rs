//! What `attache explain` says about retries of one request.

use http::Method;

use super::describe::time;
use crate::config::model::{Failure, Retries, RetryOn, RetryPolicy};

/// The line for a request of this method.
pub(super) fn line(policy: &RetryPolicy, method: &Method) -> String {
    let text = match policy {
        RetryPolicy::Off => "none".to_owned(),
        RetryPolicy::Default if method.is_safe() => "1, when nothing was sent or nothing was answered".to_owned(),
        RetryPolicy::Default => "1, when nothing was sent or the stream was refused".to_owned(),
        RetryPolicy::By(retries) => configured(retries, method),
    };
    format!("retries   {text}")
}

fn configured(retries: &Retries, method: &Method) -> String {
    let causes = if method.is_idempotent() { causes(&retries.retry_on) } else { causes(&retries.non_idempotent) };
    if causes.is_empty() {
        return format!("none for {method}");
    }
    let mut parts = vec![format!("up to {} on {}", retries.attempts, causes.join(", "))];
    if let Some(limit) = retries.per_try_timeout {
        let hedged = retries.hedging && method.is_safe();
        let then = if hedged { ", then another beside" } else { "" };
        parts.push(format!("{} per try{then}", time(limit)));
    }
    parts.push(match &retries.budget {
        None => "no budget".to_owned(),
        Some(budget) => format!(
            "budget {}% of first tries, at least {}",
            f64::from(budget.millionths) / 10_000.0,
            budget.min_concurrent
        ),
    });
    parts.join("; ")
}

fn causes(causes: &RetryOn) -> Vec<String> {
    let failures = causes.failures.iter().map(|failure| match failure {
        Failure::Connect => "no connection".to_owned(),
        Failure::ConnectTimeout => "no connection in time".to_owned(),
        Failure::Refused => "a refused stream".to_owned(),
        Failure::Reset => "a reset".to_owned(),
        Failure::Timeout => "no answer in time".to_owned(),
        Failure::Invalid => "an invalid answer".to_owned(),
    });
    let statuses = causes.statuses.iter().map(|range| {
        if range.start() == range.end() {
            range.start().to_string()
        } else {
            format!("{} to {}", range.start(), range.end())
        }
    });
    let grpc = causes.grpc.iter().map(|code| format!("gRPC {code}"));
    let headers = causes.headers.iter().map(|name| format!("header {name}"));
    failures.chain(statuses).chain(grpc).chain(headers).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_for_the_method_is_said() {
        for (policy, method, expected) in [
            (RetryPolicy::Off, Method::GET, "none"),
            (RetryPolicy::Default, Method::GET, "nothing was answered"),
            (RetryPolicy::Default, Method::POST, "the stream was refused"),
        ] {
            let line = line(&policy, &method);
            assert!(line.contains(expected), "{line}");
        }
    }

    #[test]
    fn causes_are_named() {
        let all = RetryOn {
            failures: Failure::ALL.to_vec(),
            statuses: vec![500..=599, 429..=429],
            grpc: vec![14],
            headers: vec![http::header::RETRY_AFTER],
        };
        let line = causes(&all).join(", ");
        for part in ["a reset", "500 to 599", ", 429", "gRPC 14", "header retry-after"] {
            assert!(line.contains(part), "{line}");
        }
    }
}
