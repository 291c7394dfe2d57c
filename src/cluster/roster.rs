//! From what the sources of a cluster found to its endpoints, keeping those that are there already.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::ceilings::Ceilings;
use super::discovery::{Discovered, Source};
use super::endpoint::{Endpoint, EndpointId, Live};
use super::members::Members;
use crate::config::model::Cluster;

/// What changes when a source finds something else; requests never look at it.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// The place of each source among what was found.
    sources: HashMap<Source, usize>,
    /// What each source found last, in the order of the configuration.
    found: Vec<Vec<Discovered>>,
    /// Identity and counters by address and configured name. Weak, so that an endpoint which left and comes back while
    /// its last streams still run goes on counting them, and one that is gone for good is forgotten.
    pub(super) known: Known,
    /// Whether what checks said about the current endpoints still holds.
    pub(super) verdicts_hold: bool,
}

/// Identities and counters by place.
type Known = HashMap<(SocketAddr, Arc<str>), (EndpointId, Weak<Live>)>;

impl Roster {
    /// One without sources that knows these endpoints from before.
    pub(super) fn new(known: Known, verdicts_hold: bool) -> Self {
        Self { known, verdicts_hold, ..Self::default() }
    }

    /// Adds a source with what it has found so far. Where two entries are the same source, the first counts.
    pub(super) fn add(&mut self, source: Source, found: Vec<Discovered>) {
        if let Entry::Vacant(place) = self.sources.entry(source) {
            place.insert(self.found.len());
            self.found.push(found);
        }
    }

    /// Puts what `source` finds now in the place of what it found before. Returns whether that is anything else.
    pub(super) fn replace(&mut self, source: &Source, found: Vec<Discovered>) -> bool {
        let place = self.sources.get(source);
        match place.and_then(|place| self.found.get_mut(*place)) {
            Some(before) if *before != found => {
                *before = found;
                true
            }
            Some(_) | None => false,
        }
    }

    /// The endpoints as they should be now: those of `current` where nothing changed, new settings on known counters
    /// where only the weight or the labels did, and otherwise new ones. An endpoint that joins later, or that drained
    /// until now, warms up from then on; one that was there from the start does not. Only the first [`MAX_ENDPOINTS`]
    /// are kept.
    pub(super) fn members(
        &mut self,
        settings: &Cluster,
        ceilings: Option<&Ceilings>,
        current: &[Arc<Endpoint>],
        joining: Option<Instant>,
    ) -> Members {
        self.known.retain(|_, (_, live)| live.strong_count() > 0);
        let by_id: HashMap<EndpointId, &Arc<Endpoint>> =
            current.iter().map(|endpoint| (endpoint.id, endpoint)).collect();
        let mut seen = HashSet::new();
        let mut endpoints = Vec::new();
        for found in self.found.iter().flatten() {
            let place = (found.address, Arc::clone(&found.name));
            // The same address found twice is one endpoint: the first entry counts.
            if !seen.insert(place.clone()) || seen.len() > MAX_ENDPOINTS {
                continue;
            }
            let known = self.known.get(&place).and_then(|(id, live)| Some((*id, live.upgrade()?)));
            let same = known.as_ref().and_then(|(id, _)| by_id.get(id).copied());
            let room_before = same.and_then(|same| same.room.as_ref());
            let room = ceilings.and_then(|ceilings| ceilings.room(room_before));
            let same_room = room.as_ref().map(Arc::as_ptr) == room_before.map(Arc::as_ptr);
            let judged = same.filter(|_| self.verdicts_hold);
            let endpoint = match judged {
                Some(same) if same_room && is_unchanged(same, settings, found) => Arc::clone(same),
                _ => {
                    let mut endpoint = endpoint(settings, found, known);
                    let verdict = judged.and_then(|judged| judged.health.clone());
                    let is_checked = settings.health_check.is_some();
                    endpoint.health = verdict.or_else(|| is_checked.then(Arc::default));
                    endpoint.room = room;
                    if let Some(same) = same {
                        endpoint.listed = Arc::clone(&same.listed);
                    }
                    Arc::new(endpoint)
                }
            };
            let worked = same.is_some_and(|same| same.weight > 0);
            if let Some(now) = joining.filter(|_| !worked && endpoint.weight > 0) {
                endpoint.warm_up(now);
            }
            self.known.insert(place, (endpoint.id, Arc::downgrade(&endpoint.live)));
            endpoints.push(endpoint);
        }
        Members { left_out: seen.len() - endpoints.len(), ..Members::new(endpoints) }
    }
}

fn is_unchanged(endpoint: &Endpoint, settings: &Cluster, found: &Discovered) -> bool {
    endpoint.weight == found.weight_now()
        && endpoint.labels == found.labels
        && endpoint.grpc == found.grpc
        && endpoint.priority == found.priority
        && endpoint.local == is_local(settings, found)
}

/// The endpoint for what was found, with the identity and the counters it had.
fn endpoint(settings: &Cluster, found: &Discovered, known: Option<(EndpointId, Arc<Live>)>) -> Endpoint {
    let mut endpoint = Endpoint::new(found.address, Arc::clone(&found.name), found.weight_now(), found.labels.clone());
    endpoint.grpc.clone_from(&found.grpc);
    endpoint.priority = found.priority;
    endpoint.local = is_local(settings, found);
    if let Some((id, live)) = known {
        endpoint.id = id;
        endpoint.live = live;
    }
    endpoint
}

fn is_local(settings: &Cluster, found: &Discovered) -> bool {
    settings.zone.is_none() || settings.zone == found.zone
}

/// Endpoints of one cluster. To look through more takes longer than a request should wait.
pub(super) const MAX_ENDPOINTS: usize = 4096;
