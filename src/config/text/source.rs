//! From paths to one tree: reads files, follows includes, and puts the parts together.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tracing::debug_span;

use super::conceal::SECTIONS;
use super::names::is_file;
use super::node::{Entry, Node, Span, Value};
use super::report::{Diagnostic, Report, Source};
use super::{conceal, substitute, yaml};
use crate::config::environment::Environment;
use crate::config::files::reason;

/// Size of one file.
pub const MAX_FILE: usize = 4 << 20;
/// Files of one configuration, includes counted.
const MAX_FILES: usize = 1000;

/// The merged tree and every file it came from.
#[derive(Debug)]
pub(in crate::config) struct Tree {
    pub(in crate::config) root: Node,
    pub(in crate::config) files: Vec<PathBuf>,
    /// Whether every file that belongs to it could be read.
    pub(in crate::config) is_whole: bool,
}

/// Reads files into one tree.
pub(in crate::config) struct Reader<'a> {
    env: &'a Environment,
    pub(in crate::config) report: Report,
    seen: HashSet<PathBuf>,
    /// The file that is read, below those that include it.
    around: Vec<PathBuf>,
    files: Vec<PathBuf>,
    root: Option<Node>,
    lacks: bool,
}

impl<'a> Reader<'a> {
    pub(in crate::config) fn new(env: &'a Environment) -> Self {
        Self {
            env,
            report: Report::default(),
            seen: HashSet::new(),
            around: Vec::new(),
            files: Vec::new(),
            root: None,
            lacks: false,
        }
    }

    /// Reads a file, or each `*.yaml` and `*.yml` of a directory in name order.
    pub(in crate::config) fn read(mut self, path: &Path) -> (Option<Tree>, Report) {
        if self.env.resolve(path).is_dir() {
            let mut names = self.list(path, "*.yaml");
            names.extend(self.list(path, "*.yml"));
            names.sort();
            if names.is_empty() {
                let message = format!("`{}` holds no configuration", path.display());
                self.report.add(
                    Diagnostic::error("missing-file", message).hint("a directory needs `*.yaml` or `*.yml` files"),
                );
            }
            for name in names {
                self.file(&path.join(name), None);
            }
        } else {
            self.file(path, None);
            if self.env.is_mounted_alone(path) {
                let message =
                    format!("`{}` is mounted alone, so a file renamed over it outside does not arrive", path.display());
                self.report.add(Diagnostic::warning("mounted-alone", message).hint("mount its directory instead"));
            }
        }
        self.finish()
    }

    /// Takes text that is already in memory.
    pub(in crate::config) fn take(mut self, text: &str, name: &str) -> (Option<Tree>, Report) {
        self.text(text, Path::new(name));
        self.finish()
    }

    fn finish(self) -> (Option<Tree>, Report) {
        let tree = self.root.map(|root| Tree { root, files: self.files, is_whole: !self.lacks });
        (tree, self.report)
    }

    fn file(&mut self, path: &Path, included: Option<Span>) {
        let at = |diagnostic: Diagnostic| match included {
            Some(span) => diagnostic.at(span),
            None => diagnostic,
        };
        let identity = self.identity(path);
        if !self.seen.insert(identity.clone()) {
            return;
        }
        if self.seen.len() > MAX_FILES {
            let message = format!("more than {MAX_FILES} files");
            return self.unread(at(Diagnostic::error("too-large", message)));
        }
        self.files.push(path.to_owned());
        let read = self.env.read(path, MAX_FILE);
        let at_path = self.env.resolve(path);
        self.env.with_inputs(|inputs| inputs.is_configuration(&at_path));
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let message = format!("cannot read `{}`: {}", path.display(), reason(&error));
                let code = if error.kind() == std::io::ErrorKind::FileTooLarge { "too-large" } else { "missing-file" };
                return self.unread(at(Diagnostic::error(code, message)));
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => {
                self.around.push(identity);
                self.text(&text, path);
                self.around.pop();
            }
            Err(error) => {
                let line = error
                    .as_bytes()
                    .iter()
                    .take(error.utf8_error().valid_up_to())
                    .filter(|byte| **byte == b'\n')
                    .count()
                    + 1;
                let message = format!("`{}` is not UTF-8 text: see line {line}", path.display());
                let diagnostic = Diagnostic::error("not-utf8", message);
                self.unread(at(diagnostic.hint("save it as UTF-8")));
            }
        }
    }

    /// One name for a file that has several.
    fn identity(&self, path: &Path) -> PathBuf {
        std::fs::canonicalize(self.env.resolve(path)).unwrap_or_else(|_absent| path.to_owned())
    }

    /// Reports why a file adds nothing.
    fn unread(&mut self, diagnostic: Diagnostic) {
        self.lacks = true;
        self.report.add(diagnostic);
    }

    fn text(&mut self, text: &str, path: &Path) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let index = self.report.sources.len();
        self.report.sources.push(Source { path: path.to_owned(), text: text.into(), is_foreign: false });
        if text.len() > MAX_FILE {
            let message = format!("`{}` is larger than 4096 KiB", path.display());
            return self.unread(Diagnostic::error("too-large", message));
        }
        let errors = self.report.errors();
        let parsed = debug_span!("yaml").in_scope(|| yaml::parse(text, index, &mut self.report));
        let Some(mut node) = parsed.filter(|node| !node.is_null()) else {
            self.lacks = true;
            if self.report.errors() == errors {
                let message = format!("`{}` is empty", path.display());
                self.report.add(Diagnostic::error("empty", message).hint("start with `listeners:` and `routes:`"));
            }
            return;
        };
        let mut aside = set_aside(&mut node);
        list_one(&mut node);
        let base = path.parent().unwrap_or_else(|| Path::new("")).to_owned();
        debug_span!("substitute").in_scope(|| substitute::substitute(&mut node, self.env, &base, &mut self.report));
        conceal::conceal(&mut node, &mut aside, text.contains('&'));
        if !matches!(node.value, Value::Map(_)) {
            let diagnostic = Diagnostic::error("wrong-type", "a configuration is a mapping at its top").at(node.span);
            return self.unread(diagnostic.hint("start with `listeners:` and `routes:`"));
        }
        relative_to(&mut node, "", &base);
        self.lacks |= node.get("include").is_some_and(Node::has_blank);
        let includes = includes(&node);
        self.merge(node);
        for (pattern, span) in includes {
            self.include(&base, &pattern, span);
        }
    }

    fn include(&mut self, base: &Path, pattern: &str, span: Span) {
        if !pattern.contains('*') {
            let path = base.join(pattern);
            if self.around.contains(&self.identity(&path)) {
                return self.report.add(going_round(&path, span));
            }
            return self.file(&path, Some(span));
        }
        let found = self.glob(base, pattern);
        if found.is_empty() {
            let diagnostic = Diagnostic::warning("no-match", format!("`{pattern}` matches no file")).at(span);
            self.report
                .add(diagnostic.hint(format!("looked in `{}`", base.join(pattern).parent().unwrap_or(base).display())));
        }
        for path in found {
            self.file(&path, Some(span));
        }
    }

    /// Files that match a path whose parts may hold `*`, in name order. Hidden files only match by a leading dot.
    fn glob(&mut self, base: &Path, pattern: &str) -> Vec<PathBuf> {
        let mut found = vec![if pattern.starts_with('/') { PathBuf::from("/") } else { base.to_owned() }];
        for part in pattern.split('/').filter(|part| !part.is_empty()) {
            let mut next = Vec::new();
            for path in found {
                if part.contains('*') {
                    let names = self.list(&path, part);
                    next.extend(names.into_iter().map(|name| path.join(name)));
                } else {
                    next.push(path.join(part));
                }
                next.truncate(MAX_FILES + 1);
            }
            found = next;
        }
        found.retain(|path| {
            let path = self.env.resolve(path);
            let is_file = path.is_file();
            if !is_file {
                // The file may come later, and the names in the directory do not change then.
                self.env.with_inputs(|inputs| {
                    inputs.file(&path, None, MAX_FILE);
                    inputs.is_configuration(&path);
                });
            }
            is_file
        });
        found
    }

    /// Names in a directory that match a pattern, sorted.
    fn list(&mut self, directory: &Path, pattern: &str) -> Vec<String> {
        let directory = self.env.resolve(directory);
        let mut names = self.env.with_inputs(|inputs| inputs.directory(&directory, pattern));
        names.truncate(MAX_FILES + 1);
        names
    }

    /// Adds a file's sections to what is there: named things side by side, everything else once.
    fn merge(&mut self, node: Node) {
        let Some(root) = &mut self.root else {
            self.root = Some(node);
            return;
        };
        let (Value::Map(into), Value::Map(entries)) = (&mut root.value, node.value) else { return };
        for entry in entries {
            match into.iter_mut().find(|other| other.key == entry.key) {
                Some(first) => merge_section(first, entry, &mut self.report),
                None => into.push(entry),
            }
        }
    }
}

/// A file that includes itself, or one that includes it. What a `*` finds is another thing: that is every file once.
fn going_round(path: &Path, span: Span) -> Diagnostic {
    let message = format!("`{}` is what this is included from", path.display());
    let diagnostic = Diagnostic::error("include-loop", message).at(span);
    diagnostic.hint("take it out: every file is read once")
}

/// Merges a section that two files have.
fn merge_section(first: &mut Entry, entry: Entry, report: &mut Report) {
    if entry.value.is_null() || (entry.key == "version" && first.value.value == entry.value.value) {
        return;
    }
    if first.value.is_null() {
        *first = entry;
        return;
    }
    let named = SECTIONS.contains(&entry.key.as_str());
    match (&mut first.value.value, entry.value.value) {
        (Value::List(first), Value::List(more)) if entry.key == "include" => first.extend(more),
        (Value::Map(first), Value::Map(more)) if named => {
            merge_names(&entry.key, first, more, report);
        }
        _ => {
            let diagnostic =
                Diagnostic::error("duplicate-key", format!("`{}` is given in two files", entry.key)).at(entry.key_span);
            report.add(diagnostic.related(first.key_span, "first given here"));
        }
    }
}

fn merge_names(section: &str, first: &mut Vec<Entry>, more: Vec<Entry>, report: &mut Report) {
    let mut known: HashMap<String, Span> = first.iter().map(|entry| (entry.key.clone(), entry.key_span)).collect();
    for item in more {
        match known.get(&item.key) {
            Some(before) => {
                let diagnostic =
                    Diagnostic::error("duplicate-name", format!("`{section}.{}` is defined twice", item.key));
                report.add(diagnostic.at(item.key_span).related(*before, "first defined here"));
            }
            None => {
                known.insert(item.key.clone(), item.key_span);
                first.push(item);
            }
        }
    }
}

/// Takes out what stands at the top only to be named elsewhere by an alias: `x-common: &common { .. }`.
fn set_aside(node: &mut Node) -> Vec<Entry> {
    match &mut node.value {
        Value::Map(entries) => entries.extract_if(.., |entry| entry.key.starts_with("x-")).collect(),
        _ => Vec::new(),
    }
}

/// One file to include is a list of one.
fn list_one(node: &mut Node) {
    if let Some(include) = node.get_mut("include")
        && matches!(&include.value, Value::Scalar(scalar) if !scalar.is_null())
    {
        let one = include.clone();
        include.value = Value::List(vec![one]);
    }
}

fn includes(node: &Node) -> Vec<(String, Span)> {
    let Some(Value::List(items)) = node.get("include").map(|node| &node.value) else { return Vec::new() };
    let text = |item: &Node| match &item.value {
        Value::Scalar(scalar) if !scalar.is_null() => Some((scalar.text.clone(), item.span)),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

/// Makes the paths in a mapping called `name` relative to nothing but the working directory.
fn relative_to(node: &mut Node, name: &str, base: &Path) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| relative_to(item, name, base)),
        Value::Map(entries) => {
            for entry in entries {
                match &mut entry.value.value {
                    Value::Scalar(scalar) if is_file(name, &entry.key, &scalar.text) => {
                        if !scalar.is_null() && !scalar.text.is_empty() {
                            scalar.text = base.join(&scalar.text).display().to_string();
                        }
                    }
                    _ => relative_to(&mut entry.value, &entry.key, base),
                }
            }
        }
        Value::Scalar(_) | Value::Blank => {}
    }
}
