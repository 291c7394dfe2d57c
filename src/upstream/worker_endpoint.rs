//! A worker's own record of an endpoint: the endpoint everybody shares and the connections only this worker uses.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::body::UploadState;
use crate::cluster::{Cause, Cluster, Endpoint, EndpointId, OutlierDetector};
use crate::head::retry_after;
use crate::observe::endpoints::EndpointSeries;
use crate::observe::handle::CodeClass;
use crate::observe::handles::ClusterHandles;
use crate::observe::metrics::Metrics;
use crate::outcome::Outcome;
use crate::pool::{Pool, Quota, Transport};

/// An endpoint and this worker's connections to it.
#[derive(Debug)]
pub struct WorkerEndpoint {
    endpoint: Arc<Endpoint>,
    detector: Arc<OutlierDetector>,
    pool: Rc<Pool>,
    /// To its binding for gRPC, where it has one.
    grpc: Option<Rc<Pool>>,
    transport: Rc<Transport>,
    label: Box<str>,
    series: Option<EndpointSeries>,
}

impl WorkerEndpoint {
    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The connections, for a gRPC call or for another one.
    #[must_use]
    pub fn pool(&self, grpc: bool) -> &Rc<Pool> {
        self.grpc.as_ref().filter(|_| grpc).unwrap_or(&self.pool)
    }

    /// Host and port as configured, of the binding for a gRPC call or for another one.
    pub(super) fn name(&self, grpc: bool) -> &str {
        self.endpoint.place(grpc).1
    }

    fn pools(&self) -> impl Iterator<Item = &Rc<Pool>> {
        std::iter::once(&self.pool).chain(&self.grpc)
    }

    /// Reports the outcome of an attempt at this endpoint. Returns the cause when that ejects it.
    pub fn report(&self, outcome: Outcome, now: Instant) -> Option<&'static str> {
        self.report_seen_by(None, outcome, now)
    }

    /// The same with the client that has seen it, as [`network`](crate::context::network) tells clients apart.
    pub fn report_seen_by(&self, client: Option<u64>, outcome: Outcome, now: Instant) -> Option<&'static str> {
        let cause = self.detector.report(&self.endpoint, outcome, client, now).map(Cause::word);
        if let Some(cause) = cause {
            self.transport.handles.ejections.count(cause);
        }
        if let Some(breaker) = self.detector.breaker() {
            self.pool.show_breaker(breaker.state().number());
        }
        cause
    }

    /// Takes in the head of an answer. Returns the cause when that ejects the endpoint.
    pub(super) fn answered(&self, outcome: Outcome, fields: &HeaderMap, now: Instant) -> Option<&'static str> {
        let ejected = self.report(outcome, now);
        let asks = matches!(outcome.status, Some(StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE));
        if asks
            && self.detector.grants_rest()
            && let Some(wanted) = retry_after(fields, SystemTime::now())
            && let Some(cause) = self.detector.rest(&self.endpoint, wanted, now)
        {
            self.transport.handles.ejections.count(cause.word());
            return Some(cause.word());
        }
        ejected
    }

    /// The start of an attempt, when its length matters: shifted by the time that the client took before, so that all
    /// of the client's time can be subtracted at the end.
    pub(super) fn stopwatch(&self, upload: &UploadState) -> Option<Instant> {
        let now = self.detector.measures().then(Instant::now)?;
        Some(now.checked_sub(upload.client_time()).unwrap_or(now))
    }

    /// Takes in how long an attempt took to its head, or to its failure, without the time in which the endpoint waited
    /// for the client. A failure that came while it waited says nothing.
    pub(super) fn measured(&self, begun: Option<Instant>, upload: &UploadState, ok: bool) {
        if let Some(begun) = begun
            && (ok || !upload.awaits_client())
        {
            let now = Instant::now();
            let took = now.saturating_duration_since(begun);
            let took = took.saturating_sub(upload.client_time());
            self.detector.measure(&self.endpoint, took, ok, now);
        }
    }

    /// Counts a try here that came to an answer after this time, or to none.
    pub(super) fn tried(&self, answer: Option<(StatusCode, Duration)>) {
        if let Some(series) = &self.series {
            let class = answer.map_or(CodeClass::Failed, |(status, _)| CodeClass::of(status));
            series.tried(class, answer.map(|(_, took)| took));
        }
    }

    /// Counts a try here that came to no answer, as `class`.
    pub(super) fn gave_up(&self, class: CodeClass) {
        if let Some(series) = &self.series {
            series.tried(class, None);
        }
    }

    /// Its address, for the access record.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl AsRef<Endpoint> for WorkerEndpoint {
    fn as_ref(&self) -> &Endpoint {
        &self.endpoint
    }
}

/// How connections to the bindings of a cluster's endpoints are made.
#[derive(Debug)]
pub(super) struct Transports {
    /// To their addresses.
    pub(super) usual: Rc<Transport>,
    /// To their bindings for gRPC, where there are such.
    pub(super) grpc: Option<Rc<Transport>>,
}

/// Every lane of a worker. They outlive snapshots: connections survive a reload that keeps the endpoint.
#[derive(Debug)]
pub struct WorkerEndpoints {
    metrics: Arc<Metrics>,
    known: RefCell<HashMap<EndpointId, Rc<WorkerEndpoint>>>,
    /// Generations of the clusters and of their members that the endpoints were last compared with.
    seen: Cell<(u64, u64)>,
    /// Rung when other workers need the places of this worker's idle connections.
    idle_wanted: Arc<Notify>,
}

impl WorkerEndpoints {
    /// None as yet.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: RefCell::default(), seen: Cell::default(), idle_wanted: Arc::default() }
    }

    /// Handles for one more way of connecting to the endpoints of a cluster.
    pub(super) fn handles(&self, cluster: &str) -> ClusterHandles {
        ClusterHandles::new(&self.metrics, cluster)
    }

    /// The lane of `endpoint`, with `transports` for the connections opened from now on.
    pub(super) fn worker_endpoint(
        &self,
        endpoint: &Arc<Endpoint>,
        cluster: &Cluster,
        transports: &Transports,
    ) -> Rc<WorkerEndpoint> {
        let mut known = self.known.borrow_mut();
        let before = known.get(&endpoint.id);
        let quota = || endpoint.connections().cloned();
        let pool = self.pool(before.map(|before| &before.pool), &transports.usual, quota(), || {
            (endpoint.address, endpoint.host())
        });
        let binding = endpoint.grpc.as_ref().zip(transports.grpc.as_ref());
        let same_binding = before.filter(|before| before.endpoint.grpc == endpoint.grpc);
        let grpc = binding.map(|(binding, transport)| {
            let kept = same_binding.and_then(|before| before.grpc.as_ref());
            self.pool(kept, transport, quota(), || (binding.address, binding.host()))
        });
        if let Some(before) = before {
            if Arc::ptr_eq(&before.endpoint, endpoint) && Arc::ptr_eq(&before.detector, &cluster.detector) {
                return Rc::clone(before);
            }
            if same_binding.is_none() {
                before.grpc.iter().for_each(|pool| pool.retire());
            }
        }
        // Where the identity is known it has other settings (its weight changed): the connections stay.
        let label = before.map_or_else(|| endpoint.address.to_string().into(), |before| before.label.clone());
        let worker_endpoint = Rc::new(WorkerEndpoint {
            endpoint: Arc::clone(endpoint),
            detector: Arc::clone(&cluster.detector),
            pool,
            grpc,
            transport: Rc::clone(&transports.usual),
            series: endpoint.list(&self.metrics, &cluster.name, &label),
            label,
        });
        known.insert(endpoint.id, Rc::clone(&worker_endpoint));
        worker_endpoint
    }

    /// The connections there are, by `transport` from now on; where there are none yet, those to `place`.
    fn pool<'p>(
        &self,
        before: Option<&Rc<Pool>>,
        transport: &Rc<Transport>,
        quota: Option<Arc<Quota>>,
        place: impl FnOnce() -> (SocketAddr, &'p str),
    ) -> Rc<Pool> {
        let pool = match before {
            Some(before) => {
                before.update(Rc::clone(transport), quota);
                Rc::clone(before)
            }
            None => {
                let (address, host) = place();
                Rc::new(Pool::new(address, host, Rc::clone(transport), quota))
            }
        };
        pool.enlist(&self.idle_wanted);
        pool
    }

    /// Ends when another worker needs the place of an idle connection.
    pub async fn idle_is_wanted(&self) {
        self.idle_wanted.notified().await;
    }

    /// Closes idle connections whose permits others need.
    pub fn evict(&self) {
        for worker_endpoint in self.known.borrow().values() {
            worker_endpoint.pools().for_each(|pool| pool.evict());
        }
    }

    /// Closes connections idle for too long, and keeps none to an endpoint that is in none of `clusters` any more: such
    /// an endpoint is forgotten once its last stream is over. Called about once a second; `generation` is that of the
    /// list.
    pub fn sweep(&self, now: Instant, generation: u64, clusters: &[Arc<Cluster>]) {
        let members = clusters.iter().map(|cluster| cluster.generation());
        let seen = (generation, members.fold(0, u64::wrapping_add));
        let mut known = self.known.borrow_mut();
        if self.seen.replace(seen) != seen {
            let members: Vec<_> = clusters.iter().map(|cluster| cluster.members()).collect();
            let endpoints = members.iter().flat_map(|members| &members.endpoints);
            let current: HashMap<_, _, foldhash::fast::RandomState> =
                endpoints.map(|endpoint| (endpoint.id, &endpoint.grpc)).collect();
            for (id, worker_endpoint) in known.iter() {
                match current.get(id) {
                    None => worker_endpoint.pools().for_each(|pool| pool.retire()),
                    // Its binding went or moved, and no request has come by here since.
                    Some(grpc) if **grpc != worker_endpoint.endpoint.grpc => {
                        worker_endpoint.grpc.iter().for_each(|pool| pool.retire());
                    }
                    Some(_) => {}
                }
            }
        }
        known.retain(|_, worker_endpoint| {
            worker_endpoint.pools().for_each(|pool| pool.sweep(now));
            Rc::strong_count(worker_endpoint) > 1 || !worker_endpoint.pools().all(|pool| pool.is_empty())
        });
    }
}
