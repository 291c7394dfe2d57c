//! Changes of a path before it is forwarded or sent back in a redirect (Gateway API `ReplacePrefixMatch` and
//! `ReplaceFullPath`, and regular expressions). The result is checked again: no rewrite can make a target the gateway
//! would have refused from a client.

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::path::inspect;
use super::path_match::canonical_path;
use crate::config::model::{PathMatch, PathPolicy, Rewrite, after_prefix};

/// The target that `rewrite` makes of a path which `matched` has matched; the query is kept.
///
/// # Errors
/// The reason word when the result is not a path that could be forwarded.
pub fn rewrite(
    rewrite: &Rewrite,
    matched: &PathMatch,
    path: &str,
    query: Option<&str>,
) -> Result<PathAndQuery, &'static str> {
    let mut target = match rewrite {
        Rewrite::Prefix(replacement) => replace_prefix(matched, path, replacement)?,
        Rewrite::Path(replacement) => replace_path(replacement)?,
        Rewrite::Regex { pattern, replacement } => {
            let replaced = pattern.replace_all(path, replacement.as_str());
            checked(replaced.into_owned(), path, replacement)?
        }
    };
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let length = target.len();
    let target = PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_invalid| REFUSED)?;
    // The parser drops a fragment instead of refusing it.
    if target.as_str().len() == length { Ok(target) } else { Err(REFUSED) }
}

/// `path` with the prefix that matched replaced. A path that matched by something other than a prefix is replaced as a
/// whole.
pub(super) fn replace_prefix(matched: &PathMatch, path: &str, replacement: &str) -> Result<String, &'static str> {
    let rest = match matched {
        PathMatch::Exact(_) | PathMatch::Regex(_) => "",
        PathMatch::Prefix(prefix) => match after_prefix(path, prefix) {
            Some(rest) => rest,
            None => after_other_spelling(matched, path).ok_or(REFUSED)?,
        },
    };
    // Where the rest begins with a slash, the replacement must not end with one.
    let start = if rest.is_empty() { replacement } else { replacement.strip_suffix('/').unwrap_or(replacement) };
    let mut replaced = String::with_capacity(start.len() + rest.len() + 1);
    replaced.push_str(start);
    replaced.push_str(rest);
    checked(replaced, path, replacement)
}

/// The replacement as a whole path.
pub(super) fn replace_path(replacement: &str) -> Result<String, &'static str> {
    checked(replacement.to_owned(), "", replacement)
}

/// The table matches the canonical form of a prefix, which may not be the form it was written in.
fn after_other_spelling<'p>(matched: &PathMatch, path: &'p str) -> Option<&'p str> {
    match canonical_path(matched) {
        PathMatch::Prefix(prefix) => after_prefix(path, &prefix),
        PathMatch::Exact(_) | PathMatch::Regex(_) => None,
    }
}

/// A rewritten path that may be used. Pieces that were harmless one by one can make a dot segment or an encoded slash
/// once joined; an encoded slash is only let through when it was in the path or in the configuration before.
fn checked(path: String, before: &str, replacement: &str) -> Result<String, &'static str> {
    let path = if path.is_empty() { "/".to_owned() } else { path };
    let allow_encoded_slash = [before, replacement].into_iter().any(has_encoded_slash);
    let findings = inspect(&path, PathPolicy { merge_slashes: false, allow_encoded_slash });
    let findings = findings.map_err(|_reason_of_a_client_path| REFUSED)?;
    if findings.dots { Err(REFUSED) } else { Ok(path) }
}

fn has_encoded_slash(path: &str) -> bool {
    let mut triplets = path.match_indices('%').filter_map(|(at, _)| path.get(at + 1..at + 3));
    triplets.any(|digits| digits.eq_ignore_ascii_case("2F") || digits.eq_ignore_ascii_case("5C"))
}

/// Reason word of every refusal here: the client cannot tell one from the other, and the route's author needs the path.
const REFUSED: &str = "rewrite_target";

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(matched: &str) -> PathMatch {
        PathMatch::Prefix(matched.trim_end_matches('/').to_owned())
    }

    fn rewritten(
        change: &Rewrite,
        matched: &PathMatch,
        path: &str,
        query: Option<&str>,
    ) -> Result<String, &'static str> {
        rewrite(change, matched, path, query).map(|target| target.to_string())
    }

    #[test]
    fn gateway_api_replace_prefix_match() {
        let cases = [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            ("/foo/bar", "/foo", "/", "/bar"),
            ("/bar", "/", "/foo", "/foo/bar"),
            ("/", "/", "/foo", "/foo/"),
            ("/foo//bar", "/foo", "/", "//bar"),
            ("/v2/a:cancel", "/v2", "/", "/a:cancel"),
            ("/~me/a", "/%7Eme", "/you", "/you/a"),
        ];
        for (path, matched, replacement, expected) in cases {
            let change = Rewrite::Prefix(replacement.to_owned());
            assert_eq!(
                rewritten(&change, &prefix(matched), path, None).as_deref(),
                Ok(expected),
                "{path}: {matched} -> {replacement}"
            );
        }
    }

    #[test]
    fn other_rewrites() {
        let regex = |pattern: &str, replacement: &str| Rewrite::Regex {
            pattern: regex::Regex::new(pattern).unwrap(),
            replacement: replacement.to_owned(),
        };
        let whole = |path: &str| Rewrite::Path(path.to_owned());
        let cases = [
            (whole("/a"), "/x", None, Ok("/a")),
            (whole("/a"), "/x", Some("q=1"), Ok("/a?q=1")),
            (whole("/a"), "/x", Some(""), Ok("/a?")),
            (whole(""), "/x", None, Ok("/")),
            (whole("a"), "/x", None, Err(REFUSED)),
            (whole("/a?b"), "/x", None, Err(REFUSED)),
            (whole("/a b"), "/x", None, Err(REFUSED)),
            (whole("/a%2Fb"), "/x", None, Ok("/a%2Fb")),
            (Rewrite::Prefix("/y".to_owned()), "/x", Some("q"), Ok("/y?q")),
            (regex("^/users/([^/]+)/(.*)$", "/$2/$1"), "/users/7/tasks", Some("q"), Ok("/tasks/7?q")),
            (regex("nothing", "/x"), "/same", None, Ok("/same")),
            (regex("^.*$", ""), "/x", None, Ok("/")),
            (regex("^/", ""), "/x", None, Err(REFUSED)),
            // Paths that a client must not be able to produce through a rewrite.
            (regex("^/x-(.*)$", "/$1"), "/x-../admin", None, Err(REFUSED)),
            (regex("^/x-(.*)$", "/$1"), "/x-%2E", None, Err(REFUSED)),
            (regex("%25", "%"), "/%252e%252e/admin", None, Err(REFUSED)),
            (regex("%25", "%"), "/a%252fb", None, Err(REFUSED)),
            (regex("%25", "%"), "/a%2500", None, Err(REFUSED)),
            (regex("%25", "%"), "/a%25", None, Err(REFUSED)),
            (whole("/a"), "/x", Some("a#b"), Err(REFUSED)),
        ];
        let exact = PathMatch::Exact("/x".to_owned());
        for (change, path, query, expected) in cases {
            let actual = rewritten(&change, &exact, path, query);
            assert_eq!(actual.as_deref(), expected.as_ref().map(|target| *target), "{path} {change:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn the_result_is_a_path_that_needs_no_more_dots_removed(
            path in "(/[a.%2eEfF:]{0,4}){1,4}",
            replacement in "(/[a.]{0,2}){0,2}",
            matched in "(/a){0,2}",
        ) {
            let policy = PathPolicy { merge_slashes: false, allow_encoded_slash: true };
            if let Ok(path) = crate::route::normalise(&path, policy) {
                let target = rewrite(&Rewrite::Prefix(replacement), &PathMatch::Prefix(matched), &path, Some("q"));
                if let Ok(target) = target {
                    proptest::prop_assert!(target.path().starts_with('/'));
                    proptest::prop_assert!(!target.path().split('/').any(|part| part == "." || part == ".."));
                    proptest::prop_assert_eq!(target.query(), Some("q"));
                }
            }
        }
    }
}
