//! Attempts: choose an endpoint, send, judge the outcome, try elsewhere when that is safe. The only place that retries.

mod lane;
mod target;

use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, header};
use tokio::time::{Instant, timeout_at};

use crate::body::{Flow, RequestBody};
use crate::cluster::{EndpointId, InFlight, Outcome};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::pool::ResponseBody;

pub use lane::{Lane, Lanes};
pub use target::{Target, TargetError};

/// What the attempts of one request need to know.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The cluster, as this worker sees it.
    pub target: &'a Target,
    /// Key for a hash policy.
    pub hash: Option<u64>,
    /// The latest moment for a response head, per try.
    pub head_timeout: Option<Duration>,
    /// The latest moment for the whole exchange.
    pub deadline: Option<Instant>,
    /// The worker's clock.
    pub now: Instant,
    /// What became of the request body.
    pub flow: &'a Flow,
    /// The Host header towards endpoints.
    pub host: &'a UpstreamHost,
    /// Whether the request asks to switch protocols.
    pub upgrade: bool,
}

/// An answer and the endpoint it comes from, counted as busy until the guard is dropped.
#[derive(Debug)]
pub struct Answer {
    /// The response; its body owns the connection.
    pub response: Response<ResponseBody>,
    /// To be dropped at the end of the body.
    pub in_flight: InFlight<Rc<Lane>>,
}

/// What is known about the attempts, also after they failed.
#[derive(Debug, Default)]
pub struct Attempts {
    /// Times an endpoint was tried.
    pub count: u32,
    /// The endpoint tried last.
    pub last: Option<Rc<Lane>>,
    tried: Vec<EndpointId>,
}

/// Sends the request in `slot` to an endpoint of the plan's cluster. A failed try is repeated once, elsewhere if possible, when nothing
/// of the request can have reached the endpoint, or when the request is safe and has no body. Dropping the future cancels the try.
///
/// The request stays in its slot until a connection takes it, and comes back there when it was not sent: passed from hand to
/// hand it would add its size to every future on the way.
///
/// # Errors
/// The last try's error.
pub async fn send(
    plan: &Plan<'_>,
    slot: &mut Option<Request<RequestBody>>,
    attempts: &mut Attempts,
    rng: &mut fastrand::Rng,
) -> Result<Answer, Error> {
    loop {
        let lane = choose(plan, attempts, rng)?;
        let request = slot.as_mut().ok_or(Error::Internal)?;
        address(request, plan, &lane);
        let again = attempts.count < MAX_RETRIES;
        let spare = again.then(|| spare(request)).flatten();
        let patience = request.body().patience();
        attempts.begin(&lane);
        plan.target.handles().attempt();
        let in_flight = InFlight::new(lane);
        let sent = match patience {
            None => attempt(plan, &in_flight, slot).await,
            Some(patience) => Box::pin(upload(plan, &in_flight, slot, patience)).await,
        };
        let error = match sent {
            Ok(response) => {
                let (status, fields) = (response.status(), response.headers());
                in_flight.handle().answered(status, fields, Instant::now());
                return Ok(Answer {
                    response,
                    in_flight,
                });
            }
            // What the client did wrong is not the endpoint's failure.
            Err(error) => plan.flow.failure().unwrap_or(error),
        };
        if let Some(outcome) = outcome(&error) {
            in_flight.handle().report(outcome, Instant::now());
        }
        if slot.is_none() {
            *slot = spare.and_then(|spare| may_be_sent_twice(&spare, &error).then_some(*spare));
        }
        if !again || slot.is_none() || !is_repeatable(&error) {
            return Err(error);
        }
        attempts.failed_at(in_flight.endpoint().id);
        plan.target.handles().retry(error.reason());
        tracing::debug!(endpoint = %in_flight.endpoint().address, reason = error.reason(), "trying once more");
    }
}

/// Names the host towards `lane`, where it is not the client's. HTTP/1.0 clients need not name one; HTTP/1.1 towards the endpoint
/// must.
fn address(request: &mut Request<RequestBody>, plan: &Plan<'_>, lane: &Lane) {
    if (*plan.host == UpstreamHost::Endpoint || !request.headers().contains_key(header::HOST))
        && let Ok(host) = HeaderValue::from_str(&lane.endpoint().name)
    {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// One try with a body that is not all here yet, given up also when the endpoint stops reading it.
async fn upload(
    plan: &Plan<'_>,
    in_flight: &InFlight<Rc<Lane>>,
    slot: &mut Option<Request<RequestBody>>,
    patience: Duration,
) -> Result<Response<ResponseBody>, Error> {
    let stalled = plan.flow.stalled(patience);
    tokio::select! {
        biased;
        sent = attempt(plan, in_flight, slot) => sent,
        () = stalled => Err(Error::HeadTimeout),
    }
}

async fn attempt(
    plan: &Plan<'_>,
    in_flight: &InFlight<Rc<Lane>>,
    slot: &mut Option<Request<RequestBody>>,
) -> Result<Response<ResponseBody>, Error> {
    let pool = in_flight.handle().pool();
    let per_try = plan
        .head_timeout
        .map(|limit| (Instant::now() + limit, Error::HeadTimeout));
    let total = plan.deadline.map(|deadline| (deadline, Error::Timeout));
    let limit = match (per_try, total) {
        (Some(first), Some(second)) => Some(if first.0 <= second.0 { first } else { second }),
        (first, second) => first.or(second),
    };
    // Pinned once, so that it lies in this future once.
    let mut sending = pin!(pool.send(slot, plan.now, plan.upgrade));
    let begun = in_flight.handle().stopwatch();
    let sent = match limit {
        None => sending.await,
        Some((deadline, error)) => timeout_at(deadline, sending.as_mut())
            .await
            .unwrap_or(Err(error)),
    };
    in_flight.handle().measured(begun, sent.is_ok());
    sent
}

fn choose(
    plan: &Plan<'_>,
    attempts: &Attempts,
    rng: &mut fastrand::Rng,
) -> Result<Rc<Lane>, Error> {
    plan.target
        .pick(plan.hash, &attempts.tried, plan.now, rng)
        .ok_or(Error::NoEndpoint)
}

/// A copy of a request without a body.
fn spare(request: &Request<RequestBody>) -> Option<Box<Request<RequestBody>>> {
    if !matches!(request.body(), RequestBody::Empty) {
        return None;
    }
    let mut copy = Box::new(Request::new(RequestBody::Empty));
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    Some(copy)
}

/// Whether a request that may have reached an endpoint may be sent again: it is safe (RFC 9110 section 9.2.1), or the
/// endpoint said that it did nothing about it (RFC 9113 section 8.7).
fn may_be_sent_twice(request: &Request<RequestBody>, error: &Error) -> bool {
    let safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    safe || matches!(error, Error::StreamRefused(_))
}

/// What a failed try says about its endpoint; `None` where it says nothing.
fn outcome(error: &Error) -> Option<Outcome> {
    match error {
        Error::ConnectFailed(_) | Error::ConnectTimeout | Error::UpstreamTls(_) => {
            Some(Outcome::ConnectFailed)
        }
        Error::UpstreamReset(_) => Some(Outcome::Reset),
        Error::UpstreamInvalid(..) => Some(Outcome::Invalid),
        Error::HeadTimeout | Error::Timeout => Some(Outcome::TimedOut),
        _ => None,
    }
}

/// Failures after which another try makes sense.
fn is_repeatable(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectFailed(_)
            | Error::ConnectTimeout
            | Error::UpstreamTls(_)
            | Error::UpstreamReset(_)
            | Error::StreamRefused(_)
            | Error::UpstreamInvalid(..)
    )
}

impl Attempts {
    fn begin(&mut self, lane: &Rc<Lane>) {
        self.count += 1;
        self.last = Some(Rc::clone(lane));
    }

    fn failed_at(&mut self, endpoint: EndpointId) {
        self.tried.push(endpoint);
    }
}

/// Tries beyond the first.
const MAX_RETRIES: u32 = 1;
