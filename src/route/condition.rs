//! The facts of a request that routes match on, and the conditions of one alternative beyond host and path: method,
//! headers, query. Nothing here allocates unless a regular expression has to look at an encoded query value.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use http::{HeaderMap, HeaderName, Method};

use super::path_match::canonical_path;
use crate::a2a::tenant_of_path;
use crate::config::model::{HeaderMatch, Match, PathMatch, QueryMatch, RouteId, TenantMatch, ValueMatch};
use crate::head::only_value;

/// What a request is matched on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Host in the form [`host_of`](super::host_of) gives it; empty when the request names none.
    pub host: &'a str,
    /// Path in the form [`normalise`](super::normalise) gives it.
    pub path: &'a str,
    /// Query without the question mark, as it came.
    pub query: Option<&'a str>,
    /// Method.
    pub method: &'a Method,
    /// Header fields.
    pub headers: &'a HeaderMap,
    /// The tenant that the body names.
    pub body_tenant: BodyTenant<'a>,
}

/// The tenant that the body of a call names, as far as somebody has looked.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyTenant<'a> {
    /// The tenant.
    pub named: Option<&'a str>,
    /// Set when an alternative is passed over only because nothing names a tenant: it is worth a look then.
    pub is_missed: Option<&'a Cell<bool>>,
}

/// The first thing that kept a request from matching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// The route serves other hosts.
    Host,
    /// The path is another.
    Path,
    /// The method is not among those given.
    Method,
    /// This header field is missing or has another value.
    Header(HeaderName),
    /// This query parameter is missing or has another value.
    Query(String),
    /// The tenant is not named or another.
    Tenant,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("the host differs"),
            Self::Path => f.write_str("the path differs"),
            Self::Method => f.write_str("the method differs"),
            Self::Header(name) => write!(f, "the header {name} is missing or differs"),
            Self::Query(name) => write!(f, "the query parameter {name} is missing or differs"),
            Self::Tenant => f.write_str("the tenant is not named or differs"),
        }
    }
}

/// The conditions of an alternative beyond host and path. Small, because with thousands of routes it is one of the few
/// cold cache lines that a request touches.
#[derive(Debug)]
pub(super) struct Conditions {
    /// The route it belongs to.
    pub(super) route: RouteId,
    /// Its position in the route's list.
    pub(super) matched: usize,
    methods: Box<[Method]>,
    headers: Box<[HeaderMatch]>,
    query: Box<[QueryMatch]>,
    tenant: Option<Box<TenantCondition>>,
}

/// A condition on the tenant, with the path under which the agents of its route are reached.
#[derive(Debug)]
struct TenantCondition {
    wanted: TenantMatch,
    base: Box<str>,
}

impl Conditions {
    pub(super) fn new(route: RouteId, matched: usize, alternative: &Match) -> Self {
        Self {
            route,
            matched,
            methods: alternative.methods.as_slice().into(),
            headers: alternative.headers.as_slice().into(),
            query: alternative.query.as_slice().into(),
            tenant: alternative.tenant.as_ref().map(|wanted| Box::new(TenantCondition::new(wanted, &alternative.path))),
        }
    }

    /// Whether all of them hold.
    pub(super) fn hold(&self, facts: &Facts<'_>) -> bool {
        self.method_holds(facts)
            && self.headers.iter().all(|wanted| wanted.holds(facts.headers))
            && self.query.iter().all(|wanted| query_holds(wanted, facts.query))
            && self.tenant.as_ref().is_none_or(|wanted| wanted.holds(facts))
    }

    /// The first that does not hold.
    pub(super) fn miss(&self, facts: &Facts<'_>) -> Option<Miss> {
        if !self.method_holds(facts) {
            return Some(Miss::Method);
        }
        if let Some(wanted) = self.headers.iter().find(|wanted| !wanted.holds(facts.headers)) {
            return Some(Miss::Header(wanted.name.clone()));
        }
        if let Some(wanted) = self.query.iter().find(|wanted| !query_holds(wanted, facts.query)) {
            return Some(Miss::Query(wanted.name.clone()));
        }
        self.tenant.as_ref().filter(|wanted| !wanted.holds(facts)).map(|_| Miss::Tenant)
    }

    /// Sorts before the alternatives that ask for less on the same path: a method, then more headers, then more query
    /// parameters (Gateway API), then a tenant.
    pub(super) fn rank(&self) -> impl Ord + use<> {
        use std::cmp::Reverse;
        (
            Reverse(!self.methods.is_empty()),
            Reverse(self.headers.len()),
            Reverse(self.query.len()),
            self.tenant.is_none(),
        )
    }

    fn method_holds(&self, facts: &Facts<'_>) -> bool {
        self.methods.is_empty() || self.methods.contains(facts.method)
    }
}

impl TenantCondition {
    fn new(wanted: &TenantMatch, path: &PathMatch) -> Self {
        Self { wanted: wanted.clone(), base: canonical_path(path).base().into() }
    }

    /// As it is for the call itself, the header counts before the path, and the path before the body.
    fn holds(&self, facts: &Facts<'_>) -> bool {
        let TenantMatch { header, value } = &self.wanted;
        match header.as_ref().and_then(|name| only_value(facts.headers, name)) {
            Some(named) => value.fits(named.as_bytes()),
            None => {
                let of_path = tenant_of_path(facts.method, facts.path, &self.base);
                match of_path.as_deref().or(facts.body_tenant.named) {
                    Some(named) => value.fits(named.as_bytes()),
                    None => {
                        facts.body_tenant.is_missed.inspect(|is_missed| is_missed.set(true));
                        false
                    }
                }
            }
        }
    }
}

/// The first occurrence of the parameter decides, as in the Gateway API.
fn query_holds(wanted: &QueryMatch, query: Option<&str>) -> bool {
    let Some(value) = query.and_then(|query| first_value(query, &wanted.name)) else {
        return false;
    };
    match &wanted.value {
        ValueMatch::Exact(text) => decoded(value).eq(text.bytes()),
        ValueMatch::Prefix(text) => {
            let mut bytes = decoded(value);
            text.bytes().all(|wanted| bytes.next() == Some(wanted))
        }
        ValueMatch::Regex(regex) => decode(value).is_some_and(|value| regex.is_match(&value)),
        ValueMatch::Present => true,
    }
}

/// The raw value of the first parameter of this (decoded) name; empty when it has no `=`.
fn first_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find_map(|(key, value)| decoded(key).eq(name.bytes()).then_some(value))
}

/// The bytes of `text` with its percent triplets decoded. A broken triplet stays as it is; `+` is a plus sign (RFC
/// 3986), because the gateway cannot know that a query is a form.
fn decoded(text: &str) -> impl Iterator<Item = u8> {
    let mut bytes = text.bytes();
    std::iter::from_fn(move || {
        let byte = bytes.next()?;
        if byte != b'%' {
            return Some(byte);
        }
        let mut ahead = bytes.clone();
        let Some(value) = super::path::triplet(ahead.next(), ahead.next()) else {
            return Some(byte);
        };
        bytes = ahead;
        Some(value)
    })
}

/// Decoded text, or none when it is not UTF-8.
fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    String::from_utf8(decoded(text).collect()).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn regex(pattern: &str) -> ValueMatch {
        ValueMatch::Regex(regex::Regex::new(&format!("^(?:{pattern})$")).unwrap())
    }

    #[test]
    fn query_conditions() {
        let exact = |text: &str| ValueMatch::Exact(text.to_owned());
        let cases = [
            (Some("v=1"), exact("1"), true),
            (Some("a=b&v=1"), exact("1"), true),
            (Some("v=2&v=1"), exact("1"), false),
            (Some("v=1&v=2"), exact("1"), true),
            (Some("%76=%31"), exact("1"), true),
            (Some("v=a%20b"), exact("a b"), true),
            (Some("v=a+b"), exact("a b"), false),
            (Some("v=a+b"), exact("a+b"), true),
            (Some("v=%zz"), exact("%zz"), true),
            (Some("v=%2"), exact("%2"), true),
            (Some("v=%"), exact("%"), true),
            (Some("v=%25%32%35"), exact("%25"), true),
            (Some("v"), exact(""), true),
            (Some("V=1"), exact("1"), false),
            (Some("v=A"), exact("a"), false),
            (Some("w=1"), exact("1"), false),
            (Some(""), exact("1"), false),
            (None, exact("1"), false),
            (None, ValueMatch::Present, false),
            (Some("v"), ValueMatch::Present, true),
            (Some("vv"), ValueMatch::Present, false),
            (Some("v=abc"), ValueMatch::Prefix("ab".to_owned()), true),
            (Some("v=%61bc"), ValueMatch::Prefix("ab".to_owned()), true),
            (Some("v=a"), ValueMatch::Prefix("ab".to_owned()), false),
            (Some("v=a%62c"), regex("[a-c]+"), true),
            (Some("v=abcd"), regex("[a-c]+"), false),
            (Some("v=%ff"), regex(".*"), false),
            (Some("v=a=b"), exact("a=b"), true),
        ];
        for (query, value, expected) in cases {
            let wanted = QueryMatch { name: "v".to_owned(), value };
            assert_eq!(query_holds(&wanted, query), expected, "{query:?} against {wanted:?}");
        }
    }

    #[test]
    fn tenant_conditions() {
        let (get, post) = (Method::GET, Method::POST);
        let header = HeaderName::from_static("x-tenant");
        for (named, method, path, base, fields, expected) in [
            (None, &get, "/acme/tasks/1", "/", &[][..], true),
            (None, &get, "/acme/tasks/1", "/agents", &[], false),
            (None, &get, "/agents/acme/tasks/1", "/agents", &[], true),
            (None, &get, "/agents/tasks/1", "/agents", &[], false),
            (None, &post, "/acme/tasks/1", "/", &[], false),
            (None, &post, "/acme/message:send", "/", &["other"], true),
            (Some(&header), &post, "/acme/message:send", "/", &["other"], false),
            (Some(&header), &post, "/acme/message:send", "/", &[], true),
            (Some(&header), &get, "/", "/", &["acme"], true),
            (Some(&header), &get, "/", "/", &["acme", "acme"], false),
            (Some(&header), &get, "/", "/", &[""], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in fields {
                headers.append("x-tenant", HeaderValue::from_static(value));
            }
            let wanted = TenantMatch { header: named.cloned(), value: ValueMatch::Exact("acme".to_owned()) };
            let condition = TenantCondition::new(&wanted, &PathMatch::Prefix(base.to_owned()));
            let facts =
                Facts { host: "", path, query: None, method, headers: &headers, body_tenant: BodyTenant::default() };
            assert_eq!(condition.holds(&facts), expected, "{method} {path} below {base} with {fields:?}");
        }
    }

    #[test]
    fn header_conditions() {
        let mut headers = HeaderMap::new();
        headers.append("x-version", HeaderValue::from_static("one"));
        headers.append("x-version", HeaderValue::from_static("two"));
        headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
        let cases = [
            ("x-version", ValueMatch::Exact("one".to_owned()), true),
            ("x-version", ValueMatch::Exact("two".to_owned()), true),
            ("x-version", ValueMatch::Exact("One".to_owned()), false),
            ("x-version", ValueMatch::Exact("one, two".to_owned()), false),
            ("x-version", ValueMatch::Prefix("tw".to_owned()), true),
            ("x-version", ValueMatch::Prefix("th".to_owned()), false),
            ("x-version", regex("t.o"), true),
            ("x-version", regex("t"), false),
            ("x-version", ValueMatch::Present, true),
            ("x-other", ValueMatch::Present, false),
            ("x-bytes", regex(".*"), false),
            ("x-bytes", ValueMatch::Present, true),
        ];
        for (name, value, expected) in cases {
            let wanted = HeaderMatch { name: HeaderName::from_static(name), value };
            assert_eq!(wanted.holds(&headers), expected, "{wanted:?}");
        }
    }
}
