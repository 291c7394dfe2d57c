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
    /// What these hold decides nothing.
    additional_interfaces: Option<serde_json::Value>,
    signatures: Option<serde_json::Value>,
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

/// What a check sees of a card.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The URLs that clients call.
    pub(super) urls: Vec<String>,
    pub(super) is_signed: bool,
}

/// Checks a document.
pub(super) fn check(text: &[u8]) -> Result<Seen, NoCard> {
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
    let url = card.url.filter(|url| !url.is_empty());
    if interfaces.is_empty() && url.is_none() {
        return Err(NoCard::Nowhere);
    }
    let list = |value: Option<serde_json::Value>| value.and_then(|value| value.as_array().cloned()).unwrap_or_default();
    let more = list(card.additional_interfaces);
    let more = more.iter().filter_map(|interface| Some(interface.get("url")?.as_str()?.to_owned()));
    let urls = interfaces.into_iter().map(|interface| interface.url).chain(url).chain(more).collect();
    Ok(Seen { urls, is_signed: !list(card.signatures).is_empty() })
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
        check(card.to_string().as_bytes()).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_check_sees() {
        let mut card = current();
        let seen = |card: &Value| check(card.to_string().as_bytes()).unwrap();
        assert_eq!(seen(&card), Seen { urls: vec!["a:443".to_owned()], is_signed: false });
        card["url"] = json!("http://a/");
        card["additionalInterfaces"] = json!([{ "url": "http://b/" }, 7, {}]);
        card["signatures"] = json!([{ "protected": "e30", "signature": "AA" }]);
        let urls = ["a:443", "http://a/", "http://b/"].map(str::to_owned).to_vec();
        assert_eq!(seen(&card), Seen { urls, is_signed: true });
        card["additionalInterfaces"] = json!("no list");
        card["signatures"] = json!([]);
        assert_eq!(seen(&card).urls.len(), 2);
        assert!(!seen(&card).is_signed);
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
