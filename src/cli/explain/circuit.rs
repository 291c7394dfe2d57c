//! The lines of `attache explain` about a cluster's circuit breaker.

use super::describe::time;
use crate::config::model::{CircuitBreaker, HalfOpen};

/// One line for the ceilings and one for the breaker, where there are any.
pub(super) fn lines(circuit: &CircuitBreaker) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(ceilings(circuit).map(|text| format!("ceilings  {text}")));
    lines.extend(circuit.half_open.as_ref().map(breaker));
    lines
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::model::EndpointCeilings;

    #[test]
    fn what_is_configured_is_said_and_nothing_else() {
        assert!(lines(&CircuitBreaker::default()).is_empty());
        let mut circuit = CircuitBreaker {
            max_requests: Some(100),
            per_endpoint: EndpointCeilings { max_connections: Some(8), ..EndpointCeilings::default() },
            ..CircuitBreaker::default()
        };
        assert_eq!(lines(&circuit), ["ceilings  requests 100, connections 8 per endpoint, beyond them 503 at once"]);
        circuit.max_pending_requests = 50;
        circuit.pending_timeout = Duration::from_millis(500);
        circuit.half_open = Some(HalfOpen {
            failure_threshold: 5,
            recovery_timeout: Duration::from_secs(30),
            ramp_up: Duration::from_secs(10),
        });
        let said = lines(&circuit).join("\n");
        assert!(said.contains("50 wait up to 500ms"), "{said}");
        assert!(said.contains("after 5 failures in a row for 30s"), "{said}");
    }
}
