//! Series of single endpoints. There may be thousands of endpoints, and they come and go with the answers of name
//! servers: a bounded number of endpoints have series of their own, and the others share one. The series of an endpoint
//! are removed when the endpoint is no longer in the configuration, or in the answers of its name, and its last stream
//! has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::catalogue::{EndpointHandles, Families};
use super::handle::CodeClass;
use super::series::{Counter, Gauge, Histogram, SeriesOf};

/// Series of one endpoint, for one worker.
#[derive(Debug)]
pub struct EndpointSeries {
    handles: EndpointHandles,
    /// A worker that still counts must not bring back a removed series.
    _listed: Arc<Listed>,
}

impl EndpointSeries {
    /// Handles to the series of an endpoint.
    #[must_use]
    pub fn new(families: &Families, endpoint: &ListedEndpoint) -> Self {
        let (cluster, address) = &endpoint.listed.key;
        let handles = EndpointHandles::new(families, cluster, address);
        Self { handles, _listed: Arc::clone(&endpoint.listed) }
    }

    /// Counts a try, and the time to its answer where there was one.
    pub fn tried(&self, class: CodeClass, time: Option<Duration>) {
        self.handles.endpoint_requests.count(class);
        if let Some(time) = time {
            self.handles.endpoint_response.observe(time);
        }
    }
}

/// Held by what the workers share of an endpoint: its series are shown until this and the last [`EndpointSeries`] are
/// dropped.
#[derive(Debug)]
pub struct ListedEndpoint {
    listed: Arc<Listed>,
    id: u64,
}

impl ListedEndpoint {
    /// Whether the series are those of this endpoint alone.
    #[must_use]
    pub fn is_own(&self) -> bool {
        &*self.listed.key.1 != OTHER
    }
}

impl Drop for ListedEndpoint {
    fn drop(&mut self) {
        let mut sources = self.listed.sources();
        if let Some((times, _)) = sources.get_mut(&self.id) {
            *times -= 1;
            if *times == 0 {
                sources.remove(&self.id);
            }
        }
    }
}

/// What an endpoint is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Requests in flight.
    pub in_flight: u32,
    /// Tasks that go on.
    pub tasks: u32,
}

/// Says what an endpoint is busy with; `None` once it is gone.
pub type EndpointNow = Arc<dyn Fn() -> Option<Work> + Send + Sync>;

/// Which endpoints have series.
#[derive(Clone, Debug)]
pub(super) struct Endpoints {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    requests: SeriesOf<Counter>,
    response: SeriesOf<Histogram>,
    in_flight: SeriesOf<Gauge>,
    tasks: SeriesOf<Gauge>,
    /// How many may have series of their own.
    limit: AtomicUsize,
    known: Mutex<BTreeMap<Key, Weak<Listed>>>,
}

/// Cluster and address.
type Key = (Box<str>, Box<str>);

/// One endpoint with series, or all those that share one.
struct Listed {
    key: Key,
    shared: Arc<Shared>,
    /// By identity of the endpoint, with how often that is listed: an address may be that of one that is gone and still
    /// has requests.
    now: Mutex<BTreeMap<u64, (usize, EndpointNow)>>,
}

impl Endpoints {
    pub(super) fn new(families: &Families) -> Self {
        let shared = Shared {
            requests: families.endpoint_requests.clone(),
            response: families.endpoint_response.clone(),
            in_flight: families.endpoint_in_flight.clone(),
            tasks: families.endpoint_tasks.clone(),
            limit: AtomicUsize::new(0),
            known: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn set_limit(&self, limit: usize) {
        self.shared.limit.store(limit, Relaxed);
    }

    pub(super) fn limit(&self) -> usize {
        self.shared.limit.load(Relaxed)
    }

    /// Lists an endpoint; `None` where endpoints have no series.
    pub(super) fn list(
        &self,
        (cluster, address): (&str, &str),
        (id, now): (u64, EndpointNow),
    ) -> Option<ListedEndpoint> {
        let limit = self.limit();
        if limit == 0 {
            return None;
        }
        let listed = self.listed((cluster.into(), address.into()), limit);
        listed.sources().entry(id).or_insert((0, now)).0 += 1;
        Some(ListedEndpoint { listed, id })
    }

    fn listed(&self, key: Key, limit: usize) -> Arc<Listed> {
        let mut known = self.shared.known();
        let living = |key: &Key, known: &BTreeMap<Key, Weak<Listed>>| known.get(key).and_then(Weak::upgrade);
        if let Some(listed) = living(&key, &known) {
            return listed;
        }
        let shared_by_others = (NO_CLUSTER.into(), OTHER.into());
        let own = known.keys().filter(|key| **key != shared_by_others).count();
        let key = if own < limit { key } else { shared_by_others };
        if let Some(listed) = living(&key, &known) {
            return listed;
        }
        let shared = Arc::clone(&self.shared);
        let listed = Arc::new(Listed { key: key.clone(), shared, now: Mutex::default() });
        known.insert(key, Arc::downgrade(&listed));
        listed
    }

    /// Brings the gauges up to date, and says how many endpoints share series.
    pub(super) fn look(&self) -> usize {
        // Dropping one takes the lock again.
        let known: Vec<_> = self.shared.known().values().filter_map(Weak::upgrade).collect();
        let mut others = 0;
        for listed in &known {
            let (cluster, address) = &listed.key;
            // Asking may be the end of an endpoint, which takes itself out of the list.
            let sources: Vec<_> = listed.sources().values().map(|(_, now)| Arc::clone(now)).collect();
            let work: Vec<Work> = sources.iter().filter_map(|now| now()).collect();
            let sum = |of: fn(&Work) -> u32| work.iter().map(|work| of(work) as usize).sum();
            self.shared.in_flight.with(&[cluster, address]).set_count(sum(|work| work.in_flight));
            self.shared.tasks.show(&[cluster, address], sum(|work| work.tasks));
            if &**address == OTHER {
                others = sources.len();
            }
        }
        others
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, BTreeMap<Key, Weak<Listed>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    fn sources(&self) -> MutexGuard<'_, BTreeMap<u64, (usize, EndpointNow)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listed").field(&self.key).finish()
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let mut known = self.shared.known();
        if known.get(&self.key).is_some_and(|listed| listed.strong_count() > 0) {
            // It has been listed anew meanwhile.
            return;
        }
        known.remove(&self.key);
        let (cluster, address) = &self.key;
        let own = [&**cluster, &**address];
        let Shared { requests, response, in_flight, tasks, .. } = &*self.shared;
        requests.remove_beginning_with(&own);
        response.remove_beginning_with(&own);
        in_flight.remove_beginning_with(&own);
        tasks.remove_beginning_with(&own);
    }
}

/// What the endpoints without series of their own go by: it is no address.
const OTHER: &str = "other";
const NO_CLUSTER: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Exposition;
    use crate::observe::metrics::Metrics;

    fn metrics(limit: usize) -> Metrics {
        let metrics = Metrics::new(&[0.01, 1.0]).unwrap();
        metrics.limit_endpoints(limit);
        metrics
    }

    fn scrape(metrics: &Metrics) -> Exposition {
        Exposition::parse(&metrics.render().unwrap())
    }

    fn list(metrics: &Metrics, cluster: &str, address: &str, id: u64) -> ListedEndpoint {
        metrics.list_endpoint((cluster, address), id, Arc::new(|| Some(Work { in_flight: 3, tasks: 0 }))).unwrap()
    }

    fn in_flight(metrics: &Metrics, cluster: &str, address: &str) -> Option<f64> {
        let labels = [("cluster", cluster), ("endpoint", address)];
        scrape(metrics).value("attache_endpoint_requests_in_flight", &labels)
    }

    fn tries(metrics: &Metrics, cluster: &str, address: &str, class: &str) -> Option<f64> {
        let labels = [("cluster", cluster), ("code_class", class), ("endpoint", address)];
        scrape(metrics).value("attache_endpoint_requests_total", &labels)
    }

    #[test]
    fn series_last_as_long_as_the_endpoint_is_listed() {
        let metrics = metrics(9);
        let listed = list(&metrics, "a", "10.0.0.1:80", 1);
        for _worker in 0..2 {
            EndpointSeries::new(&metrics, &listed).tried(CodeClass::Success, Some(Duration::from_millis(5)));
        }
        assert_eq!(tries(&metrics, "a", "10.0.0.1:80", "2xx"), Some(2.0));
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), Some(3.0));
        let labels = [("cluster", "a"), ("endpoint", "10.0.0.1:80"), ("le", "0.01")];
        assert_eq!(scrape(&metrics).value("attache_endpoint_response_seconds_bucket", &labels), Some(2.0));
        drop(listed);
        assert!(!metrics.render().unwrap().contains("10.0.0.1:80"));
    }

    #[test]
    fn tasks_are_shown_from_the_first_one_on_until_the_endpoint_is_gone() {
        let (metrics, tasks) = (metrics(9), Arc::new(AtomicUsize::new(0)));
        let now = Arc::clone(&tasks);
        let now = move || Some(Work { in_flight: 0, tasks: u32::try_from(now.load(Relaxed)).unwrap() });
        let listed = metrics.list_endpoint(("a", "10.0.0.1:80"), 1, Arc::new(now)).unwrap();
        let labels = [("cluster", "a"), ("endpoint", "10.0.0.1:80")];
        for (count, expected) in [(0, None), (2, Some(2.0)), (0, Some(0.0))] {
            tasks.store(count, Relaxed);
            assert_eq!(scrape(&metrics).value("attache_endpoint_active_tasks", &labels), expected);
        }
        drop(listed);
        assert_eq!(scrape(&metrics).value("attache_endpoint_active_tasks", &labels), None);
    }

    #[test]
    fn another_endpoint_at_the_same_address_goes_on_with_its_series() {
        let metrics = metrics(9);
        let old = list(&metrics, "a", "10.0.0.1:80", 1);
        EndpointSeries::new(&metrics, &old).tried(CodeClass::Failed, None);
        let new = list(&metrics, "a", "10.0.0.1:80", 2);
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), Some(6.0), "the old one still has requests");
        drop(old);
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), Some(3.0));
        assert_eq!(tries(&metrics, "a", "10.0.0.1:80", "failed"), Some(1.0));
        drop(new);
    }

    #[test]
    fn an_endpoint_that_is_listed_twice_counts_once() {
        let metrics = metrics(9);
        let (before, after) = (list(&metrics, "a", "10.0.0.1:80", 1), list(&metrics, "a", "10.0.0.1:80", 1));
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), Some(3.0));
        drop(before);
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), Some(3.0));
        drop(after);
        assert_eq!(in_flight(&metrics, "a", "10.0.0.1:80"), None);
    }

    #[test]
    fn endpoints_beyond_the_limit_share_series_and_are_counted() {
        let metrics = metrics(2);
        let without = || scrape(&metrics).value("attache_endpoints_without_series", &[]);
        let own: Vec<_> = (1..=2).map(|id| list(&metrics, "a", &format!("10.0.0.{id}:80"), id)).collect();
        let more: Vec<_> = (3..=5).map(|id| list(&metrics, "b", &format!("10.0.0.{id}:80"), id)).collect();
        for listed in &more {
            assert!(!listed.is_own());
            EndpointSeries::new(&metrics, listed).tried(CodeClass::Failed, None);
        }
        assert!(own.iter().all(ListedEndpoint::is_own));
        assert_eq!(tries(&metrics, "-", "other", "failed"), Some(3.0));
        assert_eq!((in_flight(&metrics, "-", "other"), without()), (Some(9.0), Some(3.0)));
        assert_eq!(in_flight(&metrics, "b", "10.0.0.3:80"), None);
        drop((own, more));
        assert_eq!((in_flight(&metrics, "-", "other"), without()), (None, Some(0.0)));
        assert!(list(&metrics, "b", "10.0.0.3:80", 3).is_own(), "there is room again");
    }

    #[test]
    fn without_a_limit_there_are_none() {
        assert!(metrics(0).list_endpoint(("a", "10.0.0.1:80"), 1, Arc::new(|| Some(Work::default()))).is_none());
    }
}
