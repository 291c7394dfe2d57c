//! Listeners: addresses, TLS with its certificates, limits. Where those that redirect lead is in `https_redirect`.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::StatusCode;

use super::{Scope, tls, to_usize, wire};
use crate::config::model::{HttpVersion, Limits, Listener, PathPolicy, Scheme};
use crate::config::node::steps;
use crate::config::raw::{self, listener as raw_listener};
use crate::config::report::Diagnostic;

/// Resolves every listener; redirects are linked later, when the routes are known.
pub(super) fn resolve(listeners: &[(String, raw::Listener)], scope: &mut Scope<'_>) -> Vec<Listener> {
    if listeners.is_empty() {
        scope.missing(
            &steps!["listeners"],
            Diagnostic::error("missing-field", "there is no listener")
                .hint("add one: `listeners: { http: { address: \"0.0.0.0:8080\" } }`"),
        );
    }
    let mut seen: HashMap<SocketAddr, &str> = HashMap::new();
    let mut resolved = Vec::new();
    for (name, raw) in listeners {
        let listener = one(name, raw, scope);
        if raw.address.is_some()
            && listener.address.port() != 0
            && let Some(first) = seen.insert(listener.address, name)
        {
            let diagnostic = Diagnostic::error(
                "duplicate-address",
                format!("`{name}` and `{first}` both bind {}", listener.address),
            );
            let other = scope.tree.locate(&steps!["listeners", first, "address"]).span;
            scope.add(&steps!["listeners", name.as_str(), "address"], diagnostic.related(other, "the other one"));
        }
        resolved.push(listener);
    }
    resolved
}

/// For each listener, whether it does nothing but redirect. Not so one that leads to itself: a trusted proxy in front
/// ends TLS, and says of some clients that they are on HTTPS already.
pub(super) fn only_redirect(listeners: &[(String, raw::Listener)], trusts: bool) -> Vec<bool> {
    let elsewhere = listeners.iter().any(|(_, raw)| is_secure(raw));
    let only = |(name, raw): &(String, raw::Listener)| match &raw.https_redirect {
        Some(raw_listener::HttpsRedirect::On(to)) => {
            let leads_to_itself = match &to.listener {
                Some(wanted) => wanted == name,
                None => !elsewhere,
            };
            !(leads_to_itself && trusts)
        }
        Some(raw_listener::HttpsRedirect::Off) | None => false,
    };
    listeners.iter().map(only).collect()
}

/// Whether clients reach it over TLS, which it ends itself or somebody in front does.
pub(super) fn is_secure(raw: &raw::Listener) -> bool {
    let redirects = matches!(raw.https_redirect, Some(raw_listener::HttpsRedirect::On(_)));
    let url = raw.public_url.as_ref();
    raw.tls.is_some() || !redirects && url.is_some_and(|url| url.0.scheme() == Scheme::Https)
}

fn one(name: &str, raw: &raw::Listener, scope: &mut Scope<'_>) -> Listener {
    if raw.address.is_none() {
        let diagnostic = Diagnostic::error("missing-field", format!("`listeners.{name}` has no address"));
        scope.missing(&steps!["listeners", name], diagnostic.hint("add `address: \"0.0.0.0:8080\"`"));
    }
    let tls = raw.tls.as_ref().map(|raw| tls::resolve(name, raw, scope));
    let (tls, names) = tls.map_or((None, Vec::new()), |(tls, names)| (Some(tls), names));
    scope.names.push(names);
    let limits = limits(name, &raw.limits.clone().unwrap_or_default(), scope);
    Listener {
        name: name.to_owned(),
        address: raw.address.map_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), |bind| bind.0),
        protocols: protocols(name, raw, scope),
        public_url: raw.public_url.clone().map(|url| Box::new(url.0)),
        https_redirect: None,
        tls,
        tcp_keepalive: wire::tcp_keepalive(
            ["listeners", name],
            raw.tcp_keepalive.as_ref(),
            // A client that reads slowly has its own limit, which names the cause.
            limits.body_idle_timeout + KERNEL_IS_LATER,
            scope,
        ),
        http2_keepalive: wire::http2_keepalive(["listeners", name], raw.http2.as_ref(), scope),
        limits,
        proxy_protocol: proxy_protocol(name, raw, scope),
        paths: PathPolicy {
            merge_slashes: raw.paths.as_ref().and_then(|paths| paths.merge_slashes).unwrap_or(true),
            allow_encoded_slash: raw.paths.as_ref().and_then(|paths| paths.allow_encoded_slash).unwrap_or(false),
        },
    }
}

fn protocols(name: &str, raw: &raw::Listener, scope: &mut Scope<'_>) -> Vec<HttpVersion> {
    let Some(words) = &raw.protocols else {
        return vec![HttpVersion::H2, HttpVersion::Http1];
    };
    let mut versions = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if versions.contains(&word.0) {
            scope.add(
                &steps!["listeners", name, "protocols", index],
                Diagnostic::error("invalid-value", "this protocol is given twice"),
            );
        }
        versions.push(word.0);
    }
    if versions.is_empty() {
        let diagnostic = Diagnostic::error("invalid-value", format!("`listeners.{name}.protocols` is empty"));
        scope.missing(
            &steps!["listeners", name, "protocols"],
            diagnostic.hint("leave it out, or write `[h2, http/1.1]`"),
        );
    }
    versions
}

fn proxy_protocol(name: &str, raw: &raw::Listener, scope: &mut Scope<'_>) -> Vec<ipnet::IpNet> {
    let Some(proxy) = &raw.proxy_protocol else {
        return Vec::new();
    };
    let trusted: Vec<_> = proxy.trusted.iter().flatten().map(|network| network.0).collect();
    if trusted.is_empty() {
        let diagnostic = Diagnostic::error("missing-field", format!("`listeners.{name}.proxyProtocol` trusts nobody"));
        scope.missing(&steps!["listeners", name, "proxyProtocol"], diagnostic.hint("add `trusted: [10.0.0.0/8]`"));
    }
    trusted
}

fn limits(name: &str, raw: &raw_listener::Limits, scope: &mut Scope<'_>) -> Limits {
    let at = |key: &str| steps!["listeners", name, "limits", key];
    let count = |scope: &mut Scope<'_>, key: &str, value: Option<u64>, default: u64, most: u64| {
        scope.range(&at(key), value.unwrap_or(default), 1..=most, "")
    };
    let time = |scope: &mut Scope<'_>, key: &str, value: Option<raw::values::Time>, default: u64| {
        scope.limit(&at(key), value.map_or_else(|| Duration::from_secs(default), |time| time.0))
    };
    let size = |scope: &mut Scope<'_>, key: &str, value: Option<raw::values::Size>, default: u64, range| {
        to_usize(scope.range(&at(key), value.map_or(default, |size| size.0), range, "B"))
    };
    let per_ip = raw.max_connections_per_ip.and_then(raw::OrOff::on);
    Limits {
        max_connections: to_usize(count(scope, "maxConnections", raw.max_connections, 10_000, 10_000_000)),
        max_connections_per_ip: per_ip
            .map(|value| to_usize(count(scope, "maxConnectionsPerIp", Some(value.0), 1, 10_000_000))),
        // Below 8 KiB hyper refuses to work.
        max_header_bytes: size(scope, "maxHeaderBytes", raw.max_header_bytes, 64 << 10, 8 << 10..=16 << 20),
        max_headers: to_usize(count(scope, "maxHeaders", raw.max_headers, 100, 10_000)),
        // A request target beyond 65,534 bytes cannot be represented.
        max_target_bytes: size(scope, "maxTargetBytes", raw.max_target_bytes, 16 << 10, 128..=65_534),
        max_body_bytes: raw.max_body_bytes.map_or(Some(16 << 20), |size| size.on().map(|size| size.0)),
        header_timeout: time(scope, "headerTimeout", raw.header_timeout, 10),
        idle_timeout: time(scope, "idleTimeout", raw.idle_timeout, 75),
        body_idle_timeout: time(scope, "bodyIdleTimeout", raw.body_idle_timeout, 30),
        half_close_timeout: half_close(&at("halfCloseTimeout"), raw, scope),
        handshake_timeout: time(scope, "handshakeTimeout", raw.handshake_timeout, 10),
        max_concurrent_streams: u32::try_from(count(
            scope,
            "maxConcurrentStreams",
            raw.max_concurrent_streams,
            100,
            65_535,
        ))
        .unwrap_or(100),
    }
}

/// Zero for `off`.
fn half_close(at: &[crate::config::node::Step], raw: &raw_listener::Limits, scope: &mut Scope<'_>) -> Duration {
    match raw.half_close_timeout.map(raw::OrOff::on) {
        None => Duration::from_millis(500),
        Some(None) => Duration::ZERO,
        Some(Some(time)) => scope.limit(at, time.0),
    }
}

/// Checks that a status is one of a redirect.
pub(super) fn redirect_status(at: &[crate::config::node::Step], status: Option<StatusCode>, scope: &mut Scope<'_>) {
    if let Some(status) = status.filter(|status| !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)) {
        let diagnostic = Diagnostic::error("invalid-value", format!("{} is not a redirect", status.as_u16()));
        scope.add(at, diagnostic.hint("301, 302, 303, 307 or 308"));
    }
}

/// What our own limit on a client that does not read has before the kernel's.
const KERNEL_IS_LATER: Duration = Duration::from_secs(10);
