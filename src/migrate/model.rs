//! The model between all readers and the one printer: listeners, routes, clusters and policies, each a tree of settings
//! in the words of attache that remember what they come from, with the notes about it.

use std::collections::HashMap;

use super::note::Note;

/// Settings in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Section {
    pub(super) entries: Vec<Entry>,
    /// Whether there was more than it may hold. The draft is too large then.
    is_over: bool,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What a setting comes from: a line and what stands there. A line of 0 is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Origin {
    pub(super) line: usize,
    pub(super) text: String,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A number, a duration, a switch: written without quotes.
    Plain(String),
    /// Text from the file, written between quotes.
    Text(String),
    /// Text in which `${NAME}` stands for a variable.
    Template(String),
    List(Vec<Item>),
    Map(Section),
}

/// A member of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// A listener, route, cluster or policy.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) origin: Origin,
    pub(super) notes: Vec<Note>,
    pub(super) settings: Section,
}

/// The configuration that comes about.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// What is said of no single part.
    pub(super) notes: Vec<Note>,
    /// Keys at the top.
    pub(super) settings: Section,
    pub(super) listeners: Vec<Part>,
    pub(super) rate_limits: Vec<Part>,
    pub(super) auth_providers: Vec<Part>,
    pub(super) policies: Vec<Part>,
    pub(super) routes: Vec<Part>,
    pub(super) clusters: Vec<Part>,
    names: HashMap<(Kind, String), usize>,
    size: usize,
}

/// What has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Listener,
    RateLimit,
    Policy,
    Route,
    Cluster,
}

/// More would come about than a configuration may hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// Settings in all parts together. What is inherited into many places may be far more than was written.
const MAX_SETTINGS: usize = 100_000;
/// Settings of one section. They are looked for one after the other.
const MAX_ENTRIES: usize = 1_000;
/// Characters of an origin that are shown.
const MAX_ORIGIN: usize = 90;

impl Origin {
    pub(super) fn new(line: usize, text: impl AsRef<str>) -> Self {
        let words: Vec<&str> = text.as_ref().split_whitespace().collect();
        let text = words.join(" ");
        let short: String = text.chars().take(MAX_ORIGIN).collect();
        Self { line, text: if short.len() < text.len() { format!("{short}..") } else { short } }
    }
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    #[expect(clippy::needless_pass_by_value, reason = "numbers and texts alike")]
    pub(super) fn plain(text: impl ToString) -> Self {
        Self::Plain(text.to_string())
    }

    /// A list of texts.
    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::List(texts.into_iter().map(|text| Item::of(Self::text(text))).collect())
    }

    fn size(&self) -> usize {
        match self {
            Self::Plain(_) | Self::Text(_) | Self::Template(_) => 1,
            Self::List(items) => 1 + items.iter().map(|item| item.value.size()).sum::<usize>(),
            Self::Map(section) => 1 + section.size(),
        }
    }
}

impl Item {
    pub(super) fn of(value: Value) -> Self {
        Self { value, origin: Origin::default() }
    }
}

impl Section {
    /// A section of one setting, without an origin.
    pub(super) fn of(key: &str, value: Value) -> Self {
        Self::default().with(key, value)
    }

    /// The same with one setting more.
    pub(super) fn with(mut self, key: &str, value: Value) -> Self {
        self.put(&[key], value, &Origin::default());
        self
    }

    /// Sets what is at the end of a path of keys, in the place of what was there.
    pub(super) fn put(&mut self, path: &[&str], value: Value, origin: &Origin) {
        let Some((key, above)) = path.split_last() else { return };
        self.within(above, |section| {
            let entry = Entry { key: (*key).to_owned(), value, origin: origin.clone() };
            match section.entries.iter_mut().find(|other| other.key == *key) {
                Some(other) => *other = entry,
                None => section.insert(entry),
            }
        });
    }

    fn insert(&mut self, entry: Entry) {
        if self.entries.len() < MAX_ENTRIES {
            self.entries.push(entry);
        } else {
            self.is_over = true;
        }
    }

    /// Sets it where nothing is yet. Returns false where something else is.
    pub(super) fn put_new(&mut self, path: &[&str], value: Value, origin: &Origin) -> bool {
        match self.get(path) {
            Some(there) => *there == value,
            None => {
                self.put(path, value, origin);
                true
            }
        }
    }

    /// Adds to the list at the end of a path.
    pub(super) fn push(&mut self, path: &[&str], value: Value, origin: &Origin) {
        let Some((key, above)) = path.split_last() else { return };
        let item = Item { value, origin: origin.clone() };
        self.within(above, |section| match section.entries.iter_mut().find(|other| other.key == *key) {
            Some(Entry { value: Value::List(items), .. }) => items.push(item),
            Some(other) => other.value = Value::List(vec![item]),
            None => {
                let value = Value::List(vec![item]);
                section.insert(Entry { key: (*key).to_owned(), value, origin: Origin::default() });
            }
        });
    }

    /// What is at the end of a path of keys.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let (key, below) = path.split_first()?;
        let value = &self.entries.iter().find(|entry| entry.key == *key)?.value;
        match value {
            Value::Map(section) if !below.is_empty() => section.get(below),
            _ if below.is_empty() => Some(value),
            _ => None,
        }
    }

    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.get(path).is_some()
    }

    /// A setting with its origin.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Acts on the section at the end of a path, which is made where it is not there.
    fn within(&mut self, path: &[&str], act: impl FnOnce(&mut Self)) {
        let Some((key, rest)) = path.split_first() else { return act(self) };
        if !self.entries.iter().any(|entry| entry.key == *key && matches!(entry.value, Value::Map(_))) {
            self.entries.retain(|entry| entry.key != *key);
            let value = Value::Map(Self::default());
            self.insert(Entry { key: (*key).to_owned(), value, origin: Origin::default() });
        }
        let found = self.entries.iter_mut().find(|entry| entry.key == *key);
        if let Some(Value::Map(section)) = found.map(|entry| &mut entry.value) {
            section.within(rest, act);
        }
    }

    fn size(&self) -> usize {
        let over = if self.is_over { MAX_SETTINGS + 1 } else { 0 };
        over + self.entries.iter().map(|entry| entry.value.size()).sum::<usize>()
    }
}

impl Part {
    pub(super) fn new(name: String, origin: Origin) -> Self {
        Self { name, origin, ..Self::default() }
    }

    pub(super) fn put(&mut self, path: &[&str], value: Value, origin: &Origin) {
        self.settings.put(path, value, origin);
    }

    pub(super) fn has(&self, path: &[&str]) -> bool {
        self.settings.has(path)
    }

    /// Lets nobody in, because what decided who may was not understood.
    pub(super) fn close(&mut self, origin: &Origin, why: &str) {
        let rule = Section::of("name", Value::plain("not-migrated")).with("action", Value::plain("deny"));
        let rules = Section::of("rules", Value::List(vec![Item::of(Value::Map(rule))]));
        self.put(&["authorization"], Value::Map(rules), origin);
        self.notes
            .push(Note::danger(origin.line, format!("{why}. Until you write who may, this route lets nobody in")));
    }

    /// Answers 503, because where requests go was not understood.
    pub(super) fn unserved(&mut self, origin: &Origin, why: &str) {
        let body = Value::text("not migrated");
        self.put(&["respond"], Value::Map(Section::of("status", Value::plain(503)).with("body", body)), origin);
        self.notes.push(Note::dropped(origin.line, format!("{why}. Until you write what happens, the answer is 503")));
    }
}

impl Draft {
    /// A name that nothing of its kind has yet, made of what stands in the file.
    pub(super) fn name(&mut self, kind: Kind, wanted: &str) -> String {
        let mut base = String::new();
        for c in wanted.chars().take(60) {
            if c.is_ascii_alphanumeric() {
                base.push(c.to_ascii_lowercase());
            } else if !base.is_empty() && !base.ends_with('-') {
                base.push('-');
            }
        }
        let base = match base.trim_end_matches('-') {
            "" => "all",
            base => base,
        };
        let mut number = self.names.get(&(kind, base.to_owned())).copied().unwrap_or(0);
        loop {
            number += 1;
            let name = if number == 1 { base.to_owned() } else { format!("{base}-{number}") };
            // `a-2` may have been asked for under that very name.
            if number == 1 || !self.names.contains_key(&(kind, name.clone())) {
                self.names.insert((kind, base.to_owned()), number);
                self.names.entry((kind, name.clone())).or_insert(1);
                return name;
            }
        }
    }

    /// Adds a part of a kind.
    ///
    /// # Errors
    /// When there would be too much.
    pub(super) fn add(&mut self, kind: Kind, part: Part) -> Result<(), TooLarge> {
        self.count(1 + part.settings.size() + part.notes.len())?;
        self.parts(kind).push(part);
        Ok(())
    }

    /// Counts settings that are put into a part which is there already.
    ///
    /// # Errors
    /// When there would be too much.
    pub(super) fn count(&mut self, more: usize) -> Result<(), TooLarge> {
        self.size += more;
        if self.size > MAX_SETTINGS { Err(TooLarge) } else { Ok(()) }
    }

    /// Looks at all that is there, also at what was put into parts that were there already.
    ///
    /// # Errors
    /// When it is too much.
    pub(super) fn check(&mut self) -> Result<(), TooLarge> {
        let mut size = self.settings.size();
        for (_, parts) in self.named() {
            size += parts.iter().map(|part| part.settings.size()).sum::<usize>();
        }
        if size > MAX_SETTINGS { Err(TooLarge) } else { Ok(()) }
    }

    pub(super) fn parts(&mut self, kind: Kind) -> &mut Vec<Part> {
        match kind {
            Kind::Listener => &mut self.listeners,
            Kind::RateLimit => &mut self.rate_limits,
            Kind::Policy => &mut self.policies,
            Kind::Route => &mut self.routes,
            Kind::Cluster => &mut self.clusters,
        }
    }

    pub(super) fn note(&mut self, note: Note) {
        self.notes.push(note);
    }

    /// The sections of named parts, in the order in which they are written.
    pub(super) fn named(&mut self) -> [(&'static str, &mut Vec<Part>); 6] {
        [
            ("listeners", &mut self.listeners),
            ("rateLimits", &mut self.rate_limits),
            ("authProviders", &mut self.auth_providers),
            ("authorizationPolicies", &mut self.policies),
            ("routes", &mut self.routes),
            ("clusters", &mut self.clusters),
        ]
    }
}
