//! Active health checks.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method};

/// How the endpoints of a cluster are asked whether they are well. Verdicts survive a reload while this is equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked and what counts as yes.
    pub probe: Probe,
    /// From the start of one check to the start of the next. Default 10 s.
    pub interval: Duration,
    /// A check takes no longer than this, connecting included. Default 2 s.
    pub timeout: Duration,
    /// Successes in a row after which an unhealthy endpoint returns; at least 1. Default 2.
    pub healthy_threshold: u32,
    /// Failures in a row after which a healthy endpoint leaves; at least 1. Default 3.
    pub unhealthy_threshold: u32,
    /// Where to ask instead of the endpoint's own port.
    pub port: Option<u16>,
    /// Whether a check that passes ends an ejection by outlier detection. Default false.
    pub ends_ejection: bool,
}

/// A question to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A request, judged by its status.
    Http {
        /// Method. Default GET.
        method: Method,
        /// Path and query.
        path: PathAndQuery,
        /// Statuses that count as healthy; never empty. Default 200 to 299.
        statuses: Vec<RangeInclusive<u16>>,
        /// Fields of the request.
        fields: ProbeFields,
    },
    /// A connection, with its TLS handshake where the cluster uses TLS.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service asked about; empty means the server.
        service: String,
        /// Fields of the request.
        fields: ProbeFields,
    },
    /// The agent card, which must be one.
    AgentCard {
        /// Path and query. Default `/.well-known/agent-card.json`.
        path: PathAndQuery,
        /// Fields of the request.
        fields: ProbeFields,
    },
}

/// Header fields of a check's request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeFields {
    /// `Host`; `None` means the endpoint's name and port.
    pub host: Option<HeaderValue>,
    /// The others.
    pub headers: HeaderMap,
}
