//! What a server's locations have in common, and how each is matched.

use super::listen::Entrance;
use crate::migrate::model::{Origin, Part, Value};

/// What all locations of a server share.
pub(super) struct Server {
    pub(super) hosts: Vec<String>,
    pub(super) origin: Origin,
    pub(super) entrances: Vec<Entrance>,
    /// Whether a location is a regular expression, which nginx prefers to `location /`.
    pub(super) has_patterns: bool,
}

impl Server {
    /// Puts hosts and listeners into a route.
    pub(super) fn serve(&self, part: &mut Part) {
        let listeners = self.entrances.iter().map(|entrance| entrance.name.as_str());
        part.put(&["listeners"], Value::texts(listeners), &Origin::default());
        if !self.hosts.is_empty() {
            part.put(&["hosts"], Value::texts(self.hosts.iter().cloned()), &self.origin);
        }
    }
}

/// How a location is matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match<'a> {
    Exact(&'a str),
    Prefix(&'a str),
    Pattern {
        pattern: &'a str,
        ignores_case: bool,
    },
    /// `@name`, which requests do not reach by themselves.
    Named,
}
