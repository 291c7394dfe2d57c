//! Limits of clients: how often they may ask, and how much they may have open.

use http::{Request, header};
use serde_json::json;

use crate::support::{Backend, Body, Client, Gw, Reply, Sse, channel, eventually, get, request, within};

/// A limit that lets 21 through and gives nothing back while a test runs.
const BURST: &str = "
    rateLimits: { edge: { key: clientIp, rate: 1/hour, burst: 20 } }
    routes: { all: { endpoints: ['{0}'], rateLimit: edge } }
    clientIp: { trustedProxies: 127.0.0.0/8 }
";

/// A request that a proxy in front of the gateway passes on for `client`.
fn from(client: &str, path: &str) -> Request<Body> {
    let mut request = get(path);
    let fields = request.headers_mut();
    fields.insert("x-forwarded-for", client.parse().unwrap());
    request
}

async fn statuses(client: &mut Client, of: &str, times: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..times {
        statuses.push(client.reply(from(of, "/")).await.status);
    }
    statuses
}

fn assert_refused(reply: &Reply) {
    assert_eq!((reply.status, reply.reason()), (429, "rate_limited"));
    let wait: u64 = reply.header("retry-after").parse().unwrap();
    assert!((3590..=3600).contains(&wait), "whole seconds: {wait}");
    assert_eq!(reply.header("ratelimit-policy"), "\"edge\";q=21;w=75600");
    assert_eq!(reply.header("ratelimit"), format!("\"edge\";r=0;t={wait}"), "the same time");
}

#[tokio::test]
async fn a_burst_of_20_lets_21_through_and_the_next_is_refused() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(BURST, &[&backend]).await;
    for (turn, (mut client, ip)) in [(gw.h1().await, "192.0.2.1"), (gw.h2().await, "192.0.2.2")].into_iter().enumerate()
    {
        for left in (0..21).rev() {
            let reply = client.reply(from(ip, "/")).await;
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("ratelimit-policy"), "\"edge\";q=21;w=75600");
            let reset = if left == 0 { 1 } else { 21 - left } * 3600;
            let standing = format!("\"edge\";r={left};t={reset}");
            assert_eq!(reply.header("ratelimit"), standing);
            assert_eq!(reply.header("retry-after"), "");
        }
        assert_refused(&client.reply(from(ip, "/")).await);
        assert_eq!(backend.requests().len(), 21 * (turn + 1));
    }
    let reply = gw.send(from("192.0.2.3", "/")).await;
    assert_eq!(reply.status, 200, "another client is not affected");
    let records = gw.records(45).await;
    let refused: Vec<_> = records.iter().filter(|record| record["status"] == 429).collect();
    assert_eq!(refused.len(), 2);
    for record in refused {
        assert_eq!(
            (&record["flags"], &record["reason"], &record["attempts"]),
            (&json!("RL"), &json!("rate_limited"), &json!(0))
        );
    }
    let labels = [("limit", "edge"), ("mode", "enforce")];
    let refused = gw.metric("attache_rate_limited_total", &labels).await;
    assert_eq!(refused, 2.0);
    eventually("clients are counted", || async {
        let clients = gw.metric("attache_rate_limit_clients", &[("limit", "edge")]);
        clients.await == 3.0
    })
    .await;
}

#[tokio::test]
async fn only_a_trusted_proxy_speaks_for_its_clients() {
    let backend = Backend::replying(200).await;
    let limits = "
        rateLimits: { edge: { rate: 1/hour, burst: 1 } }
        routes: { all: { endpoints: ['{0}'], rateLimit: edge } }
    ";
    for (trusted, expected) in [("127.0.0.0/8", [200, 200, 200]), ("10.0.0.0/8", [200, 200, 429])] {
        let trust = format!("{limits}    clientIp: {{ trustedProxies: {trusted} }}\n");
        let gw = Gw::with(&trust, &[&backend]).await;
        let mut statuses = Vec::new();
        for last in 1..=3 {
            let client = format!("192.0.2.{last}");
            statuses.push(gw.send(from(&client, "/")).await.status);
        }
        assert_eq!(statuses, expected, "{trusted} is trusted");
    }
}

#[tokio::test]
async fn an_ipv6_client_is_its_network() {
    let gw = Gw::with(
        "
        routes: { all: { respond: {}, rateLimit: { rate: 1/hour, burst: 1 } } }
        clientIp: { trustedProxies: 127.0.0.0/8, ipv6PrefixLen: 56 }
        ",
        &[],
    )
    .await;
    let mut client = gw.h1().await;
    for (ip, expected) in [
        ("2001:db8:0:1::1", 200),
        ("2001:db8:0:2::2", 200),
        ("2001:db8:0:ff:ffff::3", 429),
        ("2001:db8:0:100::1", 200),
        ("192.0.2.1", 200),
        ("::ffff:192.0.2.1", 200),
        ("192.0.2.1", 429),
    ] {
        let reply = client.reply(from(ip, "/")).await;
        assert_eq!(reply.status, expected, "{ip}");
    }
}

#[tokio::test]
async fn a_reload_keeps_what_was_counted() {
    let backend = Backend::replying(200).await;
    let mut gw = Gw::with(BURST, &[&backend]).await;
    let mut client = gw.h1().await;
    assert_eq!(statuses(&mut client, "192.0.2.1", 20).await, [200; 20]);
    gw.reload(&BURST.replace("rateLimit: edge", "rateLimit: edge, timeout: 5s"), &[&backend]).await.unwrap();
    assert_eq!(statuses(&mut client, "192.0.2.1", 2).await, [200, 429]);
    gw.reload(&BURST.replace("burst: 20", "burst: 2"), &[&backend]).await.unwrap();
    let again = statuses(&mut client, "192.0.2.1", 4).await;
    assert_eq!(again, [200, 200, 200, 429], "another quota begins anew");
}

#[tokio::test]
async fn routes_that_name_a_limit_share_it_and_answers_of_the_gateway_count() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "
        rateLimits: { edge: { rate: 3/hour }, dark: { rate: 1/hour, mode: shadow } }
        routes:
          agent: { endpoints: ['{0}'], rateLimit: [dark, edge] }
          told: { match: { path: { prefix: /told } }, respond: { body: ok }, rateLimit: edge }
          sent: { match: { path: { prefix: /sent } }, redirect: { path: /told }, rateLimit: edge }
          free: { match: { path: { prefix: /free } }, respond: { body: ok } }
        ",
        &[&backend],
    )
    .await;
    let mut client = gw.h1().await;
    for (path, expected) in
        [("/", 200), ("/told", 200), ("/sent", 302), ("/", 429), ("/told", 429), ("/sent", 429), ("/free", 200)]
    {
        let reply = client.reply(get(path)).await;
        assert_eq!(reply.status, expected, "{path}");
        let told = reply.header("ratelimit-policy");
        let expected = if path == "/free" { "" } else { "\"edge\";q=3;w=3600" };
        assert_eq!(told, expected, "{path}");
    }
    let labels = [("limit", "dark"), ("mode", "shadow")];
    let counted = gw.metric("attache_rate_limited_total", &labels).await;
    assert_eq!(counted, 1.0, "the second request to the agent");
}

#[tokio::test]
async fn a_refusal_does_not_wait_for_the_body() {
    let gw = Gw::with("routes: { all: { respond: {}, rateLimit: { rate: 1/hour, headers: false } } }", &[]).await;
    assert_eq!(gw.get("/").await.status, 200);
    for mut client in [gw.h1().await, gw.h2().await] {
        let (sender, body) = channel();
        let reply = client.reply(request("POST", "/", body)).await;
        assert_eq!((reply.status, reply.reason()), (429, "rate_limited"));
        assert!(reply.header("ratelimit").is_empty(), "switched off");
        assert!(!reply.header("retry-after").is_empty(), "always there");
        drop(sender);
    }
}

#[tokio::test]
async fn a_call_that_is_too_many_has_a_grpc_status() {
    let gw = Gw::with("routes: { all: { respond: {}, rateLimit: { rate: 1/hour } } }", &[]).await;
    let mut client = gw.h2().await;
    let call = || {
        let mut request = request("POST", "/a.B/C", crate::support::empty());
        let fields = request.headers_mut();
        fields.insert(header::CONTENT_TYPE, "application/grpc".parse().unwrap());
        request
    };
    assert_eq!(client.reply(call()).await.status, 200);
    let reply = client.reply(call()).await;
    assert_eq!((reply.status, reply.header("grpc-status")), (200, "8"));
    assert_eq!(reply.header("retry-after"), "3600");
}

#[tokio::test]
async fn a_client_has_so_many_streams_open_and_no_more() {
    let backend = Sse::new().await;
    let gw = Gw::with(
        "
        routes: { all: { endpoints: ['{0}'], maxConcurrentPerClient: 2 } }
        clientIp: { trustedProxies: 127.0.0.0/8 }
        ",
        &[&backend],
    )
    .await;
    let mut clients = [gw.h1().await, gw.h2().await, gw.h1().await];
    let [first, second, third] = &mut clients;
    let one = first.send(from("192.0.2.1", "/")).await.unwrap();
    let two = second.send(from("192.0.2.1", "/")).await.unwrap();
    let _first_stream = backend.stream().await;
    let second_stream = backend.stream().await;
    let reply = third.reply(from("192.0.2.1", "/")).await;
    assert_eq!((reply.status, reply.reason()), (429, "too_many_open"));
    assert_eq!(reply.header("retry-after"), "1");
    let other = gw.h1().await.send(from("192.0.2.2", "/")).await.unwrap();
    assert_eq!(other.status(), 200, "another client");
    let labels = [("route", "all")];
    let refused = gw.metric("attache_concurrency_limited_total", &labels).await;
    assert_eq!(refused, 1.0);
    // One stream ends as it should, one by a client that leaves.
    second_stream.end();
    within("the end of a stream", Reply::read(two)).await.unwrap();
    let room = within("a place", third.send(from("192.0.2.1", "/"))).await.unwrap();
    assert_eq!(room.status(), 200);
    assert_eq!(second.reply(from("192.0.2.1", "/")).await.status, 429);
    drop(one);
    drop(clients);
    eventually("what a client left is free", || async {
        let mut client = gw.h1().await;
        client.send(from("192.0.2.1", "/")).await.unwrap().status() == 200
    })
    .await;
}

#[tokio::test]
async fn a_reload_keeps_what_is_open() {
    let backend = Sse::new().await;
    let template = "routes: { all: { endpoints: ['{0}'], maxConcurrentPerClient: 2 } }";
    let mut gw = Gw::with(template, &[&backend]).await;
    let mut client = gw.h1().await;
    let open = client.send(get("/")).await.unwrap();
    let stream = backend.stream().await;
    gw.reload(&template.replace('2', "1"), &[&backend]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 429);
    stream.end();
    Reply::read(open).await.unwrap();
    let mut after = gw.h1().await;
    assert_eq!(after.send(get("/")).await.unwrap().status(), 200);
}
