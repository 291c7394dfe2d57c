//! A listener that only sends clients to HTTPS: where to, and with which status. Pure.

use http::{Method, StatusCode};

use crate::config::model::{HostPattern, HttpsRedirect};
use crate::listener::host::is_valid_host;

/// The `Location` for a request, its path and query byte for byte as they came. `None` when the host is not one that may be
/// redirected to: the answer is 400 then. A path that begins with `//` is harmless here, because the location always has our
/// scheme and host before it.
#[must_use]
pub fn https_location(
    redirect: &HttpsRedirect,
    host: &str,
    path_and_query: &str,
) -> Option<String> {
    if !is_valid_host(host.as_bytes()) || !is_clean(path_and_query) {
        return None;
    }
    let name = without_port(host);
    if name.is_empty()
        || !(redirect.hosts.is_empty()
            || redirect.hosts.iter().any(|pattern| matches(pattern, name)))
    {
        return None;
    }
    let port = redirect.port;
    // `OPTIONS *` has no path to keep.
    let path = if path_and_query == "*" {
        "/"
    } else {
        path_and_query
    };
    Some(if port == 443 {
        format!("https://{name}{path}")
    } else {
        format!("https://{name}:{port}{path}")
    })
}

/// The configured status, else 301 for those methods that redirect well and 308, which keeps method and body, for the rest.
#[must_use]
pub fn https_status(redirect: &HttpsRedirect, method: &Method) -> StatusCode {
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

/// The host of a valid `host[:port]`.
fn without_port(host: &str) -> &str {
    let name = match host.rsplit_once(':') {
        Some((name, _)) if name.ends_with(']') || !name.contains(':') => name,
        _ => host,
    };
    name.strip_suffix('.').unwrap_or(name)
}

fn matches(pattern: &HostPattern, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match pattern {
        HostPattern::Exact(exact) => {
            name.trim_start_matches('[').trim_end_matches(']') == exact || name == *exact
        }
        HostPattern::Wildcard(parent) => name
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
    fn location_keeps_path_and_query_byte_for_byte() {
        let any = redirect(443, &[]);
        let cases = [
            ("example.com", "/", "https://example.com/"),
            (
                "example.com:80",
                "/a/../b%2f?x=%0d%0a&y=\"",
                "https://example.com/a/../b%2f?x=%0d%0a&y=\"",
            ),
            ("example.com.", "/?", "https://example.com/?"),
            (
                "example.com",
                "//evil.example/",
                "https://example.com//evil.example/",
            ),
            ("[::1]:8080", "/x", "https://[::1]/x"),
            ("[::1]", "/x", "https://[::1]/x"),
            ("example.com", "*", "https://example.com/"),
        ];
        for (host, path, location) in cases {
            assert_eq!(
                https_location(&any, host, path).as_deref(),
                Some(location),
                "{host} {path}"
            );
        }
        assert_eq!(
            https_location(&redirect(8443, &[]), "a:80", "/x").as_deref(),
            Some("https://a:8443/x")
        );
        assert_eq!(
            https_location(&redirect(8443, &[]), "[::1]", "/x").as_deref(),
            Some("https://[::1]:8443/x")
        );
    }

    #[test]
    fn nothing_but_a_host_and_a_path_gets_into_a_location() {
        let any = redirect(443, &[]);
        for host in [
            "",
            "a b",
            "a@b",
            "a/b",
            "evil\r\nx: y",
            "a,b",
            ".",
            "a:99999",
        ] {
            assert_eq!(https_location(&any, host, "/"), None, "{host:?}");
        }
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
            assert_eq!(https_location(&any, "a", path), None, "{path:?}");
        }
    }

    #[test]
    fn only_configured_hosts_are_redirected_to() {
        let some = redirect(
            443,
            &[
                HostPattern::Exact("a.com".into()),
                HostPattern::Wildcard("b.com".into()),
            ],
        );
        for host in ["a.com", "A.COM:80", "a.com.", "x.b.com", "y.x.b.com"] {
            assert!(https_location(&some, host, "/").is_some(), "{host}");
        }
        for host in ["b.com", "xb.com", "evil.com", "a.com.evil.com"] {
            assert_eq!(https_location(&some, host, "/"), None, "{host}");
        }
    }

    #[test]
    fn status_keeps_the_method_of_what_is_not_safe() {
        let plain = redirect(443, &[]);
        assert_eq!(
            https_status(&plain, &Method::GET),
            StatusCode::MOVED_PERMANENTLY
        );
        assert_eq!(
            https_status(&plain, &Method::HEAD),
            StatusCode::MOVED_PERMANENTLY
        );
        assert_eq!(
            https_status(&plain, &Method::POST),
            StatusCode::PERMANENT_REDIRECT
        );
        let fixed = HttpsRedirect {
            status: Some(StatusCode::FOUND),
            ..plain
        };
        assert_eq!(https_status(&fixed, &Method::POST), StatusCode::FOUND);
    }
}
