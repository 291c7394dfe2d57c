//! What trusted proxies claim about the address that their client used: read and checked once for each request.

use std::borrow::Cow;

use http::header::HeaderValue;
use http::{HeaderMap, HeaderName};

use crate::config::model::{PathPolicy, Scheme};
use crate::head::owned;
use crate::route::{self, public};

/// The claims of a trusted proxy about the address that its client used. Values that cannot be used are ignored.
#[derive(Debug, Default)]
pub(crate) struct Claimed {
    scheme: Option<Scheme>,
    pub(super) host: Option<HeaderValue>,
    port: Option<u16>,
    pub(super) prefix: Option<HeaderValue>,
}

impl Claimed {
    /// Reads the fields of a trusted peer. Where a field is a list because each proxy added to it, the entry of the
    /// first trusted proxy counts; `hops` is the number of other trusted proxies between that one and the gateway.
    pub(crate) fn read(headers: &HeaderMap, hops: impl Fn() -> usize) -> Self {
        let entry = |name: &HeaderName| entry(headers, name, &hops);
        Self {
            scheme: entry(&X_FORWARDED_PROTO).and_then(|value| scheme(value.as_bytes())),
            host: entry(&X_FORWARDED_HOST).filter(is_host),
            port: entry(&X_FORWARDED_PORT).and_then(|value| port(&value)),
            prefix: entry(&X_FORWARDED_PREFIX).and_then(prefix),
        }
    }

    /// The scheme it says its client uses.
    pub(super) fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// As [`public::Sources`] takes them.
    pub(super) fn facts(&self) -> public::Claimed<'_> {
        public::Claimed {
            scheme: self.scheme,
            host: self.host.as_ref().and_then(|value| value.to_str().ok()),
            port: self.port,
            prefix: self.prefix.as_ref().and_then(|value| value.to_str().ok()),
        }
    }

    /// Copies what is a slice of the buffer the head was read into.
    pub(super) fn detach(&mut self) {
        self.host = self.host.as_ref().map(owned);
        self.prefix = self.prefix.as_ref().map(owned);
    }
}

/// The value of a field, or the entry of its list that counts.
fn entry(headers: &HeaderMap, name: &HeaderName, hops: &impl Fn() -> usize) -> Option<HeaderValue> {
    let lines = headers.get_all(name);
    let mut others = lines.iter();
    let first = others.next()?;
    if others.next().is_none() && !first.as_bytes().contains(&b',') {
        return Some(first.clone());
    }
    let commas = |line: &'_ HeaderValue| line.as_bytes().split(|byte| *byte == b',').count();
    let count: usize = lines.iter().map(commas).sum();
    let at = count.saturating_sub(1 + hops().min(count.saturating_sub(1)));
    let mut entries = lines.iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    HeaderValue::from_bytes(entries.nth(at)?.trim_ascii()).ok()
}

/// WebSocket clients speak HTTP until they switch.
fn scheme(value: &[u8]) -> Option<Scheme> {
    let is = |word: &str| value.eq_ignore_ascii_case(word.as_bytes());
    if is("https") || is("wss") {
        Some(Scheme::Https)
    } else if is("http") || is("ws") {
        Some(Scheme::Http)
    } else {
        None
    }
}

fn is_host(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| route::host_of(text).is_ok())
}

fn port(value: &HeaderValue) -> Option<u16> {
    let text = value.to_str().ok()?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

/// A path in its one spelling, without a slash at its end: it comes to stand before the paths of locations, and must
/// not make another host of them.
fn prefix(value: HeaderValue) -> Option<HeaderValue> {
    let policy = PathPolicy { merge_slashes: true, allow_encoded_slash: false };
    let text = value.to_str().ok()?;
    let path = route::normalise(text, policy).ok()?;
    match (path.strip_suffix('/').unwrap_or(&path), &path) {
        ("", _) => None,
        (whole, Cow::Borrowed(_)) if whole.len() == text.len() => Some(value),
        (other, _) => HeaderValue::from_str(other).ok(),
    }
}

const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&'static str, &str)], hops: usize) -> Claimed {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        Claimed::read(&headers, || hops)
    }

    #[test]
    fn what_cannot_be_used_is_as_good_as_not_said() {
        for (name, value, expected) in [
            ("x-forwarded-proto", "https", "https - - -"),
            ("x-forwarded-proto", "HTTP", "http - - -"),
            ("x-forwarded-proto", "wss", "https - - -"),
            ("x-forwarded-proto", "ws", "http - - -"),
            ("x-forwarded-proto", "h2", "- - - -"),
            ("x-forwarded-proto", "", "- - - -"),
            ("x-forwarded-host", "a.example:81", "- a.example:81 - -"),
            ("x-forwarded-host", "[::1]", "- [::1] - -"),
            ("x-forwarded-host", "a.example/b", "- - - -"),
            ("x-forwarded-host", "me@a.example", "- - - -"),
            ("x-forwarded-host", "", "- - - -"),
            ("x-forwarded-port", "8443", "- - 8443 -"),
            ("x-forwarded-port", "0", "- - - -"),
            ("x-forwarded-port", "65536", "- - - -"),
            ("x-forwarded-port", "+80", "- - - -"),
            ("x-forwarded-port", "-1", "- - - -"),
            ("x-forwarded-prefix", "/team", "- - - /team"),
            ("x-forwarded-prefix", "/team/blue/", "- - - /team/blue"),
            ("x-forwarded-prefix", "/%74eam", "- - - /team"),
            ("x-forwarded-prefix", "//evil.example", "- - - /evil.example"),
            ("x-forwarded-prefix", "/a/../b", "- - - /b"),
            ("x-forwarded-prefix", "/", "- - - -"),
            ("x-forwarded-prefix", "team", "- - - -"),
            ("x-forwarded-prefix", "/a?b", "- - - -"),
            ("x-forwarded-prefix", "/\\evil.example", "- - - -"),
            ("x-forwarded-prefix", "/a%2fb", "- - - -"),
        ] {
            assert_eq!(said(&read(&[(name, value)], 0)), expected, "{name}: {value}");
        }
    }

    fn said(claimed: &Claimed) -> String {
        let facts = claimed.facts();
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        [
            or_none(facts.scheme.map(|scheme| scheme.to_string())),
            or_none(facts.host.map(str::to_owned)),
            or_none(facts.port.map(|port| port.to_string())),
            or_none(facts.prefix.map(str::to_owned)),
        ]
        .join(" ")
    }

    #[test]
    fn of_a_list_the_entry_of_the_first_trusted_proxy_counts() {
        const NAME: &str = "x-forwarded-host";
        for (lines, hops, expected) in [
            // Apache adds to what the client sent.
            (&["evil.example, a.example"][..], 0, "a.example"),
            (&["evil.example", "a.example"], 0, "a.example"),
            (&["evil.example, a.example, inner.example"], 1, "a.example"),
            (&["evil.example", "a.example , inner.example"], 1, "a.example"),
            (&["a.example, inner.example"], 5, "a.example"),
            (&["a.example"], 5, "a.example"),
            (&["a.example,"], 0, "-"),
        ] {
            let fields: Vec<_> = lines.iter().map(|line| (NAME, *line)).collect();
            let claimed = read(&fields, hops);
            let found = claimed.facts().host.unwrap_or("-");
            assert_eq!(found, expected, "{lines:?} after {hops}");
        }
    }
}
