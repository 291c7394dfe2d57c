//! What probes are told about a cluster.

use crate::admin::health::{Check, Status};
use crate::cluster::{ClusterStatus, EndpointStatus};

/// The line about one cluster. A cluster in trouble is no reason to take traffic away from the whole gateway.
pub(super) fn check(cluster: &ClusterStatus) -> Check {
    let count = cluster.endpoints.len();
    let unhealthy: Vec<String> = cluster.endpoints.iter().filter_map(complaint).collect();
    let mut detail = match count {
        1 => "1 endpoint".to_owned(),
        several => format!("{several} endpoints"),
    };
    if !unhealthy.is_empty() {
        let shown = unhealthy.get(..MAX_SHOWN).unwrap_or(&unhealthy).join(", ");
        let more = if unhealthy.len() > MAX_SHOWN {
            ", .."
        } else {
            ""
        };
        detail = format!("{detail}, {} unhealthy: {shown}{more}", unhealthy.len());
    }
    Check {
        name: format!("cluster {}", cluster.name),
        status: if count == 0 || !unhealthy.is_empty() {
            Status::Degraded
        } else {
            Status::Ok
        },
        detail,
    }
}

fn complaint(endpoint: &EndpointStatus) -> Option<String> {
    let health = endpoint
        .health
        .as_ref()
        .filter(|health| !health.verdict.is_usable())?;
    Some(match &health.reason {
        Some(reason) => format!("{} ({reason})", endpoint.address),
        None => format!("{} (returning)", endpoint.address),
    })
}

/// Endpoints named in one line.
const MAX_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::health::{HealthStatus, Verdict};

    fn endpoint(port: u16, verdict: Option<Verdict>, reason: Option<&str>) -> EndpointStatus {
        EndpointStatus {
            address: ([10, 0, 0, 1], port).into(),
            name: "a".to_owned(),
            weight: 1,
            in_flight: 0,
            labels: BTreeMap::new(),
            health: verdict.map(|verdict| HealthStatus {
                verdict,
                reason: reason.map(str::to_owned),
                since: None,
            }),
        }
    }

    #[test]
    fn endpoints_in_words() {
        let healthy = || {
            endpoint(
                1,
                Some(Verdict::Healthy { failures: 1 }),
                Some("status 503"),
            )
        };
        let out = |port| endpoint(port, Some(Verdict::NeverWell), Some("status 503"));
        let returning = endpoint(3, Some(Verdict::Unhealthy { successes: 1 }), None);
        for (endpoints, status, detail) in [
            (vec![], Status::Degraded, "0 endpoints"),
            (vec![endpoint(1, None, None)], Status::Ok, "1 endpoint"),
            (
                vec![healthy(), endpoint(2, Some(Verdict::Unchecked), None)],
                Status::Ok,
                "2 endpoints",
            ),
            (
                vec![healthy(), out(2), returning],
                Status::Degraded,
                "3 endpoints, 2 unhealthy: 10.0.0.1:2 (status 503), 10.0.0.1:3 (returning)",
            ),
        ] {
            let cluster = ClusterStatus {
                name: "a".to_owned(),
                endpoints,
                names: Vec::new(),
            };
            let check = check(&cluster);
            assert_eq!((check.status, check.detail.as_str()), (status, detail));
        }
        let many = ClusterStatus {
            name: "a".to_owned(),
            endpoints: (1..100).map(out).collect(),
            names: Vec::new(),
        };
        let detail = check(&many).detail;
        assert!(detail.ends_with(", .."), "{detail}");
        assert!(detail.len() < 250, "{detail}");
    }
}
