//! The line about a cluster's health check.

use crate::config::model::{Cluster, HealthCheck, ProbeKind};
use crate::config::printable;

/// The line of a cluster that has one.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    cluster.health_check.iter().map(line).collect()
}

/// What is asked, how often, and what follows from it.
fn line(check: &HealthCheck) -> String {
    let target = check.target();
    let asked = match (check.kind, check.service.as_deref().unwrap_or_default()) {
        (ProbeKind::Http, _) => format!("{} {}", check.method, printable(target.as_str())),
        (ProbeKind::Tcp, _) => "a TCP connection".to_owned(),
        (ProbeKind::Grpc, "") => "gRPC health".to_owned(),
        (ProbeKind::Grpc, service) => format!("gRPC health of {service}"),
        (ProbeKind::AgentCard, _) => format!("the agent card at {}", printable(target.as_str())),
    };
    let port = check.port.map_or_else(String::new, |port| format!(" on port {port}"));
    let pardon = if check.ends_ejection { "; a success ends an ejection" } else { "" };
    format!(
        "health    {asked}{port} every {:?}, at most {:?}; out after {} failures, back after {} successes{pardon}",
        check.interval,
        check.limit(),
        check.unhealthy_threshold,
        check.healthy_threshold
    )
}
