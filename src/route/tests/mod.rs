//! Tests of the whole room: the builders they share.

mod cases;
mod model;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::{BodyTenant, Facts, Table};
use crate::config::model::{
    Action, HeadLimit, HeaderChanges, HeaderMatch, HostPattern, ListenerId, Match, PathMatch, QueryMatch, Respond,
    RetryPolicy, Route, RouteTracing, Streaming, UpstreamHost, ValueMatch,
};

const HERE: ListenerId = ListenerId(0);

fn route(name: &str, hosts: Vec<HostPattern>, matches: Vec<Match>) -> Route {
    let content_type = HeaderValue::from_static("text/plain");
    Route {
        name: name.to_owned(),
        listeners: vec![HERE],
        public_url: None,
        hosts,
        matches,
        action: Action::Respond(Respond { status: StatusCode::OK, body: Bytes::new(), content_type }),
        rewrite: None,
        map_location: true,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        authorization: Vec::new(),
        screening: None,
        upstream_host: UpstreamHost::Preserve,
        timeout: None,
        response_head_timeout: HeadLimit::Default,
        retries: RetryPolicy::Default,
        streaming: Streaming { idle_timeout: None, max_duration: None },
        websocket: false,
        max_body_bytes: None,
        auth: None,
        rate_limits: Vec::new(),
        calls: Vec::new(),
        concurrency: None,
        access_log: true,
        tracing: RouteTracing::Default,
        a2a: None,
        card_key: None,
        fault: None,
        ip_access: None,
        cors: None,
        csrf: None,
        mirror: None,
    }
}

fn on(path: PathMatch) -> Match {
    Match { path, methods: Vec::new(), headers: Vec::new(), query: Vec::new(), tenant: None }
}

fn exact(path: &str) -> PathMatch {
    PathMatch::Exact(path.to_owned())
}

fn prefix(path: &str) -> PathMatch {
    PathMatch::Prefix(path.trim_end_matches('/').to_owned())
}

fn regex(pattern: &str) -> PathMatch {
    PathMatch::Regex(regex::Regex::new(&format!("^(?:{pattern})$")).unwrap())
}

fn host(pattern: &str) -> HostPattern {
    match pattern.strip_prefix("*.") {
        Some(suffix) => HostPattern::Wildcard(suffix.to_owned()),
        None => HostPattern::Exact(pattern.to_owned()),
    }
}

fn header(name: &'static str, value: &str) -> HeaderMatch {
    HeaderMatch { name: HeaderName::from_static(name), value: ValueMatch::Exact(value.to_owned()) }
}

fn query(name: &str, value: &str) -> QueryMatch {
    QueryMatch { name: name.to_owned(), value: ValueMatch::Exact(value.to_owned()) }
}

/// A request in owned parts.
#[derive(Clone, Debug)]
struct Request {
    host: String,
    path: String,
    query: Option<String>,
    method: Method,
    headers: HeaderMap,
}

impl Request {
    fn get(host: &str, path: &str) -> Self {
        let (host, path) = (host.to_owned(), path.to_owned());
        Self { host, path, query: None, method: Method::GET, headers: HeaderMap::new() }
    }

    fn facts(&self) -> Facts<'_> {
        let query = self.query.as_deref();
        Facts {
            host: &self.host,
            path: &self.path,
            query,
            method: &self.method,
            headers: &self.headers,
            body_tenant: BodyTenant::default(),
        }
    }
}

fn name_found(routes: &[Route], request: &Request) -> Option<String> {
    let found = Table::build(routes).find(HERE, &request.facts())?;
    Some(routes[found.route.0].name.clone())
}
