//! What there is to say about a directive that did not come over as it was.

use std::fmt;

/// What became of a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NoteKind {
    /// It was, or would be, a danger.
    Unsafe,
    /// It does something else here.
    Changed,
    /// It has no counterpart, or was not understood.
    Dropped,
}

/// One remark about a line of the file that was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Line, from 1; 0 for the whole file.
    pub line: usize,
    /// What became of it.
    pub kind: NoteKind,
    /// The directive, and what to know about it.
    pub text: String,
}

impl Note {
    pub(super) fn changed(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: NoteKind::Changed, text: text.into() }
    }

    pub(super) fn dropped(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: NoteKind::Dropped, text: text.into() }
    }

    pub(super) fn danger(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: NoteKind::Unsafe, text: text.into() }
    }

    /// The note with its place, for people.
    #[must_use]
    pub fn placed(&self, file: &str) -> String {
        let Self { line, kind, text } = self;
        if *line == 0 { format!("{file}: {kind}: {text}") } else { format!("{file}:{line}: {kind}: {text}") }
    }
}

impl fmt::Display for NoteKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsafe => "unsafe",
            Self::Changed => "changed",
            Self::Dropped => "dropped",
        })
    }
}
