//! What a route match costs, with few and with many routes. The request always hits the route that comes last.

#![allow(clippy::expect_used, reason = "a bench that cannot be set up has to stop")]
#![allow(clippy::semicolon_if_nothing_returned, reason = "the result is what keeps the work from being left out")]
#![allow(missing_docs, reason = "the macro of criterion writes a function without them")]

use std::hint::black_box;

use attache::config::model::{
    Action, HeadLimit, HeaderChanges, HeaderMatch, HostPattern, ListenerId, Match, PathMatch, PathPolicy, Respond,
    RetryPolicy, Route, RouteTracing, Streaming, UpstreamHost, ValueMatch,
};
use attache::route::{BodyTenant, Facts, Table, host_of, normalise};
use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regex::Regex;

const HOST: &str = "agents.example";

fn prefix(at: usize) -> PathMatch {
    PathMatch::Prefix(format!("/api/v1/agent-{at}"))
}

fn route(at: usize, host: &str, matched: Match) -> Route {
    let content_type = HeaderValue::from_static("text/plain");
    Route {
        name: format!("route-{at:05}"),
        listeners: vec![ListenerId(0)],
        public_url: None,
        hosts: vec![HostPattern::Exact(host.to_owned())],
        matches: vec![matched],
        action: Action::Respond(Respond { status: StatusCode::OK, body: Bytes::new(), content_type }),
        rewrite: None,
        map_location: true,
        request_headers: HeaderChanges::default(),
        response_headers: HeaderChanges::default(),
        upstream_host: UpstreamHost::Preserve,
        timeout: None,
        response_head_timeout: HeadLimit::Default,
        retries: RetryPolicy::Default,
        streaming: Streaming { idle_timeout: None, max_duration: None },
        websocket: false,
        max_body_bytes: None,
        rate_limits: Vec::new(),
        calls: Vec::new(),
        concurrency: None,
        auth: None,
        ip_access: None,
        cors: None,
        csrf: None,
        authorization: Vec::new(),
        screening: None,
        access_log: true,
        tracing: RouteTracing::Default,
        a2a: None,
        card_key: None,
        fault: None,
        mirror: None,
    }
}

fn on(path: PathMatch) -> Match {
    Match { path, methods: Vec::new(), headers: Vec::new(), query: Vec::new(), tenant: None }
}

fn table(count: usize, route_at: impl Fn(usize) -> Route) -> Table {
    let routes: Vec<_> = (0..count).map(route_at).collect();
    Table::build(&routes)
}

fn find(c: &mut Criterion, name: &str, table: &Table, host: &str, path: &str, headers: &HeaderMap) {
    let facts = Facts { host, path, query: None, method: &Method::POST, headers, body_tenant: BodyTenant::default() };
    assert!(table.find(ListenerId(0), &facts).is_some(), "{name} finds its route");
    c.bench_function(name, |b| b.iter(|| table.find(ListenerId(0), black_box(&facts))));
}

/// Every route once, in turn, so that little of the table is still in the processor's caches when it is needed.
fn in_turn(c: &mut Criterion, name: &str, table: &Table, paths: &[String]) {
    let headers = HeaderMap::new();
    let mut paths = paths.iter().cycle();
    c.bench_function(name, |b| {
        b.iter(|| {
            let path = paths.next().map_or("/", String::as_str);
            let facts = Facts {
                host: HOST,
                path,
                query: None,
                method: &Method::POST,
                headers: &headers,
                body_tenant: BodyTenant::default(),
            };
            table.find(ListenerId(0), black_box(&facts))
        });
    });
}

fn matching(c: &mut Criterion) {
    for count in [10, 10_000] {
        paths(c, count);
        hosts(c, count);
        headers(c, count);
    }
    for count in [1, 100] {
        regexes(c, count);
    }
}

fn paths(c: &mut Criterion, count: usize) {
    let last = count - 1;
    let headers = HeaderMap::new();
    let prefixes = table(count, |at| route(at, HOST, on(prefix(at))));
    let path = format!("/api/v1/agent-{last}/message:send");
    find(c, &format!("prefix, {count} routes"), &prefixes, HOST, &path, &headers);

    // A prime step visits all of them and leaves no two neighbours next to each other.
    let order = (0..count).map(|at| at * 7919 % count);
    let paths: Vec<_> = order.map(|at| format!("/api/v1/agent-{at}/message:send")).collect();
    in_turn(c, &format!("prefix in turn, {count} routes"), &prefixes, &paths);

    let exacts = table(count, |at| route(at, HOST, on(PathMatch::Exact(format!("/api/v1/agent-{at}")))));
    let path = format!("/api/v1/agent-{last}");
    find(c, &format!("exact, {count} routes"), &exacts, HOST, &path, &headers);
}

fn hosts(c: &mut Criterion, count: usize) {
    let hosts = table(count, |at| route(at, &format!("agent-{at}.example"), on(prefix(0))));
    let host = format!("agent-{}.example", count - 1);
    find(c, &format!("host, {count} routes"), &hosts, &host, "/api/v1/agent-0/x", &HeaderMap::new());
}

fn headers(c: &mut Criterion, count: usize) {
    let mut headers = HeaderMap::new();
    headers.insert("a2a-version", HeaderValue::from_static("1.0"));
    headers.insert("x-tenant", HeaderValue::from_static("acme"));
    let wanted = |name: &'static str, value: &str| HeaderMatch {
        name: HeaderName::from_static(name),
        value: ValueMatch::Exact(value.to_owned()),
    };
    let table = table(count, |at| {
        let headers = vec![wanted("a2a-version", "1.0"), wanted("x-tenant", "acme")];
        route(at, HOST, Match { headers, ..on(prefix(at)) })
    });
    let path = format!("/api/v1/agent-{}/message:send", count - 1);
    find(c, &format!("two headers, {count} routes"), &table, HOST, &path, &headers);
}

fn regexes(c: &mut Criterion, count: usize) {
    let pattern = |at: usize| format!("^(?:/agents/{at}/tasks/[^/]+)$");
    let regex = |at: usize| Regex::new(&pattern(at)).expect("the pattern is valid");
    let table = table(count, |at| route(at, HOST, on(PathMatch::Regex(regex(at)))));
    let path = format!("/agents/{}/tasks/0191", count - 1);
    find(c, &format!("regex, {count} routes"), &table, HOST, &path, &HeaderMap::new());
}

fn spelling(c: &mut Criterion) {
    let policy = PathPolicy { merge_slashes: true, allow_encoded_slash: false };
    let paths = [("plain", "/api/v1/agent-17/message:send"), ("respelt", "/api//v1/x/../agent%2d17/message:send")];
    for (name, path) in paths {
        c.bench_function(&format!("normalise, {name}"), |b| b.iter(|| normalise(black_box(path), policy)));
    }
    c.bench_function("host_of", |b| b.iter(|| host_of(black_box("agents.example:8443"))));
}

criterion_group!(benches, matching, spelling);
criterion_main!(benches);
