//! Whether a call may have equals that share one with it, and what makes them equal. Routes that share nothing pass by
//! with one look.

use std::borrow::Cow;
use std::net::IpAddr;

use http::{HeaderName, header};
use xxhash_rust::xxh3::Xxh3;

use super::call::Call;
use super::exchange::Exchange;
use super::stage::{ServedRoute, Shared};
use crate::a2a::{Binding, Operation, id_span};
use crate::body::RequestBody;

/// The call as one that is shared, where it can be and its route says so.
pub(super) fn join(exchange: &Exchange, route: &ServedRoute<'_>) -> Option<Box<Shared>> {
    let (shares, call) = (route.shares.as_deref()?, exchange.call.as_deref()?);
    let operation = call.operation?;
    let share = shares.of(operation)?;
    // gRPC has trailers and frames, and its own way of trying again.
    if call.binding == Binding::Grpc || operation.is_send() && call.ids().message.is_none() {
        return None;
    }
    // The answer of another gets the id of this call, so it must be known as a whole.
    if call.binding == Binding::JsonRpc && call.id().is_none() {
        return None;
    }
    let key = key(exchange, call, operation, share.calls.seed())?;
    Some(Box::new(Shared { share: share.clone(), key, is_send: operation.is_send() }))
}

/// The hash of a call: who asks, for what, in which words. Fields that nobody here knows count too, since they may say
/// who asks. `None` when its body is not here as a whole.
fn key(exchange: &Exchange, call: &Call, operation: Operation, seed: u64) -> Option<u128> {
    let (message, request) = (exchange.message().ok()?, &exchange.request);
    let mut hash = Xxh3::with_seed(seed);
    let mut add = |part: &[u8]| {
        hash.update(&part.len().to_le_bytes());
        hash.update(part);
    };
    for word in [operation.name(), call.binding.name(), call.generation.name(), request.method.as_str()] {
        add(word.as_bytes());
    }
    match exchange.client.address {
        IpAddr::V4(address) => add(&address.octets()),
        IpAddr::V6(address) => add(&address.octets()),
    }
    let identity = &exchange.client.identity;
    add(identity.provider().unwrap_or_default().as_bytes());
    add(identity.name().unwrap_or_default().as_bytes());
    add(request.asked().as_bytes());
    add(request.path().as_bytes());
    add(request.uri.query().unwrap_or_default().as_bytes());
    for (name, value) in message.headers().iter().filter(|(name, _)| !OF_ONE_REQUEST.contains(name)) {
        add(name.as_str().as_bytes());
        add(value.as_bytes());
    }
    let body = body(message.body())?;
    if call.binding == Binding::JsonRpc {
        // Clients count their calls.
        let id = id_span(&body)?;
        add(body.get(..id.start)?);
        add(body.get(id.end..)?);
    } else {
        add(&body);
    }
    Some(hash.digest128())
}

/// The whole body, which was looked at before. Nearly every one lies in one piece.
fn body(body: &RequestBody) -> Option<Cow<'_, [u8]>> {
    let mut pieces = body.is_here().then(|| body.come())?;
    let first = pieces.next().unwrap_or_default();
    let Some(second) = pieces.next() else { return Some(Cow::Borrowed(first)) };
    let mut whole = [first, second].concat();
    pieces.for_each(|piece| whole.extend_from_slice(piece));
    Some(Cow::Owned(whole))
}

/// Fields that are other ones each time, and about nothing but the request that carries them; and the host, which is
/// known and stands elsewhere in HTTP/2.
const OF_ONE_REQUEST: [HeaderName; 14] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::DATE,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
    HeaderName::from_static("b3"),
    HeaderName::from_static("x-b3-traceid"),
    HeaderName::from_static("x-b3-spanid"),
    HeaderName::from_static("x-b3-parentspanid"),
    HeaderName::from_static("x-b3-sampled"),
    HeaderName::from_static("x-b3-flags"),
];
