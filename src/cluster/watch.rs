//! Looks at the clusters now and then: ends the intervals of outlier detection, shows in metrics how many endpoints are
//! usable, and says when one is back or a cluster panics. Requests wait for nothing of this.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::endpoint::EndpointId;
use super::{Cluster, Survey};
use crate::observe::metrics::Metrics;

/// Watches `clusters` for ever: the caller owns the task and aborts it. May be dropped at any point.
pub async fn watch(clusters: Vec<Arc<Cluster>>, metrics: Arc<Metrics>) {
    let mut now = Instant::now();
    let mut watched: Vec<Watched> = clusters.into_iter().map(|cluster| Watched::new(cluster, now)).collect();
    let intervals = watched.iter().filter_map(|one| one.cluster.detector.interval());
    let pause = intervals.min().map_or(LONGEST, |least| least.min(LONGEST));
    loop {
        for one in &mut watched {
            one.look(&metrics, now);
        }
        sleep(pause).await;
        now = Instant::now();
    }
}

/// A cluster and how it was when it was looked at last.
struct Watched {
    cluster: Arc<Cluster>,
    interval_began: Instant,
    last: Option<Survey>,
    out: HashMap<EndpointId, SocketAddr>,
}

impl Watched {
    fn new(cluster: Arc<Cluster>, now: Instant) -> Self {
        Self { cluster, interval_began: now, last: None, out: HashMap::new() }
    }

    fn look(&mut self, metrics: &Metrics, now: Instant) {
        let detector = &self.cluster.detector;
        let over = |interval| now.saturating_duration_since(self.interval_began) >= interval;
        if detector.interval().is_some_and(over) {
            for cause in detector.sweep(self.interval_began, now) {
                metrics.ejections(&self.cluster.name, cause.word()).inc();
            }
            self.interval_began = now;
        }
        let survey = self.cluster.survey(now);
        if self.last.is_some_and(|last| last.ejected > 0) || survey.ejected > 0 {
            self.greet_returned(now);
        }
        if self.last != Some(survey) {
            let Survey { endpoints, usable, ejected, panic, .. } = survey;
            metrics.surveyed(&self.cluster.name, endpoints, usable, ejected, panic);
            metrics.endpoints_left_out(&self.cluster.name).set_count(survey.left_out);
            self.say_panic(survey);
            self.say_usable(survey);
            self.say_left_out(survey);
            self.last = Some(survey);
        }
    }

    fn greet_returned(&mut self, now: Instant) {
        let members = self.cluster.members();
        let ejected = members.endpoints.iter().filter(|one| one.is_ejected(now));
        let out: HashMap<_, _> = ejected.map(|one| (one.id, one.address)).collect();
        for (id, address) in &self.out {
            let is_member = || members.endpoints.iter().any(|one| one.id == *id);
            if !out.contains_key(id) && is_member() {
                info!(cluster = %self.cluster.name, endpoint = %address, "endpoint returned");
            }
        }
        self.out = out;
    }

    /// Logs one line when no endpoint answers any more, and one when an endpoint answers again.
    fn say_usable(&self, survey: Survey) {
        let cluster = &self.cluster.name;
        match turn(self.last, survey) {
            Some(Turn::Down) => warn!(%cluster, state = %survey, panic = survey.panic, "no usable endpoint"),
            Some(Turn::Up) => info!(%cluster, state = %survey, "usable endpoints again"),
            None => {}
        }
    }

    fn say_left_out(&self, survey: Survey) {
        let (cluster, was) = (&self.cluster.name, self.last.map_or(0, |last| last.left_out));
        let Survey { endpoints, left_out, .. } = survey;
        if left_out > 0 && was == 0 {
            warn!(%cluster, endpoints, left_out, "more endpoints were found than a cluster can have");
        } else if left_out == 0 && was > 0 {
            info!(%cluster, endpoints, "no endpoint is left out any more");
        }
    }

    fn say_panic(&self, survey: Survey) {
        // That nobody is left is one line of its own.
        let some = |survey: Survey| survey.panic && survey.usable > 0;
        let (cluster, was) = (&self.cluster.name, self.last.is_some_and(some));
        let Survey { endpoints, usable, .. } = survey;
        if some(survey) && !was {
            warn!(%cluster, endpoints, usable, "too few usable endpoints: panic");
        } else if was && !survey.panic {
            info!(%cluster, endpoints, usable, "enough usable endpoints again");
        }
    }
}

/// The change of a cluster between two looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Down,
    Up,
}

fn turn(last: Option<Survey>, now: Survey) -> Option<Turn> {
    let was_down = last.map(|last| last.usable == 0);
    match (was_down, now.usable == 0) {
        (None | Some(false), true) => Some(Turn::Down),
        (Some(true), false) => Some(Turn::Up),
        _ => None,
    }
}

/// Between two looks, and so the age of what the metrics show.
const LONGEST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_goes_down_once_and_comes_back_once() {
        let survey =
            |usable| Survey { endpoints: 2, usable, failing: 2 - usable, ejected: 0, panic: false, left_out: 0 };
        let mut last = None;
        let mut turns = Vec::new();
        for usable in [0, 0, 1, 2, 1, 0, 0, 2] {
            let now = survey(usable);
            turns.extend(turn(last, now));
            last = Some(now);
        }
        assert_eq!(turns, [Turn::Down, Turn::Up, Turn::Down, Turn::Up]);
    }
}
