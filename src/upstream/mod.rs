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

/// Sends `request` to an endpoint of the plan's cluster. A failed try is repeated once, elsewhere if possible, when nothing of the
/// request can have reached the endpoint, or when the request is safe and has no body. Dropping the future cancels the try.
///
/// # Errors
/// The last try's error.
pub async fn send(
    plan: &Plan<'_>,
    request: Request<RequestBody>,
    attempts: &mut Attempts,
    rng: &mut fastrand::Rng,
) -> Result<Answer, Error> {
    let mut next = Some(request);
    loop {
        let Some(mut request) = next.take() else {
            return Err(Error::Internal);
        };
        let lane = choose(plan, attempts, rng)?;
        let spare = (attempts.count < MAX_RETRIES)
            .then(|| spare(&request))
            .flatten();
        // HTTP/1.0 clients need not name a host; HTTP/1.1 towards the endpoint must.
        if (*plan.host == UpstreamHost::Endpoint || !request.headers().contains_key(header::HOST))
            && let Ok(host) = HeaderValue::from_str(&lane.endpoint().name)
        {
            request.headers_mut().insert(header::HOST, host);
        }
        attempts.begin(&lane);
        plan.target.handles().attempt();
        let in_flight = InFlight::new(lane);
        let failed = match attempt(plan, &in_flight, request).await {
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
        let spare = spare.filter(|spare| may_be_sent_twice(spare, &error));
        next = failed.unsent.map(|unsent| *unsent).or(spare);
        let again = attempts.count <= MAX_RETRIES && is_repeatable(&error);
        if !again || next.is_none() {
            return Err(error);
        }
        attempts.failed_at(in_flight.endpoint().id);
        plan.target.handles().retry(error.reason());
        tracing::debug!(endpoint = %in_flight.endpoint().address, reason = error.reason(), "trying once more");
    }
}

/// One try, given up also when the endpoint stops reading the request.
async fn attempt(
    plan: &Plan<'_>,
    in_flight: &InFlight<Rc<Lane>>,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Failed> {
    let Some(patience) = request.body().patience() else {
        return in_time(plan, in_flight, request).await;
    };
    let stalled = Box::pin(plan.flow.stalled(patience));
    tokio::select! {
        biased;
        sent = in_time(plan, in_flight, request) => sent,
        () = stalled => Err(Failed {
            error: Error::HeadTimeout,
            unsent: None,
        }),
    }
}

async fn in_time(
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
