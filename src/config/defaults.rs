//! The defaults of policies that are written: what `show` puts into a block that is there. Not here is what has no word
//! of its own (no ceiling, every host) or depends on something else (the machine, the method, another key); a test
//! knows the list.

use super::node::{Node, Value};
use super::raw::values::Time;
use super::show::{Defaults, each, has, put, put_all};
use serde::Deserialize as _;
use std::time::Duration;

const RETRIES: Defaults = &[
    ("attempts", "2"),
    ("perTryTimeout", "off"),
    ("retryOn", "\"connect-failure,refused-stream,reset,invalid-response\""),
    ("retriableHeaders", "[]"),
    ("backoff.base", "25ms"),
    ("backoff.max", "250ms"),
    ("maxReplayBytes", "1MiB"),
    ("hedging", "false"),
];

const RETRY_BUDGET: Defaults = &[("budget.percent", "20%"), ("budget.minConcurrent", "3")];

const ROLLOUT: Defaults = &[("losing", "finish"), ("onFailure", "rollback")];

const ANALYSIS: Defaults =
    &[("startingStep", "0"), ("interval", "30s"), ("count", "1"), ("failureLimit", "0"), ("minRequests", "50")];

const RESPOND: Defaults = &[("status", "200"), ("body", "\"\"")];

const MAX_FAILS: Defaults = &[("failTimeout", "10s")];

const SUCCESS_RATE: Defaults = &[("minHosts", "5"), ("minRequests", "100"), ("stdevFactor", "1.9")];

const FAILURE_PERCENTAGE: Defaults = &[("threshold", "85%"), ("minHosts", "5"), ("minRequests", "50")];

const CHECK: Defaults = &[("endsEjection", "false")];

const HTTP_CHECK: Defaults = &[("method", "GET"), ("expectedStatuses", "[200-299]")];

const CARD_CHECK: Defaults = &[("path", "/.well-known/agent-card.json")];

/// Fills the policies of routes and clusters. Limits of a route's own are filled as shared ones are.
pub(super) fn fill_policies(root: &mut Node, limit: Defaults) {
    each(root, "routes", |route| {
        if has(route, "cluster") || has(route, "split") {
            put_all(route, &[("fault", "off"), ("mirror", "off")]);
        }
        inside(route, "retries", |retries| {
            let has_budget = has(retries, "budget");
            put_all(retries, RETRIES);
            if !has_budget || is_map(retries.get("budget")) {
                put_all(retries, RETRY_BUDGET);
            }
        });
        inside(route, "rollout", |rollout| {
            put_all(rollout, ROLLOUT);
            inside(rollout, "analysis", |analysis| put_all(analysis, ANALYSIS));
        });
        inside(route, "respond", |respond| put_all(respond, RESPOND));
        if let Some(limits) = route.get_mut("rateLimit") {
            match &mut limits.value {
                Value::List(items) => {
                    let own = items.iter_mut().filter(|item| is_map(Some(item)));
                    own.for_each(|item| put_all(item, limit));
                }
                Value::Map(_) => put_all(limits, limit),
                _ => {}
            }
        }
    });
    each(root, "clusters", |cluster| {
        put_all(cluster, &[("healthCheck", "off")]);
        inside(cluster, "outlierDetection", |detection| {
            let counts = detection.get("maxFails").is_some_and(|fails| !is_word(fails, "off"));
            if counts {
                put_all(detection, MAX_FAILS);
                if !has(detection, "consecutiveErrors") {
                    put_all(detection, &[("consecutive5xxErrors", "off")]);
                }
            }
            longest_ejection(detection);
            inside(detection, "successRate", |rate| put_all(rate, SUCCESS_RATE));
            inside(detection, "failurePercentage", |share| {
                put_all(share, FAILURE_PERCENTAGE);
            });
        });
        inside(cluster, "healthCheck", |check| {
            let kind = match check.get("type").map(|kind| &kind.value) {
                Some(Value::Scalar(kind)) => kind.text.to_ascii_lowercase(),
                _ => "http".to_owned(),
            };
            put_all(check, CHECK);
            if kind.starts_with("http") {
                put_all(check, HTTP_CHECK);
            } else if kind.contains("card") {
                put_all(check, CARD_CHECK);
            }
        });
    });
}

/// Five minutes, or the first ejection where that takes longer.
fn longest_ejection(detection: &mut Node) {
    const USUAL: Duration = Duration::from_secs(300);
    let first = detection.get("baseEjectionTime").cloned();
    let longer = first.filter(|first| Time::deserialize(first).is_ok_and(|time| time.0 > USUAL));
    match longer {
        Some(first) => put(detection, "maxEjectionTime", &first.as_default()),
        None => put_all(detection, &[("maxEjectionTime", "5m")]),
    }
}

/// Changes the mapping at `key` where there is one; what is off stays off.
fn inside(node: &mut Node, key: &str, change: impl FnOnce(&mut Node)) {
    if let Some(inner) = node.get_mut(key).filter(|inner| is_map(Some(inner))) {
        change(inner);
    }
}

fn is_map(node: Option<&Node>) -> bool {
    node.is_some_and(|node| matches!(node.value, Value::Map(_)))
}

fn is_word(node: &Node, word: &str) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.text.eq_ignore_ascii_case(word))
}
