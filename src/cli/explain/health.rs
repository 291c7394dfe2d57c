//! The line about a cluster's health check.

use crate::config::model::{Cluster, HealthCheck, Probe};
use crate::config::printable;

/// The line of a cluster that has one.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    cluster.health_check.iter().map(line).collect()
}

/// What is asked, how often, and what follows from it.
fn line(check: &HealthCheck) -> String {
    let asked = match &check.probe {
        Probe::Http { method, path, .. } => format!("{method} {}", printable(path.as_str())),
        Probe::Tcp => "a TCP connection".to_owned(),
        Probe::Grpc { service, .. } if service.is_empty() => "gRPC health".to_owned(),
        Probe::Grpc { service, .. } => format!("gRPC health of {service}"),
        Probe::AgentCard { path, .. } => {
            format!("the agent card at {}", printable(path.as_str()))
        }
    };
    let port = check.port.map_or_else(String::new, |port| format!(" on port {port}"));
    let pardon = if check.ends_ejection { "; a success ends an ejection" } else { "" };
    format!(
        "health    {asked}{port} every {:?}, at most {:?}; out after {} failures, back after {} successes{pardon}",
        check.interval, check.timeout, check.unhealthy_threshold, check.healthy_threshold
    )
}
