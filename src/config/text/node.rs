//! The tree every later step works on: YAML values that remember where they were written. One parse builds both the
//! values and their positions, so the two cannot disagree. Knows nothing of what the keys mean.

use std::fmt;

use super::looks::{shown_key, user_of};

/// Where a token stands. Every node has one, so its numbers are small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::config) struct Span {
    file: u32,
    line: u32,
    column: u32,
    len: u32,
}

impl Span {
    /// In the file with this index in the list of files read. Lines and columns count from 1, columns in characters.
    pub(in crate::config) fn new(file: usize, line: usize, column: usize, len: usize) -> Self {
        let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Self { file: small(file), line: small(line), column: small(column), len: small(len) }
    }

    pub(in crate::config) fn file(self) -> usize {
        self.file as usize
    }

    pub(in crate::config) fn line(self) -> usize {
        self.line as usize
    }

    pub(in crate::config) fn column(self) -> usize {
        self.column as usize
    }

    pub(in crate::config) fn len(self) -> usize {
        self.len as usize
    }
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Node {
    pub(in crate::config) span: Span,
    pub(in crate::config) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Had an error that is already reported; later steps read over it.
    Blank,
}

/// Text with what YAML and substitution said about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::config) struct Scalar {
    pub(in crate::config) text: String,
    /// Not quoted and not a block: may be a number, a boolean or null.
    pub(in crate::config) plain: bool,
    /// Came out of a substitution, so quotes do not make it a string.
    pub(in crate::config) substituted: bool,
    /// Stands where secrets stand, looks like one, or came from a file or a variable that is not declared plain; never
    /// printed.
    pub(in crate::config) secret: bool,
    /// What stood there before substitution, with paths that mean the same from anywhere.
    pub(in crate::config) written: Option<Box<str>>,
}

/// One key of a mapping with its value.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct Entry {
    pub(in crate::config) key: String,
    pub(in crate::config) key_span: Span,
    pub(in crate::config) value: Node,
}

/// One step into the tree. A list index counts the elements that are not blank, as a deserialised list does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum Step {
    Key(String),
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// What a path led to.
#[derive(Debug)]
pub(in crate::config) struct NodePath {
    /// The value's token, or its key's when the value spans lines.
    pub(in crate::config) span: Span,
    /// The key's token where there is one.
    pub(in crate::config) key_span: Span,
    /// The path as written in the file: list indexes count every element.
    pub(in crate::config) path: String,
    /// Something on the way or directly below was already reported.
    pub(in crate::config) blank: Blank,
    /// Something anywhere below was already reported.
    pub(in crate::config) blank_below: bool,
    /// Whether it is a single value.
    pub(in crate::config) is_value: bool,
    /// The secrets on this place and below.
    pub(in crate::config) secrets: Vec<String>,
}

/// How much of a place was already reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Blank {
    No,
    /// One of its children.
    Child,
    /// Itself or something around it.
    Itself,
}

impl Scalar {
    /// Whether YAML's core schema reads this as null.
    pub(in crate::config) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What must not be said about it in a report: a secret, the default of a substitution, the user before a host.
    fn unsaid(&self) -> Option<&str> {
        let has_default = || {
            let written = self.written.as_deref().unwrap_or_default();
            self.substituted && written.contains(":-") && !written.starts_with("${plain:")
        };
        let is_secret = !self.text.is_empty() && (self.secret || has_default());
        if is_secret { Some(&self.text) } else { user_of(&self.text) }
    }
}

impl Node {
    pub(in crate::config) fn map(span: Span) -> Self {
        Self { span, value: Value::Map(Vec::new()) }
    }

    pub(in crate::config) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(in crate::config) fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    pub(in crate::config) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        match &mut self.value {
            Value::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
            _ => None,
        }
    }

    pub(in crate::config) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }

    pub(in crate::config) fn is_blank(&self) -> bool {
        self.value == Value::Blank
    }

    /// The values directly below, in order.
    pub(in crate::config) fn children(&self) -> impl Iterator<Item = &Self> {
        let (items, entries): (&[Self], &[Entry]) = match &self.value {
            Value::List(items) => (items, &[]),
            Value::Map(entries) => (&[], entries),
            Value::Scalar(_) | Value::Blank => (&[], &[]),
        };
        items.iter().chain(entries.iter().map(|entry| &entry.value))
    }

    /// The same, to be changed.
    pub(in crate::config) fn children_mut(&mut self) -> impl Iterator<Item = &mut Self> {
        let (items, entries): (&mut [Self], &mut [Entry]) = match &mut self.value {
            Value::List(items) => (items, &mut []),
            Value::Map(entries) => (&mut [], entries),
            Value::Scalar(_) | Value::Blank => (&mut [], &mut []),
        };
        items.iter_mut().chain(entries.iter_mut().map(|entry| &mut entry.value))
    }

    /// Number of nodes in this subtree.
    pub(in crate::config) fn size(&self) -> usize {
        1 + self.children().map(Self::size).sum::<usize>()
    }

    /// Follows `path` as far as it exists and says where that is.
    pub(in crate::config) fn locate(&self, path: &[Step]) -> NodePath {
        let mut node = self;
        let mut key_span = self.span;
        let mut text = String::new();
        let mut blank = if self.is_blank() { Blank::Itself } else { Blank::No };
        for step in path {
            let Some((child, span, label)) = node.child(step) else {
                // The value is absent, or comes from a short form: the nearest thing written stands for it.
                push_label(&mut text, &label_of(step));
                continue;
            };
            push_label(&mut text, &label);
            (node, key_span) = (child, span.unwrap_or(child.span));
            if node.is_blank() {
                blank = Blank::Itself;
            }
        }
        if blank == Blank::No && node.children().any(Self::is_blank) {
            blank = Blank::Child;
        }
        let span = match &node.value {
            Value::Scalar(_) if node.span.len() > 0 => node.span,
            _ => key_span,
        };
        let mut secrets = Vec::new();
        node.collect_secrets(&mut secrets);
        // Without the space behind the colon, a key holds a value too.
        let keys = path.iter().filter_map(|step| match step {
            Step::Key(key) if *shown_key(key) != **key => Some(key.clone()),
            _ => None,
        });
        secrets.extend(keys);
        NodePath {
            span,
            key_span,
            path: text,
            blank,
            blank_below: node.has_blank(),
            is_value: matches!(node.value, Value::Scalar(_)),
            secrets,
        }
    }

    /// Marks what `path` leads to as reported. Returns false when nothing was there to mark.
    pub(in crate::config) fn blank(&mut self, path: &[Step]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            let was = self.is_blank();
            self.value = Value::Blank;
            return !was;
        };
        let child = match (&mut self.value, first) {
            (Value::Map(entries), Step::Key(key)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.value)
            }
            (Value::List(items), Step::Index(index)) => items.iter_mut().filter(|item| !item.is_blank()).nth(*index),
            _ => None,
        };
        child.is_some_and(|child| child.blank(rest))
    }

    /// Whether anything in this subtree was already reported.
    pub(in crate::config) fn has_blank(&self) -> bool {
        self.is_blank() || self.children().any(Self::has_blank)
    }

    fn collect_secrets(&self, found: &mut Vec<String>) {
        if let Value::Scalar(scalar) = &self.value {
            found.extend(scalar.unsaid().map(str::to_owned));
        }
        self.children().for_each(|child| child.collect_secrets(found));
    }

    /// What is one step below, the token of its key, and how the step is written.
    pub(in crate::config) fn child(&self, step: &Step) -> Option<(&Self, Option<Span>, String)> {
        match (&self.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                let entry = entries.iter().find(|entry| entry.key == *key)?;
                Some((&entry.value, Some(entry.key_span), label_of(step)))
            }
            (Value::List(items), Step::Index(index)) => {
                let (at, item) = items.iter().enumerate().filter(|(_, item)| !item.is_blank()).nth(*index)?;
                Some((item, None, label_of(&Step::Index(at))))
            }
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&label_of(self))
    }
}

fn label_of(step: &Step) -> String {
    match step {
        Step::Key(key) => match shown_key(key) {
            key if key.is_empty() || key.contains(['.', ' ', '[']) => format!("[{key:?}]"),
            key => key.into_owned(),
        },
        Step::Index(index) => format!("[{index}]"),
    }
}

fn push_label(text: &mut String, label: &str) {
    if !text.is_empty() && !label.starts_with('[') {
        text.push('.');
    }
    text.push_str(label);
}

/// A path with one step more.
pub(in crate::config) fn below(path: &[Step], step: impl Into<Step>) -> Vec<Step> {
    path.iter().cloned().chain([step.into()]).collect()
}

/// Makes a path of keys and indexes.
macro_rules! steps {
    ($($step:expr),* $(,)?) => { [$($crate::config::node::Step::from($step)),*] };
}
pub(in crate::config) use steps;
