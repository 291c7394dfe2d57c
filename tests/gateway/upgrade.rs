//! WebSocket: the handshake, bytes both ways, and every way it ends.

use std::time::Duration;

use http::Response;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{
    Backend, Ca, Gw, Raw, RawBackend, Speak, Tls, at_host, empty, eventually, get, pass, websocket, with_field, within,
};

const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
                         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'], websocket: true } }";

/// Agrees, says `hello` in the same packet, and echoes; at `quit` it closes.
async fn echo() -> RawBackend {
    RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write(format!("{SWITCHED}hello\n")).await;
        loop {
            let Some(line) = connection.try_read_until("\n").await else {
                return;
            };
            if line == "quit\n" {
                return;
            }
            connection.write(line).await;
        }
    })
    .await
}

async fn switched(gw: &Gw) -> Raw {
    let mut client = gw.raw().await;
    client.write(HANDSHAKE).await;
    let head = client.read_head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 "), "{head}");
    assert!(head.contains("upgrade: websocket\r\n") && head.contains("connection: upgrade\r\n"), "{head}");
    assert!(head.contains("sec-websocket-accept: "), "{head}");
    assert_eq!(client.read_until("\n").await, "hello\n", "what came with the 101 is not lost");
    client
}

#[tokio::test]
async fn rfc6455_4_bytes_pass_both_ways_after_the_handshake() {
    let backend = echo().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = switched(&gw).await;
    for turn in 0..10 {
        client.write(format!("line {turn}\n")).await;
        assert_eq!(client.read_until("\n").await, format!("line {turn}\n"));
    }
    let seen = &backend.received()[0].to_lowercase();
    assert!(seen.contains("connection: upgrade\r\n") && seen.contains("upgrade: websocket\r\n"), "{seen}");
    assert!(seen.contains("sec-websocket-key: ") && seen.contains("x-forwarded-for: 127.0.0.1"), "{seen}");
    assert_eq!(gw.metric("attache_streams_open", &[("route", "all")]).await, 1.0);
    client.write("quit\n").await;
    client.closed().await;
    drop(client);
    let record = gw.record().await;
    assert_eq!(
        (&record["status"], &record["stream"], &record["reason"]),
        (&json!(101), &json!(true), &json!(null)),
        "{record}"
    );
    assert_eq!((&record["bytes_received"], &record["bytes_sent"]), (&json!(75), &json!(76)), "{record}");
    assert_eq!(gw.metric("attache_streams_open", &[]).await, 0.0);
}

#[tokio::test]
async fn a_tunnel_may_use_tls_on_both_sides() {
    let ca = Ca::new();
    let (outer, inner) = (ca.issue(&["a.example"]), ca.issue(&["127.0.0.1"]));
    let speak = Speak { tls: Some(inner.server(&["http/1.1"], None)), ..Speak::default() };
    let backend = Backend::handling_as(speak, |request| async move {
        tokio::spawn(async move {
            let mut io = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let mut line = [0; 6];
            io.read_exact(&mut line).await.unwrap();
            io.write_all(&line).await.unwrap();
        });
        let answer = Response::builder().status(101);
        let answer = answer.header("connection", "upgrade");
        answer.header("upgrade", "websocket").body(empty()).unwrap()
    })
    .await;
    let template = "
        listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } } }
        routes: { all: { cluster: one, websocket: true } }
        clusters: { one: { endpoints: ['{0}'], protocol: http/1.1, tls: { caFile: '{2}' } } }
    ";
    let gw = Gw::with(template, &[&backend, &outer, &ca]).await;
    let mut client = gw.tls(&Tls::new(&ca, &["http/1.1"]), "a.example").await.unwrap();
    let asking = at_host("a.example", websocket("/"));
    let answer = client.send(asking).await.unwrap();
    assert_eq!(answer.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    io.write_all(b"hello\n").await.unwrap();
    let mut line = [0; 6];
    within("the echo", io.read_exact(&mut line)).await.unwrap();
    assert_eq!(&line, b"hello\n");
}

#[tokio::test]
async fn either_side_may_end_a_tunnel() {
    let backend = echo().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let client = switched(&gw).await;
    client.reset();
    gw.record().await;
    let mut client = switched(&gw).await;
    client.finish().await;
    client.closed().await;
    gw.records(2).await;
    eventually("nothing stays open", || async { gw.metric("attache_upstream_connections", &[]).await == 0.0 }).await;
}

#[tokio::test]
async fn a_silent_tunnel_is_cut() {
    let backend = echo().await;
    let template = "routes: { all: { endpoints: ['{0}'], websocket: true, streaming: { idleTimeout: 1s } } }";
    let gw = Gw::with(template, &[&backend]).await;
    let mut client = switched(&gw).await;
    for _ in 0..4 {
        pass(Duration::from_millis(300)).await;
        client.write("x\n").await;
        client.read_until("\n").await;
    }
    client.closed().await;
    assert_eq!(gw.record().await["reason"], "stream_idle");
}

#[tokio::test]
async fn a_tunnel_is_not_offered_where_the_route_does_not_allow_it() {
    let backend = echo().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write(HANDSHAKE).await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 403 ") && head.contains("x-attache-reason: upgrade_refused"), "{head}");
    assert_eq!(backend.connections(), 0);
}

#[tokio::test]
async fn an_endpoint_may_decline() {
    let backend = RawBackend::answering("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno").await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write(HANDSHAKE).await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    assert_eq!(body, "no");
}

#[tokio::test]
async fn rfc9110_7_8_a_switch_nobody_asked_for_is_502() {
    let backend = RawBackend::answering(SWITCHED).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_invalid"));
}

#[tokio::test]
async fn other_upgrades_are_ignored() {
    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let asking = with_field("upgrade", "h2c", get("/"));
    let asking = with_field("connection", "upgrade", asking);
    assert_eq!(gw.send(asking).await.status, 200);
    assert!(!backend.received()[0].to_lowercase().contains("upgrade"));
}
