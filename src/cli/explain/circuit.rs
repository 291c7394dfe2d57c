//! A cluster's ceilings and its breaker.

use crate::cli::words::time;
use crate::config::model::{CircuitBreaker, Cluster, HalfOpen};

/// One line for the ceilings and one for the breaker, where there are any.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    let circuit = &cluster.circuit_breaker;
    let ceilings = ceilings(circuit).map(|text| format!("ceilings  {text}"));
    [ceilings, circuit.half_open.as_ref().map(breaker)].into_iter().flatten().collect()
}

fn ceilings(circuit: &CircuitBreaker) -> Option<String> {
    let each = &circuit.per_endpoint;
    let limits = [
        ("connections", circuit.max_connections, ""),
        ("requests", circuit.max_requests, ""),
        ("streams", circuit.max_streams, ""),
        ("retries", circuit.max_retries, ""),
        ("connections", each.max_connections, " per endpoint"),
        ("requests", each.max_requests, " per endpoint"),
        ("streams", each.max_streams, " per endpoint"),
    ];
    let limits = limits.into_iter().filter_map(|(what, limit, scope)| {
        let limit = limit?;
        Some(format!("{what} {limit}{scope}"))
    });
    let mut all: Vec<String> = limits.collect();
    if let Some(limit) = circuit.max_requests_per_connection {
        all.push(format!("requests per connection {limit}"));
    }
    if all.is_empty() {
        return None;
    }
    all.push(match circuit.max_pending_requests {
        0 => "beyond them 503 at once".to_owned(),
        count => format!("beyond them {count} wait up to {}", time(circuit.pending_timeout)),
    });
    Some(all.join(", "))
}

fn breaker(settings: &HalfOpen) -> String {
    format!(
        "breaker   opens after {} failures in a row for {}, then one probe, then a growing share for {}",
        settings.failure_threshold,
        time(settings.recovery_timeout),
        time(settings.ramp_up),
    )
}
