//! The lines of `attache explain` about endpoints: what ejects one, how it returns, and what happens when too few are
//! usable.

use super::describe::time;
use crate::config::model::{Cluster, Panic, PanicAction};

/// What ejects an endpoint, and for how long.
pub(super) fn ejection(cluster: &Cluster) -> String {
    let Some(policy) = &cluster.outlier_detection else {
        return "ejection  off".to_owned();
    };
    let mut causes = Vec::new();
    let mut told = Vec::new();
    if let Some(count) = policy.consecutive_5xx {
        let but = if policy.count_500 { "" } else { " but 500" };
        causes.push(format!("{count} failures in a row (any 5xx{but})"));
    }
    if let Some(count) = policy.consecutive_gateway {
        causes.push(format!("{count} failures in a row (down or broken)"));
    }
    if policy.success_rate.is_some() {
        causes.push("a success rate far below the others'".to_owned());
    }
    if let Some(rate) = policy.failure_percentage {
        causes.push(format!("{}% failures", rate.threshold));
    }
    if !causes.is_empty() {
        told.push(format!(
            "after {}, for {} times the number of ejections, at most {}",
            causes.join(" or "),
            time(policy.base_ejection_time),
            time(policy.max_ejection_time),
        ));
    }
    if let Some(limit) = policy.max_fails {
        let timeout = time(limit.timeout);
        told.push(format!("after {} failures in {timeout}, for {timeout}", limit.fails));
    }
    if policy.rest_on_retry_after {
        let longest = time(policy.max_ejection_time);
        told.push(format!("after a Retry-After, for so long, at most {longest}"));
    }
    if told.is_empty() {
        return "ejection  every detector is off".to_owned();
    }
    format!("ejection  {}; {}% of the endpoints or one, never the last", told.join("; "), policy.max_ejection_percent,)
}

/// Which endpoints are preferred, and what happens when too few are usable.
pub(super) fn usage(cluster: &Cluster) -> String {
    let mut parts = Vec::new();
    if let Some(zone) = &cluster.zone {
        parts.push(format!("zone {zone} first"));
    }
    if cluster.members.iter().any(|member| member.priority > 0) {
        parts.push("groups by priority".to_owned());
    }
    parts.push(match cluster.slow_start {
        Some(window) => format!("slow start {}", time(window)),
        None => "no slow start".to_owned(),
    });
    parts.push(match cluster.panic {
        Panic { threshold: 0, .. } => "no panic".to_owned(),
        Panic { threshold, action: PanicAction::Balance } => format!("below {threshold}% usable all are used"),
        Panic { threshold, action: PanicAction::Fail } => format!("below {threshold}% usable the answer is 503"),
    });
    format!("use       {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::{self, Environment, model::Config};

    fn cluster(text: &str) -> Cluster {
        let whole = format!(
            "zone: a\nlisteners: {{ http: {{ address: '127.0.0.1:1' }} }}\n\
             routes: {{ r: {{ cluster: c }} }}\nclusters: {{ c: {{ endpoints: ['10.0.0.1:1', '10.0.0.2:1'], {text} }} }}"
        );
        let env = Environment::empty(std::time::UNIX_EPOCH + Duration::from_secs(1));
        let config: Config = config::parse(&whole, "c.yaml", &env).unwrap().config;
        config.clusters[0].clone()
    }

    #[test]
    fn says_what_takes_an_endpoint_out() {
        for (text, expected) in [
            (
                "",
                "after 5 failures in a row (down or broken), for 30s times the number of ejections, at most 5m; 10% of the endpoints or one, never the last",
            ),
            ("outlierDetection: off", "off"),
            (
                "outlierDetection: { consecutiveErrors: 3, count500: false, baseEjectionTime: 1m, maxEjectionPercent: 50 }",
                "after 3 failures in a row (any 5xx but 500), for 1m times the number of ejections, at most 5m; 50% of the endpoints or one, never the last",
            ),
            (
                "outlierDetection: { maxFails: 3, failTimeout: 20s, restOnRetryAfter: true }",
                "after 3 failures in 20s, for 20s; after a Retry-After, for so long, at most 5m; 10% of the endpoints or one, never the last",
            ),
            ("outlierDetection: { consecutive5xxErrors: off }", "every detector is off"),
        ] {
            assert_eq!(ejection(&cluster(text)), format!("ejection  {expected}"), "{text}");
        }
    }

    #[test]
    fn says_who_is_used() {
        for (text, expected) in [
            ("", "zone a first, slow start 30s, below 50% usable all are used"),
            ("slowStart: off, zones: ignore, panic: off", "no slow start, no panic"),
            (
                "zones: ignore, panic: { threshold: 30%, action: fail }",
                "slow start 30s, below 30% usable the answer is 503",
            ),
        ] {
            assert_eq!(usage(&cluster(text)), format!("use       {expected}"), "{text}");
        }
    }
}
