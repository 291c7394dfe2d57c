//! The line about a cluster in the answers to probes.

use tokio::time::Instant;

use crate::admin::health::{Check, Status};
use crate::cluster::{BreakerState, Cluster, Endpoint};

/// The line about one cluster. A cluster in trouble is no reason to take traffic away from the whole gateway, unless it
/// is required and nobody in it answers.
pub(super) fn check(cluster: &Cluster, required: bool) -> Check {
    let survey = cluster.survey(Instant::now());
    let members = cluster.members();
    let unhealthy = members.endpoints.iter().filter(|one| one.is_unhealthy());
    let named: Vec<String> = unhealthy.clone().take(MAX_NAMED).map(|endpoint| complaint(endpoint)).collect();
    let unhealthy = unhealthy.count();
    let breaker = cluster.detector.breaker().map(|breaker| breaker.state());
    let breaker = breaker.filter(|state| *state != BreakerState::Closed);
    // One that drains is out on purpose.
    let troubled = survey.usable == 0
        || survey.ejected > 0
        || survey.failing > 0
        || survey.panic
        || unhealthy > 0
        || breaker.is_some();
    Check {
        name: format!("cluster {}", cluster.name),
        status: match troubled {
            _ if required && survey.usable == 0 => Status::Failing,
            true => Status::Degraded,
            false => Status::Ok,
        },
        detail: detail(survey.to_string(), unhealthy, &named, breaker),
    }
}

fn complaint(endpoint: &Endpoint) -> String {
    let reason = endpoint.health().and_then(|health| health.message);
    let reason = reason.unwrap_or_else(|| "returning".to_owned());
    format!("{} ({reason})", endpoint.address)
}

fn detail(mut detail: String, unhealthy: usize, named: &[String], breaker: Option<BreakerState>) -> String {
    if let Some(state) = breaker {
        detail = format!("{detail}, circuit breaker {}", state.word());
    }
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
        let named = ["10.0.0.1:80 (status 503)".to_owned(), "10.0.0.2:80 (returning)".to_owned()];
        for (unhealthy, listed, breaker, expected) in [
            (0, 0, None, "9 endpoints"),
            (0, 0, Some(BreakerState::HalfOpen), "9 endpoints, circuit breaker half-open"),
            (
                1,
                1,
                Some(BreakerState::Open),
                "9 endpoints, circuit breaker open, 1 unhealthy: 10.0.0.1:80 (status 503)",
            ),
            (3, 2, None, "9 endpoints, 3 unhealthy: 10.0.0.1:80 (status 503), 10.0.0.2:80 (returning), .."),
        ] {
            let survey = "9 endpoints".to_owned();
            let told = detail(survey, unhealthy, &named[..listed], breaker);
            assert_eq!(told, expected);
        }
    }
}
