//! Directives: a word, what follows it, and what stands in its block. The common form of nginx, HAProxy and Caddy.

use std::cell::Cell;
use std::collections::HashMap;

use super::model::Origin;
use crate::config::foreign::Place;

/// One directive.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    pub(super) place: Place,
    /// What stands between its braces, or in its section.
    pub(super) block: Option<Vec<Self>>,
    used: Cell<bool>,
}

/// What is wrong with a text, and what to do.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) place: Place,
    pub(super) message: String,
    pub(super) hint: String,
}

/// Characters of a directive that are shown.
const MAX_SHOWN: usize = 200;
/// Directives of one file; more is an error.
pub(super) const MAX_DIRECTIVES: usize = 100_000;
/// Blocks within blocks; more is an error.
pub(super) const MAX_DEPTH: usize = 32;

impl Wrong {
    pub(super) fn new(place: Place, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: hint.into() }
    }

    pub(super) fn too_many(place: Place) -> Self {
        Self::new(place, format!("there are more than {MAX_DIRECTIVES} directives"), "migrate the file in parts")
    }

    pub(super) fn too_deep(place: Place) -> Self {
        Self::new(place, format!("blocks are nested deeper than {MAX_DEPTH}"), "is a closing brace missing above?")
    }
}

impl Directive {
    pub(super) fn new(name: String, arguments: Vec<String>, place: Place) -> Self {
        Self { name, arguments, place, block: None, used: Cell::new(false) }
    }

    /// Says that it came over, or that a note says why not.
    pub(super) fn mark(&self) -> &Self {
        self.used.set(true);
        self
    }

    /// Whether it came over.
    pub(super) fn is_used(&self) -> bool {
        self.used.get()
    }

    /// The same for it and all in its block.
    pub(super) fn mark_all(&self) {
        self.mark();
        self.children().iter().for_each(Self::mark_all);
    }

    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    pub(super) fn children(&self) -> &[Self] {
        self.block.as_deref().unwrap_or_default()
    }

    /// The directive in one line, or its beginning.
    pub(super) fn shown(&self) -> String {
        let mut text = String::new();
        for word in std::iter::once(&self.name).chain(&self.arguments) {
            if text.len() > MAX_SHOWN {
                text.push_str(" ..");
                break;
            }
            if !text.is_empty() {
                text.push(' ');
            }
            text.extend(word.chars().take(MAX_SHOWN));
        }
        text
    }

    pub(super) fn origin(&self) -> Origin {
        Origin::new(self.place.line, self.shown())
    }

    /// The value of an argument `key=value`.
    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.arguments.iter().find_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
    }

    pub(super) fn has_argument(&self, wanted: &str) -> bool {
        self.arguments.iter().any(|argument| argument == wanted)
    }
}

/// The directives of one block by their names.
#[derive(Debug)]
pub(super) struct Block<'a> {
    pub(super) all: &'a [Directive],
    by_name: HashMap<&'a str, Vec<&'a Directive>>,
}

impl<'a> Block<'a> {
    pub(super) fn new(all: &'a [Directive]) -> Self {
        let mut by_name: HashMap<&str, Vec<&Directive>> = HashMap::new();
        for directive in all {
            by_name.entry(directive.name.as_str()).or_default().push(directive);
        }
        Self { all, by_name }
    }

    /// Directives of a name, in their order.
    pub(super) fn named(&self, name: &str) -> &[&'a Directive] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// The last directive of a name, which is the one that counts, marked as used.
    pub(super) fn last(&self, name: &str) -> Option<&'a Directive> {
        let found = self.named(name);
        found.iter().for_each(|directive| {
            directive.mark();
        });
        found.last().copied()
    }
}

/// Whatever was not used, outermost first.
pub(super) fn unused<'a>(directives: &'a [Directive], found: &mut Vec<&'a Directive>) {
    for directive in directives {
        if directive.used.get() {
            unused(directive.children(), found);
        } else {
            found.push(directive);
        }
    }
}
