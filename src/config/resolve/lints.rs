//! What is legal but probably not meant.

use std::sync::Arc;

use super::{Scope, agents, auth, authorization_lints, client_certificate, fault, mirror, public};
use crate::config::certs::covers;
use crate::config::model::{Config, LimitScope, ListenerId, RateLimitId, Route, UpstreamProtocol};
use crate::config::node::steps;
use crate::config::report::Diagnostic;

pub(super) fn check(config: &Config, scope: &mut Scope<'_>) {
    if scope.report.errors() > 0 {
        // What an error left out would look unused or unreachable.
        return;
    }
    unused_clusters(config, scope);
    unused_limits(config, scope);
    auth::unused(config, scope);
    client_certificate::lint(config, scope);
    authorization_lints::lint(config, scope);
    uncovered_hosts(config, scope);
    public::lint(config, scope);
    empty_catalogs(config, scope);
    for route in &config.routes {
        agents::lint(route, config, scope);
        fault::lint(route, scope);
        mirror::lint(route, scope);
        switching(route, config, scope);
    }
    if config.routes.is_empty() && config.listeners.iter().any(|listener| listener.https_redirect.is_none()) {
        let message = "there is no route, so every request gets a 404";
        scope.warn(&steps!["routes"], "no-routes", message, "add one under `routes`");
    }
}

fn unused_clusters(config: &Config, scope: &mut Scope<'_>) {
    let mut used = vec![false; config.clusters.len()];
    for route in &config.routes {
        let mirrored = route.mirror.as_ref().map(|mirror| mirror.cluster);
        for id in route.action.clusters().into_iter().chain(mirrored) {
            if let Some(used) = used.get_mut(id.0) {
                *used = true;
            }
        }
    }
    for (cluster, _) in config.clusters.iter().zip(used).filter(|(_, used)| !used) {
        let diagnostic = Diagnostic::warning("unused", format!("no route uses `clusters.{}`", cluster.name));
        scope.add_key(&steps!["clusters", cluster.name.as_str()], diagnostic);
    }
}

/// Catalogs that can list nobody.
fn empty_catalogs(config: &Config, scope: &mut Scope<'_>) {
    for (index, listener) in config.listeners.iter().enumerate().filter(|(_, listener)| listener.catalog.is_some()) {
        let is_listed = |route: &Arc<Route>| route.leads_to_agents() && route.listeners.contains(&ListenerId(index));
        if !config.routes.iter().any(is_listed) {
            let name = listener.name.as_str();
            let message = format!("no route of `listeners.{name}` leads to agents, so its catalog lists none");
            let hint = "take it out, or give it to the listener that clients of agents use";
            scope.warn_key(&steps!["listeners", name, "catalog"], "without-effect", message, hint);
        }
    }
}

fn unused_limits(config: &Config, scope: &mut Scope<'_>) {
    for (index, limit) in config.rate_limits.iter().enumerate() {
        let uses = |route: &Arc<Route>| {
            let calls = route.calls.iter().flat_map(|policy| &policy.rate_limits);
            route.rate_limits.iter().chain(calls).any(|id| *id == RateLimitId(index))
        };
        if let LimitScope::Shared(name) = &limit.scope
            && !config.routes.iter().any(uses)
        {
            let message = format!("no route uses `rateLimits.{name}`");
            let hint = format!("add `rateLimit: {name}` to a route");
            scope.warn_key(&steps!["rateLimits", name.as_str()], "unused", message, hint);
        }
    }
}

/// A route that passes WebSocket on to a cluster that speaks HTTP/2 only, which knows no switch of protocols.
fn switching(route: &Route, config: &Config, scope: &mut Scope<'_>) {
    if !route.websocket {
        return;
    }
    let http2 = |protocol| matches!(protocol, UpstreamProtocol::H2 | UpstreamProtocol::H2c);
    for cluster in config.clusters_of(route).filter(|cluster| http2(cluster.protocol)) {
        let message = format!("`clusters.{}` speaks only HTTP/2, so WebSocket is refused with 403", cluster.name);
        let hint = "use `protocol: auto` or `http/1.1` there, or take `websocket` out";
        scope.warn(&steps!["routes", route.name.as_str(), "websocket"], "without-effect", message, hint);
    }
}

/// Hosts of routes on a TLS listener for which it has no certificate.
fn uncovered_hosts(config: &Config, scope: &mut Scope<'_>) {
    for route in &config.routes {
        for (index, host) in route.hosts.iter().enumerate() {
            let lacks = |id: &&ListenerId| {
                let secure = config.listeners.get(id.0).is_some_and(|listener| listener.tls.is_some());
                let names = scope.names.get(id.0).map(Vec::as_slice).unwrap_or_default();
                secure && !names.is_empty() && !names.iter().any(|name| covers(name, host))
            };
            let Some(id) = route.listeners.iter().find(lacks) else { continue };
            let listener = config.listeners.get(id.0).map(|listener| listener.name.as_str()).unwrap_or_default();
            let message = format!("no certificate of `listeners.{listener}` holds the name `{host}`");
            let at = steps!["routes", route.name.as_str(), "hosts", index];
            scope.warn(&at, "host-not-covered", message, "clients will refuse the connection");
        }
    }
}
