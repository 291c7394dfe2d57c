//! The state of one worker thread: its view of the snapshot, its connections, its part of the access log.

use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::debug_span;

use super::farewell::Farewells;
use super::running_lookups::RunningLookups;
use super::stall_detector::StallDetectors;
use super::worker_route::WorkerRoute;
use crate::config::model::{ClusterId, ListenerId, Percentage, RouteId};
use crate::context::Connection;
use crate::head::Values;
use crate::observe::audit::{AuditSink, Sinks};
use crate::observe::handles::{BlockHandles, ClusterHandles, RouteHandles};
use crate::observe::live::WorkerLive;
use crate::observe::log::Sink;
use crate::observe::metrics::Metrics;
use crate::observe::outbox::Tray;
use crate::observe::record::{AccessRecord, RecordPlans};
use crate::observe::span::Span;
use crate::observe::tenants::TenantSeries;
use crate::observe::tracer::Tracer;
use crate::snapshot::{Hub, Snapshot};
use crate::upstream::{Mirrors, WorkerCluster, WorkerEndpoints};

/// State of one worker. Never leaves its thread.
#[derive(Debug)]
pub struct Worker {
    hub: Arc<Hub>,
    view: RefCell<Rc<View>>,
    /// The last view of listeners that are gone, by their name, for the requests still on their connections.
    retired: RefCell<HashMap<String, (Rc<View>, Instant)>>,
    worker_endpoints: Rc<WorkerEndpoints>,
    pub(super) metrics: Arc<Metrics>,
    /// Of the access logs, by their position.
    access: Box<[Option<Sink>]>,
    pub(super) audit: Option<AuditSink>,
    pub(super) spans: Option<Tray<Span>>,
    /// What operators look at.
    pub(super) live: WorkerLive,
    rng: RefCell<fastrand::Rng>,
    values: RefCell<Values>,
    active: Cell<usize>,
    tunnels: RefCell<Vec<(AbortHandle, Rc<Connection>)>>,
    pub(super) stall_detectors: StallDetectors,
    pub(super) farewells: Farewells,
    pub(super) mirrors: Mirrors,
    pub(super) lookups: RunningLookups,
    /// Calls that are sent for several clients.
    pub(super) runs: Mirrors,
    /// Questions for cards, for catalogs.
    pub(super) card_questions: Mirrors,
}

/// A snapshot with this worker's handles into it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) snapshot: Arc<Snapshot>,
    generation: u64,
    unrouted: RouteHandles,
    /// Made when a client is blocked.
    blocks: OnceCell<Box<BlockHandles>>,
    /// What the access logs make of records.
    plans: Arc<RecordPlans>,
    /// Where requests are traced.
    tracer: Option<Rc<Tracer>>,
    /// Where requests are counted by tenant.
    tenants: Option<Box<TenantSeries>>,
    /// Empty places that are small: thousands of them are made anew with each configuration.
    routes: Vec<OnceCell<Rc<WorkerRoute>>>,
    targets: Vec<OnceCell<Rc<WorkerCluster>>>,
    worker_endpoints: Rc<WorkerEndpoints>,
    turn: usize,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// A worker on the hub's current snapshot.
    #[must_use]
    pub fn new(hub: Arc<Hub>, metrics: Arc<Metrics>, sinks: Sinks, seed: u64) -> Rc<Self> {
        let worker_endpoints = Rc::new(WorkerEndpoints::new(Arc::clone(&metrics)));
        let mut rng = fastrand::Rng::with_seed(seed);
        let view = View::new(&hub, &worker_endpoints, &metrics, &mut rng);
        Rc::new(Self {
            hub,
            view: RefCell::new(Rc::new(view)),
            retired: RefCell::default(),
            worker_endpoints,
            metrics,
            access: sinks.access.into(),
            audit: sinks.audit,
            spans: sinks.spans,
            live: sinks.live,
            rng: RefCell::new(rng),
            values: RefCell::default(),
            active: Cell::new(0),
            tunnels: RefCell::default(),
            stall_detectors: StallDetectors::default(),
            farewells: Farewells::default(),
            mirrors: Mirrors::default(),
            lookups: RunningLookups::default(),
            runs: Mirrors::default(),
            card_questions: Mirrors::default(),
        })
    }

    /// The view of now. Requests keep it until their response head, bodies never.
    pub(super) fn view(&self) -> Rc<View> {
        let generation = self.hub.generation();
        if self.view.borrow().generation != generation {
            let _timed = debug_span!("view").entered();
            let view = View::new(&self.hub, &self.worker_endpoints, &self.metrics, &mut self.rng.borrow_mut());
            let before = self.view.replace(Rc::new(view));
            self.retire(&before);
        }
        Rc::clone(&self.view.borrow())
    }

    /// The view for a request that came in through `listener`, and where that is in it.
    pub(super) fn view_for(&self, listener: &str) -> (Rc<View>, Option<ListenerId>) {
        let view = self.view();
        let id = view.snapshot.listener(listener);
        if id.is_none()
            && let Some((last, _)) = self.retired.borrow().get(listener)
        {
            return (Rc::clone(last), last.snapshot.listener(listener));
        }
        (view, id)
    }

    fn retire(&self, before: &Rc<View>) {
        let view = self.view.borrow();
        for listener in &before.snapshot.config.listeners {
            if view.snapshot.listener(&listener.name).is_none() {
                let mut retired = self.retired.borrow_mut();
                let last = (Rc::clone(before), Instant::now());
                retired.insert(listener.name.clone(), last);
            }
        }
    }

    /// Forgets listeners that are gone, and those that have drained for so long that only streams can be left: an
    /// hour-long stream must not keep an old configuration.
    pub fn keep_retired(&self, keep: impl Fn(&str) -> bool) {
        let mut retired = self.retired.borrow_mut();
        if !retired.is_empty() {
            let now = Instant::now();
            let is_recent = |since: Instant| now.saturating_duration_since(since) < RETIRED;
            retired.retain(|name, (_, since)| is_recent(*since) && keep(name));
        }
    }

    /// This worker's side of the cluster of this name, as it is configured now.
    pub(super) fn cluster(&self, name: &str) -> Option<Rc<WorkerCluster>> {
        let view = self.view();
        let at = view.snapshot.clusters.iter().position(|cluster| *cluster.name == *name)?;
        view.target(ClusterId(at)).cloned()
    }

    /// What makes values for heads.
    pub(super) fn values(&self) -> RefMut<'_, Values> {
        self.values.borrow_mut()
    }

    /// What makes its random numbers.
    pub(super) fn rng(&self) -> RefMut<'_, fastrand::Rng> {
        self.rng.borrow_mut()
    }

    /// A generator of its own, for what waits.
    pub(super) fn fork_rng(&self) -> fastrand::Rng {
        self.rng.borrow_mut().fork()
    }

    /// Housekeeping, about ten times a second: hands log lines over, and now and then closes idle connections.
    pub fn tick(&self, sweep: bool) {
        self.access.iter().flatten().for_each(Sink::flush);
        if let Some(audit) = &self.audit {
            audit.flush();
        }
        if let Some(spans) = &self.spans {
            spans.flush();
        }
        // A worker without requests must not hold on to an old configuration.
        let view = self.view();
        if sweep {
            let now = Instant::now();
            view.targets.iter().filter_map(OnceCell::get).for_each(|cluster| cluster.refresh());
            let clusters = &view.snapshot.clusters;
            self.worker_endpoints.sweep(now, view.generation, clusters);
            self.stall_detectors.look(now);
            self.mirrors.tidy();
            self.runs.tidy();
            self.card_questions.tidy();
            self.tunnels.borrow_mut().retain(|(tunnel, _)| !tunnel.is_finished());
        }
    }

    /// Ends when another worker needs the place of an idle connection; then [`Self::evict`].
    pub async fn idle_is_wanted(&self) {
        self.worker_endpoints.idle_is_wanted().await;
    }

    /// Closes idle connections whose permits other workers need.
    pub fn evict(&self) {
        self.worker_endpoints.evict();
    }

    /// Exchanges that are not over.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active.get()
    }

    /// Cuts the tunnels and says how many there were. Connections that carry HTTP are the listeners' to cut.
    pub fn cut_tunnels(&self) -> usize {
        let tunnels = self.tunnels.take();
        let open = tunnels.iter().filter(|(tunnel, _)| !tunnel.is_finished());
        open.map(|(tunnel, connection)| {
            connection.cut.set(true);
            tunnel.abort();
        })
        .count()
    }

    /// Tells the streams that can say something at their end that it has come; how many there are.
    pub fn farewell(&self) -> usize {
        self.farewells.tell()
    }

    /// How many streams have ended for that reason since the last time.
    #[must_use]
    pub fn ended_by_farewell(&self) -> usize {
        self.farewells.take_ended()
    }

    pub(super) fn own(&self, tunnel: AbortHandle, connection: Rc<Connection>) {
        self.tunnels.borrow_mut().push((tunnel, connection));
    }

    /// Whether there is an access log.
    pub(super) fn has_access_log(&self) -> bool {
        self.access.iter().any(Option::is_some)
    }

    /// Writes a record into every access log that wants it. `path` is the path as it was matched.
    pub(super) fn write_down(&self, record: &AccessRecord<'_>, path: &str) {
        let view = self.view.borrow();
        let plans = view.plans();
        let roll = if plans.is_sampled() { self.rng().u32(..Percentage::ALL.of_million()) } else { 0 };
        for (at, sink) in self.access.iter().enumerate() {
            if let (Some(sink), Some(plan)) = (sink, plans.of(at))
                && plan.wants(record, path, roll)
            {
                sink.record(plan, record);
            }
        }
    }

    /// Counts an answer for its tenant, where tenants are counted.
    pub(super) fn count_tenant<'a>(&self, tenant: impl FnOnce() -> Option<&'a str>, status: u16) {
        if let Some(tenants) = &self.view.borrow().tenants
            && let Some(tenant) = tenant()
        {
            tenants.count(tenant, status);
        }
    }

    pub(super) fn enter(&self) {
        self.active.set(self.active.get() + 1);
    }

    pub(super) fn leave(&self) {
        self.active.set(self.active.get() - 1);
    }
}

impl View {
    fn new(hub: &Hub, worker_endpoints: &Rc<WorkerEndpoints>, metrics: &Arc<Metrics>, rng: &mut fastrand::Rng) -> Self {
        let generation = hub.generation();
        let snapshot = hub.current();
        let targets = snapshot.clusters.iter().map(|_| OnceCell::new()).collect();
        let routes = snapshot.routes.iter().map(|_| OnceCell::new()).collect();
        let unrouted = RouteHandles::new(Arc::clone(metrics), "-", "-");
        let (worker_endpoints, turn) = (Rc::clone(worker_endpoints), rng.usize(..));
        let tenants = TenantSeries::new(&snapshot.config.tenants.series, metrics).map(Box::new);
        let metrics = Arc::clone(metrics);
        let blocks = OnceCell::new();
        let tracer = snapshot.config.tracing.as_ref().map(|settings| Rc::new(Tracer::new(Arc::clone(settings))));
        Self {
            generation,
            unrouted,
            blocks,
            plans: Arc::clone(&snapshot.access_log),
            tracer,
            tenants,
            routes,
            targets,
            worker_endpoints,
            turn,
            metrics,
            snapshot,
        }
    }

    /// This worker's side of a route, made when the first request needs it.
    pub(super) fn route(&self, route: RouteId) -> Option<&Rc<WorkerRoute>> {
        let (slot, runtime) = (self.routes.get(route.0)?, self.snapshot.routes.get(route.0)?);
        let make = || WorkerRoute::new(runtime, &self.metrics, self.turn, |id| self.target(id).map(Rc::clone));
        Some(slot.get_or_init(|| Rc::new(make())))
    }

    /// Handles for requests no route matched.
    pub(super) fn unrouted(&self) -> &RouteHandles {
        &self.unrouted
    }

    /// What the access logs want of a request.
    pub(super) fn plans(&self) -> &RecordPlans {
        &self.plans
    }

    /// What traces requests, if anything does.
    pub(super) fn tracer(&self) -> Option<&Rc<Tracer>> {
        self.tracer.as_ref()
    }

    /// Handles for clients that are not served at all.
    pub(super) fn blocks(&self) -> &BlockHandles {
        self.blocks.get_or_init(|| Box::new(BlockHandles::new(&self.metrics)))
    }

    /// This worker's view of a cluster, made when the first request needs it.
    fn target(&self, cluster: ClusterId) -> Option<&Rc<WorkerCluster>> {
        let (slot, cluster, tls) =
            (self.targets.get(cluster.0)?, self.snapshot.clusters.get(cluster.0)?, self.snapshot.tls.get(cluster.0)?);
        Some(slot.get_or_init(|| {
            let handles = ClusterHandles::new(&self.metrics, &cluster.name);
            let (tls, endpoints) = (tls.clone(), Rc::clone(&self.worker_endpoints));
            Rc::new(WorkerCluster::new(Arc::clone(cluster), tls, endpoints, handles, self.turn))
        }))
    }
}

/// How long a request can still come in on a connection of a listener that is gone.
const RETIRED: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::cluster::discovery::dns::Resolutions;
    use crate::config::{self, Environment};

    fn snapshot(listeners: &str) -> Snapshot {
        let text = format!("listeners: {{ {listeners} }}\nroutes: {{ all: {{ respond: {{ status: 204 }} }} }}");
        let loaded = config::parse(&text, "test.yaml", &Environment::process()).unwrap();
        Snapshot::build(Arc::new(loaded.config), None, &Resolutions::new()).unwrap()
    }

    const BOTH: &str = "stays: { address: '127.0.0.1:0' }, goes: { address: '127.0.0.1:0' }";
    const ONE: &str = "stays: { address: '127.0.0.1:0' }";

    /// A worker that saw the listener `goes` go, and the configuration that had it.
    fn left_behind() -> (Rc<Worker>, std::sync::Weak<Snapshot>) {
        let metrics = Arc::new(Metrics::new(&[]).unwrap());
        let hub = Arc::new(Hub::new(snapshot(BOTH)));
        let before = Arc::downgrade(&hub.current());
        let worker = Worker::new(Arc::clone(&hub), metrics, Sinks::default(), 1);
        hub.replace(snapshot(ONE));
        worker.tick(false);
        (worker, before)
    }

    #[tokio::test(start_paused = true)]
    async fn the_view_of_a_listener_that_is_gone_lasts_a_minute() {
        let (worker, before) = left_behind();
        advance(RETIRED - Duration::from_millis(1)).await;
        worker.keep_retired(|_| true);
        assert!(worker.view_for("goes").1.is_some(), "requests still come");
        assert!(before.upgrade().is_some());
        advance(Duration::from_millis(1)).await;
        worker.keep_retired(|_| true);
        assert!(worker.view_for("goes").1.is_none());
        assert!(worker.view_for("stays").1.is_some());
        assert!(before.upgrade().is_none(), "its configuration is freed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_view_of_a_listener_without_connections_goes_at_once() {
        let (worker, before) = left_behind();
        worker.keep_retired(|name| name != "goes");
        assert!(worker.view_for("goes").1.is_none());
        assert!(before.upgrade().is_none());
    }
}
