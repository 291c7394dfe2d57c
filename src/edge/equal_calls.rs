//! Equal calls share one: a message that is sent again gets the answer of the first, and questions for the same task at
//! the same moment become one. The first goes to the agent as any call does, in a task of its own, so that it goes on
//! for the others when its client leaves.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use http::{Response, StatusCode};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use super::call::Call;
use super::collect::{self, Collected};
use super::exchange::Exchange;
use super::stage::{Answered, Entry, Shared};
use super::tracked_body::BodyLimits;
use super::{ResponseBody, depart, headers, pipeline};
use crate::a2a::{Binding, Operation};
use crate::body::Body;
use crate::error::{CallRefusal, Error};
use crate::policy::{Begun, Ended, Run, Share, SharedAnswer, SharedCall};
use crate::pool;

/// How a call goes on.
enum Turn {
    /// It is the first of its kind.
    First(Run),
    /// By itself, as if nothing were shared.
    Alone,
    /// With the answer of another.
    Answer(Arc<SharedAnswer>),
    Refused(Error),
}

/// Answers a call that may have equals.
pub(super) async fn answer(mut exchange: Box<Exchange>, entry: Entry, shared: &Shared) -> Response<ResponseBody> {
    let answered = match turn(&mut exchange, &entry, shared).await {
        Ok(Turn::First(run)) if exchange.operation.is_some_and(Operation::is_streaming) => {
            run.stands_alone();
            exchange.guards.run = Some(Box::new(run));
            send(&mut exchange, &entry).await
        }
        Ok(Turn::First(run)) => return lead(exchange, entry, run).await,
        Ok(Turn::Alone) => send(&mut exchange, &entry).await,
        Ok(Turn::Answer(answer)) => {
            let response = answer.response(exchange.call.as_deref().and_then(Call::id));
            Ok(Answered::Here(Box::new(response.map(Body::full))))
        }
        Ok(Turn::Refused(error)) | Err(error) => Err(error),
    };
    depart::depart(exchange, &entry, answered)
}

/// Finds out how a call goes on, and waits for an equal one that is under way.
async fn turn(exchange: &mut Exchange, entry: &Entry, shared: &Shared) -> Result<Turn, Error> {
    let route = &entry.route(exchange)?;
    let counters = &route.handles.agent().shared_calls;
    let own = Instant::now() + PATIENCE;
    let end = exchange.deadline(route).map_or(own, |deadline| deadline.min(own));
    loop {
        let Share { calls, terms } = &shared.share;
        let call = match calls.begin(shared.key, *terms, Instant::now()) {
            Begun::First(run) => {
                if let Some(message) = exchange.message.as_mut() {
                    // Only in what can be read another id can be put.
                    headers::ask_uncoded(message.headers_mut(), false);
                }
                return Ok(Turn::First(run));
            }
            Begun::Full => {
                counters.count("full");
                return Ok(Turn::Alone);
            }
            Begun::Known(call) => call,
        };
        // The clock that the first try goes by is old then.
        exchange.guards.waited = true;
        match timeout_at(end, call.ended()).await {
            Err(_late) => return Ok(Turn::Refused(Error::Timeout)),
            Ok(Ended::Answered(answer)) => {
                counters.count("joined");
                return Ok(Turn::Answer(answer));
            }
            Ok(Ended::Alone) if shared.is_send => {
                counters.count("refused");
                return Ok(Turn::Refused(Error::CallRefused(CallRefusal::Duplicate)));
            }
            // Nobody has an answer: this may be the first now.
            Ok(Ended::GivenUp) if shared.is_send => {}
            Ok(Ended::Alone | Ended::GivenUp) => return Ok(Turn::Alone),
        }
    }
}

/// The other stages.
async fn send(exchange: &mut Exchange, entry: &Entry) -> Result<Answered, Error> {
    let route = &entry.route(exchange)?;
    Box::pin(pipeline::serve(exchange, entry, route)).await
}

/// Sends the call for all, in a task that ends when nobody is left to wait for it. The places of its client stay here,
/// so that they are free when it leaves.
async fn lead(mut exchange: Box<Exchange>, entry: Entry, run: Run) -> Response<ResponseBody> {
    let (mut client, answer) = oneshot::channel::<Response<ResponseBody>>();
    let places = exchange.guards.take_places();
    let (worker, call, keep) = (Rc::clone(&exchange.worker), Arc::clone(run.call()), run.terms().keep);
    worker.runs.own(async move {
        let response = {
            let work = pin!(work(exchange, entry, run));
            let left = pin!(left(&mut client, &call, keep));
            match select(work, left).await {
                Either::Left((response, _)) => response,
                Either::Right(((), _)) => return,
            }
        };
        // A client that has left wants none.
        client.send(response).ok();
    });
    let Ok(mut response) = answer.await else {
        // The task ends without an answer only with the worker.
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return response;
    };
    if let Body::Stream(body) = response.body_mut() {
        body.put_back(places);
    }
    response
}

/// Ends when the client has left, and then nobody else waits either for some time: it may come back for its answer.
async fn left(client: &mut oneshot::Sender<Response<ResponseBody>>, call: &SharedCall, keep: Duration) {
    client.closed().await;
    loop {
        sleep(keep).await;
        if !call.is_awaited() {
            return;
        }
    }
}

async fn work(mut exchange: Box<Exchange>, entry: Entry, run: Run) -> Response<ResponseBody> {
    let answered = match send(&mut exchange, &entry).await {
        Ok(Answered::Streamed(response, limits)) if !limits.stream => take(&mut exchange, response, limits, run).await,
        Ok(other) => {
            run.stands_alone();
            exchange.guards.run = Some(Box::new(run));
            Ok(other)
        }
        Err(error) => Err(error),
    };
    depart::depart(exchange, &entry, answered)
}

/// Takes in a small answer and gives it to all; a larger one passes, and is for its client alone.
async fn take(
    exchange: &mut Exchange,
    response: Response<pool::ResponseBody>,
    limits: BodyLimits,
    run: Run,
) -> Result<Answered, Error> {
    let (head, body) = response.into_parts();
    let end = limits.end.unwrap_or_else(|| Instant::now() + limits.idle.unwrap_or(PATIENCE));
    let body = match collect::collect(body, SharedAnswer::MAX, end).await? {
        Collected::Whole(body) => body,
        Collected::TooLarge(come, rest) => {
            run.stands_alone();
            exchange.guards.run = Some(Box::new(run));
            return Ok(Answered::Streamed(collect::given_back(&mut exchange.reply, head, come, rest), limits));
        }
    };
    if let Some(scan) = &mut exchange.scan {
        scan.passes(&body);
    }
    exchange.complete();
    let is_json_rpc = exchange.call.as_ref().is_some_and(|call| call.binding == Binding::JsonRpc);
    let is_good = head.status.is_success() && exchange.outcome.agent_fault.is_none();
    match SharedAnswer::of(run.room(), head.status, &head.headers, &body, is_json_rpc) {
        Some(answer) => run.answer(answer, is_good, Instant::now()),
        None if is_good => {
            run.stands_alone();
            run.complete(Instant::now());
        }
        // What has failed may be tried again.
        None => drop(run),
    }
    Ok(Answered::Here(Box::new(Response::from_parts(head, Body::full(body)))))
}

/// How long a call waits for an equal one.
const PATIENCE: Duration = Duration::from_secs(300);
