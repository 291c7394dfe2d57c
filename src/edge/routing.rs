//! Which route a request belongs to.

use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use super::{headers, own_answer, public};
use crate::error::Error;
use crate::route::Facts;

/// Finds the route. What is about the gateway itself is answered here.
pub(super) fn find(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let (request, settings) = (&exchange.request, entry.settings()?);
    let head = exchange.message()?;
    if request.path() == "*" || headers::ends_here(&request.method, head.headers()) {
        return Ok(own_answer::about_us());
    }
    let facts = Facts {
        host: request.host(),
        path: request.path(),
        query: request.uri.query(),
        method: &request.method,
        headers: head.headers(),
    };
    let served_by = exchange.route.served_by.ok_or_else(|| Error::NoRoute)?;
    let found = entry.view.snapshot.table.find(served_by, &facts).ok_or_else(|| Error::NoRoute)?;
    let route = entry.view.route(found.route).ok_or_else(|| Error::Internal)?.settings();
    let excluded = entry.config().access_log.exclude.iter().any(|excluded| *excluded == *request.path());
    exchange.route.logged = route.access_log && !excluded;
    exchange.route.id = Some(found.route);
    exchange.route.matched = found.matched;
    exchange.client.https = public::is_https(exchange, settings.public_url.as_deref(), route);
    if let Some(message) = &mut exchange.message {
        let limit = route.body_limit(&settings.limits);
        message.body_mut().hold_to(limit, settings.limits.body_idle_timeout);
    }
    Ok(Passage::On)
}
