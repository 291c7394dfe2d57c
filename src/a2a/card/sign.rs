//! A card with a signature of the gateway (A2A 1.0 section 8.4). What is signed is the card without its signatures, as
//! protocol buffers would keep it: fields that A2A 1.0 does not know are left out, and so are values that are a field's
//! default. That is what a verifier that reads the card into its own types has in its hand.

use serde_json::{Map, Value};

use super::edit::Edits;
use super::{NoCard, Place, SIGNATURES, scan};
use crate::jose::{Key, canonical};

/// The document with a signature in its card. `None` where the card cannot be signed: it is no JSON, or only of a
/// generation before 1.0, for which signatures have no form.
///
/// # Errors
/// When there is no card.
pub fn signed(document: &[u8], place: Place, key: &Key, found_at: Option<&str>) -> Result<Option<Vec<u8>>, NoCard> {
    let raw = match place {
        Place::Whole => serde_json::from_slice(document)?,
        Place::Result => scan::member(document, "result")?.ok_or(NoCard::NoResult)?,
        Place::Message(_) => return Ok(None),
    };
    let card: Value = serde_json::from_str(raw.get())?;
    let Some(payload) = payload(&card) else { return Ok(None) };
    let Some(made) = key.sign(payload.as_bytes(), found_at) else { return Ok(None) };
    let entry = format!(r#"{{"protected":"{}","signature":"{}"}}"#, made.protected, made.signature);
    let mut edits = Edits::of(document);
    edits.add_member(raw.get(), &format!("\"{SIGNATURES}\":[{entry}]"));
    Ok(Some(edits.applied()))
}

/// What is signed of a card: its canonical form.
fn payload(card: &Value) -> Option<String> {
    let card = Kind::Message(CARD).kept(card)?;
    card.get("supportedInterfaces")?;
    Some(canonical(&card))
}

/// What a field holds.
#[derive(Clone, Copy)]
enum Kind {
    /// A text; the empty one is the default.
    Text,
    /// A truth; `false` is the default.
    Flag,
    /// A truth whose `false` says more than nothing.
    Answer,
    /// A message with these fields.
    Message(&'static [(&'static str, Self)]),
    List(&'static Self),
    Map(&'static Self),
    /// Any JSON.
    Any,
}

impl Kind {
    /// The value as far as it is known and no default.
    fn kept(self, value: &Value) -> Option<Value> {
        match (self, value) {
            (Self::Text | Self::Any, Value::String(text)) if text.is_empty() => None,
            (Self::Flag, Value::Bool(false)) => None,
            (Self::Text | Self::Any, Value::String(_))
            | (Self::Flag | Self::Answer | Self::Any, Value::Bool(_))
            | (Self::Any, Value::Number(_)) => Some(value.clone()),
            (Self::Message(fields), Value::Object(members)) => {
                let known = fields.iter().map(|(name, kind)| (*name, members.get(*name), *kind));
                object(known.filter_map(|(name, value, kind)| Some((name.to_owned(), kind.kept(value?)?))))
            }
            (Self::Map(kind), Value::Object(members)) => {
                object(members.iter().filter_map(|(name, value)| Some((name.clone(), kind.kept(value)?))))
            }
            (Self::Any, Value::Object(members)) => {
                object(members.iter().filter_map(|(name, value)| Some((name.clone(), Self::Any.kept(value)?))))
            }
            (Self::List(kind), Value::Array(items)) => list(items.iter().filter_map(|item| kind.kept(item))),
            (Self::Any, Value::Array(items)) => list(items.iter().filter_map(|item| Self::Any.kept(item))),
            _ => None,
        }
    }
}

fn object(members: impl Iterator<Item = (String, Value)>) -> Option<Value> {
    let members: Map<String, Value> = members.collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

fn list(items: impl Iterator<Item = Value>) -> Option<Value> {
    let items: Vec<Value> = items.collect();
    (!items.is_empty()).then_some(Value::Array(items))
}

type Fields = &'static [(&'static str, Kind)];

const TEXTS: Kind = Kind::List(&Kind::Text);
const SCOPES: Kind = Kind::Map(&Kind::Text);
/// `lf.a2a.v1.AgentCard`.
const CARD: Fields = &[
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("supportedInterfaces", Kind::List(&Kind::Message(INTERFACE))),
    ("provider", Kind::Message(&[("url", Kind::Text), ("organization", Kind::Text)])),
    ("version", Kind::Text),
    ("documentationUrl", Kind::Text),
    ("capabilities", Kind::Message(CAPABILITIES)),
    ("securitySchemes", Kind::Map(&Kind::Message(SECURITY_SCHEME))),
    ("securityRequirements", REQUIREMENTS),
    ("defaultInputModes", TEXTS),
    ("defaultOutputModes", TEXTS),
    ("skills", Kind::List(&Kind::Message(SKILL))),
    ("iconUrl", Kind::Text),
];
const INTERFACE: Fields =
    &[("url", Kind::Text), ("protocolBinding", Kind::Text), ("tenant", Kind::Text), ("protocolVersion", Kind::Text)];
const CAPABILITIES: Fields = &[
    ("streaming", Kind::Answer),
    ("pushNotifications", Kind::Answer),
    ("extensions", Kind::List(&Kind::Message(EXTENSION))),
    ("extendedAgentCard", Kind::Answer),
];
const EXTENSION: Fields =
    &[("uri", Kind::Text), ("description", Kind::Text), ("required", Kind::Flag), ("params", Kind::Any)];
const SKILL: Fields = &[
    ("id", Kind::Text),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("tags", TEXTS),
    ("examples", TEXTS),
    ("inputModes", TEXTS),
    ("outputModes", TEXTS),
    ("securityRequirements", REQUIREMENTS),
];
const REQUIREMENTS: Kind = Kind::List(&Kind::Message(&[("schemes", Kind::Map(&Kind::Message(&[("list", TEXTS)])))]));
const SECURITY_SCHEME: Fields = &[
    (
        "apiKeySecurityScheme",
        Kind::Message(&[("description", Kind::Text), ("location", Kind::Text), ("name", Kind::Text)]),
    ),
    (
        "httpAuthSecurityScheme",
        Kind::Message(&[("description", Kind::Text), ("scheme", Kind::Text), ("bearerFormat", Kind::Text)]),
    ),
    (
        "oauth2SecurityScheme",
        Kind::Message(&[
            ("description", Kind::Text),
            ("flows", Kind::Message(FLOWS)),
            ("oauth2MetadataUrl", Kind::Text),
        ]),
    ),
    ("openIdConnectSecurityScheme", Kind::Message(&[("description", Kind::Text), ("openIdConnectUrl", Kind::Text)])),
    ("mtlsSecurityScheme", Kind::Message(&[("description", Kind::Text)])),
];
const FLOWS: Fields = &[
    ("authorizationCode", Kind::Message(FLOW)),
    ("clientCredentials", Kind::Message(FLOW)),
    ("implicit", Kind::Message(FLOW)),
    ("password", Kind::Message(FLOW)),
    ("deviceCode", Kind::Message(FLOW)),
];
/// The fields of all flows: each has some of them.
const FLOW: Fields = &[
    ("authorizationUrl", Kind::Text),
    ("deviceAuthorizationUrl", Kind::Text),
    ("tokenUrl", Kind::Text),
    ("refreshUrl", Kind::Text),
    ("scopes", SCOPES),
    ("pkceRequired", Kind::Flag),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key() -> Key {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Key::new(&crate::pem::private_key(pair.serialize_pem().as_bytes()).unwrap(), Some("one")).unwrap()
    }

    #[test]
    fn what_is_signed_is_what_a_verifier_reads() {
        let card = json!({
            "version": "1", "name": "a", "description": "", "unknown": 7, "url": "http://older/",
            "supportedInterfaces": [{ "url": "https://a/", "protocolBinding": "JSONRPC", "tenant": "", "x": 1 }],
            "capabilities": {
                "streaming": false, "pushNotifications": true,
                "extensions": [{
                    "uri": "u", "required": false,
                    "params": { "n": 1.0, "z": 1.5e3, "empty": "", "none": null, "off": false, "deep": [{}, [], "x"] },
                }],
            },
            "skills": [{ "id": "s", "tags": ["", "t"], "examples": [] }, {}],
            "securitySchemes": {
                "k": { "apiKeySecurityScheme": { "name": "key", "location": "header" } },
                "m": { "mtlsSecurityScheme": {} },
                "o": { "oauth2SecurityScheme": { "flows": { "clientCredentials": {
                    "tokenUrl": "https://t/", "scopes": { "b": "B", "a": "A", "none": "" }, "pkceRequired": false,
                } } } },
            },
            "securityRequirements": [{ "schemes": { "k": {}, "o": { "list": ["a"] } } }],
            "iconUrl": null,
            "signatures": [{ "protected": "e30", "signature": "AA" }],
        });
        let expected = concat!(
            r#"{"capabilities":{"extensions":[{"params":{"deep":["x"],"n":1,"off":false,"z":1500},"uri":"u"}],"#,
            r#""pushNotifications":true,"streaming":false},"name":"a","#,
            r#""securityRequirements":[{"schemes":{"o":{"list":["a"]}}}],"securitySchemes":"#,
            r#"{"k":{"apiKeySecurityScheme":{"location":"header","name":"key"}},"o":{"oauth2SecurityScheme":{"flows":"#,
            r#"{"clientCredentials":{"scopes":{"a":"A","b":"B"},"tokenUrl":"https://t/"}}}}},"skills":"#,
            r#"[{"id":"s","tags":["t"]}],"supportedInterfaces":[{"protocolBinding":"JSONRPC","url":"https://a/"}],"#,
            r#""version":"1"}"#,
        );
        assert_eq!(payload(&card).unwrap(), expected);
    }

    #[test]
    fn the_signature_is_added_to_the_card_alone() {
        let card = r#"{"supportedInterfaces": [{"url":"https://a/"}], "x": 1.50 }"#;
        for (document, place) in
            [(format!(" {card}\n"), Place::Whole), (format!(r#"{{"id":1,"result":{card},"z":{{}}}}"#), Place::Result)]
        {
            let made = signed(document.as_bytes(), place, &key(), Some("https://a/jwks.json")).unwrap().unwrap();
            let made = String::from_utf8(made).unwrap();
            let (before, added) = made.split_once(r#","signatures":[{"protected":""#).unwrap();
            let (_, after) = added.split_once("\"}]").unwrap();
            assert_eq!(format!("{before}{after}"), document);
        }
    }

    #[test]
    fn what_has_no_form_to_sign_stays() {
        for document in [r#"{"url":"http://a/"}"#, "{}", r#"{"supportedInterfaces":[]}"#] {
            assert!(signed(document.as_bytes(), Place::Whole, &key(), None).unwrap().is_none(), "{document}");
        }
        let message = Place::Message(crate::a2a::Generation::V1_0);
        assert!(signed(b"", message, &key(), None).unwrap().is_none());
        assert!(signed(b"{", Place::Whole, &key(), None).is_err());
        assert!(signed(b"{}", Place::Result, &key(), None).is_err());
        let deep = format!(r#"{{"supportedInterfaces":[{{"url":"a"}}],"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert!(signed(deep.as_bytes(), Place::Whole, &key(), None).is_err(), "nobody could verify it");
    }
}
