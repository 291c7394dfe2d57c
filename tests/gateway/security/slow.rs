//! Clients that are slow, greedy or gone.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::bench::Bench;
use super::frames::{H2, PREFACE};
use crate::support::{Gw, Raw, Sse, eventually};

const HASTY: &str = "
    listeners:
      http:
        address: '127.0.0.1:0'
        protocols: [http/1.1, h2]
        limits: { headerTimeout: 400ms, idleTimeout: 400ms, bodyIdleTimeout: 400ms }
    routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }";
const LIMIT: Duration = Duration::from_millis(400);
/// For a busy machine; a limit that is not the configured one is the usual one, 10 s or more.
const SLACK: Duration = Duration::from_secs(6);

#[tokio::test]
async fn every_wait_for_a_client_has_a_limit() {
    let bench = Bench::with(HASTY).await;
    let openings: [(&str, &[u8]); 10] = [
        ("nothing at all", b""),
        ("half a request line", b"GET / HT"),
        ("half a head", b"GET / HTTP/1.1\r\nhost: a\r\nx:"),
        ("an empty line", b"\r\n"),
        ("half a body", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc"),
        ("half a chunk", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab"),
        ("no last chunk", b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabcde\r\n"),
        ("half a preface", &PREFACE[..10]),
        ("a preface without SETTINGS", PREFACE),
        ("half of SETTINGS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04"),
    ];
    for (what, opening) in openings {
        let start = Instant::now();
        let mut client = bench.gw.raw().await;
        client.write(opening).await;
        let text = client.rest().await;
        assert!(!text.starts_with("HTTP/1.1 200"), "{what}: {text}");
        assert!(
            start.elapsed() >= LIMIT - Duration::from_millis(100) && start.elapsed() < SLACK,
            "{what}: {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn trickling_does_not_extend_the_time_of_a_head() {
    let bench = Bench::with(HASTY).await;
    for endless in [&b"GET / HTTP/1.1\r\nhost: a\r\nx: "[..], b"GET /"] {
        let mut client: Raw = bench.gw.raw().await;
        let start = Instant::now();
        client.write(endless).await;
        while client.try_write("y").await {
            assert!(start.elapsed() < SLACK, "still open after {:?}", start.elapsed());
            sleep(Duration::from_millis(20)).await;
        }
    }
    // A header block of HTTP/2 that never ends.
    let mut client = H2::connect(bench.gw.address()).await;
    client.send(super::frames::frame(super::frames::HEADERS, 0, 1, &super::frames::get("/"))).await;
    let start = Instant::now();
    assert!(client.ends().await, "a block that never ends");
    assert!(start.elapsed() < SLACK);
}

#[tokio::test]
async fn a_large_but_ordinary_head_is_served() {
    let bench = Bench::new().await;
    let fields: String = (0..58).map(|index| format!("x-{index}: value\r\n")).collect();
    let request =
        format!("GET /{} HTTP/1.1\r\nhost: a\r\ncookie: {}\r\n{fields}\r\n", "p".repeat(8000), "c".repeat(6 * 1024));
    assert_eq!(bench.serves(request).await.statuses(), [200, 200]);
    assert_eq!(bench.finish().await.remove(0).field("cookie").len(), 6 * 1024);
}

#[tokio::test]
async fn connections_have_ceilings_and_come_back() {
    let bench = Bench::with(
        "
        listeners: { http: { address: '127.0.0.1:0', limits: { maxConnections: 20, maxConnectionsPerIp: 8 } } }
        routes: { all: { endpoints: ['{0}'] } }",
    )
    .await;
    for round in 0..3 {
        let mut held = Vec::new();
        for _ in 0..30 {
            held.push(bench.gw.raw().await);
        }
        let mut served = 0;
        for client in &mut held {
            client.try_write("GET /held HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let head = client.try_read_until("\r\n\r\n").await;
            served += usize::from(head.is_some_and(|head| head.starts_with("HTTP/1.1 200")));
        }
        assert_eq!(served, 8, "in round {round}");
        drop(held);
        let open = async || bench.gw.metric("attache_downstream_connections", &[]).await;
        eventually("there is room again", async || open().await == 0.0).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_takes_its_request_with_it() {
    let sse = Sse::new().await;
    let gw = Gw::with(super::bench::TO_ONE, &[&sse]).await;
    for by_reset in [false, true] {
        let mut client = gw.raw().await;
        client.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let stream = sse.stream().await;
        assert!(stream.event("x").await);
        client.read_until("data: x").await;
        if by_reset {
            client.reset();
        } else {
            drop(client);
        }
        stream.closed().await;
    }
}

#[tokio::test]
async fn a_stream_cut_by_the_drain_does_not_look_whole() {
    let sse = Sse::new().await;
    let gw = Gw::with(
        &format!("shutdown: {{ drainTimeout: 100ms, streamGrace: 100ms }}\n{}", super::bench::TO_ONE),
        &[&sse],
    )
    .await;
    let mut h1 = gw.raw().await;
    h1.write("GET /events HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let first = sse.stream().await;
    let mut h2 = H2::connect(gw.address()).await;
    h2.send(super::frames::headers(1, super::frames::END_STREAM, &super::frames::get("/events"))).await;
    let second = sse.stream().await;
    assert!(first.event("x").await && second.event("x").await);
    h1.read_until("data: x").await;
    gw.shutdown().await;
    assert!(!h1.rest().await.ends_with("0\r\n\r\n"), "no last chunk");
    assert_ne!(h2.answer(1).await.end, super::frames::End::Clean);
}
