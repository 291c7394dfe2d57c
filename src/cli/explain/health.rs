//! The line about a cluster's health check.

use crate::config::model::{HealthCheck, Probe};
use crate::config::printable;

/// What is asked, how often, and what follows from it.
pub(super) fn line(check: &HealthCheck) -> String {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Method;
    use http::uri::PathAndQuery;

    use super::*;
    use crate::config::model::ProbeFields;

    #[test]
    fn checks_in_words() {
        let fields = ProbeFields::default;
        let path = PathAndQuery::from_static("/health?token=abc");
        let grpc = |service: &str| Probe::Grpc { service: service.to_owned(), fields: fields() };
        let page =
            Probe::Http { method: Method::HEAD, path: path.clone(), statuses: vec![200..=299], fields: fields() };
        for (probe, port, expected) in [
            (page, None, "HEAD /health?token=(redacted)"),
            (Probe::Tcp, Some(9000), "a TCP connection on port 9000"),
            (grpc(""), None, "gRPC health"),
            (grpc("a.B"), None, "gRPC health of a.B"),
            (Probe::AgentCard { path, fields: fields() }, None, "the agent card at /health?token=(redacted)"),
        ] {
            let check = HealthCheck {
                probe,
                interval: Duration::from_secs(5),
                timeout: Duration::from_millis(500),
                healthy_threshold: 2,
                unhealthy_threshold: 3,
                port,
                ends_ejection: port.is_some(),
            };
            let pardon = if port.is_some() { "; a success ends an ejection" } else { "" };
            assert_eq!(
                line(&check),
                format!(
                    "health    {expected} every 5s, at most 500ms; out after 3 failures, back after 2 successes{pardon}"
                )
            );
        }
    }
}
