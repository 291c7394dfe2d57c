//! The line about a cluster's health check.

use crate::config::model::{HealthCheck, Probe};

/// What is asked, how often, and what follows from it.
pub(super) fn line(check: &HealthCheck) -> String {
    let asked = match &check.probe {
        Probe::Http { method, path, .. } => format!("{method} {path}"),
        Probe::Tcp => "a TCP connection".to_owned(),
        Probe::Grpc { service, .. } if service.is_empty() => "gRPC health".to_owned(),
        Probe::Grpc { service, .. } => format!("gRPC health of {service}"),
        Probe::AgentCard { path, .. } => format!("the agent card at {path}"),
    };
    let port = check
        .port
        .map_or_else(String::new, |port| format!(" on port {port}"));
    format!(
        "health    {asked}{port} every {:?}, at most {:?}; out after {} failures, back after {} successes",
        check.interval, check.timeout, check.unhealthy_threshold, check.healthy_threshold
    )
}
