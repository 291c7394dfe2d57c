//! `clusters.X.outlierDetection` and `clusters.X.panic`: contradictions, and what never ejects anybody.

use std::time::Duration;

use super::Scope;
use crate::config::keys::OrOff;
use crate::config::model::{Member, MemberAddress, OutlierDetection, Panic};
use crate::config::node::{Step, steps};
use crate::config::report::Diagnostic;

/// Resolves `outlierDetection`; `None` means that nothing is ever ejected.
pub(super) fn detection(
    name: &str,
    given: Option<OrOff<OutlierDetection>>,
    members: &[Member],
    scope: &mut Scope<'_>,
) -> Option<OutlierDetection> {
    let Some(given) = given else { return Some(OutlierDetection::unasked()) };
    let policy = given.on()?;
    if scope.is_given(&at(name, "failTimeout")) && policy.window().is_none() {
        let diagnostic = Diagnostic::lacks("`failTimeout` needs `maxFails`");
        scope.add_key(&at(name, "failTimeout"), diagnostic.hint("add `maxFails: 3`, or write `baseEjectionTime`"));
    }
    times(name, &policy, scope);
    if policy.failure_percentage.is_some_and(|rate| rate.threshold == 0) {
        let at = steps!["clusters", name, "outlierDetection", "failurePercentage", "threshold"];
        scope.invalid(&at, "0 % failures would eject everybody", "`1%` to `100%`");
    }
    never_ejects(name, &policy, members, scope);
    Some(policy.settled())
}

/// Resolves `panic`, for which Istio's detection has a word as well.
pub(super) fn panic(
    name: &str,
    given: Option<Panic>,
    detection: Option<&OrOff<OutlierDetection>>,
    scope: &mut Scope<'_>,
) -> Panic {
    let istio = match detection {
        Some(OrOff::On(policy)) => policy.min_health_percent,
        _ => None,
    };
    let panic = given.unwrap_or_else(|| Panic { threshold: 0, ..Panic::default() });
    if !scope.is_given(&steps!["clusters", name, "panic"]) {
        return Panic { threshold: istio.unwrap_or(panic.threshold), ..panic };
    }
    if istio.is_some() {
        let hint = "keep `panic: { threshold: .. }`";
        scope.conflict(&at(name, "minHealthPercent"), "`minHealthPercent` and `panic` say the same", hint);
    }
    panic
}

fn at(name: &str, key: &str) -> [Step; 4] {
    steps!["clusters", name, "outlierDetection", key]
}

/// Interval, first and longest ejection.
fn times(name: &str, policy: &OutlierDetection, scope: &mut Scope<'_>) {
    let (base, max) = (policy.base_ejection_time, policy.longest());
    if base > max {
        let key = if scope.is_given(&at(name, "baseEjectionTime")) { "baseEjectionTime" } else { "maxEjectionTime" };
        let message = format!("the first ejection ({base:?}) is longer than the longest ({max:?})");
        scope.add(&at(name, key), Diagnostic::conflict(message).hint(format!("change `{key}`")));
    }
    if policy.interval < MIN_INTERVAL {
        let message = format!("an interval of {:?} is too short to count anything", policy.interval);
        scope.invalid(&at(name, "interval"), message, "`100ms` or more");
    }
}

/// Warns of a block that can never do anything.
fn never_ejects(name: &str, policy: &OutlierDetection, members: &[Member], scope: &mut Scope<'_>) {
    let mut working = members.iter().filter(|member| member.weight > 0);
    let alone = working.clone().count() < 2 && !working.any(is_name);
    let nothing = policy.consecutive_5xx().is_none()
        && policy.consecutive_gateway().is_none()
        && policy.window().is_none()
        && !policy.compares_rates()
        && !policy.rest_on_retry_after;
    let (message, hint) = if policy.max_ejection_percent == 0 {
        let hint = "write `outlierDetection: off`, or `1%` for one endpoint";
        return scope.warn(&at(name, "maxEjectionPercent"), "never-ejects", "0 % never ejects anybody", hint);
    } else if nothing {
        let hint = "write `outlierDetection: off`, or `consecutive5xxErrors: 5`";
        ("every detector is off, so nobody is ever ejected", hint)
    } else if alone && !members.is_empty() {
        ("the only endpoint is never ejected", "add a second endpoint, or take this out")
    } else {
        return too_few_to_compare(name, policy, members, scope);
    };
    scope.warn_key(&steps!["clusters", name, "outlierDetection"], "never-ejects", message, hint);
}

/// Whether it may be several endpoints.
fn is_name(member: &Member) -> bool {
    matches!(member.address, MemberAddress::Name { .. })
}

/// Warns of rates that are never compared, because the cluster has fewer endpoints than that takes.
fn too_few_to_compare(name: &str, policy: &OutlierDetection, members: &[Member], scope: &mut Scope<'_>) {
    if members.is_empty() || members.iter().any(is_name) {
        return;
    }
    let count = members.iter().filter(|member| member.weight > 0).count();
    let success = policy.success_rate.map(|rate| rate.min_hosts);
    let failure = policy.failure_percentage.map(|rate| rate.min_hosts);
    for (key, needed) in [("successRate", success), ("failurePercentage", failure)] {
        let Some(needed) = needed.filter(|needed| u32::try_from(count).is_ok_and(|count| count < *needed)) else {
            continue;
        };
        let message = format!("this never ejects anybody: it needs {needed} endpoints, and there are {count}");
        let diagnostic = Diagnostic::warning("never-ejects", message);
        let hint = format!("write `{key}: {{ minHosts: {count} }}`, or leave it out");
        scope.missing(&at(name, key), diagnostic.hint(hint));
    }
}

/// The control thread looks no more often.
const MIN_INTERVAL: Duration = Duration::from_millis(100);
