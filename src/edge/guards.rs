//! What a route does not let agents be asked: operations it denies, addresses that lead into private networks, and
//! calls that an agent may read differently than the gateway.

use super::call::Call;
use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::a2a::Body;
use crate::config::model::A2a;
use crate::error::{CallRefusal, Error};
use crate::policy::{agent_url, calls};

/// Refuses the call, if a guard of its route does.
pub(super) fn check(exchange: &Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    match (&route.settings().a2a, &exchange.call) {
        (Some(settings), Some(call)) => refusal(call, settings).map_or(Ok(Passage::On), |why| Err(refuse(route, why))),
        _ => Ok(Passage::On),
    }
}

/// Counts a refusal.
pub(super) fn refuse(route: &WorkerRoute, why: CallRefusal) -> Error {
    route.handles.agent().calls_refused.count(why.reason_word());
    Error::CallRefused(why)
}

/// Why a call is refused: first for what may be read in two ways, then for what it asks.
fn refusal(call: &Call, settings: &A2a) -> Option<CallRefusal> {
    let body = call.body();
    if body.is_some_and(Body::is_batch) {
        return Some(CallRefusal::Batch);
    }
    if body.is_some_and(Body::is_ambiguous) {
        return Some(CallRefusal::Ambiguous);
    }
    if settings.methods.as_ref().is_some_and(|methods| !calls::may_ask(methods, call.operation)) {
        return Some(CallRefusal::Method);
    }
    let body = body?;
    if let Some(guard) = &settings.push_urls {
        if !body.push_urls().all(|url| agent_url::may_use(url, guard)) {
            return Some(CallRefusal::PushUrl);
        }
        if body.lacks_push_urls() {
            return Some(CallRefusal::Incomplete);
        }
    }
    if let Some(guard) = &settings.file_urls {
        if !body.file_urls().all(|url| agent_url::may_use(url, guard)) {
            return Some(CallRefusal::FileUrl);
        }
        if body.lacks_file_urls() {
            return Some(CallRefusal::Incomplete);
        }
    }
    None
}
