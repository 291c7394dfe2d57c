//! Public URLs that are legal but probably not meant.

use super::Scope;
use crate::config::model::{Config, Listener, ListenerId, PathMatch, PublicUrl, Route};
use crate::config::node::steps;

pub(super) fn lint(config: &Config, scope: &mut Scope<'_>) {
    for route in &config.routes {
        doubled_prefix(route, scope);
    }
    for (index, listener) in config.listeners.iter().enumerate() {
        if listener.https_redirect.is_none() {
            unused_host(ListenerId(index), listener, config, scope);
        }
    }
}

/// A route's public URL stands for the gateway's `/`, and not for the path the route matches.
fn doubled_prefix(route: &Route, scope: &mut Scope<'_>) {
    let Some(url) = &route.public_url else { return };
    let doubles = |prefix: &str| !prefix.is_empty() && url.prefix().ends_with(prefix);
    let doubled = route.matches.iter().find_map(|one| match &one.path {
        PathMatch::Prefix(prefix) if doubles(prefix) => Some(prefix),
        _ => None,
    });
    let Some(prefix) = doubled else { return };
    let name = &route.name;
    let whole = url.to_string();
    let before = whole.strip_suffix(prefix.as_str()).unwrap_or(&whole);
    let message = format!("with what `routes.{name}` matches, clients are sent to `{url}{prefix}`");
    let hint = format!("a public URL stands for the gateway's `/`: write `{before}`");
    scope.warn(&steps!["routes", name.as_str(), "publicUrl"], "doubled-prefix", message, hint);
}

/// Routes that name hosts are reached under these; the host of a listener's public URL is for those that name none.
fn unused_host(id: ListenerId, listener: &Listener, config: &Config, scope: &mut Scope<'_>) {
    let Some(url) = &listener.public_url else { return };
    let mut routes =
        config.routes.iter().filter(|route| route.listeners.contains(&id) && route.public_url.is_none()).peekable();
    if routes.peek().is_none() || routes.any(|route| is_reached_under(route, url)) {
        return;
    }
    let name = &listener.name;
    let message = format!("every route of `listeners.{name}` names hosts, and none of them `{}`", url.host());
    let hint =
        "a route that names hosts is reached under these; where clients use another, give the route a `publicUrl`";
    scope.warn(&steps!["listeners", name.as_str(), "publicUrl"], "unused-host", message, hint);
}

fn is_reached_under(route: &Route, url: &PublicUrl) -> bool {
    let host = url.host();
    route.hosts.is_empty() || route.hosts.iter().any(|pattern| pattern.fits(host))
}
