//! Header changes: legal names and values, and none of the fields that the gateway itself answers for.

use http::{HeaderName, HeaderValue, header};

use super::Scope;
use crate::config::keys::route::{Headers, ResponseHeaders};
use crate::config::model::{HeaderChanges, RequestFact};
use crate::config::node::{Entry, Node, Step, Value, below, steps};
use crate::config::report::Diagnostic;
use crate::config::text::names::is_secret_name;

/// Fields that frame messages or belong to one connection (RFC 9110 section 7.6.1), and Host.
const OWN: [&str; 11] = [
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
    "host", "http2-settings", "proxy-authenticate",
];

/// What `preset: secure` sets. HSTS is apart because it belongs on TLS only.
const SECURE: [(&str, &str); 4] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'self'"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];

/// A header's name.
pub(super) fn field(text: &str) -> Result<HeaderName, Box<Diagnostic>> {
    HeaderName::try_from(text).map_err(|_illegal| {
        let shown: String = text.chars().take(60).collect();
        Box::new(Diagnostic::invalid(format!("`{shown}` is not a header name")).hint("letters, digits and `-`"))
    })
}

/// Judges the names of header fields in the mapping at `path`.
pub(super) fn check_names(path: &[Step], scope: &mut Scope<'_>) {
    let names = scope.find(path).map(Node::entries).unwrap_or_default();
    for (index, key) in names.iter().map(|entry| entry.key.as_str()).enumerate() {
        let is_same = |other: &Entry| other.key.eq_ignore_ascii_case(key);
        let problem = match field(key) {
            Ok(name) if names.iter().take(index).any(is_same) => again(&name),
            Ok(_) => continue,
            Err(diagnostic) => *diagnostic,
        };
        scope.add_key(&below(path, key), problem);
    }
}

fn again(name: &HeaderName) -> Diagnostic {
    Diagnostic::error("duplicate-key", format!("`{name}` is already given in another case"))
}

/// `requestHeaders` of a route.
pub(super) fn request(route: &str, raw: Headers, scope: &mut Scope<'_>) -> HeaderChanges {
    changes(route, "requestHeaders", raw, scope)
}

/// `responseHeaders` of a route.
pub(super) fn response(route: &str, raw: ResponseHeaders, scope: &mut Scope<'_>) -> HeaderChanges {
    let ResponseHeaders { preset, remove, set, add } = raw;
    let mut changes = changes(route, "responseHeaders", Headers { remove, set, add, ..Headers::default() }, scope);
    if preset.is_some() {
        let taken =
            |name: &HeaderName| changes.remove.contains(name) || changes.set.iter().any(|(other, _)| other == name);
        let own: Vec<_> = SECURE
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .filter(|(name, _)| !taken(name))
            .collect();
        changes.hsts = !taken(&header::STRICT_TRANSPORT_SECURITY);
        changes.set.extend(own);
    }
    changes
}

fn changes(route: &str, key: &str, raw: Headers, scope: &mut Scope<'_>) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    let at = steps!["routes", route, key];
    for (index, text) in raw.remove.iter().enumerate() {
        match field(text).and_then(allowed) {
            Ok(name) => changes.remove.push(name),
            Err(diagnostic) => scope.add(&below(&below(&at, "remove"), index), *diagnostic),
        }
    }
    changes.set = values(&below(&at, "set"), raw.set, scope);
    changes.add = values(&below(&at, "add"), raw.add, scope);
    let facts: Vec<RequestFact> = raw.tell.iter().map(|(_, fact)| *fact).collect();
    let told = raw.tell.into_iter().map(|(name, fact)| (name, fact.word().to_owned())).collect();
    let told = values(&below(&at, "tell"), told, scope);
    changes.tell = told.into_iter().zip(facts).map(|((name, _), fact)| (name, fact)).collect();
    changes
}

/// Judges names and values of header fields in the mapping at `path`.
pub(super) fn check_values(path: &[Step], scope: &mut Scope<'_>) {
    let entries = scope.find(path).map(Node::entries).unwrap_or_default();
    let text = |entry: &Entry| match &entry.value.value {
        Value::Scalar(scalar) => Some((entry.key.clone(), scalar.text.clone())),
        _ => None,
    };
    values(path, entries.iter().filter_map(text).collect(), scope);
}

/// Names and values of the mapping at `path`.
fn values(path: &[Step], raw: Vec<(String, String)>, scope: &mut Scope<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (text, value) in raw {
        let at = below(path, text.as_str());
        let name = match field(&text).and_then(allowed) {
            Ok(name) if fields.iter().any(|(other, _)| *other == name) => {
                scope.add_key(&at, again(&name));
                continue;
            }
            Ok(name) => name,
            Err(diagnostic) => {
                scope.add_key(&at, *diagnostic);
                continue;
            }
        };
        match HeaderValue::from_str(value.trim()) {
            Ok(mut value) => {
                value.set_sensitive(is_secret_name(&text));
                fields.push((name, value));
            }
            Err(_illegal) => {
                let message = format!("the value of `{name}` cannot be sent");
                scope.invalid(&at, message, "printable ASCII without line breaks");
            }
        }
    }
    fields
}

fn allowed(name: HeaderName) -> Result<HeaderName, Box<Diagnostic>> {
    if !OWN.contains(&name.as_str()) {
        return Ok(name);
    }
    let diagnostic = Diagnostic::error("reserved-header", format!("`{name}` is the gateway's own to set"));
    Err(Box::new(match name.as_str() {
        "host" => diagnostic.hint("use `upstreamHost`, or `host` in a health check"),
        "upgrade" | "connection" => diagnostic.hint("use `websocket: true` for upgrades"),
        _ => diagnostic.hint("take it out"),
    }))
}
