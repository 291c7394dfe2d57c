//! Answers that break off, clients that leave, windows that stay shut.

use std::time::Duration;

use tokio::time::Instant;

use super::bench::TO_ONE;
use super::frames::{END_STREAM, End, H2, get, headers, post, reset, window};
use crate::support::{Backend, Gw, RawBackend, Sse, channel, eventually};

#[tokio::test]
async fn an_answer_cut_short_is_a_reset() {
    for (what, text) in [
        ("a length not reached", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
        ("no last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"),
        ("half a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nabc"),
        ("half a trailer", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n"),
        ("a broken chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n"),
    ] {
        let backend = RawBackend::script(move |mut connection| async move {
            connection.read_head().await;
            connection.write(text).await;
        })
        .await;
        let gw = Gw::with(TO_ONE, &[&backend]).await;
        let mut client = H2::connect(gw.address()).await;
        client.send(headers(1, END_STREAM, &get("/"))).await;
        let answer = client.answer(1).await;
        // A reset takes what was not yet written with it, perhaps the head.
        assert!(matches!(answer.status, 200 | 0), "{what}: {answer:?}");
        assert!(matches!(answer.end, End::Reset(code) if code != 0), "{what}: {answer:?}");
        // The connection goes on.
        client.send(headers(3, END_STREAM, &get("/"))).await;
        assert!(matches!(client.answer(3).await.end, End::Reset(code) if code != 0), "{what}");
    }
}

#[tokio::test]
async fn a_reset_cancels_the_request_to_the_endpoint() {
    // Before the answer's head, in the middle of an upload, in the middle of the answer.
    let backend = RawBackend::script(|mut connection| async move {
        let head = connection.read_head().await;
        if head.contains("/answer") {
            connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        }
        connection.closed().await;
        connection.try_write("").await;
    })
    .await;
    for (path, flags) in [("/head", END_STREAM), ("/upload", 0), ("/answer", END_STREAM)] {
        let sse = Sse::new().await;
        let gw = Gw::with("routes: { answer: { match: { path: { prefix: /events } }, endpoints: ['{1}'] }, all: { endpoints: ['{0}'] } }", &[&backend, &sse]).await;
        let before = backend.connections();
        let mut client = H2::connect(gw.address()).await;
        client.send(headers(1, flags, &post(path))).await;
        eventually("the endpoint has the request", || async {
            backend.received().len() > before && backend.received()[before].contains("\r\n\r\n")
        })
        .await;
        if path == "/answer" {
            while client.next().await.expect("open").kind != super::frames::DATA {}
        }
        client.send(reset(1, 8)).await;
        let gauge = || async { gw.metric("attache_upstream_connections", &[("cluster", "all")]).await < 0.5 };
        eventually("the connection to the endpoint is closed", gauge).await;
        assert_eq!(gw.record().await["reason"], "client_gone", "{path}");
        // An event stream as well; its connection to us lives on.
        client.send(headers(3, END_STREAM, &get("/events"))).await;
        let stream = sse.stream().await;
        assert!(stream.event("x").await);
        client.send(reset(3, 8)).await;
        stream.closed().await;
    }
}

#[tokio::test]
async fn a_window_that_stays_shut_is_given_up() {
    let backend = Backend::handling(|request| async move {
        let small = request.uri().path() == "/small";
        let piece = vec![b'x'; if small { 10 } else { 16 * 1024 }];
        let (sender, body) = channel();
        tokio::spawn(async move { while sender.send_patiently(piece.clone()).await {} });
        http::Response::new(body)
    })
    .await;
    let gw = Gw::with(
        "
        listeners: { http: { address: '127.0.0.1:0', protocols: [h2], limits: { bodyIdleTimeout: 2s } } }
        routes: { all: { endpoints: ['{0}'] } }",
        &[&backend],
    )
    .await;
    // The stream's window shut from the start; the stream's shut half-way; the connection's shut half-way.
    for (what, setting) in [("no window at all", 0), ("a small window", 1000), ("the connection's window", 0x7fff_ffff)]
    {
        let mut client = H2::connect_with(gw.address(), &[(4, setting)]).await;
        client.polite = false;
        let start = Instant::now();
        client.send(headers(1, END_STREAM, &get("/"))).await;
        let answer = client.answer(1).await;
        assert!(matches!(answer.end, End::Reset(code) if code != 0), "{what}: {:?}", answer.end);
        assert!(start.elapsed() >= Duration::from_millis(1900), "{what}: {:?}", start.elapsed());
        eventually("the endpoint is free again", || async { backend.open() == 0 }).await;
    }
    // A client that reads slowly but reads is not cut: it takes each piece in time, and all of them take twice as long.
    // A large piece, ten bytes at a time, would not be taken in time.
    let mut client = H2::connect_with(gw.address(), &[(4, 0)]).await;
    client.polite = false;
    client.send(headers(1, END_STREAM, &get("/small"))).await;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        client.send(window(1, 10)).await;
        let frame = loop {
            let frame = client.next().await.expect("open");
            if matches!(frame.kind, super::frames::DATA | super::frames::RST_STREAM) {
                break frame;
            }
        };
        assert_eq!((frame.kind, frame.payload.len()), (super::frames::DATA, 10), "goes on");
    }
}
