//! Retries of a route: defaults, contradictions, and what is legal but does not do what it seems to.

use std::time::Duration;

use http::{HeaderName, Method};

use super::{Scope, headers};
use crate::config::model::{Match, Retries, RetryOn, RetryPolicy};
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
pub(super) fn resolve(raw: Option<OrOff<raw::Retries>>, around: &Around<'_>, scope: &mut Scope<'_>) -> RetryPolicy {
    let raw = match raw {
        None => return RetryPolicy::Default,
        Some(OrOff::Off) => return RetryPolicy::Off,
        Some(OrOff::On(raw)) => raw,
    };
    let widened = raw.non_idempotent.is_some();
    let mut retry_on = raw.retry_on;
    retry_on.headers = retriable_headers(&raw.retriable_headers, around.route, scope);
    let non_idempotent = match raw.non_idempotent {
        None => retry_on.harmless(),
        Some(OrOff::Off) => RetryOn::default(),
        Some(OrOff::On(causes)) => causes.0,
    };
    if raw.backoff.base > raw.backoff.max {
        let diagnostic = Diagnostic::conflict("`base` is larger than `max`");
        let at = steps!["routes", around.route, "retries", "backoff"];
        scope.add_key(&at, diagnostic.hint("raise `max`, or leave `base` out"));
    }
    let retries = Retries {
        attempts: attempts(raw.attempts, around, scope),
        per_try_timeout: raw.per_try_timeout,
        retry_on,
        non_idempotent,
        backoff: raw.backoff,
        budget: raw.budget,
        max_replay_bytes: raw.max_replay_bytes,
        hedging: raw.hedging,
    };
    times(&retries, around, scope);
    hedging(&retries, around, scope);
    classes(&retries, widened, around, scope);
    RetryPolicy::By(Box::new(retries))
}

fn attempts(given: u32, around: &Around<'_>, scope: &mut Scope<'_>) -> u32 {
    let at = steps!["routes", around.route, "retries", "attempts"];
    if given == 0 {
        let diagnostic = Diagnostic::invalid("no retries are written differently");
        scope.add(&at, diagnostic.hint("write `retries: off`"));
        return 1;
    }
    u32::try_from(scope.range(&at, given.into(), 1..=20, "")).unwrap_or(1)
}

fn retriable_headers(raw: &[String], route: &str, scope: &mut Scope<'_>) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for (index, name) in raw.iter().enumerate() {
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
        let diagnostic = Diagnostic::conflict(message);
        scope.add(&at, diagnostic.hint("make it shorter than the route's `timeout`"));
    } else if per_try.saturating_mul(tries) > timeout {
        let message = format!("{tries} tries of this length do not fit into the route's `timeout`");
        let diagnostic = Diagnostic::warning("conflict", message);
        scope.add(&at, diagnostic.hint("the last tries are cut short; raise `timeout` or lower `attempts`"));
    }
}

fn hedging(retries: &Retries, around: &Around<'_>, scope: &mut Scope<'_>) {
    if retries.hedging && retries.per_try_timeout.is_none() {
        let diagnostic = Diagnostic::lacks("`hedging` does not say after how long");
        scope.add_key(&steps!["routes", around.route, "retries", "hedging"], diagnostic.hint("add `perTryTimeout`"));
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
    let only_unsafe = methods.all(|methods| !methods.is_empty() && !methods.iter().any(is_repeatable));
    if only_unsafe && !around.matches.is_empty() && retries.retry_on.looks_at_answers() {
        let message = "this route takes no request that may be repeated after an answer";
        let diagnostic = Diagnostic::warning("unsafe-retries", message);
        scope.add(
            &at,
            diagnostic.hint("`retryOn` is for GET, HEAD, PUT, DELETE and OPTIONS; POST needs `nonIdempotent`"),
        );
    } else if !retries.retry_on.grpc.is_empty() {
        let message = "gRPC calls are POSTs, which are not repeated after an answer";
        let diagnostic = Diagnostic::warning("unsafe-retries", message);
        scope.add(&at, diagnostic.hint("name the gRPC status in `nonIdempotent` too, or take it out"));
    }
}

/// Methods that may be repeated as often as one likes (RFC 9110 section 9.2.2).
fn is_repeatable(method: &Method) -> bool {
    method.is_idempotent()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::SystemTime;

    use super::*;
    use crate::config::model::{Failure, RetryBudget, Route};
    use crate::config::{Environment, parse};

    fn parsed(route: &str) -> Result<(Route, Vec<String>), String> {
        let text = format!(
            "listeners: {{ a: {{ address: '127.0.0.1:80' }} }}\nroutes: {{ a: {{ endpoints: ['b:80'], {route} }} }}"
        );
        let env = Environment::empty(SystemTime::UNIX_EPOCH);
        match parse(&text, "a.yaml", &env) {
            Ok(mut loaded) => {
                let warnings = loaded.warnings.diagnostics().iter();
                let warnings = warnings.map(|warning| warning.message.clone()).collect();
                Ok((Arc::unwrap_or_clone(loaded.config.routes.remove(0)), warnings))
            }
            Err(report) => Err(report.human(false)),
        }
    }

    fn retries(route: &str) -> Retries {
        match parsed(route).unwrap() {
            (Route { retries: RetryPolicy::By(retries), .. }, warnings) if warnings.is_empty() => *retries,
            other => panic!("{route}: {other:?}"),
        }
    }

    #[test]
    fn defaults() {
        let retries = retries("retries: {}");
        assert_eq!(retries.attempts, 2);
        assert_eq!(retries.retry_on.failures, Failure::ALL);
        assert!(!retries.retry_on.looks_at_answers() && !retries.non_idempotent.is_risky());
        assert_eq!(retries.non_idempotent.failures.len(), 3);
        assert_eq!(retries.max_replay_bytes, RetryPolicy::REPLAY_BYTES);
        let budget = RetryBudget { millionths: 200_000, min_concurrent: 3 };
        assert_eq!(retries.budget, Some(budget));
        assert_eq!(retries.backoff.base, Duration::from_millis(25));
        assert_eq!(retries.backoff.max, Duration::from_millis(250));
        let usual = parsed("timeout: 1s").unwrap().0.retries;
        assert_eq!(usual, RetryPolicy::Default);
        assert_eq!(parsed("retries: null").unwrap().0.retries, usual);
        assert_eq!(parsed("retries: off").unwrap().0.retries, RetryPolicy::Off);
    }

    #[test]
    fn words_of_istio_and_nginx_in_one_text_or_a_list() {
        let istio = "retryOn: '5xx,reset,connect-failure,refused-stream'";
        let text = retries(&format!("retries: {{ attempts: 3, {istio} }}"));
        let list = retries("retries: { attempts: 3, retryOn: [5xx, reset, connect-failure, refused-stream] }");
        assert_eq!(text, list);
        let nginx = retries("retries: { retryOn: error timeout invalid_header http_500 http_502 http_503 }");
        assert!(nginx.retry_on.has_status(502) && !nginx.retry_on.has_status(504));
        assert_eq!(nginx.retry_on.failures.len(), Failure::ALL.len());
        let mixed = retries("retries: { retryOn: [reset, 503] }");
        assert!(mixed.retry_on.has_status(503));
    }

    #[test]
    fn what_is_probably_not_meant_is_a_warning() {
        let post = "match: { method: POST }";
        for (route, said) in [
            ("timeout: 30s, retries: { attempts: 3, perTryTimeout: 10s }", "4 tries of this length"),
            ("retries: { retryOn: 5xx, nonIdempotent: 5xx }", "the same POST twice"),
            ("retries: { nonIdempotent: 'connect-failure,reset' }", "the same POST twice"),
            (&format!("{post}, retries: {{ retryOn: 5xx }}"), "takes no request that may be repeated"),
            ("retries: { retryOn: 'unavailable,reset' }", "gRPC calls are POSTs"),
        ] {
            let (_, warnings) = parsed(route).expect(route);
            let expected = warnings.len() == 1 && warnings[0].contains(said);
            assert!(expected, "{route}: {warnings:?}");
        }
        for route in [
            "timeout: 40s, retries: { attempts: 3, perTryTimeout: 10s }",
            "retries: { retryOn: 5xx, nonIdempotent: 'connect-failure,refused-stream' }",
            "retries: { retryOn: 5xx, nonIdempotent: off }",
            "match: [{ method: POST }, { method: GET }], retries: { retryOn: 5xx }",
            &format!("{post}, retries: {{ attempts: 1 }}"),
        ] {
            assert_eq!(parsed(route).expect(route).1, [""; 0], "{route}");
        }
    }
}
