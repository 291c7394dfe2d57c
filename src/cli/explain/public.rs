//! Lines about the address clients use, where it is not that of the listener.

use http::Method;

use super::subject::Subject;
use crate::config::model::{Config, Listener};
use crate::route::public::Sources;

/// Where clients see the route, and which prefix its agent is told.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let (route, listener) = (subject.settings(), subject.listener);
    let sources = Sources {
        route: route.public_url.as_deref(),
        listener: listener.public_url.as_deref(),
        names_hosts: !route.hosts.is_empty(),
        tls: listener.tls.is_some(),
        asked: subject.facts.host,
        ..Sources::default()
    };
    let prefix = subject.route.paths.get(subject.matched).forwarded(sources.face().prefix());
    let prefix = prefix.as_ref().and_then(|value| value.to_str().ok());
    let url = sources.url().map(|_| {
        let whose = if route.public_url.is_some() { "the route" } else { "the listener" };
        let face = sources.face();
        format!("{}{} (publicUrl of {whose})", face.origin(), face.prefix())
    });
    let prefix = prefix.map(|prefix| format!("the agent is told the prefix {prefix}"));
    let facts: Vec<_> = url.into_iter().chain(prefix).collect();
    if facts.is_empty() { Vec::new() } else { vec![format!("public    {}", facts.join(", "))] }
}

/// What a redirecting listener does with a client that is not on HTTPS.
pub(super) fn redirected(config: &Config, listener: &Listener, method: &Method) -> Vec<String> {
    let Some(redirect) = &listener.https_redirect else {
        return Vec::new();
    };
    let status = redirect.status_for(method).as_u16();
    let to = match &listener.public_url {
        Some(url) => format!("the same path at {url}, under the same host where a route names it"),
        None => format!("the same URL with https and port {}", redirect.port),
    };
    let mut lines = vec![format!("answer    {status}, {to}; explain that one")];
    if !config.client_ip.trusted_proxies.is_empty() {
        let served = config.listeners.get(redirect.serves.0);
        let name = served.map_or("-", |served| &served.name);
        lines.push(format!("          behind a trusted proxy that says https: served by the routes of {name}"));
    }
    lines
}
