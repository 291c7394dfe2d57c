//! A cluster as one worker sees it: its own copy of the members, refreshed when their generation moves on, with a lane
//! each.

use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::worker_endpoint::{Transports, WorkerEndpoint, WorkerEndpoints};
use crate::cluster::{
    Availability, AvailabilitySettings, Cluster, Endpoint, EndpointId, InFlight, Members, PickRequest, Scope, Strength,
    hash_key,
};
use crate::config::model::LoadBalancer;
use crate::error::{Error, LimitHit};
use crate::observe::handles::ClusterHandles;
use crate::pool::{ClientTls, ClientTlsError, Transport, Version};

/// Why a cluster cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cluster `{cluster}`")]
pub struct WorkerClusterError {
    /// Its name.
    pub cluster: String,
    /// What is wrong.
    #[source]
    pub source: ClientTlsError,
}

/// A cluster with this worker's lanes to its endpoints.
#[derive(Debug)]
pub struct WorkerCluster {
    cluster: Arc<Cluster>,
    transports: Transports,
    worker_endpoints: Rc<WorkerEndpoints>,
    members: RefCell<Rc<Local>>,
    terms: AvailabilitySettings,
    turn: Cell<usize>,
    scope: Scope,
    /// Empty lists for the fields of requests that are kept.
    buffers: RefCell<Vec<Fields>>,
}

#[derive(Debug)]
struct Local {
    members: Arc<Members>,
    generation: u64,
    worker_endpoints: Vec<Rc<WorkerEndpoint>>,
    /// Where the cluster stood, and when that was.
    availability: Cell<Option<(Availability, Instant)>>,
}

/// Fields in a row.
pub(super) type Fields = Vec<(HeaderName, HeaderValue)>;

impl WorkerCluster {
    /// This worker's view of `cluster`.
    #[must_use]
    pub fn new(
        cluster: Arc<Cluster>,
        tls: Option<ClientTls>,
        worker_endpoints: Rc<WorkerEndpoints>,
        handles: ClusterHandles,
        turn: usize,
    ) -> Self {
        let settings = &cluster.settings;
        let transport = |version, tls, handles| Transport {
            version,
            tls,
            connect_timeout: settings.connect_timeout,
            handshake_timeout: settings.handshake_timeout,
            idle_timeout: settings.idle_timeout,
            max_idle: settings.max_idle,
            tcp_keepalive: settings.tcp_keepalive,
            http2_keepalive: settings.http2_keepalive,
            max_requests: settings.circuit_breaker.max_requests_per_connection,
            quota: cluster.ceilings.as_ref().and_then(|ceilings| ceilings.connections().cloned()),
            handles,
        };
        // One that was removed may still have a binding for its tasks.
        let has_binding = || cluster.members().endpoints.iter().any(|endpoint| endpoint.grpc.is_some());
        let grpc = (settings.has_grpc() || has_binding()).then(|| {
            let tls = tls.as_ref().map(ClientTls::only_http2);
            Rc::new(transport(Version::Http2, tls, worker_endpoints.handles(&cluster.name)))
        });
        let transports = Transports { usual: Rc::new(transport(settings.protocol.into(), tls, handles)), grpc };
        if let Some(breaker) = cluster.detector.breaker() {
            transports.usual.handles.breaker(breaker.state().number());
        }
        if let Some(adaptive) = &cluster.adaptive {
            transports.usual.handles.adaptive_limit.get().set_count(adaptive.limit());
        }
        let scope = Scope::of_cluster(&cluster.name);
        let local = Rc::new(local(&cluster, &worker_endpoints, &transports));
        Self {
            terms: AvailabilitySettings::from(&*cluster.settings),
            cluster,
            transports,
            worker_endpoints,
            members: RefCell::new(local),
            turn: Cell::new(turn),
            scope,
            buffers: RefCell::default(),
        }
    }

    /// TLS settings for a cluster, if it uses TLS.
    ///
    /// # Errors
    /// When its files cannot be used.
    pub fn tls(cluster: &Cluster) -> Result<Option<ClientTls>, WorkerClusterError> {
        let settings = &cluster.settings;
        let build = |tls| ClientTls::build(tls, settings.protocol);
        settings
            .tls
            .as_ref()
            .map(build)
            .transpose()
            .map_err(|source| WorkerClusterError { cluster: settings.name.clone(), source })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.cluster.name
    }

    /// Metric handles of the cluster.
    #[must_use]
    pub fn handles(&self) -> &ClusterHandles {
        &self.transports.usual.handles
    }

    /// The key of the request, where the policy chooses by one.
    #[must_use]
    pub fn hash(&self, headers: &HeaderMap, client: IpAddr) -> Option<u64> {
        match self.policy() {
            LoadBalancer::Hash(key) => hash_key(key, headers, client),
            LoadBalancer::LeastConnection
            | LoadBalancer::PeakEwma
            | LoadBalancer::RoundRobin
            | LoadBalancer::Random => None,
        }
    }

    /// Whether the cluster is spoken to over TLS.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        self.cluster.settings.tls.is_some()
    }

    /// Whether one of the cluster's members is configured under this host and port, as [`Cluster::is_at`].
    #[must_use]
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        self.cluster.is_at(host, port)
    }

    fn policy(&self) -> &LoadBalancer {
        &self.cluster.settings.load_balancer
    }

    /// The cluster, with what all workers share.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// An empty list, if possible one that was used before.
    pub(super) fn buffer(&self) -> Fields {
        self.buffers.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps a list for the next request.
    pub(super) fn take_back(&self, mut fields: Fields) {
        fields.clear();
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < MAX_BUFFERS && fields.capacity() <= MAX_FIELDS {
            buffers.push(fields);
        }
    }

    /// Whether a request may ask to switch protocols: HTTP/2 knows no such thing (RFC 9113 section 8.6).
    #[must_use]
    pub fn may_switch(&self) -> bool {
        self.transports.usual.version != Version::Http2
    }

    /// Whether connections may be HTTP/2, whose streams an endpoint can refuse one by one; with `grpc`, those for gRPC.
    pub(super) fn may_stream(&self, grpc: bool) -> bool {
        let binding = self.transports.grpc.as_ref().filter(|_| grpc);
        let transport = binding.unwrap_or(&self.transports.usual);
        match transport.version {
            Version::Http1 => false,
            Version::Http2 => true,
            Version::Negotiated => transport.tls.is_some(),
        }
    }

    /// The namespace of what its endpoints hold.
    #[must_use]
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Whether that endpoint is one of its own.
    #[must_use]
    pub fn has(&self, endpoint: EndpointId) -> bool {
        self.current().members.endpoints.iter().any(|member| member.id == endpoint)
    }

    /// How many endpoints it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.current().worker_endpoints.len()
    }

    /// Its endpoints that can be asked what they hold: draining and ejected ones too, but none that its checks find
    /// down, and none whose drain is over.
    #[must_use]
    pub fn askable(&self) -> Vec<Rc<WorkerEndpoint>> {
        let local = self.current();
        let now = Instant::now();
        let can_be_asked = |endpoint: &Endpoint| !endpoint.is_unhealthy() && !endpoint.is_gone(now);
        let up = local.worker_endpoints.iter().filter(|worker_endpoint| can_be_asked(worker_endpoint.endpoint()));
        up.cloned().collect()
    }

    /// Chooses an endpoint and counts the request on it.
    ///
    /// # Errors
    /// When there is none, or all there are are full, or others wait for one.
    pub(super) fn choose(
        &self,
        request: &PickRequest<'_>,
        rng: &mut fastrand::Rng,
    ) -> Result<InFlight<Rc<WorkerEndpoint>>, Error> {
        let ceilings = self.cluster.ceilings.as_ref();
        if ceilings.is_some_and(|ceilings| !ceilings.may_choose(request.kind)) {
            return Err(Error::at_ceiling(request.kind.limit_hit()));
        }
        self.find(request, rng)
    }

    /// As [`Self::choose`], for a request from the queue.
    pub(super) fn find(
        &self,
        request: &PickRequest<'_>,
        rng: &mut fastrand::Rng,
    ) -> Result<InFlight<Rc<WorkerEndpoint>>, Error> {
        let local = self.current();
        if request.preferred.is_some()
            && let Some(limit_hit) = local.members.holder_is_full(request)
        {
            return Err(Error::at_ceiling(limit_hit));
        }
        let now = request.now;
        let known = local.availability.get();
        let recent = known.filter(|(_, at)| now.saturating_duration_since(*at) < AVAILABILITY_AGE);
        let mut looked = recent.is_none();
        let mut request = PickRequest {
            availability: recent.map_or_else(|| local.look(&self.terms, now), |(availability, _)| availability),
            ..*request
        };
        // Another worker may take the last room between the choice and the count: then another endpoint is chosen.
        for _ in 0..=local.worker_endpoints.len() {
            let index = local.members.pick(self.policy(), &request, rng, &self.turn);
            let Some(worker_endpoint) = index.and_then(|index| local.worker_endpoints.get(index)) else {
                if looked {
                    break;
                }
                // The last usable one may just have gone, or one may just be back.
                looked = true;
                request.availability = local.look(&self.terms, now);
                continue;
            };
            if let Some(in_flight) = InFlight::enter(Rc::clone(worker_endpoint), request.kind) {
                return Ok(in_flight);
            }
        }
        if request.preferred.is_some_and(|preference| preference.strength == Strength::HoldsAlone) {
            return Err(Error::NoEndpoint("the endpoint that holds the task is gone"));
        }
        let mut endpoints = local.members.endpoints.iter();
        let full = |endpoint: &Arc<Endpoint>| -> Option<LimitHit> {
            (endpoint.weight > 0).then(|| endpoint.full(request.kind))?
        };
        let none = || Error::NoEndpoint(why_none(&local.members.endpoints, now));
        Err(endpoints.find_map(full).map_or_else(none, Error::at_ceiling))
    }

    /// Lets go of members that are gone, also when nobody asks for the cluster.
    pub fn refresh(&self) {
        drop(self.current());
    }

    fn current(&self) -> Rc<Local> {
        let mut members = self.members.borrow_mut();
        if members.generation != self.cluster.generation() {
            *members = Rc::new(local(&self.cluster, &self.worker_endpoints, &self.transports));
        }
        Rc::clone(&members)
    }
}

impl Local {
    fn look(&self, terms: &AvailabilitySettings, now: Instant) -> Availability {
        let availability = self.members.availability(terms, now);
        self.availability.set(Some((availability, now)));
        availability
    }
}

/// Why none of these may be asked.
fn why_none(endpoints: &[Arc<Endpoint>], now: Instant) -> &'static str {
    if endpoints.is_empty() {
        return "no name has an address";
    }
    let all = |is: &dyn Fn(&Endpoint) -> bool| endpoints.iter().all(|endpoint| endpoint.weight == 0 || is(endpoint));
    if all(&|_| false) {
        "all drain: their weight is 0"
    } else if all(&|endpoint| endpoint.is_unhealthy()) {
        "all are unhealthy by their checks"
    } else if all(&|endpoint| endpoint.is_ejected(now)) {
        "all are ejected"
    } else if all(&|endpoint| endpoint.is_unhealthy() || endpoint.is_ejected(now) || endpoint.is_failing(now)) {
        "all are unhealthy, ejected or failing"
    } else {
        "those that are left were tried"
    }
}

/// Lists kept for requests to come, and fields that one may have room for: 300 KiB at the most.
const MAX_BUFFERS: usize = 64;
const MAX_FIELDS: usize = 64;
/// How long a worker uses what it found out about a cluster as a whole.
const AVAILABILITY_AGE: Duration = Duration::from_millis(50);

fn local(cluster: &Cluster, worker_endpoints: &WorkerEndpoints, transports: &Transports) -> Local {
    let members = cluster.members();
    let worker_endpoints = members
        .endpoints
        .iter()
        .map(|endpoint| worker_endpoints.worker_endpoint(endpoint, cluster, transports))
        .collect();
    Local { generation: members.generation, members, worker_endpoints, availability: Cell::new(None) }
}
