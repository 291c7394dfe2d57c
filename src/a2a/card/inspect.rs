//! What a card says, and what is wrong with it, for people: which clients can use it, where it leads them, and what
//! they would stumble over. Nothing here is on the path of a request.

use http::Uri;
use serde_json::{Map, Value};

use crate::host::is_itself;

/// What a card says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// `name`.
    pub name: String,
    /// `version` of the agent.
    pub version: String,
    /// Versions of A2A whose clients find the fields they look for, newest first.
    pub generations: Vec<String>,
    /// Where the agent is, in the order of preference.
    pub interfaces: Vec<Interface>,
    /// Capabilities that are switched on.
    pub capabilities: Vec<String>,
    /// Names of ways to authenticate, each with its kind.
    pub security: Vec<(String, String)>,
    /// Skills.
    pub skills: usize,
    /// Signatures; nobody verified them.
    pub signatures: usize,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// An interface of an agent, as its card has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Where in the card it stands.
    pub at: String,
    /// Its URL.
    pub url: String,
    /// Its transport.
    pub transport: String,
    /// The version of A2A spoken there, where the card says it.
    pub protocol_version: Option<String>,
    /// The tenant that clients must name there.
    pub tenant: Option<String>,
}

/// Something wrong in a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub at: String,
    /// What.
    pub what: String,
}

/// How a card was fetched, by which its URLs are judged.
#[derive(Clone, Copy, Debug)]
pub struct Fetched<'a> {
    /// Whether over TLS.
    pub https: bool,
    /// The host it was asked for.
    pub host: &'a str,
}

/// Looks through a card.
///
/// # Errors
/// When it is not a JSON object.
pub fn inspect(document: &[u8], fetched: Fetched<'_>) -> Result<Inspection, super::NoCard> {
    let card: Map<String, Value> = serde_json::from_slice(document)?;
    let mut found = Inspection {
        name: text(&card, "name"),
        version: text(&card, "version"),
        capabilities: capabilities(&card),
        security: security(&card),
        skills: list(&card, "skills").len(),
        signatures: list(&card, "signatures").len(),
        ..Inspection::default()
    };
    generations(&card, &mut found);
    listed(&card, CURRENT_LIST, &mut found);
    main_interface(&card, &mut found);
    listed(&card, OLDER_LIST, &mut found);
    for interface in &found.interfaces {
        found
            .problems
            .extend(wrong_url(interface, fetched).map(|what| Problem::new(format!("{}.url", interface.at), what)));
    }
    for (at, signature) in list(&card, "signatures").iter().enumerate() {
        let has = |name| signature.get(name).is_some_and(Value::is_string);
        if !(has("protected") && has("signature")) {
            found.problem(format!("signatures[{at}]"), "a signature has `protected` and `signature`");
        }
    }
    Ok(found)
}

impl Problem {
    fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

impl Inspection {
    fn problem(&mut self, at: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem::new(at, what));
    }
}

/// Notes for which clients the card is, and what these miss.
fn generations(card: &Map<String, Value>, found: &mut Inspection) {
    let (is_current, is_older) = (card.contains_key(CURRENT_LIST), card.contains_key("url"));
    let older = text(card, "protocolVersion");
    let is_oldest = is_older && older.is_empty();
    if is_current {
        found.generations.push("1.0".to_owned());
    }
    if is_older {
        let minor = older.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        found.generations.push(if is_oldest { "0.1 or 0.2".to_owned() } else { minor });
    }
    if !(is_current || is_older) {
        found
            .problem(CURRENT_LIST, "the card does not say where the agent is: neither `supportedInterfaces` nor `url`");
    }
    if is_current && list(card, CURRENT_LIST).is_empty() {
        found.problem(CURRENT_LIST, "there is no interface in it");
    }
    let wanted = REQUIRED.iter().filter(|(.., since_03)| !(*since_03 && is_oldest && !is_current));
    for (name, kind, _) in wanted {
        match card.get(*name) {
            None => found.problem(*name, format!("is missing; clients expect {}", kind.word())),
            Some(value) if !kind.fits(value) => found.problem(*name, format!("is not {}", kind.word())),
            Some(_) => {}
        }
    }
}

/// The interfaces of a list.
fn listed(card: &Map<String, Value>, name: &str, found: &mut Inspection) {
    let is_current = name == CURRENT_LIST;
    let (binding, wanted): (_, &[&str]) = match is_current {
        true => ("protocolBinding", &["url", "protocolBinding", "protocolVersion"]),
        false => ("transport", &["url", "transport"]),
    };
    for (index, interface) in list(card, name).iter().enumerate() {
        let at = format!("{name}[{index}]");
        let Some(fields) = interface.as_object() else {
            found.problem(at, "is not an object");
            continue;
        };
        for field in wanted.iter().filter(|field| text(fields, field).is_empty()) {
            found.problem(format!("{at}.{field}"), "is missing; an interface says it");
        }
        found.interfaces.push(Interface {
            at,
            url: text(fields, "url"),
            transport: text(fields, binding),
            protocol_version: some_text(fields, "protocolVersion"),
            tenant: some_text(fields, "tenant"),
        });
    }
}

fn main_interface(card: &Map<String, Value>, found: &mut Inspection) {
    let Some(url) = card.get("url") else { return };
    let Some(url) = url.as_str() else {
        return found.problem("url", "is not a text");
    };
    let preferred = text(card, "preferredTransport");
    found.interfaces.push(Interface {
        at: "the card".to_owned(),
        url: url.to_owned(),
        transport: if preferred.is_empty() { "JSONRPC".to_owned() } else { preferred },
        protocol_version: some_text(card, "protocolVersion"),
        tenant: None,
    });
}

/// What is wrong with where an interface leads.
fn wrong_url(interface: &Interface, fetched: Fetched<'_>) -> Option<String> {
    let url = &interface.url;
    if url.is_empty() {
        // That it is missing has been said.
        return None;
    }
    let (is_grpc, has_scheme) = (interface.transport.eq_ignore_ascii_case("grpc"), url.contains("://"));
    if url.starts_with('/') || url.starts_with('.') {
        return Some(format!("`{url}` is relative; clients need a whole URL"));
    }
    if is_grpc && has_scheme {
        return Some(format!("`{url}` has a scheme; a gRPC address is a host and a port"));
    }
    if !is_grpc && !has_scheme {
        return Some(format!("`{url}` has no scheme; write `https://` before it"));
    }
    let parsed: Option<Uri> = url.parse().ok();
    let Some((uri, host)) = parsed.as_ref().and_then(|uri| Some((uri, uri.host()?))) else {
        return Some(format!("`{url}` is not a URL"));
    };
    if is_grpc && uri.port().is_none() {
        return Some(format!("`{url}` has no port"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Some("has a user or a password in it, which everybody reads".to_owned());
    }
    if is_itself(host) && !is_itself(fetched.host) {
        return Some(format!("`{url}` leads every client to its own machine"));
    }
    if fetched.https && matches!(uri.scheme_str(), Some("http" | "ws")) {
        return Some(format!("`{url}` is in the clear, and the card came over TLS"));
    }
    None
}

fn capabilities(card: &Map<String, Value>) -> Vec<String> {
    let all = card.get("capabilities").and_then(Value::as_object).into_iter().flatten();
    let on = |value: &Value| match value {
        Value::Bool(on) => *on,
        Value::Array(items) => !items.is_empty(),
        _ => false,
    };
    all.filter(|(_, value)| on(value)).map(|(name, _)| name.clone()).collect()
}

/// A scheme says its kind in a field (0.x), or by the one field it has (1.0).
fn security(card: &Map<String, Value>) -> Vec<(String, String)> {
    let all = card.get("securitySchemes").and_then(Value::as_object).into_iter().flatten();
    let kind = |scheme: &Value| {
        let named = scheme.get("type").and_then(Value::as_str).map(str::to_owned);
        let only = || scheme.as_object()?.keys().find_map(|key| key.strip_suffix("SecurityScheme")).map(str::to_owned);
        named.or_else(only).unwrap_or_else(|| "unknown".to_owned())
    };
    all.map(|(name, scheme)| (name.clone(), kind(scheme))).collect()
}

fn text(fields: &Map<String, Value>, name: &str) -> String {
    some_text(fields, name).unwrap_or_default()
}

fn some_text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn list<'c>(fields: &'c Map<String, Value>, name: &str) -> &'c [Value] {
    fields.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a field has to be.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    List,
    Object,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Text => "a text that is not empty",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.as_str().is_some_and(|text| !text.is_empty()),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }
}

/// The fields that cards of every version need, and whether only since 0.3.
const REQUIRED: [(&str, Kind, bool); 7] = [
    ("name", Kind::Text, false),
    ("description", Kind::Text, true),
    ("version", Kind::Text, false),
    ("capabilities", Kind::Object, false),
    ("defaultInputModes", Kind::List, true),
    ("defaultOutputModes", Kind::List, true),
    ("skills", Kind::List, false),
];
const CURRENT_LIST: &str = "supportedInterfaces";
const OLDER_LIST: &str = "additionalInterfaces";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sound() -> Value {
        json!({
            "name": "a", "description": "b", "version": "1", "protocolVersion": "0.3.0",
            "url": "https://a.example/", "capabilities": { "streaming": true, "pushNotifications": false },
            "supportedInterfaces": [
                { "url": "https://a.example/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" },
                { "url": "a.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0", "tenant": "t" },
            ],
            "additionalInterfaces": [{ "url": "https://a.example/v1", "transport": "HTTP+JSON" }],
            "securitySchemes": {
                "old": { "type": "http", "scheme": "bearer" }, "new": { "apiKeySecurityScheme": { "name": "k" } },
            },
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"], "skills": [{}],
            "signatures": [{ "protected": "e30", "signature": "AA" }],
        })
    }

    const TLS: Fetched<'static> = Fetched { https: true, host: "a.example" };

    fn problems(card: &Value, fetched: Fetched<'_>) -> Vec<String> {
        let found = inspect(card.to_string().as_bytes(), fetched).unwrap();
        found.problems.into_iter().map(|problem| format!("{}: {}", problem.at, problem.what)).collect()
    }

    #[test]
    fn a_sound_card_is_told_as_it_is() {
        let found = inspect(sound().to_string().as_bytes(), TLS).unwrap();
        assert_eq!(found.problems, []);
        assert_eq!(found.generations, ["1.0", "0.3"]);
        assert_eq!(found.capabilities, ["streaming"]);
        assert_eq!(found.security, [("new".to_owned(), "apiKey".to_owned()), ("old".to_owned(), "http".to_owned())]);
        assert_eq!((found.skills, found.signatures), (1, 1));
        let shown: Vec<_> = found.interfaces.iter().map(|one| (one.at.as_str(), one.transport.as_str())).collect();
        let expected = [
            ("supportedInterfaces[0]", "JSONRPC"),
            ("supportedInterfaces[1]", "GRPC"),
            ("the card", "JSONRPC"),
            ("additionalInterfaces[0]", "HTTP+JSON"),
        ];
        assert_eq!(shown, expected);
        assert_eq!(found.interfaces[1].tenant.as_deref(), Some("t"));
    }

    #[test]
    fn what_a_card_lacks_is_named() {
        for (field, wrong, expected) in [
            ("name", Value::Null, "name: is not a text"),
            ("description", json!(""), "description: is not a text"),
            ("capabilities", json!([]), "capabilities: is not an object"),
            ("skills", json!({}), "skills: is not a list"),
            ("url", json!(7), "url: is not a text"),
            ("supportedInterfaces", json!([]), "supportedInterfaces: there is no interface"),
            ("supportedInterfaces", json!([7]), "supportedInterfaces[0]: is not an object"),
            (
                "supportedInterfaces",
                json!([{ "url": "https://a/" }]),
                "supportedInterfaces[0].protocolBinding: is missing",
            ),
            ("additionalInterfaces", json!([{ "transport": "GRPC" }]), "additionalInterfaces[0].url: is missing"),
            ("signatures", json!([{}]), "signatures[0]: a signature has"),
        ] {
            let mut card = sound();
            card[field] = wrong;
            let found = problems(&card, TLS);
            assert!(found.iter().any(|line| line.starts_with(expected)), "{field}: {found:?}");
        }
        for (field, ..) in REQUIRED {
            let mut card = sound();
            card.as_object_mut().unwrap().remove(field);
            let found = problems(&card, TLS);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{field}: is missing")), "{found:?}");
        }
        let nowhere = problems(&json!({ "name": "a", "version": "1", "capabilities": {}, "skills": [] }), TLS);
        assert!(nowhere[0].contains("does not say where"), "{nowhere:?}");
        let oldest = json!({ "name": "a", "version": "1", "capabilities": {}, "skills": [], "url": "https://a/" });
        assert_eq!(problems(&oldest, TLS), [""; 0], "0.1 asks for less");
        assert!(inspect(b"[]", TLS).is_err());
    }

    #[test]
    fn urls_that_clients_cannot_use_are_named() {
        let plain = Fetched { https: false, host: "a.example" };
        let here = Fetched { https: false, host: "localhost" };
        for (binding, url, fetched, expected) in [
            ("JSONRPC", "/a2a", TLS, "relative"),
            ("JSONRPC", "a.example/a2a", TLS, "no scheme"),
            ("JSONRPC", "http://a.example/", TLS, "in the clear"),
            ("JSONRPC", "http://a.example/", plain, ""),
            ("JSONRPC", "http://0.0.0.0:9999/", plain, "its own machine"),
            ("JSONRPC", "https://[::1]/", TLS, "its own machine"),
            ("JSONRPC", "http://127.0.0.1:9999/", here, ""),
            ("JSONRPC", "https://me:pw@a.example/", TLS, "a password"),
            ("JSONRPC", "https://a b/", TLS, "not a URL"),
            ("GRPC", "https://a.example:443", TLS, "has a scheme"),
            ("grpc", "a.example:443", TLS, ""),
            ("GRPC", "a.example", TLS, "no port"),
            ("GRPC", "localhost:443", TLS, "its own machine"),
        ] {
            let mut card = sound();
            card["supportedInterfaces"] = json!([{ "url": url, "protocolBinding": binding, "protocolVersion": "1.0" }]);
            let found = problems(&card, fetched);
            let is_as_expected = match expected {
                "" => found.is_empty(),
                part => found.len() == 1 && found[0].contains(part),
            };
            assert!(is_as_expected, "{binding} {url}: {found:?}");
        }
    }
}
