//! The tenant that the body of a call names, where a route is chosen by it.

use super::call::{self, Call};
use super::exchange::Exchange;
use super::expectation;
use super::reading::{self, PATIENCE, Read, Wanted, of_call};
use super::stage::Entry;
use crate::a2a::{Body, Recognition};
use crate::body::LookLimits;
use crate::config::model::A2a;
use crate::error::{CallRefusal, Error};

/// Reads it. A body that could name a tenant and cannot be read is refused: otherwise it would reach another route, and
/// an agent that can read it.
pub(super) async fn read(exchange: &mut Exchange, entry: &Entry) -> Result<Option<Box<str>>, Error> {
    let Some((call, wanted)) = candidate(exchange)? else {
        return Ok(None);
    };
    let listener = entry.settings()?;
    expectation::meet(exchange, listener).await?;
    let limits = LookLimits {
        bytes: A2a::default().max_body_bytes,
        time: listener.limits.body_idle_timeout.min(PATIENCE),
        room: entry.view.snapshot.agents.room.clone(),
    };
    let body = match reading::look(exchange, &limits, wanted).await? {
        Read::Body(Some(body)) => body,
        Read::Body(None) => return Ok(None),
        Read::TooLong => return Err(Error::BodyTooLarge),
        Read::Not(_, refusal) => return Err(Error::CallRefused(refusal)),
    };
    if is_doubtful(&body) {
        return Err(Error::CallRefused(CallRefusal::Unread));
    }
    let call = match call {
        Some(call) => call.with(body),
        None => Call::of_any_body(body),
    };
    Ok(call.ids().tenant.map(Box::from))
}

/// Whether an agent may read another tenant in it.
fn is_doubtful(body: &Body) -> bool {
    body.misshapen().is_some() || body.is_batch() || body.is_ambiguous() || body.is_incomplete()
}

/// The call that the head tells of, if it does, and how its body is to be read.
fn candidate(exchange: &Exchange) -> Result<Option<(Option<Call>, Wanted)>, Error> {
    let (request, headers) = (&exchange.request, exchange.message()?.headers());
    Ok(match call::of_head(request, request.path(), headers, false, || false) {
        Recognition::Other => None,
        Recognition::Call(head) => {
            let (call, is_coded) = (Call::of_head(&head, ""), head.is_coded);
            let wanted = of_call(&call);
            if is_coded && wanted.is_some() {
                return Err(Error::CallRefused(CallRefusal::Unread));
            }
            wanted.map(|wanted| (Some(call), wanted))
        }
        Recognition::Body(candidate) if candidate.is_coded => return Err(Error::CallRefused(CallRefusal::Unread)),
        Recognition::Body(_) => Some((None, Wanted::JsonRpc { to_the_end: false })),
    })
}
