//! Which route serves the request and why, the address clients see it under, and what the gateway answers by itself.

use http::Method;

use super::request::Request;
use super::subject::Subject;
use crate::cli::words::labelled;
use crate::config::model::{Config, Listener};
use crate::route::public::Sources;

/// The route, and what of its conditions holds.
pub(super) fn matched(subject: &Subject<'_>) -> Vec<String> {
    let (route, facts) = (subject.settings(), subject.facts);
    let reasons = route.reasons(facts.host, facts.method, subject.matched);
    vec![labelled("route", format_args!("{}: {reasons}", route.name))]
}

/// Where clients see the route, where that is not the listener's address, and which prefix its agent is told.
pub(super) fn public(subject: &Subject<'_>) -> Vec<String> {
    let (route, listener) = (subject.settings(), subject.listener);
    let sources = Sources {
        route: route.public_url.as_deref(),
        listener: listener.public_url.as_deref(),
        names_hosts: !route.hosts.is_empty(),
        tls: listener.tls.is_some(),
        asked: subject.facts.host,
        ..Sources::default()
    };
    let face = sources.face();
    let url = sources.url().map(|_| {
        let whose = if route.public_url.is_some() { "the route" } else { "the listener" };
        format!("{}{} (publicUrl of {whose})", face.origin(), face.prefix())
    });
    let prefix = subject.route.paths.get(subject.matched).forwarded(face.prefix());
    let prefix = prefix.as_ref().and_then(|value| value.to_str().ok());
    let prefix = prefix.map(|prefix| format!("the agent is told the prefix {prefix}"));
    let facts: Vec<_> = url.into_iter().chain(prefix).collect();
    if facts.is_empty() { Vec::new() } else { vec![labelled("public", facts.join(", "))] }
}

/// The answer of a route that does not forward.
pub(super) fn answer(subject: &Subject<'_>) -> Vec<String> {
    let answer = subject.settings().action.answer(subject.method());
    answer.iter().map(|answer| labelled("answer", answer)).collect()
}

/// The catalog of the listener, where that is asked for.
pub(super) fn catalog(listener: &Listener, request: &Request, path: &str) -> Option<String> {
    let catalog = listener.catalog.as_ref().filter(|catalog| catalog.is_asked_for(&request.method, path))?;
    Some(labelled("answer", format_args!("the catalog of the listener, no route; {catalog}")))
}

/// What a redirecting listener does with a client that is not on HTTPS.
pub(super) fn redirected(config: &Config, listener: &Listener, method: &Method) -> Vec<String> {
    let Some(redirect) = &listener.https_redirect else {
        return Vec::new();
    };
    let answer = redirect.answer(method, listener.public_url.as_deref());
    let mut lines = vec![labelled("answer", format_args!("{answer}; explain that one"))];
    if !config.client_ip.trusted_proxies.is_empty() {
        let served = config.listeners.get(redirect.serves.0).map_or("-", |served| &served.name);
        lines.push(labelled(
            "",
            format_args!("behind a trusted proxy that says https: served by the routes of {served}"),
        ));
    }
    lines
}
