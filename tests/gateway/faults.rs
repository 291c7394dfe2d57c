//! Faults injected on purpose: what clients see of them, and who hears nothing of them.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    Backend, Client, Gw, RawBackend, Reply, Speak, Sse, chunk, empty, eventually, full, get, post, with_field, within,
};

/// What the gateway says it did to an answer.
fn injected(reply: &Reply) -> &str {
    reply.header("x-attache-fault")
}

async fn faults(gw: &Gw, kind: &str) -> f64 {
    gw.metric("attache_faults_total", &[("route", "all"), ("kind", kind)]).await
}

async fn ignored(gw: &Gw, reason: &str) -> f64 {
    let labels = [("route", "all"), ("reason", reason)];
    gw.metric("attache_faults_ignored_total", &labels).await
}

async fn active(gw: &Gw) -> f64 {
    gw.metric("attache_faults_active", &[("route", "all")]).await
}

fn faulty(fault: &str) -> String {
    format!("routes: {{ all: {{ endpoints: ['{{0}}'], fault: {{ {fault} }} }} }}")
}

#[tokio::test]
async fn a_delay_holds_a_request_back_and_lets_it_pass() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty("delay: { percentage: 100%, fixedDelay: 300ms }"), &[&backend]).await;
    let start = Instant::now();
    let reply = gw.send(post("/", "body")).await;
    let waited = start.elapsed();
    assert_eq!((reply.status, injected(&reply)), (200, "delay"));
    assert_eq!(backend.request().body, "body");
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    let record = gw.record().await;
    assert_eq!(
        (&record["flags"], &record["reason"], &record["status"], &record["attempts"]),
        (&json!("DI"), &json!("fault_injected"), &json!(200), &json!(1)),
    );
    assert_eq!(faults(&gw, "delay").await, 1.0);
    assert_eq!(active(&gw).await, 0.0);
    let errors = [("reason", "fault_injected")];
    assert_eq!(gw.metric("attache_errors_total", &errors).await, 0.0, "late is not failed");
}

#[tokio::test]
async fn nothing_reaches_the_endpoint_while_a_request_is_held_back() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty("delay: { percentage: 100%, fixedDelay: 60s }"), &[&backend]).await;
    let mut client = gw.h1().await;
    let waiting = tokio::spawn(async move { client.send_patiently(get("/")).await });
    eventually("it is held back", || async { active(&gw).await == 1.0 }).await;
    assert_eq!((backend.hits(), backend.connections()), (0, 0));
    waiting.abort();
    eventually("a client that leaves ends it", || async { active(&gw).await == 0.0 }).await;
    let record = gw.record().await;
    assert_eq!(
        (&record["flags"], &record["reason"], &record["attempts"]),
        (&json!("DC"), &json!("client_gone"), &json!(0))
    );
}

#[tokio::test]
async fn an_abort_is_answered_without_an_endpoint() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty("abort: { percentage: 100%, httpStatus: 503 }"), &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(post("/", "body")).await;
        assert_eq!((reply.status, reply.reason(), injected(&reply)), (503, "fault_injected", "abort"));
    }
    assert_eq!((backend.hits(), backend.connections()), (0, 0));
    for record in gw.records(2).await {
        assert_eq!(
            (&record["flags"], &record["reason"], &record["attempts"]),
            (&json!("FI"), &json!("fault_injected"), &json!(0)),
            "{record}"
        );
        assert_eq!(record["upstream_status"], json!(null));
    }
    assert_eq!(faults(&gw, "abort").await, 2.0);
    let attempts = gw.metric("attache_attempts_total", &[("cluster", "all")]);
    assert_eq!(attempts.await, 0.0);
    let retries = gw.metric("attache_retries_total", &[("cluster", "all")]);
    assert_eq!(retries.await, 0.0);
    let errors = [("reason", "fault_injected")];
    assert_eq!(gw.metric("attache_errors_total", &errors).await, 2.0);
}

#[tokio::test]
async fn each_protocol_gets_an_abort_in_its_own_form() {
    let backend = Backend::replying(200).await;
    let grpc = |request| with_field("content-type", "application/grpc", request);
    for (fault, request, status, code) in [
        ("grpcStatus: NOT_FOUND", grpc(post("/s/m", "")), 200, "5"),
        ("grpcStatus: 8", get("/"), 429, ""),
        ("httpStatus: 503", grpc(post("/s/m", "")), 200, "14"),
        ("httpStatus: 418", get("/"), 418, ""),
    ] {
        let gw = Gw::with(&faulty(&format!("abort: {{ percentage: 100%, {fault} }}")), &[&backend]).await;
        let reply = gw.h2().await.reply(request).await;
        assert_eq!((reply.status, reply.header("grpc-status")), (status, code), "{fault}");
        assert_eq!(injected(&reply), "abort");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn delay_and_abort_come_together_delay_first() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        &faulty("delay: { percentage: 100%, fixedDelay: 200ms }, abort: { percentage: 100%, httpStatus: 500 }"),
        &[&backend],
    )
    .await;
    let start = Instant::now();
    let reply = gw.get("/").await;
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!((reply.status, injected(&reply)), (500, "delay, abort"));
    assert_eq!(backend.hits(), 0);
    assert_eq!((faults(&gw, "delay").await, faults(&gw, "abort").await), (1.0, 1.0));
    assert_eq!(gw.record().await["flags"], "FI");
}

#[tokio::test]
async fn only_requests_with_the_header_fields_are_meant() {
    let backend = Backend::replying(200).await;
    let gw =
        Gw::with(&faulty("abort: { percentage: 100%, httpStatus: 503, whenHeader: { x-chaos: 'on' } }"), &[&backend])
            .await;
    let mut client = gw.h1().await;
    assert_eq!(client.reply(get("/")).await.status, 200);
    assert_eq!(client.reply(with_field("x-chaos", "off", get("/"))).await.status, 200);
    assert_eq!(client.reply(with_field("x-chaos", "on", get("/"))).await.status, 503);
    let reply = client.reply(get("/")).await;
    assert_eq!((reply.status, injected(&reply)), (200, ""));
}

#[tokio::test]
async fn what_is_over_does_nothing() {
    let backend = Backend::replying(200).await;
    let gw =
        Gw::with(&faulty("abort: { percentage: 100%, httpStatus: 503 }, until: 2020-01-01T00:00:00Z"), &[&backend])
            .await;
    assert_eq!(gw.get("/").await.status, 200);
    assert_eq!(faults(&gw, "abort").await, 0.0);
}

#[tokio::test]
async fn answers_of_the_gateway_itself_have_no_faults() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "
        defaults: { route: { fault: { abort: { percentage: 100%, httpStatus: 503 } } } }
        routes:
          health: { match: { path: { exact: /health } }, respond: { status: 200, body: fine } }
          off: { match: { path: { exact: /off } }, endpoints: ['{0}'], fault: off }
          all: { endpoints: ['{0}'] }
        ",
        &[&backend],
    )
    .await;
    assert_eq!(gw.get("/health").await.text(), "fine");
    assert_eq!(gw.get("/off").await.status, 200);
    assert_eq!(gw.get("/").await.status, 503);
    assert_eq!(gw.admin("/health").await.status, 200);
}

#[tokio::test]
async fn no_more_than_so_many_are_active_at_once() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty("delay: { percentage: 100%, fixedDelay: 60s }, maxActive: 2"), &[&backend]).await;
    let mut held = Vec::new();
    for count in [1.0, 2.0] {
        let mut client = gw.h1().await;
        held.push(tokio::spawn(async move { client.send_patiently(get("/")).await }));
        eventually("one more is held back", || async { active(&gw).await == count }).await;
    }
    let reply = gw.get("/").await;
    assert_eq!((reply.status, injected(&reply)), (200, ""));
    assert_eq!(ignored(&gw, "max_active").await, 1.0);
    held.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("there is room again", || async { active(&gw).await == 0.0 }).await;
}

#[tokio::test]
async fn a_reload_does_not_forget_what_is_active() {
    let backend = Backend::replying(200).await;
    let config = faulty("delay: { percentage: 100%, fixedDelay: 60s }, maxActive: 1");
    let mut gw = Gw::with(&config, &[&backend]).await;
    let mut client = gw.h1().await;
    let held = tokio::spawn(async move { client.send_patiently(get("/")).await });
    eventually("it is held back", || async { active(&gw).await == 1.0 }).await;
    gw.reload(&config.replace("60s", "50s"), &[&backend]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 200, "the one place is taken");
    assert_eq!(ignored(&gw, "max_active").await, 1.0);
    held.abort();
}

const BY_HEADER: &str = "byHeader: { clients: [127.0.0.0/8], whenHeader: { x-key: k }, maxDelay: 200ms }";

#[tokio::test]
async fn a_client_that_may_asks_for_faults() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty(BY_HEADER), &[&backend]).await;
    let mut client = gw.h1().await;
    let asked = |request| with_field("x-key", "k", request);
    let reply = client.reply(asked(with_field("x-attache-fault-abort", "504", get("/")))).await;
    assert_eq!((reply.status, reply.reason()), (504, "fault_injected"));
    let start = Instant::now();
    let reply = client.reply(asked(with_field("x-attache-fault-delay", "1000s", get("/")))).await;
    let waited = start.elapsed();
    assert_eq!((reply.status, injected(&reply)), (200, "delay"));
    // Cut to the longest allowed: nobody waits here for what was asked for.
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    let seen = backend.request();
    assert_eq!(seen.header("x-attache-fault-delay"), "", "it was for us");
    assert_eq!(seen.header("x-key"), "k");
}

#[tokio::test]
async fn a_fault_requested_by_anybody_else_is_ignored_and_counted() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty(BY_HEADER), &[&backend]).await;
    let mut client = gw.h1().await;
    let request = || with_field("x-attache-fault-abort", "503", get("/"));
    let reply = client.reply(request()).await;
    assert_eq!((reply.status, injected(&reply)), (200, ""));
    assert_eq!(ignored(&gw, "not_allowed").await, 1.0);
    let reply = client.reply(with_field("x-key", "wrong", request())).await;
    assert_eq!(reply.status, 200);
    assert_eq!(ignored(&gw, "not_allowed").await, 2.0);
    let odd = with_field("x-attache-fault-delay", "soon", get("/"));
    assert_eq!(client.reply(with_field("x-key", "k", odd)).await.status, 200);
    assert_eq!(ignored(&gw, "invalid").await, 1.0);
    assert_eq!(faults(&gw, "abort").await + faults(&gw, "delay").await, 0.0);
    for seen in backend.requests() {
        assert_eq!(seen.header("x-attache-fault-abort"), "");
    }
}

#[tokio::test]
async fn a_client_from_elsewhere_may_not_ask() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&faulty("byHeader: { clients: [10.0.0.0/8] }"), &[&backend]).await;
    let request = with_field("x-attache-fault-abort", "503", get("/"));
    let lie = with_field("x-forwarded-for", "10.0.0.1", request);
    assert_eq!(gw.send(lie).await.status, 200, "nobody vouches for its address");
    assert_eq!(ignored(&gw, "not_allowed").await, 1.0);
}

#[tokio::test]
async fn where_no_fault_is_configured_the_fields_mean_nothing() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let reply = gw.send(with_field("x-attache-fault-abort", "503", get("/"))).await;
    assert_eq!(reply.status, 200);
    assert!(!gw.metrics().await.contains("attache_faults"));
}

#[tokio::test]
async fn a_delay_counts_against_the_timeout() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], timeout: 200ms, fault: {
           delay: { percentage: 100%, fixedDelay: 60s } } } }",
        &[&backend],
    )
    .await;
    let start = Instant::now();
    let reply = gw.get("/").await;
    let waited = start.elapsed();
    assert_eq!((reply.status, reply.reason(), injected(&reply)), (504, "fault_injected", "delay"));
    assert!(waited >= Duration::from_millis(200), "{waited:?}");
    assert_eq!(backend.hits(), 0);
    assert_eq!(gw.record().await["flags"], "DI");
}

#[tokio::test]
async fn a_timeout_after_a_delay_is_the_faults() {
    let backend = RawBackend::silent().await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], timeout: 2s, fault: {
           delay: { percentage: 100%, fixedDelay: 100ms } } } }",
        &[&backend],
    )
    .await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason(), injected(&reply)), (504, "fault_injected", "delay"));
    assert_eq!(backend.connections(), 1, "it was asked, and not again");
    let record = gw.record().await;
    assert_eq!((&record["flags"], &record["attempts"]), (&json!("DI"), &json!(1)));
}

#[tokio::test]
async fn a_route_with_a_fault_keeps_its_retries() {
    let backend = Backend::replying(503).await.then(200);
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], timeout: 30s, retries: { retryOn: 503 }, fault: {
           delay: { percentage: 100%, fixedDelay: 300ms } } } }",
        &[&backend],
    )
    .await;
    let start = Instant::now();
    let reply = gw.get("/").await;
    let waited = start.elapsed();
    assert_eq!((reply.status, injected(&reply)), (200, "delay"));
    assert!(waited >= Duration::from_millis(300), "{waited:?}");
    assert_eq!((gw.record().await["attempts"].as_u64(), backend.hits()), (Some(2), 2));
    assert_eq!(faults(&gw, "delay").await, 1.0, "for each request, not for each try");
}

#[tokio::test]
async fn a_route_with_a_fault_keeps_its_timeout_for_all_of_its_tries() {
    let hanging = RawBackend::silent().await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], timeout: 1s, fault: {
           delay: { percentage: 100%, fixedDelay: 100ms } }, retries: {
           attempts: 20, perTryTimeout: 200ms, retryOn: 5xx, backoff: { max: 25ms } } } }",
        &[&hanging],
    )
    .await;
    let start = Instant::now();
    let reply = gw.get("/").await;
    let waited = start.elapsed();
    assert_eq!((reply.status, injected(&reply)), (504, "delay"));
    assert!(waited >= Duration::from_secs(1), "{waited:?}");
    let tries = gw.record().await["attempts"].as_u64().unwrap();
    assert!((2..=5).contains(&tries), "{tries}");
}

#[tokio::test]
async fn an_abort_is_not_tried_again_and_spends_no_budget() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], timeout: 30s, retries: { attempts: 5, retryOn: 5xx }, fault: {
           abort: { percentage: 100%, httpStatus: 503 } } } }",
        &[&backend],
    )
    .await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, injected(&reply)), (503, "abort"));
    assert_eq!((gw.record().await["attempts"].as_u64(), backend.hits()), (Some(0), 0));
    for family in ["attache_retries_total", "attache_retries_stopped_total"] {
        assert_eq!(gw.metric(family, &[]).await, 0.0, "{family}");
    }
    assert_eq!(faults(&gw, "abort").await, 1.0);
}

#[tokio::test]
async fn an_endpoints_own_failure_keeps_its_name() {
    let dead = crate::support::refusing();
    let gw = Gw::with(&faulty("delay: { percentage: 100%, fixedDelay: 50ms }"), &[&dead]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason(), injected(&reply)), (502, "connect_failed", "delay"));
    assert_eq!(gw.record().await["flags"], "UF");
}

/// Reads events until the stream ends; how many bytes came, and whether the end was a break.
async fn read(client: &mut Client, sse: &Sse, events: usize) -> (String, bool, Reply) {
    let (answer, stream) = tokio::join!(client.send(get("/stream")), sse.stream());
    let (head, mut body) = answer.unwrap().into_parts();
    let sender = tokio::spawn(async move {
        for turn in 0..events {
            if !stream.event(&turn.to_string()).await {
                break;
            }
        }
        stream.end();
    });
    let mut text = String::new();
    let broke = loop {
        match chunk(&mut body).await {
            None => break false,
            Some(Err(_)) => break true,
            Some(Ok(piece)) => text += std::str::from_utf8(&piece).unwrap(),
        }
    };
    within("the agent learns of it", sender).await.unwrap();
    let head = Reply {
        status: head.status.as_u16(),
        version: head.version,
        headers: head.headers,
        body: bytes::Bytes::new(),
        trailers: None,
    };
    (text, broke, head)
}

#[tokio::test]
async fn a_stream_breaks_off_after_its_events() {
    let sse = Sse::new().await;
    let gw = Gw::with(&faulty("stream: { percentage: 100%, cutAfterEvents: 2 }"), &[&sse]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (text, broke, head) = read(&mut client, &sse, 5).await;
        assert_eq!((head.status, head.header("x-attache-fault")), (200, "stream"));
        assert_eq!(text, "data: 0\n\ndata: 1\n\n");
        assert!(broke, "a polite end would be taken for success");
    }
    for record in gw.records(2).await {
        assert_eq!(
            (&record["flags"], &record["reason"], &record["stream"]),
            (&json!("FI"), &json!("fault_injected"), &json!(true)),
            "{record}"
        );
    }
    assert_eq!(faults(&gw, "stream").await, 2.0);
    eventually("none is active", || async { active(&gw).await == 0.0 }).await;
}

#[tokio::test]
async fn a_stream_with_fewer_events_ends_as_it_should() {
    let sse = Sse::new().await;
    let gw = Gw::with(&faulty("stream: { percentage: 100%, cutAfterEvents: 9 }"), &[&sse]).await;
    let (text, broke, _) = read(&mut gw.h1().await, &sse, 2).await;
    assert_eq!((text.as_str(), broke), ("data: 0\n\ndata: 1\n\n", false));
}

#[tokio::test]
async fn events_come_apart() {
    let sse = Sse::new().await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], streaming: { idleTimeout: 500ms }, fault: {
           stream: { percentage: 100%, delayBetweenEvents: 700ms } } } }",
        &[&sse],
    )
    .await;
    let mut client = gw.h1().await;
    let (answer, stream) = tokio::join!(client.send(get("/stream")), sse.stream());
    let mut body = answer.unwrap().into_body();
    let start = Instant::now();
    stream.body().send("data: 0\n\ndata: 1\n\ndata: 2\n\n").await;
    stream.end();
    let mut arrived = Vec::new();
    while let Some(event) = chunk(&mut body).await {
        let event = event.expect("our own delay is not taken for the agent's silence");
        arrived.push((start.elapsed(), event));
    }
    let events: Vec<_> = arrived.iter().map(|(_, event)| event.as_ref()).collect();
    assert_eq!(events, [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]);
    assert!(arrived[2].0 >= Duration::from_millis(1400), "{arrived:?}");
    let record = gw.record().await;
    assert_eq!((&record["flags"], &record["reason"]), (&json!("DI"), &json!("fault_injected")));
}

#[tokio::test]
async fn what_is_no_stream_is_not_disturbed() {
    let backend = Backend::replying(200).await.body("a\n\nb\n\nc\n\n");
    let gw = Gw::with(&faulty("stream: { percentage: 100%, cutAfterEvents: 1 }, maxActive: 1"), &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!(reply.text(), "a\n\nb\n\nc\n\n");
    assert_eq!(injected(&reply), "");
    assert_eq!(gw.record().await["flags"], "-");
}

#[tokio::test]
async fn a_grpc_stream_breaks_off_after_its_messages() {
    let speak = Speak { http2: true, ..Speak::default() };
    let backend = Backend::handling_as(speak, |_| async {
        let two = b"\0\0\0\0\x01a\0\0\0\0\x01b";
        http::Response::builder().header("content-type", "application/grpc").body(full(&two[..])).unwrap()
    })
    .await;
    let gw = Gw::with(
        "
        routes:
          all: { cluster: one, fault: { stream: { percentage: 100%, cutAfterEvents: 1 } } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
        ",
        &[&backend],
    )
    .await;
    let call = with_field("content-type", "application/grpc", post("/s/m", ""));
    let mut body = gw.h2().await.send(call).await.unwrap().into_body();
    let first = chunk(&mut body).await.unwrap().unwrap();
    assert_eq!(first, &b"\0\0\0\0\x01a"[..]);
    assert!(chunk(&mut body).await.unwrap().is_err());
}

#[tokio::test]
async fn an_aborted_upload_does_not_spoil_the_connection() {
    let backend = Backend::replying(200).await;
    let gw =
        Gw::with(&faulty("abort: { percentage: 100%, httpStatus: 503, whenHeader: { x-chaos: 'on' } }"), &[&backend])
            .await;
    let mut client = gw.h2().await;
    let upload = with_field("x-chaos", "on", post("/", vec![b'x'; 200_000]));
    assert_eq!(client.reply(upload).await.status, 503);
    let next = client.reply(crate::support::request("GET", "/", empty())).await;
    assert_eq!(next.status, 200);
}
