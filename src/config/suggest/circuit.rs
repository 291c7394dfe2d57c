//! Other proxies' words about circuit breaking, which they know under many names.

use super::Foreign;

/// Looked at before those of everything else: `max_fails` means one thing here and another there.
pub(super) const FOREIGN: &[Foreign] = &[
    (
        &[
            "consecutiveErrors",
            "consecutive5xxErrors",
            "consecutiveGatewayErrors",
            "interval",
            "baseEjectionTime",
            "maxEjectionPercent",
            "minHealthPercent",
        ],
        "maxPendingRequests",
        "that is `outlierDetection`, which stands beside `circuitBreaker`",
    ),
    (
        &["tcp", "http", "thresholds", "connectionPool"],
        "maxPendingRequests",
        "the ceilings stand side by side here: `maxConnections`, `maxRequests`, ..",
    ),
    (&["max_conns", "maxconn", "maxConn"], "maxConnections", "that is `maxConnections` here"),
    (
        &["http1MaxPendingRequests", "maxqueue", "queue", "max_queue"],
        "maxPendingRequests",
        "that is `maxPendingRequests` here",
    ),
    (&["http2MaxRequests", "maxConcurrentRequests"], "maxRequests", "that is `maxRequests` here"),
    (&["timeout", "timeoutQueue", "queueTimeout"], "pendingTimeout", "that is `pendingTimeout` here"),
    (&["perHost", "perHostThresholds", "endpoint", "perServer"], "perEndpoint", "that is `perEndpoint` here"),
    (
        &[
            "openFor",
            "openTime",
            "breakDuration",
            "fallbackDuration",
            "resetTimeout",
            "sleepWindow",
            "waitDurationInOpenState",
        ],
        "recoveryTimeout",
        "that is `recoveryTimeout` here",
    ),
    (&["consecutiveFailures", "maxFailures", "max_fails"], "failureThreshold", "that is `failureThreshold` here"),
    (&["recoveryDuration"], "rampUp", "that is `rampUp` here"),
    (
        &["connectionPool", "circuitBreakers"],
        "circuitBreaker",
        "that is `circuitBreaker: { maxConnections: .., maxRequests: .. }` here",
    ),
    (
        &["max_conns", "maxconn"],
        "circuitBreaker",
        "that is `circuitBreaker: { perEndpoint: { maxConnections: .. } }` here",
    ),
    (
        &["max_conns", "maxconn", "maxConnections"],
        "weight",
        "that is `circuitBreaker: { perEndpoint: { maxConnections: .. } }` of the cluster",
    ),
];
