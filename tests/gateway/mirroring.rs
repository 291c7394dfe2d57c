//! Copies of requests for another cluster, which nobody waits for.

use http::Response;
use serde_json::json;
use tokio::sync::mpsc;

use crate::support::{
    Backend, Gw, RawBackend, Sse, channel, chunk, empty, eventually, get, post, refusing, request, with_field, within,
};

fn mirrored(more: &str) -> String {
    format!(
        "
        routes: {{ all: {{ cluster: main, mirror: {{ cluster: shadow, {more} }} }} }}
        clusters: {{ main: {{ endpoints: ['{{0}}'] }}, shadow: {{ endpoints: ['{{1}}'] }} }}
        "
    )
}

async fn mirrors(gw: &Gw, result: &str) -> f64 {
    let labels = [("route", "all"), ("result", result)];
    gw.metric("attache_mirrors_total", &labels).await
}

async fn active(gw: &Gw) -> f64 {
    gw.metric("attache_mirrors_active", &[("route", "all")]).await
}

/// Waits until a copy ended so, `count` times.
async fn ended(gw: &Gw, result: &str, count: f64) {
    eventually(&format!("{count} copies are {result}"), || async { mirrors(gw, result).await == count }).await;
}

#[tokio::test]
async fn the_mirror_gets_a_copy_and_the_client_its_answer() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(500).await);
    let gw = Gw::with(&mirrored("timeout: 20s"), &[&main, &shadow]).await;
    let reply = gw.send(with_field("x-own", "1", get("/path?a=b"))).await;
    assert_eq!(reply.status, 200);
    assert!(reply.text().ends_with(&main.address().to_string()));
    ended(&gw, "answered", 1.0).await;
    let (one, copy) = (main.request(), shadow.request());
    assert_eq!((copy.method, copy.uri), (one.method.clone(), one.uri.clone()));
    assert_eq!(copy.headers.get("x-attache-mirror").unwrap(), "1");
    assert!(one.headers.get("x-attache-mirror").is_none());
    let mut same = copy.headers.clone();
    same.remove("x-attache-mirror");
    assert_eq!(same, one.headers, "host, forwarding fields and trace are the same");
    let record = gw.record().await;
    assert_eq!((&record["cluster"], &record["attempts"], &record["status"]), (&json!("main"), &json!(1), &json!(200)));
    let attempts = gw.metric("attache_attempts_total", &[("cluster", "shadow")]);
    assert_eq!(attempts.await, 1.0);
    let requests = gw.metric("http_requests_total", &[]);
    assert_eq!(requests.await, 1.0, "a copy is no request");
    assert_eq!(active(&gw).await, 0.0);
}

#[tokio::test]
async fn connections_to_the_mirror_are_used_again() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let config = "workers: 1\n".to_owned() + mirrored("timeout: 20s").trim_start();
    let config = config.replace("\n        ", "\n");
    let gw = Gw::with(&config, &[&main, &shadow]).await;
    let mut client = gw.h1().await;
    for count in 1..=5_u8 {
        client.reply(get("/")).await;
        ended(&gw, "answered", f64::from(count)).await;
    }
    assert_eq!((shadow.hits(), shadow.connections()), (5, 1));
}

#[tokio::test]
async fn a_silent_mirror_does_not_delay_anything() {
    let main = Backend::replying(200).await;
    let shadow = RawBackend::silent().await;
    // Whoever waited for a copy would wait for longer than any guard of these tests.
    let gw = Gw::with(&mirrored("timeout: 10m"), &[&main, &shadow]).await;
    let mut client = gw.h1().await;
    for _ in 0..20 {
        assert_eq!(client.reply(get("/")).await.status, 200);
    }
    assert_eq!(active(&gw).await, 20.0, "while they are still under way");
    let (drained, _) = gw.shutdown().await;
    assert_eq!(drained.cut, 0, "nobody waits for copies");
}

#[tokio::test]
async fn a_mirror_has_a_deadline() {
    let main = Backend::replying(200).await;
    let shadow = RawBackend::silent().await;
    let gw = Gw::with(&mirrored("timeout: 200ms"), &[&main, &shadow]).await;
    assert_eq!(gw.get("/").await.status, 200);
    ended(&gw, "timed_out", 1.0).await;
    assert_eq!(active(&gw).await, 0.0);
}

#[tokio::test]
async fn a_dead_mirror_does_not_hurt() {
    let (main, shadow) = (Backend::replying(200).await, refusing());
    let gw = Gw::with(&mirrored("timeout: 20s"), &[&main, &shadow]).await;
    for count in 1..=3_u8 {
        assert_eq!(gw.get("/").await.status, 200);
        ended(&gw, "failed", f64::from(count)).await;
    }
    for record in gw.records(3).await {
        assert_eq!((&record["flags"], &record["cluster"]), (&json!("-"), &json!("main")));
    }
}

#[tokio::test]
async fn an_endless_answer_of_a_mirror_is_given_up() {
    let (main, shadow) = (Backend::replying(200).await, Sse::new().await);
    let gw = Gw::with(&mirrored("timeout: 1s"), &[&main, &shadow]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let stream = shadow.stream().await;
    within("it is closed", stream.closed()).await;
    ended(&gw, "answered", 1.0).await;
}

#[tokio::test]
async fn only_safe_requests_are_copied() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(&mirrored("timeout: 20s"), &[&main, &shadow]).await;
    let mut client = gw.h1().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(client.reply(request(method, "/", empty())).await.status, 200);
    }
    for method in ["HEAD", "OPTIONS", "GET"] {
        client.reply(request(method, "/", empty())).await;
    }
    ended(&gw, "answered", 3.0).await;
    let mut methods: Vec<_> = shadow.requests().into_iter().map(|seen| seen.method).collect();
    methods.sort_by_key(ToString::to_string);
    assert_eq!(methods, ["GET", "HEAD", "OPTIONS"]);
}

#[tokio::test]
async fn a_copy_is_not_copied_again() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(&mirrored("timeout: 20s"), &[&main, &shadow]).await;
    gw.send(with_field("x-attache-mirror", "1", get("/"))).await;
    gw.get("/").await;
    ended(&gw, "answered", 1.0).await;
    assert_eq!((main.hits(), shadow.hits()), (2, 1));
}

#[tokio::test]
async fn a_body_is_copied_while_it_passes() {
    let shadow = Backend::replying(200).await;
    let (pieces, mut arrived) = mpsc::channel(8);
    let main = Backend::handling(move |request| {
        let pieces = pieces.clone();
        async move {
            let mut body = request.into_body();
            while let Some(piece) = chunk(&mut body).await {
                pieces.send(piece.unwrap()).await.unwrap();
            }
            Response::new(empty())
        }
    })
    .await;
    let gw = Gw::with(&mirrored("unsafe: true, methods: POST, timeout: 20s"), &[&main, &shadow]).await;
    for (count, mut client) in [(1.0, gw.h1().await), (2.0, gw.h2().await)] {
        let (sender, body) = channel();
        let sent = tokio::spawn(async move { client.reply(request("POST", "/", body)).await });
        for piece in ["one ", "two ", "three"] {
            sender.send(piece).await;
            let came = within("it is not held back for the copy", arrived.recv());
            assert_eq!(came.await.unwrap(), piece);
        }
        assert_eq!(shadow.hits() as f64, count - 1.0, "the copy is sent whole");
        drop(sender);
        assert_eq!(sent.await.unwrap().status, 200);
        ended(&gw, "answered", count).await;
        let copy = shadow.requests().pop().unwrap();
        assert_eq!(copy.body, "one two three");
        assert_eq!(copy.header("content-length"), "13", "its length is known by now");
    }
    gw.send(post("/", "whole")).await;
    ended(&gw, "answered", 3.0).await;
    assert_eq!(shadow.requests().pop().unwrap().body, "whole");
}

#[tokio::test]
async fn a_body_that_is_too_large_goes_to_its_endpoint_only() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(&mirrored("unsafe: true, maxBodyBytes: 1000B, timeout: 20s"), &[&main, &shadow]).await;
    assert_eq!(gw.send(post("/", vec![b'x'; 1001])).await.status, 200);
    ended(&gw, "body_too_large", 1.0).await;
    let (sender, body) = channel();
    let feed = tokio::spawn(async move {
        for _ in 0..100 {
            sender.send(vec![b'x'; 1000]).await;
        }
    });
    assert_eq!(gw.send(request("POST", "/", body)).await.status, 200);
    feed.await.unwrap();
    ended(&gw, "body_too_large", 2.0).await;
    assert_eq!(main.requests().pop().unwrap().body.len(), 100_000);
    assert_eq!(gw.send(post("/", vec![b'x'; 1000])).await.status, 200);
    ended(&gw, "answered", 1.0).await;
    assert_eq!(shadow.hits(), 1);
}

#[tokio::test]
async fn a_request_that_breaks_off_is_not_mirrored() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(&mirrored("unsafe: true, timeout: 20s"), &[&main, &shadow]).await;
    let (sender, body) = channel();
    let mut client = gw.h1().await;
    let upload = tokio::spawn(async move { client.send_patiently(request("POST", "/", body)).await });
    sender.send("part").await;
    eventually("a copy is in the making", || async { active(&gw).await == 1.0 }).await;
    upload.abort();
    sender.abort().await;
    ended(&gw, "incomplete", 1.0).await;
    assert_eq!((active(&gw).await, shadow.hits()), (0.0, 0));
}

#[tokio::test]
async fn no_more_copies_than_allowed_at_once() {
    let (main, shadow) = (Backend::replying(200).await, Sse::new().await);
    let gw = Gw::with(&mirrored("maxActive: 2, timeout: 60s"), &[&main, &shadow]).await;
    let mut client = gw.h1().await;
    for _ in 0..5 {
        assert_eq!(client.reply(get("/")).await.status, 200);
    }
    assert_eq!(mirrors(&gw, "max_active").await, 3.0);
    assert_eq!(active(&gw).await, 2.0);
    shadow.stream().await.end();
    ended(&gw, "answered", 1.0).await;
    client.reply(get("/")).await;
    eventually("there is room again", || async { active(&gw).await == 2.0 }).await;
    assert_eq!(mirrors(&gw, "max_active").await, 3.0);
}

#[tokio::test]
async fn an_aborted_request_is_not_mirrored() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(
        "
        routes:
          all:
            cluster: main
            mirror: { cluster: shadow }
            fault: { abort: { percentage: 100%, httpStatus: 503, whenHeader: { x-chaos: 'on' } } }
        clusters: { main: { endpoints: ['{0}'] }, shadow: { endpoints: ['{1}'] } }
        ",
        &[&main, &shadow],
    )
    .await;
    assert_eq!(gw.send(with_field("x-chaos", "on", get("/"))).await.status, 503);
    assert_eq!(gw.get("/").await.status, 200);
    ended(&gw, "answered", 1.0).await;
    assert_eq!(shadow.hits(), 1);
}

#[tokio::test]
async fn the_mirror_has_a_host_of_its_own_where_endpoints_do() {
    let (main, shadow) = (Backend::replying(200).await, Backend::replying(200).await);
    let config = mirrored("timeout: 20s").replace("cluster: main,", "cluster: main, upstreamHost: endpoint,");
    let gw = Gw::with(&config, &[&main, &shadow]).await;
    gw.get("/").await;
    ended(&gw, "answered", 1.0).await;
    assert_eq!(shadow.request().header("host"), shadow.address().to_string());
}
