//! From a cluster's settings and the addresses of its names to its endpoints, keeping those that are there already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::ceilings::Ceilings;
use super::endpoint::{Endpoint, EndpointId, Live};
use super::resolution::Resolution;
use crate::config::model::{Cluster, Member, MemberAddress};

/// What changes when names are resolved; requests never look at it.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// State of every name of the cluster.
    pub(super) names: BTreeMap<String, Resolution>,
    /// Identity and counters by address and configured name. Weak, so that an endpoint which left and comes back while
    /// its last streams still run goes on counting them, and one that is gone for good is forgotten.
    pub(super) known: HashMap<(SocketAddr, Arc<str>), (EndpointId, Weak<Live>)>,
    /// Whether what checks said about the current endpoints still holds.
    pub(super) verdicts_hold: bool,
}

impl Roster {
    /// The endpoints as they should be now: those of `current` where nothing changed, new settings on known counters
    /// where only the weight or the labels did, and otherwise new ones. An endpoint that joins later, or that drained
    /// until now, warms up from then on; one that was there from the start does not.
    pub(super) fn endpoints(
        &mut self,
        settings: &Cluster,
        ceilings: Option<&Ceilings>,
        current: &[Arc<Endpoint>],
        joining: Option<Instant>,
    ) -> Vec<Arc<Endpoint>> {
        self.known.retain(|_, (_, live)| live.strong_count() > 0);
        let by_id: HashMap<EndpointId, &Arc<Endpoint>> =
            current.iter().map(|endpoint| (endpoint.id, endpoint)).collect();
        let mut seen = HashSet::new();
        let mut endpoints = Vec::new();
        for (member, name, address) in places(settings, &self.names) {
            // The same address written twice is one endpoint: the first entry counts.
            if !seen.insert((address, Arc::clone(&name))) {
                continue;
            }
            let place = (address, Arc::clone(&name));
            let known = self.known.get(&place).and_then(|(id, live)| Some((*id, live.upgrade()?)));
            let same = known.as_ref().and_then(|(id, _)| by_id.get(id).copied());
            let room_before = same.and_then(|same| same.room.as_ref());
            let room = ceilings.and_then(|ceilings| ceilings.room(room_before));
            let same_room = room.as_ref().map(Arc::as_ptr) == room_before.map(Arc::as_ptr);
            let judged = same.filter(|_| self.verdicts_hold);
            let endpoint = match judged {
                Some(same) if same_room && is_unchanged(same, settings, member) => Arc::clone(same),
                _ => {
                    let mut endpoint = endpoint(settings, member, address, name, known);
                    let verdict = judged.and_then(|judged| judged.health.clone());
                    let is_checked = settings.health_check.is_some();
                    endpoint.health = verdict.or_else(|| is_checked.then(Arc::default));
                    endpoint.room = room;
                    Arc::new(endpoint)
                }
            };
            let worked = same.is_some_and(|same| same.weight > 0);
            if let Some(now) = joining.filter(|_| !worked && member.weight > 0) {
                endpoint.warm_up(now);
            }
            self.known.insert(place, (endpoint.id, Arc::downgrade(&endpoint.live)));
            endpoints.push(endpoint);
        }
        endpoints
    }
}

fn is_unchanged(endpoint: &Endpoint, settings: &Cluster, member: &Member) -> bool {
    endpoint.weight == member.weight
        && endpoint.labels == member.labels
        && endpoint.priority == member.priority
        && endpoint.local == is_local(settings, member)
}

/// A member's endpoint at `address`, with the identity and the counters it had.
fn endpoint(
    settings: &Cluster,
    member: &Member,
    address: SocketAddr,
    name: Arc<str>,
    known: Option<(EndpointId, Arc<Live>)>,
) -> Endpoint {
    let mut endpoint = Endpoint::new(address, name, member.weight, member.labels.clone());
    endpoint.priority = member.priority;
    endpoint.local = is_local(settings, member);
    if let Some((id, live)) = known {
        endpoint.id = id;
        endpoint.live = live;
    }
    endpoint
}

fn is_local(settings: &Cluster, member: &Member) -> bool {
    let zone = settings.zone.as_ref();
    zone.is_none_or(|zone| member.labels.get(ZONE) == Some(zone))
}

/// The label that says where an endpoint is.
const ZONE: &str = "zone";

/// The names a cluster needs resolved, each once.
pub(super) fn hosts(settings: &Cluster) -> BTreeSet<&str> {
    let mut hosts = BTreeSet::new();
    for member in &settings.members {
        if let MemberAddress::Name { host, .. } = &member.address {
            hosts.insert(host.as_str());
        }
    }
    hosts
}

/// Every member with its configured name and each of its addresses.
fn places<'a>(settings: &'a Cluster, names: &BTreeMap<String, Resolution>) -> Vec<(&'a Member, Arc<str>, SocketAddr)> {
    let mut places = Vec::new();
    for member in &settings.members {
        match &member.address {
            MemberAddress::Socket(address) => {
                places.push((member, address.to_string().into(), *address));
            }
            MemberAddress::Name { host, port } => {
                // A final dot means "no search list" to DNS; in SNI and Host it is wrong.
                let name: Arc<str> = format!("{}:{port}", host.trim_end_matches('.')).into();
                let addresses = names.get(host).map_or(&[][..], Resolution::addresses);
                places.extend(addresses.iter().map(|ip| (member, Arc::clone(&name), SocketAddr::new(*ip, *port))));
            }
        }
    }
    places
}
