//! Fills in every default that the keys declare, and in words those that are no values.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::Value as Json;

use super::keys::Time;
use super::keys::health::CARD;
use super::model::{HealthCheck, OutlierDetection};
use super::node::{Entry, Node, Scalar, Span, Value};
use super::report::Report;
use super::{schema, yaml};

/// Marks what a default put in.
pub(super) const DEFAULT: usize = u32::MAX as usize;
/// Marks a default that is no value: its words are for people.
pub(super) const WORDS: usize = DEFAULT - 1;

pub(super) fn default_span() -> Span {
    Span::new(DEFAULT, 0, 0, 0)
}

/// Fills a value that `schema` describes, and everything below it.
pub(super) fn fill(node: &mut Node, schema: &Json) {
    let (name, schema) = schema::definition(schema);
    for one in schema::parts(schema) {
        fill(node, one);
    }
    match &mut node.value {
        Value::List(items) => {
            if let Some(schema) = schema.get("items") {
                items.iter_mut().for_each(|item| fill(item, schema));
            }
        }
        Value::Map(entries) => {
            if let Some(each @ Json::Object(_)) = schema.get("additionalProperties") {
                entries.iter_mut().for_each(|entry| fill(&mut entry.value, each));
            }
            for (key, property) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
                fill_key(name, node, key, property);
            }
        }
        Value::Scalar(_) | Value::Blank => {}
    }
}

fn fill_key(name: &str, node: &mut Node, key: &str, property: &Json) {
    if let Some(given) = node.get_mut(key).filter(|given| !given.is_null()) {
        return fill(given, property);
    }
    if !applies(name, key, node) {
        return;
    }
    if let Some(mut value) = dependent(name, key, node) {
        fill(&mut value, property);
        return put(node, key, value);
    }
    let described = property.get("description").and_then(Json::as_str).unwrap_or_default();
    let value = match (property.get("default"), described.split_once("Default: ")) {
        (Some(default), _) => {
            let Some(mut value) = default_of(&default.to_string()) else { return };
            fill(&mut value, property);
            value
        }
        (None, Some((_, words))) => {
            let text = words.trim_end_matches('.').replace('\n', " ");
            let words = Value::Scalar(Scalar { text, ..Scalar::default() });
            Node { span: Span::new(WORDS, 0, 0, 0), value: words }
        }
        (None, None) => return,
    };
    // A section in which nothing has a default says nothing.
    if value.value != Value::Map(Vec::new()) {
        put(node, key, value);
    }
}

fn put(node: &mut Node, key: &str, value: Node) {
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != key);
        entries.push(Entry { key: key.to_owned(), key_span: default_span(), value });
    }
}

/// The value of a default.
fn default_of(text: &str) -> Option<Node> {
    let value = yaml::parse(text, DEFAULT, &mut Report::default())?.value;
    Some(Node { span: default_span(), value })
}

/// A default that follows from what else is in its mapping. Keys are filled in the order of their names, so what comes
/// before is there.
fn dependent(kind: &str, key: &str, node: &Node) -> Option<Node> {
    let given = |key: &str| node.get(key).is_some_and(|value| !value.is_null());
    let time = |key: &str| node.get(key).and_then(|value| Time::deserialize(value).ok());
    let as_default = |key: &str| node.get(key).map(|value| Node { span: default_span(), value: value.value.clone() });
    let seconds = |time: Duration| default_of(&format!("{}s", time.as_secs()));
    match (kind, key) {
        ("Shutdown", "streamGrace") => as_default("drainTimeout"),
        ("Cluster", "protocol") => default_of(if given("tls") { "auto" } else { "http/1.1" }),
        ("Cluster", "outlierDetection") => {
            let text =
                format!("{{ consecutive5xxErrors: off, consecutiveGatewayErrors: {} }}", OutlierDetection::IN_A_ROW);
            default_of(&text)
        }
        ("OutlierDetection", "consecutive5xxErrors") if is_on(node, "maxFails") => default_of("off"),
        ("OutlierDetection", "consecutive5xxErrors") => default_of(&OutlierDetection::IN_A_ROW.to_string()),
        ("OutlierDetection", "maxEjectionTime") => match time("baseEjectionTime") {
            Some(base) if base.0 > OutlierDetection::LONGEST => as_default("baseEjectionTime"),
            _ => seconds(OutlierDetection::LONGEST),
        },
        ("HealthCheck", "timeout") => match time("interval") {
            Some(interval) if interval.0 < HealthCheck::LONGEST => as_default("interval"),
            _ => seconds(HealthCheck::LONGEST),
        },
        ("HealthCheck", "path") => default_of(CARD),
        _ => None,
    }
}

/// Whether a key means anything in this mapping, as it is now.
fn applies(kind: &str, key: &str, node: &Node) -> bool {
    let given = |key: &str| node.get(key).is_some_and(|value| !value.is_null());
    match (kind, key) {
        ("CircuitBreaker", "pendingTimeout") => is_on(node, "maxPendingRequests"),
        ("OutlierDetection", "failTimeout") => is_on(node, "maxFails"),
        ("OutlierDetection", "consecutive5xxErrors") => !given("consecutiveErrors"),
        // Other words for the same.
        ("OutlierDetection", "minHealthPercent" | "consecutiveErrors") => false,
        ("Cluster", "handshakeTimeout") => given("tls"),
        // Istio's word for the threshold would contradict it.
        ("Cluster", "panic") => {
            let detection = node.get("outlierDetection");
            detection.and_then(|block| block.get("minHealthPercent")).is_none_or(Node::is_null)
        }
        ("Route", key) => given("cluster") || given("split") || !OF_FORWARDING.contains(&key),
        ("ApiKey", "header") => !given("query") && !is_on(node, "bearer"),
        ("HealthCheck", key) => applies_to_check(node, key),
        _ => true,
    }
}

/// Keys of routes that forward.
const OF_FORWARDING: [&str; 9] = [
    "upstreamHost", "mapLocation", "timeout", "responseHeadTimeout", "retries", "streaming", "websocket", "fault",
    "mirror",
];

fn applies_to_check(node: &Node, key: &str) -> bool {
    let kind = match node.get("type").map(|kind| &kind.value) {
        Some(Value::Scalar(kind)) => kind.text.to_ascii_lowercase(),
        _ => "http".to_owned(),
    };
    match key {
        "method" | "expectedStatuses" => kind.starts_with("http"),
        "path" => kind.contains("card"),
        "host" => !kind.starts_with("tcp"),
        "service" => kind.starts_with("grpc"),
        _ => true,
    }
}

fn is_on(node: &Node, key: &str) -> bool {
    match node.get(key).map(|value| &value.value) {
        Some(Value::Scalar(word)) => {
            !word.is_null() && !matches!(word.text.to_ascii_lowercase().as_str(), "off" | "0" | "false")
        }
        _ => false,
    }
}
