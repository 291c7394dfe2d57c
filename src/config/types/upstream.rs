//! Endpoints, and how one of them is chosen.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use http::HeaderName;

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
