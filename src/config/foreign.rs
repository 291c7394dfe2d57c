//! Texts that are no configuration of ours: the YAML of other programs as a tree with places, and reports about texts
//! of any kind. What their keys mean is not known here.

use std::cell::Cell;
use std::path::PathBuf;

use super::node::{self, Node, Span};
use super::report::{Diagnostic, Report, Source};
use super::source::MAX_FILE;
use super::yaml;

/// A value of a foreign text in YAML, JSON or TOML. It remembers whether anybody has looked at it, so that what nobody
/// understood can be named.
#[derive(Debug)]
pub struct Foreign {
    /// Line in the text, from 1.
    pub line: usize,
    /// What it is.
    pub kind: ForeignKind,
    seen: Cell<bool>,
}

/// What a foreign value is.
#[derive(Debug)]
pub enum ForeignKind {
    /// Text, a number or a word.
    Scalar(String),
    /// A list.
    List(Vec<Foreign>),
    /// A mapping: keys with their lines and values.
    Map(Vec<(String, usize, Foreign)>),
}

/// Where something stands in a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length in characters.
    pub length: usize,
}

/// Every document of a YAML text, without the empty ones.
///
/// # Errors
/// A report of what is not YAML, or larger, deeper or more than a configuration may be.
pub fn documents(text: &str, name: &str) -> Result<Vec<Foreign>, Report> {
    let mut report = about(text, name);
    if text.len() > MAX_FILE {
        report.add(Diagnostic::error("too-large", format!("`{name}` is larger than 4096 KiB")));
        return Err(report);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let roots = yaml::parse_all(text, 0, &mut report);
    if report.errors() > 0 {
        return Err(report);
    }
    Ok(roots.into_iter().filter(|root| !root.is_null()).map(Foreign::from).collect())
}

/// The report that a foreign text cannot be read, and what to do.
#[must_use]
pub fn unreadable(text: &str, name: &str, place: Place, message: &str, hint: &str) -> Report {
    let mut report = about(text, name);
    let span = Span::new(0, place.line, place.column, place.length);
    report.add(Diagnostic::error("not-understood", message).at(span).hint(hint));
    report
}

fn about(text: &str, name: &str) -> Report {
    let mut report = Report::default();
    report.sources.push(Source { path: PathBuf::from(name), text: text.into(), is_foreign: true });
    report
}

impl Foreign {
    /// A value that nobody has looked at.
    #[must_use]
    pub fn new(line: usize, kind: ForeignKind) -> Self {
        Self { line, kind, seen: Cell::new(false) }
    }

    /// The value under a key of a mapping, which is looked at from now on.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let found = self.entries().iter().find(|(name, ..)| name == key).map(|(_, _, value)| value)?;
        found.seen.set(true);
        Some(found)
    }

    /// The members of a `List` of Kubernetes; anything else alone.
    #[must_use]
    pub fn into_objects(self) -> Vec<Self> {
        if self.text_at(&["kind"]) != Some("List") {
            return vec![self];
        }
        let ForeignKind::Map(entries) = self.kind else { return Vec::new() };
        let lists = entries.into_iter().filter(|(key, ..)| key == "items").map(|(_, _, value)| value.kind);
        lists.flat_map(|kind| if let ForeignKind::List(items) = kind { items } else { Vec::new() }).collect()
    }

    /// Marks this as looked at.
    pub fn marked(&self) {
        self.seen.set(true);
    }

    /// The value at the end of a path of keys.
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |value, key| value.get(key))
    }

    /// The text of a scalar, which is looked at from now on.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.seen.set(true);
        match &self.kind {
            ForeignKind::Scalar(text) => Some(text),
            ForeignKind::List(_) | ForeignKind::Map(_) => None,
        }
    }

    /// The text at the end of a path of keys.
    #[must_use]
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path)?.text()
    }

    /// The items of a list. Anything else has none.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            ForeignKind::List(items) => items,
            ForeignKind::Scalar(_) | ForeignKind::Map(_) => &[],
        }
    }

    /// The items of the list at the end of a path of keys.
    #[must_use]
    pub fn items_at(&self, path: &[&str]) -> &[Self] {
        self.at(path).map_or(&[], Self::items)
    }

    /// Texts of a list of scalars, or the one text that stands alone.
    #[must_use]
    pub fn texts_at(&self, path: &[&str]) -> Vec<&str> {
        let Some(value) = self.at(path) else { return Vec::new() };
        match value.text() {
            Some(text) => vec![text],
            None => value.items().iter().filter_map(Self::text).collect(),
        }
    }

    /// Keys, their lines and values of a mapping. Anything else has none.
    #[must_use]
    pub fn entries(&self) -> &[(String, usize, Self)] {
        match &self.kind {
            ForeignKind::Map(entries) => entries,
            ForeignKind::Scalar(_) | ForeignKind::List(_) => &[],
        }
    }

    /// Marks this and everything below as looked at.
    pub fn all_seen(&self) {
        self.seen.set(true);
        self.items().iter().for_each(Self::all_seen);
        self.entries().iter().for_each(|(_, _, value)| value.all_seen());
    }

    /// Path and line of whatever nobody has looked at, outermost first. A list counts as looked at when an item is.
    #[must_use]
    pub fn unseen(&self) -> Vec<(String, usize)> {
        let mut found = Vec::new();
        self.collect_unseen("", &mut found);
        found
    }

    fn collect_unseen(&self, path: &str, found: &mut Vec<(String, usize)>) {
        for item in self.items() {
            item.collect_unseen(path, found);
        }
        for (key, line, value) in self.entries() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            if value.seen.get() {
                value.collect_unseen(&path, found);
            } else {
                found.push((path, *line));
            }
        }
    }
}

impl From<Node> for Foreign {
    fn from(node: Node) -> Self {
        let kind = match node.value {
            node::Value::Scalar(scalar) => ForeignKind::Scalar(scalar.text),
            node::Value::List(items) => ForeignKind::List(items.into_iter().map(Self::from).collect()),
            node::Value::Map(entries) => {
                let entries = entries.into_iter();
                ForeignKind::Map(
                    entries.map(|entry| (entry.key, entry.key_span.line(), Self::from(entry.value))).collect(),
                )
            }
            node::Value::Blank => ForeignKind::Scalar(String::new()),
        };
        Self::new(node.span.line(), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_documents_are_read_and_what_nobody_looked_at_is_named() {
        let all = documents("a: 1\nb: { c: [x, { d: 1, e: 2 }] }\n---\n---\nf: 1\n", "x.yaml").unwrap();
        assert_eq!(all.len(), 2);
        let first = &all[0];
        assert_eq!(first.text_at(&["a"]), Some("1"));
        let items = first.items_at(&["b", "c"]);
        assert_eq!((items[0].text(), items[1].text_at(&["d"])), (Some("x"), Some("1")));
        assert_eq!(first.unseen(), [("b.c.e".to_owned(), 2)]);
        assert_eq!(all[1].unseen(), [("f".to_owned(), 5)]);
        assert!(documents("a: [1\n", "x.yaml").unwrap_err().human(false).contains("x.yaml:2"));
    }

    #[test]
    fn a_foreign_line_is_shown_without_what_looks_like_a_secret() {
        let place = Place { line: 2, column: 3, length: 4 };
        let text = "server {\n  auth \"Bearer abcdefghijklmnopqrstuvwxyz0123456789\"\n";
        let shown = unreadable(text, "n.conf", place, "what", "hint").human(false);
        assert!(shown.contains("n.conf:2:3") && shown.contains("^^^^ hint"), "{shown}");
        assert!(!shown.contains("abcdefghijk"), "{shown}");
        let shown = unreadable("listen 80\n}\n", "n.conf", Place { line: 1, ..place }, "what", "").human(false);
        assert!(shown.contains("1 | listen 80"), "what is no secret is shown: {shown}");
    }
}
