//! Which endpoints are used: what is preferred, what ejects one, how it returns, and what happens when too few are
//! usable.

use crate::cli::words::time;
use crate::config::model::{Cluster, Panic, PanicAction};

/// A line for what is preferred and one for ejection.
pub(super) fn lines(cluster: &Cluster) -> Vec<String> {
    vec![usage(cluster), ejection(cluster)]
}

/// What ejects an endpoint, and for how long.
fn ejection(cluster: &Cluster) -> String {
    let Some(policy) = &cluster.outlier_detection else {
        return "ejection  off".to_owned();
    };
    let mut causes = Vec::new();
    let mut told = Vec::new();
    if let Some(count) = policy.consecutive_5xx() {
        let but = if policy.count500 { "" } else { " but 500" };
        causes.push(format!("{count} failures in a row (any 5xx{but})"));
    }
    if let Some(count) = policy.consecutive_gateway() {
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
            time(policy.longest()),
        ));
    }
    if let Some(limit) = policy.window() {
        let timeout = time(limit.timeout);
        told.push(format!("after {} failures in {timeout}, for {timeout}", limit.fails));
    }
    if policy.rest_on_retry_after {
        let longest = time(policy.longest());
        told.push(format!("after a Retry-After, for so long, at most {longest}"));
    }
    if told.is_empty() {
        return "ejection  every detector is off".to_owned();
    }
    format!("ejection  {}; {}% of the endpoints or one, never the last", told.join("; "), policy.max_ejection_percent,)
}

/// Which endpoints are preferred, and what happens when too few are usable.
fn usage(cluster: &Cluster) -> String {
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
