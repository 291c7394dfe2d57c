//! What a route does not let agents be asked: operations it denies, addresses that lead into private networks, and
//! calls that an agent may read differently than the gateway.

use super::call::Call;
use super::exchange::Exchange;
use super::limits;
use super::stage::{Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::a2a::{Binding, Body, Generation, Misshapen, Operation, Version};
use crate::config::model::A2a;
use crate::error::{CallRefusal, Error};
use crate::policy::{AdmittedCall, Refused, WorkerCallLimits, agent_url, calls};

/// Refuses the call, if a guard of its route does, and counts it with the limits of its operation.
pub(super) fn check(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let (Some(settings), Some(call)) = (&route.settings().a2a, &exchange.call) else {
        return Ok(Passage::On);
    };
    if let Some(why) = refusal(exchange, call, settings, route.is_strict)? {
        return Err(refuse(route, why));
    }
    if let (Some(limits), Some(operation)) = (&route.call_limits, call.operation) {
        admit(exchange, route, limits, operation)?;
    }
    Ok(Passage::On)
}

/// Counts the call, or refuses it. What it takes is held by the exchange, to the end of the answer's body.
fn admit(
    exchange: &mut Exchange,
    route: &WorkerRoute,
    limits: &WorkerCallLimits,
    operation: Operation,
) -> Result<(), Error> {
    let (rate_limit_headers, admitted) = match limits.admit(operation, &limits::caller(exchange)?) {
        Ok(AdmittedCall { open, rate_limit_headers }) => (rate_limit_headers, Ok(open)),
        Err(Refused { error, rate_limit_headers }) => (rate_limit_headers, Err(error)),
    };
    // What is said of the operation says more than what is said of the route.
    if let Some(headers) = rate_limit_headers {
        exchange.reply.rate_limit_headers = Some(headers);
    }
    exchange.guards.open_call =
        admitted.inspect_err(|error| route.handles.agent().calls_refused.count(error.reason()))?;
    Ok(())
}

/// Counts a refusal.
pub(super) fn refuse(route: &WorkerRoute, why: CallRefusal) -> Error {
    route.handles.agent().calls_refused.count(why.reason_word());
    Error::CallRefused(why)
}

/// Why a call is refused: first for what may be read in two ways, then for what it asks.
fn refusal(exchange: &Exchange, call: &Call, settings: &A2a, is_strict: bool) -> Result<Option<CallRefusal>, Error> {
    let body = call.body();
    if body.is_some_and(Body::is_batch) {
        return Ok(Some(CallRefusal::Batch));
    }
    if body.is_some_and(Body::is_ambiguous) {
        return Ok(Some(CallRefusal::Ambiguous));
    }
    let misshapen = body.filter(|_| is_strict).and_then(Body::misshapen);
    if let Some(misshapen) = misshapen {
        return Ok(Some(match misshapen {
            Misshapen::Envelope => CallRefusal::Shape,
            Misshapen::Params => CallRefusal::Params,
        }));
    }
    if let Some(taken) = &settings.versions
        && !speaks(exchange, call, taken)?
    {
        return Ok(Some(CallRefusal::Version));
    }
    if settings.methods.as_ref().is_some_and(|methods| !calls::may_ask(methods, call.operation)) {
        return Ok(Some(CallRefusal::Method));
    }
    Ok(body.and_then(|body| of_urls(body, settings)))
}

/// Whether the call is of a generation that is taken. The public card tells clients which those are.
fn speaks(exchange: &Exchange, call: &Call, taken: &[Generation]) -> Result<bool, Error> {
    let is_unknown = call.operation.is_none() && call.binding == Binding::JsonRpc;
    if is_unknown || call.operation == Some(Operation::GetAgentCard) {
        return Ok(true);
    }
    let said = Version::read(exchange.message()?.headers(), exchange.request.uri.query());
    Ok(calls::may_speak(taken, call.generation, said))
}

/// Why a call is refused for an address that it names.
fn of_urls(body: &Body, settings: &A2a) -> Option<CallRefusal> {
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
