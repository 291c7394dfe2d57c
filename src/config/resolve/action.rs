//! What a route does with what it matches.

use bytes::Bytes;
use http::HeaderValue;

use super::listener::redirect_status;
use super::references::References;
use super::{Scope, split};
use crate::config::keys::{self, route as raw_route};
use crate::config::model::{Action, ClusterId, Match, PathMatch, Redirect, Respond};
use crate::config::node::{below, steps};
use crate::config::report::Diagnostic;

/// What a route does.
pub(super) fn action(
    name: &str,
    raw: &keys::Route,
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
            let (at, known) = (steps!["routes", name, "cluster"], references.clusters.keys().map(String::as_str));
            scope.dangling(&at, "cluster", cluster, known);
            return harmless;
        };
        return Action::Forward(*id);
    }
    if let Some(split) = &raw.split {
        let split = split::resolve(name, split, raw.rollout.as_deref(), references, scope);
        return split.map_or(harmless, |split| Action::Split(Box::new(split)));
    }
    if let Some(redirect) = &raw.redirect {
        check_redirect(name, redirect, matches, scope);
        return Action::Redirect(Redirect::clone(redirect));
    }
    match &raw.respond {
        Some(raw) => Action::Respond(respond(name, raw, scope)),
        // Endpoints of a route became a cluster before; these come from `defaults`.
        None => {
            let hint = "define a cluster and write `cluster: name`";
            scope.conflict(&steps!["routes", name, "endpoints"], "`endpoints` cannot be a default", hint);
            harmless
        }
    }
}

fn check_redirect(name: &str, raw: &Redirect, matches: &[Match], scope: &mut Scope<'_>) {
    let at = steps!["routes", name, "redirect"];
    redirect_status(&below(&at, "status"), raw.status, scope);
    let Redirect { scheme, host, port, path, prefix, .. } = raw;
    if scheme.is_none() && host.is_none() && port.is_none() && path.is_none() && prefix.is_none() {
        let message = format!("`routes.{name}.redirect` leads back to the same place");
        scope.lacks(&at, message, "add `scheme`, `host`, `port`, `path` or `prefix`");
    }
    if path.is_some() && prefix.is_some() {
        scope.conflict(&at, "`path` and `prefix` are both given", "keep one of them");
    }
    if prefix.is_some() && has_regex(matches) {
        let message = "there is no prefix to replace in a regular expression";
        scope.conflict(&below(&at, "prefix"), message, "use `path`");
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
            let diagnostic = Diagnostic::invalid("this is not a legal header value");
            scope.add(&steps!["routes", name, "respond", "contentType"], diagnostic);
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
fn does_one_thing(name: &str, raw: &keys::Route, scope: &mut Scope<'_>) -> bool {
    let given = [
        ("cluster", raw.cluster.is_some()),
        ("endpoints", raw.endpoints.is_some()),
        ("split", raw.split.is_some()),
        ("redirect", raw.redirect.is_some()),
        ("respond", raw.respond.is_some()),
    ];
    let at = steps!["routes", name];
    if raw.rollout.is_some() && raw.split.is_none() {
        let diagnostic = Diagnostic::lacks(format!("`routes.{name}` has a rollout and no `split` to move"));
        let hint = "write `split: [{ cluster: stable, weight: 100 }, { cluster: canary, weight: 0 }]`";
        scope.add_key(&steps!["routes", name, "rollout"], diagnostic.hint(hint));
    }
    let named: Vec<_> = given.iter().filter(|(_, given)| *given).map(|(key, _)| format!("`{key}`")).collect();
    match named.len() {
        0 => {
            let message = format!("`routes.{name}` does not say what happens");
            scope.lacks(&at, message, "add one of `cluster`, `endpoints`, `split`, `redirect`, `respond`");
        }
        1 => {}
        _ => scope.conflict(&at, format!("`routes.{name}` has {}", named.join(" and ")), "keep one of them"),
    }
    named.len() == 1
}

/// Whether a route is reached by a regular expression, which has no prefix.
pub(super) fn has_regex(matches: &[Match]) -> bool {
    matches.iter().any(|one| matches!(one.path, PathMatch::Regex(_)))
}
