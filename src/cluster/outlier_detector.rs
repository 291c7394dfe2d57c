//! Learns from attempts. Every outcome of an attempt is reported to this one place, so that ejection, the breaker, the
//! balancer and metrics see the same facts. Knows nothing of requests.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::endpoint::Endpoint;
use super::endpoint::is_usable;
use super::members::Members;
use super::outlier::{Cause, allowance, ejection_time};
use super::outlier_rates::outliers;
use crate::config::model::{self, LoadBalancer, OutlierDetection};
use crate::outcome::{EjectionClass, Outcome};

/// Ejects endpoints of one cluster. All workers share it, and exchanges keep it until their last byte. So it holds no
/// snapshot, and its members only while their cluster is in use: an exchange that outlives its cluster reports to a
/// detector that does nothing.
#[derive(Debug)]
pub struct OutlierDetector {
    cluster: Arc<str>,
    policy: Option<OutlierDetection>,
    breaker: Option<Arc<Breaker>>,
    /// Whether an endpoint that returns starts slowly.
    slow_start: bool,
    /// Whether anybody asks how fast endpoints are.
    measures: bool,
    members: Weak<ArcSwap<Members>>,
    /// Ejections are decided one at a time, so that two workers cannot each take out one of the last two endpoints.
    deciding: Mutex<()>,
}

/// A requested ejection.
#[derive(Clone, Copy, Debug)]
struct Case {
    cause: Cause,
    /// For how long, where that does not follow from the number of ejections.
    fixed: Option<Duration>,
}

impl OutlierDetector {
    pub(super) fn new(
        settings: &model::Cluster,
        breaker: Option<Arc<Breaker>>,
        members: &Arc<ArcSwap<Members>>,
    ) -> Self {
        Self {
            breaker,
            cluster: settings.name.as_str().into(),
            policy: settings.outlier_detection.clone(),
            slow_start: settings.slow_start.is_some(),
            measures: settings.load_balancer == LoadBalancer::PeakEwma,
            members: Arc::downgrade(members),
            deciding: Mutex::new(()),
        }
    }

    /// The cluster's breaker.
    #[must_use]
    pub fn breaker(&self) -> Option<&Arc<Breaker>> {
        self.breaker.as_ref()
    }

    /// Takes in the outcome of one attempt at `endpoint`, and which client has seen it, where that is known. Returns
    /// why the endpoint was ejected, if this was one failure too many.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome, client: Option<u64>, now: Instant) -> Option<Cause> {
        if let Some(breaker) = &self.breaker {
            breaker.report(outcome, now);
        }
        let record = &endpoint.live.record;
        record.note_presence(outcome, endpoint.live.born, now);
        let policy = self.policy.as_ref()?;
        let mark = outcome.ejection(policy.count500);
        if mark == EjectionClass::Nothing || endpoint.is_ejected(now) {
            return None;
        }
        let age = now.saturating_duration_since(endpoint.live.born);
        let cause = record.note(mark, client, policy, age)?;
        let fixed = match (cause, policy.window()) {
            (Cause::MaxFails, Some(limit)) => Some(limit.timeout),
            _ => None,
        };
        self.eject(policy, endpoint, Case { cause, fixed }, now)
    }

    /// Whether an endpoint may ask for rest.
    #[must_use]
    pub fn grants_rest(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.rest_on_retry_after)
    }

    /// Takes in that `endpoint` asked to be left alone for a while. Returns the cause when it is.
    pub fn rest(&self, endpoint: &Endpoint, wanted: Duration, now: Instant) -> Option<Cause> {
        let policy = self.policy.as_ref().filter(|policy| policy.rest_on_retry_after)?;
        let case = Case { cause: Cause::RetryAfter, fixed: Some(wanted.min(policy.longest())) };
        self.eject(policy, endpoint, case, now)
    }

    /// Whether the time to a response head is of interest.
    #[must_use]
    pub fn measures(&self) -> bool {
        self.measures
    }

    /// Takes in how long `endpoint` took to a response head. A failure is no sign of speed: it counts as slow.
    pub fn measure(&self, endpoint: &Endpoint, took: Duration, ok: bool, now: Instant) {
        let took = if ok { took } else { took.max(FAILED) };
        endpoint.live.latency.observe(took, endpoint.live.born, now);
    }

    /// How often [`Self::sweep`] is due; `None` when never.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.policy.as_ref().map(|policy| policy.interval)
    }

    /// Ends an interval that began at `began`: compares rates and lets the healthy forget. Returns why endpoints were
    /// ejected.
    pub(super) fn sweep(&self, began: Instant, now: Instant) -> Vec<Cause> {
        let (Some(policy), Some(members)) = (&self.policy, self.members.upgrade()) else {
            return Vec::new();
        };
        let endpoints = &members.load_full().endpoints;
        for endpoint in endpoints {
            endpoint.live.record.decay(endpoint.live.born, began);
        }
        if !policy.compares_rates() {
            return Vec::new();
        }
        let samples: Vec<_> = endpoints.iter().map(|endpoint| endpoint.live.record.take_sample()).collect();
        let found = outliers(&samples, policy);
        let eject = |(index, cause): (usize, Cause)| {
            let case = Case { cause, fixed: None };
            self.eject(policy, endpoints.get(index)?, case, now)
        };
        found.into_iter().filter_map(eject).collect()
    }

    fn eject(&self, policy: &OutlierDetection, endpoint: &Endpoint, case: Case, now: Instant) -> Option<Cause> {
        let members = self.members.upgrade()?.load_full();
        let _one_at_a_time = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let (cluster, address, cause) = (&self.cluster, endpoint.address, case.cause.word());
        if endpoint.is_ejected(now) {
            return None;
        }
        if !may_go(&members, endpoint, policy.max_ejection_percent, now) {
            tracing::debug!(%cluster, endpoint = %address, cause, "endpoint fails, but no more may be ejected");
            return None;
        }
        let record = &endpoint.live.record;
        let number = record.times().saturating_add(1);
        let lasting = case.fixed.unwrap_or_else(|| ejection_time(policy, number));
        let until = now + lasting;
        record.note_cause(case.cause);
        record.eject(endpoint.live.born, until, case.fixed.is_none());
        if self.slow_start {
            endpoint.warm_up(until);
        }
        tracing::warn!(%cluster, endpoint = %address, cause, lasting = ?lasting, number, "endpoint ejected");
        Some(case.cause)
    }
}

/// Whether `endpoint` may be taken out: it is one of the members, fewer are out than may be, and another stays usable.
fn may_go(members: &Members, endpoint: &Endpoint, percent: u32, now: Instant) -> bool {
    let working = || members.endpoints.iter().filter(|other| other.weight > 0);
    let others = || working().filter(|other| other.id != endpoint.id);
    let out = others().filter(|other| other.is_ejected(now)).count();
    working().count() > others().count()
        && out < allowance(working().count(), percent)
        && others().any(|other| is_usable(other, now))
}

/// The least time that a failed attempt counts as in `peak-ewma`.
const FAILED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use http::StatusCode;
    use proptest::prelude::*;

    use super::*;
    use crate::config::model::FailurePercentage;
    use crate::outcome::{Application, Transport};

    const SECOND: Duration = Duration::from_secs(1);

    /// This many endpoints and their detector.
    struct Court {
        members: Arc<ArcSwap<Members>>,
        detector: OutlierDetector,
        start: Instant,
    }

    impl Court {
        fn new(weights: &[u32], policy: OutlierDetection) -> Self {
            let endpoint = |(index, weight): (usize, &u32)| {
                let address = SocketAddr::from(([10, 0, 0, u8::try_from(index).unwrap()], 80));
                let labels = BTreeMap::new();
                Arc::new(Endpoint::new(address, address.to_string(), *weight, labels))
            };
            let endpoints = weights.iter().enumerate().map(endpoint).collect();
            let members = Arc::new(ArcSwap::from_pointee(Members::new(endpoints)));
            let detector = OutlierDetector {
                breaker: None,
                cluster: "agents".into(),
                policy: Some(policy),
                slow_start: true,
                measures: false,
                members: Arc::downgrade(&members),
                deciding: Mutex::new(()),
            };
            Self { members, detector, start: Instant::now() }
        }

        fn at(&self, seconds: u32) -> Instant {
            self.start + SECOND * seconds
        }

        fn endpoint(&self, index: usize) -> Arc<Endpoint> {
            Arc::clone(&self.members.load().endpoints[index])
        }

        /// Reports until one leads to an ejection, at most so often.
        fn fail(&self, index: usize, times: usize, seconds: u32) -> Option<Cause> {
            let endpoint = self.endpoint(index);
            (0..times)
                .find_map(|_| self.detector.report(&endpoint, Outcome::ended(Transport::Reset), None, self.at(seconds)))
        }

        fn out(&self, seconds: u32) -> Vec<usize> {
            let members = self.members.load();
            let all = members.endpoints.iter().enumerate();
            all.filter(|(_, endpoint)| endpoint.is_ejected(self.at(seconds))).map(|(index, _)| index).collect()
        }
    }

    fn all_may_go() -> OutlierDetection {
        OutlierDetection { max_ejection_percent: 100, ..OutlierDetection::default() }
    }

    #[test]
    fn out_after_five_failures_back_after_thirty_seconds_and_longer_the_next_time() {
        let court = Court::new(&[1, 1, 1], OutlierDetection::default());
        assert_eq!(court.fail(0, 4, 0), None);
        assert_eq!(court.fail(0, 1, 0), Some(Cause::Consecutive5xx));
        assert_eq!((court.out(29), court.out(30)), (vec![0], vec![]));
        assert_eq!(court.fail(0, 5, 10), None, "what is still under way changes nothing");
        assert!(court.out(30).is_empty());
        assert_eq!(court.fail(0, 5, 30), Some(Cause::Consecutive5xx));
        assert_eq!((court.out(89), court.out(90)), (vec![0], vec![]));
        // Healthy for two intervals.
        court.detector.sweep(court.at(80), court.at(90));
        court.detector.sweep(court.at(90), court.at(100));
        assert_eq!(court.endpoint(0).live.record.times(), 1);
        assert_eq!(court.fail(0, 5, 100), Some(Cause::Consecutive5xx));
        assert_eq!((court.out(159), court.out(160)), (vec![0], vec![]));
    }

    #[test]
    fn good_ends_start_the_count_anew_and_good_heads_do_not() {
        let court = Court::new(&[1, 1], OutlierDetection::default());
        let endpoint = court.endpoint(0);
        let report = |outcome| court.detector.report(&endpoint, outcome, None, court.start);
        for _ in 0..4 {
            assert_eq!(report(Outcome::answered(StatusCode::OK, Application::Silent)), None);
            assert_eq!(report(Outcome::ended(Transport::BrokenOff)), None);
        }
        assert_eq!(report(Outcome::complete(StatusCode::OK, Application::Silent)), None);
        for _ in 0..4 {
            assert_eq!(report(Outcome::answered(StatusCode::OK, Application::Silent)), None);
            assert_eq!(report(Outcome::ended(Transport::BrokenOff)), None);
        }
        assert_eq!(report(Outcome::answered(StatusCode::OK, Application::Silent)), None);
        assert_eq!(report(Outcome::ended(Transport::BrokenOff)), Some(Cause::Consecutive5xx));
    }

    #[test]
    fn the_nginx_shape_rests_for_its_timeout_and_does_not_grow() {
        let policy = OutlierDetection {
            consecutive_5xx_errors: Some(0),
            max_fails: 3,
            fail_timeout: SECOND * 30,
            ..OutlierDetection::default()
        };
        let court = Court::new(&[1, 1], policy);
        for seconds in [0, 30, 60] {
            assert_eq!(court.fail(1, 3, seconds), Some(Cause::MaxFails));
            assert_eq!((court.out(seconds + 29), court.out(seconds + 30)), (vec![1], vec![]));
        }
    }

    #[test]
    fn rest_is_granted_for_as_long_as_asked_but_not_for_ever() {
        let policy = OutlierDetection { rest_on_retry_after: true, ..OutlierDetection::default() };
        let court = Court::new(&[1, 1], policy);
        let (first, second) = (court.endpoint(0), court.endpoint(1));
        let rest = |endpoint: &Endpoint, seconds| court.detector.rest(endpoint, SECOND * seconds, court.start);
        assert_eq!(rest(&first, 7), Some(Cause::RetryAfter));
        assert_eq!(rest(&second, 7), None, "the last one has to work");
        assert_eq!((court.out(6), court.out(7)), (vec![0], vec![]));
        assert_eq!(court.detector.rest(&second, SECOND * 9_999, court.at(7)), Some(Cause::RetryAfter));
        assert_eq!((court.out(306), court.out(307)), (vec![1], vec![]));
        assert_eq!(second.live.record.times(), 0);
        let silent = Court::new(&[1, 1], OutlierDetection::default());
        assert_eq!(silent.detector.rest(&silent.endpoint(0), SECOND, silent.start), None);
    }

    #[test]
    fn rates_are_judged_at_the_end_of_an_interval() {
        let policy = OutlierDetection {
            consecutive_5xx_errors: Some(0),
            failure_percentage: Some(FailurePercentage { threshold: 85, min_hosts: 2, min_requests: 10 }),
            ..OutlierDetection::default()
        };
        let court = Court::new(&[1, 1, 1], policy);
        assert_eq!(court.fail(0, 20, 1), None);
        let other = court.endpoint(1);
        for _ in 0..10 {
            court.detector.report(&other, Outcome::complete(StatusCode::OK, Application::Silent), None, court.at(1));
        }
        let swept = court.detector.sweep(court.start, court.at(10));
        assert_eq!(swept, [Cause::FailurePercentage]);
        assert_eq!(court.out(10), [0]);
        assert!(court.detector.sweep(court.at(10), court.at(20)).is_empty());
    }

    #[test]
    fn a_detector_whose_cluster_is_gone_does_nothing() {
        let mut court = Court::new(&[1, 1], OutlierDetection::default());
        let endpoint = court.endpoint(0);
        court.members = Arc::new(ArcSwap::from_pointee(Members::new(Vec::new())));
        for _ in 0..20 {
            assert_eq!(court.detector.report(&endpoint, Outcome::ended(Transport::Reset), None, court.start), None);
        }
        assert!(court.detector.sweep(court.start, court.at(10)).is_empty());
    }

    #[test]
    fn who_is_no_member_or_drains_is_not_ejected() {
        let court = Court::new(&[1, 1, 0], all_may_go());
        assert_eq!(court.fail(2, 20, 0), None);
        let gone = court.endpoint(0);
        let rest = court.members.load().endpoints[1..].to_vec();
        court.members.store(Arc::new(Members::new(rest)));
        for _ in 0..20 {
            assert_eq!(court.detector.report(&gone, Outcome::ended(Transport::Reset), None, court.start), None);
        }
    }

    proptest! {
        /// Whatever fails in whatever order, at one moment.
        #[test]
        fn one_may_go_and_the_last_never_does(
            weights in prop::collection::vec(prop_oneof![Just(0_u32), 1..5_u32, 1..5_u32], 1..=50),
            percent in 1..=100_u32,
            failing in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ) {
            let policy = OutlierDetection { max_ejection_percent: percent, ..OutlierDetection::default() };
            let court = Court::new(&weights, policy);
            let mut hit = std::collections::BTreeSet::new();
            for index in failing {
                let index = index.index(weights.len());
                court.fail(index, 5, 0);
                hit.insert(index);
            }
            let out = court.out(1);
            let working = weights.iter().filter(|weight| **weight > 0).count();
            prop_assert!(out.len() <= allowance(working, percent));
            prop_assert!(out.is_empty() || out.len() < working);
            prop_assert!(out.iter().all(|index| weights[*index] > 0 && hit.contains(index)));
            let might = hit.iter().filter(|index| weights[**index] > 0).count();
            prop_assert_eq!(out.len(), might.min(allowance(working, percent)));
        }
    }
}
