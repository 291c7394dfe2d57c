//! How a verb fails: what happened and what to do next.

use std::fmt;

use crate::visible::visible_but;

/// An error for the person at the terminal.
#[derive(Debug)]
pub(super) struct Failure {
    what: String,
    next: String,
}

impl Failure {
    /// `what` went wrong, and `next` is what to do about it.
    pub(super) fn new(what: impl fmt::Display, next: impl fmt::Display) -> Self {
        Self { what: visible_but(&what.to_string(), &['\n', '\t']).into_owned(), next: next.to_string() }
    }
}

impl Failure {
    /// The error, and the next step for the operator.
    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.what, &self.next)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\n  next: {}", self.what, self.next)
    }
}

impl std::error::Error for Failure {}
