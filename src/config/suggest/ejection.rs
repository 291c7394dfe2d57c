//! Other proxies' words for which endpoints are used: outlier detection, slow start, backups, zones, panic.

use super::Foreign;

/// Where several fit, the first whose word of ours is known there.
pub(super) const FOREIGN: &[Foreign] = &[
    (&["max_fails", "fall", "errorLimit"], "maxFails", "that is `maxFails: 3` here"),
    (&["fail_timeout"], "failTimeout", "that is `failTimeout: 30s` here"),
    (
        &["consecutive_5xx", "consecutiveLocalOriginFailures"],
        "consecutive5xxErrors",
        "that is `consecutive5xxErrors: 5` here; failed connections count as well",
    ),
    (
        &["splitExternalLocalOriginErrors", "consecutive_gateway_failure"],
        "consecutiveGatewayErrors",
        "that is `consecutiveGatewayErrors: 5` here: failed connections, resets, timeouts, 502, 503, 504",
    ),
    (
        &[
            "success_rate_stdev_factor",
            "success_rate_minimum_hosts",
            "success_rate_request_volume",
            "enforcing_success_rate",
        ],
        "successRate",
        "that is `successRate: { minHosts: 5, minRequests: 100, stdevFactor: 1.9 }` here",
    ),
    (
        &["failure_percentage_threshold", "failure_percentage_minimum_hosts", "failure_percentage_request_volume"],
        "failurePercentage",
        "that is `failurePercentage: { threshold: 85%, minHosts: 5, minRequests: 50 }` here",
    ),
    (
        &[
            "max_fails",
            "fail_timeout",
            "maxFails",
            "failTimeout",
            "consecutiveErrors",
            "consecutive5xxErrors",
            "consecutiveGatewayErrors",
            "baseEjectionTime",
            "observe",
            "errorLimit",
        ],
        "outlierDetection",
        "that is `outlierDetection: { maxFails: 3, failTimeout: 30s }` or `{ consecutive5xxErrors: 5 }` here",
    ),
    (
        &["max_fails", "fail_timeout", "maxFails", "failTimeout", "errorLimit"],
        "weight",
        "that is `outlierDetection: { maxFails: 3, failTimeout: 30s }` of the cluster here",
    ),
    (&["slow_start", "warmup", "warmupDurationSecs", "slowStartConfig"], "slowStart", "that is `slowStart: 30s` here"),
    (&["slow_start", "slowstart", "slowStart"], "weight", "that is `slowStart: 30s` of the cluster here"),
    (&["backup"], "priority", "that is `priority: 1` here"),
    (&["healthyPanicThreshold", "minHealthPercent"], "panic", "that is `panic: { threshold: 50% }` here"),
    (&["failTrafficOnPanic", "mode"], "action", "that is `action: fail` here"),
    (
        &["localityLbSetting", "localityLbConfig", "zoneAwareLbConfig"],
        "zones",
        "that is `zones: prefer` here, with the gateway's own `zone` at the top level",
    ),
];
