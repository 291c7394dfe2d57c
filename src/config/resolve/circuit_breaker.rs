//! `clusters.X.circuitBreaker`: ceilings that can be reached, and none without effect.

use super::Scope;
use crate::config::model::{AdaptiveConcurrency, CircuitBreaker};
use crate::config::node::{below, steps};
use crate::config::report::Diagnostic;

/// Judges the circuit breaker of the cluster `name`.
pub(super) fn check(name: &str, breaker: &CircuitBreaker, scope: &mut Scope<'_>) {
    let at = |key: &str| steps!["clusters", name, "circuitBreaker", key];
    if breaker.max_pending_requests > 0 && !breaker.has_ceilings() {
        let message = "no request ever waits: there is no ceiling";
        let hint = "add `maxConnections`, `maxRequests` or `maxStreams`";
        scope.warn_key(&at("maxPendingRequests"), "no-effect", message, hint);
    }
    if breaker.max_pending_requests == 0 && scope.is_given(&at("pendingTimeout")) {
        let diagnostic = Diagnostic::warning("no-effect", "`pendingTimeout` without requests that may wait");
        let hint = "say how many with `maxPendingRequests`";
        scope.missing(&steps!["clusters", name, "circuitBreaker"], diagnostic.hint(hint));
    }
    let each = &breaker.per_endpoint;
    for (key, each, all) in [
        ("maxConnections", each.max_connections, breaker.max_connections),
        ("maxRequests", each.max_requests, breaker.max_requests),
        ("maxStreams", each.max_streams, breaker.max_streams),
    ] {
        // A ceiling of each endpoint that the cluster's own comes before.
        if let (Some(each), Some(all)) = (each, all)
            && each > all
        {
            let message = format!("one endpoint never reaches {each}: the whole cluster has {all} at most");
            let hint = format!("raise `circuitBreaker.{key}`, or lower this one");
            scope.warn(&below(&at("perEndpoint"), key), "no-effect", message, hint);
        }
    }
}

/// Judges the adaptive limit of the cluster `name`, whose ceiling on requests is `most`.
pub(super) fn check_adaptive(
    name: &str,
    adaptive: Option<&AdaptiveConcurrency>,
    most: Option<usize>,
    scope: &mut Scope<'_>,
) {
    let Some(adaptive) = adaptive else { return };
    let at = |key: &str| steps!["clusters", name, "adaptiveConcurrency", key];
    let AdaptiveConcurrency { initial, min, max, .. } = *adaptive;
    if min > max {
        scope.conflict(&at("min"), format!("`min` {min} is above `max` {max}"), "lower one, or raise the other");
    } else if !(min..=max).contains(&initial) {
        let message = format!("`initial` {initial} is not between `min` {min} and `max` {max}");
        scope.conflict(&at("initial"), message, "choose one between them");
    }
    if let Some(most) = most.filter(|most| *most <= min) {
        let message = format!("the limit is never reached: `circuitBreaker.maxRequests` is {most}");
        scope.warn_key(&at("min"), "no-effect", message, "leave one of them out");
    }
}
