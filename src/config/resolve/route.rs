//! Routes: what they match, and exactly one thing that they do.

use http::HeaderName;

use super::action::{action, has_regex};
use super::references::References;
use super::{Scope, abuse, agents, auth, browser, calls, fault, headers, mirror, retries, tracing};
use crate::config::keys::{self, Written as _, route as raw_route};
use crate::config::model::{
    HeadLimit, HostPattern, LimitScope, ListenerId, Match, PathMatch, QueryMatch, Rewrite, Route, TenantMatch,
};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// Resolves one route.
pub(super) fn resolve(name: &str, raw: keys::Route, references: &mut References<'_>, scope: &mut Scope<'_>) -> Route {
    let listeners = listeners(name, raw.listeners.as_ref(), references, scope);
    let matches = matches(name, raw.matches.as_ref(), references.tenant_header, scope);
    let action = action(name, &raw, &matches, references, scope);
    let rewrite = unboxed(raw.rewrite);
    if matches!(rewrite, Some(Rewrite::Prefix(_))) && has_regex(&matches) {
        let message = format!("`routes.{name}` rewrites a prefix but matches by regular expression");
        let hint = "use `rewrite: { regex: { pattern: .., replacement: .. } }`";
        scope.conflict(&steps!["routes", name, "rewrite"], message, hint);
    }
    let forwards = action.forwards();
    let authorization = references.authorization.of_route(name, raw.authorization, scope);
    if forwards && raw.a2a.is_none() {
        references.authorization.check_calls(name, &authorization, scope);
    }
    let auth = auth::of_route(name, raw.auth, references, scope);
    if auth.is_none() {
        references.authorization.check_who(name, &authorization, scope);
    }
    let around = retries::Around { route: name, timeout: raw.timeout, matches: &matches };
    Route {
        retries: retries::resolve(unboxed(raw.retries), &around, scope),
        name: name.to_owned(),
        listeners,
        public_url: raw.public_url,
        hosts: hosts(name, raw.hosts, scope),
        matches,
        action,
        rewrite,
        map_location: raw.map_location,
        request_headers: headers::request(
            &steps!["routes", name, "requestHeaders"],
            unboxed(raw.request_headers).unwrap_or_default(),
            scope,
        ),
        response_headers: headers::response(
            &steps!["routes", name, "responseHeaders"],
            unboxed(raw.response_headers).unwrap_or_default(),
            scope,
        ),
        upstream_host: raw.upstream_host,
        timeout: raw.timeout,
        response_head_timeout: match raw.response_head_timeout {
            None => HeadLimit::Default,
            Some(given) => given.on().map_or(HeadLimit::Off, |limit| HeadLimit::After(limit.meaning())),
        },
        streaming: raw.streaming,
        websocket: raw.websocket,
        max_body_bytes: raw.max_body_bytes.map(|size| size.on().map_or(u64::MAX, |size| size.0)),
        auth,
        authorization,
        screening: references.screenings.of_route(name, raw.screening, forwards, scope),
        rate_limits: references.limits.of_uses(
            &steps!["routes", name],
            |index| LimitScope::Route { route: name.to_owned(), index },
            raw.rate_limit,
            scope,
        ),
        concurrency: references.limits.concurrency(raw.max_concurrent_per_client),
        access_log: raw.access_log,
        tracing: tracing::of_route(unboxed(raw.tracing)),
        ip_access: abuse::ip_access(&steps!["routes", name, "ipAccess"], unboxed(raw.ip_access), scope),
        cors: browser::cors(&steps!["routes", name, "cors"], unboxed(raw.cors), scope),
        csrf: browser::csrf(&steps!["routes", name, "csrf"], unboxed(raw.csrf), scope),
        card_key: agents::card_key(name, raw.a2a.as_ref(), scope),
        calls: calls::resolve(name, raw.a2a.as_ref(), raw.timeout.is_some() && forwards, references.limits, scope),
        a2a: raw.a2a,
        fault: fault::resolve(name, raw.fault, forwards, scope),
        mirror: mirror::resolve(name, raw.mirror, forwards, references.clusters, scope),
    }
}

fn unboxed<T>(given: Option<Box<T>>) -> Option<T> {
    given.map(|given| *given)
}

fn listeners(
    name: &str,
    raw: Option<&Vec<String>>,
    references: &References<'_>,
    scope: &mut Scope<'_>,
) -> Vec<ListenerId> {
    let redirects = |id: ListenerId| references.redirects.get(id.0).copied().unwrap_or(false);
    let Some(names) = raw else {
        return references.listeners.values().copied().filter(|id| !redirects(*id)).collect();
    };
    let mut ids = Vec::new();
    for (index, wanted) in names.iter().enumerate() {
        let at = steps!["routes", name, "listeners", index];
        match references.listeners.get(wanted) {
            None => scope.dangling(&at, "listener", wanted, references.listeners.keys().map(String::as_str)),
            Some(id) if redirects(*id) => {
                let message =
                    format!("the listener `{wanted}` only redirects, so `routes.{name}` is not reached there");
                scope.warn(&at, "unreachable", message, "take it out");
            }
            Some(id) if ids.contains(id) => scope.add(&at, Diagnostic::invalid(format!("`{wanted}` is given twice"))),
            Some(id) => ids.push(*id),
        }
    }
    if names.is_empty() {
        let diagnostic = Diagnostic::warning("unreachable", format!("`routes.{name}` has no listener"));
        scope.missing(&steps!["routes", name, "listeners"], diagnostic.hint("leave `listeners` out to use all"));
    }
    ids
}

fn hosts(name: &str, raw: Option<Vec<HostPattern>>, scope: &mut Scope<'_>) -> Vec<HostPattern> {
    let mut hosts: Vec<HostPattern> = Vec::new();
    for (index, host) in raw.into_iter().flatten().enumerate() {
        if hosts.contains(&host) {
            let diagnostic = Diagnostic::invalid(format!("`{host}` is given twice"));
            scope.add(&steps!["routes", name, "hosts", index], diagnostic);
        } else {
            hosts.push(host);
        }
    }
    hosts
}

fn matches(
    name: &str,
    raw: Option<&Vec<raw_route::Match>>,
    tenant_header: Option<&HeaderName>,
    scope: &mut Scope<'_>,
) -> Vec<Match> {
    let root = || PathMatch::Prefix(String::new());
    let Some(list) = raw else {
        return vec![Match { path: root(), methods: Vec::new(), headers: Vec::new(), query: Vec::new(), tenant: None }];
    };
    if list.is_empty() {
        let diagnostic = Diagnostic::invalid(format!("`routes.{name}.match` is an empty list, which matches nothing"));
        scope.missing(&steps!["routes", name, "match"], diagnostic.hint("leave it out to match everything"));
    }
    let mut matches = Vec::new();
    for (index, raw) in list.iter().enumerate() {
        headers::check_names(&within_match(name, index, "headers", scope), scope);
        matches.push(Match {
            path: raw.path.clone().unwrap_or_else(root),
            methods: methods(name, index, raw, scope),
            headers: raw.headers.clone(),
            query: raw
                .query
                .iter()
                .map(|(name, value)| QueryMatch { name: name.clone(), value: value.clone() })
                .collect(),
            tenant: raw.tenant.clone().map(|value| Box::new(TenantMatch { header: tenant_header.cloned(), value })),
        });
    }
    matches
}

fn methods(route: &str, index: usize, raw: &raw_route::Match, scope: &mut Scope<'_>) -> Vec<http::Method> {
    let Some(method) = &raw.method else { return raw.methods.clone() };
    if !raw.methods.is_empty() {
        let at = within_match(route, index, "method", scope);
        scope.conflict(&at, "`method` and `methods` are both given", "keep `methods`");
    }
    vec![method.clone()]
}

/// Path of something inside a route's match.
fn within_match(route: &str, index: usize, key: &str, scope: &Scope<'_>) -> Vec<Step> {
    below(&scope.one_of(&steps!["routes", route, "match"], index), key)
}
