//! Mirrored requests: one try each, whose answer is read and dropped. No request waits for them; the worker owns them
//! and ends them with itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body::Body;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{WorkerCluster, WorkerEndpoint, address, outcome};
use crate::body::{Copied, RequestBody};
use crate::cluster::{InFlight, Kind, Outcome, PickRequest};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::pool::ResponseBody;

/// The mirrored requests of one worker. Dropped, it ends them.
#[derive(Debug, Default)]
pub struct Mirrors {
    running: RefCell<JoinSet<()>>,
}

impl Mirrors {
    /// Runs one to its end.
    pub fn own(&self, mirrored: impl Future<Output = ()> + 'static) {
        self.tidy();
        self.running.borrow_mut().spawn_local(mirrored);
    }

    /// Forgets those that have ended.
    pub fn tidy(&self) {
        let mut running = self.running.borrow_mut();
        while running.try_join_next().is_some() {}
    }
}

/// The settings of a mirrored request.
#[derive(Debug)]
pub struct MirrorPlan<'a> {
    /// The cluster, as this worker sees it.
    pub target: &'a WorkerCluster,
    /// Key for a hash policy.
    pub hash: Option<u64>,
    /// The Host header towards endpoints.
    pub host: &'a UpstreamHost,
    /// From its last byte to the end of the answer.
    pub timeout: Duration,
}

/// The result of a mirrored request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirrored {
    /// An answer came, with any status.
    Answered,
    /// None did.
    Failed,
    /// None did in time.
    TimedOut,
    /// Its body is larger than the limit for copies.
    BodyTooLarge,
    /// The request it is a copy of was not read to its end.
    Incomplete,
}

impl Mirrored {
    /// The word in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::BodyTooLarge => "body_too_large",
            Self::Incomplete => "incomplete",
        }
    }
}

/// Sends a copy once its body is whole, and drops the answer.
pub async fn mirror(
    plan: &MirrorPlan<'_>,
    mut copy: Request<RequestBody>,
    body: Option<Copied>,
    rng: &mut fastrand::Rng,
) -> Mirrored {
    if let Some(body) = body {
        *copy.body_mut() = match body.await {
            Ok(Ok(bytes)) => RequestBody::Whole(Box::new(bytes)),
            Ok(Err(_too_large)) => return Mirrored::BodyTooLarge,
            Err(_dropped) => return Mirrored::Incomplete,
        };
    }
    // A copy is no reason to overrun a cluster, and not worth waiting.
    let admitted = plan.target.admit(Kind::Request, Instant::now(), rng);
    let Some(mut admission) = admitted.ok().filter(|admission| !admission.waits()) else {
        return Mirrored::Failed;
    };
    let request = PickRequest { hash: plan.hash, ..PickRequest::at(Instant::now()) };
    let Ok(in_flight) = plan.target.choose(&request, rng) else {
        return Mirrored::Failed;
    };
    address(&mut copy, plan.host, in_flight.handle());
    plan.target.handles().attempts.inc();
    let begun = Instant::now();
    let deadline = begun + plan.timeout;
    let mut slot = Some(copy);
    let pool = in_flight.handle().pool();
    let sending = pool.send(&mut slot, Instant::now(), false, Some(deadline));
    let sent = timeout_at(deadline, sending).await;
    let sent = sent.unwrap_or(Err(Error::Timeout));
    let status = sent.as_ref().map(Response::status);
    // Its body is whole: the client has no part in how long it takes.
    in_flight.handle().tried(status.ok().map(|status| (status, begun.elapsed())));
    report(&in_flight, status.map_or_else(outcome, |status| Some(Outcome::Answered(status))));
    plan.target.settle(&mut admission, status);
    let response = match sent {
        Ok(response) => response,
        Err(Error::Timeout) => return Mirrored::TimedOut,
        Err(error) => {
            let (reason, upstream_error) = (error.reason(), error.of_endpoint());
            tracing::debug!(reason, upstream_error, "a mirrored request failed");
            return Mirrored::Failed;
        }
    };
    let status = response.status();
    report(&in_flight, Some(drain(response, status, deadline).await));
    Mirrored::Answered
}

fn report(in_flight: &InFlight<Rc<WorkerEndpoint>>, outcome: Option<Outcome>) {
    if let Some(outcome) = outcome {
        in_flight.handle().report(outcome, Instant::now());
    }
}

/// Reads an answer so that its connection can be used again, but not at any price.
async fn drain(response: Response<ResponseBody>, status: StatusCode, deadline: Instant) -> Outcome {
    let mut body = response.into_body();
    let mut left = MAX_DRAINED;
    loop {
        let frame = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
        match frame.await {
            Ok(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, bytes::Bytes::len);
                let Some(rest) = left.checked_sub(size) else {
                    return Outcome::Finished(status);
                };
                left = rest;
            }
            Ok(Some(Err(_broken))) => return Outcome::Aborted,
            Ok(None) | Err(_) => return Outcome::Finished(status),
        }
    }
}

/// Bytes of an answer that are read before the connection is given up instead.
const MAX_DRAINED: usize = 1 << 20;
