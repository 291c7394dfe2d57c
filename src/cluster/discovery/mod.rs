//! Where the endpoints of a cluster come from. A source finds them and hands them over in one call,
//! [`Cluster::set_members`](super::Cluster::set_members), whether it asks for them now and then (DNS) or is told of
//! them (a watch). Knows nothing of balancing, health or traffic.

pub mod dns;
pub(super) mod fixed;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::model::{Member, MemberAddress};

/// An endpoint as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// IP address and port to connect to.
    pub address: SocketAddr,
    /// Host and port for SNI and `upstreamHost: endpoint`. With the address it identifies the endpoint.
    pub name: Arc<str>,
    /// Share of the load; 0 means draining.
    pub weight: u32,
    /// Its group: a higher number stands in for lower ones.
    pub priority: u32,
    /// Where it is, if the source knows.
    pub zone: Option<String>,
    /// Shown to operators.
    pub labels: BTreeMap<String, String>,
    /// Whether it may get new work. What runs on it goes on either way.
    pub ready: bool,
}

impl Discovered {
    /// An endpoint at `address`, with all else as its entry of the configuration says.
    fn of(member: &Member, address: SocketAddr, name: Arc<str>) -> Self {
        Self {
            address,
            name,
            weight: member.weight,
            priority: member.priority,
            zone: member.labels.get(ZONE).cloned(),
            labels: member.labels.clone(),
            ready: true,
        }
    }

    /// The weight it has now.
    pub(super) fn weight_now(&self) -> u32 {
        if self.ready { self.weight } else { 0 }
    }
}

/// Who finds endpoints of a cluster: one entry of its `endpoints`. It replaces what it found itself and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    kind: &'static str,
    what: Arc<str>,
}

impl Source {
    /// The source of this kind that looks for `what`, such as `dns` and `agent.local:8080`.
    #[must_use]
    pub fn new(kind: &'static str, what: impl Into<Arc<str>>) -> Self {
        Self { kind, what: what.into() }
    }
}

impl From<&Member> for Source {
    fn from(member: &Member) -> Self {
        match &member.address {
            MemberAddress::Socket(address) => Self::new("fixed", address.to_string()),
            MemberAddress::Name { host, port } => Self::new("dns", format!("{host}:{port}")),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.what)
    }
}

/// The label that says where an endpoint is.
const ZONE: &str = "zone";
