//! Which cluster a request goes to: the one of its route, or one of a split.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue};

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use crate::cluster::hash_key;
use crate::config::model::{Action, HashKey, Split};
use crate::error::Error;
use crate::head::cookie;
use crate::route::split::RoutingHints;

/// Chooses the cluster, and notes what its outcome will be counted for and which cookie keeps the caller there.
pub(super) fn choose(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    match &route.settings().action {
        Action::Forward(_) | Action::Redirect(_) | Action::Respond(_) => {
            exchange.destination.cluster = route.cluster.clone();
        }
        Action::Split(split) => place(exchange, route, split)?,
    }
    let cluster = exchange.destination.cluster.as_ref().ok_or_else(|| Error::Internal)?;
    exchange.destination.hash = cluster.hash(exchange.message()?.headers(), exchange.client.address);
    Ok(Passage::On)
}

fn place(exchange: &mut Exchange, route: &ServedRoute<'_>, split: &Split) -> Result<(), Error> {
    let served = route.split.as_ref().ok_or_else(|| Error::Internal)?;
    let headers = exchange.message()?.headers();
    let mut hints =
        RoutingHints { named: split.chosen_by.as_ref().and_then(|key| text(key, headers)), ..RoutingHints::default() };
    match &split.sticky {
        Some(HashKey::Cookie(name)) => hints.held = cookie(headers, name.as_bytes()),
        Some(key) => hints.key = hash_key(key, headers, exchange.client.address),
        None => {}
    }
    // A conversation never changes version.
    hints.part = exchange.destination.part;
    let choice = served.chooser.choose(hints).ok_or(Error::NoEndpoint("no version of the split has a weight"))?;
    let part = served.part(choice.part).ok_or_else(|| Error::Internal)?;
    if served.control.has_rollout() {
        exchange.guards.sample = Some(Box::new(served.sample(choice)));
    }
    if choice.drawn
        && let Some(HashKey::Cookie(name)) = &split.sticky
        && let Some(token) = served.control.shares().current().token(choice.part)
    {
        exchange.reply.set_cookie = set_cookie(name, token, exchange.client.https);
    }
    // Each version has series of its own.
    exchange.route.handles = Some(route.part_handles(part).clone());
    exchange.destination.cluster = Some(Rc::clone(&part.cluster));
    Ok(())
}

fn text<'a>(key: &HashKey, headers: &'a HeaderMap) -> Option<&'a [u8]> {
    match key {
        HashKey::Header(name) => headers.get(name).map(HeaderValue::as_bytes),
        HashKey::Cookie(name) => cookie(headers, name.as_bytes()),
        HashKey::ClientIp => None,
    }
}

/// A cookie for the session (RFC 6265 section 4.1), out of reach for scripts.
fn set_cookie(name: &str, token: &str, https: bool) -> Option<HeaderValue> {
    let secure = if https { "; Secure" } else { "" };
    HeaderValue::try_from(format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
}
