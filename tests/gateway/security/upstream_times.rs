//! Time limits are totals, and an early answer is an answer.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{Gw, RawBackend, Reply, channel, get, post, request};

#[tokio::test]
async fn a_head_that_trickles_does_not_extend_its_time() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        for byte in b"HTTP/1.1 200 OK\r\nx: ".iter().chain(std::iter::repeat(&b'y')) {
            sleep(Duration::from_millis(20)).await;
            if !connection.try_write([*byte]).await {
                return;
            }
        }
    })
    .await;
    for (limits, reason) in [("responseHeadTimeout: 300ms", "head_timeout"), ("timeout: 300ms", "timeout")] {
        let gw = Gw::with(&format!("routes: {{ all: {{ endpoints: ['{{0}}'], {limits} }} }}"), &[&backend]).await;
        let start = Instant::now();
        let reply = gw.send(post("/", "x")).await;
        assert_eq!((reply.status, reply.reason()), (504, reason));
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300), "{took:?}");
    }
}

#[tokio::test]
async fn interim_answers_do_not_extend_the_time_of_the_head() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        loop {
            sleep(Duration::from_millis(100)).await;
            if !connection.try_write("HTTP/1.1 102 Processing\r\n\r\n").await {
                return;
            }
        }
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], responseHeadTimeout: 300ms } }", &[&backend]).await;
    let reply = gw.send(post("/", "x")).await;
    assert_eq!((reply.status, reply.reason()), (504, "head_timeout"));
}

#[tokio::test]
async fn a_body_that_trickles_does_not_extend_the_whole() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await;
        while connection.try_write("x").await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], timeout: 1500ms } }", &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let start = Instant::now();
        let response = client.send(get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert!(Reply::read(response).await.is_err(), "cut, not ended");
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(1400), "{took:?}");
    }
    assert!(gw.records(2).await.iter().all(|record| record["reason"] == "timeout"));
}

#[tokio::test]
async fn silence_in_a_body_has_a_limit() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], streaming: { idleTimeout: 300ms } } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 200") && !text.ends_with("0\r\n\r\n"), "{text}");
    assert_eq!(gw.record().await["reason"], "stream_idle");
}

#[tokio::test]
async fn an_early_answer_is_relayed_while_the_client_uploads() {
    for answer in [
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno",
    ] {
        let backend = RawBackend::script(move |mut connection| async move {
            connection.read_until("some").await;
            connection.write(answer).await;
            connection.closed().await;
        })
        .await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }", &[&backend]).await;
        let status = answer[9..12].parse::<u16>().unwrap();
        for mut client in [gw.h1().await, gw.h2().await] {
            let (sender, body) = channel();
            assert!(sender.send("some").await);
            let reply = client.reply(request("POST", "/", body)).await;
            assert_eq!((reply.status, reply.text()), (status, "no"), "{answer:?}");
        }
        // In raw bytes: the answer arrives although the client is in the middle of a large upload.
        let mut client = gw.raw().await;
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\nsome").await;
        let head = client.read_head().await;
        assert!(head.starts_with(&answer[..12]), "{head}");
    }
}
