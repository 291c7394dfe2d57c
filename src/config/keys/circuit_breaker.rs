//! `clusters.X.circuitBreaker`: what a cluster carries at once, over all its endpoints and all workers, and when it is
//! left alone.

use std::time::Duration;

use super::{Count, Limit, MILLION, Time, section};

section! {
    #[derive(PartialEq, Eq)]
    /// What a cluster carries at once, over all its endpoints, and when it is left alone. At a ceiling requests wait as
    /// far as they may and are then refused with 503 and the reason `circuit_open`.
    pub struct CircuitBreaker {
        /// Open connections. Default: no ceiling.
        max_connections: Option<usize> as Count<1, MILLION>,
        /// Requests that wait at a ceiling; 0 refuses them at once.
        max_pending_requests: usize as Count<0, MILLION> = 0,
        /// How long they wait.
        pending_timeout: Duration as Limit = 1s,
        /// Requests under way that are no streams. Default: no ceiling.
        max_requests: Option<usize> as Count<1, MILLION>,
        /// Open event streams, gRPC calls and upgraded connections. Default: no ceiling.
        max_streams: Option<usize> as Count<1, MILLION>,
        /// Retries under way. Default: no ceiling.
        max_retries: Option<usize> as Count<0, MILLION>,
        /// Requests after which a connection is closed. Default: no ceiling.
        max_requests_per_connection: Option<u32> as Count<1, MILLION>,
        /// Ceilings of each endpoint; a request goes to one with room.
        per_endpoint: EndpointCeilings = {},
        /// Leaves the cluster alone after failures in a row, then tries one request; `{}` is enough. Default: off.
        half_open: Option<HalfOpen>,
    }

    #[derive(PartialEq, Eq)]
    /// Ceilings of each endpoint.
    pub struct EndpointCeilings {
        /// Open connections. Default: no ceiling.
        max_connections: Option<usize> as Count<1, MILLION>,
        /// Requests under way that are no streams. Default: no ceiling.
        max_requests: Option<usize> as Count<1, MILLION>,
        /// Open event streams, gRPC calls and upgraded connections. Default: no ceiling.
        max_streams: Option<usize> as Count<1, MILLION>,
    }

    #[derive(PartialEq, Eq)]
    /// The breaker that opens after failures in a row.
    pub struct HalfOpen {
        /// Failures in a row, of any endpoints, that open it.
        failure_threshold: u32 as Count<1, MILLION> = 5,
        /// How long nothing is sent; then one request is.
        recovery_timeout: Duration as Limit = 30s,
        /// From the first good answer until everything is sent again; 0s is at once.
        ramp_up: Duration as Time = 10s,
    }
}

impl CircuitBreaker {
    /// Whether a request can be over a ceiling.
    #[must_use]
    pub fn has_ceilings(&self) -> bool {
        let all = [self.max_connections, self.max_requests, self.max_streams];
        all.iter().any(Option::is_some) || self.per_endpoint != EndpointCeilings::default()
    }
}
