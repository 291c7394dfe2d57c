//! Paths and queries without the values of the query, which carry tokens. This room knows nothing of how they are
//! written.

use super::short::short;

/// Hands over `path` piece by piece, with `*` for each value of its query. A part of the query without `=` may be a
/// token as a whole.
pub(super) fn mask_path(path: &str, mut take: impl FnMut(&str)) {
    let question = memchr::memchr(b'?', path.as_bytes());
    match question.and_then(|at| Some((path.get(..at)?, path.get(at + 1..)?))) {
        Some((path, query)) => {
            take(path);
            take("?");
            mask_query(query, take);
        }
        None => take(path),
    }
}

fn mask_query(query: &str, mut take: impl FnMut(&str)) {
    for (at, part) in query.split('&').enumerate() {
        if at > 0 {
            take("&");
        }
        match part.split_once('=') {
            Some((key, _)) => {
                take(key);
                take("=*");
            }
            None if part.is_empty() => {}
            None => take("*"),
        }
    }
}

/// A path with its query masked, at most `most` bytes of it.
#[must_use]
pub fn masked(path: &str, most: usize) -> String {
    let mut whole = String::new();
    mask_path(path, |piece| whole.push_str(piece));
    short(&whole, most).to_owned()
}

/// A query, masked in the same way, at most `most` bytes of it.
#[must_use]
pub fn masked_query(query: &str, most: usize) -> String {
    let mut whole = String::new();
    mask_query(query, |piece| whole.push_str(piece));
    short(&whole, most).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_path_is_cut_and_nothing_of_it_is_escaped() {
        for (path, expected) in [
            ("/a", "/a"),
            ("/a?", "/a?"),
            ("/a?token=s=e&b", "/a?token=*&*"),
            ("/\"\\?x\"y=1&&", "/\"\\?x\"y=*&&"),
            ("/\u{e4}?\u{202e}=1", "/\u{e4}?\u{202e}=*"),
            ("/0123456789?a=b", "/0123456789?a"),
        ] {
            assert_eq!(masked(path, 13), expected, "{path}");
        }
        assert_eq!(masked_query("a=1&\"b=2", 100), "a=*&\"b=*");
        assert_eq!(masked_query("\u{e4}\u{e4}=1", 3), "\u{e4}");
    }
}
