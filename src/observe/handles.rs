//! Handles to the series of one route, cluster or listener, taken when a worker builds its snapshot. A series is looked
//! up by its label values once and from then on reached through a field or a short list: a finished request costs a few
//! compares and relaxed adds. Nothing is allocated for a route that no request has hit, so 10,000 routes times the
//! workers stay cheap. Gauges are guards. Most handles come from the table in `catalogue`.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::agent_series::AgentSeries;
pub use super::agent_series::CallStreams;
pub use super::catalogue::{
    AddressHandles, AgentHandles, AuthHandles, AuthorizationHandles, BlockHandles, BrowserHandles, CardHandles,
    ClusterHandles, ConcurrencyHandles, EndHandles, FaultHandles, ListenerHandles, MirrorHandles, RateLimitHandles,
    ScreeningHandles, WorkerHandles,
};
use super::metrics::Metrics;
use super::record::RecordNames;
use super::series::{Counter, Gauge, Histogram};
use crate::error::LimitHit;
use crate::head::method_word;

/// Series of one route towards one cluster, for one worker. A clone is the same handle, and cheap.
#[derive(Clone, Debug)]
pub struct RouteHandles {
    pub(super) shared: Rc<RouteShared>,
}

#[derive(Debug)]
pub(super) struct RouteShared {
    pub(super) metrics: Arc<Metrics>,
    pub(super) route: Arc<str>,
    pub(super) cluster: Arc<str>,
    /// Made for the first record.
    names: OnceCell<Box<RecordNames>>,
    /// Sorted by key; at most methods times statuses long, in practice two or three.
    finished: RefCell<Vec<(u32, Finished)>>,
    in_flight: OnceCell<Gauge>,
    streams: OnceCell<Gauge>,
    /// Boxed, as the next: most routes have none of them.
    ends: OnceCell<Box<EndHandles>>,
    rare: OnceCell<Box<Rare>>,
    pub(super) agents: OnceCell<Box<AgentSeries>>,
}

/// What few routes have any of.
#[derive(Debug, Default)]
struct Rare {
    addresses: OnceCell<AddressHandles>,
    browsers: OnceCell<BrowserHandles>,
    faults: OnceCell<FaultHandles>,
    mirrors: OnceCell<MirrorHandles>,
}

#[derive(Clone, Debug)]
struct Finished {
    requests: Counter,
    duration: Histogram,
    /// Made when an endpoint answers.
    first_byte: OnceCell<Histogram>,
}

impl RouteHandles {
    /// Handles for `route`; `cluster` is `-` where the route answers by itself.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>, route: impl Into<Arc<str>>, cluster: impl Into<Arc<str>>) -> Self {
        let shared = RouteShared {
            metrics,
            route: route.into(),
            cluster: cluster.into(),
            names: OnceCell::new(),
            finished: RefCell::default(),
            in_flight: OnceCell::new(),
            streams: OnceCell::new(),
            ends: OnceCell::new(),
            rare: OnceCell::new(),
            agents: OnceCell::new(),
        };
        Self { shared: Rc::new(shared) }
    }

    /// Handles for the same route towards another cluster.
    #[must_use]
    pub fn towards(&self, cluster: impl Into<Arc<str>>) -> Self {
        Self::new(Arc::clone(&self.shared.metrics), Arc::clone(&self.shared.route), cluster)
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

    /// Both, as records have them.
    #[must_use]
    pub fn names(&self) -> &RecordNames {
        let RouteShared { route, cluster, names, .. } = &*self.shared;
        names.get_or_init(|| Box::new(RecordNames::new(route, Arc::clone(cluster))))
    }

    /// Counts an exchange that is over, response body included. `first_byte` is how long the head of an endpoint's
    /// answer took, if one came.
    pub fn finished(&self, method: &Method, status: u16, duration: Duration, first_byte: Option<Duration>) {
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
            series.duration.observe(duration);
            if let Some(time) = first_byte {
                let RouteShared { metrics, route, cluster, .. } = &*self.shared;
                series.first_byte.get_or_init(|| metrics.first_byte(route, method.1, cluster)).observe(time);
            }
        }
    }

    /// Counts a request as in flight until the guard is dropped.
    #[must_use]
    pub fn in_flight(&self) -> GaugeGuard {
        GaugeGuard::of(self.shared.in_flight.get_or_init(|| self.shared.metrics.in_flight(self.route())))
    }

    /// Counts a stream as open until the guard is dropped.
    #[must_use]
    pub fn stream(&self) -> GaugeGuard {
        GaugeGuard::of(self.shared.streams.get_or_init(|| self.shared.metrics.streams(self.route())))
    }

    /// How its exchanges ended.
    #[must_use]
    pub fn ends(&self) -> &EndHandles {
        let RouteShared { metrics, route, cluster, .. } = &*self.shared;
        let resolve = || Box::new(EndHandles::new(metrics, route, cluster));
        self.shared.ends.get_or_init(resolve)
    }

    /// Clients that it does not serve.
    #[must_use]
    pub fn addresses(&self) -> &AddressHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.rare().addresses.get_or_init(|| AddressHandles::new(metrics, route))
    }

    /// What browsers ask of it.
    #[must_use]
    pub fn browsers(&self) -> &BrowserHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.rare().browsers.get_or_init(|| BrowserHandles::new(metrics, route))
    }

    /// Its injected faults.
    #[must_use]
    pub fn faults(&self) -> &FaultHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.rare().faults.get_or_init(|| FaultHandles::new(metrics, route))
    }

    /// Its mirrored requests.
    #[must_use]
    pub fn mirrors(&self) -> &MirrorHandles {
        let RouteShared { metrics, route, .. } = &*self.shared;
        self.rare().mirrors.get_or_init(|| MirrorHandles::new(metrics, route))
    }

    fn rare(&self) -> &Rare {
        self.shared.rare.get_or_init(Box::default)
    }

    fn resolve(&self, method: &str, status: u16) -> Finished {
        let RouteShared { metrics, route, cluster, .. } = &*self.shared;
        let mut digits = itoa::Buffer::new();
        let code = digits.format(status);
        Finished {
            requests: metrics.requests(route, method, cluster, code, code),
            duration: metrics.duration(route, method, cluster),
            first_byte: OnceCell::new(),
        }
    }
}

impl ClusterHandles {
    /// Counts that a ceiling was met.
    pub fn ceiling_reached(&self, ceiling: LimitHit) {
        self.ceilings_reached.count(ceiling.word());
    }

    /// Counts a request refused because of a ceiling or the breaker.
    pub fn circuit_rejected(&self, by: LimitHit) {
        self.circuit_rejected.count(by.word());
    }

    /// Shows how the breaker stands.
    pub fn breaker(&self, state: u8) {
        // Asked for with every attempt by every worker, and nearly always the same: reading is cheap where writing is
        // not.
        let shown = self.breaker_state.get();
        if shown.get() != i64::from(state) {
            shown.set(state.into());
        }
    }

    /// Counts an opened connection until the guard is dropped.
    #[must_use]
    pub fn connected(&self) -> GaugeGuard {
        self.upstream_connects.count("ok");
        GaugeGuard::of(&self.upstream_connections)
    }
}

/// Series of the health checks of one cluster.
#[derive(Clone, Debug)]
pub struct HealthHandles {
    checks: Vec<(&'static str, Counter)>,
    healthy: Gauge,
    unhealthy: Gauge,
    unchecked: Gauge,
    agent: Gauge,
}

impl HealthHandles {
    /// Handles for `cluster`, whose checks have these results. All series are made now, because a check that ends after
    /// a reload dropped them must not bring them back.
    #[must_use]
    pub fn new(metrics: &Metrics, cluster: &str, results: &[&'static str]) -> Self {
        let checks = |word: &&'static str| (*word, metrics.health_checks(cluster, word));
        let state = |word| metrics.health_endpoints(cluster, word);
        Self {
            checks: results.iter().map(checks).collect(),
            healthy: state("healthy"),
            unhealthy: state("unhealthy"),
            unchecked: state("unchecked"),
            agent: metrics.agent_health(cluster),
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
        self.healthy.set_count(healthy);
        self.unhealthy.set_count(unhealthy);
        self.unchecked.set_count(unchecked);
        self.agent.set((healthy + unchecked > 0).into());
    }
}

/// One unit of a gauge, given back on drop. It may move between threads.
#[derive(Debug)]
pub struct GaugeGuard {
    gauge: Gauge,
}

impl GaugeGuard {
    /// Adds one to `gauge` until it is dropped.
    #[must_use]
    pub fn of(gauge: &Gauge) -> Self {
        gauge.inc();
        Self { gauge: gauge.clone() }
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// The label word for a gRPC status; `None` where it did not come.
#[must_use]
pub fn grpc_word(status: Option<u16>) -> &'static str {
    match status {
        None => "none",
        Some(status) => GRPC_STATUSES.get(usize::from(status)).copied().unwrap_or("other"),
    }
}

const GRPC_STATUSES: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

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
            handles.finished(method, status, Duration::from_millis(50), None);
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
    fn the_first_byte_is_timed_where_an_endpoint_answered() {
        let metrics = metrics();
        let handles = RouteHandles::new(Arc::clone(&metrics), "a", "v1");
        handles.finished(&Method::GET, 502, Duration::from_secs(9), None);
        let labels = [("route", "a"), ("method", "GET"), ("cluster", "v1")];
        let name = "attache_time_to_first_byte_seconds_count";
        assert_eq!(scrape(&metrics).value(name, &labels), None, "nobody answered");
        handles.finished(&Method::GET, 200, Duration::from_secs(9), Some(Duration::from_millis(50)));
        let scrape = scrape(&metrics);
        assert_eq!(scrape.value(name, &labels), Some(1.0));
        let bucket = [labels.as_slice(), &[("le", "0.1")]].concat();
        assert_eq!(scrape.value("attache_time_to_first_byte_seconds_bucket", &bucket), Some(1.0));
    }

    #[test]
    fn grpc_statuses_have_fixed_words() {
        for (status, expected) in [
            (None, "none"),
            (Some(0), "0"),
            (Some(14), "14"),
            (Some(16), "16"),
            (Some(17), "other"),
            (Some(u16::MAX), "other"),
        ] {
            assert_eq!(grpc_word(status), expected);
        }
    }

    #[test]
    fn workers_add_to_the_same_series() {
        let metrics = metrics();
        for _ in 0..2 {
            RouteHandles::new(Arc::clone(&metrics), "a", "b").finished(&Method::GET, 200, Duration::ZERO, None);
        }
        assert_eq!(requests(&metrics, "a", "GET", "b", "200"), Some(2.0));
    }

    #[test]
    fn names_that_read_alike_when_joined_stay_apart() {
        let metrics = metrics();
        for (route, cluster) in [("a", "bc"), ("ab", "c")] {
            RouteHandles::new(Arc::clone(&metrics), route, cluster).finished(&Method::GET, 200, Duration::ZERO, None);
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
            handles.finished(&Method::GET, status, Duration::ZERO, None);
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
        let route = |name| RouteHandles::new(Arc::clone(&metrics), name, "v1");
        let (one, other) = (route("a"), route("b"));
        one.ends().errors.count("no_route");
        one.ends().errors.count("timeout");
        other.ends().errors.count("no_route");
        let scrape = scrape(&metrics);
        for (reason, count) in [("no_route", 2.0), ("timeout", 1.0)] {
            assert_eq!(scrape.value("errors_total", &[("reason", reason)]), Some(count), "{reason}");
            let labels = [("route", "a"), ("reason", reason), ("cluster", "v1")];
            assert_eq!(scrape.value("attache_errors_total", &labels), Some(1.0), "{reason}");
        }
        let labels = [("route", "b"), ("reason", "no_route"), ("cluster", "v1")];
        assert_eq!(scrape.value("attache_errors_total", &labels), Some(1.0));
    }

    #[test]
    fn clusters_and_listeners_count_their_connections() {
        let metrics = metrics();
        let (cluster, listener) = (ClusterHandles::new(&metrics, "v1"), ListenerHandles::new(&metrics, "web"));
        let upstream = cluster.connected();
        listener.connections.inc();
        listener.downstream_connections.set_count(1);
        cluster.upstream_connects.count("connect_timeout");
        let open = |scrape: &Exposition| {
            let upstream = scrape.value("attache_upstream_connections", &[("cluster", "v1")]);
            (upstream, scrape.value("attache_downstream_connections", &[("listener", "web")]))
        };
        assert_eq!(open(&scrape(&metrics)), (Some(1.0), Some(1.0)));
        drop(upstream);
        listener.downstream_connections.set_count(0);
        let scrape = scrape(&metrics);
        assert_eq!(open(&scrape), (Some(0.0), Some(0.0)));
        let connects =
            |result| scrape.value("attache_upstream_connects_total", &[("cluster", "v1"), ("result", result)]);
        assert_eq!((connects("ok"), connects("connect_timeout")), (Some(1.0), Some(1.0)));
        assert_eq!(scrape.value("attache_connections_total", &[("listener", "web")]), Some(1.0));
    }
}
