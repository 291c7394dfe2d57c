//! Decides which admin requests are allowed. With a token, every request must carry it. Without one, only this machine
//! is served, and a foreign page in a browser on this machine must not use the API, neither through a form nor through
//! a name that points at 127.0.0.1. That holds for a unix socket too, which its owner may bring to a port.

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN};
use http::request::Parts;
use http::{Method, StatusCode, Uri};

use crate::config::model::Writes;

/// The peer of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody over TCP.
    Network,
    /// A process of this gateway's own user, or root, over a unix socket: the user it runs as.
    Owner(u32),
    /// Somebody else over a unix socket: the user.
    Other(u32),
}

/// What an endpoint of the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Gets a page that says nothing of this gateway, and asks for the token itself.
    Page,
    /// Looks.
    Read,
    /// Changes what needs at least this.
    Write(Writes),
}

/// Why a request is refused.
pub(super) type Refusal = (StatusCode, &'static str);

/// Checks a request. `token` is the configured token, if there is one.
pub(super) fn check(
    request: &Parts,
    caller: Caller,
    token: Option<&[u8]>,
    act: Act,
    writes: Writes,
) -> Result<(), Refusal> {
    let Parts { method, uri, headers, .. } = request;
    browser(method, headers)?;
    if act == Act::Page && token.is_some() {
        return Ok(());
    }
    let has_token = token.is_some_and(|token| presents(headers, token));
    match (caller, token) {
        (_, Some(_)) if has_token => {}
        (Caller::Owner(_), _) => own_host(uri, headers, false)?,
        (_, Some(_)) => {
            return Err((StatusCode::UNAUTHORIZED, "this needs the token: Authorization: Bearer ..\n"));
        }
        (Caller::Other(_), None) => {
            return Err((StatusCode::FORBIDDEN, "only the owner of the socket may use it\n"));
        }
        (Caller::Network, None) => own_host(uri, headers, true)?,
    }
    match act {
        Act::Write(needed) if writes < needed => Err((StatusCode::FORBIDDEN, "`admin.writes` does not allow this\n")),
        Act::Page | Act::Read | Act::Write(_) => Ok(()),
    }
}

/// Refuses requests that a browser sends for a foreign page. A cross-origin POST with this content type needs a
/// preflight, and the API never permits one. A repeated field is refused.
fn browser(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    let host = only(headers, HOST)?.unwrap_or_default();
    // The admin API itself speaks no TLS, but what is in front of it may: the same host is the same site.
    let is_own = |origin: &str| {
        let bare = origin.strip_prefix("http://");
        let bare = bare.or_else(|| origin.strip_prefix("https://"));
        bare.is_some_and(|bare| bare.eq_ignore_ascii_case(host))
    };
    let foreign = only(headers, ORIGIN)?.is_some_and(|origin| !is_own(origin));
    let cross = only(headers, FETCH_SITE)?.is_some_and(|site| !matches!(site, "same-origin" | "none"));
    if foreign || cross {
        return Err((StatusCode::FORBIDDEN, "not for other sites\n"));
    }
    let json = only(headers, CONTENT_TYPE)?.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    });
    if *method == Method::POST && !json {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "a POST needs `content-type: application/json`\n"));
    }
    Ok(())
}

/// The only value of a field. More than one is refused, because another reader might use the other value.
fn only(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (first, None) => Ok(first.map(|value| value.to_str().unwrap_or("?"))),
        _ => Err((StatusCode::FORBIDDEN, "a field is there twice\n")),
    }
}

/// Only addresses and `localhost` are accepted, because an attacker's DNS may point any other name at this machine. No
/// browser leaves the host out; where it `is_needed` nobody may.
fn own_host(uri: &Uri, headers: &HeaderMap, is_needed: bool) -> Result<(), Refusal> {
    let is_ours = |authority: &str| {
        // `evil:80@127.0.0.1` names the user `evil`, and to other eyes the host.
        let Some(authority) = Some(authority).filter(|text| !text.contains('@')) else {
            return false;
        };
        let Ok(authority) = authority.parse::<http::uri::Authority>() else {
            return false;
        };
        let host = authority.host();
        host.eq_ignore_ascii_case("localhost") || crate::host::address(host).is_some()
    };
    let target = uri.authority().is_none_or(|authority| is_ours(authority.as_str()));
    if target && only(headers, HOST)?.map_or(!is_needed, is_ours) {
        Ok(())
    } else {
        Err((StatusCode::FORBIDDEN, "the host must be an address or localhost\n"))
    }
}

/// Whether the request carries this token. Takes the same time wherever the first difference is.
fn presents(headers: &HeaderMap, token: &[u8]) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let value = value.as_bytes();
    let Some((scheme, given)) = value.split_at_checked(BEARER.len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(BEARER) && same(given.trim_ascii(), token)
}

fn same(given: &[u8], token: &[u8]) -> bool {
    // An empty token would let every client in.
    if token.is_empty() {
        return false;
    }
    // Every byte given is compared, with the token repeated as often as it takes: only the caller's own length shows.
    let pairs = given.iter().zip(token.iter().cycle());
    let different = pairs.fold(0_u8, |sum, (a, b)| std::hint::black_box(sum | (a ^ b)));
    std::hint::black_box(different) == 0 && given.len() == token.len()
}

const BEARER: &[u8] = b"Bearer ";
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &[u8] = b"0123456789abcdef";

    fn verdict(method: &str, fields: &[(&str, &str)], caller: Caller, token: Option<&[u8]>, writes: Writes) -> u16 {
        let (mut request, ()) = http::Request::new(()).into_parts();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            request.headers.append(name, value.parse().unwrap());
        }
        request.method = method.parse().unwrap();
        request.uri = Uri::from_static("/reload");
        let act = if request.method == Method::POST { Act::Write(Writes::Rollouts) } else { Act::Read };
        match check(&request, caller, token, act, writes) {
            Ok(()) => 200,
            Err((status, _)) => status.as_u16(),
        }
    }

    #[test]
    fn a_page_without_facts_needs_no_token_and_is_not_for_other_sites() {
        for (fields, token, expected) in [
            (&[("host", "127.0.0.1:9901")][..], None, 200),
            (&[("host", "evil.example")], None, 403),
            (&[("host", "attache.ops.svc")], Some(TOKEN), 200),
            (&[("host", "127.0.0.1:9901"), ("sec-fetch-site", "cross-site")], Some(TOKEN), 403),
        ] {
            let mut request = http::Request::get("/dashboard");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let (request, ()) = request.body(()).unwrap().into_parts();
            let outcome = check(&request, Caller::Network, token, Act::Page, Writes::None);
            assert_eq!(outcome.map_or_else(|(status, _)| status.as_u16(), |()| 200), expected, "{fields:?}");
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table of cases is as long as it has to be")]
    fn who_may_do_what() {
        let host = ("host", "127.0.0.1:9901");
        let json = ("content-type", "application/json; charset=utf-8");
        let bearer = ("authorization", "bearer 0123456789abcdef");
        let wrong = ("authorization", "Bearer 0123456789abcdeX");
        let twice = ("authorization", "Bearer 0123456789abcdef0123456789abcdef");
        let none = ("authorization", "Bearer ");
        let page = ("origin", "https://evil.example");
        let own = ("origin", "http://127.0.0.1:9901");
        let (rebound, from_rebound) = (("host", "evil.example:9901"), ("origin", "http://evil.example:9901"));
        let same_origin = ("sec-fetch-site", "same-origin");
        use Caller::Network;
        let (other, owner) = (Caller::Other(7), Caller::Owner(1));
        use Writes::{All, None as Nothing, Rollouts};
        for (method, fields, caller, token, writes, expected, why) in [
            ("GET", vec![host], Network, None, Nothing, 200, "local reading"),
            ("POST", vec![host, json], Network, None, Rollouts, 200, "local command"),
            ("POST", vec![host, json], Network, None, All, 200, "more than needed"),
            ("POST", vec![host, json], Network, None, Nothing, 403, "not allowed"),
            ("POST", vec![host], Network, None, All, 415, "a form could send it"),
            ("POST", vec![host, ("content-type", "text/plain")], Network, None, All, 415, "so could this"),
            ("POST", vec![host, json, page], Network, None, All, 403, "another site"),
            ("POST", vec![host, json, own], Network, None, All, 200, "our own page"),
            ("POST", vec![host, json, own, page], Network, None, All, 403, "a second origin"),
            (
                "POST",
                vec![host, json, ("origin", "https://127.0.0.1:9901")],
                Network,
                None,
                All,
                200,
                "our own page behind TLS",
            ),
            ("POST", vec![host, json, ("origin", "null")], Network, None, All, 403, "a page without an origin"),
            (
                "POST",
                vec![host, json, ("content-type", "text/plain")],
                Network,
                None,
                All,
                403,
                "a second content type",
            ),
            (
                "GET",
                vec![host, ("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
                Network,
                None,
                All,
                403,
                "a second site",
            ),
            ("GET", vec![("host", "evil:80@127.0.0.1")], Network, None, All, 403, "a user in the host"),
            ("GET", vec![("host", "evil@localhost:9901")], Network, None, All, 403, "a user in the host"),
            ("GET", vec![host, wrong, bearer], Network, Some(TOKEN), All, 401, "two tokens"),
            ("GET", vec![host, ("sec-fetch-site", "cross-site")], Network, None, All, 403, "another site"),
            ("GET", vec![host, ("sec-fetch-site", "none")], Network, None, All, 200, "typed in"),
            ("GET", vec![("host", "evil.example:9901")], Network, None, All, 403, "a name that leads here"),
            ("GET", vec![("host", "localhost.evil.example")], Network, None, All, 403, "nearly"),
            ("GET", vec![("host", "localhost:9901")], Network, None, All, 200, "a name of ours"),
            ("GET", vec![("host", "[::1]:9901")], Network, None, All, 200, "an address"),
            ("GET", vec![], Network, None, All, 403, "no host"),
            ("GET", vec![host, ("host", "localhost")], Network, None, All, 403, "two hosts"),
            ("GET", vec![host], Network, Some(TOKEN), All, 401, "no token"),
            ("GET", vec![host, wrong], Network, Some(TOKEN), All, 401, "another token"),
            ("GET", vec![host, twice], Network, Some(TOKEN), All, 401, "the token twice"),
            ("GET", vec![host, none], Network, Some(TOKEN), All, 401, "nothing"),
            ("GET", vec![host, none], Network, Some(&[]), All, 401, "nothing is no token"),
            ("GET", vec![("host", "attache.ops.svc"), bearer], Network, Some(TOKEN), All, 200, "a page has no token"),
            ("GET", vec![], owner, Some(TOKEN), All, 200, "the owner needs none"),
            (
                "GET",
                vec![("host", "localhost:9901")],
                owner,
                Some(TOKEN),
                All,
                200,
                "nor where he brought it to a port",
            ),
            ("GET", vec![("host", "[::1]:9901")], owner, None, All, 200, "or without a token"),
            ("GET", vec![("host", "evil.example:9901")], owner, Some(TOKEN), All, 403, "but a page may lead there"),
            ("POST", vec![rebound, json, from_rebound, same_origin], owner, None, All, 403, "as its own site"),
            ("GET", vec![rebound, bearer], owner, Some(TOKEN), All, 200, "a page has no token"),
            ("GET", vec![rebound, wrong], owner, Some(TOKEN), All, 403, "nor a good one"),
            ("POST", vec![json], owner, None, Nothing, 403, "and is bound by `writes`"),
            ("GET", vec![], other, None, All, 403, "not the owner"),
            ("GET", vec![bearer], other, Some(TOKEN), All, 200, "not the owner, with the token"),
            ("GET", vec![], other, Some(TOKEN), All, 401, "not the owner, without"),
        ] {
            assert_eq!(verdict(method, &fields, caller, token, writes), expected, "{why}");
        }
    }
}
