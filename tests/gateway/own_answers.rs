//! What a route says about the fields of answers holds for those that the gateway makes itself: refusals, failures,
//! redirects, answers of routes, in both versions of HTTP.

use crate::support::{
    Backend, Body, Client, Gw, RawBackend, Reply, at_host, eventually, get, post, refusing, request, websocket,
    with_field,
};

const HEADERS: &str = "responseHeaders: { preset: secure, set: { x-route: here, x-request-id: hidden }, add: { vary: origin }, remove: [x-attache-reason] }";

/// Checks that an answer has what its route says, and nothing of what it takes out.
fn assert_marked(reply: &Reply, what: &str) {
    let fields = &reply.headers;
    assert_eq!(reply.header("x-route"), "here", "{what}: {fields:?}");
    assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
    assert_eq!(reply.header("x-request-id"), "hidden", "{what}");
    assert_eq!(reply.header("vary"), "origin", "{what}");
    assert_eq!(reply.header("x-attache-reason"), "", "{what}");
}

/// A case: what is wrong with the route, what is asked, and the status.
type Case = (&'static str, fn() -> http::Request<Body>, u16);

#[tokio::test]
async fn a_routes_response_headers_reach_every_answer_of_the_gateway() {
    let (silent, dead, fine) = (RawBackend::silent().await, refusing(), Backend::replying(200).await);
    let garbage = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("nonsense\r\n\r\n").await;
    })
    .await;
    let cases: [Case; 13] = [
        ("endpoints: ['{0}']", || get("/"), 502),
        ("endpoints: ['{2}'], maxBodyBytes: 1B", || post("/", "too long"), 413),
        ("endpoints: ['{1}'], responseHeadTimeout: 100ms", || get("/"), 504),
        ("endpoints: ['{1}'], timeout: 100ms", || post("/", "x"), 504),
        ("endpoints: ['{3}']", || post("/", "x"), 502),
        ("endpoints: ['{2}'], rewrite: { regex: { pattern: '^/', replacement: '' } }", || get("/x"), 400),
        ("endpoints: ['{2}'], fault: { abort: { percentage: 100%, httpStatus: 418 } }", || get("/"), 418),
        ("endpoints: ['{2}'], timeout: 50ms, fault: { delay: { percentage: 100%, fixedDelay: 1s } }", || get("/"), 504),
        ("redirect: { path: /new }", || get("/"), 302),
        ("respond: { status: 200, body: ok }", || get("/"), 200),
        ("respond: { status: 404 }", || request("HEAD", "/", crate::support::empty()), 404),
        ("endpoints: [{ address: '{2}', weight: 0 }]", || get("/"), 503),
        ("split: [{ cluster: none, weight: 1 }]", || get("/"), 502),
    ];
    for (route, asked, status) in cases {
        let template = format!(
            "routes:\n  all: {{ {route}, {HEADERS} }}\n  none: {{ hosts: [none.example], cluster: none }}\n\
             clusters: {{ none: {{ endpoints: ['{{0}}'] }} }}"
        );
        let gw = Gw::with(&template, &[&dead, &silent, &fine, &garbage]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let reply = client.reply(asked()).await;
            assert_eq!(reply.status, status, "{route}: {:?}", reply.headers);
            assert_marked(&reply, route);
        }
    }
}

#[tokio::test]
async fn a_routes_response_headers_reach_grpc_refusals() {
    let dead = refusing();
    let template = format!("routes: {{ all: {{ endpoints: ['{{0}}'], {HEADERS} }} }}");
    let gw = Gw::with(&template, &[&dead]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let call = with_field("content-type", "application/grpc", post("/a.B/C", "x"));
        let reply = client.reply(call).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (200, "14"));
        assert_marked(&reply, "gRPC");
    }
}

#[tokio::test]
async fn a_routes_response_headers_reach_refusals_of_its_limits() {
    let (backend, release) = Backend::held().await;
    let template = format!(
        "
        routes:
          rate: {{ match: {{ path: {{ prefix: /rate }} }}, respond: {{}}, rateLimit: {{ key: clientIp, rate: 1/1h }}, {HEADERS} }}
          open: {{ match: {{ path: {{ prefix: /open }} }}, cluster: all, maxConcurrentPerClient: 1, {HEADERS} }}
          full: {{ match: {{ path: {{ prefix: /full }} }}, cluster: all, {HEADERS} }}
        clusters: {{ all: {{ endpoints: ['{{0}}'], circuitBreaker: {{ maxRequests: 1 }} }} }}
        "
    );
    let gw = Gw::with(&template, &[&backend]).await;
    gw.get("/rate").await;
    let mut first = gw.h1().await;
    let held = tokio::spawn(async move { first.reply(get("/open")).await });
    eventually("a request is held", || async { backend.hits() == 1 }).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        for (path, status) in [("/rate", 429), ("/open", 429), ("/full", 503)] {
            let reply = client.reply(get(path)).await;
            assert_eq!(reply.status, status, "{path}");
            assert_marked(&reply, path);
            if path == "/rate" {
                assert_ne!(reply.header("ratelimit"), "", "the limits still speak");
                assert_ne!(reply.header("retry-after"), "");
            }
        }
    }
    release.send(()).unwrap();
    assert_marked(&held.await.unwrap(), "the agent's own answer");
}

#[tokio::test]
async fn a_routes_response_headers_reach_refused_upgrades_and_accepted_ones() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        connection.write(head).await;
    })
    .await;
    let template = format!(
        "
        routes:
          no: {{ match: {{ path: {{ prefix: /no }} }}, endpoints: ['{{0}}'], {HEADERS} }}
          yes: {{ match: {{ path: {{ prefix: /yes }} }}, endpoints: ['{{0}}'], websocket: true, {HEADERS} }}
        "
    );
    let gw = Gw::with(&template, &[&backend]).await;
    for (path, status) in [("/no", 403), ("/yes", 101)] {
        let response = gw.h1().await.send(websocket(path)).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["x-route"], "here", "{path}");
    }
}

#[tokio::test]
async fn an_answer_without_a_route_has_no_routes_headers() {
    let backend = Backend::replying(200).await;
    let template = format!(
        "routes: {{ all: {{ hosts: [a.example], endpoints: ['{{0}}'], {HEADERS} }}, \
         other: {{ hosts: [c.example], respond: {{}} }} }}"
    );
    let gw = Gw::with(&template, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(at_host("b.example", get("/"))).await;
        assert_eq!((reply.status, reply.reason()), (404, "no_route"));
        assert_eq!((reply.header("x-route"), reply.header("x-frame-options")), ("", ""));
        let reply = client.reply(at_host("a.example", get("/%00"))).await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.header("x-route"), "");
    }
}

#[tokio::test]
async fn a_routes_response_headers_do_not_hide_what_was_done_on_purpose() {
    let backend = Backend::replying(200).await;
    let template = "
        routes:
          all:
            endpoints: ['{0}']
            fault: { abort: { percentage: 100%, httpStatus: 503 } }
            responseHeaders: { remove: [x-attache-fault] }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let reply = Client::h1(gw.address()).await.reply(get("/")).await;
    assert_eq!(reply.header("x-attache-fault"), "abort");
}
