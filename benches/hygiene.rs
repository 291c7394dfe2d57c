//! What the care for a request's head costs: the look for fields that need attention, the checks, taking out what
//! belongs to one connection, setting the forwarding fields. An ordinary A2A call, one that came through a trusted
//! proxy, and a hostile head.

#![allow(clippy::expect_used, reason = "a bench that cannot be set up has to stop")]
#![allow(missing_docs, reason = "the macro of criterion writes a function without them")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use attache::config::model::{Limits, ListenerId, PathPolicy};
use attache::config::{self, Environment};
use attache::context::Connection;
use attache::edge::headers::{self, Forwarded, Shown};
use attache::edge::hygiene::{self, Head};
use attache::edge::seen::{HeadFields, Seen};
use attache::route::public::Sources;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

const ORDINARY: &[(&str, &str)] = &[
    ("host", "agents.example:8443"),
    ("user-agent", "a2a-python/1.0"),
    ("accept", "application/json"),
    ("content-type", "application/json"),
    ("content-length", "400"),
    ("authorization", "Bearer 0123456789abcdef"),
    ("a2a-version", "1.0"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
];

/// What a proxy in front of the gateway adds.
const PROXIED: &[(&str, &str)] = &[
    ("x-forwarded-for", "203.0.113.9, 10.0.0.3"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "agents.example"),
    ("x-forwarded-port", "443"),
    ("via", "1.1 front"),
];

/// What somebody adds who wants to be taken for somebody else.
const HOSTILE: &[(&str, &str)] = &[
    ("connection", "close, x-private, authorization, content-length, host"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("te", "trailers, deflate"),
    ("x-private", "1"),
    ("forwarded", "for=10.0.0.1"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x_forwarded_for", "10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
];

/// The hostile head is filled up to as many fields as are allowed.
const FIELDS: usize = 100;

struct Case {
    name: &'static str,
    head: Parts,
    trusted: bool,
}

fn cases() -> [Case; 3] {
    let mut hostile = head(&[ORDINARY, HOSTILE]);
    for at in hostile.headers.len()..FIELDS {
        let name = HeaderName::try_from(format!("x-filler-{at}")).expect("the name is legal");
        hostile.headers.append(name, HeaderValue::from_static("1"));
    }
    [("ordinary", head(&[ORDINARY]), false), ("proxied", head(&[ORDINARY, PROXIED]), true), ("hostile", hostile, false)]
        .map(|(name, head, trusted)| Case { name, head, trusted })
}

fn head(fields: &[&[(&'static str, &'static str)]]) -> Parts {
    let mut request = Request::post("/agents/research/message:send?trace=1");
    for (name, value) in fields.iter().copied().flatten() {
        request = request.header(*name, *value);
    }
    let (head, ()) = request.body(()).expect("the head is legal").into_parts();
    head
}

/// The limits and the path policy of a listener about which nothing is said.
fn defaults() -> (Limits, PathPolicy) {
    let text = "listeners: { http: { address: \"127.0.0.1:80\" } }\n\
                routes: { all: { endpoints: [\"127.0.0.1:81\"] } }\n";
    let environment = Environment::empty(SystemTime::UNIX_EPOCH);
    let loaded = config::parse(text, "bench.yaml", &environment).expect("the text is valid");
    let mut listeners = loaded.config.listeners.into_iter();
    let listener = listeners.next().expect("there is a listener");
    (listener.limits, listener.paths)
}

fn connection() -> Connection {
    let peer = SocketAddr::from(([192, 0, 2, 7], 4711));
    let local = SocketAddr::from(([192, 0, 2, 1], 80));
    Connection::new(ListenerId(0), peer, local, None)
}

/// As the edge does it on the way to an endpoint.
fn tidy(headers: &mut HeaderMap, seen: Seen, connection: &Connection, trusted: bool) -> IpAddr {
    let peer = connection.peer_ip();
    let is_trusted = |address: IpAddr| trusted && (address == peer || is_private(address));
    let client = headers::client_ip(headers, peer, is_trusted);
    let host = headers.get(header::HOST).cloned();
    headers::strip_hop_by_hop(headers, seen);
    let asked = host.as_ref().and_then(|host| host.to_str().ok());
    let sources = Sources { asked: asked.unwrap_or_default(), ..Sources::default() };
    let face = black_box(sources).face();
    let shown = Shown { scheme: face.scheme(), port: connection.port_value(face.port()), prefix: None, host };
    let facts = Forwarded { connection, client, trusted, shown };
    headers::set_forwarded(headers, seen, facts);
    headers::append_via(headers, http::Version::HTTP_11);
    client
}

fn is_private(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(address) if address.is_private())
}

fn hygiene(criterion: &mut Criterion) {
    let (limits, paths) = defaults();
    let connection = connection();
    for Case { name, head, trusted } in cases() {
        let found = HeadFields::of(&head.headers);
        let seen = found.seen;
        hygiene::check(Head::from(&head), &found, &limits, paths).expect("the head passes");
        let mut group = criterion.benchmark_group(name);
        group.bench_function("look", |bencher| {
            bencher.iter(|| HeadFields::of(black_box(&head.headers)));
        });
        group.bench_function("check", |bencher| {
            bencher.iter(|| {
                let target = hygiene::check(Head::from(black_box(&head)), &found, &limits, paths);
                target.is_ok()
            });
        });
        group.bench_function("tidy", |bencher| {
            // Neither the copy nor its end is part of what is measured.
            bencher.iter_batched_ref(
                || head.headers.clone(),
                |headers| tidy(headers, seen, &connection, trusted),
                BatchSize::SmallInput,
            );
        });
        group.finish();
    }
}

criterion_group!(benches, hygiene);
criterion_main!(benches);
