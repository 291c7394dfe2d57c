//! Retries of a route: defaults, contradictions, and what is legal but does not do what it seems to.

use std::time::Duration;

use http::Method;

use super::Scope;
use crate::config::keys::OrOff;
use crate::config::model::{Match, Retries, RetryOn, RetryPolicy};
use crate::config::node::{Step, steps};
use crate::config::report::Diagnostic;

/// What else of the route matters.
pub(super) struct Around<'a> {
    pub(super) route: &'a str,
    pub(super) timeout: Option<Duration>,
    pub(super) matches: &'a [Match],
}

impl Around<'_> {
    fn at(&self, key: &str) -> [Step; 4] {
        steps!["routes", self.route, "retries", key]
    }
}

/// Resolves `routes.X.retries`.
pub(super) fn resolve(raw: Option<OrOff<Retries>>, around: &Around<'_>, scope: &mut Scope<'_>) -> RetryPolicy {
    let Some(raw) = raw else { return RetryPolicy::Default };
    let Some(mut retries) = raw.on() else { return RetryPolicy::Off };
    retries.retry_on.headers.clone_from(&retries.retriable_headers);
    let widened = retries.non_idempotent.is_some();
    retries.non_idempotent.get_or_insert_with(|| retries.retry_on.harmless());
    if retries.backoff.base > retries.backoff.max {
        let hint = "raise `max`, or leave `base` out";
        scope.conflict(&around.at("backoff"), "`base` is larger than `max`", hint);
    }
    let at = around.at("attempts");
    if retries.attempts == 0 {
        scope.invalid(&at, "no retries are written differently", "write `retries: off`");
    } else {
        scope.range(&at, retries.attempts.into(), 1..=20, "");
    }
    if retries.hedging && retries.per_try_timeout.is_none() {
        let diagnostic = Diagnostic::lacks("`hedging` does not say after how long");
        scope.add_key(&around.at("hedging"), diagnostic.hint("add `perTryTimeout`"));
    }
    times(&retries, around, scope);
    if widened {
        at_risk(&retries, around, scope);
    } else {
        without_effect(&retries, around, scope);
    }
    RetryPolicy::By(Box::new(retries))
}

fn times(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    let (Some(per_try), Some(timeout)) = (retries.per_try_timeout, around.timeout) else { return };
    let at = around.at("perTryTimeout");
    let tries = retries.attempts.saturating_add(1);
    if per_try > timeout {
        let diagnostic = Diagnostic::conflict("one try may take longer than the whole exchange");
        scope.add(&at, diagnostic.hint("make it shorter than the route's `timeout`"));
    } else if per_try.saturating_mul(tries) > timeout {
        let message = format!("{tries} tries of this length do not fit into the route's `timeout`");
        let hint = "the last tries are cut short; raise `timeout` or lower `attempts`";
        scope.warn(&at, "conflict", message, hint);
    }
}

/// What may be done twice.
fn at_risk(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    if retries.non_idempotent.as_ref().is_some_and(RetryOn::is_risky) {
        let hint = "keep it to `connect-failure,refused-stream` unless agents tell repeated requests apart";
        scope.warn(&around.at("nonIdempotent"), "unsafe-retries", "an agent may do the same POST twice", hint);
    }
}

/// What will not be done although it was written. Repeatable methods are those of RFC 9110 section 9.2.2.
fn without_effect(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    let at = around.at("retryOn");
    let mut methods = around.matches.iter().map(|matched| &matched.methods);
    let only_unsafe = methods.all(|methods| !methods.is_empty() && !methods.iter().any(Method::is_idempotent));
    if only_unsafe && !around.matches.is_empty() && retries.retry_on.looks_at_answers() {
        let message = "this route takes no request that may be repeated after an answer";
        let hint = "`retryOn` is for GET, HEAD, PUT, DELETE and OPTIONS; POST needs `nonIdempotent`";
        scope.warn(&at, "unsafe-retries", message, hint);
    } else if !retries.retry_on.grpc.is_empty() {
        let message = "gRPC calls are POSTs, which are not repeated after an answer";
        let hint = "name the gRPC status in `nonIdempotent` too, or take it out";
        scope.warn(&at, "unsafe-retries", message, hint);
    }
}
