//! Upstream clusters: endpoints, balancing, the connections to them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::{CircuitBreaker, HealthCheck, Http2Keepalive, OutlierDetection, Panic, TcpKeepalive};

/// One upstream cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the file.
    pub name: String,
    /// Where its endpoints come from.
    pub members: Vec<Member>,
    /// How one is chosen.
    pub load_balancer: LoadBalancer,
    /// HTTP version spoken upstream.
    pub protocol: UpstreamProtocol,
    /// Set when connections use TLS.
    pub tls: Option<UpstreamTls>,
    /// TCP connect. Default 5 s.
    pub connect_timeout: Duration,
    /// TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// An idle pooled connection is closed after this. Default 60 s.
    pub idle_timeout: Duration,
    /// Idle connections kept per endpoint and worker. Default 256.
    pub max_idle: usize,
    /// How the kernel notices an endpoint that vanished; `None` means it does not.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames over HTTP/2; `None` means none.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Re-resolution of names; `None` means by TTL, 1 to 300 s.
    pub dns_refresh: Option<Duration>,
    /// How endpoints are asked whether they are well; `None` means they are not.
    pub health_check: Option<HealthCheck>,
    /// What it carries at once, and when it is left alone. Off by default.
    pub circuit_breaker: CircuitBreaker,
    /// How long an endpoint that joins or returns takes to its full weight; `None` means at once. Default 30 s.
    pub slow_start: Option<Duration>,
    /// When too few endpoints are usable, and what then.
    pub panic: Panic,
    /// When traffic takes an endpoint out; `None` means never.
    pub outlier_detection: Option<OutlierDetection>,
    /// The zone whose endpoints are preferred: the gateway's.
    pub zone: Option<String>,
}

/// A configured endpoint, or a name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub address: MemberAddress,
    /// Share of the load; 0 means draining. Default 1.
    pub weight: u32,
    /// Free labels (`zone`).
    pub labels: BTreeMap<String, String>,
    /// Its group: a higher number stands in for lower ones. Default 0.
    pub priority: u32,
}

/// Address of a [`Member`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A name that is resolved; each of its addresses becomes an endpoint.
    Name {
        /// The DNS name, lower case.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Load-balancing policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancer {
    /// Fewest requests and streams in flight per weight; ties at random.
    LeastConnection,
    /// In turn, by weight.
    RoundRobin,
    /// At random, by weight.
    Random,
    /// Shortest expected wait: recent peaks of the time to a response head, times what is in flight, per weight.
    PeakEwma,
    /// Rendezvous hash.
    Hash(HashKey),
}

impl fmt::Display for LoadBalancer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeastConnection => f.write_str("least-connection"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Random => f.write_str("random"),
            Self::PeakEwma => f.write_str("peak-ewma"),
            Self::Hash(key) => write!(f, "hash of the {key}"),
        }
    }
}

/// What a hash policy keys on. A request without it is balanced at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client address.
    ClientIp,
    /// A request header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client address"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

/// HTTP version towards upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS (ALPN must agree).
    H2,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
    /// By ALPN over TLS, HTTP/1.1 in the clear.
    Auto,
}

impl fmt::Display for UpstreamProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "http/1.1",
            Self::H2 => "h2",
            Self::H2c => "h2c",
            Self::Auto => "http/1.1 or h2 by ALPN",
        })
    }
}

/// TLS towards upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM bundle of accepted authorities; `None` means the system's (with Mozilla's as a fallback).
    pub ca_file: Option<PathBuf>,
    /// Name for SNI and verification; `None` means the endpoint's configured name.
    pub server_name: Option<String>,
    /// Client certificate and key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}
