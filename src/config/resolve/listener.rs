//! Listeners: addresses, TLS with its certificates, limits. Where those that redirect lead is in `https_redirect`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

use http::StatusCode;

use super::{Scope, abuse, tls};
use crate::config::keys;
use crate::config::model::{HeaderChanges, HttpVersion, Listener, Scheme};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// Resolves every listener; redirects are linked later, when the routes are known.
pub(super) fn resolve(listeners: &[(String, keys::Listener)], scope: &mut Scope<'_>) -> Vec<Listener> {
    if listeners.is_empty() {
        let hint = "add one: `listeners: { http: { address: \"0.0.0.0:8080\" } }`";
        scope.lacks(&steps!["listeners"], "there is no listener", hint);
    }
    let mut seen: HashMap<SocketAddr, &str> = HashMap::new();
    let mut resolved = Vec::new();
    for (name, raw) in listeners {
        let listener = one(name, raw, scope);
        if raw.address.is_some()
            && listener.address.port() != 0
            && let Some(first) = seen.insert(listener.address, name)
        {
            let message = format!("`{name}` and `{first}` both bind {}", listener.address);
            let diagnostic = Diagnostic::error("duplicate-address", message);
            let other = scope.tree.locate(&steps!["listeners", first, "address"]).span;
            scope.add(&steps!["listeners", name.as_str(), "address"], diagnostic.related(other, "the other one"));
        }
        resolved.push(listener);
    }
    resolved
}

/// For each listener, whether it does nothing but redirect. Not so one that leads to itself: a trusted proxy in front
/// ends TLS, and says of some clients that they are on HTTPS already.
pub(super) fn only_redirect(listeners: &[(String, keys::Listener)], trusts: bool) -> Vec<bool> {
    let elsewhere = listeners.iter().any(|(_, raw)| is_secure(raw));
    let only = |(name, raw): &(String, keys::Listener)| match &raw.https_redirect {
        Some(to) => {
            let leads_to_itself = match &to.listener {
                Some(wanted) => wanted == name,
                None => !elsewhere,
            };
            !(leads_to_itself && trusts)
        }
        None => false,
    };
    listeners.iter().map(only).collect()
}

/// Whether clients reach it over TLS, which the listener or a proxy in front of it terminates.
pub(super) fn is_secure(raw: &keys::Listener) -> bool {
    let url = raw.public_url.as_ref();
    raw.tls.is_some() || raw.https_redirect.is_none() && url.is_some_and(|url| url.scheme() == Scheme::Https)
}

fn one(name: &str, raw: &keys::Listener, scope: &mut Scope<'_>) -> Listener {
    if raw.address.is_none() {
        let message = format!("`listeners.{name}` has no address");
        scope.lacks(&steps!["listeners", name], message, "add `address: \"0.0.0.0:8080\"`");
    }
    let tls = raw.tls.clone().map(|raw| tls::resolve(name, raw, scope));
    let (tls, names) = tls.map_or((None, Vec::new()), |(tls, names)| (Some(tls), names));
    scope.names.push(names);
    Listener {
        name: name.to_owned(),
        address: raw.address.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        protocols: protocols(name, raw, scope),
        public_url: raw.public_url.clone().map(Box::new),
        https_redirect: None,
        tls,
        tcp_keepalive: raw.tcp_keepalive,
        http2_keepalive: raw.http2.keepalive,
        limits: raw.limits.clone(),
        proxy_protocol: proxy_protocol(name, raw, scope),
        paths: raw.paths,
        catalog: raw.catalog.clone(),
        ip_access: abuse::ip_access(&steps!["listeners", name, "ipAccess"], raw.ip_access.clone(), scope),
        unrouted_headers: HeaderChanges::default(),
    }
}

fn protocols(name: &str, raw: &keys::Listener, scope: &mut Scope<'_>) -> Vec<HttpVersion> {
    let at = steps!["listeners", name, "protocols"];
    for (index, version) in raw.protocols.iter().enumerate() {
        if raw.protocols.iter().take(index).any(|other| other == version) {
            scope.add(&below(&at, index), Diagnostic::invalid("this protocol is given twice"));
        }
    }
    if raw.protocols.is_empty() {
        let diagnostic = Diagnostic::invalid(format!("`listeners.{name}.protocols` is empty"));
        scope.missing(&at, diagnostic.hint("leave it out, or write `[h2, http/1.1]`"));
    }
    raw.protocols.clone()
}

fn proxy_protocol(name: &str, raw: &keys::Listener, scope: &mut Scope<'_>) -> Vec<ipnet::IpNet> {
    let Some(proxy) = &raw.proxy_protocol else { return Vec::new() };
    if proxy.trusted.is_empty() {
        let message = format!("`listeners.{name}.proxyProtocol` trusts nobody");
        scope.lacks(&steps!["listeners", name, "proxyProtocol"], message, "add `trusted: [10.0.0.0/8]`");
    }
    proxy.trusted.clone()
}

/// Checks that a status is one of a redirect.
pub(super) fn redirect_status(at: &[Step], status: Option<StatusCode>, scope: &mut Scope<'_>) {
    if let Some(status) = status.filter(|status| !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)) {
        scope.invalid(at, format!("{} is not a redirect", status.as_u16()), "301, 302, 303, 307 or 308");
    }
}
