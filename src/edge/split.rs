//! Which of a split's clusters a request goes to.

use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use super::exchange::Exchange;
use super::worker::View;
use crate::cluster::hash_key;
use crate::config::model::{ClusterId, HashKey, RouteId, Split};
use crate::error::Error;
use crate::head::cookie;
use crate::observe::handles::RouteHandles;
use crate::route::split::RoutingHints;

/// Chooses the cluster, and notes the version that the outcome will count for and the cookie that keeps the caller
/// there.
pub(super) fn place(
    exchange: &mut Exchange,
    view: &View,
    (route, split): (RouteId, &Split),
    head: &Parts,
) -> Result<(ClusterId, RouteHandles), Error> {
    let served = view.split(route).ok_or(Error::Internal)?;
    let mut hints = RoutingHints {
        named: split.chosen_by.as_ref().and_then(|key| text(key, &head.headers)),
        ..RoutingHints::default()
    };
    match &split.sticky {
        Some(HashKey::Cookie(name)) => hints.held = cookie(&head.headers, name.as_bytes()),
        Some(key) => hints.key = hash_key(key, &head.headers, exchange.client),
        None => {}
    }
    let choice = served.chooser.choose(hints).ok_or(Error::NoEndpoint("no version of the split has a weight"))?;
    let part = split.parts.get(choice.part).ok_or(Error::Internal)?;
    if served.control.has_rollout() {
        exchange.sample = Some(served.sample(choice));
    }
    if choice.drawn
        && let Some(HashKey::Cookie(name)) = &split.sticky
        && let Some(token) = served.control.shares().current().token(choice.part)
    {
        exchange.set_cookie = set_cookie(name, token, exchange.https);
    }
    Ok((part.cluster, view.part_handles(route, choice.part, part)))
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
