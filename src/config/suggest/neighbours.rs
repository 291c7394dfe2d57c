//! Keys of ours that stand one section away from where they were written.

/// Fields that are looked for in the wrong kind of mapping.
pub(super) const NEIGHBOURS: &[(&str, &[&str], &str)] = &[
    (
        "Metric",
        &["failureLimit", "interval", "count", "minRequests", "startingStep"],
        "`analysis`, for all its metrics",
    ),
    (
        "Cluster",
        &[
            "maxConnections", "maxPendingRequests", "pendingTimeout", "maxRequests", "maxStreams", "maxRetries",
            "maxRequestsPerConnection", "halfOpen",
        ],
        "`circuitBreaker`",
    ),
    ("CircuitBreaker", &["failureThreshold", "recoveryTimeout", "rampUp"], "`halfOpen`"),
    ("Route", &["path", "methods", "method", "headers", "query"], "`match`"),
    ("Route", &["loadBalancer", "protocol", "discovery", "connectTimeout", "keepalive", "tls"], "a cluster"),
    ("Route", &["rate", "burst", "nodelay", "maxKeys"], "`rateLimit`"),
    ("Route", &["address", "limits", "httpsRedirect", "certificates"], "a listener"),
    (
        "Cluster",
        &["timeout", "streaming", "match", "rewrite", "requestHeaders", "responseHeaders", "upstreamHost"],
        "a route",
    ),
    (
        "Listener",
        &["maxConnections", "maxHeaderBytes", "maxBodyBytes", "headerTimeout", "idleTimeout", "maxConcurrentStreams"],
        "`limits`",
    ),
    ("Listener", &["certificates", "certFile", "keyFile", "minVersion", "clientAuth", "unknownSni"], "`tls`"),
    ("Listener", &["hosts", "routes"], "a route"),
    ("Logging", &["accessLog"], "the top level of the file"),
];
