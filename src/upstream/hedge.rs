//! Tries side by side: a safe request that takes too long is sent to another endpoint besides, and the first answer
//! counts. The others are cancelled.

use std::rc::Rc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use tokio::time::{Instant, sleep_until};

use super::retry::{Tries, with_head_of};
use super::{AttemptPlan, WorkerEndpoint, attempt, outcome, policy};
use crate::body::RequestBody;
use crate::cluster::{InFlight, Outcome};
use crate::config::model::RetryPolicy;
use crate::error::Error;
use crate::pool::ResponseBody;

type Sent = Result<Response<ResponseBody>, Error>;

/// Whether this request is to be hedged.
pub(super) fn is_wanted(plan: &AttemptPlan<'_>, request: &Request<RequestBody>) -> bool {
    patience(plan).is_some() && plan.method.is_safe() && !plan.upgrade && matches!(request.body(), RequestBody::Empty)
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
    let mut running = FuturesUnordered::new();
    let copy = with_head_of(&original, RequestBody::Empty);
    running.push(one(tries.plan, first, copy, false));
    let mut due = Instant::now() + patience;
    loop {
        tokio::select! {
            biased;
            Some((in_flight, sent, beside)) = running.next() => {
                let wanted = sent.as_ref().is_ok_and(|answer| tries.asks(answer).is_none());
                if wanted && beside {
                    tries.plan.target.handles().hedge("won");
                }
                if wanted || running.is_empty() {
                    tries.attempts.last = Some(Rc::clone(in_flight.handle()));
                    return (in_flight, sent);
                }
                lose(tries, &in_flight, &sent);
            }
            () = sleep_until(due) => {
                let Some(in_flight) = beside(tries, &newest) else {
                    return (InFlight::new(newest), Err(Error::HeadTimeout));
                };
                newest.report(Outcome::TimedOut, Instant::now());
                newest = Rc::clone(in_flight.handle());
                tries.begin(&newest, &mut original);
                tries.plan.target.handles().hedge("sent");
                let copy = with_head_of(&original, RequestBody::Empty);
                running.push(one(tries.plan, in_flight, copy, true));
                due = Instant::now() + patience;
            }
        }
    }
}

/// One of the tries. It has no time limit of its own but the exchange's: the round has.
async fn one(
    plan: &AttemptPlan<'_>,
    in_flight: InFlight<Rc<WorkerEndpoint>>,
    request: Request<RequestBody>,
    beside: bool,
) -> (InFlight<Rc<WorkerEndpoint>>, Sent, bool) {
    let sent = attempt(plan, None, &in_flight, &mut Some(request)).await;
    (in_flight, sent, beside)
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
            worker_endpoint.report(Outcome::Answered(response.status()), now);
            worker_endpoint.report(Outcome::Finished(response.status()), now);
        }
        Err(error) => {
            if let Some(outcome) = outcome(error) {
                worker_endpoint.report(outcome, now);
            }
            tries.attempts.note(error);
        }
    }
    tries.attempts.tried.push(in_flight.endpoint().id);
}
