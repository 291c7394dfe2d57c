//! Routes: what they match, and exactly one thing that they do.

use std::collections::BTreeMap;
use std::time::Duration;

use http::HeaderValue;

use super::action::{action, has_regex};
use super::limits::Found;
use super::{Scope, fault, headers, mirror, retries};
use crate::config::hosts::is_authority;
use crate::config::model::{
    Action, ClusterId, HeadLimit, HeaderMatch, HostPattern, ListenerId, Match, PathMatch, QueryMatch, Rewrite, Route,
    Streaming, UpstreamHost,
};
use crate::config::node::{Step, Value, steps};
use crate::config::raw::values::Time;
use crate::config::raw::{self, OrOff, route as raw_route};
use crate::config::report::Diagnostic;

/// What a route may refer to.
pub(super) struct References<'a> {
    pub(super) listeners: &'a BTreeMap<String, ListenerId>,
    /// For each listener, whether it only redirects.
    pub(super) redirects: &'a [bool],
    pub(super) clusters: &'a BTreeMap<String, ClusterId>,
    /// Rate limits; those of routes are added.
    pub(super) limits: &'a mut Found,
}

/// Resolves one route.
pub(super) fn resolve(name: &str, raw: raw::Route, references: &mut References<'_>, scope: &mut Scope<'_>) -> Route {
    let listeners = listeners(name, raw.listeners.as_ref(), references, scope);
    let matches = matches(name, raw.matches.as_ref(), scope);
    let action = action(name, &raw, &matches, references, scope);
    let rewrite = raw.rewrite.map(|rewrite| rewrite.0);
    if matches!(rewrite, Some(Rewrite::Prefix(_))) && has_regex(&matches) {
        refuse_prefix_rewrite(name, scope);
    }
    let limit = |scope: &mut Scope<'_>, key: &str, time: Option<Time>| {
        time.map(|time| scope.limit(&steps!["routes", name, key], time.0))
    };
    let forwards = matches!(action, Action::Forward(_) | Action::Split(_));
    let timeout = limit(scope, "timeout", raw.timeout.and_then(OrOff::on));
    let around = retries::Around { route: name, timeout, matches: &matches };
    Route {
        retries: retries::resolve(unboxed(raw.retries), &around, scope),
        name: name.to_owned(),
        listeners,
        public_url: unboxed(raw.public_url).map(|url| Box::new(url.0)),
        hosts: hosts(name, raw.hosts.as_ref(), scope),
        matches,
        action,
        rewrite,
        map_location: raw.map_location.unwrap_or(true),
        request_headers: headers::request(name, unboxed(raw.request_headers).unwrap_or_default(), scope),
        response_headers: headers::response(name, unboxed(raw.response_headers).unwrap_or_default(), scope),
        upstream_host: upstream_host(name, raw.upstream_host.as_deref(), scope),
        timeout,
        response_head_timeout: match raw.response_head_timeout {
            None => HeadLimit::Default,
            Some(given) => limit(scope, "responseHeadTimeout", given.on()).map_or(HeadLimit::Off, HeadLimit::After),
        },
        streaming: streaming(name, &unboxed(raw.streaming).unwrap_or_default(), scope),
        websocket: raw.websocket.unwrap_or(false),
        max_body_bytes: raw.max_body_bytes.map(|size| size.on().map_or(u64::MAX, |size| size.0)),
        rate_limits: references.limits.of_route(name, raw.rate_limit, scope),
        concurrency: references.limits.concurrency(name, raw.max_concurrent_per_client, scope),
        access_log: raw.access_log.unwrap_or(true),
        fault: fault::resolve(name, unboxed(raw.fault), forwards, scope),
        mirror: mirror::resolve(name, unboxed(raw.mirror), forwards, references.clusters, scope),
    }
}

fn refuse_prefix_rewrite(name: &str, scope: &mut Scope<'_>) {
    let diagnostic =
        Diagnostic::error("conflict", format!("`routes.{name}` rewrites a prefix but matches by regular expression"));
    scope.add_key(
        &steps!["routes", name, "rewrite"],
        diagnostic.hint("use `rewrite: { regex: { pattern: .., replacement: .. } }`"),
    );
}

fn unboxed<T>(given: Option<Box<T>>) -> Option<T> {
    given.map(|given| *given)
}

fn listeners(
    name: &str,
    raw: Option<&raw::Many<String>>,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Vec<ListenerId> {
    let redirects = |id: ListenerId| references.redirects.get(id.0).copied().unwrap_or(false);
    let Some(names) = raw else {
        return references.listeners.values().copied().filter(|id| !redirects(*id)).collect();
    };
    let mut ids = Vec::new();
    for (index, wanted) in names.0.iter().enumerate() {
        let at = steps!["routes", name, "listeners", index];
        match references.listeners.get(wanted) {
            None => scope.dangling(&at, "listener", wanted, references.listeners.keys().map(String::as_str)),
            Some(id) if redirects(*id) => {
                let diagnostic = Diagnostic::warning(
                    "unreachable",
                    format!("the listener `{wanted}` only redirects, so `routes.{name}` is not reached there"),
                );
                scope.add(&at, diagnostic.hint("take it out"));
            }
            Some(id) if ids.contains(id) => {
                scope.add(&at, Diagnostic::error("invalid-value", format!("`{wanted}` is given twice")));
            }
            Some(id) => ids.push(*id),
        }
    }
    if names.0.is_empty() {
        let diagnostic = Diagnostic::warning("unreachable", format!("`routes.{name}` has no listener"));
        scope.missing(&steps!["routes", name, "listeners"], diagnostic.hint("leave `listeners` out to use all"));
    }
    ids
}

fn hosts(name: &str, raw: Option<&raw::Many<raw::names::Host>>, scope: &mut Scope<'_>) -> Vec<HostPattern> {
    let mut hosts: Vec<HostPattern> = Vec::new();
    for (index, host) in raw.iter().flat_map(|hosts| &hosts.0).enumerate() {
        if hosts.contains(&host.0) {
            scope.add(
                &steps!["routes", name, "hosts", index],
                Diagnostic::error("invalid-value", format!("`{}` is given twice", host.0)),
            );
        } else {
            hosts.push(host.0.clone());
        }
    }
    hosts
}

fn matches(name: &str, raw: Option<&raw::Many<raw_route::Match>>, scope: &mut Scope<'_>) -> Vec<Match> {
    let root = || PathMatch::Prefix(String::new());
    let Some(list) = raw else {
        return vec![Match { path: root(), methods: Vec::new(), headers: Vec::new(), query: Vec::new() }];
    };
    if list.0.is_empty() {
        let diagnostic = Diagnostic::error(
            "invalid-value",
            format!("`routes.{name}.match` is an empty list, which matches nothing"),
        );
        scope.missing(&steps!["routes", name, "match"], diagnostic.hint("leave it out to match everything"));
    }
    let mut matches = Vec::new();
    for (index, raw) in list.0.iter().enumerate() {
        let headers = header_matches(name, index, raw, scope);
        let query = raw.query.iter().flat_map(|named| &named.0);
        matches.push(Match {
            path: raw.path.as_ref().map_or_else(root, |path| path.0.clone()),
            methods: methods(name, index, raw, scope),
            headers,
            query: query.map(|(name, value)| QueryMatch { name: name.clone(), value: value.0.clone() }).collect(),
        });
    }
    matches
}

fn methods(route: &str, index: usize, raw: &raw_route::Match, scope: &mut Scope<'_>) -> Vec<http::Method> {
    let list: Vec<_> = raw.methods.iter().flat_map(|methods| &methods.0).map(|verb| verb.0.clone()).collect();
    let Some(verb) = &raw.method else { return list };
    if !list.is_empty() {
        let diagnostic = Diagnostic::error("conflict", "`method` and `methods` are both given");
        scope.add_key(&within_match(route, index, &["method"], scope), diagnostic.hint("keep `methods`"));
    }
    vec![verb.0.clone()]
}

fn header_matches(route: &str, index: usize, raw: &raw_route::Match, scope: &mut Scope<'_>) -> Vec<HeaderMatch> {
    let mut headers: Vec<HeaderMatch> = Vec::new();
    for (field, value) in raw.headers.iter().flat_map(|named| &named.0) {
        let problem = match headers::field(field) {
            Ok(name) if headers.iter().any(|other| other.name == name) => {
                Diagnostic::error("duplicate-key", format!("`{name}` is already given in another case"))
            }
            Ok(name) => {
                headers.push(HeaderMatch { name, value: value.0.clone() });
                continue;
            }
            Err(diagnostic) => *diagnostic,
        };
        scope.add_key(&within_match(route, index, &["headers", field], scope), problem);
    }
    headers
}

/// Path of something inside a route's match, which is written as one mapping or as a list.
fn within_match(route: &str, index: usize, more: &[&str], scope: &Scope<'_>) -> Vec<Step> {
    let node = scope.tree.get("routes").and_then(|routes| routes.get(route)).and_then(|route| route.get("match"));
    let listed = node.is_some_and(|node| matches!(node.value, Value::List(_)));
    let mut path: Vec<Step> = steps!["routes", route, "match"].into();
    path.extend(listed.then(|| Step::from(index)));
    path.extend(more.iter().map(|key| Step::from(*key)));
    path
}

fn upstream_host(name: &str, raw: Option<&str>, scope: &mut Scope<'_>) -> UpstreamHost {
    let Some(text) = raw else {
        return UpstreamHost::Preserve;
    };
    match text.to_ascii_lowercase().as_str() {
        "preserve" => return UpstreamHost::Preserve,
        "endpoint" => return UpstreamHost::Endpoint,
        _ => {}
    }
    match HeaderValue::from_str(text) {
        Ok(value) if is_authority(text) => UpstreamHost::Fixed(value),
        _ => {
            let diagnostic = Diagnostic::error("invalid-value", format!("`{text}` is not a host"));
            scope.add(
                &steps!["routes", name, "upstreamHost"],
                diagnostic.hint("`preserve`, `endpoint`, or a name such as `agents.internal`"),
            );
            UpstreamHost::Preserve
        }
    }
}

fn streaming(name: &str, raw: &raw_route::Streaming, scope: &mut Scope<'_>) -> Streaming {
    let limit = |scope: &mut Scope<'_>, key: &str, time: Option<Time>| {
        time.map(|time| scope.limit(&steps!["routes", name, "streaming", key], time.0))
    };
    Streaming {
        idle_timeout: match raw.idle_timeout {
            None => Some(Duration::from_secs(300)),
            Some(given) => limit(scope, "idleTimeout", given.on()),
        },
        max_duration: limit(scope, "maxDuration", raw.max_duration.and_then(OrOff::on)),
    }
}
