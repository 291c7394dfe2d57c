//! Upstream clusters: which endpoints there are, how busy each one is and which one the next request goes to. Knows
//! nothing of routes or connections: it hands out an endpoint and a guard that counts, the rest of the gateway does the
//! talking.

mod adaptive;
mod affinity;
mod atomic_instant;
mod availability;
mod balancer;
mod breaker;
mod calendar;
mod ceilings;
pub mod discovery;
mod drain;
mod endpoint;
pub mod endpoint_health;
mod fill;
mod hash;
pub mod health;
mod latency;
mod members;
mod operate;
mod outlier;
mod outlier_detector;
mod outlier_rates;
mod retrying;
mod roster;
mod status;
mod suspicion;
mod tasks;
mod unknown_ids;
pub mod watch;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::info;

pub use self::adaptive::{Adaptive, AnswerKind};
pub use self::affinity::{Affinity, HeaderScope, Held, HeldKey, HeldKind, Maker, Progress, Retention, Scope, TaskAge};
pub use self::availability::{Availability, AvailabilitySettings};
pub use self::balancer::{PickRequest, Preference, Strength};
pub use self::breaker::{Breaker, BreakerState, Probe};
pub use self::ceilings::{Allowed, Ceilings, Kind, Permit};
use self::discovery::dns::{Names, Resolutions};
use self::discovery::{Discovered, Source, fixed};
pub use self::endpoint::{Binding, Endpoint, EndpointId, InFlight};
pub use self::fill::CeilingStatus;
pub use self::hash::hash_key;
pub use self::members::Members;
pub use self::operate::{EndpointRefusal, EndpointVerb};
pub use self::outlier::Cause;
pub use self::outlier_detector::OutlierDetector;
pub use self::retrying::{Retrying, RetryingGuard};
use self::roster::Roster;
pub use self::status::{ClusterStatus, EndpointStatus, NameStatus, Survey};
pub use self::tasks::TaskCount;
pub use self::unknown_ids::UnknownIds;
use crate::config::model::{self, MemberAddress};

/// An upstream cluster. Shared by all workers and the tasks that find and check its endpoints.
#[derive(Debug)]
pub struct Cluster {
    /// Its name in the file.
    pub name: Arc<str>,
    /// How it is configured.
    pub settings: Arc<model::Cluster>,
    /// Learns from its traffic.
    pub detector: Arc<OutlierDetector>,
    /// How many of its requests are being tried again.
    pub retrying: Arc<Retrying>,
    /// Its ceilings, if it has any.
    pub ceilings: Option<Arc<Ceilings>>,
    /// How many requests it carries, where that is found out.
    pub adaptive: Option<Arc<Adaptive>>,
    members: Arc<ArcSwap<Members>>,
    generation: AtomicU64,
    /// What DNS said.
    names: Names,
    roster: Mutex<Roster>,
    /// There are other members. One task listens: the one that checks them.
    changed: Notify,
    /// Findings under other rules do not hold under these.
    rules_changed: bool,
}

impl Cluster {
    /// Whether a member is configured under this host, in its canonical form, and port, with any of its bindings. For
    /// rare questions: it looks at all of them.
    #[must_use]
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        self.settings.members.iter().any(|member| member.is_at(host, port))
    }

    /// Builds a cluster from its settings and the addresses just resolved. Endpoints of `previous` (the cluster of that
    /// name before the reload) go on when neither their address nor the transport changed, and names that could not be
    /// resolved now keep the addresses they had there. What checks said about an endpoint holds while the check is the
    /// same.
    #[must_use]
    pub fn build(settings: Arc<model::Cluster>, previous: Option<&Self>, resolutions: &Resolutions) -> Self {
        let previous = previous.filter(|previous| previous.settings.name == settings.name);
        let same_transport = previous.filter(|previous| {
            previous.settings.protocol == settings.protocol && previous.settings.tls == settings.tls
        });
        // A verdict of another check says nothing.
        let verdicts_hold = previous.is_some_and(|previous| previous.settings.health_check == settings.health_check);
        let known = same_transport.map(|previous| previous.roster().known.clone());
        let drained = previous.map(|previous| previous.roster().drained.clone());
        let mut roster = Roster::new(known.unwrap_or_default(), drained.unwrap_or_default(), verdicts_hold);
        let names = Names::build(&settings, previous.map(|previous| &previous.names), resolutions);
        for member in &settings.members {
            let found = match &member.address {
                MemberAddress::Socket(address) => fixed::found(member, *address),
                MemberAddress::Name { host, port } => names.found(member, host, *port),
            };
            roster.add(Source::from(member), found);
        }
        let current = same_transport.map(Self::members);
        let current = current.as_ref().map_or(&[][..], |members| &members.endpoints);
        let ceilings = Ceilings::build(&settings, same_transport.and_then(|previous| previous.ceilings.as_ref()));
        let adaptive = Adaptive::build(
            settings.adaptive_concurrency.as_ref(),
            same_transport.and_then(|previous| previous.adaptive.as_ref()),
        );
        let joining = previous.map(|_| Instant::now());
        let members = roster.members(&settings, ceilings.as_deref(), current, joining);
        roster.verdicts_hold = true;
        let generation = members.generation;
        let members = Arc::new(ArcSwap::from_pointee(members));
        let rules_changed =
            same_transport.is_some_and(|previous| previous.settings.outlier_detection != settings.outlier_detection);
        let retrying = previous.map(|previous| Arc::clone(&previous.retrying));
        let name: Arc<str> = settings.name.as_str().into();
        let breaker = Breaker::build(
            &name,
            settings.circuit_breaker.half_open.as_ref(),
            previous.and_then(|previous| previous.detector.breaker()),
        );
        Self {
            detector: Arc::new(OutlierDetector::new(&settings, breaker, &members)),
            retrying: retrying.unwrap_or_default(),
            ceilings,
            adaptive,
            name,
            generation: AtomicU64::new(generation),
            members,
            names,
            roster: Mutex::new(roster),
            rules_changed,
            changed: Notify::new(),
            settings,
        }
    }

    /// To be called when the configuration it was built for comes into force, which may never happen.
    pub fn enter_into_force(&self, now: Instant) {
        if self.rules_changed {
            for endpoint in &self.members().endpoints {
                endpoint.forget(now);
            }
        }
    }

    /// The members of the moment.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// Generation of the members of the moment: a copy of [`Self::members`] is up to date while its own generation
    /// equals this.
    #[must_use]
    pub fn generation(&self) -> u64 {
        // Acquire: a reader that sees the number finds at least those members.
        self.generation.load(Ordering::Acquire)
    }

    /// Requests and streams at its endpoints whose response body has not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        let members = self.members.load();
        let each = members.endpoints.iter().map(|endpoint| endpoint.in_flight());
        each.fold(0, u32::saturating_add)
    }

    /// What the cluster looks like right now.
    #[must_use]
    pub fn status(&self) -> ClusterStatus {
        let now = Instant::now();
        let status = |endpoint: &Arc<Endpoint>| EndpointStatus {
            drained: self.is_drained(endpoint),
            ..EndpointStatus::of(endpoint, now)
        };
        let endpoints = self.members().endpoints.iter().map(status).collect();
        let survey = self.survey(now);
        let mut ceilings = self.ceilings.as_ref().map(|ceilings| ceilings.fill()).unwrap_or_default();
        ceilings.extend(self.adaptive.as_ref().map(|adaptive| adaptive.fill()));
        ClusterStatus {
            name: self.settings.name.clone(),
            usable: survey.usable,
            panic: survey.panic,
            in_flight: self.in_flight(),
            retrying: self.retrying.requests(),
            breaker: self.detector.breaker().map(|breaker| breaker.state()),
            ceilings,
            endpoints,
            names: self.names.status(),
        }
    }

    /// How many of its endpoints can be used.
    #[must_use]
    pub fn survey(&self, now: Instant) -> Survey {
        Survey::of(&self.members(), &AvailabilitySettings::from(&*self.settings), now)
    }

    /// Replaces the members that `source` found before by those that it finds now; members of other sources stay.
    /// Endpoints that stay keep their identity, and so their connections and counts; an endpoint that is not ready gets
    /// no new requests. Returns how many endpoints there are now when they changed; otherwise members and generation
    /// stay as they are. A source that this cluster does not have is ignored, and members beyond
    /// 4096 in all are left out.
    pub fn set_members(&self, source: &Source, found: Vec<Discovered>) -> Option<usize> {
        let mut roster = self.roster();
        if !roster.replace(source, found) {
            return None;
        }
        let endpoints = self.settle(&mut roster, Instant::now());
        info!(cluster = %self.name, %source, endpoints, "endpoints changed");
        Some(endpoints)
    }

    /// Puts the members in force that follow from `roster` and those of the moment. Returns how many there are.
    fn settle(&self, roster: &mut Roster, now: Instant) -> usize {
        let current = self.members();
        let members = roster.members(&self.settings, self.ceilings.as_deref(), &current.endpoints, Some(now));
        let (endpoints, generation) = (members.endpoints.len(), members.generation);
        self.members.store(Arc::new(members));
        self.generation.store(generation, Ordering::Release);
        self.changed.notify_one();
        endpoints
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::time::Duration;

    use super::discovery::dns::{self, Error, ResolvedName};
    use super::*;
    use crate::config::model::{BindingPlace, LoadBalancer, Member, MemberAddress, UpstreamProtocol, UpstreamTls};

    pub(super) fn settings(members: Vec<Member>) -> model::Cluster {
        model::Cluster {
            name: "agents".to_owned(),
            members,
            load_balancer: LoadBalancer::LeastConnection,
            protocol: UpstreamProtocol::Http1,
            tls: None,
            connect_timeout: Duration::from_secs(5),
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            max_idle: 256,
            tcp_keepalive: None,
            http2_keepalive: None,
            dns_refresh: None,
            health_check: None,
            circuit_breaker: model::CircuitBreaker::default(),
            adaptive_concurrency: None,
            slow_start: Some(Duration::from_secs(30)),
            drain_tasks: Some(Duration::from_secs(300)),
            panic: model::Panic::default(),
            outlier_detection: Some(model::OutlierDetection::unasked()),
            zone: None,
        }
    }

    fn member(address: MemberAddress, weight: u32) -> Member {
        Member { address, weight, labels: BTreeMap::new(), priority: 0, grpc: None }
    }

    pub(super) fn socket(address: &str, weight: u32) -> Member {
        member(MemberAddress::Socket(address.parse().unwrap()), weight)
    }

    pub(super) fn name(host: &str, weight: u32) -> Member {
        member(MemberAddress::Name { host: host.to_owned(), port: 80 }, weight)
    }

    pub(super) fn answer(ips: &[&str]) -> Result<ResolvedName, Error> {
        let addresses = ips.iter().map(|ip| ip.parse().unwrap()).collect();
        Ok(ResolvedName { addresses, ttl: Duration::from_secs(30), missing: None })
    }

    pub(super) fn resolutions<const N: usize>(outcomes: [(&str, Result<ResolvedName, Error>); N]) -> Resolutions {
        outcomes.into_iter().map(|(host, outcome)| (host.to_owned(), outcome)).collect()
    }

    pub(super) fn build(settings: model::Cluster, previous: Option<&Cluster>, resolutions: &Resolutions) -> Cluster {
        Cluster::build(Arc::new(settings), previous, resolutions)
    }

    /// Takes in answers; how many endpoints there are then, when that is news.
    pub(super) fn record(cluster: &Cluster, outcomes: &Resolutions) -> Option<usize> {
        let before = cluster.generation();
        for (host, outcome) in outcomes {
            dns::record(cluster, host, outcome);
        }
        (cluster.generation() != before).then(|| cluster.members().endpoints.len())
    }

    pub(super) fn addresses(cluster: &Cluster) -> Vec<String> {
        cluster.members().endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
    }

    #[test]
    fn each_address_of_a_name_is_an_endpoint_with_the_name_as_configured() {
        let settings = settings(vec![socket("[::1]:90", 1), name("agent.local.", 3)]);
        let answers = resolutions([("agent.local.", answer(&["10.0.0.2", "10.0.0.1", "10.0.0.2", "fd00::1"]))]);
        let cluster = build(settings, None, &answers);
        assert_eq!(addresses(&cluster), ["[::1]:90", "10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
        let members = cluster.members();
        assert_eq!((&*members.endpoints[0].name, members.endpoints[0].weight), ("[::1]:90", 1));
        assert_eq!((&*members.endpoints[3].name, members.endpoints[3].weight), ("agent.local:80", 3));
    }

    #[test]
    fn the_same_place_twice_is_one_endpoint_but_two_names_are_two() {
        let answers = resolutions([("a", answer(&["10.0.0.1"])), ("b", answer(&["10.0.0.1"]))]);
        let members = vec![socket("10.0.0.9:80", 1), socket("10.0.0.9:80", 5), name("a", 1), name("b", 1)];
        let cluster = build(settings(members), None, &answers);
        assert_eq!(addresses(&cluster), ["10.0.0.9:80", "10.0.0.1:80", "10.0.0.1:80"]);
    }

    #[test]
    fn in_flight_counts_survive_a_reload_and_a_change_of_weight() {
        let none = Resolutions::new();
        let before = build(settings(vec![socket("10.0.0.1:80", 1), socket("10.0.0.2:80", 1)]), None, &none);
        let stream = InFlight::new(Arc::clone(&before.members().endpoints[0]));
        let after = build(settings(vec![socket("10.0.0.1:80", 0), socket("10.0.0.2:80", 1)]), Some(&before), &none);
        let (old, new) = (before.members(), after.members());
        assert_eq!((new.endpoints[0].id, new.endpoints[0].weight), (old.endpoints[0].id, 0));
        assert_eq!(new.endpoints[0].in_flight(), 1);
        assert!(Arc::ptr_eq(&new.endpoints[1], &old.endpoints[1]), "an unchanged endpoint is the same one");
        drop(stream);
        assert_eq!(new.endpoints[0].in_flight(), 0);
        assert_ne!(new.generation, old.generation);
    }

    #[test]
    fn a_binding_that_comes_goes_or_moves_is_no_other_endpoint() {
        let none = Resolutions::new();
        let with = |grpc: Option<BindingPlace>| vec![Member { grpc, ..socket("10.0.0.1:80", 1) }];
        let first = build(settings(with(None)), None, &none);
        let stream = InFlight::new(Arc::clone(&first.members().endpoints[0]));
        let elsewhere = BindingPlace::Address("10.0.0.7:90".parse().unwrap());
        let mut before = first;
        for (grpc, expected) in
            [(Some(BindingPlace::Port(81)), Some("10.0.0.1:81")), (Some(elsewhere), Some("10.0.0.7:90")), (None, None)]
        {
            let after = build(settings(with(grpc)), Some(&before), &none);
            let endpoint = Arc::clone(&after.members().endpoints[0]);
            let binding = endpoint.grpc.as_ref().map(|binding| binding.address.to_string());
            assert_eq!(binding.as_deref(), expected);
            assert_eq!((endpoint.id, endpoint.in_flight()), (stream.endpoint().id, 1));
            before = after;
        }
        let named = Member { grpc: Some(BindingPlace::Port(81)), ..name("agent.local.", 1) };
        let cluster =
            build(settings(vec![named]), None, &resolutions([("agent.local.", answer(&["10.0.0.1", "fd00::1"]))]));
        let bindings = cluster.members().endpoints.iter().map(|one| one.grpc.clone().unwrap()).collect::<Vec<_>>();
        let places = bindings.iter().map(|one| one.address.to_string()).collect::<Vec<_>>();
        assert_eq!(places, ["10.0.0.1:81", "[fd00::1]:81"]);
        assert!(bindings.iter().all(|one| &*one.name == "agent.local:81" && one.host() == "agent.local"));
    }

    #[test]
    fn another_transport_makes_other_endpoints() {
        let none = Resolutions::new();
        let before = build(settings(vec![socket("10.0.0.1:80", 1)]), None, &none);
        let mut h2c = settings(vec![socket("10.0.0.1:80", 1)]);
        h2c.protocol = UpstreamProtocol::H2c;
        let mut tls = settings(vec![socket("10.0.0.1:80", 1)]);
        tls.tls = Some(UpstreamTls::default());
        let mut renamed = settings(vec![socket("10.0.0.1:80", 1)]);
        renamed.name = "others".to_owned();
        for changed in [h2c, tls, renamed] {
            let after = build(changed, Some(&before), &none);
            assert_ne!(after.members().endpoints[0].id, before.members().endpoints[0].id);
        }
    }

    #[test]
    fn a_reload_without_dns_keeps_the_addresses() {
        let before = build(settings(vec![name("a", 1)]), None, &resolutions([("a", answer(&["10.0.0.1"]))]));
        for outcomes in [Resolutions::new(), resolutions([("a", Err(Error::TimedOut))])] {
            let after = build(settings(vec![name("a", 1)]), Some(&before), &outcomes);
            assert_eq!(addresses(&after), ["10.0.0.1:80"]);
            assert_eq!(after.members().endpoints[0].id, before.members().endpoints[0].id);
        }
    }

    #[test]
    fn a_changed_answer_swaps_members_and_an_unchanged_one_does_not() {
        let cluster =
            build(settings(vec![name("a", 1)]), None, &resolutions([("a", answer(&["10.0.0.1", "10.0.0.2"]))]));
        let before = cluster.members();
        assert_eq!(record(&cluster, &resolutions([("a", answer(&["10.0.0.2", "10.0.0.1"]))])), None);
        assert_eq!(cluster.generation(), before.generation);
        assert_eq!(record(&cluster, &resolutions([("a", answer(&["10.0.0.2", "10.0.0.3"]))])), Some(2));
        let after = cluster.members();
        assert_eq!(addresses(&cluster), ["10.0.0.2:80", "10.0.0.3:80"]);
        assert_eq!(cluster.generation(), after.generation);
        assert_ne!(after.generation, before.generation);
        assert!(Arc::ptr_eq(&after.endpoints[0], &before.endpoints[1]));
    }

    #[test]
    fn an_endpoint_that_comes_back_still_counts_its_streams() {
        let cluster =
            build(settings(vec![name("a", 1)]), None, &resolutions([("a", answer(&["10.0.0.1", "10.0.0.2"]))]));
        let stream = InFlight::new(Arc::clone(&cluster.members().endpoints[0]));
        record(&cluster, &resolutions([("a", answer(&["10.0.0.2"]))]));
        assert_eq!(addresses(&cluster), ["10.0.0.2:80"]);
        record(&cluster, &resolutions([("a", answer(&["10.0.0.1", "10.0.0.2"]))]));
        let members = cluster.members();
        assert_eq!((members.endpoints[0].id, members.endpoints[0].in_flight()), (stream.endpoint().id, 1));
        record(&cluster, &resolutions([("a", answer(&["10.0.0.2"]))]));
        drop((stream, members));
        record(&cluster, &resolutions([("a", answer(&["10.0.0.1"]))]));
        assert_eq!(cluster.members().endpoints[0].in_flight(), 0);
        assert!(cluster.roster().known.len() <= 2, "endpoints that left for good are forgotten");
    }

    #[test]
    fn status_tells_endpoints_and_names() {
        let cluster = build(settings(vec![name("a", 2)]), None, &resolutions([("a", answer(&["10.0.0.1"]))]));
        let _stream = InFlight::new(Arc::clone(&cluster.members().endpoints[0]));
        record(&cluster, &resolutions([("a", Err(Error::TimedOut))]));
        let status = cluster.status();
        assert_eq!(status.name, "agents");
        assert_eq!((status.endpoints[0].weight, status.endpoints[0].in_flight), (2, 1));
        assert_eq!(status.names[0].addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(status.names[0].error.as_deref(), Some("no answer in time"));
        assert!(status.names[0].resolved_at.is_some() && status.names[0].stale_since.is_some());
    }
}
