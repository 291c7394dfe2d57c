//! Which A2A call a request is. The head tells most of it; of a JSON-RPC call, and for the ids of others, a bounded
//! part of the body is looked at before an endpoint is chosen. What is no call of A2A passes as it is.

use super::call::{self, Call};
use super::exchange::Exchange;
use super::reading::{PATIENCE, Read, Wanted, of_call};
use super::stage::{Entry, Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use super::{expectation, fault, guards, own_answer, prepare, reading, tenant};
use crate::a2a::{self, Body, BodyReader, Recognition};
use crate::body::LookLimits;
use crate::config::model::{A2a, LargeBodies, PathMatch, Rewrite};
use crate::error::{CallRefusal, Error};
use std::sync::atomic::Ordering::Relaxed;

/// Notes the call in the exchange.
pub(super) async fn recognize(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
) -> Result<Passage, Error> {
    let Some(settings) = &route.settings().a2a else {
        return Ok(Passage::On);
    };
    // A guard that somebody chose says that it is one, before an agent has answered.
    let is_agent = route.is_strict || route.is_agent.load(Relaxed);
    let is_elsewhere = || leads_elsewhere(exchange, route);
    // Some agents take a path in other letters for the call, and a guard must not be passed by that.
    let respelled = if route.is_strict { a2a::respelled(exchange.request.path()) } else { None };
    let path = respelled.as_deref().unwrap_or_else(|| exchange.request.path());
    let headers = exchange.message()?.headers();
    let wanted = match call::of_head(&exchange.request, path, headers, is_agent, is_elsewhere) {
        Recognition::Other => None,
        Recognition::Call(head) if !head.is_certain => None,
        Recognition::Call(head) => {
            let call = Call::of_head(&head, own_answer::matched(exchange, route).base());
            let (wanted, is_coded) = (of_call(&call), head.is_coded);
            exchange.operation = call.operation;
            exchange.call = Some(Box::new(call));
            if is_coded && wanted.is_some() {
                unread(route, "coded", CallRefusal::Unread)?;
            }
            wanted.filter(|_| !is_coded)
        }
        Recognition::Body(candidate) if candidate.is_coded => {
            unread(route, "coded", CallRefusal::Unread)?;
            None
        }
        Recognition::Body(_) => Some(Wanted::JsonRpc { to_the_end: is_agent }),
    };
    if let Some(wanted) = wanted {
        let body = Box::pin(read(exchange, entry, route, settings, wanted)).await?;
        exchange.call = match (exchange.call.take(), body) {
            (Some(call), None) => Some(call),
            (Some(call), Some(body)) => Some(Box::new(call.with(body))),
            (None, body) => body.and_then(|body| of_json_rpc(body, settings, route.is_strict)).map(Box::new),
        };
    }
    exchange.operation = exchange.call.as_ref().and_then(|call| call.operation);
    tenant::compare(exchange)?;
    fault::answer_call(exchange)?;
    Ok(Passage::On)
}

/// Which call it is that is refused before that was known, from what has come of it: a refusal waits for nothing.
/// A body that has come with its head is taken in any case, so that a connection of HTTP/1 can go on after it.
pub(super) async fn of_refused(exchange: &mut Exchange, entry: &Entry) {
    let Some(message) = exchange.message.as_mut().filter(|_| exchange.call.is_none()) else {
        return;
    };
    // A body that its client offers first stays there: to look at it would be to ask for it.
    let may_look = !exchange.request.seen.expect;
    if may_look {
        message.body_mut().prime().await;
    }
    let Some(message) = &exchange.message else { return };
    let is_elsewhere = || entry.route(exchange).is_ok_and(|route| leads_elsewhere(exchange, &route));
    let (request, headers) = (&exchange.request, message.headers());
    let call = match call::of_head(request, request.path(), headers, false, is_elsewhere) {
        Recognition::Call(head) if head.is_certain => Some(Call::of_head(&head, "")),
        Recognition::Body(candidate) if !candidate.is_coded && may_look => {
            let mut reader = BodyReader::json_rpc();
            let mut left = READ_OF_REFUSED;
            for piece in message.body().come() {
                let piece = piece.get(..left).unwrap_or(piece);
                left -= piece.len();
                if reader.feed(piece).is_err() {
                    break;
                }
            }
            let body = reader.abandon();
            // JSON for no path of REST is JSON-RPC, where the head says that it is A2A and no more has come yet.
            let is_call = body.operation().is_some() || message.headers().contains_key(&a2a::VERSION);
            is_call.then(|| Call::of_any_body(body))
        }
        Recognition::Call(_) | Recognition::Body(_) | Recognition::Other => None,
    };
    exchange.operation = call.as_ref().and_then(|call| call.operation);
    exchange.call = call.map(Box::new);
}

/// The call that a body is. Where a route names what it lets through, whatever has a method is one, and where it has a
/// guard, what only nearly is one is to be refused.
fn of_json_rpc(body: Body, settings: &A2a, is_strict: bool) -> Option<Call> {
    let is_closed = settings.methods.as_ref().is_some_and(|methods| methods.allow.is_some());
    let is_misshapen = is_strict && body.misshapen().is_some();
    if is_misshapen || is_closed && body.method().is_some() {
        return Some(Call::of_any_body(body));
    }
    Call::of_body(body)
}

/// Whether the route makes another path of this one, which is none of REST. Then a call of JSON-RPC may be posted to
/// it.
fn leads_elsewhere(exchange: &Exchange, route: &ServedRoute<'_>) -> bool {
    let (path, method) = (exchange.request.path(), &exchange.request.method);
    let keeps_end = match (&route.settings().rewrite, own_answer::matched(exchange, route)) {
        (None, _) => true,
        // What follows the prefix stays.
        (Some(Rewrite::Prefix(_)), PathMatch::Prefix(prefix)) => path.len() > prefix.len(),
        (Some(Rewrite::Prefix(_) | Rewrite::Path(_) | Rewrite::Regex { .. }), _) => false,
    };
    let is_rest = |path: &str| a2a::is_rest_path(method, a2a::respelled(path).as_deref().unwrap_or(path));
    let target = || prepare::target(exchange, route, path, None);
    !keeps_end && target().is_ok_and(|target| !is_rest(target.path()))
}

/// Looks at the body; `None` when it cannot be read, and then it passes unread.
async fn read(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    settings: &A2a,
    wanted: Wanted,
) -> Result<Option<Body>, Error> {
    expectation::meet(exchange, route.listener).await?;
    let limits = LookLimits {
        bytes: settings.max_body_bytes,
        time: route.listener.limits.body_idle_timeout.min(PATIENCE),
        room: entry.view.snapshot.agents.room.clone(),
    };
    match reading::look(exchange, &limits, wanted).await? {
        Read::Body(None) if route.is_strict => Err(guards::refuse(route, CallRefusal::Unread)),
        Read::Body(body) => Ok(body),
        Read::TooLong if route.is_strict || settings.large_bodies == LargeBodies::Refuse => Err(Error::BodyTooLarge),
        Read::TooLong => unread(route, "too_long", CallRefusal::Unread).map(|()| None),
        Read::Not(word, refusal) => unread(route, word, refusal).map(|()| None),
    }
}

/// A body that nobody has read passes, unless a guard that somebody chose has to know what is in it.
fn unread(route: &WorkerRoute, word: &'static str, refusal: CallRefusal) -> Result<(), Error> {
    if route.is_strict {
        return Err(guards::refuse(route, refusal));
    }
    route.handles.agent().unread.count(word);
    Ok(())
}

/// Bytes of a refused body that are read for its id.
const READ_OF_REFUSED: usize = 16 * 1024;
