//! Redirects to HTTPS: the listener that a redirect leads to, and the hosts it may redirect to. The routes of that
//! listener also serve the clients that are on HTTPS already.

use std::collections::BTreeMap;

use super::Scope;
use super::listener::{is_secure, redirect_status};
use crate::config::keys;
use crate::config::keys::listener::HttpsRedirectTo;
use crate::config::model::{HostPattern, HttpsRedirect, Listener, ListenerId, Route, Scheme};
use crate::config::node::{below, steps};
use crate::config::report::Diagnostic;

/// What a redirect may lead to.
pub(super) struct RedirectTargets<'a> {
    pub(super) raw: &'a [(String, keys::Listener)],
    pub(super) ids: &'a BTreeMap<String, ListenerId>,
    pub(super) routes: &'a [Route],
    /// Whether there are trusted proxies.
    pub(super) trusts: bool,
}

/// Fills in where redirecting listeners lead, and which hosts they may redirect to.
pub(super) fn link(places: &RedirectTargets<'_>, listeners: &mut [Listener], scope: &mut Scope<'_>) {
    for (index, (name, raw)) in places.raw.iter().enumerate() {
        let Some(to) = &raw.https_redirect else { continue };
        let here = steps!["listeners", name.as_str(), "httpsRedirect"];
        if raw.tls.is_some() {
            let message = format!("`listeners.{name}` terminates TLS and redirects to HTTPS");
            scope.conflict(&here, message, "keep one of `tls` and `httpsRedirect`");
            continue;
        }
        check_public_url(name, raw, scope);
        let Some(target) = target(ListenerId(index), to, places, scope) else { continue };
        redirect_status(&below(&here, "status"), to.status, scope);
        let (port, url) = match listeners.get(target.0) {
            Some(found) if target.0 != index => (found.address.port(), found.public_url.clone()),
            _ => (443, None),
        };
        let hosts = hosts(target, places.routes, scope);
        if let Some(listener) = listeners.get_mut(index) {
            listener.public_url = listener.public_url.take().or(url);
            listener.https_redirect = Some(HttpsRedirect { port, serves: target, status: to.status, hosts });
        }
    }
}

/// The public URL of a redirecting listener is the one it leads to.
fn check_public_url(name: &str, raw: &keys::Listener, scope: &mut Scope<'_>) {
    if let Some(url) = raw.public_url.as_ref().filter(|url| url.scheme() == Scheme::Http) {
        let url = url.to_string();
        let rest = url.strip_prefix("http").unwrap_or_default();
        let diagnostic =
            Diagnostic::conflict(format!("`listeners.{name}` redirects to HTTPS, and its `publicUrl` is not HTTPS"));
        let here = steps!["listeners", name, "publicUrl"];
        scope.add(&here, diagnostic.hint(format!("write `https{rest}`, or leave it out")));
    }
}

/// Hosts that are known behind `target`.
fn hosts(target: ListenerId, routes: &[Route], scope: &Scope<'_>) -> Vec<HostPattern> {
    let mut hosts: Vec<HostPattern> =
        routes.iter().filter(|route| route.listeners.contains(&target)).flat_map(|route| route.hosts.clone()).collect();
    hosts.extend(scope.names.get(target.0).cloned().unwrap_or_default());
    hosts.sort();
    hosts.dedup();
    hosts
}

fn target(
    own: ListenerId,
    to: &HttpsRedirectTo,
    places: &RedirectTargets<'_>,
    scope: &mut Scope<'_>,
) -> Option<ListenerId> {
    let (name, raw) = places.raw.get(own.0)?;
    let at = steps!["listeners", name.as_str(), "httpsRedirect"];
    // It may lead to itself where others end TLS: in front of it, or under its public URL.
    let alone = places.trusts || raw.public_url.is_some();
    if let Some(wanted) = &to.listener {
        let at = below(&at, "listener");
        let Some(id) = places.ids.get(wanted) else {
            scope.dangling(&at, "listener", wanted, places.ids.keys().map(String::as_str));
            return None;
        };
        let leads_on = places.raw.get(id.0).is_some_and(|(_, raw)| is_secure(raw));
        if leads_on || *id == own && alone {
            return Some(*id);
        }
        let diagnostic =
            Diagnostic::error("invalid-reference", format!("the listener `{wanted}` has no TLS to redirect to"));
        scope.add(&at, diagnostic.hint("give it a `tls` block, or a `publicUrl` with https where others end TLS"));
        return None;
    }
    match secure(places.raw).as_slice() {
        [(index, _)] => Some(ListenerId(*index)),
        [] if alone => Some(own),
        [] => {
            let diagnostic = Diagnostic::error("invalid-reference", "there is no listener with TLS to redirect to");
            let hint = "give one a `tls` block; where a balancer ends TLS, name it in `clientIp.trustedProxies`";
            scope.add_key(&at, diagnostic.hint(hint));
            None
        }
        several => {
            let names: Vec<&str> = several.iter().map(|(_, name)| *name).collect();
            let hint = format!("write `httpsRedirect: {{ listener: name }}` with one of `{}`", names.join("`, `"));
            let diagnostic = Diagnostic::error("invalid-reference", "several listeners are on HTTPS");
            scope.add_key(&at, diagnostic.hint(hint));
            None
        }
    }
}

/// The listeners that terminate TLS, with their names. Where there are none: the listeners with a public URL that says
/// that a proxy in front terminates TLS.
fn secure(listeners: &[(String, keys::Listener)]) -> Vec<(usize, &str)> {
    let that = |holds: fn(&keys::Listener) -> bool| -> Vec<(usize, &str)> {
        let every = listeners.iter().enumerate().filter(|(_, (_, raw))| holds(raw));
        every.map(|(index, (name, _))| (index, name.as_str())).collect()
    };
    let ending = that(|raw| raw.tls.is_some());
    if ending.is_empty() { that(is_secure) } else { ending }
}
