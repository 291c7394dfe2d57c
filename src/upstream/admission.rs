//! Letting requests in: past the cluster's breaker and below its ceilings, waiting in its queue where that has room. A
//! cluster without them costs a look at two options.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::{WorkerCluster, WorkerEndpoint};
use crate::bounded;
use crate::cluster::{Allowed, AnswerKind, InFlight, Kind, PickRequest, Probe};
use crate::error::{Error, LimitHit};
use crate::observe::handles::GaugeGuard;
use crate::outcome::Outcome;

/// The permits that a request holds to the end of its response body.
#[derive(Debug, Default)]
pub struct Admission {
    kind: Kind,
    permit: Allowed,
    /// Boxed, for it is rare.
    probe: Option<Box<Probe>>,
    waits: bool,
    entered: Option<Box<Entered>>,
}

/// A place below the limit that is found out, and since when it is held.
#[derive(Debug)]
struct Entered {
    _place: bounded::Permit,
    answer: AnswerKind,
    /// `None` once it is known how long the answer took.
    since: Option<Instant>,
    /// How long the client had been waited for by then.
    client_time: Duration,
}

impl Admission {
    /// Whether the caller must wait with [`WorkerCluster::wait`] first.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits
    }
}

impl WorkerCluster {
    /// Whether anything has to be asked before a request is sent.
    #[must_use]
    pub fn is_guarded(&self) -> bool {
        let cluster = self.cluster();
        cluster.ceilings.is_some() || cluster.adaptive.is_some() || cluster.detector.breaker().is_some()
    }

    /// Lets a request in, or into the queue.
    ///
    /// # Errors
    /// When the breaker is open, or a ceiling is reached and the queue has no room.
    pub fn admit(&self, kind: Kind, now: Instant, rng: &mut fastrand::Rng) -> Result<Admission, Error> {
        let mut admission = Admission { kind, ..Admission::default() };
        admission.probe = self.pass_breaker(now, rng)?;
        let Some(ceilings) = &self.cluster().ceilings else {
            return Ok(admission);
        };
        match ceilings.enter(kind) {
            Some(permit) => admission.permit = permit,
            None => {
                self.handles().ceiling_reached(kind.limit_hit());
                if !ceilings.queue().has_room() {
                    return Err(self.refuse(kind.limit_hit(), MOMENT));
                }
                admission.waits = true;
            }
        }
        Ok(admission)
    }

    /// Takes a place below the limit that is found out, where there is one. `client_time` is how long the client has
    /// been waited for so far.
    ///
    /// # Errors
    /// When as many are under way as may be.
    pub fn enter_adaptive(
        &self,
        admission: &mut Admission,
        answer: AnswerKind,
        now: Instant,
        client_time: Duration,
    ) -> Result<(), Error> {
        let Some(adaptive) = self.cluster().adaptive.as_ref().filter(|_| admission.kind == Kind::Request) else {
            return Ok(());
        };
        let Some(place) = adaptive.enter() else {
            return Err(self.refuse(LimitHit::Adaptive, MOMENT));
        };
        admission.entered = Some(Box::new(Entered { _place: place, answer, since: Some(now), client_time }));
        Ok(())
    }

    /// Takes in how long an answer took that is no stream, or a try that ran out of time. The client's own time is not
    /// the agent's.
    pub fn measure(&self, admission: &mut Admission, at: Instant, client_time: Duration) {
        let (Some(adaptive), Some(entered)) = (&self.cluster().adaptive, &mut admission.entered) else { return };
        let Some(since) = entered.since.take() else { return };
        let waited = client_time.saturating_sub(entered.client_time);
        let took = at.saturating_duration_since(since).saturating_sub(waited);
        if let Some(limit) = adaptive.answered(entered.answer, took, at) {
            self.handles().adaptive_limit.get().set_count(limit);
        }
    }

    fn pass_breaker(&self, now: Instant, rng: &mut fastrand::Rng) -> Result<Option<Box<Probe>>, Error> {
        let Some(breaker) = self.cluster().detector.breaker() else {
            return Ok(None);
        };
        let admitted = breaker.admit(now, rng);
        self.handles().breaker(breaker.state().number());
        admitted.map(|probe| probe.map(Box::new)).map_err(|wait| self.refuse(LimitHit::Breaker, wait))
    }

    /// Waits for what [`Self::admit`] could not give, until `end` at the latest. Dropped, the request leaves the queue.
    ///
    /// # Errors
    /// When the queue's time is over, it has filled up meanwhile, or the breaker has opened.
    pub async fn wait(
        &self,
        admission: &mut Admission,
        begun: Instant,
        end: Option<Instant>,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Error> {
        let Some(ceilings) = &self.cluster().ceilings else {
            return Err(Error::Internal);
        };
        let _pending = GaugeGuard::of(&self.handles().pending);
        let deadline = earlier(ceilings.queue().deadline(begun), end);
        let entered = ceilings.enter_late(admission.kind, deadline).await;
        let full = || self.refuse(admission.kind.limit_hit(), MOMENT);
        admission.permit = entered.ok_or_else(full)?;
        admission.waits = false;
        // The breaker may have opened meanwhile; it also refuses requests from the queue.
        if admission.probe.is_none() {
            admission.probe = self.pass_breaker(Instant::now(), rng)?;
        }
        Ok(())
    }

    /// Says what the attempts came to, which a breaker that is half-open waits for.
    pub fn settle(&self, admission: &mut Admission, outcome: Outcome) {
        let Some(probe) = admission.probe.take() else {
            return;
        };
        match outcome.breaker() {
            Some(class) => probe.settle(!class.is_bad, Instant::now()),
            // The client's fault, or ours: the next request finds out.
            None => drop(probe),
        }
        if let Some(breaker) = self.cluster().detector.breaker() {
            self.handles().breaker(breaker.state().number());
        }
    }

    /// The answer is a stream: from now on it counts as one.
    ///
    /// # Errors
    /// When there are as many streams as may be. A request that said beforehand that it wants one has been counted as
    /// one.
    pub fn becomes_stream(
        &self,
        admission: &mut Admission,
        in_flight: &mut InFlight<Rc<WorkerEndpoint>>,
    ) -> Result<(), Error> {
        admission.entered = None;
        let Some(ceilings) = &self.cluster().ceilings else {
            return Ok(());
        };
        if admission.kind == Kind::Stream {
            return Ok(());
        }
        if in_flight.becomes_stream() && ceilings.becomes_stream(&mut admission.permit) {
            admission.kind = Kind::Stream;
            return Ok(());
        }
        self.handles().ceiling_reached(LimitHit::Streams);
        Err(self.refuse(LimitHit::Streams, MOMENT))
    }

    /// A permit for one retry; `None` when there are as many as may be.
    pub(super) fn retry(&self) -> Option<Allowed> {
        let Some(ceilings) = &self.cluster().ceilings else {
            return Some(None);
        };
        let permit = ceilings.retry();
        if permit.is_none() {
            self.handles().ceiling_reached(LimitHit::Retries);
            self.handles().circuit_rejected(LimitHit::Retries);
        }
        permit
    }

    /// Chooses an endpoint and counts the request on it, after a wait in the queue when all are full.
    pub(super) async fn choose_late(
        &self,
        request: &PickRequest<'_>,
        limit_hit: LimitHit,
        begun: Instant,
        end: Option<Instant>,
        rng: &mut fastrand::Rng,
    ) -> Result<InFlight<Rc<WorkerEndpoint>>, Error> {
        self.handles().ceiling_reached(limit_hit);
        let ceilings = self.cluster().ceilings.as_ref().ok_or_else(|| Error::Internal)?;
        if !ceilings.queue().has_room() {
            return Err(self.refuse(limit_hit, MOMENT));
        }
        let _pending = GaugeGuard::of(&self.handles().pending);
        let deadline = earlier(ceilings.queue().deadline(begun), end);
        let choose = || {
            let request = PickRequest { now: Instant::now(), ..*request };
            self.find(&request, rng).ok()
        };
        let found = ceilings.choose_late(request.kind, deadline, choose).await;
        found.ok_or_else(|| self.refuse(limit_hit, MOMENT))
    }

    fn refuse(&self, limit_hit: LimitHit, retry_after: Duration) -> Error {
        self.handles().circuit_rejected(limit_hit);
        Error::CircuitOpen { limit_hit, retry_after }
    }
}

fn earlier(one: Instant, other: Option<Instant>) -> Instant {
    other.map_or(one, |other| one.min(other))
}

/// How soon a ceiling is worth another try.
const MOMENT: Duration = Duration::from_secs(1);
