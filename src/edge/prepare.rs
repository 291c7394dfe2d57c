//! The request as the endpoint shall see it.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, header};
use hyper::upgrade::OnUpgrade;

use super::agent_card;
use super::authentication;
use super::exchange::Exchange;
use super::facts::CardRequest;
use super::headers::{self, ChangeFacts, Forwarded};
use super::own_answer::matched;
use super::public;
use super::stage::{Passage, ServedRoute};
use crate::a2a::Operation;
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::observe::trace::{TraceId, propagate};
use crate::route;
use crate::upstream;

/// Makes the endpoint's request out of the client's, and takes out of it what a switch of protocols will need.
pub(super) fn prepare(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let limit = route.settings().body_limit(&route.listener.limits);
    check_length(exchange.request.announced, limit)?;
    let target = rewritten(exchange, route)?;
    let upgrade = exchange.request.seen.upgrade && wants_upgrade(exchange, route)?;
    let (mut head, body) = exchange.message.take().ok_or_else(|| Error::Internal)?.into_parts();
    exchange.destination.upgrade = if upgrade { head.extensions.remove::<OnUpgrade>() } else { None };
    head.extensions = Extensions::new();
    let outfit = Outfit { upgrade: exchange.destination.upgrade.is_some(), operation: exchange.operation };
    let dressed = dress(exchange, route, &mut head, outfit);
    exchange.request.trace_id = Some(dressed.trace_id);
    exchange.request.card = dressed.card;
    head.uri = target.map_or_else(|| origin_form(head.uri), Uri::from);
    head.version = Version::HTTP_11;
    exchange.message = Some(Request::from_parts(head, body));
    Ok(Passage::On)
}

/// A body announced too large is refused before anything is read or sent.
fn check_length(announced: Option<u64>, limit: Option<u64>) -> Result<(), Error> {
    match (announced, limit) {
        (Some(announced), Some(limit)) if announced > limit => Err(Error::BodyTooLarge),
        _ => Ok(()),
    }
}

/// The target towards the endpoint; `None` when it is what the client sent.
fn rewritten(exchange: &Exchange, route: &ServedRoute<'_>) -> Result<Option<PathAndQuery>, Error> {
    let request = &exchange.request;
    let (path, query) = (request.path(), request.uri.query());
    if route.settings().rewrite.is_none() && request.canonical.path.is_none() {
        return Ok(None);
    }
    target(exchange, route, path, query).map(Some)
}

/// What a path and a query of clients are towards the endpoint.
pub(super) fn target(
    exchange: &Exchange,
    route: &ServedRoute<'_>,
    path: &str,
    query: Option<&str>,
) -> Result<PathAndQuery, Error> {
    if let Some(rewrite) = &route.settings().rewrite {
        let matched = matched(exchange, route);
        return route::rewrite(rewrite, matched, path, query).map_err(Error::BadRequest);
    }
    let text = match query {
        Some(query) => Cow::Owned(format!("{path}?{query}")),
        None => Cow::Borrowed(path),
    };
    PathAndQuery::try_from(&*text).map_err(|_invalid| Error::BadRequest("path"))
}

/// Whether the client wants to switch to a protocol this route passes on. Only WebSocket is; other wishes are ignored,
/// as RFC 9110 section 7.8 allows. HTTP/2 knows no switch, so a cluster that speaks nothing else is not asked.
fn wants_upgrade(exchange: &Exchange, route: &ServedRoute<'_>) -> Result<bool, Error> {
    let (request, fields) = (&exchange.request, exchange.message()?.headers());
    let websocket =
        fields.get(header::UPGRADE).is_some_and(|hints| hints.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let asked = request.version == Version::HTTP_11 && websocket && request.method == Method::GET;
    let cluster = exchange.destination.cluster.as_ref();
    let passed = route.settings().websocket && cluster.is_none_or(|cluster| cluster.may_switch());
    if asked && !passed {
        return Err(Error::UpgradeRefused);
    }
    Ok(asked)
}

/// What a request is for, as far as its fields depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outfit {
    /// It asks to switch protocols.
    pub(super) upgrade: bool,
    /// What it asks of an agent.
    pub(super) operation: Option<Operation>,
}

/// What was found out on the way.
pub(super) struct Dressed {
    pub(super) trace_id: TraceId,
    pub(super) card: Option<Box<CardRequest>>,
}

/// Header fields as the endpoint shall see them.
pub(super) fn dress(exchange: &Exchange, route: &ServedRoute<'_>, head: &mut Parts, outfit: Outfit) -> Dressed {
    // HTTP/2 and absolute targets name the host in the target.
    let named = |authority: &Authority| HeaderValue::from_str(authority.as_str()).ok();
    let host = match head.uri.authority().and_then(named) {
        Some(host) => {
            head.headers.insert(header::HOST, host.clone());
            Some(host)
        }
        None => exchange.request.host.clone(),
    };
    let (seen, upgrade) = (exchange.request.seen, outfit.upgrade);
    let fields = &mut head.headers;
    if let Some(auth) = &route.auth {
        auth.strip(fields);
    }
    // Otherwise the map grows twice on the way.
    fields.reserve(ADDED_FIELDS);
    let trailers = headers::strip_hop_by_hop(fields, seen);
    if seen.attempts {
        fields.remove(upstream::ATTEMPTS);
    }
    if trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let options = match (upgrade, trailers) {
        (true, true) => Some("upgrade, te"),
        (true, false) => Some("upgrade"),
        (false, true) => Some("te"),
        (false, false) => None,
    };
    if let Some(options) = options {
        // RFC 9110 sections 7.8 and 10.1.4: what holds for one connection is named there. HTTP/2 takes it out again.
        fields.insert(header::CONNECTION, HeaderValue::from_static(options));
    }
    if upgrade {
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let settings = route.settings();
    let sources = public::sources(exchange, route.listener.public_url.as_deref(), Some(settings));
    let facts = Forwarded {
        connection: &exchange.connection,
        client: exchange.client.address,
        trusted: exchange.client.trusted,
        shown: public::shown(exchange, &sources, route.paths.get(exchange.route.matched), host),
    };
    headers::set_forwarded(fields, seen, facts);
    if seen.cookie && head.version == Version::HTTP_2 {
        headers::join_cookies(fields);
    }
    headers::append_via(fields, head.version);
    if head.method == Method::OPTIONS {
        headers::count_down(fields);
    }
    if let Some(id) = &exchange.request.id {
        fields.insert(REQUEST_ID, id.clone());
    }
    let trace_id = trace(exchange, fields);
    let card = settings.agent_card().and_then(|_| agent_card::asked_for(&exchange.request, outfit.operation));
    let card = card.map(|by| agent_card::ask(by, head));
    let fields = &mut head.headers;
    // After what `Connection` names is gone: no client takes these out.
    authentication::tell(exchange, route, fields);
    let facts = ChangeFacts { operation: outfit.operation, ..exchange.change_facts(false) };
    headers::apply(fields, &settings.request_headers, facts);
    if let UpstreamHost::Fixed(host) = &settings.upstream_host {
        fields.insert(header::HOST, host.clone());
    }
    Dressed { trace_id, card }
}

/// Writes the context of the trace that the request belongs to.
fn trace(exchange: &Exchange, fields: &mut HeaderMap) -> TraceId {
    if let Some(trace) = &exchange.attempts.trace {
        trace.write(fields);
        return trace.trace_id();
    }
    let (mut rng, mut values) = (exchange.worker.rng(), exchange.worker.values());
    propagate(fields, exchange.request.seen.trace, &mut rng, &mut values).trace_id()
}

fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    uri.into_parts().path_and_query.map_or_else(Uri::default, Uri::from)
}

/// Name of the header a request goes by.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Fields every forwarded request gets.
const ADDED_FIELDS: usize = 10;
