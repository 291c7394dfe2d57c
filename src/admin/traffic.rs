//! How fast traffic goes: rates and times between two looks at the counts of the metrics, and the last quarter of an
//! hour of them. Pure but for the lock: whoever calls says when.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::observe::traffic::{Counted, TrafficCounts};

/// How fast something goes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Rate {
    /// Finished since the gateway started.
    pub(super) requests: u64,
    /// Those that failed.
    pub(super) failed: u64,
    /// In a second, lately.
    pub(super) per_second: f64,
    /// Share that did not fail lately, 0 to 1; null without any.
    pub(super) success_rate: Option<f64>,
    /// Seconds within which half of the last ones were over.
    pub(super) p50: Option<f64>,
    /// Seconds within which 99 of 100 were over.
    pub(super) p99: Option<f64>,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Point {
    /// Milliseconds since the Unix epoch.
    pub(super) at: u64,
    /// Finished requests in a second.
    pub(super) per_second: f64,
    /// Failed ones in a second.
    pub(super) failed_per_second: f64,
    /// Seconds within which half of them were over.
    pub(super) p50: Option<f64>,
    /// Seconds within which 99 of 100 were over.
    pub(super) p99: Option<f64>,
    /// In flight.
    pub(super) in_flight: i64,
    /// Streams that are open.
    pub(super) streams: i64,
}

/// Names of a route and a cluster, or of a cluster and an endpoint.
type Pair = (Box<str>, Box<str>);

/// The rates of now and the points of before.
#[derive(Debug, Default)]
pub(super) struct TrafficBook(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<(Instant, TrafficCounts)>,
    now: Arc<Rates>,
    points: VecDeque<Point>,
    by_route: BTreeMap<Box<str>, VecDeque<Point>>,
}

/// All rates of one moment.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) all: Rate,
    pub(super) routes: BTreeMap<Box<str>, Rate>,
    pub(super) pairs: BTreeMap<Pair, Rate>,
    pub(super) endpoints: BTreeMap<Pair, Rate>,
    pub(super) in_flight: BTreeMap<Box<str>, i64>,
    pub(super) streams: BTreeMap<Box<str>, i64>,
    pub(super) connections: BTreeMap<Box<str>, i64>,
}

impl TrafficBook {
    /// Takes in the counts of this moment, `wall` since the Unix epoch. For one caller; who looks meanwhile does not
    /// wait for it.
    pub(super) fn note(&self, counts: TrafficCounts, now: Instant, wall: Duration) {
        let before = self.state().last.take();
        let (then, earlier) = before.unwrap_or_else(|| (now, counts.clone()));
        let between = Between { seconds: now.saturating_duration_since(then).as_secs_f64(), bounds: &counts.bounds };
        let rates = Arc::new(Rates::of(&counts, &earlier, &between));
        let at = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let mut state = self.state();
        if between.seconds > 0.0 {
            push(&mut state.points, point(at, &rates.all, sum(&rates.in_flight), sum(&rates.streams)));
            state.note_routes(at, &rates);
        }
        state.now = rates;
        state.last = Some((now, counts));
    }

    /// The rates of the last look.
    pub(super) fn rates(&self) -> Arc<Rates> {
        Arc::clone(&self.state().now)
    }

    /// The last point.
    pub(super) fn last_point(&self) -> Option<Point> {
        self.state().points.back().copied()
    }

    /// The points of the last quarter of an hour: of everything, and of the routes that were busy lately.
    pub(super) fn history(&self) -> (Vec<Point>, BTreeMap<String, Vec<Point>>) {
        let state = self.state();
        let by_route =
            state.by_route.iter().map(|(route, points)| (route.to_string(), points.iter().copied().collect()));
        (state.points.iter().copied().collect(), by_route.collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a point to the routes that have some, and begins with the busiest of the others while there is room.
    fn note_routes(&mut self, at: u64, rates: &Rates) {
        let mut busy: Vec<_> = rates.routes.iter().filter(|(_, rate)| rate.per_second > 0.0).collect();
        busy.sort_by(|(_, one), (_, other)| other.per_second.total_cmp(&one.per_second));
        for (route, _) in busy {
            if self.by_route.len() < ROUTES && !self.by_route.contains_key(route) {
                self.by_route.insert(route.clone(), VecDeque::new());
            }
        }
        for (route, points) in &mut self.by_route {
            let rate = rates.routes.get(route).cloned().unwrap_or_default();
            let count = |counts: &BTreeMap<Box<str>, i64>| counts.get(route).copied().unwrap_or_default();
            push(points, point(at, &rate, count(&rates.in_flight), count(&rates.streams)));
        }
        // Who was idle all the time makes room.
        self.by_route.retain(|_, points| points.iter().any(|point| point.per_second > 0.0 || point.streams > 0));
    }
}

/// What lies between two looks.
struct Between<'a> {
    seconds: f64,
    bounds: &'a [f64],
}

impl Rates {
    fn of(counts: &TrafficCounts, before: &TrafficCounts, between: &Between<'_>) -> Self {
        let (mut all, mut all_new) = (Counted::default(), Counted::default());
        let mut routes: BTreeMap<Box<str>, (Counted, Counted)> = BTreeMap::new();
        let new =
            |now: &Counted, before: Option<&Counted>| before.map_or_else(|| now.clone(), |before| now.since(before));
        let mut rates = Self::default();
        for (pair, counted) in &counts.routes {
            let since = new(counted, before.routes.get(pair));
            let (sum, sum_new) = routes.entry(pair.0.clone()).or_default();
            sum.add(counted);
            sum_new.add(&since);
            all.add(counted);
            all_new.add(&since);
            rates.pairs.insert(pair.clone(), between.rate(counted, &since));
        }
        for (pair, counted) in &counts.endpoints {
            let since = new(counted, before.endpoints.get(pair));
            rates.endpoints.insert(pair.clone(), between.rate(counted, &since));
        }
        rates.routes = routes.into_iter().map(|(route, (sum, new))| (route, between.rate(&sum, &new))).collect();
        rates.all = between.rate(&all, &all_new);
        rates.in_flight.clone_from(&counts.in_flight);
        rates.streams.clone_from(&counts.streams);
        rates.connections.clone_from(&counts.connections);
        rates
    }
}

impl Between<'_> {
    #[expect(clippy::cast_precision_loss, reason = "nobody counts that far in a few seconds")]
    fn rate(&self, all: &Counted, new: &Counted) -> Rate {
        let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
        Rate {
            requests: all.requests,
            failed: all.failed,
            per_second: if self.seconds > 0.0 { new.requests as f64 / self.seconds } else { 0.0 },
            success_rate: share(new.requests.saturating_sub(new.failed), new.requests),
            p50: quantile(0.5, self.bounds, &new.times),
            p99: quantile(0.99, self.bounds, &new.times),
        }
    }
}

/// The time within which that share of all was over, taken as evenly spread within a bucket, as Prometheus does. What
/// is longer than all bounds counts as the last one.
#[expect(clippy::cast_precision_loss, reason = "nobody counts that far in a few seconds")]
fn quantile(share: f64, bounds: &[f64], times: &[u64]) -> Option<f64> {
    let all: u64 = times.iter().sum();
    let wanted = share * all as f64;
    let (mut below, mut from) = (0_u64, 0.0);
    for (bound, count) in bounds.iter().zip(times) {
        let reached = below + count;
        if *count > 0 && reached as f64 >= wanted {
            return Some(from + (bound - from) * (wanted - below as f64) / *count as f64);
        }
        (below, from) = (reached, *bound);
    }
    (all > 0).then_some(from)
}

fn point(at: u64, rate: &Rate, in_flight: i64, streams: i64) -> Point {
    let failed = 1.0 - rate.success_rate.unwrap_or(1.0);
    let (p50, p99) = (rate.p50, rate.p99);
    Point { at, per_second: rate.per_second, failed_per_second: rate.per_second * failed, p50, p99, in_flight, streams }
}

fn push(points: &mut VecDeque<Point>, point: Point) {
    if points.len() >= POINTS {
        points.pop_front();
    }
    points.push_back(point);
}

fn sum(counts: &BTreeMap<Box<str>, i64>) -> i64 {
    counts.values().sum()
}

/// Time between two looks.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// Points of a quarter of an hour.
const POINTS: usize = 180;
/// Routes whose points are kept.
const ROUTES: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64, times: &[u64]) -> TrafficCounts {
        let counted = Counted { requests, failed, times: times.to_vec() };
        TrafficCounts {
            bounds: vec![0.1, 1.0],
            routes: BTreeMap::from([(("a".into(), "v1".into()), counted)]),
            in_flight: BTreeMap::from([("a".into(), 3)]),
            ..TrafficCounts::default()
        }
    }

    #[tokio::test]
    async fn rates_are_those_between_two_looks() {
        let (book, start) = (TrafficBook::default(), Instant::now());
        book.note(counts(100, 50, &[100, 0, 0]), start, Duration::ZERO);
        assert_eq!((book.rates().all.requests, book.rates().all.per_second), (100, 0.0), "nothing to compare with");
        book.note(counts(120, 55, &[110, 10, 0]), start + Duration::from_secs(5), Duration::from_secs(5));
        let rates = book.rates();
        let rate = &rates.routes["a"];
        assert_eq!((rate.per_second, rate.success_rate, rate.p50), (4.0, Some(0.75), Some(0.1)));
        assert!((rate.p99.unwrap() - 0.982).abs() < 1e-9, "{rate:?}");
        assert_eq!(*rate, rates.all);
        let (points, by_route) = book.history();
        assert_eq!((points.len(), by_route["a"].len(), book.last_point()), (1, 1, Some(points[0])));
        assert!(Arc::ptr_eq(&rates, &book.rates()), "who looks copies nothing while others wait");
        let point = points[0];
        assert_eq!((point.at, point.per_second, point.failed_per_second, point.in_flight), (5_000, 4.0, 1.0, 3));
    }

    #[tokio::test]
    async fn history_is_bounded_and_forgets_who_is_idle() {
        let (book, start) = (TrafficBook::default(), Instant::now());
        for look in 0..2 * POINTS as u64 + 2 {
            let done = look.min(2);
            let at = Duration::from_secs(5 * look);
            book.note(counts(done, 0, &[done, 0, 0]), start + at, at);
        }
        let (points, by_route) = book.history();
        assert_eq!((points.len(), by_route.len()), (POINTS, 0));
    }

    #[test]
    fn what_is_longer_than_all_bounds_counts_as_the_last() {
        for (share, times, expected) in [
            (0.5, &[0, 0, 4][..], Some(1.0)),
            (0.5, &[4, 0, 0], Some(0.05)),
            (0.5, &[0, 4, 0], Some(0.55)),
            (0.99, &[0, 0, 0], None),
            (0.99, &[], None),
        ] {
            assert_eq!(quantile(share, &[0.1, 1.0], times), expected, "{share} of {times:?}");
        }
    }
}
