//! Streams of agents that break off, and agents that say nothing for long: what clients get to know of it.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::{
    Backend, Body, Client, EventStream, Gw, RawBackend, Speak, Sse, channel, chunk, get, grpc, pass, post, with_field,
    within,
};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'] } }";

/// A call that is answered by a stream, in this binding and generation.
fn call(path: &str, method: &str) -> Request<Body> {
    let params = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } });
    let body = if method.is_empty() {
        params
    } else {
        json!({ "jsonrpc": "2.0", "id": "call-7", "method": method, "params": params })
    };
    with_field("content-type", "application/json", post(path, body.to_string()))
}

fn json_rpc() -> Request<Body> {
    call("/", "SendStreamingMessage")
}

const WORKING: &str =
    r#"{"jsonrpc":"2.0","id":"call-7","result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}"#;

/// A stream of which one event has arrived.
async fn begun(client: &mut Client, sse: &Sse, asked: Request<Body>) -> (Incoming, EventStream) {
    let (answer, stream) = tokio::join!(client.send(asked), async {
        let stream = sse.stream().await;
        stream.event(WORKING).await;
        stream
    });
    let mut body = answer.unwrap().into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), format!("data: {WORKING}\n\n"));
    (body, stream)
}

/// The data of the last event, which has this name, and after which the stream breaks off.
async fn last(body: &mut Incoming, name: &str) -> Value {
    let event = chunk(body).await.expect("not the end").expect("an event before it breaks off");
    let end = chunk(body).await;
    assert!(matches!(end, Some(Err(_))), "it breaks off, and does not end: {end:?}");
    let event = String::from_utf8(event.to_vec()).unwrap();
    let data = event.strip_prefix(name).unwrap_or_else(|| panic!("{event}"));
    serde_json::from_str(data.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
}

/// The reason that an error of JSON-RPC or REST names.
fn reason(error: &Value) -> &str {
    let details = error["error"].get("data").unwrap_or_else(|| &error["error"]["details"]);
    details[0]["reason"].as_str().unwrap()
}

#[tokio::test]
async fn a_stream_that_breaks_off_between_two_events_says_so_in_the_callers_protocol() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    let mut count = 0;
    for (path, method, name) in [
        ("/", "SendStreamingMessage", "event: error\n"),
        ("/", "message/stream", ""),
        ("/message:stream", "", "event: error\n"),
        ("/v1/message:stream", "", ""),
    ] {
        for mut client in [gw.h1().await, gw.h2().await] {
            let (mut body, stream) = begun(&mut client, &sse, call(path, method)).await;
            stream.abort().await;
            let error = last(&mut body, name).await;
            assert_eq!(reason(&error), "upstream_aborted", "{error}");
            if method.is_empty() {
                assert_eq!((&error["error"]["code"], &error["error"]["status"]), (&json!(502), &json!("UNAVAILABLE")));
            } else {
                let said = (&error["jsonrpc"], &error["id"], &error["error"]["code"]);
                assert_eq!(said, (&json!("2.0"), &json!("call-7"), &json!(-32603)));
            }
            count += 1;
        }
    }
    for record in gw.records(count).await {
        assert_eq!(record["reason"], "upstream_aborted", "{record}");
    }
    let failed = gw.metric("a2a_requests_total", &[("method", "SendStreamingMessage"), ("outcome", "failed")]).await;
    assert_eq!(failed, 8.0);
    assert_eq!(gw.metric("attache_streams_open", &[]).await, 0.0);
    assert_eq!(gw.metric("attache_requests_in_flight", &[]).await, 0.0);
}

#[tokio::test]
async fn a_stream_that_breaks_off_in_the_middle_of_an_event_just_breaks_off() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    for part in ["data: {\"half", ": a comm", "d", "data: 1\n"] {
        for mut client in [gw.h1().await, gw.h2().await] {
            let (mut body, stream) = begun(&mut client, &sse, json_rpc()).await;
            stream.body().send(part).await;
            assert_eq!(chunk(&mut body).await.unwrap().unwrap(), part);
            stream.abort().await;
            let end = chunk(&mut body).await;
            assert!(matches!(end, Some(Err(_))), "{part:?}: {end:?}");
        }
    }
}

#[tokio::test]
async fn what_is_compressed_or_no_call_gets_no_last_word() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let agent = Backend::handling(move |request: Request<Incoming>| {
        let told = Arc::clone(&told);
        async move {
            let is_coded = request.uri().path() == "/coded";
            let (sender, body) = channel();
            tokio::spawn(async move {
                sender.send("data: 1\n\n").await;
                told.notified().await;
                sender.abort().await;
            });
            let answer = Response::builder().header("content-type", "text/event-stream");
            let answer = if is_coded { answer.header("content-encoding", "br") } else { answer };
            answer.body(body).unwrap()
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    for asked in [call("/coded", "SendStreamingMessage"), get("/stream"), call("/", "GetTask")] {
        let mut body = gw.h1().await.send(asked).await.unwrap().into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: 1\n\n");
        arrived.notify_one();
        let end = chunk(&mut body).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
    }
}

#[tokio::test]
async fn nothing_is_put_into_a_stream_whose_length_is_announced() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let agent = RawBackend::script(move |mut connection| {
        let told = Arc::clone(&told);
        async move {
            connection.read_head().await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 500\r\n\r\n";
            connection.write(format!("{head}data: {WORKING}\n\n")).await;
            told.notified().await;
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    let mut body = gw.h1().await.send(json_rpc()).await.unwrap().into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), format!("data: {WORKING}\n\n"));
    arrived.notify_one();
    let end = chunk(&mut body).await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
}

#[tokio::test]
async fn a_stream_that_the_gateway_ends_says_why() {
    for (settings, expected) in [
        ("streaming: { idleTimeout: 1s }", "stream_idle"),
        ("streaming: { maxDuration: 1s }", "stream_too_long"),
        ("fault: { stream: { percentage: 100%, cutAfterEvents: 1 } }", "fault_injected"),
    ] {
        let sse = Sse::new().await;
        let gw = Gw::with(&format!("routes: {{ all: {{ endpoints: ['{{0}}'], {settings} }} }}"), &[&sse]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let (mut body, _stream) = begun(&mut client, &sse, json_rpc()).await;
            assert_eq!(reason(&last(&mut body, "event: error\n").await), expected);
        }
    }
}

#[tokio::test]
async fn a_stream_that_a_drain_cuts_says_so_and_counts_as_cut() {
    let sse = Sse::new().await;
    let gw = Gw::with(&format!("{TO_ONE}\nshutdown: {{ drainTimeout: 300ms, streamGrace: 300ms }}"), &[&sse]).await;
    let (mut h1, mut h2, mut halfway) = (gw.h1().await, gw.h2().await, gw.h1().await);
    let (mut first, _first) = begun(&mut h1, &sse, json_rpc()).await;
    let (mut second, _second) = begun(&mut h2, &sse, json_rpc()).await;
    let (mut third, stream) = begun(&mut halfway, &sse, json_rpc()).await;
    stream.body().send("data: half").await;
    assert_eq!(chunk(&mut third).await.unwrap().unwrap(), "data: half");
    let ending = tokio::spawn(gw.shutdown());
    for body in [&mut first, &mut second] {
        assert_eq!(reason(&last(body, "event: error\n").await), "draining");
    }
    let end = chunk(&mut third).await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    let (drained, ended) = within("the gateway ends", ending).await.unwrap();
    assert_eq!(drained.cut, 3);
    for record in ended.records() {
        assert_eq!(record["reason"], "draining", "{record}");
    }
}

#[tokio::test]
async fn a_broken_stream_of_grpc_ends_with_a_status() {
    let speak = Speak { http2: true, ..Speak::default() };
    let sse = Sse::speaking(speak, "application/grpc").await;
    let template = "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&sse]).await;
    // StreamResponse { task: { id: "t", status: { state: WORKING } } }, and the same without its end.
    let message: &'static [u8] = b"\0\0\0\0\x09\x0a\x07\x0a\x01t\x1a\x02\x08\x02";
    for (sent, is_whole) in [(message, true), (&message[..9], false)] {
        let asked = grpc("SendStreamingMessage", b"");
        let mut client = gw.h2().await;
        let (answer, stream) = tokio::join!(client.send(asked), async {
            let stream = sse.stream().await;
            stream.body().send(sent).await;
            stream
        });
        let mut body = answer.unwrap().into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), sent);
        stream.abort().await;
        let end = within("the end", body.frame()).await.expect("not just the end");
        if is_whole {
            let trailers: HeaderMap = end.unwrap().into_trailers().unwrap();
            assert_eq!(
                (&trailers["grpc-status"], &trailers["grpc-message"]),
                (&"14".parse().unwrap(), &"the agent ended the exchange".parse().unwrap())
            );
            assert!(within("the end", body.frame()).await.is_none());
        } else {
            assert!(end.is_err(), "{end:?}");
        }
    }
    for record in gw.records(2).await {
        assert_eq!(record["reason"], "upstream_aborted", "{record}");
    }
}

const KEPT_ALIVE: &str =
    "routes: { all: { endpoints: ['{0}'], a2a: { keepAlive: 1s }, streaming: { idleTimeout: 3500ms } } }";

#[tokio::test]
async fn a_silent_agent_is_covered_for_by_comments_that_do_not_end_its_silence() {
    let sse = Sse::new().await;
    let gw = Gw::with(KEPT_ALIVE, &[&sse]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (mut body, _stream) = begun(&mut client, &sse, json_rpc()).await;
        let mut comments = 0;
        let error = loop {
            let piece = chunk(&mut body).await.expect("not the end").expect("an event before it breaks off");
            if piece != ": keep-alive\n\n" {
                break String::from_utf8(piece.to_vec()).unwrap();
            }
            comments += 1;
        };
        assert!((1..=3).contains(&comments), "{comments}");
        assert!(error.contains("\"stream_idle\""), "{error}");
        let end = chunk(&mut body).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
    }
    let first = gw.records(2).await.remove(0);
    assert!(first["bytes_sent"].as_u64().unwrap() > WORKING.len() as u64 + 14, "{first}");
}

#[tokio::test]
async fn no_comment_is_put_into_an_event_or_into_what_is_no_call() {
    let sse = Sse::new().await;
    let gw = Gw::with(&KEPT_ALIVE.replace("3500ms", "10s"), &[&sse]).await;
    let (mut client, mut other) = (gw.h1().await, gw.h1().await);
    let (mut body, stream) = begun(&mut client, &sse, json_rpc()).await;
    let (plain, silent) = tokio::join!(other.send(get("/stream")), sse.stream());
    stream.body().send("data: ha").await;
    while chunk(&mut body).await.unwrap().unwrap() != "data: ha" {}
    pass(Duration::from_millis(1500)).await;
    stream.body().send("lf\n\n").await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "lf\n\n", "nothing came in between");
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), ": keep-alive\n\n");
    silent.event("first").await;
    let mut plain = plain.unwrap().into_body();
    assert_eq!(chunk(&mut plain).await.unwrap().unwrap(), "data: first\n\n");
}

#[tokio::test]
async fn a_byte_order_mark_reaches_the_beginning_of_a_stream_and_nothing_else() {
    let sse = Sse::new().await;
    for (settings, has_comment) in [(TO_ONE, false), (&*KEPT_ALIVE.replace("3500ms", "10s"), true)] {
        let gw = Gw::with(settings, &[&sse]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let (answer, stream) = tokio::join!(client.send(json_rpc()), sse.stream());
            let mut body = answer.unwrap().into_body();
            if has_comment {
                assert_eq!(chunk(&mut body).await.unwrap().unwrap(), ": keep-alive\n\n");
            }
            stream.body().send(format!("\u{feff}data: {WORKING}\n\n")).await;
            let mut came = Vec::new();
            while !came.ends_with(b"}\n\n") {
                let piece = chunk(&mut body).await.unwrap().unwrap();
                came.extend_from_slice(if piece == ": keep-alive\n\n" { b"" } else { &piece });
            }
            let mark = if has_comment { "" } else { "\u{feff}" };
            assert_eq!(String::from_utf8(came).unwrap(), format!("{mark}data: {WORKING}\n\n"));
            stream.abort().await;
            assert_eq!(reason(&last(&mut body, "event: error\n").await), "upstream_aborted");
        }
        for record in gw.records(2).await {
            assert_eq!(record["task"], "t", "the gateway has read the event: {record}");
        }
    }
}

#[tokio::test]
async fn a_silence_beyond_every_limit_of_ordinary_answers_ends_no_stream() {
    let sse = Sse::new().await;
    // The silence is that of three comments: longer than these limits, as 15 s are longer than many usual ones.
    let template = "
        listeners: { http: { address: '127.0.0.1:0', limits: { bodyIdleTimeout: 1s } } }
        routes:
          all:
            endpoints: ['{0}']
            timeout: 1s
            responseHeadTimeout: 1s
            retries: { attempts: 1, perTryTimeout: 1s }
            a2a: { keepAlive: 1s }
    ";
    let gw = Gw::with(template, &[&sse]).await;
    for http2 in [false, true] {
        let mut client = if http2 { gw.h2().await } else { gw.h1().await };
        let (mut body, stream) = begun(&mut client, &sse, json_rpc()).await;
        for _ in 0..3 {
            assert_eq!(chunk(&mut body).await.unwrap().unwrap(), ": keep-alive\n\n");
        }
        let done = WORKING.replace("WORKING", "COMPLETED");
        stream.event(&done).await;
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), format!("data: {done}\n\n"));
        drop(stream);
        assert!(chunk(&mut body).await.is_none(), "it ends as it should");
    }
    for record in gw.records(2).await {
        assert_eq!((&record["status"], &record["reason"]), (&json!(200), &Value::Null), "{record}");
    }
}
