//! The state that the tries of one request share, and the step from a failed try to the next. A request whose first
//! answer is passed on runs nothing here but the copy for a possible repeat.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body::Body;
use tokio::time::{Instant, sleep};

use super::policy::{self, Reason};
use super::worker_cluster::Fields;
use super::{AttemptPlan, Attempts, UpstreamResponse, WorkerCluster, WorkerEndpoint, address, backoff, budget};
use crate::body::RequestBody;
use crate::cluster::{Allowed, BreakerState, InFlight, PickRequest, RetryingGuard};
use crate::config::model::RetryPolicy;
use crate::error::{Error, LimitHit};
use crate::head::retry_after;
use crate::observe::tracer::TryFacts;
use crate::outcome::{Outcome, Phase, Transport};

/// The tries of one request.
pub(super) struct Tries<'a> {
    pub(super) plan: &'a AttemptPlan<'a>,
    pub(super) attempts: &'a mut Attempts,
    pub(super) rng: &'a mut fastrand::Rng,
    /// Held from the first retry to the response head.
    pub(super) permit: Option<(RetryingGuard, Allowed)>,
    /// Whether nothing has been waited for since the plan was made.
    pub(super) at_once: bool,
}

/// A try that did not come to an answer for the client.
pub(super) enum Round {
    /// No answer.
    Failed(Error, InFlight<Rc<WorkerEndpoint>>),
    /// An answer that the route would rather have from another try.
    Unwanted(Box<UpstreamResponse>, Reason),
}

/// The parts from which a request is rebuilt. Most are never needed, so the fields lie in a reused list; a map would be
/// large and new for each request.
#[derive(Debug)]
pub(super) struct ReplayRequest {
    method: Method,
    uri: Uri,
    fields: Fields,
    body: RequestBody,
}

impl ReplayRequest {
    fn request(mut self, target: &WorkerCluster) -> Request<RequestBody> {
        let mut request = Request::new(self.body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        let headers = request.headers_mut();
        headers.reserve(self.fields.len());
        for (name, value) in self.fields.drain(..) {
            headers.append(name, value);
        }
        target.take_back(self.fields);
        request
    }

    /// It was not needed.
    pub(super) fn drop_into(self, target: &WorkerCluster) {
        target.take_back(self.fields);
    }
}

impl Tries<'_> {
    /// An endpoint, with the request counted on it.
    pub(super) fn choose(&mut self) -> Result<InFlight<Rc<WorkerEndpoint>>, Error> {
        let request = wanted(self.plan, self.attempts);
        self.plan.target.choose(&request, self.rng)
    }

    /// The same after a wait in the queue, when all are full.
    pub(super) async fn choose_late(&mut self, limit_hit: LimitHit) -> Result<InFlight<Rc<WorkerEndpoint>>, Error> {
        let request = wanted(self.plan, self.attempts);
        let plan = self.plan;
        self.at_once = false;
        plan.target.choose_late(&request, limit_hit, plan.now, plan.deadline, self.rng).await
    }

    /// Makes `request` ready for `worker_endpoint` and counts the try.
    pub(super) fn begin(&mut self, worker_endpoint: &Rc<WorkerEndpoint>, request: &mut Request<RequestBody>) {
        address(request, self.plan.host, worker_endpoint.name(self.plan.grpc));
        // The clock has been read for the first try, unless something was waited for since.
        let at_once = std::mem::take(&mut self.at_once);
        self.attempts.begin(worker_endpoint, if at_once { self.plan.now } else { self.plan.resumed() });
        let count = self.attempts.count;
        if count > 1 || matches!(self.plan.retries, RetryPolicy::By(_)) {
            let value = match count {
                1 => HeaderValue::from_static("1"),
                more => HeaderValue::from(more),
            };
            request.headers_mut().insert(ATTEMPTS, value);
        }
        self.plan.target.handles().attempts.inc();
        if self.attempts.trace.is_some() {
            self.trace(worker_endpoint, request);
        }
    }

    /// Begins the span of a try.
    fn trace(&mut self, worker_endpoint: &WorkerEndpoint, request: &mut Request<RequestBody>) {
        let Some(trace) = &mut self.attempts.trace else { return };
        let (method, target) = (request.method().clone(), request.uri().clone());
        let (address, name) = worker_endpoint.endpoint().place(self.plan.grpc);
        let facts = TryFacts {
            address,
            name,
            cluster: self.plan.target.name(),
            method: &method,
            target: &target,
            is_secure: self.plan.target.uses_tls(),
        };
        trace.begin_try(facts, request.headers_mut(), self.rng);
    }

    /// A copy of `request` for the next try, where there may be one that needs it.
    pub(super) fn replay(&self, request: &mut Request<RequestBody>) -> Option<Box<ReplayRequest>> {
        let plan = self.plan;
        let left = self.attempts.count < policy::max_retries(plan.retries);
        let streams = left && plan.target.may_stream(plan.grpc);
        if !left || !policy::is_worth_keeping(plan.retries, plan.repeat, streams) {
            return None;
        }
        let limit = match plan.retries {
            RetryPolicy::By(retries) => retries.max_replay_bytes,
            RetryPolicy::Default | RetryPolicy::Off => RetryPolicy::REPLAY_BYTES,
        };
        let body = request.body_mut().again(limit);
        let mut fields = plan.target.buffer();
        let copies = request.headers().iter();
        fields.extend(copies.map(|(name, value)| (name.clone(), value.clone())));
        Some(Box::new(ReplayRequest { method: request.method().clone(), uri: request.uri().clone(), fields, body }))
    }

    /// Why another try would be made instead of taking this answer.
    pub(super) fn asks(&self, outcome: Outcome, fields: &HeaderMap) -> Option<Reason> {
        let RetryPolicy::By(_) = self.plan.retries else {
            return None;
        };
        policy::reason(self.plan.retries, self.plan.repeat, outcome, Some(fields))
    }

    /// The step after `round`: the end, or another try of the request in `slot`.
    pub(super) async fn again(
        &mut self,
        round: Round,
        replay: Option<Box<ReplayRequest>>,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Option<Result<UpstreamResponse, Error>> {
        let (word, hint) = match &round {
            Round::Failed(error, in_flight) => {
                let phase = if slot.is_some() { Phase::Unsent } else { Phase::Sent };
                let outcome = Outcome::failed(error, phase);
                // An endpoint that gave up waiting for the client's body may be well.
                self.attempts.failed(error.reason(), Some(error));
                if !self.plan.upload.awaits_client() {
                    let ejected = in_flight.handle().report(outcome, Instant::now());
                    self.attempts.ejected(ejected);
                }
                if policy::reason(self.plan.retries, self.plan.repeat, outcome, None).is_none() {
                    return Some(round.end());
                }
                (error.reason(), None)
            }
            Round::Unwanted(answer, reason) => {
                let hint = retry_after(answer.response.headers(), SystemTime::now());
                (reason.word(), hint)
            }
        };
        let wait = match self.prepare(hint, replay, slot) {
            Ok(wait) => wait,
            Err(stop) => {
                self.attempts.stopped = Some(stop);
                if let Some(trace) = &mut self.attempts.trace {
                    trace.stopped(stop);
                }
                self.plan.target.handles().retries_stopped.count(stop);
                return Some(round.end());
            }
        };
        self.plan.target.handles().retries.count(word);
        if let Round::Failed(error, _) = &round {
            self.attempts.note(error);
        }
        let endpoint = round.endpoint();
        let trace_id = self.attempts.trace.as_ref().map(|trace| trace.trace_id().to_string());
        tracing::debug!(endpoint = %endpoint.endpoint().address, reason = word, ?wait, trace_id, "trying again");
        if let Some(trace) = &mut self.attempts.trace {
            trace.retries(word, wait);
        }
        if let Round::Unwanted(..) = &round {
            self.attempts.failed(word, None);
        }
        self.attempts.tried.push(endpoint.endpoint().id);
        round.forget().await;
        if !wait.is_zero() {
            let _waiting = self.plan.target.cluster().retrying.wait();
            sleep(wait).await;
        }
        None
    }

    /// Whether there can be another try: then it has its permit, its request lies in `slot`, and it waits for the time
    /// returned.
    fn prepare(
        &mut self,
        hint: Option<Duration>,
        replay: Option<Box<ReplayRequest>>,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<Duration, &'static str> {
        let policy = self.plan.retries;
        if self.attempts.count > policy::max_retries(policy) {
            return Err("attempts_used");
        }
        let breaker = self.plan.target.cluster().detector.breaker();
        if breaker.is_some_and(|breaker| breaker.state() == BreakerState::Open) {
            // An open breaker also stops retries of requests that came before it opened.
            return Err("circuit_open");
        }
        if hint.is_some_and(|hint| hint > MAX_RETRY_AFTER) {
            return Err("retry_after");
        }
        let pause = match policy {
            RetryPolicy::By(retries) => backoff::jittered(&retries.backoff, self.attempts.count - 1, self.rng),
            RetryPolicy::Default | RetryPolicy::Off => Duration::ZERO,
        };
        let wait = pause.max(hint.unwrap_or_default());
        let resumed = Instant::now() + wait;
        if self.plan.deadline.is_some_and(|end| end <= resumed) {
            return Err("no_time");
        }
        self.permit()?;
        if slot.is_none() {
            let mut replay = replay.ok_or("body_not_kept")?;
            if !replay.body.rewind() {
                return Err("body_not_kept");
            }
            *slot = Some(replay.request(self.plan.target));
        }
        Ok(wait)
    }

    /// Takes the permit that a request needs to be tried again, once.
    pub(super) fn permit(&mut self) -> Result<(), &'static str> {
        if self.permit.is_some() {
            return Ok(());
        }
        let target = self.plan.target;
        let budget = budget::permit(target.cluster(), self.plan.retries).ok_or("budget_exhausted")?;
        let ceiling = target.retry().ok_or("max_retries")?;
        self.permit = Some((budget, ceiling));
        Ok(())
    }
}

impl Round {
    fn endpoint(&self) -> &InFlight<Rc<WorkerEndpoint>> {
        match self {
            Self::Failed(_, in_flight) => in_flight,
            Self::Unwanted(answer, _) => &answer.in_flight,
        }
    }

    fn end(self) -> Result<UpstreamResponse, Error> {
        match self {
            Self::Failed(error, _) => Err(error),
            Self::Unwanted(answer, _) => Ok(*answer),
        }
    }

    /// Ends the try. The part of its answer that has arrived is read, so that most connections can be used again.
    async fn forget(self) {
        let Self::Unwanted(answer, _) = self else {
            return;
        };
        let mut body = answer.response.into_body();
        let mut pieces = 0;
        poll_fn(|cx| {
            while pieces < MAX_DRAINED {
                let Poll::Ready(Some(Ok(_))) = Pin::new(&mut body).poll_frame(cx) else {
                    break;
                };
                pieces += 1;
            }
            Poll::Ready(())
        })
        .await;
        let outcome = Outcome { transport: Transport::Complete, ..answer.outcome };
        answer.in_flight.handle().report(outcome, Instant::now());
    }
}

/// The facts for the choice of an endpoint.
fn wanted<'a>(plan: &AttemptPlan<'_>, attempts: &'a Attempts) -> PickRequest<'a> {
    let first = attempts.count == 0;
    let now = if first { plan.now } else { Instant::now() };
    PickRequest {
        hash: plan.hash,
        tried: &attempts.tried,
        preferred: plan.preferred,
        kind: plan.kind,
        ..PickRequest::at(now)
    }
}

/// A request with the same head.
#[must_use]
pub fn with_head_of(request: &Request<RequestBody>, body: RequestBody) -> Request<RequestBody> {
    let mut copy = Request::new(body);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

/// Tells the endpoint which try this is, counted from one.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-attache-attempts");
/// The gateway does not wait for longer than this after a `Retry-After`; the answer goes to the client instead.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10);
/// Pieces of an unwanted answer that are read.
const MAX_DRAINED: usize = 16;
