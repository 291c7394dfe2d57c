//! The sources of a cluster's endpoints. A source finds endpoints and passes them on in one call,
//! [`Cluster::set_members`](super::Cluster::set_members), whether it polls (DNS) or gets events (a watch). Knows
//! nothing of balancing, health or traffic.

pub mod dns;
pub(super) mod fixed;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use super::endpoint::Binding;
use crate::config::model::{BindingPlace, Member, MemberAddress};
use crate::host::without_port;

/// An endpoint as its source describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovered {
    /// IP address and port to connect to.
    pub address: SocketAddr,
    /// Host and port for SNI and `upstreamHost: endpoint`. With the address it identifies the endpoint.
    pub name: Arc<str>,
    /// Where it takes gRPC calls, if not at its address.
    pub grpc: Option<Binding>,
    /// Share of the load; 0 means draining.
    pub weight: u32,
    /// Its group: endpoints of a higher number are backups for those of lower numbers.
    pub priority: u32,
    /// Its zone, if the source knows it.
    pub zone: Option<String>,
    /// Shown to operators.
    pub labels: BTreeMap<String, String>,
    /// Whether it may get new requests. Requests under way go on in any case.
    pub ready: bool,
}

impl Discovered {
    /// An endpoint at `address`, with the other settings of its entry in the configuration.
    fn of(member: &Member, address: SocketAddr, name: Arc<str>) -> Self {
        Self {
            grpc: member.grpc.map(|place| binding(place, address, &name)),
            address,
            name,
            weight: member.weight,
            priority: member.priority,
            zone: member.labels.get(ZONE).cloned(),
            labels: member.labels.clone(),
            ready: true,
        }
    }

    /// The same, with no new requests.
    pub(super) fn drained(&self) -> Self {
        Self { ready: false, ..self.clone() }
    }

    /// The weight it has now.
    pub(super) fn weight_now(&self) -> u32 {
        if self.ready { self.weight } else { 0 }
    }
}

/// Another binding of the endpoint at `address`, which is configured as `name`.
fn binding(place: BindingPlace, address: SocketAddr, name: &str) -> Binding {
    let own = place.of(address);
    let name = match place {
        BindingPlace::Port(port) => format!("{}:{port}", without_port(name)),
        BindingPlace::Address(own) => own.to_string(),
    };
    Binding { address: own, name: name.into() }
}

/// A source of endpoints: one entry of a cluster's `endpoints`. It replaces the endpoints that it found itself, and no
/// others.
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
        let kind = match &member.address {
            MemberAddress::Socket(_) => "fixed",
            MemberAddress::Name { .. } => "dns",
        };
        Self::new(kind, member.address.to_string())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.what)
    }
}

/// The label that says where an endpoint is.
const ZONE: &str = "zone";
