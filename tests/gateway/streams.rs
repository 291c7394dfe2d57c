//! Event streams: every event at once, the end of either side seen by the other, nothing held for longer than needed.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::support::{
    Backend, Client, EventStream, Gw, Raw, RawBackend, Speak, Sse, channel, chunk, eventually, get, pass, promised,
    request, within,
};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'] } }";
const TO_ONE_H2C: &str = "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";

async fn open(client: &mut Client, sse: &Sse) -> (hyper::body::Incoming, EventStream) {
    let (answer, stream) = tokio::join!(client.send(get("/stream")), sse.stream());
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    (answer.into_body(), stream)
}

/// Each event arrives before the next one is sent.
async fn each_event_arrives(client: &mut Client, sse: &Sse) {
    let (mut body, stream) = open(client, sse).await;
    for turn in 0..20 {
        stream.event(&turn.to_string()).await;
        let event = chunk(&mut body).await.expect("the stream goes on").unwrap();
        assert_eq!(event, format!("data: {turn}\n\n"));
    }
    stream.end();
    let end = chunk(&mut body).await;
    assert!(end.is_none(), "the end of the stream arrives, not {end:?}");
}

#[tokio::test]
async fn every_event_arrives_at_once() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    each_event_arrives(&mut gw.h1().await, &sse).await;
    each_event_arrives(&mut gw.h2().await, &sse).await;
    for record in gw.records(2).await {
        assert_eq!(
            (&record["stream"], &record["reason"], &record["flags"]),
            (&json!(true), &json!(null), &json!("-")),
            "{record}"
        );
    }
}

#[tokio::test]
async fn every_event_arrives_at_once_from_an_h2_endpoint() {
    let sse = Sse::h2c().await;
    let gw = Gw::with(TO_ONE_H2C, &[&sse]).await;
    each_event_arrives(&mut gw.h1().await, &sse).await;
    each_event_arrives(&mut gw.h2().await, &sse).await;
    gw.records(2).await;
}

#[tokio::test]
async fn the_head_arrives_before_the_first_event() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    let (_body, stream) = open(&mut gw.h1().await, &sse).await;
    assert!(!stream.is_closed());
}

#[tokio::test]
async fn open_streams_are_counted_until_they_end() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    let mut client = gw.h1().await;
    let (mut body, stream) = open(&mut client, &sse).await;
    assert_eq!(gw.metric("attache_streams_open", &[("route", "all")]).await, 1.0);
    assert_eq!(gw.metric("attache_requests_in_flight", &[("route", "all")]).await, 1.0);
    stream.end();
    assert!(chunk(&mut body).await.is_none());
    eventually("no stream is open", || async { gw.metric("attache_streams_open", &[("route", "all")]).await == 0.0 })
        .await;
    eventually("no request is in flight", || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 }).await;
}

/// Ways to break off.
const BREAKS: [&str; 4] = ["chunked, closed", "chunked, reset", "length, closed", "length, reset"];

/// A backend that breaks off after one event, when it is told that what there is has arrived.
async fn breaking_off(how: &'static str, told: &Arc<Notify>) -> RawBackend {
    let told = Arc::clone(told);
    RawBackend::script(move |mut connection| {
        let told = Arc::clone(&told);
        async move {
            connection.read_head().await;
            if how.starts_with("chunked") {
                connection
                    .write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                connection.write("9\r\ndata: 1\n\n\r\n").await;
            } else {
                connection.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\ndata: 1\n\n").await;
            }
            told.notified().await;
            if how.ends_with("reset") {
                connection.reset();
            }
        }
    })
    .await
}

#[tokio::test]
async fn rfc9112_8_a_broken_answer_does_not_look_complete() {
    for how in BREAKS {
        let told = Arc::new(Notify::new());
        let backend = breaking_off(how, &told).await;
        let gw = Gw::with(TO_ONE, &[&backend]).await;
        let mut client = gw.raw().await;
        client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        client.read_until("data: 1\n\n").await;
        told.notify_one();
        let rest = client.rest().await;
        assert!(!rest.contains("0\r\n\r\n"), "{how}: no last chunk, got {rest:?}");
        let record = gw.record().await;
        assert_eq!(
            (&record["reason"], &record["flags"], &record["status"]),
            (&json!("upstream_aborted"), &json!("UC"), &json!(200)),
            "{how}"
        );
    }
}

#[tokio::test]
async fn rfc9113_8_1_a_broken_answer_is_a_reset_stream() {
    for how in BREAKS {
        let told = Arc::new(Notify::new());
        let backend = breaking_off(how, &told).await;
        let gw = Gw::with(TO_ONE, &[&backend]).await;
        let mut client = gw.h2().await;
        let mut body = client.send(get("/")).await.unwrap().into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: 1\n\n");
        told.notify_one();
        let error = chunk(&mut body).await.expect("not the end").expect_err("an error");
        assert!(reset_reason(&error).is_some(), "{how}: a reset of the stream, got {error:?}");
        assert_eq!(gw.record().await["reason"], "upstream_aborted", "{how}");
        // The connection goes on.
        assert_eq!(client.send(get("/")).await.unwrap().status(), 200, "{how}");
    }
}

fn reset_reason(error: &hyper::Error) -> Option<h2::Reason> {
    let cause = std::error::Error::source(error)?.downcast_ref::<h2::Error>()?;
    if cause.is_reset() { cause.reason() } else { None }
}

#[tokio::test]
async fn an_h2_endpoint_that_resets_its_stream_is_seen_as_an_abort() {
    let sse = Sse::h2c().await;
    let gw = Gw::with(TO_ONE_H2C, &[&sse]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (mut body, stream) = open(&mut client, &sse).await;
        stream.event("1").await;
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: 1\n\n");
        stream.abort().await;
        assert!(chunk(&mut body).await.expect("not the end").is_err());
    }
    for record in gw.records(2).await {
        assert_eq!(record["reason"], "upstream_aborted", "{record}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_stream() {
    let sse = Sse::new().await;
    let gw = Gw::with(TO_ONE, &[&sse]).await;
    for (turn, mut client) in [gw.h1().await, gw.h2().await].into_iter().enumerate() {
        let (mut body, stream) = open(&mut client, &sse).await;
        stream.event("1").await;
        chunk(&mut body).await.unwrap().unwrap();
        let left = Instant::now();
        client.leave();
        drop(body);
        stream.closed().await;
        promised("a stream's end", left.elapsed(), Duration::from_secs(1));
        let record = gw.records(turn + 1).await.remove(turn);
        assert_eq!(
            (&record["reason"], &record["flags"], &record["status"]),
            (&json!("client_gone"), &json!("DC"), &json!(200))
        );
    }
    assert_eq!(gw.metric("attache_errors_total", &[("reason", "client_gone")]).await, 2.0);
    assert_eq!(gw.metric("attache_errors_total", &[]).await, 2.0, "and no failure of the endpoint");
    assert_eq!(gw.metric("attache_requests_in_flight", &[]).await, 0.0);
}

#[tokio::test]
async fn a_client_that_resets_one_stream_keeps_the_others() {
    let sse = Sse::h2c().await;
    let gw = Gw::with(TO_ONE_H2C, &[&sse]).await;
    let mut client = gw.h2().await;
    let (first, cancelled) = open(&mut client, &sse).await;
    let (mut second, kept) = open(&mut client, &sse).await;
    drop(first);
    within("the endpoint learns it", cancelled.closed()).await;
    kept.event("still").await;
    assert_eq!(chunk(&mut second).await.unwrap().unwrap(), "data: still\n\n");
    assert_eq!(sse.backend().connections(), 1, "the connection to the endpoint is kept as well");
    assert_eq!(gw.record().await["reason"], "client_gone");
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_cancels_its_request() {
    let (gone, mut learned) = tokio::sync::mpsc::channel(4);
    let backend = RawBackend::script(move |mut connection| {
        let gone = gone.clone();
        async move {
            connection.read_head().await;
            connection.closed().await;
            gone.send(()).await.unwrap();
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for (turn, mut client) in [gw.h1().await, gw.h2().await].into_iter().enumerate() {
        let waiting = tokio::spawn(async move { client.send(get("/")).await.map(drop) });
        eventually("the endpoint works", || async {
            backend.received().iter().filter(|text| text.ends_with("\r\n\r\n")).count() == turn + 1
        })
        .await;
        let left = Instant::now();
        waiting.abort();
        within("the endpoint learns it", learned.recv()).await;
        promised("a request's end", left.elapsed(), Duration::from_secs(1));
        let record = gw.records(turn + 1).await.remove(turn);
        assert_eq!(
            (&record["reason"], &record["status"], &record["attempts"]),
            (&json!("client_gone"), &json!(499), &json!(1))
        );
    }
}

#[tokio::test]
async fn a_stream_without_end_ends_when_its_client_leaves_while_nothing_is_read() {
    let backend = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move { while sender.send_patiently(vec![b'x'; 64 * 1024]).await {} });
        Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = Raw::connect_narrow(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.read_head().await;
    client.reset();
    eventually("the endpoint's connection is closed", || async { backend.open() == 0 }).await;
    assert_eq!(gw.record().await["reason"], "client_gone");
}

#[tokio::test]
async fn a_total_time_limit_does_not_cut_a_stream() {
    let sse = Sse::new().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], timeout: 1s } }", &[&sse]).await;
    let (mut body, stream) = open(&mut gw.h1().await, &sse).await;
    pass(Duration::from_millis(1500)).await;
    stream.event("late").await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "data: late\n\n");
    stream.end();
    assert!(chunk(&mut body).await.is_none());
    assert_eq!(gw.record().await["reason"], json!(null));
}

#[tokio::test]
async fn a_silent_stream_is_cut() {
    let sse = Sse::new().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], streaming: { idleTimeout: 1s } } }", &[&sse]).await;
    for (turn, mut client) in [gw.h1().await, gw.h2().await].into_iter().enumerate() {
        let (mut body, stream) = open(&mut client, &sse).await;
        for _ in 0..4 {
            pass(Duration::from_millis(300)).await;
            stream.event("not silent").await;
            assert!(chunk(&mut body).await.unwrap().is_ok(), "events keep it alive");
        }
        assert!(chunk(&mut body).await.expect("not the end").is_err(), "cut, and seen to be cut");
        stream.closed().await;
        let record = gw.records(turn + 1).await.remove(turn);
        assert_eq!((&record["reason"], &record["flags"]), (&json!("stream_idle"), &json!("SI")));
    }
}

#[tokio::test]
async fn a_stream_is_cut_at_its_maximum_duration() {
    let sse = Sse::new().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], streaming: { maxDuration: 1s } } }", &[&sse]).await;
    let start = Instant::now();
    let (mut body, stream) = open(&mut gw.h1().await, &sse).await;
    let sending = tokio::spawn(async move { while stream.event("more").await {} });
    let error = loop {
        match chunk(&mut body).await.expect("not the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(1), "{error:?} after {took:?}");
    within("the endpoint stops", sending).await.unwrap();
    let record = gw.record().await;
    assert_eq!((&record["reason"], &record["flags"]), (&json!("stream_too_long"), &json!("DT")));
}

/// Many small unread events on one HTTP/2 connection must not end the connection for the others (h2 gives every
/// connection a budget for small unread frames, and ends it when that runs out).
#[tokio::test]
async fn stalled_readers_of_small_events_do_not_hurt_a_sibling() {
    const STALLED: usize = 20;
    let sse = Sse::h2c().await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE_H2C}"), &[&sse]).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut client = Raw::connect_narrow(gw.address()).await;
        client.write("GET /stalled HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let stream = sse.stream().await;
        client.read_head().await;
        let body = stream.body().clone();
        let pouring = tokio::spawn(async move {
            let event = bytes::Bytes::from(format!("data: {}\n\n", "x".repeat(52)));
            while body.send_patiently(event.clone()).await {}
        });
        stalled.push((client, stream, pouring));
    }
    let mut client = gw.h1().await;
    let (mut body, stream) = open(&mut client, &sse).await;
    for turn in 0..300 {
        stream.event(&turn.to_string()).await;
        let event = chunk(&mut body).await.expect("the sibling's stream goes on").expect("and is not broken");
        assert_eq!(event, format!("data: {turn}\n\n"));
    }
    for (_, stream, _) in &stalled {
        assert!(!stream.is_closed(), "nobody's stream was cut");
    }
    assert_eq!(sse.backend().connections(), 1, "all of them share one connection");
}

#[tokio::test]
async fn more_streams_than_one_h2_connection_holds_open_another() {
    let sse = Sse::h2c().await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE_H2C}"), &[&sse]).await;
    let mut client = gw.h2().await;
    let mut streams = Vec::new();
    for _ in 0..80 {
        streams.push(open(&mut client, &sse).await);
    }
    assert!(sse.backend().connections() >= 2, "{} connections", sse.backend().connections());
    for (body, stream) in &mut streams {
        stream.event("x").await;
        assert_eq!(chunk(body).await.unwrap().unwrap(), "data: x\n\n");
    }
}

#[tokio::test]
async fn a_content_type_with_parameters_is_a_stream_too() {
    let sse = Sse::speaking(Speak::default(), "Text/Event-Stream; charset=utf-8").await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], timeout: 1s } }", &[&sse]).await;
    let mut client = gw.h1().await;
    let (answer, stream) = tokio::join!(client.send(get("/")), sse.stream());
    let mut body = answer.unwrap().into_body();
    pass(Duration::from_millis(1500)).await;
    stream.event("late").await;
    assert!(chunk(&mut body).await.unwrap().is_ok());
}

/// Listeners that are quick to take an upload for dead.
const HASTY: &str = "
    listeners: { http: { address: '127.0.0.1:0', limits: { bodyIdleTimeout: 400ms } } }
    routes: { all: { cluster: one } }
";

/// Its own side of the exchange stays open, as in a gRPC call in both directions.
#[tokio::test]
async fn a_client_that_listens_is_not_taken_for_a_slow_upload() {
    for (speak, protocol) in [(false, "http/1.1"), (true, "h2c")] {
        let sse = if speak { Sse::h2c().await } else { Sse::new().await };
        let template = format!("{HASTY}    clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}");
        let gw = Gw::with(&template, &[&sse]).await;
        let (sender, body) = channel();
        let mut h2 = gw.h2().await;
        let answering = tokio::spawn(async move {
            let answer = h2.send(request("POST", "/", body)).await.unwrap();
            (h2, answer.into_body())
        });
        assert!(sender.send("once").await);
        let first = sse.stream().await;
        let (_h2, mut answer) = within("the answer's head", answering).await.unwrap();
        let mut h1 = gw.raw().await;
        h1.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nonce\r\n").await;
        let second = sse.stream().await;
        h1.read_head().await;
        // The limit has passed several times, with the agent speaking and with both silent.
        for turn in 0..3 {
            pass(Duration::from_millis(if turn == 2 { 1600 } else { 600 })).await;
            assert!(first.event("x").await && second.event("x").await);
            assert!(chunk(&mut answer).await.expect("it goes on").is_ok());
            h1.read_until("data: x").await;
        }
        // And it has the word when it wants it.
        assert!(sender.send("again").await);
        h1.write("5\r\nagain\r\n0\r\n\r\n").await;
        drop(sender);
        first.end();
        second.end();
        assert!(chunk(&mut answer).await.is_none(), "to the end");
        h1.read_until("0\r\n\r\n").await;
        for record in gw.records(2).await {
            assert_eq!(record["reason"], serde_json::Value::Null, "{record}");
        }
    }
}

#[tokio::test]
async fn an_upload_beside_an_answer_that_is_no_stream_has_its_limit() {
    let sse = Sse::speaking(Speak::default(), "text/plain").await;
    let template = format!("{HASTY}    clusters: {{ one: {{ endpoints: ['{{0}}'] }} }}");
    let gw = Gw::with(&template, &[&sse]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    let stream = sse.stream().await;
    client.read_head().await;
    // The answer goes on, so nothing has stopped.
    for _ in 0..8 {
        pass(Duration::from_millis(150)).await;
        assert!(stream.event("x").await);
        client.read_until("data: x").await;
    }
    // Both are silent, and the upload is not whole.
    let rest = client.rest().await;
    assert!(!rest.ends_with("0\r\n\r\n"), "no clean end: {rest:?}");
    assert_eq!(gw.record().await["reason"], "body_timeout");
}

#[tokio::test]
async fn an_agent_that_listens_is_not_taken_for_a_silent_stream() {
    let sse = Sse::h2c().await;
    let template = "
        routes: { all: { cluster: one, streaming: { idleTimeout: 600ms } } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
    ";
    let gw = Gw::with(template, &[&sse]).await;
    let (sender, body) = channel();
    let mut client = gw.h2().await;
    let answering = tokio::spawn(async move {
        let answer = client.send(request("POST", "/", body)).await.unwrap();
        (client, answer.into_body())
    });
    assert!(sender.send("first").await);
    let stream = sse.stream().await;
    let (_client, mut answer) = within("the answer's head", answering).await.unwrap();
    for _ in 0..12 {
        pass(Duration::from_millis(200)).await;
        assert!(sender.send("more").await, "it takes the upload");
    }
    assert!(stream.event("x").await, "four times the limit");
    assert!(chunk(&mut answer).await.expect("it goes on").is_ok());
    // Now nobody says anything.
    assert!(chunk(&mut answer).await.is_none_or(|piece| piece.is_err()));
    assert_eq!(gw.record().await["reason"], "stream_idle");
}
