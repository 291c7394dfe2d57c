//! What is configured, reduced to what a later configuration can be compared with: one line of text for each named
//! thing, without secrets. Small enough to be kept with every configuration, and quick enough to make with every
//! reload.

mod difference;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;

use super::node::{Node, Scalar, Value};
use difference::{details, summary};

use super::text::looks::{REDACTED, mask_parts, shown_key};

/// Sections with named entries.
const NAMED: [&str; 6] = ["listeners", "routes", "clusters", "rateLimits", "authProviders", "authorizationPolicies"];

/// A configuration after includes, substitution and defaults, without its secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    sections: BTreeMap<String, Vec<Thing>>,
    /// Hash of each file beside the configuration itself: certificates, keys, secrets.
    files: BTreeMap<PathBuf, u64>,
}

/// A named entry of a section, or a whole section with an empty name. In order of the names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Thing {
    name: Box<str>,
    /// Its value as JSON.
    text: Box<str>,
}

/// What one configuration changes in another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What changes, what comes and what goes, in this order. Bounded.
    pub changes: Vec<Change>,
    /// Changes that are not listed because there are too many.
    pub more: usize,
    /// How many things stay as they are: by section where things have names, `sections` for whole ones.
    pub unchanged: BTreeMap<&'static str, usize>,
}

/// One line of a [`Difference`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which way it goes.
    pub kind: ChangeKind,
    /// Where, such as `routes.research.split`.
    pub path: String,
    /// From what to what, in words.
    pub detail: String,
}

/// Kind of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// Is there before and after.
    Changed,
    /// Is there only after.
    Added,
    /// Is there only before.
    Removed,
}

/// Lines that are listed.
const MAX_CHANGES: usize = 100;

impl Effective {
    pub(super) fn new(root: &Node, files: BTreeMap<PathBuf, u64>) -> Self {
        let mut sections = BTreeMap::new();
        // There are thousands of things, so each is written where the one before was.
        let mut text = String::new();
        for section in root.entries() {
            let key = section.key.as_str();
            if matches!(key, "include" | "defaults") || section.value.is_null() {
                continue;
            }
            let mut thing = |name: &str, node: &Node| {
                text.clear();
                write(node, &mut text);
                Thing { name: name.into(), text: text.as_str().into() }
            };
            let mut things: Vec<Thing> = if NAMED.contains(&key) {
                let entries = section.value.entries().iter();
                entries.map(|entry| thing(&entry.key, &entry.value)).collect()
            } else {
                vec![thing("", &section.value)]
            };
            things.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            sections.insert(key.to_owned(), things);
        }
        Self { sections, files }
    }

    /// Section, name and text of each thing, in order.
    fn things(&self) -> impl Iterator<Item = (ObjectName<'_>, &str)> {
        self.sections.iter().flat_map(|(section, things)| {
            let section = section.as_str();
            let things = things.iter();
            things.map(move |thing| ((section, &*thing.name), &*thing.text))
        })
    }

    /// What putting `after` in force in place of this one changes.
    #[must_use]
    pub fn difference(&self, after: &Self) -> Difference {
        let mut found = Difference::default();
        let (mut changed, mut fresh, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        // Both are in order, so one walk beside the other meets every pair.
        let mut old = self.things().peekable();
        for (thing, text) in after.things() {
            while let Some((left, text)) = old.next_if(|(known, _)| *known < thing) {
                gone.push((left, Some(text), None));
            }
            match old.next_if(|(known, _)| *known == thing) {
                Some((_, before)) if before == text => {
                    *found.unchanged.entry(counted_as(thing)).or_default() += 1;
                }
                Some((_, before)) => changed.push((thing, Some(before), Some(text))),
                None => fresh.push((thing, None, Some(text))),
            }
        }
        gone.extend(old.map(|(left, text)| (left, Some(text), None)));
        for (thing, before, after) in changed.into_iter().chain(fresh).chain(gone) {
            if found.changes.len() >= MAX_CHANGES {
                found.more += 1;
                continue;
            }
            found.changes.extend(describe(thing, before, after));
        }
        found.files(&self.files, &after.files);
        found
    }

    /// The configuration as YAML, secrets redacted.
    #[must_use]
    pub fn yaml(&self) -> String {
        let mut root = serde_json::Map::new();
        for ((section, name), text) in self.things() {
            let value = redacted(serde_json::from_str(text).unwrap_or_default());
            if name.is_empty() {
                root.insert(section.to_owned(), value);
            } else if let Json::Object(entries) =
                root.entry(section).or_insert_with(|| Json::Object(serde_json::Map::new()))
            {
                entries.insert(name.to_owned(), value);
            }
        }
        // Only values of foreign types cannot be printed.
        serde_yaml::to_string(&root).unwrap_or_default()
    }
}

impl Difference {
    /// Whether anything changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.more == 0
    }

    fn files(&mut self, before: &BTreeMap<PathBuf, u64>, after: &BTreeMap<PathBuf, u64>) {
        let changed = |path: &Path| before.get(path).is_some_and(|hash| after.get(path) != Some(hash));
        let both: BTreeSet<&PathBuf> = after.keys().filter(|path| changed(path)).collect();
        for path in both {
            if self.changes.len() >= MAX_CHANGES {
                self.more += 1;
                continue;
            }
            self.changes.push(Change {
                kind: ChangeKind::Changed,
                path: path.display().to_string(),
                detail: "other content".to_owned(),
            });
        }
    }

    /// The lines people read, each with its sign.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let width = self.changes.iter().map(|change| change.path.chars().count());
        let width = width.max().unwrap_or(0).min(PATH_WIDTH);
        let mut lines: Vec<String> = self
            .changes
            .iter()
            .map(|Change { kind, path, detail }| {
                let sign = match kind {
                    ChangeKind::Changed => '~',
                    ChangeKind::Added => '+',
                    ChangeKind::Removed => '-',
                };
                format!("  {sign} {path:<width$}  {detail}").trim_end().to_owned()
            })
            .collect();
        if self.more > 0 {
            lines.push(format!("  and {} more", self.more));
        }
        let counts = self.unchanged.iter();
        let counts: Vec<String> = counts.map(|(what, count)| words(what, *count)).collect();
        if !counts.is_empty() {
            lines.push(format!("  = unchanged, with their live state: {}", counts.join(", ")));
        }
        lines
    }
}

/// Section and name of a thing.
type ObjectName<'a> = (&'a str, &'a str);

/// As what a thing is counted that did not change.
fn counted_as((section, name): ObjectName<'_>) -> &'static str {
    let known = NAMED.into_iter().find(|known| *known == section);
    known.filter(|_| !name.is_empty()).unwrap_or("sections")
}

/// Such as `1 cluster` or `3 rate limits`.
fn words(what: &str, count: usize) -> String {
    let plural = match what {
        "rateLimits" => "rate limits",
        "authProviders" => "auth providers",
        "authorizationPolicies" => "authorization policies",
        "sections" => "other sections",
        plain => plain,
    };
    let one = match (count, plural.strip_suffix("ies"), plural.strip_suffix('s')) {
        (1, Some(stem), _) => format!("{stem}y"),
        (1, None, Some(stem)) => stem.to_owned(),
        _ => plural.to_owned(),
    };
    format!("{count} {one}")
}

fn describe((section, name): ObjectName<'_>, before: Option<&str>, after: Option<&str>) -> Vec<Change> {
    let path = if name.is_empty() { section.to_owned() } else { format!("{section}.{name}") };
    let read = |text: Option<&str>| text.and_then(|text| serde_json::from_str::<Json>(text).ok());
    let change = |kind, path: String, detail| Change { kind, path, detail };
    match (read(before), read(after)) {
        (Some(before), Some(after)) => details(&before, &after)
            .into_iter()
            .map(|(key, detail)| {
                let path = if key.is_empty() { path.clone() } else { format!("{path}.{key}") };
                change(ChangeKind::Changed, path, detail)
            })
            .collect(),
        (None, Some(after)) => vec![change(ChangeKind::Added, path, summary(section, &after))],
        (Some(before), None) => vec![change(ChangeKind::Removed, path, summary(section, &before))],
        (None, None) => Vec::new(),
    }
}

/// Writes a tree as JSON. A secret becomes a mark with a hash, so that a change of it is seen and nothing else.
fn write(node: &Node, out: &mut String) {
    match &node.value {
        Value::Map(entries) => {
            out.push('{');
            let shown = entries.iter().filter(|entry| !entry.value.is_null());
            for (index, entry) in shown.enumerate() {
                if index > 0 {
                    out.push(',');
                }
                match shown_key(&entry.key) {
                    key if *key == *entry.key => quote(&key, out),
                    masked => write_marked(&masked, &entry.key, out),
                }
                out.push(':');
                write(&entry.value, out);
            }
            out.push('}');
        }
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Scalar(scalar) if scalar.secret => write_marked(REDACTED, &scalar.text, out),
        Value::Scalar(scalar) => write_scalar(scalar, out),
        Value::Blank => out.push_str("null"),
    }
}

fn write_scalar(scalar: &Scalar, out: &mut String) {
    let text = scalar.text.as_str();
    if scalar.is_null() {
        return out.push_str("null");
    }
    let bare = scalar.plain || scalar.substituted;
    let number = || {
        is_short_whole(text)
            || text.starts_with(|c: char| c.is_ascii_digit() || c == '-')
                && serde_json::from_str::<serde_json::Number>(text).is_ok_and(|number| number.to_string() == text)
    };
    if bare && (matches!(text, "true" | "false") || number()) {
        out.push_str(text);
    } else {
        match mask_parts(text) {
            Cow::Borrowed(text) => quote(text, out),
            Cow::Owned(masked) => write_marked(&masked, text, out),
        }
    }
}

/// Writes what may be shown of a secret, with a hash of all of it.
fn write_marked(shown: &str, secret: &str, out: &mut String) {
    let hash = xxhash_rust::xxh3::xxh3_64(secret.as_bytes());
    quote(&format!("{shown}{MARK}{hash:016x}"), out);
}

/// Stands before the hash of a secret; no legal value holds it.
const MARK: char = '\u{1}';

/// Whether this is a number that JSON writes in the same way, without a look at the harder ones.
fn is_short_whole(text: &str) -> bool {
    text.len() < 19
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.is_empty() && !text.starts_with('0'))
}

fn quote(text: &str, out: &mut String) {
    // Most text needs no escape, and there is much of it.
    if text.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
        out.push('"');
        out.push_str(text);
        out.push('"');
        return;
    }
    // Text can always be written as JSON.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// A text without the hash of a secret.
pub(super) fn unmarked(text: String) -> String {
    match text.split_once(MARK) {
        Some((shown, _hash)) => shown.to_owned(),
        None => text,
    }
}

/// Takes the hashes of secrets out.
pub(super) fn redacted(value: Json) -> Json {
    match value {
        Json::String(text) => Json::String(unmarked(text)),
        Json::Array(items) => items.into_iter().map(redacted).collect(),
        Json::Object(entries) => {
            let entries = entries.into_iter();
            Json::Object(entries.map(|(key, value)| (unmarked(key), redacted(value))).collect())
        }
        other => other,
    }
}

/// Paths longer than this are not aligned with the others.
const PATH_WIDTH: usize = 40;
