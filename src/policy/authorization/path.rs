//! Paths as the most forgiving agent reads them, so that a rule about a path cannot be passed by another spelling of
//! it. What the gateway matches and forwards is one spelling already; this is about what an agent makes of that.

use std::borrow::Cow;

use regex::{Regex, RegexBuilder};

use crate::config::model::PathMatch;

/// A path, as it is forwarded and as the most forgiving agent reads it.
#[derive(Clone, Debug)]
pub struct RulePath<'a> {
    plain: &'a str,
    read: Cow<'a, str>,
    /// Agents may disagree about where it leads so much that no two readings cover all of them.
    is_doubtful: bool,
}

impl<'a> RulePath<'a> {
    /// Both readings; nothing is made for a path in which they are the same, as in nearly every one.
    #[must_use]
    pub fn new(plain: &'a str) -> Self {
        let Reading { read, is_doubtful } = most_forgiving(plain);
        Self { plain, read, is_doubtful }
    }
}

/// Brings the path of a rule into the spelling in which requests are matched.
pub type Canonical = fn(&PathMatch) -> PathMatch;

/// A condition on paths, ready to be asked.
#[derive(Debug)]
pub(super) struct PathTest {
    plain: PathMatch,
    /// The same for the other reading; for a condition that refuses, in any case of letters.
    read: PathMatch,
}

impl PathTest {
    /// `lets_pass` says what the condition is for: what lets a request pass has to hold in both readings, what refuses
    /// one in either. `wanted` is in the spelling in which requests are matched.
    pub(super) fn new(wanted: PathMatch, lets_pass: bool) -> Self {
        let read = match &wanted {
            PathMatch::Exact(path) => PathMatch::Exact(most_forgiving(path).read.into_owned()),
            PathMatch::Prefix(path) => PathMatch::Prefix(most_forgiving(path).read.into_owned()),
            PathMatch::Regex(regex) if lets_pass => PathMatch::Regex(regex.clone()),
            PathMatch::Regex(regex) => PathMatch::Regex(in_any_case(regex)),
        };
        Self { plain: wanted, read }
    }

    /// Whether it holds for a path, as a condition that lets requests pass.
    pub(super) fn surely_holds(&self, path: &RulePath<'_>) -> bool {
        let holds = |wanted: &PathMatch, path: &str| match wanted {
            PathMatch::Exact(exact) => path == exact,
            PathMatch::Prefix(prefix) => {
                let rest = path.strip_prefix(prefix.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathMatch::Regex(regex) => regex.is_match(path),
        };
        let is_same = matches!(path.read, Cow::Borrowed(_));
        self.is_for_all()
            || !path.is_doubtful && holds(&self.plain, path.plain) && (is_same || holds(&self.read, &path.read))
    }

    /// Whether it may hold for a path, as a condition that refuses requests.
    pub(super) fn may_hold(&self, path: &RulePath<'_>) -> bool {
        let begins = |path: &str, start: &str| {
            let (path, start) = (path.as_bytes(), start.as_bytes());
            path.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start))
        };
        let holds = |wanted: &PathMatch, path: &str| match wanted {
            PathMatch::Exact(exact) => bare(path).eq_ignore_ascii_case(bare(exact)),
            PathMatch::Prefix(prefix) => {
                begins(path, prefix) && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
            }
            PathMatch::Regex(regex) => regex.is_match(path) || path.ends_with('/') && regex.is_match(bare(path)),
        };
        let (plain, read) = (&self.plain, &self.read);
        path.is_doubtful || holds(plain, path.plain) || holds(read, &path.read) || holds(read, path.plain)
    }

    /// Whether it holds for every path, however that is read.
    fn is_for_all(&self) -> bool {
        matches!(&self.plain, PathMatch::Prefix(prefix) if prefix.is_empty())
    }
}

/// Without the slash at its end, which many agents do not need.
fn bare(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn in_any_case(regex: &Regex) -> Regex {
    // It was built with the same pattern; one that grew too large stays as it was.
    RegexBuilder::new(regex.as_str()).case_insensitive(true).build().unwrap_or_else(|_large| regex.clone())
}

/// What [`most_forgiving`] makes of a path.
struct Reading<'a> {
    read: Cow<'a, str>,
    is_doubtful: bool,
}

/// What remains of a path when everything is read that some agent reads: triplets that stand for what shapes a path are
/// decoded, however often they were encoded, backslashes are slashes, parameters of segments are gone, and so are empty
/// and dot segments.
///
/// Two things make it doubtful. Segments that lead up: how far depends on which slashes an agent knows. And parameters
/// beside encoded slashes: whether what follows such a slash is a part of the parameter depends on what is done first.
fn most_forgiving(path: &str) -> Reading<'_> {
    if !is_odd(path) {
        return Reading { read: Cow::Borrowed(path), is_doubtful: false };
    }
    let mut decoded = path.to_owned();
    for _ in 0..ROUNDS {
        let next = decode(&decoded);
        if next == decoded {
            break;
        }
        decoded = next;
    }
    let slashes = |text: &str| text.matches(['/', '\\']).count();
    let mut is_doubtful = decoded.contains(';') && slashes(&decoded) > slashes(path);
    let mut segments: Vec<&str> = Vec::new();
    for segment in decoded.split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => {
                is_doubtful = true;
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let mut read = String::with_capacity(decoded.len());
    for segment in segments {
        read.push('/');
        read.push_str(segment);
    }
    if read.is_empty() || decoded.ends_with('/') && path.len() > 1 {
        read.push('/');
    }
    Reading { read: Cow::Owned(read), is_doubtful }
}

/// Whether agents may read it in more than one way. A path is in normal form already.
fn is_odd(path: &str) -> bool {
    let bytes = path.as_bytes();
    let pair = |at: usize| bytes.get(at + 1..at + 3).unwrap_or_default();
    memchr::memchr2_iter(b';', b'%', bytes).any(|at| match bytes.get(at) {
        Some(b'%') => shaping(pair(at)).is_some(),
        _ => true,
    }) || memchr::memmem::find(bytes, b"//").is_some()
        || memchr::memchr(b'\\', bytes).is_some()
}

/// The character that a triplet stands for, where that shapes a path or another triplet, or needs no triplet.
fn shaping(digits: &[u8]) -> Option<char> {
    let text = std::str::from_utf8(digits.get(..2)?).ok()?;
    let value = char::from(u8::from_str_radix(text, 16).ok()?);
    (matches!(value, '%' | '/' | '\\' | ';' | '.' | '-' | '_' | '~') || value.is_ascii_alphanumeric()).then_some(value)
}

fn decode(path: &str) -> String {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        if let Some((value, after)) = shaping(after.as_bytes()).zip(after.get(2..)) {
            decoded.push(value);
            rest = after;
        } else {
            decoded.push('%');
            rest = after;
        }
    }
    decoded.push_str(rest);
    decoded
}

/// How often something may be encoded; agents decode twice at most.
const ROUNDS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_read_as_the_most_forgiving_agent_does() {
        for (path, expected) in [
            ("/admin", "/admin"),
            ("/admin/", "/admin/"),
            ("/a%20b", "/a%20b"),
            ("/admin;x=1", "/admin"),
            ("/admin;x=1/users;y", "/admin/users"),
            ("/public/..;/admin", "/admin"),
            ("/public/..;a=b/admin", "/admin"),
            ("/public%2F..%2Fadmin", "/admin"),
            ("/a%5C..%5Cadmin", "/admin"),
            ("/%2561dmin", "/admin"),
            ("/%252561dmin", "/admin"),
            ("/public/%252e%252e/admin", "/admin"),
            ("/admin%3Bx", "/admin"),
            ("//admin", "/admin"),
            ("/a//b/", "/a/b/"),
            ("/;/", "/"),
            ("/..;/..;/admin", "/admin"),
            ("/%", "/%"),
            ("/%25", "/%"),
            ("/%2525zz", "/%zz"),
        ] {
            assert_eq!(most_forgiving(path).read, expected, "{path}");
        }
    }

    fn test(wanted: PathMatch, lets_pass: bool) -> PathTest {
        PathTest::new(wanted, lets_pass)
    }

    fn whole(pattern: &str) -> PathMatch {
        PathMatch::Regex(Regex::new(&format!("^(?:{pattern})$")).unwrap())
    }

    #[test]
    fn what_lets_pass_holds_in_both_readings_and_what_refuses_in_either() {
        let prefix = |path: &str| PathMatch::Prefix(path.to_owned());
        for (wanted, path, surely, perhaps) in [
            (prefix("/admin"), "/admin", true, true),
            (prefix("/admin"), "/admin/x", true, true),
            (prefix("/admin"), "/administrator", false, false),
            (prefix("/admin"), "/Admin/x", false, true),
            (prefix("/admin"), "/admin;x", false, true),
            (prefix("/admin"), "/admin/..;/public", false, true),
            (prefix("/public"), "/public/..;/admin", false, true),
            (prefix("/public"), "/public/a;v=1", true, true),
            (prefix(""), "/x/..;/y", true, true),
            (PathMatch::Exact("/health".into()), "/health", true, true),
            (PathMatch::Exact("/health".into()), "/health/", false, true),
            (PathMatch::Exact("/health".into()), "/health/x", false, false),
            (PathMatch::Exact("/health".into()), "/health;a%252Fb", false, true),
            (PathMatch::Exact("/health".into()), "/health%3Ba%252Fb", false, true),
            (PathMatch::Exact("/health".into()), "/other%252Fb", false, false),
            (prefix("/other"), "/public/a%252Fb/..;/..;/other", false, true),
            (prefix("/public"), "/public/a%252Fb/..;/..;/other", false, true),
            (PathMatch::Exact("/a;v=1".into()), "/a;v=1", true, true),
            (PathMatch::Exact("/a%20b".into()), "/a%20b", true, true),
            (whole("/admin(/.*)?"), "/admin/x", true, true),
            (whole("/admin(/.*)?"), "/ADMIN/x", false, true),
            (whole("/admin"), "/admin/", false, true),
            (whole("/admin(/.*)?"), "/admin;x", false, true),
            (whole("/public/.*"), "/public/..;/admin", false, true),
        ] {
            let read = RulePath::new(path);
            assert_eq!(test(wanted.clone(), true).surely_holds(&read), surely, "{wanted} {path}");
            assert_eq!(test(wanted.clone(), false).may_hold(&read), perhaps, "{wanted} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_reading_is_a_path_and_reads_as_itself(path in "/([a-c./;%]|%2[eEfF5]|%5C|%3B){0,12}") {
            let read = most_forgiving(&path).read.into_owned();
            prop_assert!(read.starts_with('/'), "{path} {read}");
            prop_assert!(!read.split('/').any(|segment| segment == ".."), "{path} {read}");
        }

        #[test]
        fn what_surely_holds_may_hold(path in "/([a-c./;%]|%2[eEfF5]|%5C|%3B){0,12}", wanted in "(/[a-c]{1,2}){0,2}") {
            let wanted = PathMatch::Prefix(wanted);
            let read = RulePath::new(&path);
            let surely = test(wanted.clone(), true).surely_holds(&read);
            prop_assert!(!surely || test(wanted, false).may_hold(&read));
        }
    }
}
