//! From what the sources of a cluster found to its endpoints, keeping those that are there already.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::ceilings::Ceilings;
use super::discovery::{Discovered, Source};
use super::drain;
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
    /// Whom an operator took out of service. Who is found no more is in service when it comes back: another may have
    /// its address by then.
    pub(super) drained: HashSet<Place>,
}

/// Address and configured name.
pub(super) type Place = (SocketAddr, Arc<str>);

/// Identities and counters by place.
type Known = HashMap<Place, (EndpointId, Weak<Live>)>;

impl Roster {
    /// One without sources that knows these endpoints from before, and whom an operator took out of service.
    pub(super) fn new(known: Known, drained: HashSet<Place>, verdicts_hold: bool) -> Self {
        Self { known, drained, verdicts_hold, ..Self::default() }
    }

    /// Takes an endpoint out of service, or back; whether that changes anything.
    pub(super) fn set_drained(&mut self, endpoint: &Endpoint, drained: bool) -> bool {
        let place = (endpoint.address, Arc::clone(&endpoint.name));
        if drained { self.drained.insert(place) } else { self.drained.remove(&place) }
    }

    /// Whether an operator took it out of service.
    pub(super) fn is_drained(&self, endpoint: &Endpoint) -> bool {
        !self.drained.is_empty() && self.drained.contains(&(endpoint.address, Arc::clone(&endpoint.name)))
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
        let now = joining.unwrap_or_else(Instant::now);
        let mut seen = HashSet::new();
        let mut endpoints = Vec::new();
        for found in self.found.iter().flatten() {
            let place = (found.address, Arc::clone(&found.name));
            // The same address found twice is one endpoint: the first entry counts.
            if !seen.insert(place.clone()) || seen.len() > MAX_ENDPOINTS {
                continue;
            }
            let is_drained = self.drained.contains(&place);
            let found = &if is_drained { Cow::Owned(found.drained()) } else { Cow::Borrowed(found) };
            let known = self.known.get(&place).and_then(|(id, live)| Some((*id, live.upgrade()?)));
            let same = known.as_ref().and_then(|(id, _)| by_id.get(id).copied());
            let room_before = same.and_then(|same| same.room.as_ref());
            let room = ceilings.and_then(|ceilings| ceilings.room(room_before));
            let same_room = room.as_ref().map(Arc::as_ptr) == room_before.map(Arc::as_ptr);
            let judged = same.filter(|_| self.verdicts_hold);
            let drains = found.weight_now() == 0;
            let drains_until = drains.then(|| drain::end(settings, same.map(|same| &**same), now));
            let endpoint = match judged {
                Some(same) if same_room && is_unchanged(same, settings, found, drains_until) => Arc::clone(same),
                _ => {
                    let mut endpoint = endpoint(settings, found, known);
                    endpoint.drains_until = drains_until;
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
        let left_out = seen.len() - endpoints.len();
        self.drained.retain(|place| seen.contains(place));
        self.keep_busy(settings, current, &seen, &mut endpoints, now);
        Members { left_out, ..Members::new(endpoints) }
    }

    /// Keeps endpoints that are found no more while tasks go on at them.
    fn keep_busy(
        &mut self,
        settings: &Cluster,
        current: &[Arc<Endpoint>],
        found: &HashSet<Place>,
        endpoints: &mut Vec<Arc<Endpoint>>,
        now: Instant,
    ) {
        for endpoint in current.iter().filter(|endpoint| endpoint.tasks() > 0) {
            let place = (endpoint.address, Arc::clone(&endpoint.name));
            let until = drain::end(settings, Some(endpoint), now);
            if until <= now || found.contains(&place) || endpoints.len() >= MAX_ENDPOINTS {
                continue;
            }
            let is_same = endpoint.was_removed && endpoint.drains_until == Some(until) && self.verdicts_hold;
            let kept = if is_same {
                Arc::clone(endpoint)
            } else {
                let mut removed = endpoint.removed(until);
                if !self.verdicts_hold {
                    removed.health = settings.health_check.is_some().then(Arc::default);
                }
                Arc::new(removed)
            };
            self.known.insert(place, (kept.id, Arc::downgrade(&kept.live)));
            endpoints.push(kept);
        }
    }
}

fn is_unchanged(endpoint: &Endpoint, settings: &Cluster, found: &Discovered, drains_until: Option<Instant>) -> bool {
    !endpoint.was_removed
        && endpoint.drains_until == drains_until
        && endpoint.weight == found.weight_now()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::cluster::discovery::dns::Resolutions;
    use crate::cluster::tests::{addresses, answer, build, name, record, resolutions, settings, socket};
    use crate::cluster::{Cluster, InFlight};

    /// A source that is told of endpoints, as a watch is.
    fn watching(cluster: &Cluster) -> Source {
        let source = Source::new("scripted", "agents");
        cluster.roster().add(source.clone(), Vec::new());
        source
    }

    /// Endpoints as words: an address, then perhaps `*` and a weight, `@` and a zone, `-` for one that is not ready.
    fn told(words: &str) -> Vec<Discovered> {
        let one = |word: &str| {
            let (word, ready) = word.strip_suffix('-').map_or((word, true), |word| (word, false));
            let (word, zone) = word.split_once('@').map_or((word, None), |(word, zone)| (word, Some(zone)));
            let (ip, weight) = word.split_once('*').unwrap_or((word, "1"));
            Discovered {
                address: format!("{ip}:8080").parse().unwrap(),
                name: "agents.test:8080".into(),
                grpc: None,
                weight: weight.parse().unwrap(),
                priority: 0,
                zone: zone.map(str::to_owned),
                labels: BTreeMap::new(),
                ready,
            }
        };
        words.split_whitespace().map(one).collect()
    }

    #[test]
    fn a_source_replaces_what_it_found_and_nothing_else() {
        let answers = resolutions([("a", answer(&["10.0.0.1"]))]);
        let cluster = build(settings(vec![socket("10.0.0.9:80", 1), name("a", 1)]), None, &answers);
        let source = watching(&cluster);
        assert_eq!(cluster.set_members(&source, told("10.1.0.1 10.1.0.2*5")), Some(4));
        assert_eq!(addresses(&cluster), ["10.0.0.9:80", "10.0.0.1:80", "10.1.0.1:8080", "10.1.0.2:8080"]);
        assert_eq!(cluster.members().endpoints[3].weight, 5);
        record(&cluster, &resolutions([("a", answer(&["10.0.0.2"]))]));
        assert_eq!(addresses(&cluster), ["10.0.0.9:80", "10.0.0.2:80", "10.1.0.1:8080", "10.1.0.2:8080"]);
        assert_eq!(cluster.set_members(&source, told("10.1.0.2*5")), Some(3));
        assert_eq!(addresses(&cluster), ["10.0.0.9:80", "10.0.0.2:80", "10.1.0.2:8080"]);
        let generation = cluster.generation();
        assert_eq!(cluster.set_members(&source, told("10.1.0.2*5")), None, "told again what it knows");
        assert_eq!(cluster.set_members(&Source::new("scripted", "others"), told("10.9.9.9")), None, "not its source");
        assert_eq!(cluster.generation(), generation);
        assert_eq!(cluster.set_members(&source, Vec::new()), Some(2));
    }

    #[test]
    fn an_endpoint_that_is_not_ready_gets_no_new_work_and_keeps_the_old() {
        let cluster = build(settings(Vec::new()), None, &Resolutions::new());
        let source = watching(&cluster);
        cluster.set_members(&source, told("10.1.0.1*3 10.1.0.2"));
        let before = cluster.members();
        let stream = InFlight::new(Arc::clone(&before.endpoints[0]));
        cluster.set_members(&source, told("10.1.0.1*3- 10.1.0.2"));
        let draining = cluster.members();
        assert_eq!((draining.endpoints[0].id, draining.endpoints[0].weight), (before.endpoints[0].id, 0));
        assert_eq!(draining.endpoints[0].in_flight(), 1);
        assert!(Arc::ptr_eq(&draining.endpoints[1], &before.endpoints[1]), "the other one is as it was");
        assert_eq!(cluster.survey(Instant::now()).usable, 1);
        cluster.set_members(&source, told("10.1.0.1*3 10.1.0.2"));
        let ready = cluster.members();
        assert_eq!((ready.endpoints[0].weight, ready.endpoints[0].in_flight()), (3, 1));
        assert!(ready.endpoints[0].is_warming(Duration::from_secs(30), Instant::now()), "it joins again");
        drop(stream);
        assert_eq!(ready.endpoints[0].in_flight(), 0);
    }

    #[test]
    fn a_source_says_where_its_endpoints_are() {
        let mut zoned = settings(vec![socket("10.0.0.9:80", 1)]);
        zoned.zone = Some("east".to_owned());
        let cluster = build(zoned.clone(), None, &Resolutions::new());
        let source = watching(&cluster);
        cluster.set_members(&source, told("10.1.0.1@east 10.1.0.2@west 10.1.0.3"));
        let local = |cluster: &Cluster| cluster.members().endpoints.iter().map(|one| one.local).collect::<Vec<_>>();
        assert_eq!(local(&cluster), [false, true, false, false]);
        let ids = |cluster: &Cluster| cluster.members().endpoints.iter().map(|one| one.id).collect::<Vec<_>>();
        let before = ids(&cluster);
        cluster.set_members(&source, told("10.1.0.1@west 10.1.0.2@east 10.1.0.3"));
        assert_eq!(local(&cluster), [false, false, true, false]);
        assert_eq!(ids(&cluster), before);
        let after = build(zoned, Some(&cluster), &Resolutions::new());
        after.set_members(&watching(&after), told("10.1.0.1@west 10.1.0.2@east 10.1.0.3"));
        assert_eq!(ids(&after), before, "told again after a reload, they are the same");
    }

    #[test]
    fn a_cluster_has_so_many_endpoints_and_no_more() {
        let cluster = build(settings(vec![socket("10.0.0.9:80", 1)]), None, &Resolutions::new());
        let source = watching(&cluster);
        let many = |from: u32, count: u32| {
            let words = (from..from + count).map(|number| std::net::Ipv4Addr::from(0x0a01_0000 + number).to_string());
            told(&words.collect::<Vec<_>>().join(" "))
        };
        let most = u32::try_from(MAX_ENDPOINTS).unwrap();
        assert_eq!(cluster.set_members(&source, many(0, most + 2)), Some(MAX_ENDPOINTS));
        assert_eq!(cluster.survey(Instant::now()).left_out, 3);
        assert_eq!(addresses(&cluster)[0], "10.0.0.9:80");
        cluster.set_members(&source, many(0, most - 1));
        assert_eq!(cluster.survey(Instant::now()).left_out, 0);
    }
}
