//! How the path of a route matches: its rank among others, and the spelling in which it is compared.

use std::borrow::Cow;
use std::cmp::Reverse;

use super::path::normalise;
use crate::config::model::{PathMatch, PathPolicy};

/// The order of paths on one host: exact, then prefixes with more segments first, then longer expressions first.
pub(super) fn path_rank(path: &PathMatch) -> (u8, Reverse<(usize, usize)>) {
    match path {
        PathMatch::Exact(_) => (0, Reverse((0, 0))),
        PathMatch::Prefix(prefix) => (1, Reverse((prefix.matches('/').count(), prefix.len()))),
        PathMatch::Regex(regex) => (2, Reverse((regex.as_str().len(), 0))),
    }
}

/// Requests are matched in one spelling, so a route written in another (`/%7Euser`) has to be brought into it.
#[must_use]
pub fn canonical_path(path: &PathMatch) -> PathMatch {
    // Slashes are kept: a listener that does not merge them may have routes with several.
    let policy = PathPolicy { merge_slashes: false, allow_encoded_slash: true };
    let canonical = |path: &str| normalise(path, policy).map_or_else(|_| path.to_owned(), Cow::into_owned);
    match path {
        PathMatch::Exact(path) => PathMatch::Exact(canonical(path)),
        PathMatch::Prefix(path) => {
            let prefix = canonical(path);
            PathMatch::Prefix(prefix.strip_suffix('/').map(str::to_owned).unwrap_or(prefix))
        }
        PathMatch::Regex(regex) => PathMatch::Regex(regex.clone()),
    }
}
