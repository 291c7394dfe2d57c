//! Attempts: choose an endpoint, send, judge the outcome, try elsewhere when that is safe. The only place that retries.

mod lane;
mod target;

use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, header};
use tokio::time::Instant;

use crate::body::{Flow, RequestBody};
use crate::cluster::{EndpointId, InFlight};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::pool::{Failed, ResponseBody};

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
/// The request stays where it is between tries, and a copy for the next one takes its place meanwhile: each copy inside this
/// future would add its size to every request.
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
        let request = take(slot, plan, attempts, &lane).ok_or(Error::Internal)?;
        attempts.begin(&lane);
        plan.target.handles().attempt();
        let in_flight = InFlight::new(lane);
        let sent = match request.body().patience() {
            None => attempt(plan, &in_flight, request).await,
            Some(patience) => Box::pin(upload(plan, &in_flight, request, patience)).await,
        };
        let failed = match sent {
            Ok(response) => {
                return Ok(Answer {
                    response,
                    in_flight,
                });
            }
            Err(failed) => failed,
        };
        // What the client did wrong is not the endpoint's failure.
        let error = plan.flow.failure().unwrap_or(failed.error);
        match failed.unsent {
            Some(unsent) => *slot = Some(*unsent),
            None => drop(slot.take_if(|spare| !may_be_sent_twice(spare, &error))),
        }
        let again = attempts.count <= MAX_RETRIES && is_repeatable(&error);
        if !again || slot.is_none() {
            return Err(error);
        }
        attempts.failed_at(in_flight.endpoint().id);
        plan.target.handles().retry(error.reason());
        tracing::debug!(endpoint = %in_flight.endpoint().address, reason = error.reason(), "trying once more");
    }
}

/// Takes the request for a try at `lane`, and leaves a copy behind where there may be another.
fn take(
    slot: &mut Option<Request<RequestBody>>,
    plan: &Plan<'_>,
    attempts: &Attempts,
    lane: &Lane,
) -> Option<Request<RequestBody>> {
    let mut request = slot.take()?;
    if attempts.count < MAX_RETRIES {
        *slot = spare(&request);
    }
    // HTTP/1.0 clients need not name a host; HTTP/1.1 towards the endpoint must.
    if (*plan.host == UpstreamHost::Endpoint || !request.headers().contains_key(header::HOST))
        && let Ok(host) = HeaderValue::from_str(&lane.endpoint().name)
    {
        request.headers_mut().insert(header::HOST, host);
    }
    Some(request)
}

/// One try with a body that is not all here yet, given up also when the endpoint stops reading it.
async fn upload(
    plan: &Plan<'_>,
    in_flight: &InFlight<Rc<Lane>>,
    request: Request<RequestBody>,
    patience: Duration,
) -> Result<Response<ResponseBody>, Failed> {
    let stalled = plan.flow.stalled(patience);
    tokio::select! {
        biased;
        sent = attempt(plan, in_flight, request) => sent,
        () = stalled => Err(Failed {
            error: Error::HeadTimeout,
            unsent: None,
        }),
    }
}

async fn attempt(
    plan: &Plan<'_>,
    in_flight: &InFlight<Rc<Lane>>,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Failed> {
    let pool = in_flight.handle().pool();
    let per_try = plan
        .head_timeout
        .map(|limit| (Instant::now() + limit, Error::HeadTimeout));
    let total = plan.deadline.map(|deadline| (deadline, Error::Timeout));
    let limit = match (per_try, total) {
        (Some(first), Some(second)) => Some(if first.0 <= second.0 { first } else { second }),
        (first, second) => first.or(second),
    };
    let Some((deadline, error)) = limit else {
        return pool.send(request, plan.now, plan.upgrade).await;
    };
    let sent = tokio::time::timeout_at(deadline, pool.send(request, plan.now, plan.upgrade)).await;
    sent.unwrap_or_else(|_elapsed| {
        Err(Failed {
            error,
            unsent: None,
        })
    })
}

fn choose(
    plan: &Plan<'_>,
    attempts: &Attempts,
    rng: &mut fastrand::Rng,
) -> Result<Rc<Lane>, Error> {
    plan.target
        .pick(plan.hash, &attempts.tried, rng)
        .ok_or(Error::NoEndpoint)
}

/// A copy of a request without a body.
fn spare(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    if !matches!(request.body(), RequestBody::Empty) {
        return None;
    }
    let mut copy = Request::new(RequestBody::Empty);
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
