//! gRPC, as HTTP sees it: HTTP/2 end to end, trailers that carry the outcome, and the gateway's own failures in that
//! form.

use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;

use crate::support::{
    Backend, Body, Gw, Speak, channel, chunk, empty, eventually, pass, refusing, request, with_field, with_trailers,
};

const TO_ONE: &str = "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

/// One message with its prefix.
const MESSAGE: &[u8] = b"\0\0\0\0\x07message";

fn outcome(status: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    fields.insert("grpc-status", status.parse().unwrap());
    fields.insert("grpc-message", "as%20it%20is".parse().unwrap());
    fields
}

fn call(path: &str, body: Body) -> Request<Body> {
    let request = with_field("te", "trailers", request("POST", path, body));
    with_field("content-type", "application/grpc+proto", request)
}

#[tokio::test]
async fn a_call_and_its_trailers_pass() {
    let backend = Backend::handling_as(SPEAK, |request| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let message = request.into_body().collect().await.unwrap().to_bytes();
        let answer = Response::builder().header("content-type", "application/grpc+proto");
        answer.body(with_trailers(message, outcome("0"))).unwrap()
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.h2().await.reply(call("/a2a.v1.Agent/Send", crate::support::full(MESSAGE))).await;
    assert_eq!((reply.status, &*reply.body), (200, MESSAGE));
    let trailers = reply.trailers.expect("there are trailers");
    assert_eq!(
        (trailers["grpc-status"].to_str().unwrap(), &trailers["grpc-message"]),
        ("0", &outcome("0")["grpc-message"])
    );
    let record = gw.record().await;
    assert_eq!(
        (&record["proto"], &record["stream"]),
        (&"HTTP/2".into(), &serde_json::Value::Null),
        "a call with one message is no stream: {record}"
    );
}

#[tokio::test]
async fn a_listener_in_the_clear_takes_grpc_without_being_told() {
    let backend = Backend::handling_as(SPEAK, |_| async {
        let answer = Response::builder().header("content-type", "application/grpc");
        answer.body(with_trailers("answer", outcome("0"))).unwrap()
    })
    .await;
    let template = format!("listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\n{TO_ONE}");
    let gw = Gw::with(&template, &[&backend]).await;
    let calling = call("/x", crate::support::full("m"));
    let reply = gw.h2().await.reply(calling).await;
    assert_eq!((reply.status, reply.text()), (200, "answer"));
    assert_eq!(reply.trailers.expect("trailers pass")["grpc-status"], "0");
    assert_eq!(gw.get("/").await.status, 200, "HTTP/1.1 on the same port");
    let mut records = gw.records(2).await;
    records.sort_by_key(|record| record["proto"].to_string());
    let spoken: Vec<_> = records.iter().map(|record| &record["proto"]).collect();
    assert_eq!(spoken, ["HTTP/1.1", "HTTP/2"]);
}

#[tokio::test]
async fn the_preface_of_http2_has_the_time_and_size_of_a_head() {
    let template = "
        listeners: { http: { address: '127.0.0.1:0', limits: { headerTimeout: 400ms, idleTimeout: 1h } } }
        routes: { all: { respond: { body: here } } }
    ";
    let gw = Gw::with(template, &[]).await;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Byte by byte and never whole, or whole and then nothing: both end, long before the connection would be idle.
    for (bytes, whole) in [(&preface[..preface.len() - 1], false), (preface, true)] {
        let mut client = gw.raw().await;
        for byte in bytes.bytes() {
            client.write([byte]).await;
        }
        let said = client.read_to_end().await;
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{whole}: {said:?}");
    }
    // What only begins like it is HTTP/1.1, however it arrives.
    let mut client = gw.raw().await;
    for byte in "PRI /here HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".bytes() {
        client.write([byte]).await;
    }
    let said = client.rest().await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    // And what goes on after it as HTTP/1.1 does is refused, with no request made of it.
    let mut client = gw.raw().await;
    let broken = format!("{preface}GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.try_write(broken).await;
    let said = client.read_to_end().await;
    assert!(!said.starts_with(b"HTTP/1.1"), "{said:?}");
    assert_eq!(gw.record().await["method"], "PRI");
}

#[tokio::test]
async fn an_answer_of_several_messages_is_a_stream_in_the_log() {
    let backend = Backend::handling_as(SPEAK, |_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            for _ in 0..2 {
                sender.send(MESSAGE).await;
            }
            sender.trailers(outcome("0")).await;
        });
        let answer = Response::builder().header("content-type", "application/grpc");
        answer.body(body).unwrap()
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let call = call("/a2a.v1.Agent/Stream", crate::support::full(MESSAGE));
    let reply = gw.h2().await.reply(call).await;
    assert_eq!(reply.body.len(), 2 * MESSAGE.len());
    let record = gw.record().await;
    assert_eq!(record["stream"], true, "{record}");
}

#[tokio::test]
async fn a_trailers_only_answer_passes() {
    let backend = Backend::handling_as(SPEAK, |_| async {
        let mut answer = Response::new(empty());
        *answer.headers_mut() = outcome("5");
        answer.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        answer
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.h2().await.reply(call("/x", crate::support::full("m"))).await;
    assert_eq!((reply.header("grpc-status"), reply.header("grpc-message")), ("5", "as%20it%20is"));
    assert!(reply.body.is_empty() && reply.trailers.is_none());
}

#[tokio::test]
async fn messages_pass_both_ways_at_the_same_time() {
    let backend = Backend::handling_as(SPEAK, |request| async move {
        let (sender, body) = channel();
        tokio::spawn(async move {
            let mut incoming = request.into_body();
            while let Some(Ok(message)) = chunk(&mut incoming).await {
                sender.send(message).await;
            }
            sender.trailers(outcome("0")).await;
        });
        Response::builder().header("content-type", "application/grpc").body(body).unwrap()
    })
    .await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: one, timeout: 1s } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
    ",
        &[&backend],
    )
    .await;
    let (sender, body) = channel();
    let mut answer = gw.h2().await.send(call("/x", body)).await.unwrap().into_body();
    pass(Duration::from_millis(1500)).await;
    for message in ["one", "two", "three"] {
        sender.send(message).await;
        assert_eq!(chunk(&mut answer).await.expect("the call goes on").unwrap(), message);
    }
    drop(sender);
    let rest = answer.collect().await.unwrap();
    assert_eq!(rest.trailers().expect("there are trailers")["grpc-status"], "0");
    eventually("no stream is open", || async { gw.metric("attache_streams_open", &[]).await == 0.0 }).await;
}

#[tokio::test]
async fn failures_of_the_gateway_are_grpc_outcomes() {
    let dead = refusing();
    let template = "
        routes: { all: { cluster: one, match: { path: { prefix: /dead } } } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
    ";
    let gw = Gw::with(template, &[&dead]).await;
    for (path, code, reason) in [("/dead", "14", "connect_failed"), ("/none", "12", "no_route")] {
        let reply = gw.h2().await.reply(call(path, crate::support::full("m"))).await;
        assert_eq!((reply.status, reply.header("grpc-status"), reply.reason()), (200, code, reason));
        assert_eq!(reply.header("content-type"), "application/grpc");
        assert!(reply.body.is_empty());
    }
    let records = gw.records(2).await;
    let mut statuses: Vec<_> = records.iter().map(|record| record["status"].as_u64().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [404, 502], "the log says what HTTP would have said");
}
