//! Whether a browser sends a request for a page of another site (cross-site request forgery). Browsers say so
//! themselves: `Sec-Fetch-Site` (Fetch Metadata), else `Origin`, else `Referer`. No page can forge these. What says
//! none of them comes from no browser of this decade. Pure.

use http::header::{COOKIE, ORIGIN, REFERER, UPGRADE};
use http::{HeaderMap, HeaderName, Method};

use crate::config::model::{Csrf, NULL, OriginPattern, is_among, serialised};
use crate::head::only_value;

/// Who sends a request, as far as a browser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// Changes nothing, or is sent by a page that may, or by no browser.
    Fine,
    /// A page that may not.
    Foreign,
}

/// Who sends a request. `own` gives the origin under which its client sees the gateway; `shared` are the origins of
/// other pages that may use the route.
#[must_use]
pub fn sender(
    settings: &Csrf,
    shared: &[OriginPattern],
    method: &Method,
    fields: &HeaderMap,
    own: impl FnOnce() -> String,
) -> Sender {
    if is_safe(method, fields) {
        return Sender::Fine;
    }
    let site = of_one(fields, &FETCH_SITE);
    // `none`: the user typed it in, or chose a bookmark.
    if matches!(site, Said::Once(b"same-origin" | b"none")) {
        return Sender::Fine;
    }
    let origin = match (of_one(fields, &ORIGIN), of_one(fields, &REFERER)) {
        (Said::Once(origin), _) => Some(origin.to_vec()),
        (Said::Never, Said::Once(page)) => origin_of(page),
        (Said::Never, Said::Never) if site == Said::Never => {
            let is_suspect = settings.cookies_need_origin && fields.contains_key(COOKIE);
            return if is_suspect { Sender::Foreign } else { Sender::Fine };
        }
        // A browser that hides the page, or somebody who wants it read in two ways.
        (Said::Often | Said::Never, _) => None,
    };
    let Some(origin) = origin else { return Sender::Foreign };
    let is_listed = is_among(&settings.origins, &origin)
        || shared.iter().any(|pattern| !pattern.is_everybody() && is_among(std::slice::from_ref(pattern), &origin));
    // Where a browser says that the page is another, it is not our own, whatever our name is.
    let is_own = || site == Said::Never && is_same(&origin, &own());
    if is_listed || is_own() { Sender::Fine } else { Sender::Foreign }
}

/// Methods that change nothing (RFC 9110 section 9.2.1). A WebSocket begins with GET, and browsers let any page open
/// one.
fn is_safe(method: &Method, fields: &HeaderMap) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) && !fields.contains_key(UPGRADE)
}

/// What a field says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said<'a> {
    Never,
    Once(&'a [u8]),
    /// Somebody wants it read in two ways.
    Often,
}

fn of_one<'a>(fields: &'a HeaderMap, name: &HeaderName) -> Said<'a> {
    match (only_value(fields, name), fields.contains_key(name)) {
        (Some(value), _) => Said::Once(value.as_bytes()),
        (None, true) => Said::Often,
        (None, false) => Said::Never,
    }
}

/// The origin of the page that a `Referer` names.
fn origin_of(page: &[u8]) -> Option<Vec<u8>> {
    let page = std::str::from_utf8(page).ok()?;
    let (scheme, rest) = page.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    serialised(&format!("{scheme}://{authority}")).map(|origin| origin.into_owned().into_bytes())
}

fn is_same(origin: &[u8], own: &str) -> bool {
    let origin = std::str::from_utf8(origin).ok().filter(|origin| *origin != NULL);
    matches!((origin.and_then(serialised), serialised(own)), (Some(origin), Some(own)) if origin == own)
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::LimitMode;

    fn judged(method: &Method, given: &[(&'static str, &str)], cookies_need_origin: bool) -> Sender {
        let listed = OriginPattern::Exact("https://partner.example".into());
        let settings = Csrf { origins: vec![listed], cookies_need_origin, mode: LimitMode::Enforce };
        let shared = [OriginPattern::Any, OriginPattern::Exact("https://app.example".into())];
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(*name, value.parse().unwrap());
        }
        sender(&settings, &shared, method, &fields, || "https://agents.example".to_owned())
    }

    #[test]
    fn who_may_send_what_changes_something() {
        use Sender::{Fine, Foreign};
        let (site, origin, page) = (
            |word: &'static str| ("sec-fetch-site", word),
            |origin: &'static str| ("origin", origin),
            |page: &'static str| ("referer", page),
        );
        let (own, evil) = ("https://agents.example", "https://evil.example");
        for (given, expected, why) in [
            (vec![], Fine, "an SDK"),
            (vec![("authorization", "Bearer x")], Fine, "an SDK with a token"),
            (vec![("cookie", "a=b")], Fine, "no browser"),
            (vec![site("same-origin"), origin(own)], Fine, "our own page"),
            (vec![site("same-origin"), origin("http://inside:8080")], Fine, "behind a proxy that changes the host"),
            (vec![site("none")], Fine, "typed in"),
            (vec![site("cross-site"), origin(evil)], Foreign, "another site"),
            (vec![site("same-site"), origin("https://x.agents.example")], Foreign, "a neighbour"),
            (vec![site("cross-site")], Foreign, "another site that hides its name"),
            (vec![site("cross-site"), origin("https://partner.example")], Fine, "listed"),
            (vec![site("cross-site"), origin("https://app.example")], Fine, "shared with by CORS"),
            (vec![site("cross-site"), origin(own)], Foreign, "cannot be"),
            (vec![site("same-origin"), site("cross-site")], Foreign, "says two things"),
            (vec![site("made-up"), origin(evil)], Foreign, "an unknown word"),
            (vec![origin(own)], Fine, "our own page in an older browser"),
            (vec![origin("https://agents.example:443")], Fine, "in another spelling"),
            (vec![origin("http://agents.example")], Foreign, "another scheme"),
            (vec![origin("https://agents.example:8443")], Foreign, "another port"),
            (vec![origin(evil)], Foreign, "another site"),
            (vec![origin("null")], Foreign, "a sandboxed frame"),
            (vec![origin(own), origin(evil)], Foreign, "two origins"),
            (vec![origin(evil), page("https://agents.example/x")], Foreign, "the origin counts"),
            (vec![page("https://agents.example/page?x")], Fine, "our own page"),
            (vec![page("https://partner.example")], Fine, "listed"),
            (vec![page("https://evil.example/agents.example")], Foreign, "another site"),
            (vec![page("https://agents.example@evil.example/")], Foreign, "a user in the host"),
            (vec![page("about:blank")], Foreign, "no origin"),
        ] {
            assert_eq!(judged(&Method::POST, &given, false), expected, "{why}: {given:?}");
        }
    }

    #[test]
    fn what_changes_nothing_passes_but_for_upgrades() {
        let cross = ("sec-fetch-site", "cross-site");
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            assert_eq!(judged(&method, &[cross], false), Sender::Fine, "{method}");
        }
        for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::from_bytes(b"LOCK").unwrap()] {
            assert_eq!(judged(&method, &[cross], false), Sender::Foreign, "{method}");
        }
        assert_eq!(judged(&Method::GET, &[cross, ("upgrade", "websocket")], false), Sender::Foreign);
    }

    #[test]
    fn cookies_can_need_an_origin() {
        let cookie = ("cookie", "session=1");
        assert_eq!(judged(&Method::POST, &[cookie], true), Sender::Foreign);
        assert_eq!(judged(&Method::POST, &[cookie, ("sec-fetch-site", "same-origin")], true), Sender::Fine);
        assert_eq!(judged(&Method::POST, &[], true), Sender::Fine, "nothing of a browser's own comes along");
    }
}
