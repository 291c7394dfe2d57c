//! From what to what: the words for one changed, added or removed thing. Works on the JSON that [`super::Effective`]
//! keeps and knows the language's shapes only as far as they make a line shorter.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::{redacted, unmarked};
use crate::visible::is_hidden;

/// Characters of a value, and of all a line says.
const MAX_VALUE: usize = 60;
const MAX_DETAIL: usize = 240;

/// What a field is when it is not written.
const DEFAULT: &str = "(default)";

/// Keys by which a member of a list is the same before and after.
const IDENTITIES: [&str; 4] = ["cluster", "address", "name", "certFile"];

/// The fields that differ, each with from what to what.
pub(super) fn details(before: &Json, after: &Json) -> Vec<(String, String)> {
    let (Json::Object(old), Json::Object(new)) = (before, after) else {
        return vec![(String::new(), change(Some(before), Some(after)))];
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    keys.into_iter()
        .filter(|key| old.get(*key) != new.get(*key))
        .map(|key| (unmarked(key.clone()), cut(change(old.get(key), new.get(key)), MAX_DETAIL)))
        .collect()
}

/// What a thing is that is new or gone.
pub(super) fn summary(section: &str, value: &Json) -> String {
    let text = match section {
        "routes" => route(value),
        "clusters" => cluster(value),
        "listeners" => value.get("address").map(short).unwrap_or_default(),
        _ => String::new(),
    };
    cut(text, MAX_DETAIL)
}

fn change(before: Option<&Json>, after: Option<&Json>) -> String {
    match (before, after) {
        (Some(Json::Object(_)), Some(Json::Object(_))) => {
            let (Some(before), Some(after)) = (before, after) else { return String::new() };
            let parts = details(before, after).into_iter();
            parts.map(|(key, detail)| format!("{key} {detail}")).collect::<Vec<_>>().join(", ")
        }
        (Some(Json::Array(old)), Some(Json::Array(new))) => list(old, new),
        _ => {
            let side = |value: Option<&Json>| value.map_or_else(|| DEFAULT.to_owned(), short);
            let (from, to) = (side(before), side(after));
            if from == to {
                // Two secrets look alike.
                "changed".to_owned()
            } else {
                format!("{from} -> {to}")
            }
        }
    }
}

/// A list's members that come, go or change; its order alone is told as such.
fn list(old: &[Json], new: &[Json]) -> String {
    let names = |items: &[Json]| items.iter().map(identity).collect::<BTreeSet<String>>();
    let (before, after) = (names(old), names(new));
    if before.len() != old.len() || after.len() != new.len() {
        let all = |items: &[Json]| items.iter().map(short).collect::<Vec<_>>().join(" ");
        return format!("[{}] -> [{}]", all(old), all(new));
    }
    let find = |items: &[Json], name: &str| items.iter().find(|item| identity(item) == name).cloned();
    let mut parts = Vec::new();
    for name in before.union(&after) {
        match (find(old, name), find(new, name)) {
            (Some(from), Some(to)) if from != to => parts.push(member(name, &from, &to)),
            (Some(_), None) => parts.push(format!("{name} removed")),
            (None, Some(to)) => parts.push(match to.get("weight") {
                Some(weight) => format!("{name} added with {}", short(weight)),
                None => format!("{name} added"),
            }),
            _ => {}
        }
    }
    if parts.is_empty() {
        parts.push("another order".to_owned());
    }
    parts.join(", ")
}

/// A member's changes; the weight, which is what usually changes, needs no name.
fn member(name: &str, from: &Json, to: &Json) -> String {
    let one = Json::from(1);
    let whole = |value: &Json| match value {
        Json::Object(_) => value.clone(),
        _ => Json::Object(serde_json::Map::new()),
    };
    let changes = details(&whole(from), &whole(to))
        .into_iter()
        .filter(|(key, _)| !IDENTITIES.contains(&key.as_str()) || (from.is_object() && to.is_object()));
    let changes = changes.map(|(key, detail)| {
        if key == "weight" {
            let weight = |value: &Json| short(value.get("weight").unwrap_or(&one));
            format!("{} -> {}", weight(from), weight(to))
        } else {
            format!("{key} {detail}")
        }
    });
    format!("{name} {}", changes.collect::<Vec<_>>().join(" "))
}

fn identity(item: &Json) -> String {
    let name = IDENTITIES.iter().find_map(|key| item.get(key));
    short(name.unwrap_or(item))
}

fn route(value: &Json) -> String {
    let hosts = value.get("hosts").map(short).unwrap_or_default();
    let path = |one: &Json| {
        let path = one.get("path")?.as_object()?;
        path.values().next().map(short)
    };
    let paths: Vec<String> = match value.get("match") {
        Some(Json::Array(several)) => several.iter().filter_map(path).collect(),
        Some(one) => path(one).into_iter().collect(),
        None => Vec::new(),
    };
    let target = if let Some(cluster) = value.get("cluster") {
        format!("-> {}", short(cluster))
    } else if let Some(Json::Array(split)) = value.get("split") {
        let names: Vec<String> = split.iter().map(identity).collect();
        format!("-> {}", names.join(", "))
    } else if value.get("redirect").is_some() {
        "-> redirect".to_owned()
    } else {
        "-> answer".to_owned()
    };
    let parts = [hosts, paths.join(" "), target].into_iter();
    parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

fn cluster(value: &Json) -> String {
    match (value.get("endpoints"), value.get("discovery")) {
        (Some(Json::Array(list)), _) if list.len() == 1 => "1 endpoint".to_owned(),
        (Some(Json::Array(list)), _) => format!("{} endpoints", list.len()),
        (Some(Json::String(_)), _) => "1 endpoint".to_owned(),
        (_, Some(discovery)) => discovery.get("dns").map(short).unwrap_or_default(),
        _ => String::new(),
    }
}

/// A value in a few words, without anything a terminal would obey.
fn short(value: &Json) -> String {
    let text = match redacted(value.clone()) {
        Json::String(text) => text,
        Json::Array(items) if items.iter().all(Json::is_string) => {
            let words: Vec<&str> = items.iter().filter_map(Json::as_str).collect();
            words.join(" ")
        }
        other => other.to_string(),
    };
    let clean = |c: char| if is_hidden(c) { ' ' } else { c };
    cut(text.chars().map(clean).collect(), MAX_VALUE)
}

fn cut(text: String, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
