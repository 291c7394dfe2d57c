//! Other proxies' words for health checks.

use super::Foreign;

pub(super) const FOREIGN: &[Foreign] = &[
    (
        &[
            "check",
            "httpchk",
            "option httpchk",
            "health_check",
            "health_checks",
            "activeHealthCheck",
            "httpHealthCheck",
            "tcpHealthCheck",
            "grpcHealthCheck",
            "livenessProbe",
            "readinessProbe",
        ],
        "healthCheck",
        "that is `healthCheck: { path: /health, interval: 5s }` here",
    ),
    (&["inter", "periodSeconds", "checkInterval"], "interval", "that is `interval: 5s` here"),
    (
        &["inter", "rise", "fall"],
        "healthCheck",
        "that is `healthCheck: { interval: 5s, healthyThreshold: 2, unhealthyThreshold: 3 }` here",
    ),
    (&["timeout check", "timeoutSeconds"], "timeout", "that is `timeout: 2s` here"),
    (&["rise", "passes", "successThreshold"], "healthyThreshold", "that is `healthyThreshold` here"),
    (&["fall", "fails", "failureThreshold"], "unhealthyThreshold", "that is `unhealthyThreshold` here"),
    (&["expect", "http-check expect", "matchStatus"], "expectedStatuses", "that is `expectedStatuses: [200-299]` here"),
    (
        &["kind", "protocol", "check-type"],
        "expectedStatuses",
        "that is `type` here: `http`, `tcp`, `grpc` or `agent-card`",
    ),
    (&["serviceName"], "service", "that is `service` here"),
    (&["successful_active_health_check_uneject_host", "uneject"], "endsEjection", "that is `endsEjection: true` here"),
];
