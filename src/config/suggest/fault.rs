//! Other proxies' words for what a route does to its traffic besides passing it on. See `suggest`, which also has the
//! rest of them.

use super::Foreign;

/// Words of faults and mirrors.
pub(super) const FOREIGN: &[Foreign] = &[
    (
        &["mirrorPercentage", "mirrorPercent", "mirrors", "requestMirror", "requestMirrorPolicies", "shadow"],
        "mirror",
        "that is `mirror: { cluster: name, percentage: 5% }` here",
    ),
    (&["host", "subset", "requestMirrorCluster"], "unsafe", "that is `cluster: name` here"),
    (
        &["httpFault", "httpFaultInjection", "faultInjection", "faults", "chaos"],
        "fault",
        "that is `fault: { delay: { percentage: 0.1%, fixedDelay: 2s } }` here",
    ),
    (&["percent", "runtimeFraction", "fraction"], "percentage", "that is `percentage: 10%` here"),
    (&["exponentialDelay", "duration"], "fixedDelay", "that is `fixedDelay: 2s` here"),
    (&["http2Error"], "httpStatus", "that is `httpStatus` or `grpcStatus` here"),
    (&["headerDelay", "headerAbort", "headers"], "byHeader", "that is `byHeader: { clients: [10.0.0.0/8] }` here"),
    (&["maxActiveFaults"], "maxActive", "that is `maxActive` here"),
];
