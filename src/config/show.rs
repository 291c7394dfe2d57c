//! The effective configuration as YAML: files merged, variables put in, defaults spread, secrets taken out. With every
//! built-in default filled in, the text still means the same; a test reads it back and compares.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_yaml::Value as Yaml;

use super::fill::{self, DEFAULT, WORDS};
use super::node::{Node, Scalar, Value};
use super::report::Report;
use super::text::looks::{REDACTED, mask_parts, shown_key};
use super::text::names::is_file;
use super::written::LAST_GOOD;
use super::{schema, substitute, yaml};

/// Prints a tree.
pub(super) fn show(root: &Node, defaults: bool) -> String {
    let mut root = without(root, &["include", "defaults"]);
    if defaults {
        fill::fill(&mut root, schema::tree());
    }
    // Only values of foreign types cannot be printed.
    let text = serde_yaml::to_string(&yaml_of(&root, "", "", &SHOWN)).unwrap_or_default();
    mark(&text, &root)
}

/// Prints a tree so that it can be loaded by itself and from anywhere: what was substituted is written as it was, and
/// paths start at the root.
pub(super) fn standalone(root: &Node) -> String {
    let mut root = without(root, &["include", "defaults"]);
    if let Some(reload) = root.get_mut("reload") {
        // This is that file. A gateway that starts from it must not write over it.
        *reload = without(reload, &["lastGoodFile"]);
    }
    LAST_GOOD.to_owned() + &serde_yaml::to_string(&yaml_of(&root, "", "", &PORTABLE)).unwrap_or_default()
}

/// A mapping without some of its keys.
fn without(node: &Node, keys: &[&str]) -> Node {
    let mut node = node.clone();
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| !keys.contains(&entry.key.as_str()));
    }
    node
}

/// How keys are printed, and how a value that stands at a key of a mapping with the name `parent`.
struct Print {
    key: fn(&str) -> Cow<'_, str>,
    value: fn(&Scalar, &str, &str) -> Yaml,
}

/// For people: nothing that must not be printed.
const SHOWN: Print = Print { key: shown_key, value: shown };

/// For a gateway that starts from it.
const PORTABLE: Print = Print { key: as_written, value: portable };

fn as_written(key: &str) -> Cow<'_, str> {
    key.into()
}

/// The tree as `serde_yaml` knows it.
fn yaml_of(node: &Node, parent: &str, key: &str, print: &Print) -> Yaml {
    match &node.value {
        Value::Map(entries) => {
            let entries = entries.iter().filter(|entry| !entry.value.is_blank());
            let pairs = entries
                .map(|entry| (Yaml::from(&*(print.key)(&entry.key)), yaml_of(&entry.value, key, &entry.key, print)));
            Yaml::Mapping(pairs.collect())
        }
        Value::List(items) => {
            let items = items.iter().filter(|item| !item.is_blank());
            Yaml::Sequence(items.map(|item| yaml_of(item, parent, key, print)).collect())
        }
        Value::Scalar(scalar) if !scalar.is_null() => (print.value)(scalar, parent, key),
        Value::Scalar(_) | Value::Blank => Yaml::Null,
    }
}

fn portable(scalar: &Scalar, parent: &str, key: &str) -> Yaml {
    if is_file(parent, key, &scalar.text) {
        let path = substitute::absolute(Path::new(&scalar.text));
        return Yaml::from(path.display().to_string().replace("${", "$${"));
    }
    match &scalar.written {
        Some(written) => Yaml::from(&**written),
        None => printed(scalar, scalar.text.clone(), key),
    }
}

fn shown(scalar: &Scalar, _parent: &str, key: &str) -> Yaml {
    if scalar.secret {
        return Yaml::from(REDACTED);
    }
    // What was substituted is final: a `$` in it must not be expanded when this is read again.
    printed(scalar, mask_parts(&scalar.text).replace("${", "$${"), key)
}

/// What is no text where it stands alone is printed without quotes, as it was read.
fn printed(scalar: &Scalar, text: String, key: &str) -> Yaml {
    if !scalar.plain && !scalar.substituted {
        return Yaml::from(text);
    }
    match serde_yaml::from_str(&text) {
        Ok(value @ Yaml::Bool(_)) => value,
        // The same number in other digits would be another text, where a text is wanted.
        Ok(Yaml::Number(number)) if number.to_string() == text || key == FRACTIONS => Yaml::Number(number),
        _ => Yaml::from(text),
    }
}

/// The one field of numbers that are not whole, so that `0.50` may be printed as `0.5`.
const FRACTIONS: &str = "latencyBuckets";

/// Marks each value that comes from a default, and turns defaults that are no values into comments.
/// The lines come from reading the text again: what was printed and where is then known for sure.
fn mark(text: &str, root: &Node) -> String {
    let mut marks = BTreeMap::new();
    if let Some(printed) = yaml::parse(text, 0, &mut Report::default()) {
        find_marks(&printed, root, &mut marks);
    }
    let numbered = text.lines().enumerate();
    numbered.fold(String::new(), |mut out, (index, line)| {
        let is_section = line.starts_with(|c: char| c.is_ascii_alphabetic());
        let gap = if index > 0 && is_section { "\n" } else { "" };
        let _infallible = match marks.get(&(index + 1)) {
            Some(Mark::Default) => writeln!(out, "{gap}{line} # default"),
            Some(Mark::Words(words)) => {
                let indent: String = line.chars().take_while(|c| *c == ' ').collect();
                writeln!(out, "{indent}# {words}")
            }
            Some(Mark::Empty) => writeln!(out, "{gap}{line} {{}}"),
            None => writeln!(out, "{gap}{line}"),
        };
        out
    })
}

/// What is to be known about a printed line.
enum Mark {
    Default,
    /// Key and default, which is no value.
    Words(String),
    /// A mapping of which only comments are left.
    Empty,
}

fn find_marks(printed: &Node, node: &Node, marks: &mut BTreeMap<usize, Mark>) {
    if let (Value::List(lines), Value::List(items)) = (&printed.value, &node.value) {
        let items = items.iter().filter(|item| !item.is_blank());
        lines.iter().zip(items).for_each(|(line, item)| find_marks(line, item, marks));
    }
    for entry in printed.entries() {
        let Some(node) = node.get(&entry.key) else { continue };
        let line = entry.key_span.line();
        let inside = node.entries();
        if !inside.is_empty() || matches!(node.value, Value::List(_)) && node.span.file() != DEFAULT {
            find_marks(&entry.value, node, marks);
            if !inside.is_empty() && inside.iter().all(|entry| entry.value.span.file() == WORDS) {
                marks.insert(line, Mark::Empty);
            }
        } else if let (WORDS, Value::Scalar(words)) = (node.span.file(), &node.value) {
            marks.insert(line, Mark::Words(format!("{}: {}", entry.key, words.text)));
        } else if node.span.file() == DEFAULT {
            marks.insert(line, Mark::Default);
        }
    }
}
