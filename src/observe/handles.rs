//! Handles to the series of one route, cluster or listener, taken when a worker builds its snapshot. A series is looked up by its
//! label strings the first time it is needed and from then on reached through a short sorted list: a finished request costs
//! a few compares and relaxed adds. Nothing is allocated for a route that no request has hit, so 10,000 routes times
//! the workers stay cheap. What is counted up and down is a guard.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::metrics::Metrics;

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
        }
    }

    /// Counts one try at an endpoint.
    pub fn attempt(&self) {
        self.attempts.inc();
    }

    /// Counts one retry; `reason` is the word of the error it answers.
    pub fn retry(&self, reason: &'static str) {
        self.retries.count(reason);
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

    /// Counts an accepted connection, open until the guard is dropped.
    #[must_use]
    pub fn accepted(&self) -> GaugeGuard {
        self.accepted.inc();
        GaugeGuard::new(self.open.clone())
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
    fn new(gauge: IntGauge) -> Self {
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
struct ByWord {
    family: IntCounterVec,
    first: Option<Box<str>>,
    known: RefCell<Vec<(&'static str, IntCounter)>>,
}

impl ByWord {
    fn new(family: &IntCounterVec, first: Option<&str>) -> Self {
        Self { family: family.clone(), first: first.map(Box::from), known: RefCell::default() }
    }

    fn count(&self, word: &'static str) {
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

/// A small number and the label word of a method. Unknown ones share one, because a client may invent any number of them.
fn method_word(method: &Method) -> (u8, &'static str) {
    match *method {
        Method::GET => (0, "GET"),
        Method::POST => (1, "POST"),
        Method::HEAD => (2, "HEAD"),
        Method::PUT => (3, "PUT"),
        Method::DELETE => (4, "DELETE"),
        Method::OPTIONS => (5, "OPTIONS"),
        Method::PATCH => (6, "PATCH"),
        _ => (7, "OTHER"),
    }
}
