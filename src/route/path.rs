//! Paths in one spelling (RFC 3986 section 6.2.2), so that a route cannot be reached, or a policy avoided, by writing
//! the same path another way. The form made here is both matched and forwarded.

use std::borrow::Cow;

use crate::config::model::PathPolicy;

/// The one spelling of a path: unreserved characters decoded, hexadecimal digits in upper case, dot segments removed
/// and, if the policy says so, runs of slashes merged. A trailing slash and every other character stay as they are.
/// Borrowed when nothing changes. Normalising the result again changes nothing.
///
/// # Errors
/// The reason word when the path cannot be passed on safely.
pub fn normalise(path: &str, policy: PathPolicy) -> Result<Cow<'_, str>, &'static str> {
    Ok(inspect(path, policy)?.apply(path, policy))
}

/// What [`inspect`] found in a path that may be passed on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Findings {
    /// Percent triplets to decode or to write in upper case.
    triplets: bool,
    /// Dot segments, in whichever spelling.
    pub(super) dots: bool,
    /// Runs of slashes to merge.
    slashes: bool,
}

impl Findings {
    fn apply(self, path: &str, policy: PathPolicy) -> Cow<'_, str> {
        let path = if self.triplets { Cow::Owned(decode(path)) } else { Cow::Borrowed(path) };
        if self.dots || self.slashes { Cow::Owned(resolve(&path, policy.merge_slashes)) } else { path }
    }
}

/// One pass over the path: refuses unsafe bytes and notes parts that are not in canonical form.
pub(super) fn inspect(path: &str, policy: PathPolicy) -> Result<Findings, &'static str> {
    if !path.starts_with('/') {
        return Err("path_not_absolute");
    }
    let mut findings = Findings::default();
    let mut has_encoded_slash = false;
    let mut segment = Segment::default();
    let mut bytes = path.bytes();
    bytes.next();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => {
                findings.slashes |= policy.merge_slashes && segment == Segment::Empty;
                findings.dots |= segment.is_dots();
                segment = Segment::Empty;
            }
            b'%' => {
                let (high, low) = (bytes.next(), bytes.next());
                let value = triplet(high, low).ok_or("path_broken_percent")?;
                has_encoded_slash |= encoded_slash(value, policy)?;
                let is_lower = |digit: Option<u8>| digit.is_some_and(|digit| digit.is_ascii_lowercase());
                findings.triplets |= is_unreserved(value) || is_lower(high) || is_lower(low);
                segment = segment.then(value);
            }
            b'\\' => return Err("path_backslash"),
            b' ' => return Err("path_space"),
            b'#' | b'?' => return Err("path_delimiter"),
            0x21..=0x7e => segment = segment.then(byte),
            0x80.. => return Err("path_not_ascii"),
            _ => return Err("path_control"),
        }
    }
    findings.dots |= segment.is_dots();
    if has_encoded_slash && climbs_when_decoded(path) {
        return Err("encoded_slash");
    }
    Ok(findings)
}

/// As much of a segment as dot segments need to be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Segment {
    #[default]
    Empty,
    Dot,
    DotDot,
    Name,
}

impl Segment {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Empty, b'.') => Self::Dot,
            (Self::Dot, b'.') => Self::DotDot,
            _ => Self::Name,
        }
    }

    fn is_dots(self) -> bool {
        matches!(self, Self::Dot | Self::DotDot)
    }
}

/// Whether a triplet stands for a slash of either kind; an error when that is not allowed, or when it is a NUL.
fn encoded_slash(value: u8, policy: PathPolicy) -> Result<bool, &'static str> {
    match value {
        0 => Err("encoded_nul"),
        b'/' if !policy.allow_encoded_slash => Err("encoded_slash"),
        b'\\' if !policy.allow_encoded_slash => Err("encoded_backslash"),
        b'/' | b'\\' => Ok(true),
        _ => Ok(false),
    }
}

/// Encoded slashes may be allowed because an identifier holds them, never so that `..%2F` climbs in an upstream that
/// decodes before it resolves.
fn climbs_when_decoded(path: &str) -> bool {
    decode(path)
        .split('/')
        .filter(|segment| segment.contains("%2F") || segment.contains("%5C"))
        .any(|segment| segment.split("%2F").flat_map(|part| part.split("%5C")).any(|part| part == "." || part == ".."))
}

/// Decodes unreserved characters and writes the remaining triplets in upper case. The path has been inspected.
fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(char::from(byte));
            continue;
        }
        let (high, low) = (bytes.next(), bytes.next());
        match triplet(high, low) {
            Some(value) if is_unreserved(value) => decoded.push(char::from(value)),
            _ => {
                decoded.push('%');
                decoded.extend([high, low].into_iter().flatten().map(|digit| char::from(digit.to_ascii_uppercase())));
            }
        }
    }
    decoded
}

/// Removes dot segments, never above the root, and empty segments if `merge_slashes`. Slashes are merged first, so that
/// `/a//../b` is `/b`, whether the next reader merges slashes or not.
fn resolve(path: &str, merge_slashes: bool) -> String {
    let mut segments = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = rest.next() {
        let is_last = rest.peek().is_none();
        match segment {
            ".." => drop(segments.pop()),
            "." => {}
            "" if merge_slashes || is_last => {}
            name => {
                segments.push(name);
                continue;
            }
        }
        // A path that ends in a dot segment names a folder: `/a/b/..` is `/a/`.
        if is_last {
            segments.push("");
        }
    }
    let mut resolved = String::with_capacity(path.len());
    for segment in segments {
        resolved.push('/');
        resolved.push_str(segment);
    }
    resolved
}

/// The byte two hexadecimal digits stand for.
pub(super) fn triplet(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    };
    Some(digit(high?)? << 4 | digit(low?)?)
}

/// RFC 3986 section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: PathPolicy = PathPolicy { merge_slashes: true, allow_encoded_slash: false };
    const KEEP_SLASHES: PathPolicy = PathPolicy { merge_slashes: false, allow_encoded_slash: false };
    const LENIENT: PathPolicy = PathPolicy { merge_slashes: true, allow_encoded_slash: true };

    #[test]
    fn one_spelling() {
        let cases = [
            // RFC 3986 section 5.2.4 and 6.2.2
            ("/a/b/c/./../../g", "/a/g"),
            ("/%7esmith", "/~smith"),
            ("/%7Esmith", "/~smith"),
            ("/a%c3%a9", "/a%C3%A9"),
            ("/a%2eb", "/a.b"),
            ("/%41%2d%5F", "/A-_"),
            // Dot segments in every spelling, never above the root.
            ("/.", "/"),
            ("/..", "/"),
            ("/./", "/"),
            ("/../../a", "/a"),
            ("/%2e%2E/a", "/a"),
            ("/a/.%2e", "/"),
            ("/a/%2e./b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/.", "/a/"),
            ("/a/...", "/a/..."),
            ("/a/.b", "/a/.b"),
            ("/a/b.", "/a/b."),
            ("/.well-known/agent-card.json", "/.well-known/agent-card.json"),
            ("/a/..b/c", "/a/..b/c"),
            // Slashes.
            ("//", "/"),
            ("//a///b//", "/a/b/"),
            ("/a//../b", "/b"),
            ("/a/..//b", "/b"),
            // What stays.
            ("/", "/"),
            ("/a/", "/a/"),
            ("/tasks/x:cancel", "/tasks/x:cancel"),
            ("/tasks/x%3Acancel", "/tasks/x%3Acancel"),
            ("/tasks/x%3acancel", "/tasks/x%3Acancel"),
            ("/a%20b", "/a%20b"),
            ("/a%25", "/a%25"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/%25%32%65", "/%252e"),
            ("/!$&'()*+,;=@", "/!$&'()*+,;=@"),
            ("/a;v=1/..;/b", "/a;v=1/..;/b"),
        ];
        for (path, expected) in cases {
            assert_eq!(normalise(path, DEFAULT).as_deref(), Ok(expected), "{path}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            ("", "path_not_absolute"),
            ("a", "path_not_absolute"),
            ("*", "path_not_absolute"),
            ("%2Fa", "path_not_absolute"),
            ("/a%2Fb", "encoded_slash"),
            ("/a%2fb", "encoded_slash"),
            ("/a%5Cb", "encoded_backslash"),
            ("/a%5cb", "encoded_backslash"),
            ("/a%00", "encoded_nul"),
            ("/a\\b", "path_backslash"),
            ("/a b", "path_space"),
            ("/a\tb", "path_control"),
            ("/a\0", "path_control"),
            ("/a\r\n", "path_control"),
            ("/a\x7f", "path_control"),
            ("/é", "path_not_ascii"),
            ("/%", "path_broken_percent"),
            ("/%2", "path_broken_percent"),
            ("/%zz", "path_broken_percent"),
            ("/%%32%65", "path_broken_percent"),
            ("/%2/", "path_broken_percent"),
            ("/%+1", "path_broken_percent"),
            ("/a#b", "path_delimiter"),
            ("/a?b", "path_delimiter"),
        ];
        for (path, expected) in cases {
            assert_eq!(normalise(path, DEFAULT), Err(expected), "{path:?}");
        }
    }

    #[test]
    fn policies() {
        let cases = [
            ("//a//b", KEEP_SLASHES, Ok("//a//b")),
            ("//", KEEP_SLASHES, Ok("//")),
            ("/a//", KEEP_SLASHES, Ok("/a//")),
            ("/a//../b", KEEP_SLASHES, Ok("/a/b")),
            ("/a/../..//b", KEEP_SLASHES, Ok("//b")),
            ("/a//.", KEEP_SLASHES, Ok("/a//")),
            ("/a%2fb", LENIENT, Ok("/a%2Fb")),
            ("/a%5cb", LENIENT, Ok("/a%5Cb")),
            ("/a%2F", LENIENT, Ok("/a%2F")),
            ("/a%00", LENIENT, Err("encoded_nul")),
            ("/a/..%2Fb", LENIENT, Err("encoded_slash")),
            ("/a/%2e%2e%2fb", LENIENT, Err("encoded_slash")),
            ("/a/b%5c..", LENIENT, Err("encoded_slash")),
            ("/a/b%2F.%2Fc", LENIENT, Err("encoded_slash")),
            ("/a/b%2F..c", LENIENT, Ok("/a/b%2F..c")),
            ("/../b%2Fc", LENIENT, Ok("/b%2Fc")),
        ];
        for (path, policy, expected) in cases {
            assert_eq!(normalise(path, policy).as_deref(), expected.as_ref().map(|path| *path), "{path}");
        }
    }

    #[test]
    fn nothing_to_change_is_borrowed() {
        for path in ["/", "/a/b.c/", "/tasks/x:cancel", "/a%20b", "/.well-known/agent-card.json"] {
            assert!(matches!(normalise(path, DEFAULT), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    /// Paths made of the pieces that matter.
    fn paths() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "/", "/", "/", ".", "..", "a", "b", ":", "%2e", "%2E", "%61", "%2F", "%5c", "%25", "%3a", "%", "2e", "~",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
    }

    fn policies_any() -> impl Strategy<Value = PathPolicy> {
        (any::<bool>(), any::<bool>())
            .prop_map(|(merge_slashes, allow_encoded_slash)| PathPolicy { merge_slashes, allow_encoded_slash })
    }

    /// Writes every unreserved character of a path as `%xx`, adds dot segments, doubles slashes.
    fn respelt(path: &str, is_lower: bool, merge_slashes: bool) -> String {
        path.chars()
            .map(|character| match character {
                '/' if merge_slashes => "//./x/%2e%2E/".to_owned(),
                '/' => "/./x/../".to_owned(),
                letter if is_unreserved(letter as u8) && is_lower => {
                    format!("%{:02x}", letter as u8)
                }
                letter if is_unreserved(letter as u8) => format!("%{:02X}", letter as u8),
                other => other.to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn settles_at_once(path in paths(), policy in policies_any()) {
            if let Ok(once) = normalise(&path, policy) {
                let is_stable = matches!(normalise(&once, policy), Ok(Cow::Borrowed(twice)) if twice == once);
                prop_assert!(is_stable, "{} {}", path, once);
                prop_assert!(once.starts_with('/'));
                prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."));
                prop_assert!(!(policy.merge_slashes && once.contains("//")));
                prop_assert!(once.len() <= path.len());
            }
        }

        #[test]
        fn never_panics_and_never_lets_bad_bytes_through(text in "/?\\PC{0,30}|/[ -~\\x00-\\x1f]{0,30}", policy in policies_any()) {
            if let Ok(path) = normalise(&text, policy) {
                prop_assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !b"\\#?".contains(&byte)));
            }
        }

        #[test]
        fn other_spellings_come_to_the_same(
            // Triplets would be broken by respelling their digits.
            path in "(/[a-zA-Z0-9.~:@!_-]{1,5}){1,4}/?",
            is_lower in any::<bool>(),
            merge_slashes in any::<bool>(),
        ) {
            let policy = PathPolicy { merge_slashes, allow_encoded_slash: false };
            let settled = normalise(&path, policy).unwrap();
            let other = respelt(&settled, is_lower, merge_slashes);
            prop_assert_eq!(normalise(&other, policy).unwrap(), settled, "{}", other);
        }
    }
}
