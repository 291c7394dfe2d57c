//! What the metrics have counted so far, in the form of which rates are made: for each route and cluster, and for each
//! endpoint that has series.

use std::collections::BTreeMap;

use super::metrics::Metrics;
use super::series::Histogram;

/// Counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Finished requests, or tries at an endpoint.
    pub requests: u64,
    /// Those with a status of 500 or more, or without an answer.
    pub failed: u64,
    /// How many took how long: one for each bound, and one for what is longer.
    pub times: Vec<u64>,
}

/// The counts of one moment. Keys are a pair of names: a route and a cluster, or a cluster and an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficCounts {
    /// Upper bounds of the times, in seconds.
    pub bounds: Vec<f64>,
    /// By route and cluster; `-` for none.
    pub routes: BTreeMap<(Box<str>, Box<str>), Counted>,
    /// By cluster and endpoint.
    pub endpoints: BTreeMap<(Box<str>, Box<str>), Counted>,
    /// Requests in flight, by route.
    pub in_flight: BTreeMap<Box<str>, i64>,
    /// Open streams, by route.
    pub streams: BTreeMap<Box<str>, i64>,
    /// Open connections of clients, by listener.
    pub connections: BTreeMap<Box<str>, i64>,
}

impl Counted {
    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.note_times(&other.times);
    }

    fn note_times(&mut self, times: &[u64]) {
        if self.times.len() < times.len() {
            self.times.resize(times.len(), 0);
        }
        self.times.iter_mut().zip(times).for_each(|(sum, more)| *sum += more);
    }

    /// What was counted after `before`. A series that began anew counts from its beginning.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        if self.requests < before.requests {
            return self.clone();
        }
        let earlier = before.times.iter().copied().chain(std::iter::repeat(0));
        Self {
            requests: self.requests - before.requests,
            failed: self.failed.saturating_sub(before.failed),
            times: self.times.iter().zip(earlier).map(|(now, before)| now.saturating_sub(before)).collect(),
        }
    }
}

impl Metrics {
    /// The counts of this moment. Goes through all series, so not for a thread that must be quick.
    #[must_use]
    pub fn traffic(&self) -> TrafficCounts {
        let mut counts = TrafficCounts::default();
        self.families.requests.each(|labels, counter| {
            let [route, _, cluster, code, ..] = labels else { return };
            let counted = counts.routes.entry((route.clone(), cluster.clone())).or_default();
            counted.requests += counter.get();
            counted.failed += if failed(code) { counter.get() } else { 0 };
        });
        let mut bounds: Vec<f64> = Vec::new();
        let mut note = |counted: &mut Counted, times: &Histogram| {
            counted.note_times(&times.counts());
            if bounds.is_empty() {
                bounds = times.bounds().to_vec();
            }
        };
        self.families.duration.each(|labels, times| {
            let [route, _, cluster, ..] = labels else { return };
            note(counts.routes.entry((route.clone(), cluster.clone())).or_default(), times);
        });
        self.families.endpoint_requests.each(|labels, counter| {
            let [cluster, endpoint, class, ..] = labels else { return };
            let counted = counts.endpoints.entry((cluster.clone(), endpoint.clone())).or_default();
            counted.requests += counter.get();
            counted.failed += if failed(class) { counter.get() } else { 0 };
        });
        self.families.endpoint_response.each(|labels, times| {
            let [cluster, endpoint, ..] = labels else { return };
            note(counts.endpoints.entry((cluster.clone(), endpoint.clone())).or_default(), times);
        });
        counts.bounds = bounds;
        let gauges = [
            (&self.families.in_flight, &mut counts.in_flight),
            (&self.families.streams, &mut counts.streams),
            (&self.families.downstream_connections, &mut counts.connections),
        ];
        for (family, shown) in gauges {
            family.each(|labels, gauge| {
                let [name, ..] = labels else { return };
                shown.insert(name.clone(), gauge.get());
            });
        }
        counts
    }

    /// When served certificates expire, in seconds since the Unix epoch, by listener and file.
    #[must_use]
    pub fn certificates(&self) -> Vec<(Box<str>, Box<str>, i64)> {
        let mut found = Vec::new();
        self.families.certificate_not_after.each(|labels, gauge| {
            let [listener, file, ..] = labels else { return };
            found.push((listener.clone(), file.clone(), gauge.get()));
        });
        found
    }
}

/// A code or a class of codes.
fn failed(code: &str) -> bool {
    code.starts_with('5') || code == "failed"
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::Method;

    use super::*;
    use crate::observe::handles::RouteHandles;

    #[test]
    fn what_was_counted_is_told_by_route_and_cluster() {
        let metrics = Arc::new(Metrics::new(&[0.1, 1.0]).unwrap());
        let route = RouteHandles::new(Arc::clone(&metrics), "agents", "v1");
        let _open = (route.in_flight(), route.stream());
        for (method, status, millis) in [(Method::GET, 200, 50), (Method::POST, 503, 500), (Method::GET, 404, 5_000)] {
            route.finished(&method, status, Duration::from_millis(millis), None);
        }
        let counts = metrics.traffic();
        let counted = &counts.routes[&("agents".into(), "v1".into())];
        assert_eq!(*counted, Counted { requests: 3, failed: 1, times: vec![1, 1, 1] });
        assert_eq!((counts.in_flight["agents"], counts.streams["agents"]), (1, 1));
        assert_eq!(counts.bounds, [0.1, 1.0]);
    }

    #[test]
    fn the_difference_of_two_moments_survives_a_series_that_begins_anew() {
        let at = |requests, failed, times: &[u64]| Counted { requests, failed, times: times.to_vec() };
        let before = at(10, 2, &[8, 2]);
        assert_eq!(at(15, 3, &[12, 3]).since(&before), at(5, 1, &[4, 1]));
        assert_eq!(at(3, 1, &[3, 0]).since(&before), at(3, 1, &[3, 0]));
        assert_eq!(at(3, 0, &[3, 0]).since(&Counted::default()), at(3, 0, &[3, 0]));
    }
}
