//! Mirrored requests: one try each, whose answer is read and dropped. No request waits for them; the worker owns them
//! and ends them with itself.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{WorkerCluster, address};
use crate::body::{Copied, RequestBody};
use crate::cluster::{Kind, PickRequest};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::outcome::{Application, Outcome, Phase, Transport, upstream_error};
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
    /// Whether it is a gRPC call.
    pub grpc: bool,
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
    address(&mut copy, plan.host, in_flight.handle().name(plan.grpc));
    plan.target.handles().attempts.inc();
    let begun = Instant::now();
    let deadline = begun + plan.timeout;
    let mut slot = Some(copy);
    let pool = in_flight.handle().pool(plan.grpc);
    let sending = pool.send(&mut slot, Instant::now(), false, Some(deadline));
    let sent = timeout_at(deadline, sending).await;
    let sent = sent.unwrap_or(Err(Error::Timeout));
    let phase = if slot.is_some() { Phase::Unsent } else { Phase::Sent };
    let outcome = match &sent {
        Ok(response) => Outcome::answered(response.status(), Application::of_head(response.headers())),
        Err(error) => Outcome::failed(error, phase),
    };
    let answer = sent.as_ref().ok().map(Response::status);
    in_flight.handle().tried(answer.map(|status| (status, begun.elapsed())));
    in_flight.handle().report(outcome, Instant::now());
    plan.target.settle(&mut admission, outcome);
    let response = match sent {
        Ok(response) => response,
        Err(Error::Timeout) => return Mirrored::TimedOut,
        Err(error) => {
            let (reason, upstream_error) = (error.reason(), upstream_error(&error));
            tracing::debug!(reason, upstream_error, "a mirrored request failed");
            return Mirrored::Failed;
        }
    };
    let end = drain(response, outcome, deadline).await;
    in_flight.handle().report(end, Instant::now());
    Mirrored::Answered
}

/// Reads an answer so that its connection can be used again, but not at any price.
async fn drain(response: Response<ResponseBody>, head: Outcome, deadline: Instant) -> Outcome {
    let mut end = Outcome { transport: Transport::Complete, ..head };
    let mut body = response.into_body();
    let mut left = MAX_DRAINED;
    loop {
        let frame = timeout_at(deadline, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)));
        match frame.await {
            Ok(Some(Ok(frame))) => {
                let size = frame.data_ref().map_or(0, bytes::Bytes::len);
                let Some(rest) = left.checked_sub(size) else {
                    return end;
                };
                left = rest;
                if let Some(fields) = frame.trailers_ref() {
                    end.application = end.application.or_trailers(fields);
                }
            }
            Ok(Some(Err(_broken))) => return Outcome::ended(Transport::BrokenOff),
            Ok(None) | Err(_) => return end,
        }
    }
}

/// Bytes of an answer that are read before the connection is given up instead.
const MAX_DRAINED: usize = 1 << 20;
