//! Cross-origin resource sharing (Fetch standard, section "CORS protocol"): which request is a preflight, and the
//! fields by which answers tell a browser whose pages may read them. One place writes them, for the answers of agents,
//! of routes and of the gateway alike.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::config::model::{Cors, is_among};
use crate::head::only_value;

/// What a request is to the rules of browsers.
#[derive(Debug, Default)]
pub(super) enum Asks {
    /// Nothing that they ask about.
    #[default]
    Nothing,
    /// A preflight, before a request of its route.
    Leave,
    /// A preflight, before a request of another route.
    LeaveElsewhere,
}

/// The method that a preflight asks for; `None` where the request is none.
pub(super) fn asked_method(method: &Method, fields: &HeaderMap) -> Option<Method> {
    if *method != Method::OPTIONS || !fields.contains_key(ORIGIN) {
        return None;
    }
    let wanted = only_value(fields, &ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(wanted.as_bytes()).ok()
}

/// What `Access-Control-Allow-Origin` says to this request; `None` where its page may not use the route, or where it
/// names none.
pub(super) fn allowed_origin(cors: &Cors, fields: &HeaderMap) -> Option<HeaderValue> {
    let origin = only_value(fields, &ORIGIN)?;
    if cors.is_open {
        return Some(EVERYBODY);
    }
    is_among(&cors.origins, origin.as_bytes()).then(|| origin.clone())
}

/// Says whose pages may read this answer. What an agent says of that is replaced, `Vary` is added to.
pub(super) fn share(fields: &mut HeaderMap, cors: &Cors, allowed: Option<HeaderValue>) {
    withdraw(fields);
    vary(fields, cors, &[ORIGIN]);
    let Some(allowed) = allowed else { return };
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.credentials {
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }
    if let Some(exposed) = &cors.exposed {
        fields.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
    }
}

/// The fields of the answer to a preflight. `asked` are those of the request.
pub(super) fn grant(fields: &mut HeaderMap, cors: &Cors, allowed: HeaderValue, asked: &HeaderMap) {
    fields.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
    if cors.credentials {
        fields.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }
    fields.insert(ACCESS_CONTROL_ALLOW_METHODS, cors.methods.clone());
    if let Some(headers) = &cors.headers {
        fields.insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
    }
    fields.insert(ACCESS_CONTROL_MAX_AGE, cors.max_age.clone());
    if cors.private_network && only_value(asked, &REQUEST_PRIVATE_NETWORK).is_some_and(|value| value == TRUE) {
        fields.insert(ALLOW_PRIVATE_NETWORK, TRUE);
    }
    vary(fields, cors, &[ORIGIN, ACCESS_CONTROL_REQUEST_METHOD, ACCESS_CONTROL_REQUEST_HEADERS]);
}

/// Takes out what an agent says about other origins.
fn withdraw(fields: &mut HeaderMap) {
    let foreign = |name: &HeaderName| name.as_str().starts_with("access-control-");
    if fields.keys().any(foreign) {
        let names: Vec<_> = fields.keys().filter(|name| foreign(name)).cloned().collect();
        names.into_iter().for_each(|name| drop(fields.remove(name)));
    }
}

/// Says that the answer is another for other values of these fields (RFC 9110 section 12.5.5), unless it is the same
/// for all.
fn vary(fields: &mut HeaderMap, cors: &Cors, names: &[HeaderName]) {
    if cors.is_open {
        return;
    }
    for name in names {
        let is_said = fields.get_all(VARY).iter().any(|value| says(value, name));
        if !is_said {
            fields.append(VARY, HeaderValue::from(name.clone()));
        }
    }
}

fn says(vary: &HeaderValue, name: &HeaderName) -> bool {
    let tokens = vary.to_str().unwrap_or_default().split(',').map(str::trim);
    tokens.into_iter().any(|token| token == "*" || token.eq_ignore_ascii_case(name.as_str()))
}

const EVERYBODY: HeaderValue = HeaderValue::from_static("*");
const TRUE: HeaderValue = HeaderValue::from_static("true");
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::OriginPattern;

    fn cors(origins: Vec<OriginPattern>, credentials: bool) -> Cors {
        Cors {
            is_open: !credentials && matches!(origins.as_slice(), [OriginPattern::Any]),
            origins,
            credentials,
            methods: HeaderValue::from_static("GET, POST"),
            headers: Some(HeaderValue::from_static("content-type")),
            exposed: None,
            max_age: HeaderValue::from_static("600"),
            private_network: true,
        }
    }

    fn one() -> Vec<OriginPattern> {
        vec![OriginPattern::Exact("https://app.example".into())]
    }

    fn fields(given: &[(&'static str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in given {
            fields.append(*name, value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn a_preflight_is_known_by_its_fields() {
        let (origin, wants) = (("origin", "https://a"), ("access-control-request-method", "PATCH"));
        for (method, given, expected) in [
            (Method::OPTIONS, vec![origin, wants], Some("PATCH")),
            (Method::OPTIONS, vec![origin], None),
            (Method::OPTIONS, vec![wants], None),
            (Method::OPTIONS, vec![origin, wants, wants], None),
            (Method::OPTIONS, vec![origin, ("access-control-request-method", "a b")], None),
            (Method::POST, vec![origin, wants], None),
        ] {
            let found = asked_method(&method, &fields(&given));
            assert_eq!(found.as_ref().map(Method::as_str), expected, "{method} {given:?}");
        }
    }

    #[test]
    fn the_origin_that_may_is_named() {
        for (cors, given, expected) in [
            (cors(one(), true), vec!["https://app.example"], Some("https://app.example")),
            (cors(one(), true), vec!["https://other.example"], None),
            (cors(one(), true), vec!["https://app.example", "https://app.example"], None),
            (cors(one(), true), vec![], None),
            (cors(vec![OriginPattern::Any], false), vec!["https://other.example"], Some("*")),
            (cors(vec![OriginPattern::Any], false), vec!["null"], Some("*")),
            (cors(vec![OriginPattern::Any], false), vec![], None),
        ] {
            let given: Vec<_> = given.into_iter().map(|origin| ("origin", origin)).collect();
            let found = allowed_origin(&cors, &fields(&given));
            assert_eq!(found.as_ref().map(|value| value.to_str().unwrap()), expected, "{given:?}");
        }
    }

    #[test]
    fn what_an_agent_says_is_replaced_and_vary_is_added_to() {
        let mut answer = fields(&[
            ("access-control-allow-origin", "*"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "x-secret"),
            ("vary", "Accept-Encoding"),
        ]);
        share(&mut answer, &cors(one(), false), None);
        assert!(!answer.keys().any(|name| name.as_str().starts_with("access-control-")), "{answer:?}");
        let vary: Vec<_> = answer.get_all(VARY).iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, ["Accept-Encoding", "origin"]);
        for already in ["accept, ORIGIN", "*"] {
            let mut answer = fields(&[("vary", already)]);
            share(&mut answer, &cors(one(), false), None);
            assert_eq!(answer.get_all(VARY).iter().count(), 1, "{already}");
        }
        let mut answer = HeaderMap::new();
        share(&mut answer, &cors(vec![OriginPattern::Any], false), Some(EVERYBODY));
        assert!(!answer.contains_key(VARY), "the same for everybody");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    }

    #[test]
    fn a_private_network_is_granted_when_asked_for() {
        for (asked, expected) in [(vec![("access-control-request-private-network", "true")], true), (vec![], false)] {
            let mut answer = HeaderMap::new();
            grant(&mut answer, &cors(one(), true), HeaderValue::from_static("https://app.example"), &fields(&asked));
            assert_eq!(answer.contains_key(ALLOW_PRIVATE_NETWORK), expected, "{asked:?}");
        }
    }
}
