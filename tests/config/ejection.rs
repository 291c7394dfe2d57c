//! `outlierDetection` and `panic`: what the words of several proxies come to.

use std::time::Duration;

use attache::config::model::{Cluster, FailurePercentage, MaxFails, OutlierDetection, Panic, PanicAction, SuccessRate};

use crate::loaded;

fn legal(block: &str) -> Cluster {
    // As many as the modes that compare endpoints need.
    let five = "['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80', '10.0.0.4:80', '10.0.0.5:80']";
    let text = format!(
        "listeners: {{ http: {{ address: '127.0.0.1:1' }} }}\nroutes: {{ r: {{ cluster: c }} }}\n\
         clusters:\n  c:\n    endpoints: {five}\n    {block}\n"
    );
    let loaded = loaded(&text);
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    loaded.config.clusters.into_iter().next().unwrap()
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
