//! Listeners that redirect to HTTPS: which clients, where to, and with which status.

use http::uri::PathAndQuery;

use super::exchange::Exchange;
use super::own_answer::redirect_to;
use super::public::sources;
use super::stage::{Entry, Passage};
use crate::config::model::{Authority, HostPattern, HttpsRedirect, PublicUrl, Scheme};
use crate::error::Error;
use crate::host::bare;
use crate::route::host_of;

/// Sends a client that has to come by HTTPS there, and else says whose routes serve it.
pub(super) fn redirect(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let listener = entry.settings()?;
    let claimed = exchange.client.claimed.scheme();
    let to = match &listener.https_redirect {
        None => {
            exchange.route.served_by = entry.listener;
            return Ok(Passage::On);
        }
        Some(to) if claimed == Some(Scheme::Https) => {
            exchange.route.served_by = Some(to.serves);
            return Ok(Passage::On);
        }
        Some(to) => to,
    };
    let (request, face) = (&exchange.request, sources(exchange, None, None).face());
    let asked = Asked {
        // A host without canonical form was refused before; only a request without a host is left.
        host: &host_of(face.host()).unwrap_or_default(),
        prefix: face.prefix(),
        is_proxied: claimed.is_some(),
        path: request.uri.path_and_query().map_or("/", PathAndQuery::as_str),
    };
    let location = location(to, listener.public_url.as_deref(), &asked);
    redirect_to(to.status_for(&request.method), &location.ok_or_else(|| Error::Misdirected)?)
}

/// The target of a request over plain HTTP.
#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    /// In its canonical form; empty when it named none.
    host: &'a str,
    /// The prefix that a proxy in front removed from the path.
    prefix: &'a str,
    /// Whether a trusted proxy says that its client speaks plain HTTP. Then HTTPS is at the proxy too, and not at a
    /// port of the gateway.
    is_proxied: bool,
    /// Path and query, byte for byte as they came.
    path: &'a str,
}

/// The `Location`. `None` when the host is not one that may be redirected to. A path that begins with `//` is harmless
/// here, because the location always has scheme and host before it.
fn location(to: &HttpsRedirect, url: Option<&PublicUrl>, asked: &Asked<'_>) -> Option<String> {
    let is_known = || to.hosts.iter().any(|pattern| matches(pattern, asked.host));
    let host = match url {
        _ if !asked.host.is_empty() && is_known() => asked.host,
        Some(url) => url.host(),
        None if to.hosts.is_empty() && !asked.host.is_empty() => asked.host,
        None => return None,
    };
    let scheme = Scheme::Https;
    let (port, prefix) = match url {
        Some(url) => (url.port(), url.prefix()),
        None if asked.is_proxied => (scheme.default_port(), asked.prefix),
        None => (to.port, asked.prefix),
    };
    if !is_clean(asked.path) {
        return None;
    }
    // `OPTIONS *` has no path to keep.
    let path = if asked.path == "*" { "/" } else { asked.path };
    let authority = Authority { scheme, host, port };
    Some(format!("{scheme}://{authority}{prefix}{path}"))
}

/// No byte that could end the line or the location.
fn is_clean(path_and_query: &str) -> bool {
    (path_and_query == "*" || path_and_query.starts_with('/'))
        && path_and_query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#')
}

fn matches(pattern: &HostPattern, host: &str) -> bool {
    pattern.fits(host) || matches!(pattern, HostPattern::Exact(exact) if bare(host) == exact)
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::*;
    use crate::config::model::ListenerId;

    fn redirect(port: u16, hosts: &[HostPattern]) -> HttpsRedirect {
        HttpsRedirect { port, serves: ListenerId(0), status: None, hosts: hosts.to_vec() }
    }

    fn asked<'a>(host: &'a str, path: &'a str) -> Asked<'a> {
        Asked { host, prefix: "", is_proxied: false, path }
    }

    #[test]
    fn the_location_keeps_path_and_query_byte_for_byte() {
        let cases = [
            (443, "a.example", "/", "https://a.example/"),
            (443, "a.example", "/a/../b%2f?x=%0d%0a&y=\"", "https://a.example/a/../b%2f?x=%0d%0a&y=\""),
            (443, "a.example", "/?", "https://a.example/?"),
            (443, "a.example", "//evil.example/", "https://a.example//evil.example/"),
            (443, "[::1]", "/x", "https://[::1]/x"),
            (443, "a.example", "*", "https://a.example/"),
            (8443, "a.example", "/x", "https://a.example:8443/x"),
            (8443, "[::1]", "/x", "https://[::1]:8443/x"),
        ];
        for (port, host, path, expected) in cases {
            let found = location(&redirect(port, &[]), None, &asked(host, path));
            assert_eq!(found.as_deref(), Some(expected), "{port} {host} {path}");
        }
    }

    #[test]
    fn nothing_but_a_path_gets_into_a_location() {
        let any = redirect(443, &[]);
        assert_eq!(location(&any, None, &asked("", "/")), None, "no host to lead to");
        for path in ["", "x", "/\r\nset-cookie: a", "/ b", "/\u{e9}", "/#a", "http://evil/", "**"] {
            assert_eq!(location(&any, None, &asked("a", path)), None, "{path:?}");
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
            assert!(location(&some, None, &asked(host, "/")).is_some(), "{host}");
        }
        for host in ["b.com", "xb.com", "evil.com", "a.com.evil.com", "[::2]"] {
            assert_eq!(location(&some, None, &asked(host, "/")), None, "{host}");
        }
    }

    #[test]
    fn the_public_url_says_where_https_is() {
        let url = PublicUrl::new(Scheme::Https, "a.com", None, "").unwrap();
        let elsewhere = PublicUrl::new(Scheme::Https, "a.com", Some(9443), "/team").unwrap();
        let known = &[HostPattern::Exact("a.com".into()), HostPattern::Exact("b.com".into())];
        for (hosts, url, host, expected) in [
            (&known[..], Some(&url), "a.com", Some("https://a.com/x")),
            (known, Some(&url), "b.com", Some("https://b.com/x")),
            (known, Some(&url), "gateway.internal", Some("https://a.com/x")),
            (known, Some(&url), "", Some("https://a.com/x")),
            (&[], Some(&url), "evil.com", Some("https://a.com/x")),
            (known, Some(&elsewhere), "b.com", Some("https://b.com:9443/team/x")),
            (known, None, "b.com", Some("https://b.com:8443/x")),
            (known, None, "evil.com", None),
        ] {
            let found = location(&redirect(8443, hosts), url, &asked(host, "/x"));
            assert_eq!(found.as_deref(), expected, "{url:?} {host}");
        }
    }

    #[test]
    fn behind_a_proxy_https_is_not_at_a_port_of_ours() {
        let asked = Asked { prefix: "/team", is_proxied: true, ..asked("a.com", "/x?y") };
        let found = location(&redirect(8443, &[]), None, &asked);
        assert_eq!(found.as_deref(), Some("https://a.com/team/x?y"));
    }

    #[test]
    fn the_status_keeps_the_method_of_what_is_not_safe() {
        let plain = redirect(443, &[]);
        for (method, expected) in [
            (Method::GET, StatusCode::MOVED_PERMANENTLY),
            (Method::HEAD, StatusCode::MOVED_PERMANENTLY),
            (Method::POST, StatusCode::PERMANENT_REDIRECT),
        ] {
            assert_eq!(plain.status_for(&method), expected, "{method}");
        }
        let fixed = HttpsRedirect { status: Some(StatusCode::FOUND), ..plain };
        assert_eq!(fixed.status_for(&Method::POST), StatusCode::FOUND);
    }
}
