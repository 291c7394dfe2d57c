//! Where a redirecting route sends its client.

use super::host::host_of;
use super::rewrite::{replace_path, replace_prefix};
use crate::config::model::{PathMatch, Redirect};

/// The `Location` of a redirect. Parts the route does not give are the request's, except that a new scheme without a
/// port means that scheme's own port (Gateway API). Always with scheme and host, so that a path of `//elsewhere` cannot
/// lead to another host. None when no safe location can be made: no valid host, or a path or query that cannot be sent.
#[must_use]
#[allow(
    clippy::too_many_arguments,
    reason = "they are the parts of a URL, in their order"
)]
pub fn location(
    redirect: &Redirect,
    matched: &PathMatch,
    scheme: &str,
    host: &str,
    port: Option<u16>,
    path: &str,
    query: Option<&str>,
) -> Option<String> {
    let port = match (redirect.port, &redirect.scheme) {
        (Some(port), _) => Some(port.get()),
        (None, Some(_)) => None,
        (None, None) => port,
    };
    let scheme = redirect.scheme.as_deref().unwrap_or(scheme);
    let host = host_of(redirect.host.as_deref().unwrap_or(host)).ok()?;
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = port.filter(|port| well_known(scheme) != Some(*port)) {
        location.push(':');
        location.push_str(itoa::Buffer::new().format(port));
    }
    match (&redirect.path, &redirect.prefix) {
        (Some(path), _) => location.push_str(&replace_path(path).ok()?),
        (None, Some(prefix)) => location.push_str(&replace_prefix(matched, path, prefix).ok()?),
        (None, None) => location.push_str(path),
    }
    if let Some(query) = query {
        location.push('?');
        location.push_str(query);
    }
    location
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
        .then_some(location)
}

fn well_known(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    fn unchanged() -> Redirect {
        Redirect {
            status: None,
            scheme: None,
            host: None,
            port: None,
            path: None,
            prefix: None,
        }
    }

    #[test]
    fn parts_not_given_are_those_of_the_request() {
        let matched = PathMatch::Prefix("/old".to_owned());
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            (unchanged(), "http://a.example:8080/old/x?q=1"),
            (
                Redirect {
                    scheme: text("https"),
                    ..unchanged()
                },
                "https://a.example/old/x?q=1",
            ),
            (
                Redirect {
                    port: NonZeroU16::new(80),
                    ..unchanged()
                },
                "http://a.example/old/x?q=1",
            ),
            (
                Redirect {
                    host: text("b.example"),
                    ..unchanged()
                },
                "http://b.example:8080/old/x?q=1",
            ),
            (
                Redirect {
                    path: text("/new"),
                    ..unchanged()
                },
                "http://a.example:8080/new?q=1",
            ),
            (
                Redirect {
                    prefix: text("/new"),
                    ..unchanged()
                },
                "http://a.example:8080/new/x?q=1",
            ),
            (
                Redirect {
                    prefix: text("/"),
                    ..unchanged()
                },
                "http://a.example:8080/x?q=1",
            ),
            (
                Redirect {
                    scheme: text("https"),
                    port: NonZeroU16::new(8443),
                    host: text("[::1]"),
                    ..unchanged()
                },
                "https://[::1]:8443/old/x?q=1",
            ),
        ];
        for (redirect, expected) in cases {
            let actual = location(
                &redirect,
                &matched,
                "http",
                "a.example",
                Some(8080),
                "/old/x",
                Some("q=1"),
            );
            assert_eq!(actual.as_deref(), Some(expected), "{redirect:?}");
        }
    }

    #[test]
    fn nothing_unsafe_is_sent() {
        let matched = PathMatch::Prefix(String::new());
        let cases = [
            (
                "a.example",
                "//evil.example/x",
                None,
                Some("http://a.example//evil.example/x"),
            ),
            ("a.example", "/x", Some("a\r\nset-cookie: b"), None),
            ("a.example", "/x", Some("a b"), None),
            ("a.example", "/x", Some("a#b"), None),
            ("a@evil.example", "/x", None, None),
            ("evil.example/a", "/x", None, None),
            ("", "/x", None, None),
        ];
        for (host, path, query, expected) in cases {
            let actual = location(&unchanged(), &matched, "http", host, Some(80), path, query);
            assert_eq!(actual.as_deref(), expected, "{host} {path} {query:?}");
        }
    }
}
