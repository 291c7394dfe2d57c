//! Marks the values that must never be printed: values under the name of a secret, header fields that are not known to
//! be harmless, conditions on what a request carries, and text that looks like a credential. This is decided once, on
//! the tree. Code that prints reads the mark.

use std::collections::{HashMap, HashSet};

use super::looks::{is_plausible_path, looks_secret, names_clients};
use super::names::{FILE_KEYS, is_plain_header, is_secret_name};
use super::node::{Entry, Node, Scalar, Value};

/// What stands under these names cookies and holds none: `hash: { cookie: name }`.
const NAMING: [&str; 3] = ["hash", "sticky", "chosenBy"];

/// Sections whose keys are names that users choose.
pub(in crate::config) const SECTIONS: [&str; 6] =
    ["listeners", "routes", "clusters", "rateLimits", "authProviders", "authorizationPolicies"];

/// Keys of the language with such a part that carry no header field, query or cookie.
const CARRYING_NONE: [&str; 11] = [
    "byHeader", "retriableHeaders", "headerTimeout", "maxHeaders", "maxHeaderBytes", "header", "allowHeaders",
    "exposeHeaders", "cookiesNeedOrigin", "headersFile", "redactHeaders",
];

/// Keys of the language about authentication that sound like secrets, and say where one is and how it is dealt with.
/// Elsewhere these names are nobody's, and hide what stands below.
const ABOUT_CREDENTIALS: [&str; 14] = [
    "apiKey", "auth", "basic", "bearer", "copyHeaders", "credentials", "forwardClaims", "forwardHeaders",
    "identityHeaders", "jwt", "principalHeader", "query", "refusalHeaders", "rolesHeader",
];

/// Of these, what has a mapping below and never a text. A text that stands there is the credential itself.
const HOLD_NO_TEXT: [&str; 4] = ["apiKey", "basic", "bearer", "jwt"];
/// The words of `routes.X.auth.credentials`.
const CREDENTIALS: [&str; 2] = ["strip", "pass"];

/// What names the header field or parameter whose value stands beside it in the forms of other proxies.
const NAMES: [&str; 6] = ["name", "key", "header", "headername", "httpheadername", "field"];

/// Where a route says who may do what; a header field of this name holds a credential.
const AUTHORIZATION: &str = "authorization";
/// Bytes of what is taken for the name of a policy.
const MAX_NAME: usize = 40;

/// Marks every secret of a file's tree, after substitution. What was set aside for aliases stands in `aside`.
pub(in crate::config) fn conceal(root: &mut Node, aside: &mut [Entry], has_anchors: bool) {
    let mut walk = Walk::default();
    walk.node(root, Around::default());
    if !has_anchors {
        return;
    }
    for entry in aside.iter_mut() {
        walk.entry(entry, Around::default(), false);
    }
    // What an alias repeats is a secret wherever it is one anywhere.
    let mut shared = HashSet::new();
    for node in std::iter::once(&*root).chain(aside.iter().map(|entry| &entry.value)) {
        secret_places(node, &mut shared);
    }
    mark_places(root, &shared);
    aside.iter_mut().for_each(|entry| mark_places(&mut entry.value, &shared));
}

/// What a node stands under.
#[derive(Clone, Copy, Default)]
struct Around<'a> {
    key: &'a str,
    /// Its keys are names of routes, clusters and the like.
    names: bool,
    /// Under what a request must look like.
    is_match: bool,
    carries: Carries,
    is_secret: bool,
    /// Its section and how deep in it.
    section: &'a str,
    depth: usize,
    /// Under a provider, or under what a route asks of providers.
    is_auth: bool,
    /// Its texts are names of policies, though its key sounds like a secret.
    is_policy: bool,
}

impl Around<'_> {
    /// Whether what stands under `key` here is about authentication.
    fn is_auth_below(&self, key: &str) -> bool {
        let is_of_route = self.is_route() && key == "auth";
        self.is_auth || is_of_route || (self.section == "authProviders" && self.depth == 2)
    }

    /// Whether its keys are those of a route.
    fn is_route(&self) -> bool {
        self.depth == 2 && matches!(self.section, "routes" | "defaults")
    }
}

/// Whether the values below are those of header fields and the like.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Carries {
    #[default]
    Nothing,
    /// Header fields that the gateway puts into messages.
    Fields,
    /// What a request carries, which is told by name only.
    Conditions,
}

#[derive(Default)]
struct Walk {
    /// What is known of names, which come again with every route.
    known: HashMap<Box<str>, (bool, bool)>,
}

impl Walk {
    fn node(&mut self, node: &mut Node, around: Around<'_>) {
        match &mut node.value {
            Value::Map(entries) => {
                let hides_values = has_named_value(entries);
                for entry in entries {
                    self.entry(entry, around, hides_values);
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.node(item, around)),
            Value::Scalar(scalar) => {
                if !is_empty(scalar) && is_secret(scalar, around) {
                    scalar.secret = true;
                }
            }
            Value::Blank => {}
        }
    }

    fn entry(&mut self, entry: &mut Entry, around: Around<'_>, hides_values: bool) {
        let key = entry.key.as_str();
        let is_auth = around.is_auth_below(key);
        let is_misplaced = self.is_misplaced(entry, around, is_auth);
        let is_language = !is_misplaced && (around.names || (is_auth && ABOUT_CREDENTIALS.contains(&key)));
        // A log lists header fields by their names.
        let lists_names = around.section == "accessLog" && !matches!(entry.value.value, Value::Map(_));
        let (is_name, carries) = if is_language { (false, false) } else { self.about(key) };
        let carries = carries && !lists_names;
        let names_cookie = key == "cookie" && NAMING.contains(&around.key);
        let is_policy = around.is_route() && matches!(key, AUTHORIZATION | "auth");
        let mut below = Around {
            key,
            names: (around.key.is_empty() && SECTIONS.contains(&key)) || (is_auth && key == "forwardClaims"),
            section: if around.depth == 0 { key } else { around.section },
            depth: around.depth + 1,
            is_auth,
            is_match: around.is_match || matches!(key, "match" | "whenHeader"),
            carries: around.carries,
            is_secret: around.is_secret
                || is_misplaced
                || (is_name && !names_cookie && !is_policy)
                || (hides_values && key.starts_with("value")),
            is_policy,
        };
        match around.carries {
            Carries::Nothing if carries && !names_cookie => {
                let asks = below.is_match || !key.to_ascii_lowercase().contains("header");
                below.carries = if asks { Carries::Conditions } else { Carries::Fields };
            }
            Carries::Fields if matches!(key, "remove" | "preset") || is_plain_header(key) => {
                below.carries = Carries::Nothing;
            }
            _ => {}
        }
        self.node(&mut entry.value, below);
    }

    /// Whether a credential stands where the language wants it described: `apiKey: S` for `apiKey: { keysFile: F }`.
    fn is_misplaced(&mut self, entry: &Entry, around: Around<'_>, is_auth: bool) -> bool {
        let key = entry.key.as_str();
        match &entry.value.value {
            Value::Blank | Value::Map(_) => false,
            Value::Scalar(scalar) if is_auth && key == "credentials" => !CREDENTIALS.contains(&scalar.text.as_str()),
            // No listener, route or provider is a text.
            Value::Scalar(_) | Value::List(_) if around.names && around.depth == 1 => self.about(key).0,
            Value::Scalar(_) | Value::List(_) => is_auth && HOLD_NO_TEXT.contains(&key),
        }
    }

    /// Whether a key is the name of a secret, and whether it has header fields or the like below.
    fn about(&mut self, key: &str) -> (bool, bool) {
        if let Some(known) = self.known.get(key) {
            return *known;
        }
        let lower = key.to_ascii_lowercase();
        let carries = ["header", "query", "queries", "cookie", "params"].iter().any(|part| lower.contains(part));
        let about = (is_secret_name(key), carries && !CARRYING_NONE.contains(&key));
        self.known.insert(key.into(), about);
        about
    }
}

/// Whether a mapping is a name with its value, as other proxies write a header field: `{ name: x-a, value: S }`.
fn has_named_value(entries: &[Entry]) -> bool {
    let is_name = |entry: &Entry| {
        let lower = entry.key.to_ascii_lowercase();
        let lower: String = lower.chars().filter(|c| !matches!(c, '-' | '_')).collect();
        NAMES.contains(&lower.as_str())
            && matches!(&entry.value.value, Value::Scalar(scalar) if !is_plain_header(&scalar.text))
    };
    entries.iter().any(|entry| entry.key.starts_with("value")) && entries.iter().any(is_name)
}

/// Whether a value says nothing that could be a secret.
pub(in crate::config) fn is_empty(scalar: &Scalar) -> bool {
    scalar.is_null() || scalar.text.is_empty() || scalar.plain && matches!(scalar.text.as_str(), "true" | "false")
}

fn is_secret(scalar: &Scalar, around: Around<'_>) -> bool {
    let written = scalar.written.as_deref().unwrap_or(&scalar.text);
    if names_clients(around.key, written) {
        return false;
    }
    let is_carried = match around.carries {
        Carries::Nothing => false,
        Carries::Fields => !is_declared_plain(written),
        Carries::Conditions => true,
    };
    let is_no_path = || FILE_KEYS.contains(&around.key) && !written.contains("${") && !is_plausible_path(written);
    around.is_policy && !is_plain_name(written)
        || around.is_secret
        || is_carried
        || is_no_path()
        || looks_secret(written)
}

/// Whether text can be the name of something, and not what a header field of such a name holds.
fn is_plain_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= MAX_NAME && text.bytes().all(is_plain)
}

/// Whether text is one reference that says itself that it is no secret.
fn is_declared_plain(written: &str) -> bool {
    let inner = written.strip_prefix("${plain:").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| !inner.contains(['$', '{', '}']) && !inner.contains(":-"))
}

/// Line and column of every secret below.
fn secret_places(node: &Node, found: &mut HashSet<(usize, usize)>) {
    node.children().for_each(|child| secret_places(child, found));
    if matches!(&node.value, Value::Scalar(scalar) if scalar.secret) {
        found.insert((node.span.line(), node.span.column()));
    }
}

fn mark_places(node: &mut Node, places: &HashSet<(usize, usize)>) {
    node.children_mut().for_each(|child| mark_places(child, places));
    if let Value::Scalar(scalar) = &mut node.value {
        scalar.secret |= places.contains(&(node.span.line(), node.span.column())) && !is_empty(scalar);
    }
}
