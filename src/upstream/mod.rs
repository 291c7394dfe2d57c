//! Attempts: choose an endpoint, send, judge the outcome, try elsewhere when that is safe. The only place that retries.

mod admission;
mod ask;
mod backoff;
mod budget;
mod hedge;
mod in_words;
mod mirror;
mod policy;
mod retry;
mod worker_cluster;
mod worker_endpoint;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use crate::body::{RequestBody, UploadState};
use crate::cluster::{EndpointId, InFlight, Kind, Preference};
use crate::config::model::{RetryPolicy, UpstreamHost};
use crate::error::Error;
use crate::observe::handle::CodeClass;
use crate::observe::tracer::RequestTrace;
use crate::outcome::{Application, Outcome, Phase, upstream_error, why_none_answered};
use crate::pool::ResponseBody;

pub use admission::Admission;
pub use ask::{AskPlan, Asked, ask};
pub use mirror::{MirrorPlan, Mirrored, Mirrors, mirror};
pub use policy::Repeat;
pub use retry::{ATTEMPTS, with_head_of};
use retry::{Round, Tries};
pub use worker_cluster::{WorkerCluster, WorkerClusterError};
pub use worker_endpoint::{WorkerEndpoint, WorkerEndpoints};

/// The facts that the attempts of one request need.
#[derive(Debug)]
pub struct AttemptPlan<'a> {
    /// The cluster, as this worker sees it.
    pub target: &'a WorkerCluster,
    /// Key for a hash policy.
    pub hash: Option<u64>,
    /// The endpoint it should go to.
    pub preferred: Option<Preference>,
    /// What it counts as on an endpoint.
    pub kind: Kind,
    /// The latest moment for a response head, per try.
    pub head_timeout: Option<Duration>,
    /// The latest moment for the whole exchange.
    pub deadline: Option<Instant>,
    /// The worker's clock.
    pub now: Instant,
    /// The state of the request body.
    pub upload: &'a UploadState,
    /// The Host header towards endpoints.
    pub host: &'a UpstreamHost,
    /// Whether the request asks to switch protocols.
    pub upgrade: bool,
    /// Whether it is a gRPC call.
    pub grpc: bool,
    /// What doing it twice would mean.
    pub repeat: Repeat,
    /// When it may be sent again.
    pub retries: &'a RetryPolicy,
    /// Whether nothing has been waited for, so that the first try begins now.
    pub at_once: bool,
}

impl AttemptPlan<'_> {
    /// Now, put back by what the client took before, so that the whole of the client's time can be taken off at the
    /// end.
    fn resumed(&self) -> Instant {
        let now = Instant::now();
        now.checked_sub(self.upload.client_time()).unwrap_or(now)
    }
}

/// An answer and the endpoint it comes from, counted as busy until the guard is dropped.
#[derive(Debug)]
pub struct UpstreamResponse {
    /// The response; its body owns the connection.
    pub response: Response<ResponseBody>,
    /// When its head came.
    pub at: Instant,
    /// What the head says.
    pub outcome: Outcome,
    /// To be dropped at the end of the body.
    pub in_flight: InFlight<Rc<WorkerEndpoint>>,
}

/// The facts about the attempts, also after they failed.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Times an endpoint was tried.
    pub count: u32,
    /// The endpoint tried last.
    pub last: Option<Rc<WorkerEndpoint>>,
    /// Why there was no further try although one was wanted.
    pub stopped: Option<&'static str>,
    /// The cause of the last failed try; another try may have succeeded after it.
    pub failure: Option<Box<str>>,
    tried: Vec<EndpointId>,
    /// When the try began that has no outcome yet.
    open: Option<Instant>,
    /// What is recorded of them, where the request is traced.
    pub trace: Option<Box<RequestTrace>>,
}

/// Sends the request in `slot` to an endpoint of the plan's cluster, and again, elsewhere if possible, as far as the
/// route's policy and the cluster's budget allow. Dropping the future cancels what is under way.
///
/// The request stays in its slot until a connection takes it, and comes back there when it was not sent. As an argument
/// it would add its size to every future on the way.
///
/// # Errors
/// The last try's error.
pub async fn send(
    plan: &AttemptPlan<'_>,
    slot: &mut Option<Request<RequestBody>>,
    attempts: &mut Attempts,
    rng: &mut fastrand::Rng,
) -> Result<UpstreamResponse, Error> {
    let mut tries = Tries { plan, attempts, rng, permit: None, at_once: plan.at_once };
    loop {
        let in_flight = match tries.choose() {
            Err(Error::CircuitOpen { limit_hit, .. }) => Box::pin(tries.choose_late(limit_hit)).await?,
            chosen => chosen?,
        };
        let request = slot.as_mut().ok_or_else(|| Error::Internal)?;
        let replay = tries.replay(request);
        let patience = request.body().patience();
        tries.begin(in_flight.handle(), request);
        let (in_flight, sent) = if hedge::is_wanted(plan, request) {
            Box::pin(hedge::round(&mut tries, in_flight, slot)).await
        } else {
            let sent = match patience {
                None => attempt(plan, plan.head_timeout, &in_flight, slot).await,
                Some(patience) => Box::pin(upload(plan, &in_flight, slot, patience)).await,
            };
            (in_flight, sent)
        };
        let round = match sent {
            Ok(response) => {
                let (outcome, at) = (plan.outcome(&response), Instant::now());
                tries.attempts.ended(Some((response.status(), at)), plan.upload);
                // What an endpoint does while it waits for the client's body may be the client's doing.
                tries.attempts.answered_at(response.status(), at);
                if !(outcome.is_failed_answer() && plan.upload.awaits_client()) {
                    let ejected = in_flight.handle().answered(outcome, response.headers(), at);
                    tries.attempts.ejected(ejected);
                }
                let answer = UpstreamResponse { response, at, outcome, in_flight };
                match tries.asks(answer.outcome, answer.response.headers()) {
                    None => {
                        if let Some(replay) = replay {
                            replay.drop_into(plan.target);
                        }
                        return Ok(answer);
                    }
                    Some(reason) => Round::Unwanted(Box::new(answer), reason),
                }
            }
            Err(error) => {
                tries.attempts.ended(None, plan.upload);
                Round::Failed(blamed(error, plan.upload), in_flight)
            }
        };
        if let Some(end) = Box::pin(tries.again(round, replay, slot)).await {
            return end;
        }
    }
}

/// What all tries of a request came to.
#[must_use]
pub fn outcome(sent: &Result<UpstreamResponse, Error>) -> Outcome {
    match sent {
        Ok(answer) => answer.outcome,
        Err(error) => Outcome::failed(error, Phase::Sent),
    }
}

/// Names the host towards the endpoint called `name`, where it is not the client's. HTTP/1.0 clients need not name one;
/// HTTP/1.1 towards the endpoint must.
fn address(request: &mut Request<RequestBody>, host: &UpstreamHost, name: &str) {
    if (*host == UpstreamHost::Endpoint || !request.headers().contains_key(header::HOST))
        && let Ok(host) = HeaderValue::from_str(name)
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// One try with a body that is not all here yet, given up also when the endpoint stops reading it.
async fn upload(
    plan: &AttemptPlan<'_>,
    in_flight: &InFlight<Rc<WorkerEndpoint>>,
    slot: &mut Option<Request<RequestBody>>,
    patience: Duration,
) -> Result<Response<ResponseBody>, Error> {
    let stalled = plan.upload.stalled(patience);
    tokio::select! {
        biased;
        sent = attempt(plan, plan.head_timeout, in_flight, slot) => sent,
        () = stalled => Err(Error::HeadTimeout),
    }
}

/// One try, which may take `per_try` to its response head.
async fn attempt(
    plan: &AttemptPlan<'_>,
    per_try: Option<Duration>,
    in_flight: &InFlight<Rc<WorkerEndpoint>>,
    slot: &mut Option<Request<RequestBody>>,
) -> Result<Response<ResponseBody>, Error> {
    let pool = in_flight.handle().pool(plan.grpc);
    let per_try = per_try.map(|limit| (Instant::now() + limit, Limit::Head));
    let total = plan.deadline.map(|deadline| (deadline, Limit::Whole));
    let limit = match (per_try, total) {
        (Some(first), Some(second)) => Some(if first.0 <= second.0 { first } else { second }),
        (first, second) => first.or(second),
    };
    // Pinned once, so that it lies in this future once.
    let end = limit.map(|(end, _)| end);
    let mut sending = pin!(pool.send(slot, plan.now, plan.upgrade, end));
    let begun = in_flight.handle().stopwatch(plan.upload);
    let sent = match limit {
        None => sending.await,
        Some((deadline, limit)) => {
            timeout_at(deadline, sending.as_mut()).await.unwrap_or_else(|_elapsed| Err(limit.error()))
        }
    };
    in_flight.handle().measured(begun, plan.upload, sent.is_ok());
    sent
}

/// The time limit that a try has to keep to. An error in its place would lie in every future on the way.
#[derive(Clone, Copy)]
enum Limit {
    Head,
    Whole,
}

impl Limit {
    fn error(self) -> Error {
        match self {
            Self::Head => Error::HeadTimeout,
            Self::Whole => Error::Timeout,
        }
    }
}

/// How long an endpoint took, without the time in which it waited for the client.
fn own_time(begun: Instant, at: Instant, upload: &UploadState) -> Duration {
    at.saturating_duration_since(begun).saturating_sub(upload.client_time())
}

/// The failure of a try. A fault of the client is not the endpoint's failure, and an endpoint that waits for the rest
/// of the request is not silent.
fn blamed(error: Error, upload: &UploadState) -> Error {
    match error {
        Error::HeadTimeout | Error::Timeout if upload.awaits_client() => Error::BodyTimeout,
        error => upload.failure().unwrap_or(error),
    }
}

impl AttemptPlan<'_> {
    /// What the head of an answer says. The fields are looked through for a gRPC status only where there may be one.
    fn outcome<B>(&self, response: &Response<B>) -> Outcome {
        let looks = self.grpc || policy::names_grpc(self.retries);
        let application = if looks { Application::of_head(response.headers()) } else { Application::Silent };
        Outcome::answered(response.status(), application)
    }
}

impl Attempts {
    fn begin(&mut self, worker_endpoint: &Rc<WorkerEndpoint>, now: Instant) {
        self.count += 1;
        self.last = Some(Rc::clone(worker_endpoint));
        self.open = Some(now);
    }

    /// The try under way came to an answer, or to none.
    fn ended(&mut self, answer: Option<(StatusCode, Instant)>, upload: &UploadState) {
        if let (Some(begun), Some(worker_endpoint)) = (self.open.take(), &self.last) {
            worker_endpoint.tried(answer.map(|(status, at)| (status, own_time(begun, at, upload))));
        }
    }

    /// The try that is told of, where tries run side by side.
    fn current(&self) -> usize {
        self.trace.as_ref().map_or(0, |trace| trace.current())
    }

    /// From now on this one is told of.
    fn turn_to(&mut self, index: usize) {
        if let Some(trace) = &mut self.trace {
            trace.turn_to(index);
        }
    }

    /// The head of an answer came.
    fn answered_at(&mut self, status: StatusCode, at: Instant) {
        if let Some(trace) = &mut self.trace {
            trace.answered(status, at);
        }
    }

    /// The try failed for this reason, or its answer is not wanted.
    fn failed(&mut self, reason: &'static str, error: Option<&Error>) {
        if let Some(trace) = &mut self.trace {
            trace.failed(reason, error.and_then(upstream_error));
        }
    }

    /// The try had its endpoint ejected, where there is a cause.
    pub fn ejected(&mut self, cause: Option<&'static str>) {
        if let (Some(trace), Some(cause)) = (&mut self.trace, cause) {
            trace.ejected(cause);
        }
    }

    /// Keeps the cause of an endpoint's failure.
    pub fn note(&mut self, error: &Error) {
        // That nobody is left to ask says less than what those did who were asked.
        let nobody = matches!(error, Error::NoEndpoint(_));
        if !(nobody && self.failure.is_some())
            && let Some(failure) = why_none_answered(error)
        {
            self.failure = Some(failure);
        }
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        if self.open.is_some()
            && let Some(worker_endpoint) = &self.last
        {
            worker_endpoint.gave_up(CodeClass::Cancelled);
        }
    }
}
