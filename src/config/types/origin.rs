//! Web origins: scheme, host and port in the one spelling of browsers (WHATWG URL, "serialization of an origin": lower
//! case, no default port), and the patterns they are held against. Pure.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Which origins are meant.
#[derive(Clone, Debug)]
pub enum OriginPattern {
    /// `*`: every origin, `null` included.
    Any,
    /// `null`: pages without an origin of their own, such as files and sandboxed frames.
    Null,
    /// One, in its one spelling.
    Exact(Box<str>),
    /// `https://*.example.com`: every name below `example.com`, itself not; with this scheme and port.
    Below {
        /// Lower case.
        scheme: Box<str>,
        /// The name below which they are.
        parent: Box<str>,
        /// The port; `None` is the scheme's own.
        port: Option<u16>,
    },
    /// The whole origin, by a regular expression; never `null`.
    Regex(regex::Regex),
}

impl OriginPattern {
    /// Whether it means this origin, which is in its one spelling.
    #[must_use]
    pub fn holds(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Null => origin == NULL,
            Self::Exact(exact) => **exact == *origin,
            Self::Below { scheme, parent, port } => is_below(origin, scheme, parent, *port),
            Self::Regex(regex) => origin != NULL && regex.is_match(origin),
        }
    }

    /// Whether it means every origin there is, or nearly: what no list of one's own pages has in it.
    #[must_use]
    pub fn is_everybody(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Regex(_) => STRANGERS.iter().any(|stranger| self.holds(stranger)),
            Self::Null | Self::Exact(_) | Self::Below { .. } => false,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Null => f.write_str(NULL),
            Self::Exact(origin) => f.write_str(origin),
            Self::Below { scheme, parent, port: None } => write!(f, "{scheme}://*.{parent}"),
            Self::Below { scheme, parent, port: Some(port) } => write!(f, "{scheme}://*.{parent}:{port}"),
            Self::Regex(regex) => write!(f, "expression {regex}"),
        }
    }
}

fn is_below(origin: &str, scheme: &str, parent: &str, port: Option<u16>) -> bool {
    let Some(authority) = origin.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://")) else {
        return false;
    };
    let host = match (port, authority.rsplit_once(':')) {
        (None, None) => authority,
        (Some(port), Some((host, given))) if given.parse() == Ok(port) => host,
        _ => return false,
    };
    let labels = host.strip_suffix(parent).and_then(|rest| rest.strip_suffix('.'));
    labels.is_some_and(|labels| !labels.is_empty() && !labels.starts_with('.'))
}

/// Whether any of `patterns` means the origin in an `Origin` field (RFC 6454 section 7).
#[must_use]
pub fn is_among(patterns: &[OriginPattern], field: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(field) else { return false };
    // Browsers write the one spelling, so nearly all are found like this.
    if patterns.iter().any(|pattern| matches!(pattern, OriginPattern::Exact(exact) if **exact == *text)) {
        return true;
    }
    serialised(text).is_some_and(|origin| patterns.iter().any(|pattern| pattern.holds(&origin)))
}

/// An origin in its one spelling; `None` when it is none.
#[must_use]
pub fn serialised(text: &str) -> Option<Cow<'_, str>> {
    if text == NULL {
        return Some(Cow::Borrowed(text));
    }
    let (scheme, authority) = text.split_once("://")?;
    let is_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic()) || !scheme.chars().all(is_scheme) {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let (host, port) = split(authority)?;
    let host = canonical_host(host)?;
    let default = match &*scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    let written = match port.filter(|port| Some(*port) != default) {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    };
    Some(if written == text { Cow::Borrowed(text) } else { Cow::Owned(written) })
}

/// The two halves of `host[:port]`.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let ends_address = authority.ends_with(']');
    let Some((host, port)) = authority.rsplit_once(':').filter(|_| !ends_address) else {
        return Some((authority, None));
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    Some((host, Some(port)))
}

/// Lower case, and addresses in their short form.
fn canonical_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"));
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if host.is_empty() || host.len() > 253 || !host.chars().all(is_name) {
        return None;
    }
    Some(host.parse::<Ipv4Addr>().map_or_else(|_name| host.to_ascii_lowercase(), |address| address.to_string()))
}

/// The origin of pages that have none.
pub const NULL: &str = "null";
/// Origins of nobody (RFC 2606): a pattern that means one of them means everybody.
const STRANGERS: [&str; 4] =
    ["https://stranger.invalid", "http://stranger.invalid", "https://a.b.test:8443", "https://example.com.invalid"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_one_spelling() {
        for (text, expected) in [
            ("https://app.company.com", Some("https://app.company.com")),
            ("HTTPS://App.Company.COM:443", Some("https://app.company.com")),
            ("http://a:80", Some("http://a")),
            ("http://a:443", Some("http://a:443")),
            ("https://a:0443", Some("https://a")),
            ("https://[::0001]:8443", Some("https://[::1]:8443")),
            ("https://[::1]", Some("https://[::1]")),
            ("http://127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("chrome-extension://abcdef", Some("chrome-extension://abcdef")),
            ("null", Some("null")),
            ("NULL", None),
            ("", None),
            ("https://", None),
            ("https://a/", None),
            ("https://a:", None),
            ("https://a:x", None),
            ("https://a:99999", None),
            ("https://me@a", None),
            ("https://a b", None),
            ("https://a https://b", None),
            ("app.company.com", None),
            ("1s://a", None),
            ("https://\u{e9}.com", None),
        ] {
            assert_eq!(serialised(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn patterns_mean_what_they_say() {
        let below = |port| OriginPattern::Below { scheme: "https".into(), parent: "company.com".into(), port };
        let regex =
            OriginPattern::Regex(regex::Regex::new("^(?:https://pr-[0-9]+\\.company\\.com|.*null.*)$").unwrap());
        let exact = OriginPattern::Exact("https://app.company.com".into());
        for (pattern, origin, expected) in [
            (&OriginPattern::Any, "https://evil.example", true),
            (&OriginPattern::Any, "null", true),
            (&OriginPattern::Null, "null", true),
            (&OriginPattern::Null, "https://a", false),
            (&exact, "https://app.company.com", true),
            (&exact, "HTTPS://APP.company.com:443", true),
            (&exact, "http://app.company.com", false),
            (&exact, "https://app.company.com:8443", false),
            (&exact, "https://app.company.com.evil.example", false),
            (&below(None), "https://a.company.com", true),
            (&below(None), "https://a.b.Company.com:443", true),
            (&below(None), "https://company.com", false),
            (&below(None), "https://evilcompany.com", false),
            (&below(None), "https://.company.com", false),
            (&below(None), "http://a.company.com", false),
            (&below(None), "https://a.company.com:8443", false),
            (&below(None), "https://a.company.com.evil.example", false),
            (&below(None), "null", false),
            (&below(Some(8443)), "https://a.company.com:8443", true),
            (&below(Some(8443)), "https://a.company.com", false),
            (&regex, "https://pr-17.company.com", true),
            (&regex, "https://pr-17.company.com.evil.example", false),
            (&regex, "https://pr-x.company.com", false),
            (&regex, "null", false),
        ] {
            let found = is_among(std::slice::from_ref(pattern), origin.as_bytes());
            assert_eq!(found, expected, "{pattern} {origin}");
        }
        assert!(!is_among(&[OriginPattern::Any], b"\xff"), "no origin");
        assert!(!is_among(&[OriginPattern::Any], b"https://a, https://b"), "two origins are none");
    }

    #[test]
    fn what_means_everybody_is_known() {
        for (text, expected) in [(".*", true), ("https://.*", true), ("https://.*\\.company\\.com", false)] {
            let pattern = OriginPattern::Regex(regex::Regex::new(&format!("^(?:{text})$")).unwrap());
            assert_eq!(pattern.is_everybody(), expected, "{text}");
        }
        assert!(OriginPattern::Any.is_everybody() && !OriginPattern::Null.is_everybody());
    }
}
