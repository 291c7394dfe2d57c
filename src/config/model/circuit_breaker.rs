//! What a cluster carries at once, and when it is left alone.

use std::time::Duration;

/// Circuit breaking of one cluster. Off by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// What it carries at once.
    pub ceilings: Ceilings,
    /// When nothing is sent at all.
    pub half_open: Option<HalfOpen>,
}

/// Ceilings of a cluster, over all its endpoints and all workers. `None` is no ceiling.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ceilings {
    /// Open connections.
    pub max_connections: Option<usize>,
    /// Requests that wait at a ceiling. Default 0.
    pub max_pending_requests: usize,
    /// How long they wait. Default 1 s.
    pub pending_timeout: Duration,
    /// Requests under way that are no streams.
    pub max_requests: Option<usize>,
    /// Open streams.
    pub max_streams: Option<usize>,
    /// Retries under way.
    pub max_retries: Option<usize>,
    /// Requests after which a connection is closed.
    pub max_requests_per_connection: Option<u32>,
    /// The same for each endpoint.
    pub per_endpoint: EndpointCeilings,
}

/// Ceilings of each endpoint of a cluster, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointCeilings {
    /// Open connections.
    pub max_connections: Option<usize>,
    /// Requests under way that are no streams.
    pub max_requests: Option<usize>,
    /// Open streams.
    pub max_streams: Option<usize>,
}

/// The half-open breaker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HalfOpen {
    /// Failures in a row that open it. Default 5.
    pub failure_threshold: u32,
    /// How long it stays open. Default 30 s.
    pub recovery_timeout: Duration,
    /// From a good probe until everything is sent again; zero is at once. Default 10 s.
    pub ramp_up: Duration,
}

impl Ceilings {
    /// Whether nothing is counted at all.
    #[must_use]
    pub fn is_off(&self) -> bool {
        let Self {
            max_connections,
            max_requests,
            max_streams,
            max_retries,
            per_endpoint,
            max_pending_requests: _,
            pending_timeout: _,
            max_requests_per_connection: _,
        } = self;
        let all = [max_connections, max_requests, max_streams, max_retries];
        all.iter().all(|limit| limit.is_none()) && *per_endpoint == EndpointCeilings::default()
    }
}
