//! Where a redirecting route sends its client.

use std::borrow::Cow;

use super::host::host_of;
use super::public::Face;
use super::rewrite::{replace_path, replace_prefix};
use crate::config::model::{Authority, PathMatch, Redirect};

/// The `Location` of a redirect. Parts the route does not give are the client's, as `face` knows them, except that a
/// new scheme without a port means that scheme's own port (Gateway API). Always with scheme and host, so that a path of
/// `//elsewhere` cannot lead to another host. None when no safe location can be made: no valid host, or a path or query
/// that cannot be sent.
#[must_use]
pub fn redirect(
    redirect: &Redirect,
    matched: &PathMatch,
    face: &Face<'_>,
    path: &str,
    query: Option<&str>,
) -> Option<String> {
    let scheme = redirect.scheme.unwrap_or_else(|| face.scheme());
    let port = match (redirect.port, redirect.scheme) {
        (Some(port), _) => port.get(),
        (None, Some(scheme)) => scheme.default_port(),
        (None, None) => face.port(),
    };
    let host = host_of(redirect.host.as_deref().unwrap_or_else(|| face.host())).ok()?;
    let (host, path) = (&*host, changed_path(redirect, matched, path)?);
    let authority = Authority { scheme, host, port };
    let mut location = format!("{scheme}://{authority}");
    if redirect.host.is_none() || matches!(path, Cow::Borrowed(_)) {
        // A path given for another host is that host's.
        location.push_str(face.prefix());
    }
    location.push_str(&path);
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#').then_some(location)
}

/// The path, owned where the route gives another.
fn changed_path<'p>(redirect: &Redirect, matched: &PathMatch, path: &'p str) -> Option<Cow<'p, str>> {
    match (&redirect.path, &redirect.prefix) {
        (Some(path), _) => replace_path(path).ok().map(Cow::Owned),
        (None, Some(prefix)) => replace_prefix(matched, path, prefix).ok().map(Cow::Owned),
        (None, None) => Some(Cow::Borrowed(path)),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;
    use crate::config::model::{PublicUrl, Scheme};
    use crate::route::public::Sources;

    fn unchanged() -> Redirect {
        Redirect { status: None, scheme: None, host: None, port: None, path: None, prefix: None }
    }

    #[test]
    fn parts_not_given_are_those_of_the_request() {
        let matched = PathMatch::Prefix("/old".to_owned());
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            (unchanged(), "http://a.example:8080/old/x?q=1"),
            (Redirect { scheme: Some(Scheme::Https), ..unchanged() }, "https://a.example/old/x?q=1"),
            (Redirect { port: NonZeroU16::new(80), ..unchanged() }, "http://a.example/old/x?q=1"),
            (Redirect { host: text("b.example"), ..unchanged() }, "http://b.example:8080/old/x?q=1"),
            (Redirect { path: text("/new"), ..unchanged() }, "http://a.example:8080/new?q=1"),
            (Redirect { prefix: text("/new"), ..unchanged() }, "http://a.example:8080/new/x?q=1"),
            (Redirect { prefix: text("/"), ..unchanged() }, "http://a.example:8080/x?q=1"),
            (
                Redirect {
                    scheme: Some(Scheme::Https),
                    port: NonZeroU16::new(8443),
                    host: text("[::1]"),
                    ..unchanged()
                },
                "https://[::1]:8443/old/x?q=1",
            ),
        ];
        for (change, expected) in cases {
            let sources = Sources { asked: "a.example:8080", ..Sources::default() };
            let face = sources.face();
            let actual = redirect(&change, &matched, &face, "/old/x", Some("q=1"));
            assert_eq!(actual.as_deref(), Some(expected), "{change:?}");
        }
    }

    #[test]
    fn a_path_of_the_client_has_the_public_prefix() {
        let matched = PathMatch::Prefix("/old".to_owned());
        let url = PublicUrl::new(Scheme::Https, "a.example", None, "/team").unwrap();
        let sources = Sources { listener: Some(&url), asked: "gateway.internal:8080", ..Sources::default() };
        let text = |text: &str| Some(text.to_owned());
        for (host, path, prefix, expected) in [
            (None, None, text("/new"), "https://a.example/team/new/x"),
            (None, text("/new"), None, "https://a.example/team/new"),
            (text("b.example"), None, None, "https://b.example/team/old/x"),
            (text("b.example"), text("/new"), None, "https://b.example/new"),
            (text("b.example"), None, text("/new"), "https://b.example/new/x"),
        ] {
            let change = Redirect { host, path, prefix, ..unchanged() };
            let actual = redirect(&change, &matched, &sources.face(), "/old/x", None);
            assert_eq!(actual.as_deref(), Some(expected), "{change:?}");
        }
    }

    #[test]
    fn nothing_unsafe_is_sent() {
        let matched = PathMatch::Prefix(String::new());
        let cases = [
            ("a.example", "//evil.example/x", None, Some("http://a.example//evil.example/x")),
            ("a.example", "/x", Some("a\r\nset-cookie: b"), None),
            ("a.example", "/x", Some("a b"), None),
            ("a.example", "/x", Some("a#b"), None),
            ("a@evil.example", "/x", None, None),
            ("evil.example/a", "/x", None, None),
            ("", "/x", None, None),
        ];
        for (host, path, query, expected) in cases {
            let sources = Sources { asked: host, ..Sources::default() };
            let actual = redirect(&unchanged(), &matched, &sources.face(), path, query);
            assert_eq!(actual.as_deref(), expected, "{host} {path} {query:?}");
        }
    }
}
