//! The one exit: every answer gets its fields here before it leaves, whether it comes from an agent, a route, or a
//! refusal of the gateway.

use http::{HeaderMap, HeaderValue, Method, Response, header};
use tokio::time::Instant;

use super::cors::Asks;
use super::exchange::Exchange;
use super::prepare::REQUEST_ID;
use super::stage::{Answered, Entry};
use super::tracked_body::TrackedBody;
use super::{ResponseBody, audit, cors, headers, reply, tunnel};
use crate::body::Body;
use crate::error::Error;
use crate::observe::record::NotedField;

/// Lets the answer go. Its body holds the exchange from here on, or the exchange is over.
pub(super) fn depart(
    mut exchange: Box<Exchange>,
    entry: &Entry,
    answered: Result<Answered, Error>,
) -> Response<ResponseBody> {
    match answered {
        Ok(Answered::Streamed(mut response, limits)) => {
            dress(&mut exchange, entry, response.headers_mut());
            response.map(|body| Body::Stream(TrackedBody::new(body, exchange, limits)))
        }
        Ok(Answered::Switched(mut switched)) => {
            let fields = switched.response.headers_mut();
            dress(&mut exchange, entry, fields);
            fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            fields.insert(header::UPGRADE, switched.protocol.clone());
            tunnel::start(exchange, *switched)
        }
        Ok(Answered::Here(response)) => {
            exchange.answered(response.status().as_u16(), Instant::now());
            exchange.complete();
            whole(exchange, entry, *response)
        }
        // Answered before it comes here.
        Ok(Answered::Shared(_)) => refused(exchange, entry, &Error::Internal),
        Err(error) => refused(exchange, entry, &error),
    }
}

fn refused(mut exchange: Box<Exchange>, entry: &Entry, error: &Error) -> Response<ResponseBody> {
    let response = reply::refusal(&mut exchange, error);
    audit::refused(&exchange, entry, error);
    whole(exchange, entry, response)
}

/// An answer that is here as a whole.
fn whole(mut exchange: Box<Exchange>, entry: &Entry, mut response: Response<ResponseBody>) -> Response<ResponseBody> {
    dress(&mut exchange, entry, response.headers_mut());
    hold_back(&exchange, &mut response);
    exchange.outcome.sent = match response.body() {
        Body::Full(bytes) => bytes.len() as u64,
        Body::Empty | Body::Trailers(_) | Body::Stream(_) => 0,
    };
    response
}

/// Takes the body out of an answer to HEAD (RFC 9110 section 9.3.2). Over HTTP/1.1 hyper does so.
fn hold_back(exchange: &Exchange, response: &mut Response<ResponseBody>) {
    if exchange.request.method != Method::HEAD || !exchange.request.shares_connection() {
        return;
    }
    if let Body::Full(bytes) = std::mem::replace(response.body_mut(), Body::Empty) {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    }
}

/// Completes the fields of an answer: the name of the request, how its client stands with its limits, what its route
/// says, whose pages may read it, what keeps the client with its version, and what was done to it on purpose. The route
/// speaks after everybody but the last three, which must not be hidden.
fn dress(exchange: &mut Exchange, entry: &Entry, fields: &mut HeaderMap) {
    if let Some(id) = &exchange.request.id {
        fields.insert(REQUEST_ID, id.clone());
    }
    if let Some(rate_limit_headers) = exchange.reply.rate_limit_headers.take() {
        rate_limit_headers.tell(fields);
    }
    let facts = exchange.change_facts(exchange.client.https);
    if let Some(route) = exchange.route.id.and_then(|id| entry.view.route(id)) {
        headers::apply(fields, &route.settings().response_headers, facts);
        if let (Some(settings), Asks::Nothing) = (&route.settings().cors, &exchange.request.asks) {
            cors::share(fields, settings, exchange.request.allowed_origin.take());
        }
    } else if let Ok(settings) = entry.settings() {
        headers::apply(fields, &settings.unrouted_headers, facts);
    }
    if let Some(fault) = &exchange.guards.fault {
        fault.mark(fields);
    }
    // Only an endpoint's answer keeps the client there.
    if let Some(cookie) = exchange.reply.set_cookie.take().filter(|_| exchange.outcome.upstream_status.is_some()) {
        fields.append(header::SET_COOKIE, cookie);
    }
    if let Some(noted) = &mut exchange.request.noted_fields {
        noted.response = NotedField::all(entry.view.plans().response_headers(), fields);
    }
}
