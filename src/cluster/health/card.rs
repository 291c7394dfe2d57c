//! Whether a document is an agent card: the fields that every generation of A2A demands, and a place where the agent
//! is.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Why a document is not a card.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCard {
    /// Not JSON, or a field is missing or of another type.
    #[error("{0}")]
    Shape(#[from] serde_json::Error),
    /// A text that must say something is empty.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// Neither generation's way of saying where the agent is.
    #[error("neither `supportedInterfaces` nor `url`")]
    Nowhere,
}

/// The required fields of a card.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    name: String,
    version: String,
    #[serde(rename = "capabilities")]
    _capabilities: HashMap<String, IgnoredAny>,
    #[serde(rename = "skills")]
    _skills: Vec<IgnoredAny>,
    /// 1.0.
    supported_interfaces: Option<Vec<Interface>>,
    /// 0.1 to 0.3.
    url: Option<String>,
}

#[derive(Deserialize)]
struct Interface {
    url: String,
}

/// Whether a document is a card.
#[must_use]
pub fn is_card(text: &[u8]) -> bool {
    check(text).is_ok()
}

/// Checks a document.
pub(super) fn check(text: &[u8]) -> Result<(), NoCard> {
    let card: Card = serde_json::from_slice(text)?;
    for (name, value) in [("name", &card.name), ("version", &card.version)] {
        if value.is_empty() {
            return Err(NoCard::Empty(name));
        }
    }
    let interfaces = card.supported_interfaces.unwrap_or_default();
    if interfaces.iter().any(|interface| interface.url.is_empty()) {
        return Err(NoCard::Empty("supportedInterfaces[].url"));
    }
    let is_somewhere = !interfaces.is_empty() || card.url.is_some_and(|url| !url.is_empty());
    if is_somewhere { Ok(()) } else { Err(NoCard::Nowhere) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn legacy() -> Value {
        json!({
            "name": "a", "description": "b", "version": "1", "protocolVersion": "0.3.0",
            "url": "http://a/", "capabilities": { "streaming": true },
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"], "skills": [],
        })
    }

    fn current() -> Value {
        json!({
            "name": "a", "description": "b", "version": "1", "capabilities": {},
            "supportedInterfaces": [{ "url": "a:443", "protocolBinding": "GRPC", "protocolVersion": "1.0" }],
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
            "skills": [{ "id": "x", "name": "x", "description": "x", "tags": [] }],
        })
    }

    fn checked(card: &Value) -> Result<(), String> {
        check(card.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn cards_of_both_generations() {
        assert_eq!(checked(&legacy()), Ok(()));
        assert_eq!(checked(&current()), Ok(()));
        let mut both = current();
        both["url"] = json!("http://a/");
        assert_eq!(checked(&both), Ok(()));
    }

    #[test]
    fn a_card_lacks_nothing_it_must_have() {
        for card in [legacy(), current()] {
            for field in ["name", "version", "capabilities", "skills"] {
                let mut without = card.clone();
                without.as_object_mut().unwrap().remove(field);
                let error = checked(&without).unwrap_err();
                assert!(error.contains(field), "{error}");
            }
        }
        for (mut card, field, wrong) in [
            (legacy(), "url", Value::Null),
            (legacy(), "url", json!("")),
            (legacy(), "name", json!("")),
            (legacy(), "name", json!(7)),
            (legacy(), "capabilities", json!([])),
            (current(), "supportedInterfaces", json!([])),
            (current(), "supportedInterfaces", json!([{}])),
            (current(), "supportedInterfaces", json!([{ "url": "" }])),
            (current(), "skills", json!({})),
        ] {
            card[field] = wrong.clone();
            assert!(checked(&card).is_err(), "{field}: {wrong}");
        }
    }

    #[test]
    fn what_is_no_document_is_no_card() {
        for text in ["", "{", "[]", "null", "<html>", "{}"] {
            assert!(check(text.as_bytes()).is_err(), "{text}");
        }
        assert!(check("[".repeat(100_000).as_bytes()).is_err(), "deep nesting");
    }
}
