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
        let Some(needed) = needed.filter(|needed| count < super::to_usize(u64::from(*needed))) else {
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::config::model::{Cluster, FailurePercentage, MaxFails, PanicAction, SuccessRate};
    use crate::config::{Environment, Report, parse};

    fn load(cluster: &str) -> Result<(Cluster, Report), Report> {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:1' }} }}\nroutes: {{ r: {{ cluster: c }} }}\n\
             clusters:\n  c:\n    {}\n",
            cluster.trim().replace('\n', "\n    ")
        );
        let env = Environment::empty(UNIX_EPOCH + Duration::from_secs(1));
        let loaded = parse(&text, "gateway.yaml", &env)?;
        let cluster = loaded.config.clusters.into_iter().next().unwrap();
        Ok((cluster, loaded.warnings))
    }

    fn legal(block: &str) -> Cluster {
        // As many as the modes that compare endpoints need.
        let five = "['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80', '10.0.0.4:80', '10.0.0.5:80']";
        let text = format!("endpoints: {five}\n{block}");
        let (cluster, warnings) = load(&text).unwrap_or_else(|report| panic!("{report}"));
        assert!(warnings.is_empty(), "{warnings}");
        cluster
    }

    #[test]
    fn what_blocks_mean() {
        let block = OutlierDetection::default().settled();
        for (text, expected) in [
            ("", Some(OutlierDetection::unasked())),
            ("outlierDetection: null", Some(OutlierDetection::unasked())),
            ("outlierDetection: off", None),
            ("outlierDetection: {}", Some(block.clone())),
            (
                "outlierDetection: { consecutiveErrors: 3, interval: 30s, baseEjectionTime: 10m, maxEjectionPercent: 50 }",
                Some(OutlierDetection {
                    consecutive_5xx_errors: Some(3),
                    interval: Duration::from_secs(30),
                    base_ejection_time: Duration::from_secs(600),
                    max_ejection_time: Some(Duration::from_secs(600)),
                    max_ejection_percent: 50,
                    ..block.clone()
                }),
            ),
            (
                "outlierDetection: { consecutive5xxErrors: 0, consecutiveGatewayErrors: 5, count500: false }",
                Some(OutlierDetection { count500: false, ..OutlierDetection::unasked() }),
            ),
            (
                "outlierDetection: { maxFails: 3, failTimeout: 30s }",
                Some(OutlierDetection {
                    consecutive_5xx_errors: Some(0),
                    max_fails: 3,
                    fail_timeout: Duration::from_secs(30),
                    ..block.clone()
                }),
            ),
            (
                "outlierDetection: { maxFails: 1, consecutive5xxErrors: 7, successRate: { stdevFactor: 2.5 }, failurePercentage: { threshold: 50% } }",
                Some(OutlierDetection {
                    consecutive_5xx_errors: Some(7),
                    max_fails: 1,
                    success_rate: Some(SuccessRate { stdev_thousandths: 2500, ..SuccessRate::default() }),
                    failure_percentage: Some(FailurePercentage { threshold: 50, ..FailurePercentage::default() }),
                    ..block
                }),
            ),
        ] {
            assert_eq!(legal(text).outlier_detection, expected, "{text}");
        }
    }

    #[test]
    fn defaults_that_follow_from_other_keys() {
        let seconds = Duration::from_secs;
        for (block, in_a_row, down, window, longest) in [
            ("{}", Some(5), None, None, 300),
            ("{ baseEjectionTime: 10m }", Some(5), None, None, 600),
            ("{ maxFails: 3 }", None, None, Some((3, 10)), 300),
            ("{ maxFails: 1, consecutive5xxErrors: 7, failTimeout: 30s }", Some(7), None, Some((1, 30)), 300),
            ("{ maxFails: 0, consecutiveGatewayErrors: 0 }", Some(5), None, None, 300),
            ("{ consecutive5xxErrors: 0, consecutiveGatewayErrors: 4 }", None, Some(4), None, 300),
        ] {
            let policy = legal(&format!("outlierDetection: {block}")).outlier_detection.unwrap();
            assert_eq!((policy.consecutive_5xx(), policy.consecutive_gateway()), (in_a_row, down), "{block}");
            let window = window.map(|(fails, timeout)| MaxFails { fails, timeout: seconds(timeout) });
            assert_eq!((policy.window(), policy.longest()), (window, seconds(longest)), "{block}");
        }
    }

    #[test]
    fn what_panic_means() {
        for (text, threshold, action) in [
            ("", 50, PanicAction::Balance),
            ("panic: off", 0, PanicAction::Balance),
            ("panic: { threshold: 30%, action: fail }", 30, PanicAction::Fail),
            ("panic: { action: FAIL_TRAFFIC }", 50, PanicAction::Fail),
            ("outlierDetection: { minHealthPercent: 40 }", 40, PanicAction::Balance),
            ("outlierDetection: { minHealthPercent: 0 }", 0, PanicAction::Balance),
        ] {
            assert_eq!(legal(text).panic, Panic { threshold, action }, "{text}");
        }
        assert_eq!(legal("slowStart: off").slow_start, None);
        assert_eq!(legal("").slow_start, Some(Duration::from_secs(30)));
    }
}
