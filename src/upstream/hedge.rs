//! Tries side by side: a safe request that takes too long is sent to another endpoint besides, and the first answer
//! counts. The others are cancelled.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep_until};

use super::policy::Repeat;
use super::retry::{Tries, with_head_of};
use super::{AttemptPlan, WorkerEndpoint, attempt, own_time, policy};
use crate::body::{RequestBody, UploadState};
use crate::cluster::InFlight;
use crate::config::model::RetryPolicy;
use crate::error::Error;
use crate::observe::handle::CodeClass;
use crate::outcome::{Outcome, Phase, Transport};
use crate::pool::ResponseBody;

type Sent = Result<Response<ResponseBody>, Error>;

/// Whether this request is to be hedged.
pub(super) fn is_wanted(plan: &AttemptPlan<'_>, request: &Request<RequestBody>) -> bool {
    patience(plan).is_some()
        && plan.repeat == Repeat::Safe
        && !plan.upgrade
        && matches!(request.body(), RequestBody::Empty)
}

fn patience(plan: &AttemptPlan<'_>) -> Option<Duration> {
    match plan.retries {
        RetryPolicy::By(retries) if retries.hedging => plan.head_timeout,
        RetryPolicy::By(_) | RetryPolicy::Default | RetryPolicy::Off => None,
    }
}

/// Sends the request in `slot`, begun as `first`, and as long as it takes too long again beside. Ends with the first
/// answer that is wanted, or with the last failure. Dropping the future cancels every try.
pub(super) async fn round(
    tries: &mut Tries<'_>,
    first: InFlight<Rc<WorkerEndpoint>>,
    slot: &mut Option<Request<RequestBody>>,
) -> (InFlight<Rc<WorkerEndpoint>>, Sent) {
    let (Some(mut original), Some(patience)) = (slot.take(), patience(tries.plan)) else {
        return (first, Err(Error::Internal));
    };
    let mut newest = Rc::clone(first.handle());
    // What tries count as that are dropped.
    let dropped = Cell::new(CodeClass::Cancelled);
    let mut running = FuturesUnordered::new();
    let copy = with_head_of(&original, RequestBody::Empty);
    let counted = Counted::of(tries, &first, &dropped);
    running.push(one(tries.plan, first, copy, counted, (false, tries.attempts.current())));
    let mut due = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            Some((in_flight, sent, (beside, index))) = running.next() => {
                tries.attempts.turn_to(index);
                let wanted = |answer: &Response<_>| tries.asks(tries.plan.outcome(answer), answer.headers()).is_none();
                let wanted = sent.as_ref().is_ok_and(wanted);
                if wanted && beside {
                    tries.plan.target.handles().hedges.count("won");
                }
                if wanted || running.is_empty() {
                    tries.attempts.last = Some(Rc::clone(in_flight.handle()));
                    return (in_flight, sent);
                }
                lose(tries, &in_flight, &sent);
            }
            () = sleep_until(due) => {
                let Some(in_flight) = beside(tries, &newest) else {
                    dropped.set(CodeClass::Failed);
                    return (InFlight::new(newest), Err(Error::HeadTimeout));
                };
                newest.report(Outcome::ended(Transport::TimedOut), Instant::now());
                newest = Rc::clone(in_flight.handle());
                tries.begin(&newest, &mut original);
                tries.plan.target.handles().hedges.count("sent");
                let copy = with_head_of(&original, RequestBody::Empty);
                let counted = Counted::of(tries, &in_flight, &dropped);
                running.push(one(tries.plan, in_flight, copy, counted, (true, tries.attempts.current())));
                due = Instant::now() + patience;
            }
        }
    }
}

/// One of the tries: whether it runs beside others, and which one it is. It has no time limit of its own but the
/// exchange's: the round has.
async fn one(
    plan: &AttemptPlan<'_>,
    in_flight: InFlight<Rc<WorkerEndpoint>>,
    request: Request<RequestBody>,
    mut counted: Counted<'_>,
    which: (bool, usize),
) -> (InFlight<Rc<WorkerEndpoint>>, Sent, (bool, usize)) {
    let sent = attempt(plan, None, &in_flight, &mut Some(request)).await;
    let answer = sent.as_ref().ok().map(|answer| (answer.status(), Instant::now()));
    counted.ended(answer, plan.upload);
    (in_flight, sent, which)
}

/// Counts one of the tries for its endpoint, once.
struct Counted<'a> {
    worker_endpoint: Rc<WorkerEndpoint>,
    begun: Option<Instant>,
    dropped: &'a Cell<CodeClass>,
}

impl<'a> Counted<'a> {
    /// The try that was begun last, at this endpoint.
    fn of(tries: &mut Tries<'_>, at: &InFlight<Rc<WorkerEndpoint>>, dropped: &'a Cell<CodeClass>) -> Self {
        Self { worker_endpoint: Rc::clone(at.handle()), begun: tries.attempts.open.take(), dropped }
    }

    fn ended(&mut self, answer: Option<(StatusCode, Instant)>, upload: &UploadState) {
        if let Some(begun) = self.begun.take() {
            self.worker_endpoint.tried(answer.map(|(status, at)| (status, own_time(begun, at, upload))));
        }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        if self.begun.is_some() {
            self.worker_endpoint.gave_up(self.dropped.get());
        }
    }
}

/// Another endpoint for a second try beside the first, if there is one and the request may be tried once more.
fn beside(tries: &mut Tries<'_>, newest: &WorkerEndpoint) -> Option<InFlight<Rc<WorkerEndpoint>>> {
    if tries.attempts.count > policy::max_retries(tries.plan.retries) {
        return None;
    }
    tries.attempts.tried.push(newest.endpoint().id);
    let in_flight = tries.choose().ok()?;
    let fresh = !tries.attempts.tried.contains(&in_flight.endpoint().id);
    (fresh && tries.permit().is_ok()).then_some(in_flight)
}

/// A try failed while another is under way.
fn lose(tries: &mut Tries<'_>, in_flight: &InFlight<Rc<WorkerEndpoint>>, sent: &Sent) {
    let worker_endpoint = in_flight.handle();
    let now = Instant::now();
    match sent {
        Ok(response) => {
            let head = tries.plan.outcome(response);
            tries.attempts.answered_at(response.status(), now);
            tries.attempts.failed("unwanted", None);
            tries.attempts.ejected(worker_endpoint.report(head, now));
            worker_endpoint.report(Outcome { transport: Transport::Complete, ..head }, now);
        }
        Err(error) => {
            tries.attempts.failed(error.reason(), Some(error));
            tries.attempts.ejected(worker_endpoint.report(Outcome::failed(error, Phase::Sent), now));
            tries.attempts.note(error);
        }
    }
    tries.attempts.tried.push(in_flight.endpoint().id);
}
