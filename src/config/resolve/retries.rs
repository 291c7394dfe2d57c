//! Retries of a route: defaults, contradictions, and what is legal but does not do what it seems to.

use std::time::Duration;

use http::{HeaderName, Method};

use super::{Scope, headers};
use crate::config::model::{Backoff, Match, Retries, RetryBudget, RetryOn, RetryPolicy};
use crate::config::node::steps;
use crate::config::raw::OrOff;
use crate::config::raw::retries as raw;
use crate::config::report::Diagnostic;

/// What else of the route matters.
pub(super) struct Around<'a> {
    pub(super) route: &'a str,
    pub(super) timeout: Option<Duration>,
    pub(super) matches: &'a [Match],
}

/// Resolves `routes.X.retries`.
pub(super) fn resolve(
    raw: Option<OrOff<raw::Retries>>,
    around: &Around<'_>,
    scope: &mut Scope<'_>,
) -> RetryPolicy {
    let raw = match raw {
        None => return RetryPolicy::Usual,
        Some(OrOff::Off) => return RetryPolicy::Off,
        Some(OrOff::On(raw)) => raw,
    };
    let at = |key: &'static str| steps!["routes", around.route, "retries", key];
    let widened = raw.non_idempotent.is_some();
    let mut retry_on = raw
        .retry_on
        .as_ref()
        .map_or_else(usual_causes, |causes| causes.0.clone());
    retry_on.headers = retriable_headers(raw.retriable_headers.as_ref(), around.route, scope);
    let non_idempotent = match raw.non_idempotent {
        None => retry_on.harmless(),
        Some(OrOff::Off) => RetryOn::default(),
        Some(OrOff::On(causes)) => causes.0,
    };
    let retries = Retries {
        attempts: attempts(raw.attempts, around, scope),
        per_try_timeout: raw
            .per_try_timeout
            .and_then(OrOff::on)
            .map(|time| scope.limit(&at("perTryTimeout"), time.0)),
        retry_on,
        non_idempotent,
        backoff: backoff(raw.backoff.unwrap_or_default(), around, scope),
        budget: match raw.budget {
            Some(OrOff::Off) => None,
            Some(OrOff::On(raw)) => Some(budget(raw)),
            None => Some(budget(raw::Budget::default())),
        },
        max_replay_bytes: {
            let bytes = raw.max_replay_bytes.map_or(1 << 20, |size| size.0);
            super::to_usize(scope.range(&at("maxReplayBytes"), bytes, 0..=64 << 20, "B"))
        },
        hedging: raw.hedging.unwrap_or(false),
    };
    times(&retries, around, scope);
    hedging(&retries, around, scope);
    classes(&retries, widened, around, scope);
    RetryPolicy::By(Box::new(retries))
}

/// Failures without an answer. An answer is the agent's word until the route says otherwise.
fn usual_causes() -> RetryOn {
    RetryOn {
        failures: crate::config::model::Failure::ALL.to_vec(),
        ..RetryOn::default()
    }
}

fn attempts(raw: Option<u64>, around: &Around<'_>, scope: &mut Scope<'_>) -> u32 {
    let at = steps!["routes", around.route, "retries", "attempts"];
    let given = raw.unwrap_or(2);
    if given == 0 {
        let diagnostic = Diagnostic::error("invalid-value", "no retries are written differently");
        scope.add(&at, diagnostic.hint("write `retries: off`"));
        return 1;
    }
    u32::try_from(scope.range(&at, given, 1..=20, "")).unwrap_or(1)
}

fn backoff(raw: raw::Backoff, around: &Around<'_>, scope: &mut Scope<'_>) -> Backoff {
    let at = steps!["routes", around.route, "retries", "backoff"];
    let base = raw.base.map_or(Duration::from_millis(25), |time| time.0);
    let max = raw.max.map_or(Duration::from_millis(250), |time| time.0);
    if base > max {
        let diagnostic = Diagnostic::error("conflict", "`base` is larger than `max`");
        scope.add_key(&at, diagnostic.hint("raise `max`, or leave `base` out"));
    }
    Backoff { base, max }
}

fn budget(raw: raw::Budget) -> RetryBudget {
    RetryBudget {
        millionths: raw.percent.map_or(200_000, |share| share.0),
        min_concurrent: raw.min_concurrent.unwrap_or(3),
    }
}

fn retriable_headers(
    raw: Option<&crate::config::raw::Many<String>>,
    route: &str,
    scope: &mut Scope<'_>,
) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (index, name) in raw.iter().flat_map(|names| &names.0).enumerate() {
        match headers::field(name) {
            Ok(name) => names.push(name),
            Err(diagnostic) => {
                let at = steps!["routes", route, "retries", "retriableHeaders", index];
                scope.add(&at, *diagnostic);
            }
        }
    }
    names
}

fn times(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    let (Some(per_try), Some(timeout)) = (retries.per_try_timeout, around.timeout) else {
        return;
    };
    let at = steps!["routes", around.route, "retries", "perTryTimeout"];
    let tries = retries.attempts + 1;
    if per_try > timeout {
        let message = "one try may take longer than the whole exchange";
        let diagnostic = Diagnostic::error("conflict", message);
        scope.add(
            &at,
            diagnostic.hint("make it shorter than the route's `timeout`"),
        );
    } else if per_try.saturating_mul(tries) > timeout {
        let message = format!("{tries} tries of this length do not fit into the route's `timeout`");
        let diagnostic = Diagnostic::warning("conflict", message);
        scope.add(
            &at,
            diagnostic.hint("the last tries are cut short; raise `timeout` or lower `attempts`"),
        );
    }
}

fn hedging(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    if retries.hedging && retries.per_try_timeout.is_none() {
        let diagnostic =
            Diagnostic::error("missing-field", "`hedging` does not say after how long");
        scope.add_key(
            &steps!["routes", around.route, "retries", "hedging"],
            diagnostic.hint("add `perTryTimeout`"),
        );
    }
}

/// What may be done twice, and what will not be done although it was written.
fn classes(retries: &Retries, widened: bool, around: &Around<'_>, scope: &mut Scope<'_>) {
    if widened && retries.non_idempotent.is_risky() {
        let message = "an agent may do the same POST twice";
        let diagnostic = Diagnostic::warning("unsafe-retries", message);
        scope.add(
            &steps!["routes", around.route, "retries", "nonIdempotent"],
            diagnostic.hint("keep it to `connect-failure,refused-stream` unless agents tell repeated requests apart"),
        );
    }
    if widened {
        return;
    }
    let at = steps!["routes", around.route, "retries", "retryOn"];
    let mut methods = around.matches.iter().map(|matched| &matched.methods);
    let only_unsafe =
        methods.all(|methods| !methods.is_empty() && !methods.iter().any(is_repeatable));
    if only_unsafe && !around.matches.is_empty() && retries.retry_on.looks_at_answers() {
        let message = "this route takes no request that may be repeated after an answer";
        let diagnostic = Diagnostic::warning("unsafe-retries", message);
        scope.add(
            &at,
            diagnostic.hint(
                "`retryOn` is for GET, HEAD, PUT, DELETE and OPTIONS; POST needs `nonIdempotent`",
            ),
        );
    } else if !retries.retry_on.grpc.is_empty() {
        let message = "gRPC calls are POSTs, which are not repeated after an answer";
        let diagnostic = Diagnostic::warning("unsafe-retries", message);
        scope.add(
            &at,
            diagnostic.hint("name the gRPC status in `nonIdempotent` too, or take it out"),
        );
    }
}

/// Methods that may be repeated as often as one likes (RFC 9110 section 9.2.2).
fn is_repeatable(method: &Method) -> bool {
    method.is_idempotent()
}
