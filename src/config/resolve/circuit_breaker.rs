//! `clusters.X.circuitBreaker`: ceilings that can be reached, and none without effect.

use std::time::Duration;

use super::{Scope, to_usize};
use crate::config::model::{Ceilings, CircuitBreaker, EndpointCeilings, HalfOpen};
use crate::config::node::{Step, steps};
use crate::config::raw::circuit_breaker as raw;
use crate::config::report::Diagnostic;

/// Resolves the circuit breaker of the cluster `name`.
pub(super) fn resolve(name: &str, raw: Option<raw::CircuitBreaker>, scope: &mut Scope<'_>) -> CircuitBreaker {
    let Some(raw) = raw else {
        return CircuitBreaker::default();
    };
    let at = |key: &str| steps!["clusters", name, "circuitBreaker", key];
    let below = |key: &str| steps!["clusters", name, "circuitBreaker", "perEndpoint", key];
    let each = raw.per_endpoint.unwrap_or_default();
    let per_endpoint = EndpointCeilings {
        max_connections: ceiling(&below("maxConnections"), each.max_connections, 1, scope),
        max_requests: ceiling(&below("maxRequests"), each.max_requests, 1, scope),
        max_streams: ceiling(&below("maxStreams"), each.max_streams, 1, scope),
    };
    let pending = ceiling(&at("maxPendingRequests"), raw.max_pending_requests, 0, scope);
    let patience = raw.pending_timeout.map(|time| scope.limit(&at("pendingTimeout"), time.0));
    let per_connection = ceiling(&at("maxRequestsPerConnection"), raw.max_requests_per_connection, 1, scope);
    let ceilings = Ceilings {
        max_connections: ceiling(&at("maxConnections"), raw.max_connections, 1, scope),
        max_pending_requests: pending.unwrap_or(0),
        pending_timeout: patience.unwrap_or(PENDING_TIMEOUT),
        max_requests: ceiling(&at("maxRequests"), raw.max_requests, 1, scope),
        max_streams: ceiling(&at("maxStreams"), raw.max_streams, 1, scope),
        max_retries: ceiling(&at("maxRetries"), raw.max_retries, 0, scope),
        max_requests_per_connection: per_connection.map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        per_endpoint,
    };
    let half_open = raw.half_open.map(|raw| half_open(name, &raw, scope));
    check_queue(name, &ceilings, patience, scope);
    check_shares(name, &ceilings, scope);
    CircuitBreaker { ceilings, half_open }
}

fn ceiling(path: &[Step], value: Option<u64>, least: u64, scope: &mut Scope<'_>) -> Option<usize> {
    let value = value?;
    Some(to_usize(scope.range(path, value, least..=MOST, "")))
}

fn half_open(name: &str, raw: &raw::HalfOpen, scope: &mut Scope<'_>) -> HalfOpen {
    let at = |key: &str| steps!["clusters", name, "circuitBreaker", "halfOpen", key];
    let threshold = ceiling(&at("failureThreshold"), raw.failure_threshold, 1, scope);
    let recovery = raw.recovery_timeout.map(|time| scope.limit(&at("recoveryTimeout"), time.0));
    HalfOpen {
        failure_threshold: threshold.map_or(FAILURE_THRESHOLD, |count| u32::try_from(count).unwrap_or(u32::MAX)),
        recovery_timeout: recovery.unwrap_or(RECOVERY_TIMEOUT),
        ramp_up: raw.ramp_up.map_or(RAMP_UP, |time| time.0),
    }
}

/// A queue in front of nothing, and patience without a queue.
fn check_queue(name: &str, ceilings: &Ceilings, patience: Option<Duration>, scope: &mut Scope<'_>) {
    let at = |key: &str| steps!["clusters", name, "circuitBreaker", key];
    let endpoint = &ceilings.per_endpoint;
    let any = ceilings.max_connections.is_some()
        || ceilings.max_requests.is_some()
        || ceilings.max_streams.is_some()
        || *endpoint != EndpointCeilings::default();
    if ceilings.max_pending_requests > 0 && !any {
        let diagnostic = Diagnostic::warning("no-effect", "no request ever waits: there is no ceiling");
        let hint = "add `maxConnections`, `maxRequests` or `maxStreams`";
        scope.add_key(&at("maxPendingRequests"), diagnostic.hint(hint));
    }
    if ceilings.max_pending_requests == 0 && patience.is_some() {
        let diagnostic = Diagnostic::warning("no-effect", "`pendingTimeout` without requests that may wait");
        let hint = "say how many with `maxPendingRequests`";
        let at = steps!["clusters", name, "circuitBreaker"];
        scope.missing(&at, diagnostic.hint(hint));
    }
}

/// A ceiling of each endpoint that the cluster's own comes before.
fn check_shares(name: &str, ceilings: &Ceilings, scope: &mut Scope<'_>) {
    let each = &ceilings.per_endpoint;
    for (key, each, all) in [
        ("maxConnections", each.max_connections, ceilings.max_connections),
        ("maxRequests", each.max_requests, ceilings.max_requests),
        ("maxStreams", each.max_streams, ceilings.max_streams),
    ] {
        if let (Some(each), Some(all)) = (each, all)
            && each > all
        {
            let message = format!("one endpoint never reaches {each}: the whole cluster has {all} at most");
            let path = steps!["clusters", name, "circuitBreaker", "perEndpoint", key];
            let hint = format!("raise `circuitBreaker.{key}`, or lower this one");
            scope.add(&path, Diagnostic::warning("no-effect", message).hint(hint));
        }
    }
}

/// Largest ceiling.
const MOST: u64 = 1_000_000;
const PENDING_TIMEOUT: Duration = Duration::from_secs(1);
const FAILURE_THRESHOLD: u32 = 5;
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(30);
const RAMP_UP: Duration = Duration::from_secs(10);
