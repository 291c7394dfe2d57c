//! Tree to raw types, without stopping at the first problem: report it, blank what it is about, and read again.

use serde::Deserialize;

use super::de::{Error, ErrorKind};
use super::node::{Node, Place, Step, Value};
use super::raw::Root;
use super::report::{Diagnostic, Report};
use super::secrets::REDACTED;
use super::suggest::{self, Advice};

/// Problems of form that are found in one run.
const MAX_ROUNDS: usize = 100;

/// Reads the tree. `None` when it has more problems than are worth listing.
pub(super) fn decode(root: &mut Node, report: &mut Report) -> Option<Root> {
    for _ in 0..MAX_ROUNDS {
        let mut error = match Root::deserialize(&*root) {
            Ok(raw) => return Some(raw),
            Err(error) => error,
        };
        error.steps.reverse();
        let place = root.locate(&error.steps);
        // A mapping that lacks something only because that something was blanked has no problem of its own.
        let follows = place.blank_below && matches!(error.kind, ErrorKind::Value { .. });
        if !follows {
            report.add(diagnostic(&error, place, root));
        }
        if !root.blank(&error.steps) {
            return None;
        }
    }
    None
}

fn diagnostic(error: &Error, place: Place, root: &Node) -> Diagnostic {
    let mut diagnostic = match &error.kind {
        ErrorKind::Unknown { expected, within } => {
            return unknown(&error.steps, expected, within, place, root);
        }
        ErrorKind::Type { message } => Diagnostic::error("wrong-type", message.clone()),
        ErrorKind::Value { message, hint } => Diagnostic {
            hint: hint.clone(),
            ..Diagnostic::error("invalid-value", message.clone())
        },
    };
    if let ErrorKind::Type { .. } = &error.kind {
        diagnostic.hint = type_hint(&diagnostic.message);
    }
    if !place.path.is_empty() {
        diagnostic.message = format!("`{}`: {}", place.path, diagnostic.message);
    }
    redact(&mut diagnostic, &place);
    diagnostic.path = place.path;
    diagnostic.at(place.span)
}

/// Takes the value of a secret place out of what is said about it.
pub(super) fn redact(diagnostic: &mut Diagnostic, place: &Place) {
    let Some(secret) = place.secret.as_deref().filter(|secret| !secret.is_empty()) else {
        return;
    };
    diagnostic.message = diagnostic.message.replace(secret, REDACTED);
    diagnostic.hint = diagnostic
        .hint
        .take()
        .map(|hint| hint.replace(secret, REDACTED));
    // A message may show the value cut short or in another case; only a message without it is safe then.
    let shown = format!(
        "{} {}",
        diagnostic.message,
        diagnostic.hint.as_deref().unwrap_or("")
    )
    .to_lowercase();
    let start: String = secret.to_lowercase().chars().take(8).collect();
    if shown.contains(&start) {
        diagnostic.message = format!("`{}`: the value {REDACTED} is not legal here", place.path);
        diagnostic.hint = None;
    }
}

fn type_hint(message: &str) -> Option<String> {
    if !message.contains("true or false") {
        return None;
    }
    let yes = ["`yes`", "`on`", "`y`"]
        .iter()
        .any(|word| message.ends_with(word));
    let no = ["`no`", "`off`", "`n`"]
        .iter()
        .any(|word| message.ends_with(word));
    (yes || no).then(|| format!("write `{yes}`"))
}

fn unknown(
    steps: &[Step],
    expected: &[&str],
    within: &str,
    place: Place,
    root: &Node,
) -> Diagnostic {
    let Some((Step::Key(field), parent)) = steps.split_last() else {
        return Diagnostic::error("unknown-field", "unknown field").at(place.span);
    };
    let parent = root.locate(parent).path;
    let owner = if parent.is_empty() {
        "the configuration".to_owned()
    } else {
        format!("`{parent}`")
    };
    let shown: String = field.chars().take(60).collect();
    let mut diagnostic =
        Diagnostic::error("unknown-field", format!("{owner} has no field `{shown}`"));
    match suggest::unknown_field(field, within, expected) {
        Advice::None => {}
        Advice::Hint(hint) => diagnostic.hint = Some(hint),
        Advice::Later => {
            diagnostic.message = format!("{owner}: this version does not have `{shown}`");
            diagnostic.hint = Some("take it out".to_owned());
        }
    }
    diagnostic.path = place.path;
    diagnostic.at(place.key_span)
}

/// Merges `defaults.route` and `defaults.cluster` under each route and cluster, and gives `routes.X.endpoints` its cluster.
pub(super) fn spread(root: &mut Node, report: &mut Report) {
    let default = |root: &Node, kind: &str| {
        root.get("defaults")
            .and_then(|defaults| defaults.get(kind))
            .cloned()
    };
    let (route, cluster) = (default(root, "route"), default(root, "cluster"));
    name_endpoints(root, report);
    for (section, default) in [("routes", route), ("clusters", cluster)] {
        let (Some(default), Some(Value::Map(entries))) =
            (default, root.get_mut(section).map(|node| &mut node.value))
        else {
            continue;
        };
        for entry in entries {
            if entry.value.is_null() {
                entry.value = Node::map(entry.key_span);
            }
            merge(&mut entry.value, &default, 0);
        }
    }
}

/// Keys of which a route or cluster has exactly one: one that is given keeps out the defaults of the others.
const EXCLUSIVE: [&[&str]; 2] = [
    &["cluster", "endpoints", "redirect", "respond"],
    &["endpoints", "discovery"],
];
/// Mappings with alternatives inside: merging two would give both.
const WHOLE: [&str; 7] = [
    "match",
    "loadBalancer",
    "rewrite",
    "redirect",
    "respond",
    "discovery",
    "labels",
];

fn merge(into: &mut Node, default: &Node, depth: usize) {
    let Value::Map(entries) = &mut into.value else {
        return;
    };
    for entry in default
        .entries()
        .iter()
        .filter(|entry| !entry.value.is_blank())
    {
        match entries.iter_mut().find(|own| own.key == entry.key) {
            Some(own) if WHOLE.contains(&own.key.as_str()) => {}
            Some(own) => merge(&mut own.value, &entry.value, depth + 1),
            None => {
                let rivals = EXCLUSIVE
                    .iter()
                    .filter(|keys| depth == 0 && keys.contains(&entry.key.as_str()));
                let taken = rivals
                    .flat_map(|keys| keys.iter())
                    .any(|key| entries.iter().any(|own| own.key == *key));
                if !taken {
                    entries.push(entry.clone());
                }
            }
        }
    }
}

/// Moves each `routes.X.endpoints` to `clusters.X`.
fn name_endpoints(root: &mut Node, report: &mut Report) {
    let mut moved = Vec::new();
    if let Some(Value::Map(routes)) = root.get_mut("routes").map(|node| &mut node.value) {
        for route in routes {
            let (name, key_span) = (route.key.clone(), route.key_span);
            let Value::Map(entries) = &mut route.value.value else {
                continue;
            };
            let rivals = entries.iter().filter(|entry| {
                EXCLUSIVE[0].contains(&entry.key.as_str()) && !entry.value.is_null()
            });
            if rivals.count() != 1 {
                continue;
            }
            let Some(entry) = entries
                .iter_mut()
                .find(|entry| entry.key == "endpoints" && !entry.value.is_null())
            else {
                continue;
            };
            let name_scalar = super::node::Scalar {
                text: name.clone(),
                ..Default::default()
            };
            let reference = Node {
                span: entry.value.span,
                value: Value::Scalar(name_scalar),
            };
            let endpoints = std::mem::replace(&mut entry.value, reference);
            let own = super::node::Entry {
                key: std::mem::replace(&mut entry.key, "cluster".to_owned()),
                key_span: entry.key_span,
                value: endpoints,
            };
            let value = Node {
                span: own.key_span,
                value: Value::Map(vec![own]),
            };
            moved.push(super::node::Entry {
                key: name,
                key_span,
                value,
            });
        }
    }
    if moved.is_empty() {
        return;
    }
    let absent = root.get("clusters").is_none_or(Node::is_null);
    let Value::Map(sections) = &mut root.value else {
        return;
    };
    if absent {
        sections.retain(|entry| entry.key != "clusters");
        let span = root.span;
        sections.push(super::node::Entry {
            key: "clusters".to_owned(),
            key_span: span,
            value: Node::map(span),
        });
    }
    let Some(Value::Map(clusters)) = root.get_mut("clusters").map(|node| &mut node.value) else {
        return;
    };
    let known: std::collections::HashMap<String, super::node::Span> = clusters
        .iter()
        .map(|entry| (entry.key.clone(), entry.key_span))
        .collect();
    for entry in moved {
        if let Some(first) = known.get(&entry.key) {
            let span = entry.value.span;
            let message = format!(
                "`routes.{0}.endpoints` makes a cluster `{0}`, which exists",
                entry.key
            );
            let hint = format!("write `cluster: {}`", entry.key);
            report.add(
                Diagnostic::error("duplicate-name", message)
                    .at(span)
                    .hint(hint)
                    .related(*first, "defined here"),
            );
        } else {
            clusters.push(entry);
        }
    }
}
