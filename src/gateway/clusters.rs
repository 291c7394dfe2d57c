//! What probes are told about a cluster.

use tokio::time::Instant;

use crate::admin::health::{Check, Status};
use crate::cluster::{BreakerState, Cluster, Endpoint, Survey};

/// The line about one cluster. A cluster in trouble is no reason to take traffic away from the whole gateway.
pub(super) fn check(cluster: &Cluster) -> Check {
    let members = cluster.members();
    let unhealthy = members.endpoints.iter().filter(|one| one.is_unhealthy());
    let named: Vec<String> = unhealthy
        .clone()
        .take(MAX_NAMED)
        .map(|endpoint| complaint(endpoint))
        .collect();
    let breaker = cluster.judge.breaker().map(|breaker| breaker.state());
    let breaker = breaker
        .filter(|state| *state != BreakerState::Closed)
        .map(|state| format!(", circuit breaker {}", state.word()));
    let (survey, unhealthy) = (cluster.survey(Instant::now()), unhealthy.count());
    let is_short = survey.usable == 0 || survey.panic;
    Check {
        name: format!("cluster {}", cluster.name),
        status: if is_short || unhealthy > 0 || breaker.is_some() {
            Status::Degraded
        } else {
            Status::Ok
        },
        detail: detail(survey, unhealthy, &named) + breaker.as_deref().unwrap_or_default(),
    }
}

fn complaint(endpoint: &Endpoint) -> String {
    let reason = endpoint.health().and_then(|health| health.reason);
    let reason = reason.unwrap_or_else(|| "returning".to_owned());
    format!("{} ({reason})", endpoint.address)
}

fn detail(survey: Survey, unhealthy: usize, named: &[String]) -> String {
    let says_more = survey.ejected > 0 || survey.panic;
    let usable = if says_more {
        survey.usable
    } else {
        // Why some are not is told below.
        survey.endpoints
    };
    let mut detail = Survey { usable, ..survey }.to_string();
    if unhealthy > 0 {
        detail = format!("{detail}, {unhealthy} unhealthy: {}", named.join(", "));
    }
    if unhealthy > named.len() {
        detail.push_str(", ..");
    }
    detail
}

/// Endpoints named in one line.
const MAX_NAMED: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details() {
        let named = [
            "10.0.0.1:80 (status 503)".to_owned(),
            "10.0.0.2:80 (returning)".to_owned(),
        ];
        for (all, unhealthy, named, expected) in [
            (0, 0, &named[..0], "0 endpoints"),
            (1, 0, &named[..0], "1 endpoint"),
            (
                3,
                1,
                &named[..1],
                "3 endpoints, 1 unhealthy: 10.0.0.1:80 (status 503)",
            ),
            (
                9,
                3,
                &named[..],
                "9 endpoints, 3 unhealthy: 10.0.0.1:80 (status 503), 10.0.0.2:80 (returning), ..",
            ),
        ] {
            let survey = Survey {
                endpoints: all,
                usable: all.saturating_sub(unhealthy),
                ejected: 0,
                panic: false,
            };
            assert_eq!(detail(survey, unhealthy, named), expected);
        }
    }
}
