//! Agent cards on their way to clients. A card names the URLs that clients call, so one that names the agent's own
//! address leads clients past the gateway. It is collected, within limits, and mapped; what is not a card, or too
//! large, passes as it is. Only requests for a card come here.

mod fields;
mod mapping;
mod message;

use std::rc::Rc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use tokio::time::Instant;

use super::collect::{self, Collected};
use super::exchange::Exchange;
use super::facts::{CardBy, CardRequest, RequestFacts};
use super::stage::{Answered, Entry, ServedRoute};
use super::tracked_body::BodyLimits;
use super::{ResponseBody, answer, attempts, headers};
use crate::a2a::Operation;
use crate::a2a::card::{self, MAX_CARD, NAMES, Place};
use crate::body::{Body, RequestBody};
use crate::error::Error;
use crate::pool;
use crate::upstream::{UpstreamResponse, WorkerCluster, with_head_of};

pub(super) use fields::is_readable;

/// How this asks for an agent card, if it does.
pub(super) fn asked_for(request: &RequestFacts, operation: Option<Operation>) -> Option<CardBy> {
    let path = request.path();
    // Two compares for nearly all requests.
    if path.ends_with(".json") && NAMES.iter().any(|name| path.ends_with(name)) {
        return matches!(request.method, Method::GET | Method::HEAD).then_some(CardBy::Name);
    }
    let is_extended = operation == Some(Operation::GetExtendedAgentCard) || path.ends_with(EXTENDED);
    match (is_extended, &request.method) {
        (true, &Method::GET) => Some(CardBy::Rest),
        (true, &Method::POST) if path.ends_with(EXTENDED) => None,
        (true, &Method::POST) => Some(if request.grpc { CardBy::Grpc } else { CardBy::JsonRpc }),
        _ => None,
    }
}

/// Makes a request for a card one for the whole card as it is: what the client has already, and which part of it it
/// wants, is about the mapped card.
pub(super) fn ask(by: CardBy, head: &mut Parts) -> Box<CardRequest> {
    let known = head.headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect();
    headers::ask_uncoded(&mut head.headers, by == CardBy::Grpc);
    if matches!(by, CardBy::Name | CardBy::Rest) {
        head.method = Method::GET;
        for name in &CONDITIONS {
            head.headers.remove(name);
        }
    }
    Box::new(CardRequest { known, by })
}

/// Fetches the card and answers with it.
pub(super) async fn fetch(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Answered, Error> {
    let cluster = exchange.destination.cluster.clone().ok_or(Error::Internal)?;
    let response = ask_by_either_name(exchange, route).await?;
    match answer::receive(exchange, entry, route, response)? {
        Answered::Streamed(response, limits) if asked_by(exchange) == CardBy::Grpc => {
            message::take(exchange, entry, route, &cluster, response, limits).await
        }
        Answered::Streamed(response, limits) => take(exchange, entry, route, &cluster, response, limits).await,
        other => Ok(other),
    }
}

/// The answer under the name the client knows, or under the other one: agents before 0.3 have their card elsewhere.
async fn ask_by_either_name(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<UpstreamResponse, Error> {
    let is_named = asked_by(exchange) == CardBy::Name;
    let other = exchange.message.as_ref().filter(|_| is_named).and_then(by_other_name);
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
    if response.status() != StatusCode::OK || limits.stream || !is_readable(response.headers()) {
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
    let end = end_of(limits);
    let document = match collect::collect(body, MAX_CARD, end).await? {
        Collected::Whole(document) => document,
        Collected::TooLarge(come, rest) => {
            cards.agent_cards.count("too_large");
            let response = collect::given_back(&mut exchange.reply, head, come, rest);
            return Ok(passed(exchange, response, limits));
        }
    };
    if let Some(scan) = &mut exchange.scan {
        // Of what the agent says, not of what is made of it.
        scan.passes(&document);
    }
    if asked_by(exchange) == CardBy::Name {
        let endpoint = exchange.attempts.last.as_ref().map_or("-", |endpoint| endpoint.label());
        route.seen_card.note(&document, endpoint, SystemTime::now());
    }
    let place = if asked_by(exchange) == CardBy::JsonRpc { Place::Result } else { Place::Whole };
    let mapped = mapping::map(exchange, entry, route, cluster, (&document, place))?;
    let mut response = Response::from_parts(head, Body::Empty);
    let settings = route.settings().agent_card().ok_or(Error::Internal)?;
    let by = asked_by(exchange);
    let sharing = fields::Sharing {
        private: mapped.is_private || by != CardBy::Name,
        max_age: settings.cache_ttl.filter(|_| by == CardBy::Name),
    };
    fields::dress(response.headers_mut(), mapped.card.as_ref(), sharing);
    Ok(Answered::Here(Box::new(answered(
        exchange,
        response,
        mapped.card.map_or(document, |changed| Bytes::from(changed.card)),
    ))))
}

/// When a card must have come.
fn end_of(limits: BodyLimits) -> Instant {
    let own = Instant::now() + LIMIT;
    limits.end.map_or(own, |end| end.min(own))
}

/// How the card of the exchange is asked for.
fn asked_by(exchange: &Exchange) -> CardBy {
    exchange.request.card.as_ref().map_or(CardBy::Name, |request| request.by)
}

/// The card, or that the client has it.
fn answered(exchange: &Exchange, mut response: Response<ResponseBody>, card: Bytes) -> Response<ResponseBody> {
    let known = exchange.request.card.iter().flat_map(|request| &request.known);
    let has_it = card::is_known(known, response.headers().get(header::ETAG));
    if has_it && asked_by(exchange) != CardBy::JsonRpc {
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
    exchange.reply.come = None;
    exchange.scan = None;
    Answered::Here(Box::new(response.map(|_unread| Body::Empty)))
}

/// Time for a card.
const LIMIT: Duration = Duration::from_secs(10);
/// What REST calls of A2A 1.0 for the card of the caller end in.
const EXTENDED: &str = "/extendedAgentCard";
/// Fields that ask for less than the whole.
const CONDITIONS: [HeaderName; 6] = [
    header::IF_NONE_MATCH,
    header::IF_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];
