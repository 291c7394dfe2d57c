//! `clusters.X.circuitBreaker`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Time;

/// What a cluster carries at once, over all its endpoints, and when it is left alone. At a ceiling requests wait as far
/// as they may and are then refused with 503 and the reason `circuit_open`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct CircuitBreaker {
    /// Open connections. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_connections: Option<u64>,
    /// Requests that wait at a ceiling. Default: 0, refused at once.
    #[schemars(range(max = 1_000_000))]
    pub(in crate::config) max_pending_requests: Option<u64>,
    /// How long they wait. Default: 1s.
    pub(in crate::config) pending_timeout: Option<Time>,
    /// Requests under way that are no streams. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_requests: Option<u64>,
    /// Open event streams, gRPC calls and upgraded connections. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_streams: Option<u64>,
    /// Retries under way. Default: no ceiling.
    #[schemars(range(max = 1_000_000))]
    pub(in crate::config) max_retries: Option<u64>,
    /// Requests after which a connection is closed. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_requests_per_connection: Option<u64>,
    /// Ceilings of each endpoint; a request goes to one with room.
    pub(in crate::config) per_endpoint: Option<PerEndpoint>,
    /// Leaves the cluster alone after failures in a row, then tries one request; `{}` is enough.
    pub(in crate::config) half_open: Option<HalfOpen>,
}

/// Ceilings of each endpoint.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct PerEndpoint {
    /// Open connections. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_connections: Option<u64>,
    /// Requests under way that are no streams. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_requests: Option<u64>,
    /// Open event streams, gRPC calls and upgraded connections. Default: no ceiling.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_streams: Option<u64>,
}

/// The breaker that opens after failures in a row.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct HalfOpen {
    /// Failures in a row, of any endpoints, that open it. Default: 5.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) failure_threshold: Option<u64>,
    /// How long nothing is sent; then one request is. Default: 30s.
    pub(in crate::config) recovery_timeout: Option<Time>,
    /// From the first good answer until everything is sent again; 0s is at once. Default: 10s.
    pub(in crate::config) ramp_up: Option<Time>,
}
