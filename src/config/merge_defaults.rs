//! `defaults` spread under every route and cluster, and clusters made of `routes.X.endpoints`. Works on the tree, so
//! what a default brings keeps the place where it was written.

use std::collections::HashMap;

use super::node::{Entry, Node, Scalar, Span, Value};
use super::raw::health::Kind;
use super::report::{Diagnostic, Report};
use serde::Deserialize as _;

/// Merges `defaults.route` and `defaults.cluster` under each route and cluster, and gives `routes.X.endpoints` its
/// cluster. False when there was nothing of either, and so nothing changed.
pub(super) fn merge_defaults(root: &mut Node, report: &mut Report) -> bool {
    let default = |root: &Node, kind: &str| root.get("defaults").and_then(|defaults| defaults.get(kind)).cloned();
    let (route, cluster) = (default(root, "route"), default(root, "cluster"));
    let mut changed = name_endpoints(root, report);
    for (section, default) in [("routes", route), ("clusters", cluster)] {
        let (Some(default), Some(Value::Map(entries))) = (default, root.get_mut(section).map(|node| &mut node.value))
        else {
            continue;
        };
        changed = true;
        for entry in entries {
            if entry.value.is_null() {
                entry.value = Node::map(entry.key_span);
            }
            merge(&mut entry.value, &default, "");
        }
    }
    changed
}

/// Keys of which a route or cluster has exactly one: one that is given keeps out the defaults of the others.
const EXCLUSIVE: [&[&str]; 2] =
    [&["cluster", "endpoints", "split", "redirect", "respond"], &["endpoints", "discovery"]];
/// The same inside a mapping of this name.
const EXCLUSIVE_IN: [(&str, &[&str]); 2] =
    [("abort", &["httpStatus", "grpcStatus"]), ("outlierDetection", &["consecutive5xxErrors", "consecutiveErrors"])];
/// What a check of any type may have; the rest belongs to its type.
const ANY_CHECK: [&str; 6] = ["interval", "timeout", "healthyThreshold", "unhealthyThreshold", "port", "endsEjection"];
/// Mappings with alternatives inside: merging two would give both.
const WHOLE: [&str; 8] =
    ["match", "loadBalancer", "rewrite", "redirect", "respond", "discovery", "labels", "rateLimit"];

/// Puts what `into` does not have from `default`; both stand at the key `within`, which is empty for a whole route or
/// cluster.
fn merge(into: &mut Node, default: &Node, within: &str) {
    let same_check = within != "healthCheck" || check_type(into) == check_type(default);
    let Value::Map(entries) = &mut into.value else {
        return;
    };
    for entry in default.entries().iter().filter(|entry| !entry.value.is_blank()) {
        match entries.iter_mut().find(|own| own.key == entry.key) {
            Some(own) if WHOLE.contains(&own.key.as_str()) => {}
            Some(own) => merge(&mut own.value, &entry.value, &entry.key),
            None => {
                let key = entry.key.as_str();
                let taken = rivals(within, key).any(|key| entries.iter().any(|own| own.key == key));
                if !taken && (same_check || ANY_CHECK.contains(&key)) {
                    entries.push(entry.clone());
                }
            }
        }
    }
}

/// The keys of which only one can be given with `key`, itself among them.
fn rivals<'a>(within: &'a str, key: &'a str) -> impl Iterator<Item = &'static str> {
    let top = EXCLUSIVE.iter().filter(move |_| within.is_empty());
    let inside = EXCLUSIVE_IN.iter().filter(move |(name, _)| *name == within);
    let groups = top.chain(inside.map(|(_, keys)| keys));
    let groups = groups.filter(move |keys| keys.contains(&key));
    groups.flat_map(|keys| keys.iter().copied())
}

/// The type of a health check, `None` for one that cannot be read.
fn check_type(check: &Node) -> Option<Kind> {
    match check.get("type") {
        None => Some(Kind::Http),
        Some(kind) => Kind::deserialize(kind).ok(),
    }
}

/// Moves each `routes.X.endpoints` to `clusters.X`. Says whether there were any.
fn name_endpoints(root: &mut Node, report: &mut Report) -> bool {
    let Some(Value::Map(routes)) = root.get_mut("routes").map(|node| &mut node.value) else {
        return false;
    };
    let moved: Vec<Entry> = routes.iter_mut().filter_map(take_endpoints).collect();
    if moved.is_empty() {
        return false;
    }
    let absent = root.get("clusters").is_none_or(Node::is_null);
    let Value::Map(sections) = &mut root.value else {
        return true;
    };
    if absent {
        sections.retain(|entry| entry.key != "clusters");
        let span = root.span;
        sections.push(Entry { key: "clusters".to_owned(), key_span: span, value: Node::map(span) });
    }
    let Some(Value::Map(clusters)) = root.get_mut("clusters").map(|node| &mut node.value) else {
        return true;
    };
    let known: HashMap<String, Span> = clusters.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect();
    for entry in moved {
        let Some(first) = known.get(&entry.key) else {
            clusters.push(entry);
            continue;
        };
        let message = format!("`routes.{0}.endpoints` makes a cluster `{0}`, which exists", entry.key);
        let diagnostic = Diagnostic::error("duplicate-name", message).at(entry.value.span);
        report.add(diagnostic.hint(format!("write `cluster: {}`", entry.key)).related(*first, "defined here"));
    }
    true
}

/// Takes the endpoints out of a route that does nothing else, and leaves a reference to the cluster they become.
fn take_endpoints(route: &mut Entry) -> Option<Entry> {
    let Value::Map(entries) = &mut route.value.value else {
        return None;
    };
    let [actions, _] = EXCLUSIVE;
    let given = entries.iter().filter(|entry| actions.contains(&entry.key.as_str()) && !entry.value.is_null());
    if given.count() != 1 {
        return None;
    }
    let entry = entries
        .iter_mut()
        .find(|entry| entry.key == "endpoints" && !entry.value.is_null() && !entry.value.is_blank())?;
    let name = Scalar { text: route.key.clone(), ..Scalar::default() };
    let reference = Node { span: entry.value.span, value: Value::Scalar(name) };
    let endpoints = Entry {
        key: std::mem::replace(&mut entry.key, "cluster".to_owned()),
        key_span: entry.key_span,
        value: std::mem::replace(&mut entry.value, reference),
    };
    let value = Node { span: endpoints.key_span, value: Value::Map(vec![endpoints]) };
    Some(Entry { key: route.key.clone(), key_span: route.key_span, value })
}
