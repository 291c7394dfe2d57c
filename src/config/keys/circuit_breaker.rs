//! `clusters.X.circuitBreaker`: what a cluster carries at once, over all its endpoints and all workers, and when it is
//! left alone.

use std::fmt;
use std::time::Duration;

use super::{Count, Limit, MILLION, Time, section};
use crate::config::units::time;

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

    /// Its ceilings in words, where there are any, and what happens beyond them.
    #[must_use]
    pub fn ceilings(&self) -> Option<String> {
        let each = &self.per_endpoint;
        let limits = [
            ("connections", self.max_connections, ""),
            ("requests", self.max_requests, ""),
            ("streams", self.max_streams, ""),
            ("retries", self.max_retries, ""),
            ("connections", each.max_connections, " per endpoint"),
            ("requests", each.max_requests, " per endpoint"),
            ("streams", each.max_streams, " per endpoint"),
        ];
        let limits = limits.into_iter().filter_map(|(what, limit, scope)| Some(format!("{what} {}{scope}", limit?)));
        let of_connection = self.max_requests_per_connection;
        let of_connection = of_connection.map(|limit| format!("requests per connection {limit}"));
        let all: Vec<_> = limits.chain(of_connection).collect();
        let beyond = match self.max_pending_requests {
            0 => "503 at once".to_owned(),
            count => format!("{count} wait up to {}", time(self.pending_timeout)),
        };
        (!all.is_empty()).then(|| format!("{}, beyond them {beyond}", all.join(", ")))
    }
}

/// When it opens and how it closes.
impl fmt::Display for HalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (pause, growth) = (time(self.recovery_timeout), time(self.ramp_up));
        let failures = self.failure_threshold;
        write!(
            f,
            "opens after {failures} failures in a row for {pause}, then one probe, then a growing share for {growth}"
        )
    }
}
