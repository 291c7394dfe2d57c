//! What a route does with what it matches.

use std::num::NonZeroU16;

use bytes::Bytes;
use http::HeaderValue;

use super::listener::redirect_status;
use super::references::References;
use super::{Scope, split};
use crate::config::model::{Action, ClusterId, HostPattern, Match, PathMatch, Redirect, Respond};
use crate::config::node::steps;
use crate::config::raw::{self, route as raw_route};
use crate::config::report::Diagnostic;

/// What a route does.
pub(super) fn action(
    name: &str,
    raw: &raw::Route,
    matches: &[Match],
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Action {
    let harmless = Action::Forward(ClusterId(usize::MAX));
    if !does_one_thing(name, raw, scope) {
        return harmless;
    }
    if let Some(cluster) = &raw.cluster {
        let Some(id) = references.clusters.get(cluster) else {
            scope.dangling(
                &steps!["routes", name, "cluster"],
                "cluster",
                cluster,
                references.clusters.keys().map(String::as_str),
            );
            return harmless;
        };
        return Action::Forward(*id);
    }
    if let Some(split) = &raw.split {
        let split = split::resolve(name, split, raw.rollout.as_deref(), references, scope);
        return split.map_or(harmless, |split| Action::Split(Box::new(split)));
    }
    if let Some(raw) = &raw.redirect {
        return Action::Redirect(redirect(name, raw, matches, scope));
    }
    match &raw.respond {
        Some(raw) => Action::Respond(respond(name, raw, scope)),
        // Endpoints of a route became a cluster before; these come from `defaults`.
        None => {
            let diagnostic = Diagnostic::conflict("`endpoints` cannot be a default");
            scope.add_key(
                &steps!["routes", name, "endpoints"],
                diagnostic.hint("define a cluster and write `cluster: name`"),
            );
            harmless
        }
    }
}

fn redirect(name: &str, raw: &raw_route::Redirect, matches: &[Match], scope: &mut Scope<'_>) -> Redirect {
    let at = steps!["routes", name, "redirect"];
    redirect_status(&steps!["routes", name, "redirect", "status"], raw.status, scope);
    let nothing =
        raw.scheme.is_none() && raw.host.is_none() && raw.port.is_none() && raw.path.is_none() && raw.prefix.is_none();
    if nothing {
        let diagnostic = Diagnostic::lacks(format!("`routes.{name}.redirect` leads back to the same place"));
        scope.missing(&at, diagnostic.hint("add `scheme`, `host`, `port`, `path` or `prefix`"));
    }
    if raw.path.is_some() && raw.prefix.is_some() {
        scope.add_key(&at, Diagnostic::conflict("`path` and `prefix` are both given").hint("keep one of them"));
    }
    if raw.prefix.is_some() && has_regex(matches) {
        scope.add_key(
            &steps!["routes", name, "redirect", "prefix"],
            Diagnostic::conflict("there is no prefix to replace in a regular expression").hint("use `path`"),
        );
    }
    if let Some(HostPattern::Wildcard(_)) = raw.host {
        scope.add(
            &steps!["routes", name, "redirect", "host"],
            Diagnostic::invalid("a redirect needs one host, not a wildcard"),
        );
    }
    if raw.port == Some(0) {
        scope.add(&steps!["routes", name, "redirect", "port"], Diagnostic::invalid("a port is 1 to 65535"));
    }
    Redirect {
        status: raw.status,
        scheme: raw.scheme,
        host: raw.host.as_ref().map(ToString::to_string),
        port: raw.port.and_then(NonZeroU16::new),
        path: raw.path.clone(),
        prefix: raw.prefix.clone(),
    }
}

fn respond(name: &str, raw: &raw_route::Respond, scope: &mut Scope<'_>) -> Respond {
    let raw_route::Respond { status, body, .. } = raw.clone();
    if !body.is_empty() && matches!(status.as_u16(), 204 | 205 | 304) {
        let diagnostic = Diagnostic::conflict(format!("a {} has no body", status.as_u16()));
        scope.add(&steps!["routes", name, "respond", "body"], diagnostic.hint("take the body out"));
    }
    let content_type = match &raw.content_type {
        Some(text) => HeaderValue::from_str(text).unwrap_or_else(|_illegal| {
            scope.add(
                &steps!["routes", name, "respond", "contentType"],
                Diagnostic::invalid("this is not a legal header value"),
            );
            HeaderValue::from_static("text/plain")
        }),
        None if is_json(&body) => HeaderValue::from_static("application/json"),
        None => HeaderValue::from_static("text/plain; charset=utf-8"),
    };
    Respond { status, body: Bytes::from(body), content_type }
}

fn is_json(body: &str) -> bool {
    body.trim_start().starts_with(['{', '[']) && serde_json::from_str::<serde_json::Value>(body).is_ok()
}

/// Whether a route says exactly one thing; reports it otherwise.
fn does_one_thing(name: &str, raw: &raw::Route, scope: &mut Scope<'_>) -> bool {
    let given = [
        raw.cluster.is_some(),
        raw.endpoints.is_some(),
        raw.split.is_some(),
        raw.redirect.is_some(),
        raw.respond.is_some(),
    ];
    let at = steps!["routes", name];
    if raw.rollout.is_some() && raw.split.is_none() {
        let diagnostic = Diagnostic::lacks(format!("`routes.{name}` has a rollout and no `split` to move"));
        scope.add_key(
            &steps!["routes", name, "rollout"],
            diagnostic.hint("write `split: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }]`"),
        );
    }
    match given.into_iter().filter(|given| *given).count() {
        0 => {
            let diagnostic = Diagnostic::lacks(format!("`routes.{name}` does not say what happens"));
            scope.missing(&at, diagnostic.hint("add one of `cluster`, `endpoints`, `split`, `redirect`, `respond`"));
            false
        }
        1 => true,
        _ => {
            let keys = ["cluster", "endpoints", "split", "redirect", "respond"];
            let named: Vec<_> =
                keys.iter().zip(given).filter(|(_, given)| *given).map(|(key, _)| format!("`{key}`")).collect();
            let message = format!("`routes.{name}` has {}", named.join(" and "));
            scope.add_key(&at, Diagnostic::conflict(message).hint("keep one of them"));
            false
        }
    }
}

/// Whether a route is reached by a regular expression, which has no prefix.
pub(super) fn has_regex(matches: &[Match]) -> bool {
    matches.iter().any(|one| matches!(one.path, PathMatch::Regex(_)))
}
