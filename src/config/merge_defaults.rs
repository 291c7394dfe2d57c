//! `defaults` spread under every route and cluster, and clusters made of `routes.X.endpoints`. Works on the tree, so
//! what a default brings keeps the place where it was written.

use std::collections::HashMap;

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::keys::health::Kind;
use super::node::{Entry, Node, Scalar, Span, Value};
use super::report::{Diagnostic, Report};
use super::schema;

/// Merges `defaults.route` and `defaults.cluster` under each route and cluster, and gives `routes.X.endpoints` its
/// cluster. False when there was nothing of either, and so nothing changed.
pub(super) fn merge_defaults(root: &mut Node, report: &mut Report) -> bool {
    let default = |root: &Node, kind: &str| root.get("defaults").and_then(|defaults| defaults.get(kind)).cloned();
    let (route, cluster) = (default(root, "route"), default(root, "cluster"));
    let mut changed = name_endpoints(root, report);
    for (section, default, kind) in [("routes", route, "route"), ("clusters", cluster, "cluster")] {
        let (Some(default), Some(Value::Map(entries))) = (default, root.get_mut(section).map(|node| &mut node.value))
        else {
            continue;
        };
        changed = true;
        let schema = default_schema(kind);
        for entry in entries {
            if entry.value.is_null() {
                entry.value = Node::map(entry.key_span);
            }
            merge(&mut entry.value, &default, schema);
        }
    }
    changed
}

/// The schema of `defaults.route` or `defaults.cluster`.
fn default_schema(kind: &str) -> &'static Json {
    let inside = |schema, key: &str| schema::properties(schema).into_iter().find(|(known, _)| *known == key);
    let found = inside(schema::tree(), "defaults").and_then(|(_, defaults)| inside(defaults, kind));
    found.map_or(&Json::Null, |(_, schema)| schema)
}

/// Puts what `into` does not have from `default`, as the declarations of the keys in `schema` say.
fn merge(into: &mut Node, default: &Node, schema: &Json) {
    let same_type = check_type(into) == check_type(default);
    let Value::Map(entries) = &mut into.value else { return };
    let keys = schema::properties(schema);
    let property =
        |key: &str| keys.iter().find(|(known, _)| *known == key).map_or(&Json::Null, |(_, property)| property);
    for entry in default.entries().iter().filter(|entry| !entry.value.is_blank()) {
        let property_here = property(&entry.key);
        let rule = schema::rule(property_here);
        if let Some(own) = entries.iter_mut().find(|own| own.key == entry.key) {
            if !rule.starts_with("whole") {
                merge(&mut own.value, &entry.value, property_here);
            }
            continue;
        }
        let group = group_of(rule);
        let is_rival = |own: &Entry| group.is_some() && group_of(schema::rule(property(&own.key))) == group;
        if !entries.iter().any(is_rival) && (same_type || rule != "of type") {
            entries.push(entry.clone());
        }
    }
}

/// The group of keys of which only one can be given.
fn group_of(rule: &str) -> Option<&str> {
    rule.split_once("one of ").map(|(_, group)| group)
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
    let Some(Value::Map(routes)) = root.get_mut("routes").map(|node| &mut node.value) else { return false };
    let keys = schema::properties(default_schema("route"));
    let moved: Vec<Entry> = routes.iter_mut().filter_map(|route| take_endpoints(route, &keys)).collect();
    if moved.is_empty() {
        return false;
    }
    let absent = root.get("clusters").is_none_or(Node::is_null);
    let Value::Map(sections) = &mut root.value else { return true };
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
fn take_endpoints(route: &mut Entry, keys: &[(&str, &Json)]) -> Option<Entry> {
    let Value::Map(entries) = &mut route.value.value else { return None };
    let is_action = |key: &str| {
        keys.iter().any(|(known, property)| *known == key && group_of(schema::rule(property)) == Some("action"))
    };
    if entries.iter().filter(|entry| is_action(&entry.key) && !entry.value.is_null()).count() != 1 {
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
