//! Whether a request holds what scanners and exploits send: a pure search for the patterns of its route, in text as it
//! came and as agents decode it.

mod plain;

use std::borrow::Cow;

use crate::config::model::{ScreenedPart, Screening, Search};

/// A pattern by its place among [`Screening::names`].
pub type PatternNumber = usize;

/// How a text is to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Triplets (RFC 3986 section 2.1).
    Percent,
    /// Triplets, and `+` for a space, as forms write.
    Form,
    /// The escapes of JSON (RFC 8259 section 7).
    Json,
}

/// The first of the patterns that is found, in the text as it came or as any of these decodes it.
#[must_use]
pub fn find(search: &Search, text: &[u8], codings: &[Coding]) -> Option<PatternNumber> {
    let first = |text: &[u8]| search.patterns.matches(text).iter().find_map(|at| search.numbers.get(at).copied());
    let decoded = |coding: &Coding| match plain::decoded(text, *coding) {
        Cow::Borrowed(_) => None,
        Cow::Owned(decoded) => first(&decoded),
    };
    first(text).or_else(|| codings.iter().find_map(decoded))
}

/// The first of the patterns for a path or a query that is found there.
#[must_use]
pub fn in_target(search: &Search, path: &str, query: Option<&str>) -> Option<PatternNumber> {
    match search.part {
        ScreenedPart::Path => find(search, path.as_bytes(), &[Coding::Percent]),
        ScreenedPart::Query => find(search, query?.as_bytes(), &[Coding::Form]),
        ScreenedPart::Headers | ScreenedPart::Body => None,
    }
}

/// What path and query of a request have, in words.
#[must_use]
pub fn in_words(screening: &Screening, path: &str, query: Option<&str>) -> String {
    let found = screening.searches.iter().find_map(|search| Some((in_target(search, path, query)?, search.part)));
    match found {
        Some((number, part)) => format!("its {} has {}", part.word(), name(screening, number)),
        None => "nothing in path and query".to_owned(),
    }
}

/// The name of a pattern.
#[must_use]
pub fn name(screening: &Screening, number: PatternNumber) -> &str {
    screening.names.get(number).map_or("-", String::as_str)
}

/// Bytes of a body that are searched.
pub const MAX_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests;
