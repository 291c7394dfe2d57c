//! Handles to the series of one route, cluster or listener, taken when a worker builds its snapshot. A series is looked
//! up by its label strings the first time it is needed and from then on reached through a short sorted list: a finished
//! request costs a few compares and relaxed adds. Nothing is allocated for a route that no request has hit, so 10,000
//! routes times the workers stay cheap. Gauges are guards.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::injected::{FaultHandles, MirrorHandles};
use super::metrics::Metrics;
use crate::error::LimitHit;
use crate::head::method_word;

/// Series of one route towards one cluster, for one worker. A clone is the same handle, and cheap.
#[derive(Clone, Debug)]
pub struct RouteHandles {
    shared: Rc<RouteShared>,
}

#[derive(Debug)]
struct RouteShared {
    metrics: Arc<Metrics>,
    route: Arc<str>,
    cluster: Arc<str>,
    /// Sorted by key; at most methods times statuses long, in practice two or three.
    finished: RefCell<Vec<(u32, Finished)>>,
    in_flight: OnceCell<IntGauge>,
    streams: OnceCell<IntGauge>,
    /// Boxed, because most routes have neither.
    faults: OnceCell<Box<FaultHandles>>,
    mirrors: OnceCell<Box<MirrorHandles>>,
}

#[derive(Clone, Debug)]
struct Finished {
    requests: IntCounter,
    duration: Histogram,
}

impl RouteHandles {
    /// Handles for `route`; `cluster` is `-` where the route answers by itself.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, route: impl Into<Arc<str>>, cluster: impl Into<Arc<str>>) -> Self {
        let shared = RouteShared {
            metrics,
            route: route.into(),
            cluster: cluster.into(),
            finished: RefCell::default(),
            in_flight: OnceCell::new(),
            streams: OnceCell::new(),
            faults: OnceCell::new(),
            mirrors: OnceCell::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Name of the route.
    #[must_use]
    pub fn route(&self) -> &str {
        &self.shared.route
    }

    /// Name of the cluster.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.shared.cluster
    }

    /// Counts an exchange that is over, response body included.
    pub fn finished(&self, method: &Method, status: u16, duration: Duration) {
        let method = method_word(method);
        let key = u32::from(method.0) << 16 | u32::from(status);
        let mut known = self.shared.finished.borrow_mut();
        let found = match known.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => known.get(at),
            Err(at) => {
                known.insert(at, (key, self.resolve(method.1, status)));
                known.get(at)
            }
        };
        if let Some((_, series)) = found {
            series.requests.inc();
            series.duration.observe(duration.as_secs_f64());
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use]
    pub fn in_flight(&self) -> GaugeGuard {
        let resolve = || self.shared.metrics.families.in_flight.with_label_values(&[&*self.shared.route]);
        GaugeGuard::new(self.shared.in_flight.get_or_init(resolve).clone())
    }

    /// Counts a stream as open until the guard is dropped.
    #[must_use]
    pub fn stream(&self) -> GaugeGuard {
        let resolve = || self.shared.metrics.families.streams.with_label_values(&[&*self.shared.route]);
        GaugeGuard::new(self.shared.streams.get_or_init(resolve).clone())
    }

    /// Its injected faults.
    #[must_use]
    pub fn faults(&self) -> &FaultHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        let resolve = || Box::new(FaultHandles::new(metrics, route));
        self.shared.faults.get_or_init(resolve)
    }

    /// Its mirrored requests.
    #[must_use]
    pub fn mirrors(&self) -> &MirrorHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        let resolve = || Box::new(MirrorHandles::new(metrics, route));
        self.shared.mirrors.get_or_init(resolve)
    }

    fn resolve(&self, method: &str, status: u16) -> Finished {
        let (families, route, cluster) = (&self.shared.metrics.families, &*self.shared.route, &*self.shared.cluster);
        let mut digits = itoa::Buffer::new();
        let code = digits.format(status);
        Finished {
            requests: families.requests.with_label_values(&[route, method, cluster, code, code]),
            duration: families.duration.with_label_values(&[route, method, cluster]),
        }
    }
}

/// Errors by reason word, for one worker.
#[derive(Debug)]
pub struct ErrorHandles {
    errors: ByWord,
    alias: ByWord,
}

impl ErrorHandles {
    /// Handles on `metrics`.
    #[must_use]
    pub fn new(metrics: &Metrics) -> Self {
        let families = &metrics.families;
        Self { errors: ByWord::new(&families.errors, None), alias: ByWord::new(&families.errors_alias, None) }
    }

    /// Counts one error.
    pub fn count(&self, reason: &'static str) {
        self.errors.count(reason);
        self.alias.count(reason);
    }
}

/// Series of one cluster, for one worker.
#[derive(Debug)]
pub struct ClusterHandles {
    attempts: IntCounter,
    connections: IntGauge,
    connects: ByWord,
    retries: ByWord,
    retries_stopped: ByWord,
    hedges: ByWord,
    reached: ByWord,
    rejected: ByWord,
    pending: IntGauge,
    /// Made for clusters that have a breaker.
    breaker: OnceCell<IntGauge>,
    breakers: IntGaugeVec,
    cluster: Box<str>,
    ejections: ByWord,
}

impl ClusterHandles {
    /// Handles for `cluster`.
    #[must_use]
    pub fn new(metrics: &Metrics, cluster: &str) -> Self {
        let families = &metrics.families;
        Self {
            attempts: families.attempts.with_label_values(&[cluster]),
            connections: families.upstream_connections.with_label_values(&[cluster]),
            connects: ByWord::new(&families.upstream_connects, Some(cluster)),
            retries: ByWord::new(&families.retries, Some(cluster)),
            ejections: ByWord::new(&families.ejections, Some(cluster)),
            retries_stopped: ByWord::new(&families.retries_stopped, Some(cluster)),
            hedges: ByWord::new(&families.hedges, Some(cluster)),
            reached: ByWord::new(&families.ceilings_reached, Some(cluster)),
            rejected: ByWord::new(&families.circuit_rejected, Some(cluster)),
            pending: families.pending.with_label_values(&[cluster]),
            breaker: OnceCell::new(),
            breakers: families.breaker_state.clone(),
            cluster: cluster.into(),
        }
    }

    /// Counts that a ceiling was met.
    pub fn ceiling_reached(&self, ceiling: LimitHit) {
        self.reached.count(ceiling.word());
    }

    /// Counts a request refused because of a ceiling or the breaker.
    pub fn circuit_rejected(&self, by: LimitHit) {
        self.rejected.count(by.word());
    }

    /// Counts a request as waiting until the guard is dropped.
    #[must_use]
    pub fn pending(&self) -> GaugeGuard {
        GaugeGuard::new(self.pending.clone())
    }

    /// Shows how the breaker stands.
    pub fn breaker(&self, state: u8) {
        let resolve = || self.breakers.with_label_values(&[&*self.cluster]);
        let shown = self.breaker.get_or_init(resolve);
        // Asked for with every attempt by every worker, and nearly always the same: reading is cheap where writing is
        // not.
        if shown.get() != i64::from(state) {
            shown.set(state.into());
        }
    }

    /// Counts one try at an endpoint.
    pub fn attempt(&self) {
        self.attempts.inc();
    }

    /// Counts one retry; `reason` is the word of the error before it, or of the part of an answer that asked for it.
    pub fn retry(&self, reason: &'static str) {
        self.retries.count(reason);
    }

    /// Counts a retry that was wanted and not made; `reason` says why not.
    pub fn retry_stopped(&self, reason: &'static str) {
        self.retries_stopped.count(reason);
    }

    /// Counts a try made beside another: `sent`, and `won` when its answer counted.
    pub fn hedge(&self, result: &'static str) {
        self.hedges.count(result);
    }

    /// Counts one ejection of an endpoint.
    pub fn ejected(&self, cause: &'static str) {
        self.ejections.count(cause);
    }

    /// Counts an opened connection until the guard is dropped.
    #[must_use]
    pub fn connected(&self) -> GaugeGuard {
        self.connects.count("ok");
        GaugeGuard::new(self.connections.clone())
    }

    /// Counts a connection that could not be opened.
    pub fn connect_failed(&self, reason: &'static str) {
        self.connects.count(reason);
    }
}

/// Series of the health checks of one cluster.
#[derive(Clone, Debug)]
pub struct HealthHandles {
    checks: Vec<(&'static str, IntCounter)>,
    healthy: IntGauge,
    unhealthy: IntGauge,
    unchecked: IntGauge,
    agent: IntGauge,
}

impl HealthHandles {
    /// Handles for `cluster`, whose checks have these results. All series are made now, because a check that ends after
    /// a reload dropped them must not bring them back.
    #[must_use]
    pub fn new(metrics: &Metrics, cluster: &str, results: &[&'static str]) -> Self {
        let families = &metrics.families;
        let checks = |word: &&'static str| {
            let counter = families.health_checks.with_label_values(&[cluster, word]);
            (*word, counter)
        };
        let state = |word| families.health_endpoints.with_label_values(&[cluster, word]);
        Self {
            checks: results.iter().map(checks).collect(),
            healthy: state("healthy"),
            unhealthy: state("unhealthy"),
            unchecked: state("unchecked"),
            agent: families.agent_health.with_label_values(&[cluster]),
        }
    }

    /// Counts one check.
    pub fn checked(&self, result: &'static str) {
        if let Some((_, counter)) = self.checks.iter().find(|(word, _)| *word == result) {
            counter.inc();
        }
    }

    /// Notes how many endpoints are in each state.
    pub fn note(&self, healthy: usize, unhealthy: usize, unchecked: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.healthy.set(number(healthy));
        self.unhealthy.set(number(unhealthy));
        self.unchecked.set(number(unchecked));
        self.agent.set((healthy + unchecked > 0).into());
    }
}

/// Series of one listener, for one worker.
#[derive(Debug)]
pub struct ListenerHandles {
    open: IntGauge,
    accepted: IntCounter,
    handshake_failures: IntCounter,
    refused: ByWord,
    malformed: ByWord,
}

impl ListenerHandles {
    /// Handles for `listener`.
    #[must_use]
    pub fn new(metrics: &Metrics, listener: &str) -> Self {
        let families = &metrics.families;
        Self {
            open: families.downstream_connections.with_label_values(&[listener]),
            accepted: families.connections.with_label_values(&[listener]),
            handshake_failures: families.handshake_failures.with_label_values(&[listener]),
            refused: ByWord::new(&families.connections_refused, Some(listener)),
            malformed: ByWord::new(&families.malformed, Some(listener)),
        }
    }

    /// Counts an accepted connection.
    pub fn accepted(&self) {
        self.accepted.inc();
    }

    /// Notes how many connections are open, over all workers. The listener counts them anyway, for its ceiling.
    pub fn note_open(&self, connections: usize) {
        self.open.set(i64::try_from(connections).unwrap_or(i64::MAX));
    }

    /// Counts a connection closed before a request was read.
    pub fn refused(&self, reason: &'static str) {
        self.refused.count(reason);
    }

    /// Counts a TLS handshake that failed.
    pub fn handshake_failed(&self) {
        self.handshake_failures.inc();
    }

    /// Counts a request that breaks HTTP or an edge rule.
    pub fn malformed(&self, reason: &'static str) {
        self.malformed.count(reason);
    }
}

/// One unit of a gauge, given back on drop. It may move between threads.
#[derive(Debug)]
pub struct GaugeGuard {
    gauge: IntGauge,
}

impl GaugeGuard {
    pub(super) fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self { gauge }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Counters of one family that differ in their last label, a fixed word.
#[derive(Debug)]
pub(super) struct ByWord {
    family: IntCounterVec,
    first: Option<Box<str>>,
    known: RefCell<Vec<(&'static str, IntCounter)>>,
}

impl ByWord {
    pub(super) fn new(family: &IntCounterVec, first: Option<&str>) -> Self {
        Self { family: family.clone(), first: first.map(Box::from), known: RefCell::default() }
    }

    pub(super) fn count(&self, word: &'static str) {
        let mut known = self.known.borrow_mut();
        if let Some((_, counter)) = known.iter().find(|entry| entry.0 == word) {
            counter.inc();
            return;
        }
        let counter = match &self.first {
            Some(first) => self.family.with_label_values(&[first, word]),
            None => self.family.with_label_values(&[word]),
        };
        counter.inc();
        known.push((word, counter));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Exposition;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[0.01, 0.1, 1.0]).unwrap())
    }

    fn scrape(metrics: &Metrics) -> Exposition {
        Exposition::parse(&metrics.render().unwrap())
    }

    fn requests(metrics: &Metrics, route: &str, method: &str, cluster: &str, code: &str) -> Option<f64> {
        let labels =
            [("route", route), ("method", method), ("cluster", cluster), ("code", code), ("status_code", code)];
        scrape(metrics).value("http_requests_total", &labels)
    }

    #[test]
    fn finished_requests_are_counted_by_method_and_status() {
        let metrics = metrics();
        let handles = RouteHandles::new(Arc::clone(&metrics), "agents", "v1");
        let (get, made_up) = (Method::GET, Method::from_bytes(b"BREW").unwrap());
        let finished = [(&get, 200), (&get, 404), (&get, 200), (&made_up, 200), (&Method::POST, 999), (&get, 499)];
        for (method, status) in finished {
            handles.finished(method, status, Duration::from_millis(50));
        }
        for (method, code, expected) in
            [("GET", "200", 2.0), ("GET", "404", 1.0), ("OTHER", "200", 1.0), ("POST", "999", 1.0), ("GET", "499", 1.0)]
        {
            assert_eq!(requests(&metrics, "agents", method, "v1", code), Some(expected), "{method} {code}");
        }
        let labels = [("route", "agents"), ("method", "GET"), ("cluster", "v1")];
        let scrape = scrape(&metrics);
        assert_eq!(scrape.value("http_request_duration_seconds_count", &labels), Some(4.0), "one series per method");
        let of_bucket = |le| [labels.as_slice(), &[("le", le)]].concat();
        assert_eq!(scrape.value("http_request_duration_seconds_bucket", &of_bucket("0.01")), Some(0.0));
        assert_eq!(scrape.value("http_request_duration_seconds_bucket", &of_bucket("0.1")), Some(4.0));
    }

    #[test]
    fn workers_add_to_the_same_series() {
        let metrics = metrics();
        for _ in 0..2 {
            RouteHandles::new(Arc::clone(&metrics), "a", "b").finished(&Method::GET, 200, Duration::ZERO);
        }
        assert_eq!(requests(&metrics, "a", "GET", "b", "200"), Some(2.0));
    }

    #[test]
    fn names_that_read_alike_when_joined_stay_apart() {
        let metrics = metrics();
        for (route, cluster) in [("a", "bc"), ("ab", "c")] {
            RouteHandles::new(Arc::clone(&metrics), route, cluster).finished(&Method::GET, 200, Duration::ZERO);
        }
        assert_eq!(requests(&metrics, "a", "GET", "bc", "200"), Some(1.0));
        assert_eq!(requests(&metrics, "ab", "GET", "c", "200"), Some(1.0));
    }

    #[test]
    fn an_idle_route_has_no_series_and_no_table() {
        let metrics = metrics();
        let handles = RouteHandles::new(Arc::clone(&metrics), "idle", "v1");
        assert_eq!(handles.shared.finished.borrow().capacity(), 0);
        assert!(size_of::<RouteShared>() <= 128, "{} bytes times routes times workers", size_of::<RouteShared>());
        assert!(!metrics.render().unwrap().contains("idle"));
    }

    #[test]
    fn every_status_a_hostile_endpoint_can_send_is_found_again() {
        let metrics = metrics();
        let handles = RouteHandles::new(Arc::clone(&metrics), "a", "b");
        for status in (100..1000).rev().chain(100..1000) {
            handles.finished(&Method::GET, status, Duration::ZERO);
        }
        let known = handles.shared.finished.borrow();
        assert_eq!(known.len(), 900);
        assert!(known.iter().all(|(_, series)| series.requests.get() == 2));
    }

    #[test]
    fn guards_give_back_what_they_took() {
        let metrics = metrics();
        let handles = RouteHandles::new(Arc::clone(&metrics), "a", "b");
        let value = |name| scrape(&metrics).value(name, &[("route", "a")]);
        let (first, second, stream) = (handles.in_flight(), handles.in_flight(), handles.stream());
        assert_eq!(value("attache_requests_in_flight"), Some(2.0));
        assert_eq!(value("attache_streams_open"), Some(1.0));
        drop((first, stream));
        assert_eq!(value("attache_requests_in_flight"), Some(1.0));
        assert_eq!(value("attache_streams_open"), Some(0.0));
        std::thread::spawn(move || drop(second)).join().unwrap();
        assert_eq!(value("attache_requests_in_flight"), Some(0.0), "a guard may end on another thread");
    }

    #[test]
    fn errors_are_counted_under_both_names() {
        let metrics = metrics();
        let errors = ErrorHandles::new(&metrics);
        errors.count("no_route");
        errors.count("timeout");
        errors.count("no_route");
        let scrape = scrape(&metrics);
        for name in ["attache_errors_total", "errors_total"] {
            assert_eq!(scrape.value(name, &[("reason", "no_route")]), Some(2.0), "{name}");
            assert_eq!(scrape.value(name, &[("reason", "timeout")]), Some(1.0), "{name}");
        }
    }

    #[test]
    fn clusters_and_listeners_count_their_connections() {
        let metrics = metrics();
        let (cluster, listener) = (ClusterHandles::new(&metrics, "v1"), ListenerHandles::new(&metrics, "web"));
        let upstream = cluster.connected();
        listener.accepted();
        listener.note_open(1);
        cluster.connect_failed("connect_timeout");
        let open = |scrape: &Exposition| {
            let upstream = scrape.value("attache_upstream_connections", &[("cluster", "v1")]);
            (upstream, scrape.value("attache_downstream_connections", &[("listener", "web")]))
        };
        assert_eq!(open(&scrape(&metrics)), (Some(1.0), Some(1.0)));
        drop(upstream);
        listener.note_open(0);
        let scrape = scrape(&metrics);
        assert_eq!(open(&scrape), (Some(0.0), Some(0.0)));
        let connects =
            |result| scrape.value("attache_upstream_connects_total", &[("cluster", "v1"), ("result", result)]);
        assert_eq!((connects("ok"), connects("connect_timeout")), (Some(1.0), Some(1.0)));
        assert_eq!(scrape.value("attache_connections_total", &[("listener", "web")]), Some(1.0));
    }
}
