//! Agent cards on their way to clients. A card names the URLs that clients call, so one that names the agent's own
//! address leads clients past the gateway. It is collected, within limits, and mapped; what is not a card, or too
//! large, passes as it is. Only paths with the name of a card come here.

mod collect;
mod fields;
mod mapping;

use std::rc::Rc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use super::exchange::Exchange;
use super::facts::{CardRequest, RequestFacts};
use super::stage::{Answered, Entry, ServedRoute};
use super::tracked_body::BodyLimits;
use super::{ResponseBody, answer, attempts};
use crate::a2a::card::{self, MAX_CARD};
use crate::body::{Body, RequestBody};
use crate::error::Error;
use crate::pool;
use crate::upstream::{UpstreamResponse, WorkerCluster, with_head_of};
use collect::Collected;

/// Whether this asks for an agent card, by its path.
pub(super) fn is_asked_for(request: &RequestFacts) -> bool {
    let path = request.path();
    // One compare for nearly all requests.
    path.ends_with(".json")
        && matches!(request.method, Method::GET | Method::HEAD)
        && NAMES.iter().any(|name| path.ends_with(name))
}

/// Makes a request for a card one for the whole card as it is: what the client has already, and which part of it it
/// wants, is about the mapped card.
pub(super) fn ask(head: &mut Parts) -> Box<CardRequest> {
    head.method = Method::GET;
    let known = head.headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect();
    for name in &CONDITIONS {
        head.headers.remove(name);
    }
    head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    Box::new(CardRequest { known })
}

/// Fetches the card and answers with it.
pub(super) async fn fetch(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Answered, Error> {
    let cluster = exchange.destination.cluster.clone().ok_or(Error::Internal)?;
    let response = ask_by_either_name(exchange, route).await?;
    match answer::receive(exchange, entry, route, response)? {
        Answered::Streamed(response, limits) => take(exchange, entry, route, &cluster, response, limits).await,
        other => Ok(other),
    }
}

/// The answer under the name the client knows, or under the other one: agents before 0.3 have their card elsewhere.
async fn ask_by_either_name(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<UpstreamResponse, Error> {
    let other = exchange.message.as_ref().and_then(by_other_name);
    let first = attempts::send(exchange, route).await?;
    if first.response.status() != StatusCode::NOT_FOUND || other.is_none() {
        return Ok(first);
    }
    exchange.message = other;
    match attempts::send(exchange, route).await {
        Ok(second) if second.response.status() == StatusCode::OK => Ok(second),
        // What was asked for is not there, whatever the other name came to.
        Ok(_) | Err(_) => Ok(first),
    }
}

/// The same request for the card's other name; `None` where the route leads elsewhere than to a name of a card.
fn by_other_name(request: &Request<RequestBody>) -> Option<Request<RequestBody>> {
    let path = request.uri().path();
    let [current, older] = NAMES;
    let swapped = |from: &str, to: &str| Some(format!("{}{to}", path.strip_suffix(from)?));
    let path = swapped(current, older).or_else(|| swapped(older, current))?;
    let target = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut other = with_head_of(request, RequestBody::Empty);
    *other.uri_mut() = Uri::from(PathAndQuery::try_from(target).ok()?);
    Some(other)
}

/// Maps the card in an answer; what is none passes as it is.
async fn take(
    exchange: &mut Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    cluster: &Rc<WorkerCluster>,
    response: Response<pool::ResponseBody>,
    limits: BodyLimits,
) -> Result<Answered, Error> {
    let cards = route.handles.cards();
    let is_long = fields::length(response.headers()).is_some_and(|length| length > MAX_CARD as u64);
    if response.status() != StatusCode::OK || limits.stream || !fields::is_readable(response.headers()) {
        if response.status() == StatusCode::OK {
            cards.agent_cards.count("invalid");
        }
        return Ok(passed(exchange, response, limits));
    }
    if is_long {
        cards.agent_cards.count("too_large");
        return Ok(passed(exchange, response, limits));
    }
    let (head, body) = response.into_parts();
    let document = match collect::collect(body, MAX_CARD, limits.end).await? {
        Collected::Whole(document) => document,
        Collected::TooLarge(ahead, rest) => {
            cards.agent_cards.count("too_large");
            exchange.reply.ahead = Some(Box::new(ahead));
            return Ok(passed(exchange, Response::from_parts(head, rest), limits));
        }
    };
    let mapped = mapping::map(exchange, entry, route, cluster, &document)?;
    let mut response = Response::from_parts(head, Body::Empty);
    let settings = route.settings().agent_card().ok_or(Error::Internal)?;
    let sharing = fields::Sharing { private: mapped.is_private, max_age: settings.cache_ttl };
    fields::dress(response.headers_mut(), mapped.card.as_deref(), sharing);
    Ok(Answered::Here(Box::new(answered(exchange, response, mapped.card.map_or(document, Bytes::from)))))
}

/// The card, or that the client has it.
fn answered(exchange: &Exchange, mut response: Response<ResponseBody>, card: Bytes) -> Response<ResponseBody> {
    let known = exchange.request.card.iter().flat_map(|request| &request.known);
    if card::is_known(known, response.headers().get(header::ETAG)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        fields::without_content(response.headers_mut());
        return response;
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(card.len()));
    *response.body_mut() = Body::full(card);
    response
}

/// The answer as it came. The agent was asked for a body even where the client wants none.
fn passed(exchange: &mut Exchange, response: Response<pool::ResponseBody>, limits: BodyLimits) -> Answered {
    if exchange.request.method != Method::HEAD {
        return Answered::Streamed(response, limits);
    }
    exchange.reply.ahead = None;
    Answered::Here(Box::new(response.map(|_unread| Body::Empty)))
}

/// Where cards are: since 0.3, and before.
const NAMES: [&str; 2] = ["/.well-known/agent-card.json", "/.well-known/agent.json"];
/// Fields that ask for less than the whole.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_NONE_MATCH,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];
