//! Header changes: legal names and values, and none of the fields that the gateway itself answers for.

use http::{HeaderName, HeaderValue, header};

use super::Scope;
use crate::config::keys::route::{Headers, Preset, ResponseHeaders};
use crate::config::model::{HeaderChanges, Listener, ListenerId, RequestFact, Route};
use crate::config::node::{Entry, Node, Step, Value, below};
use crate::config::report::Diagnostic;
use crate::config::text::names::is_secret_name;

/// Fields that frame messages or belong to one connection (RFC 9110 section 7.6.1), and Host.
const OWN: [&str; 11] = [
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length",
    "host", "http2-settings", "proxy-authenticate",
];

/// What `preset: secure` sets. HSTS is apart because it belongs on TLS only.
const SECURE: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'self'"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
];

/// What `preset: strict` sets: for answers that are data, which no browser has to show or to run.
const STRICT: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("content-security-policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-permitted-cross-domain-policies", "none"),
];

/// The fields of a preset, and its HSTS (RFC 6797 section 6.1).
fn preset_fields(preset: Preset) -> (&'static [(&'static str, &'static str)], &'static str) {
    match preset {
        Preset::Secure => (SECURE, "max-age=31536000; includeSubDomains"),
        Preset::Starter => (SECURE, "max-age=31536000"),
        Preset::Strict => (STRICT, "max-age=63072000; includeSubDomains"),
    }
}

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

/// `requestHeaders` of a route, which stand at this place.
pub(super) fn request(at: &[Step], raw: Headers, scope: &mut Scope<'_>) -> HeaderChanges {
    changes(at, raw, scope)
}

/// `responseHeaders` of a route, which stand at this place.
pub(super) fn response(at: &[Step], raw: ResponseHeaders, scope: &mut Scope<'_>) -> HeaderChanges {
    let ResponseHeaders { preset, remove, set, add } = raw;
    let mut changes = changes(at, Headers { remove, set, add, ..Headers::default() }, scope);
    if let Some(preset) = preset {
        let (fields, hsts) = preset_fields(preset);
        let taken =
            |name: &HeaderName| changes.remove.contains(name) || changes.set.iter().any(|(other, _)| other == name);
        let own: Vec<_> = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .filter(|(name, _)| !taken(name))
            .collect();
        let hsts = Some(HeaderValue::from_static(hsts));
        changes.hsts = hsts.filter(|_| !taken(&header::STRICT_TRANSPORT_SECURITY));
        changes.set.extend(own);
    }
    changes
}

/// What answers get that no route of a listener made: what all its routes do alike. Where one redirects, the routes of
/// the listener that it leads to are meant.
pub(super) fn of_unrouted(listeners: &mut [Listener], routes: &[Route]) {
    for (at, listener) in listeners.iter_mut().enumerate() {
        let served = listener.https_redirect.as_ref().map_or(ListenerId(at), |to| to.serves);
        let mut its_own = routes.iter().filter(|route| route.listeners.contains(&served));
        let Some(first) = its_own.next() else { continue };
        let mut common = HeaderChanges { tell: Vec::new(), ..first.response_headers.clone() };
        for HeaderChanges { remove, set, add, hsts, .. } in its_own.map(|route| &route.response_headers) {
            common.remove.retain(|name| remove.contains(name));
            common.set.retain(|field| set.contains(field));
            common.add.retain(|field| add.contains(field));
            common.hsts = common.hsts.filter(|value| hsts.as_ref() == Some(value));
        }
        listener.unrouted_headers = common;
    }
}

fn changes(at: &[Step], raw: Headers, scope: &mut Scope<'_>) -> HeaderChanges {
    let mut changes = HeaderChanges::default();
    for (index, text) in raw.remove.iter().enumerate() {
        match field(text).and_then(allowed) {
            Ok(name) => changes.remove.push(name),
            Err(diagnostic) => scope.add(&below(&below(at, "remove"), index), *diagnostic),
        }
    }
    changes.set = values(&below(at, "set"), raw.set, scope);
    changes.add = values(&below(at, "add"), raw.add, scope);
    let facts: Vec<RequestFact> = raw.tell.iter().map(|(_, fact)| *fact).collect();
    let told = raw.tell.into_iter().map(|(name, fact)| (name, fact.word().to_owned())).collect();
    let told = values(&below(at, "tell"), told, scope);
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
