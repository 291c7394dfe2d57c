//! The catalog of a listener: which agents its clients reach, with what their cards say. A route is listed where a
//! request for its card, made by the same client in the same way, would come to it and be let through: so nothing is
//! listed that belongs to another listener or host, that another route serves, or that the client may not see.

mod fetch;
mod visitor;

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use super::{ResponseBody, public};
use crate::a2a::card::{NAMES, is_known, weak_tag};
use crate::body::Body;
use crate::config::model::{Catalog, Listener, ListenerId, PathMatch, Route, RouteId};
use crate::error::Error;
use crate::route::public::Sources;
use crate::route::{BodyTenant, Facts};
use crate::snapshot::{CardFault, KnownCard, RememberedCard};
use crate::visible::visible;
use fetch::Place;
use visitor::Visitor;

/// Answers where the catalog is asked for.
pub(super) async fn answer(exchange: &Exchange, entry: &Entry) -> Result<Passage, Error> {
    let Some((id, listener)) = exchange.route.served_by.and_then(|id| Some((id, entry.config().listeners.get(id.0)?)))
    else {
        return Ok(Passage::On);
    };
    match &listener.catalog {
        Some(catalog) if catalog.is_asked_for(&exchange.request.method, exchange.request.path()) => {
            Box::pin(list(exchange, entry, (id, listener), catalog)).await
        }
        Some(_) | None => Ok(Passage::On),
    }
}

async fn list(
    exchange: &Exchange,
    entry: &Entry,
    listener: (ListenerId, &Listener),
    catalog: &Catalog,
) -> Result<Passage, Error> {
    let end = Instant::now() + catalog.timeout;
    let mut visitor = Visitor::new(exchange, entry, end);
    let (agents, left_out) = agents(exchange, entry, listener, &mut visitor).await?;
    for agent in &agents {
        if let Some(asking) = agent.card.begin(Instant::now())
            && let Some(route) = entry.view.route(agent.route)
        {
            let place = Place { route: Rc::clone(route), targets: agent.targets.clone(), host: agent.host.clone() };
            let places = Arc::clone(&entry.view.snapshot.agents.card_questions);
            exchange.worker.card_questions.own(fetch::fetch(place, places, asking, catalog.clone()));
        }
    }
    let mut entries = Vec::new();
    let mut is_whole = visitor.is_sure;
    for agent in &agents {
        let known = timeout_at(end, agent.card.settled()).await.unwrap_or_else(|_late| agent.card.known());
        is_whole &= known.card.is_some() && known.fault.is_none();
        entries.extend(shown(&agent.url, &known));
    }
    let left_out = if left_out > 0 { format!(",\"agentsLeftOut\":{left_out}") } else { String::new() };
    let body = format!("{{\"agents\":[{}]{left_out}}}", entries.join(","));
    // Nothing of an agent's text is to steer the terminal of whoever looks at it.
    let body = visible(&body).into_owned() + "\n";
    Ok(Passage::Answer(Box::new(answered(exchange, catalog, is_whole, body)?)))
}

/// One entry; none where it is known that nobody there has a card.
fn shown(url: &str, known: &KnownCard) -> Option<String> {
    let url = serde_json::Value::from(url);
    let reason = match known.fault {
        Some(CardFault::NoCard) if known.card.is_none() => return None,
        Some(fault) => Some(fault.word()),
        None if known.card.is_none() => Some("pending"),
        None => None,
    };
    let members = known.card.iter().map(|card| format!(",{}", card.members())).collect::<String>();
    let reason = reason.map(|reason| format!(",\"reason\":\"{reason}\"")).unwrap_or_default();
    Some(format!("{{\"url\":{url},\"available\":{}{reason}{members}}}", reason.is_empty()))
}

fn answered(
    exchange: &Exchange,
    catalog: &Catalog,
    is_whole: bool,
    body: String,
) -> Result<Response<ResponseBody>, Error> {
    let mut response = Response::new(Body::Empty);
    let fields = response.headers_mut();
    let age = if is_whole { format!("max-age={}", catalog.ttl.as_secs()) } else { "no-cache".to_owned() };
    // It may depend on any field that a route looks at.
    let kept = HeaderValue::try_from(format!("private, {age}")).map_err(|_illegal| Error::Internal)?;
    fields.insert(header::CACHE_CONTROL, kept);
    let tag = weak_tag(body.as_bytes());
    if let Some(tag) = &tag {
        fields.insert(header::ETAG, tag.clone());
    }
    if is_known(exchange.message()?.headers().get_all(header::IF_NONE_MATCH), tag.as_ref()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::full(Bytes::from(body));
    Ok(response)
}

/// An agent that the client reaches.
struct Agent {
    route: RouteId,
    card: Arc<RememberedCard>,
    /// Where the client finds its card.
    url: String,
    /// The path of it.
    path: String,
    /// Where the gateway does, under either name.
    targets: fetch::Targets,
    /// The host that clients ask for.
    host: Option<HeaderValue>,
}

/// The agents that the client reaches and may see, by the URLs of their cards, and how many are left out: they are too
/// many, or too many would have to be asked whether it may see them.
async fn agents<'e>(
    exchange: &'e Exchange,
    entry: &'e Entry,
    (id, listener): (ListenerId, &Listener),
    visitor: &mut Visitor<'e>,
) -> Result<(Vec<Agent>, usize), Error> {
    let fields = exchange.message()?.headers();
    let routes = entry.config().routes.iter().enumerate().filter(|(_, route)| route.listeners.contains(&id));
    let mut agents = Vec::new();
    for (at, settings) in routes {
        let Some(agent) = agent(exchange, entry, (id, listener), (RouteId(at), settings), fields) else { continue };
        let Some(route) = entry.view.route(agent.route) else { continue };
        let https = public::is_https(exchange, listener.public_url.as_deref(), settings);
        if visitor.may_have(route, &agent.path, https).await? {
            agents.push(agent);
        }
    }
    agents.sort_by(|a, b| a.url.cmp(&b.url));
    let left_out = agents.len().saturating_sub(MAX_AGENTS) + visitor.unasked;
    agents.truncate(MAX_AGENTS);
    Ok((agents, left_out))
}

fn agent(
    exchange: &Exchange,
    entry: &Entry,
    (id, listener): (ListenerId, &Listener),
    (route, settings): (RouteId, &Route),
    fields: &HeaderMap,
) -> Option<Agent> {
    let snapshot = &entry.view.snapshot;
    let card = snapshot.routes.get(route.0)?.remembered_card.clone()?;
    settings.matches.iter().find_map(|alternative| {
        let path = path_of_card(&alternative.path)?;
        let facts = Facts {
            host: exchange.request.host(),
            path: &path,
            query: None,
            method: &Method::GET,
            headers: fields,
            body_tenant: BodyTenant::default(),
        };
        let found = snapshot.table.find(id, &facts).filter(|found| found.route == route)?;
        let matched = settings.matches.get(found.matched)?;
        let sources = public::sources(exchange, listener.public_url.as_deref(), Some(settings));
        let own = settings.agent_card().and_then(|card| card.public_url.as_deref());
        let face = Sources { route: own.or(sources.route), ..sources }.face();
        Some(Agent {
            route,
            card: Arc::clone(&card),
            url: face.join(&path),
            targets: fetch::targets(settings, &matched.path, &path)?,
            host: HeaderValue::try_from(face.authority()).ok(),
            path,
        })
    })
}

/// Where clients find the card of agents behind such a path.
fn path_of_card(path: &PathMatch) -> Option<String> {
    match path {
        PathMatch::Prefix(prefix) => Some(format!("{}{}", prefix.trim_end_matches('/'), NAMES[0])),
        PathMatch::Exact(path) => NAMES.iter().any(|name| path.ends_with(name)).then(|| path.clone()),
        PathMatch::Regex(_) => None,
    }
}

/// Agents in one catalog.
const MAX_AGENTS: usize = 500;
