//! A cluster as it runs: its settings, its members of the moment and what is known about its names. Members are replaced whole
//! when a name's addresses change; endpoints that stay keep their identity and their counters, over a reload too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::dns::Resolutions;
use super::endpoint::{Endpoint, EndpointId, Live};
use super::members::Members;
use super::resolution::Resolution;
use super::status::{ClusterStatus, EndpointStatus};
use crate::config::model;

/// An upstream cluster. Shared by all workers and the task that resolves its names.
#[derive(Debug)]
pub struct Cluster {
    /// Its name in the file.
    pub name: Arc<str>,
    /// How it is configured.
    pub settings: Arc<model::Cluster>,
    members: ArcSwap<Members>,
    generation: AtomicU64,
    state: Mutex<State>,
}

/// What changes when names are resolved; requests never look at it.
#[derive(Clone, Debug, Default)]
struct State {
    names: BTreeMap<String, Resolution>,
    known: Known,
}

/// Identity and counters by address and configured name. Weak, so that an endpoint which left and comes back while its last
/// streams still run goes on counting them.
type Known = HashMap<(SocketAddr, Arc<str>), (EndpointId, Weak<Live>)>;

impl Cluster {
    /// Builds a cluster from its settings and the addresses just resolved. Endpoints of `previous` (the cluster of that name
    /// before the reload) go on when neither their address nor the transport changed, and names that could not be resolved now
    /// keep the addresses they had there.
    #[must_use]
    pub fn build(settings: Arc<model::Cluster>, previous: Option<&Self>, resolutions: &Resolutions) -> Self {
        let previous = previous.filter(|previous| previous.settings.name == settings.name);
        let same_transport = previous.filter(|previous| {
            previous.settings.protocol == settings.protocol && previous.settings.tls == settings.tls
        });
        let mut state = State::default();
        if let Some(previous) = same_transport {
            state.known.clone_from(&previous.state().known);
        }
        for host in hosts(&settings) {
            let known = previous.and_then(|previous| previous.state().names.get(host).cloned());
            let mut resolution = known.unwrap_or_else(|| Resolution::unknown(Instant::now()));
            if let Some(outcome) = resolutions.get(host) {
                resolution.record(outcome, settings.dns_refresh, Instant::now(), SystemTime::now());
            }
            state.names.insert(host.to_owned(), resolution);
        }
        let current = same_transport.map(Self::members);
        let current = current.as_ref().map_or(&[][..], |members| &members.endpoints);
        let members = Members::new(endpoints(&settings, &mut state, current));
        Self {
            name: settings.name.as_str().into(),
            generation: AtomicU64::new(members.generation),
            members: ArcSwap::from_pointee(members),
            state: Mutex::new(state),
            settings,
        }
    }

    /// The members of the moment.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Generation of the members of the moment: a copy of [`Self::members`] is up to date while its own generation equals this.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Acquire: who sees the number finds at least those members.
        self.generation.load(Ordering::Acquire)
    }

    /// What the cluster looks like right now.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let endpoints = self.members().endpoints.iter().map(|endpoint| EndpointStatus::of(endpoint)).collect();
        let names = self.state().names.iter().map(|(host, resolution)| resolution.status(host)).collect();
        ClusterStatus { name: self.settings.name.clone(), endpoints, names }
    }

    /// Names that are due for resolution, and how long to wait when none is; `None` when there are no names at all.
    pub(super) fn due(&self, now: Instant) -> Option<Result<Vec<String>, Instant>> {
        let state = self.state();
        let next = state.names.values().map(Resolution::due).min()?;
        if next > now {
            return Some(Err(next));
        }
        let due = state.names.iter().filter(|(_, resolution)| resolution.due() <= now);
        Some(Ok(due.map(|(host, _)| host.clone()).collect()))
    }

    /// Takes in the outcomes of one round of resolution. Returns how many endpoints there are now when they changed; otherwise
    /// members and generation stay as they are.
    pub(super) fn record(&self, outcomes: &Resolutions) -> Option<usize> {
        let mut state = self.state();
        let mut changed = false;
        for (host, outcome) in outcomes {
            if let Some(resolution) = state.names.get_mut(host) {
                changed |= resolution.record(outcome, self.settings.dns_refresh, Instant::now(), SystemTime::now());
            }
        }
        if !changed {
            return None;
        }
        let current = self.members();
        let members = Members::new(endpoints(&self.settings, &mut state, &current.endpoints));
        let count = members.endpoints.len();
        let generation = members.generation;
        self.members.store(Arc::new(members));
        self.generation.store(generation, Ordering::Release);
        Some(count)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The names a cluster needs resolved, each once.
pub(super) fn hosts(settings: &model::Cluster) -> BTreeSet<&str> {
    let mut hosts = BTreeSet::new();
    for member in &settings.members {
        if let model::MemberAddress::Name { host, .. } = &member.address {
            hosts.insert(host.as_str());
        }
    }
    hosts
}

/// The endpoints as they should be now: those of `current` where nothing changed, new settings on known counters where only
/// the weight or the labels did, and otherwise new ones.
fn endpoints(settings: &model::Cluster, state: &mut State, current: &[Arc<Endpoint>]) -> Vec<Arc<Endpoint>> {
    state.known.retain(|_, (_, live)| live.strong_count() > 0);
    let by_id: HashMap<EndpointId, &Arc<Endpoint>> = current.iter().map(|endpoint| (endpoint.id, endpoint)).collect();
    let mut seen = HashSet::new();
    let mut endpoints = Vec::new();
    for (member, name, address) in places(settings, &state.names) {
        // The same place written twice is one endpoint: the first counts.
        if !seen.insert((address, Arc::clone(&name))) {
            continue;
        }
        let place = (address, Arc::clone(&name));
        let known = state.known.get(&place).and_then(|(id, live)| Some((*id, live.upgrade()?)));
        let endpoint = match known {
            Some((id, live)) => match by_id.get(&id) {
                Some(same) if same.weight == member.weight && same.labels == member.labels => Arc::clone(same),
                _ => Arc::new(Endpoint { id, address, name, weight: member.weight, labels: member.labels.clone(), live }),
            },
            None => Arc::new(Endpoint::new(address, name, member.weight, member.labels.clone())),
        };
        state.known.insert(place, (endpoint.id, Arc::downgrade(&endpoint.live)));
        endpoints.push(endpoint);
    }
    endpoints
}

/// Every member with its configured name and each of its addresses.
fn places<'a>(
    settings: &'a model::Cluster,
    names: &BTreeMap<String, Resolution>,
) -> Vec<(&'a model::Member, Arc<str>, SocketAddr)> {
    let mut places = Vec::new();
    for member in &settings.members {
        match &member.address {
            model::MemberAddress::Socket(address) => places.push((member, address.to_string().into(), *address)),
            model::MemberAddress::Name { host, port } => {
                // A final dot means "no search list" to DNS; in SNI and Host it is wrong.
                let name: Arc<str> = format!("{}:{port}", host.trim_end_matches('.')).into();
                let addresses = names.get(host).map_or(&[][..], Resolution::addresses);
                places.extend(addresses.iter().map(|ip| (member, Arc::clone(&name), SocketAddr::new(*ip, *port))));
            }
        }
    }
    places
}
