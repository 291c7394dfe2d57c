//! Which route a request belongs to.

use std::cell::Cell;

use super::cors::{self, Asks};
use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use super::{body_tenant, headers, own_answer, public};
use crate::config::model::{ListenerId, PathMatch, Route};
use crate::error::Error;
use crate::route::{BodyTenant, Facts, Found};

/// Finds the route: whatever becomes of the request, it is on its route from here on. What is about the gateway itself
/// is answered here.
pub(super) async fn find(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let request = &exchange.request;
    if request.path() == "*" || headers::ends_here(&request.method, exchange.message()?.headers()) {
        return Ok(own_answer::about_us());
    }
    let is_missed = Cell::new(false);
    let mut found = ask(exchange, entry, BodyTenant { named: None, is_missed: Some(&is_missed) })?;
    if is_missed.get()
        && let Some(tenant) = Box::pin(body_tenant::read(exchange, entry)).await?
    {
        found = ask(exchange, entry, BodyTenant { named: Some(&tenant), is_missed: None })?;
    }
    enter(exchange, entry, found.ok_or_else(|| Error::NoRoute)?)
}

/// Asks the table.
fn ask(exchange: &Exchange, entry: &Entry, body_tenant: BodyTenant<'_>) -> Result<Option<(Found, Asks)>, Error> {
    let request = &exchange.request;
    let facts = Facts {
        host: request.host(),
        path: request.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: exchange.message()?.headers(),
        body_tenant,
    };
    let served_by = exchange.route.served_by.ok_or_else(|| Error::NoRoute)?;
    Ok(look_up(entry, served_by, &facts))
}

/// Notes the route, and what it says of the request.
fn enter(exchange: &mut Exchange, entry: &Entry, (found, asks): (Found, Asks)) -> Result<Passage, Error> {
    let settings = entry.settings()?;
    let worker_route = entry.view.route(found.route).ok_or_else(|| Error::Internal)?;
    let route = worker_route.settings();
    exchange.route.logged = route.access_log;
    if let Some(trace) = &mut exchange.attempts.trace {
        trace.routed(route.tracing, || pattern(route, found.matched));
    }
    exchange.request.asks = asks;
    exchange.route.id = Some(found.route);
    exchange.route.matched = found.matched;
    exchange.client.https = public::is_https(exchange, settings.public_url.as_deref(), route);
    // Whatever becomes of it, it is on its route now.
    exchange.routed(&worker_route.handles);
    if let Some(message) = &mut exchange.message {
        let limit = route.body_limit(&settings.limits);
        message.body_mut().hold_to(limit, settings.limits.body_idle_timeout);
    }
    Ok(Passage::On)
}

/// The route of a request. A preflight has that of the request it asks about, where that shares with other origins;
/// else it is a request like any other.
fn look_up(entry: &Entry, listener: ListenerId, facts: &Facts<'_>) -> Option<(Found, Asks)> {
    let table = &entry.view.snapshot.table;
    let shares = |found: &Found| entry.view.route(found.route).is_some_and(|route| route.settings().cors.is_some());
    let Some(method) = cors::asked_method(facts.method, facts.headers) else {
        return Some((table.find(listener, facts)?, Asks::Nothing));
    };
    // It has no body that could name a tenant.
    let asked = Facts { method: &method, body_tenant: BodyTenant::default(), ..*facts };
    let asked_about = table.find(listener, &asked);
    if let Some(found) = asked_about.filter(shares) {
        return Some((found, Asks::Leave));
    }
    let found = table.find(listener, facts)?;
    Some((found, if shares(&found) { Asks::LeaveElsewhere } else { Asks::Nothing }))
}

/// What a route's match says of the path, for `http.route`: few words, whatever clients send.
fn pattern(route: &Route, matched: usize) -> Option<String> {
    let path = &route.matches.get(matched)?.path;
    Some(match path {
        PathMatch::Exact(path) => path.clone(),
        PathMatch::Prefix(prefix) => format!("{prefix}/*"),
        PathMatch::Regex(regex) => regex.as_str().to_owned(),
    })
}
