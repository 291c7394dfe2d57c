//! Listeners that only send clients to HTTPS: where to, and with which status. Pure.

use http::{Method, StatusCode};

use crate::config::model::{HostPattern, HttpsRedirect};

/// The `Location` for a request to `host`, which is in its canonical form; path and query byte for byte as they came. `None`
/// when the host is not one that may be redirected to. A path that begins with `//` is harmless here, because the location
/// always has our scheme and host before it.
pub(super) fn location(
    redirect: &HttpsRedirect,
    host: &str,
    path_and_query: &str,
) -> Option<String> {
    let known =
        redirect.hosts.is_empty() || redirect.hosts.iter().any(|pattern| matches(pattern, host));
    if host.is_empty() || !known || !is_clean(path_and_query) {
        return None;
    }
    // `OPTIONS *` has no path to keep.
    let path = if path_and_query == "*" {
        "/"
    } else {
        path_and_query
    };
    Some(match redirect.port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    })
}

/// The configured status, else 301 for those methods that redirect well and 308, which keeps method and body, for the rest.
pub(super) fn status(redirect: &HttpsRedirect, method: &Method) -> StatusCode {
    redirect
        .status
        .unwrap_or(if matches!(*method, Method::GET | Method::HEAD) {
            StatusCode::MOVED_PERMANENTLY
        } else {
            StatusCode::PERMANENT_REDIRECT
        })
}

/// No byte that could end the line or the location.
fn is_clean(path_and_query: &str) -> bool {
    (path_and_query == "*" || path_and_query.starts_with('/'))
        && path_and_query
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn matches(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Exact(exact) => {
            host == exact || host.trim_start_matches('[').trim_end_matches(']') == exact
        }
        HostPattern::Wildcard(parent) => host
            .strip_suffix(parent.as_str())
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redirect(port: u16, hosts: &[HostPattern]) -> HttpsRedirect {
        HttpsRedirect {
            port,
            status: None,
            hosts: hosts.to_vec(),
        }
    }

    #[test]
    fn the_location_keeps_path_and_query_byte_for_byte() {
        let cases = [
            (443, "a.example", "/", "https://a.example/"),
            (
                443,
                "a.example",
                "/a/../b%2f?x=%0d%0a&y=\"",
                "https://a.example/a/../b%2f?x=%0d%0a&y=\"",
            ),
            (443, "a.example", "/?", "https://a.example/?"),
            (
                443,
                "a.example",
                "//evil.example/",
                "https://a.example//evil.example/",
            ),
            (443, "[::1]", "/x", "https://[::1]/x"),
            (443, "a.example", "*", "https://a.example/"),
            (8443, "a.example", "/x", "https://a.example:8443/x"),
            (8443, "[::1]", "/x", "https://[::1]:8443/x"),
        ];
        for (port, host, path, expected) in cases {
            let found = location(&redirect(port, &[]), host, path);
            assert_eq!(found.as_deref(), Some(expected), "{port} {host} {path}");
        }
    }

    #[test]
    fn nothing_but_a_path_gets_into_a_location() {
        let any = redirect(443, &[]);
        assert_eq!(location(&any, "", "/"), None, "no host to lead to");
        for path in [
            "",
            "x",
            "/\r\nset-cookie: a",
            "/ b",
            "/\u{e9}",
            "/#a",
            "http://evil/",
            "**",
        ] {
            assert_eq!(location(&any, "a", path), None, "{path:?}");
        }
    }

    #[test]
    fn only_configured_hosts_are_redirected_to() {
        let some = redirect(
            443,
            &[
                HostPattern::Exact("a.com".into()),
                HostPattern::Exact("[::1]".into()),
                HostPattern::Wildcard("b.com".into()),
            ],
        );
        for host in ["a.com", "[::1]", "x.b.com", "y.x.b.com"] {
            assert!(location(&some, host, "/").is_some(), "{host}");
        }
        for host in ["b.com", "xb.com", "evil.com", "a.com.evil.com", "[::2]"] {
            assert_eq!(location(&some, host, "/"), None, "{host}");
        }
    }

    #[test]
    fn the_status_keeps_the_method_of_what_is_not_safe() {
        let plain = redirect(443, &[]);
        for (method, expected) in [
            (Method::GET, StatusCode::MOVED_PERMANENTLY),
            (Method::HEAD, StatusCode::MOVED_PERMANENTLY),
            (Method::POST, StatusCode::PERMANENT_REDIRECT),
        ] {
            assert_eq!(status(&plain, &method), expected, "{method}");
        }
        let fixed = HttpsRedirect {
            status: Some(StatusCode::FOUND),
            ..plain
        };
        assert_eq!(status(&fixed, &Method::POST), StatusCode::FOUND);
    }
}
