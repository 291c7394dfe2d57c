//! Active health checks: one task for each cluster with a check probes its endpoints at intervals and records their
//! health. The balancer decides which endpoints may be used.

mod card;
mod grpc;
mod past;
mod probe;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

#[doc(hidden)]
pub use self::card::is_card;
#[doc(hidden)]
pub use self::grpc::status as grpc_status;
pub use self::past::CardPlaces;
pub use self::probe::RESULTS;
use self::probe::{Failure, PASSED};
use super::endpoint_health::{HealthState, Transition};
use super::{Cluster, Endpoint, EndpointId, Members};
use crate::config::model::HealthCheck;
use crate::error::chain;
use crate::observe::handles::HealthHandles;
use crate::pool::Dialer;

/// Checks the endpoints of a cluster, those that come later too. Ends at once when the cluster has no check, otherwise
/// never: the caller owns the task and aborts it. May be dropped at any point.
/// `places` says what becomes of the cards that are fetched.
pub async fn watch(
    cluster: Arc<Cluster>,
    dialer: Dialer,
    handles: HealthHandles,
    places: CardPlaces,
    mut rng: fastrand::Rng,
) {
    let Some(check) = &cluster.settings.health_check else {
        return;
    };
    let dialer = &dialer;
    let cards = past::Watch::new(places);
    let mut rota = Rota::default();
    let mut running = FuturesUnordered::new();
    loop {
        rota.adopt(&cluster.members(), Instant::now());
        publish(&rota, &handles);
        let now = Instant::now();
        while running.len() < MAX_RUNNING
            && let Some(endpoint) = rota.take_due(now)
        {
            // The next one counts from here, however long this one takes.
            running.push(Box::pin(async move {
                let outcome = probe::run(&endpoint, check, dialer).await;
                (endpoint, now, outcome)
            }));
        }
        let next = rota.next().filter(|_| running.len() < MAX_RUNNING);
        tokio::select! {
            () = cluster.changed.notified() => {}
            Some((endpoint, begun, outcome)) = running.next() => {
                if let Ok(Some(card)) = &outcome {
                    cards.look(&cluster, &endpoint, card);
                }
                let outcome = outcome.map(drop);
                handles.checked(outcome.as_ref().map_or_else(Failure::word, |()| PASSED));
                let verdict = settle(&cluster, check, &endpoint, &outcome, Instant::now());
                let due = begun + pause(check, verdict, &mut rng);
                endpoint.set_check_due(due);
                rota.put_back(&endpoint, due.max(Instant::now()));
            }
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
        }
    }
}

/// Takes in one outcome, and tells of it only when it changes something.
fn settle(
    cluster: &Cluster,
    check: &HealthCheck,
    endpoint: &Endpoint,
    outcome: &Result<(), Failure>,
    now: Instant,
) -> HealthState {
    let passed = outcome.is_ok();
    let failure = outcome.as_ref().err();
    let reason = failure.map(Failure::word);
    let upstream_error = failure.map(|failure| chain(failure));
    let slow_start = cluster.settings.slow_start.is_some();
    let (cluster, address) = (&cluster.name, endpoint.address);
    let Some(health) = &endpoint.health else {
        return HealthState::Unchecked;
    };
    let (verdict, transition) = health.record(reason.zip(upstream_error.clone()), check, SystemTime::now());
    match transition {
        Some(Transition::Left) => {
            warn!(%cluster, endpoint = %address, reason, upstream_error, "endpoint is unhealthy");
        }
        Some(Transition::Returned) => {
            info!(%cluster, endpoint = %address, "endpoint is healthy again");
        }
        None => debug!(%cluster, endpoint = %address, reason, upstream_error, "endpoint checked"),
    }
    if check.ends_ejection && passed && verdict.is_usable() {
        endpoint.pardon(now);
    }
    // One that is still ejected warms up when that ends.
    if transition == Some(Transition::Returned) && slow_start && !endpoint.is_ejected(now) {
        endpoint.warm_up(now);
    }
    verdict
}

/// Time from the start of one check to the start of the next. Random, and never longer than configured, so that
/// gateways do not march in step and a recovery is noticed within one interval.
fn pause(check: &HealthCheck, verdict: HealthState, rng: &mut fastrand::Rng) -> Duration {
    let interval = if verdict.is_returning() { check.interval.min(CONFIRM) } else { check.interval };
    interval.mul_f64(1.0 - JITTER * rng.f64())
}

fn publish(rota: &Rota, handles: &HealthHandles) {
    let count = |word| {
        let verdicts = rota.endpoints.values().filter_map(|endpoint| endpoint.health.as_ref());
        verdicts.filter(|health| health.verdict().word() == word).count()
    };
    handles.note(count("healthy"), count("unhealthy"), count("unchecked"));
}

/// Which endpoint is to be checked when.
#[derive(Debug, Default)]
struct Rota {
    generation: u64,
    endpoints: HashMap<EndpointId, Arc<Endpoint>>,
    /// Those that are not being checked right now.
    waiting: BTreeSet<(Instant, EndpointId)>,
}

impl Rota {
    /// Adopts a list of members. New ones are due at once; those that an earlier task checked stay due at their time.
    fn adopt(&mut self, members: &Members, now: Instant) {
        if self.generation == members.generation {
            return;
        }
        self.generation = members.generation;
        let (known, fresh): (Vec<_>, Vec<_>) = members.endpoints.iter().partition(|endpoint| self.has(endpoint));
        let known: HashSet<EndpointId> = known.iter().map(|endpoint| endpoint.id).collect();
        self.waiting.retain(|(_, id)| known.contains(id));
        let due = |endpoint: &Endpoint| endpoint.check_due().unwrap_or(now);
        self.waiting.extend(fresh.iter().map(|endpoint| (due(endpoint), endpoint.id)));
        let endpoints = members.endpoints.iter();
        self.endpoints = endpoints.map(|endpoint| (endpoint.id, Arc::clone(endpoint))).collect();
    }

    /// Whether this very endpoint is on the list, and not another under the same identity.
    fn has(&self, endpoint: &Arc<Endpoint>) -> bool {
        let known = self.endpoints.get(&endpoint.id);
        known.is_some_and(|known| Arc::ptr_eq(known, endpoint))
    }

    /// The endpoint that has waited longest of those that are due.
    fn take_due(&mut self, now: Instant) -> Option<Arc<Endpoint>> {
        let (due, id) = self.waiting.pop_first()?;
        if due > now {
            self.waiting.insert((due, id));
            return None;
        }
        self.endpoints.get(&id).map(Arc::clone)
    }

    /// When somebody is due.
    fn next(&self) -> Option<Instant> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// An endpoint has been checked. One that is gone meanwhile is forgotten.
    fn put_back(&mut self, endpoint: &Arc<Endpoint>, due: Instant) {
        if self.has(endpoint) {
            self.waiting.insert((due, endpoint.id));
        }
    }
}

/// Checks of one cluster that run at the same time; the others wait for their turn.
const MAX_RUNNING: usize = 32;
/// Share of the interval by which a check may come early.
const JITTER: f64 = 0.1;
/// Time between the checks that confirm a recovery: after the first success an endpoint need not be out for whole
/// intervals.
const CONFIRM: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::discovery::dns::Resolutions;
    use crate::config::model::ProbeKind;

    fn endpoint(last: u8) -> Arc<Endpoint> {
        let address = ([10, 0, 0, last], 80).into();
        let mut endpoint = Endpoint::new(address, "a:80", 1, BTreeMap::new());
        endpoint.health = Some(Arc::default());
        Arc::new(endpoint)
    }

    fn later(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn check(seconds: u64) -> HealthCheck {
        HealthCheck {
            kind: ProbeKind::Tcp,
            interval: later(seconds),
            timeout: Some(later(1)),
            healthy_threshold: 3,
            ..HealthCheck::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_its_checks_let_back_in_starts_slowly() {
        let mut settings = crate::cluster::tests::settings(Vec::new());
        settings.slow_start = Some(later(30));
        let cluster = Cluster::build(Arc::new(settings), None, &Resolutions::new());
        let (endpoint, check) = (endpoint(1), check(10));
        let is_warming = || endpoint.is_warming(later(30), Instant::now());
        settle(&cluster, &check, &endpoint, &Ok(()), Instant::now());
        assert!(!is_warming(), "it was there from the start");
        let failed = || Err(Failure::TooLarge);
        for _ in 0..check.unhealthy_threshold {
            settle(&cluster, &check, &endpoint, &failed(), Instant::now());
        }
        assert!(endpoint.is_unhealthy());
        for _ in 0..check.healthy_threshold {
            settle(&cluster, &check, &endpoint, &Ok(()), Instant::now());
        }
        assert!(!endpoint.is_unhealthy() && is_warming());
    }

    #[tokio::test(start_paused = true)]
    async fn each_endpoint_has_its_turn() {
        let now = Instant::now();
        let (a, b) = (endpoint(1), endpoint(2));
        let members = Members::new(vec![Arc::clone(&a), Arc::clone(&b)]);
        let mut rota = Rota::default();
        rota.adopt(&members, now);
        rota.adopt(&members, now + later(1));
        let both: HashSet<_> = [rota.take_due(now), rota.take_due(now)].map(|endpoint| endpoint.unwrap().id).into();
        assert_eq!(both, [a.id, b.id].into(), "new ones are due at once");
        assert!(rota.take_due(now + later(100)).is_none(), "both are being checked");
        rota.put_back(&b, now + later(5));
        rota.put_back(&a, now + later(7));
        assert_eq!(rota.next(), Some(now + later(5)));
        assert!(rota.take_due(now + later(4)).is_none());
        assert_eq!(rota.take_due(now + later(9)).unwrap().id, b.id, "waits longest");
        assert_eq!(rota.take_due(now + later(9)).unwrap().id, a.id);
    }

    #[tokio::test(start_paused = true)]
    async fn endpoints_come_and_go_while_others_are_checked() {
        let now = Instant::now();
        let (a, b, c) = (endpoint(1), endpoint(2), endpoint(3));
        let mut rota = Rota::default();
        rota.adopt(&Members::new(vec![Arc::clone(&a), Arc::clone(&b)]), now);
        while rota.take_due(now).is_some() {}
        rota.put_back(&b, now + later(10));
        rota.adopt(&Members::new(vec![Arc::clone(&a), Arc::clone(&c)]), now);
        assert_eq!(rota.take_due(now).unwrap().id, c.id);
        assert_eq!(rota.next(), None, "b is gone, the others are being checked");
        rota.put_back(&b, now);
        assert_eq!(rota.next(), None, "b is forgotten");
        // The same place again, as another endpoint under the same identity.
        let mut back = endpoint(1);
        Arc::get_mut(&mut back).unwrap().id = a.id;
        rota.adopt(&Members::new(vec![Arc::clone(&back)]), now);
        rota.put_back(&a, now + later(1));
        rota.put_back(&c, now + later(1));
        assert!(Arc::ptr_eq(&rota.take_due(now).unwrap(), &back));
        assert_eq!(rota.next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_goes_on_where_the_one_before_it_stopped() {
        let now = Instant::now();
        let (checked, fresh) = (endpoint(1), endpoint(2));
        checked.set_check_due(now + later(8));
        let mut rota = Rota::default();
        rota.adopt(&Members::new(vec![Arc::clone(&checked), Arc::clone(&fresh)]), now);
        assert_eq!(rota.take_due(now).unwrap().id, fresh.id);
        assert!(rota.take_due(now).is_none());
        assert_eq!(rota.next(), Some(now + later(8)));
    }

    #[test]
    fn pauses_are_random_and_never_longer_than_configured() {
        let mut rng = fastrand::Rng::with_seed(1);
        let returning = HealthState::Unhealthy { successes: 1 };
        for (verdict, most) in [
            (HealthState::Healthy { failures: 0 }, later(10)),
            (HealthState::Unhealthy { successes: 0 }, later(10)),
            (returning, CONFIRM),
        ] {
            let pauses: Vec<_> = (0..100).map(|_| pause(&check(10), verdict, &mut rng)).collect();
            let (least, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
            assert!(*longest <= most && *least >= most.mul_f64(1.0 - JITTER), "{verdict:?}");
            assert!(*longest - *least > most.mul_f64(JITTER / 2.0), "{verdict:?} is spread");
        }
        let mut short = check(10);
        short.interval = Duration::from_millis(100);
        assert!(pause(&short, returning, &mut rng) <= short.interval);
    }

    #[test]
    fn the_loop_may_run_on_any_runtime() {
        fn is_send<T: Send>(_: fn(Arc<Cluster>, Dialer, HealthHandles, CardPlaces, fastrand::Rng) -> T) {}
        is_send(watch);
    }
}
