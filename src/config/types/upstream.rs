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
    /// Where it speaks gRPC, if not at its address.
    pub grpc: Option<BindingPlace>,
}

impl Member {
    /// Whether one of its bindings is configured under this host, in its canonical form, and port.
    #[must_use]
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        let ip = crate::host::address(host);
        let is = |address: SocketAddr| address.port() == port && ip == Some(address.ip());
        match (&self.address, self.grpc) {
            (MemberAddress::Socket(own), grpc) => is(*own) || grpc.is_some_and(|place| is(place.of(*own))),
            (MemberAddress::Name { host: name, port: own }, Some(BindingPlace::Port(grpc))) => {
                [*own, grpc].contains(&port) && name == host
            }
            (MemberAddress::Name { host: name, port: own }, _) => *own == port && name == host,
        }
    }
}

/// Its address, and how it differs from others.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grpc = self.grpc.map(|place| match place {
            BindingPlace::Port(port) => format!("gRPC at port {port}"),
            BindingPlace::Address(address) => format!("gRPC at {address}"),
        });
        let weight = match self.weight {
            0 => Some("draining".to_owned()),
            1 => None,
            weight => Some(format!("weight {weight}")),
        };
        let priority = (self.priority > 0).then(|| format!("priority {}", self.priority));
        let notes: Vec<_> = grpc.into_iter().chain(weight).chain(priority).collect();
        write!(f, "{}", self.address)?;
        if notes.is_empty() { Ok(()) } else { write!(f, " ({})", notes.join(", ")) }
    }
}

/// Where another binding of an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingPlace {
    /// At this port of the endpoint's own host.
    Port(u16),
    /// At an address of its own.
    Address(SocketAddr),
}

impl BindingPlace {
    /// Where it is for the endpoint at `address`.
    #[must_use]
    pub fn of(self, address: SocketAddr) -> SocketAddr {
        match self {
            Self::Port(port) => SocketAddr::new(address.ip(), port),
            Self::Address(own) => own,
        }
    }
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

impl fmt::Display for MemberAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
        }
    }
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
