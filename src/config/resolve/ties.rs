//! Two routes that one request could match with equal right. Precedence never depends on the order in a file, so such a
//! request would have no answer: it is an error that names both.

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::Scope;
use crate::config::model::{
    HeaderMatch, HostPattern, Listener, ListenerId, Match, PathMatch, QueryMatch, Route, ValueMatch,
};
use crate::config::node::{Node, steps};
use crate::config::report::Diagnostic;

/// What makes two matches equal in rank: everything precedence looks at.
#[derive(PartialEq, Eq, Hash)]
struct Rank<'a> {
    listener: ListenerId,
    host: Option<&'a HostPattern>,
    path: (u8, &'a str),
    method: bool,
    headers: usize,
    query: usize,
    tenant: bool,
}

/// Matches of one rank that are compared with each other; more are not checked.
const MAX_COMPARED: usize = 256;

pub(super) fn check(routes: &[Route], listeners: &[Listener], scope: &mut Scope<'_>) {
    let mut ranks: HashMap<Rank<'_>, Vec<(&Route, &Match)>, RandomState> = HashMap::default();
    ranks.reserve(routes.len());
    let broken = broken(scope);
    for route in routes.iter().filter(|route| !broken.contains(route.name.as_str())) {
        for one in &route.matches {
            for listener in &route.listeners {
                let hosts: Vec<Option<&HostPattern>> =
                    if route.hosts.is_empty() { vec![None] } else { route.hosts.iter().map(Some).collect() };
                for host in hosts {
                    let others = ranks.entry(rank(*listener, host, one)).or_default();
                    let rival = others.iter().find(|(other, rival)| other.name != route.name && overlap(one, rival));
                    if let Some((rival, _)) = rival {
                        tie(route, rival, listeners.get(listener.0), host, one, scope);
                    }
                    if others.len() < MAX_COMPARED {
                        others.push((route, one));
                    }
                }
            }
        }
    }
}

/// The routes with errors: what is left of one may match more than was meant.
fn broken<'a>(scope: &Scope<'a>) -> HashSet<&'a str> {
    if scope.report.errors() == 0 {
        return HashSet::new();
    }
    let routes = scope.tree.get("routes").map(Node::entries);
    let entries = routes.unwrap_or_default().iter();
    entries.filter(|entry| entry.value.has_blank()).map(|entry| entry.key.as_str()).collect()
}

fn rank<'a>(listener: ListenerId, host: Option<&'a HostPattern>, one: &'a Match) -> Rank<'a> {
    let path = match &one.path {
        PathMatch::Exact(path) => (0, path.as_str()),
        PathMatch::Prefix(path) => (1, path.as_str()),
        PathMatch::Regex(regex) => (2, regex.as_str()),
    };
    let tenant = one.tenant.is_some();
    let (method, headers, query) = (!one.methods.is_empty(), one.headers.len(), one.query.len());
    Rank { listener, host, path, method, headers, query, tenant }
}

/// Whether some request satisfies both, as far as can be told without solving regular expressions.
fn overlap(a: &Match, b: &Match) -> bool {
    let methods = a.methods.is_empty() || a.methods.iter().any(|method| b.methods.contains(method));
    let header = |a: &HeaderMatch| b.headers.iter().any(|b| a.name == b.name && disjoint(&a.value, &b.value));
    let query = |a: &QueryMatch| b.query.iter().any(|b| a.name == b.name && disjoint(&a.value, &b.value));
    let tenants = a.tenant.as_ref().zip(b.tenant.as_ref());
    let tenant = tenants.is_some_and(|(a, b)| disjoint(&a.value, &b.value));
    methods && !tenant && !a.headers.iter().any(header) && !a.query.iter().any(query)
}

fn disjoint(a: &ValueMatch, b: &ValueMatch) -> bool {
    match (a, b) {
        (ValueMatch::Exact(a), ValueMatch::Exact(b)) => a != b,
        (ValueMatch::Exact(exact), ValueMatch::Prefix(prefix))
        | (ValueMatch::Prefix(prefix), ValueMatch::Exact(exact)) => !exact.starts_with(prefix.as_str()),
        (ValueMatch::Prefix(a), ValueMatch::Prefix(b)) => !a.starts_with(b.as_str()) && !b.starts_with(a.as_str()),
        (ValueMatch::Exact(exact), ValueMatch::Regex(regex)) | (ValueMatch::Regex(regex), ValueMatch::Exact(exact)) => {
            !regex.is_match(exact)
        }
        _ => false,
    }
}

fn tie(
    route: &Route,
    rival: &Route,
    listener: Option<&Listener>,
    host: Option<&HostPattern>,
    one: &Match,
    scope: &mut Scope<'_>,
) {
    let host = host.map_or_else(|| "any host".to_owned(), |host| format!("`{host}`"));
    let path = match &one.path {
        PathMatch::Prefix(path) if path.is_empty() => "`/`".to_owned(),
        PathMatch::Exact(path) | PathMatch::Prefix(path) => format!("`{path}`"),
        PathMatch::Regex(_) => "one regular expression".to_owned(),
    };
    let on = listener.map(|listener| format!(" on `{}`", listener.name)).unwrap_or_default();
    let message =
        format!("`routes.{}` and `routes.{}` match the same requests: {host}, {path}{on}", rival.name, route.name);
    let other = scope.tree.locate(&steps!["routes", rival.name.as_str()]).key_span;
    let diagnostic =
        Diagnostic::error("tie", message).hint("make one of them narrower").related(other, "the other one");
    scope.add_key(&steps!["routes", route.name.as_str()], diagnostic);
}
