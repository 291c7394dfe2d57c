//! Which failures are tried again, where, and which never are.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Notify;

use crate::support::{Backend, Gw, RawBackend, Reply, channel, empty, eventually, get, pass, post, refusing, request};

const TWO: &str = "
    workers: 1
    routes: { all: { endpoints: ['{0}', '{1}'], } }
    defaults: { cluster: { loadBalancer: round-robin } }
";

/// An endpoint that reads a whole request and resets the connection without an answer.
async fn resetting() -> RawBackend {
    RawBackend::script(|mut connection| async move {
        connection.read_message().await;
        connection.reset();
    })
    .await
}

#[tokio::test]
async fn a_refused_connection_is_tried_elsewhere() {
    let (dead, alive) = (refusing(), Backend::replying(200).await);
    let gw = Gw::with(TWO, &[&dead, &alive]).await;
    for turn in 0..6 {
        let body = format!("body {turn}");
        assert_eq!(gw.send(post("/", body.clone())).await.status, 200);
        let seen = alive.requests();
        assert_eq!(seen.len(), turn + 1, "each request arrives exactly once");
        assert_eq!(seen[turn].body, body, "and whole");
    }
    let records = gw.records(6).await;
    let attempts: Vec<_> = records.iter().map(|record| record["attempts"].as_u64().unwrap()).collect();
    assert!(attempts.contains(&2), "some tried the dead one first: {attempts:?}");
    let retries = gw.metric("attache_retries_total", &[("cluster", "all"), ("reason", "connect_failed")]).await;
    assert_eq!(retries, attempts.iter().filter(|count| **count == 2).count() as f64);
}

#[tokio::test]
async fn a_streamed_body_is_whole_after_a_refused_connection() {
    let (dead, alive) = (refusing(), Backend::replying(200).await);
    let gw = Gw::with(TWO, &[&dead, &alive]).await;
    for turn in 0..4 {
        for mut client in [gw.h1().await, gw.h2().await] {
            let (sender, body) = channel();
            sender.send("one ").await;
            tokio::spawn(async move {
                sender.send("two ").await;
                sender.send(vec![b'x'; 100_000]).await;
            });
            let reply = client.reply(request("POST", "/", body)).await;
            assert_eq!(reply.status, 200, "turn {turn}: {}", reply.reason());
            let seen = alive.requests().pop().unwrap();
            assert!(seen.body.starts_with(b"one two xxx"));
            assert_eq!(seen.body.len(), 100_008);
        }
    }
}

#[tokio::test]
async fn when_nobody_listens_the_answer_is_502() {
    let (one, other) = (refusing(), refusing());
    let gw = Gw::with(TWO, &[&one, &other]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (502, "connect_failed"));
    let record = gw.record().await;
    assert_eq!((&record["attempts"], &record["flags"]), (&json!(2), &json!("UF")));
}

#[tokio::test]
async fn a_single_dead_endpoint_is_a_502_as_well() {
    let dead = refusing();
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&dead]).await;
    let reply = gw.send(post("/", "x")).await;
    assert_eq!((reply.status, reply.reason()), (502, "connect_failed"));
}

#[tokio::test]
async fn rfc9110_9_2_2_a_post_that_may_have_been_done_is_not_repeated() {
    let (one, other) = (resetting().await, resetting().await);
    let gw = Gw::with(TWO, &[&one, &other]).await;
    for request in [post("/", "do it"), post("/", ""), request("DELETE", "/", empty()), request("PUT", "/", empty())] {
        let before = one.connections() + other.connections();
        let reply = gw.send(request).await;
        assert_eq!((reply.status, reply.reason()), (502, "upstream_reset"));
        assert_eq!(one.connections() + other.connections() - before, 1, "one try");
    }
    for record in gw.records(4).await {
        assert_eq!((&record["attempts"], &record["flags"]), (&json!(1), &json!("UC")));
    }
}

#[tokio::test]
async fn rfc9110_9_2_2_a_safe_request_is_repeated_once() {
    let (one, other) = (resetting().await, resetting().await);
    let gw = Gw::with(TWO, &[&one, &other]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_reset"));
    assert_eq!((one.connections(), other.connections()), (1, 1), "once, and elsewhere");
    assert_eq!(gw.record().await["attempts"], 2);
}

#[tokio::test]
async fn a_safe_request_survives_an_endpoint_that_resets() {
    let (bad, good) = (resetting().await, Backend::replying(200).await);
    let gw = Gw::with(TWO, &[&bad, &good]).await;
    for _ in 0..4 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!(good.hits(), 4, "each request was answered once");
    assert!(bad.connections() >= 1, "and some had been at the bad one");
}

#[tokio::test]
async fn an_error_status_is_an_answer() {
    let (one, other) = (Backend::replying(503).await, Backend::replying(503).await);
    let gw = Gw::with(TWO, &[&one, &other]).await;
    assert_eq!(gw.get("/").await.status, 503);
    assert_eq!(one.hits() + other.hits(), 1);
    assert_eq!(gw.record().await["reason"], json!(null), "not the gateway's error");
}

/// Answers its first request on each connection, then does `then` when told to.
async fn closing_later(answer: Vec<&'static str>, told: Arc<Notify>, reset: bool) -> RawBackend {
    RawBackend::script(move |mut connection| {
        let (answer, told) = (answer.clone(), Arc::clone(&told));
        async move {
            connection.read_message().await;
            for part in answer {
                connection.write(part).await;
                // So that the parts arrive apart.
                pass(Duration::from_millis(5)).await;
            }
            if connection.index == 0 {
                told.notified().await;
                if reset {
                    connection.reset();
                }
            } else {
                connection.closed().await;
            }
        }
    })
    .await
}

/// However an answer ends, and in however many pieces it came, the end of its connection is noticed.
#[tokio::test]
async fn a_kept_connection_that_died_is_not_used() {
    for answer in [
        vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"],
        vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "ok"],
        vec!["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "o", "k"],
        vec!["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"],
        vec!["HTTP/1.1 204 No Content\r\n\r\n"],
        vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"],
        vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "2\r\nok\r\n", "0\r\n\r\n"],
        vec!["HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n", "\r\n"],
    ] {
        for reset in [false, true] {
            let told = Arc::new(Notify::new());
            let backend = closing_later(answer.clone(), Arc::clone(&told), reset).await;
            let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
            let mut client = if reset { gw.h2().await } else { gw.h1().await };
            assert!(client.reply(post("/", "one")).await.status < 300);
            told.notify_one();
            eventually("the gateway's kernel knows", || async { connections_to(&backend) == 0 }).await;
            let reply = client.reply(post("/", "two")).await;
            assert!(reply.status < 300, "not even a POST notices: {answer:?}");
            assert_eq!(backend.connections(), 2, "{answer:?}");
            for record in gw.records(2).await {
                assert_eq!(record["attempts"], 1, "no try was wasted on it: {answer:?}");
            }
        }
    }
}

/// Established connections to a backend, by the kernel's table.
fn connections_to(backend: &RawBackend) -> usize {
    let port = crate::support::Place::place(backend).rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let remote = format!("0100007F:{port:04X}");
    table
        .lines()
        .filter(|line| line.split_whitespace().nth(2) == Some(&remote) && line.split_whitespace().nth(3) == Some("01"))
        .count()
}

/// The endpoint closes its kept connection at the very moment it is used again: it reads the request and says nothing.
async fn closing_on_reuse() -> RawBackend {
    RawBackend::script(|mut connection| async move {
        connection.read_message().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        connection.read_message().await;
        if connection.index > 0 {
            connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
    })
    .await
}

#[tokio::test]
async fn rfc9112_9_5_a_connection_closed_on_reuse_costs_a_safe_request_nothing() {
    let backend = closing_on_reuse().await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    assert_eq!(gw.get("/").await.status, 200);
    assert_eq!(gw.get("/").await.status, 200);
    let records = gw.records(2).await;
    assert_eq!((&records[0]["attempts"], &records[1]["attempts"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn rfc9112_9_5_a_connection_closed_on_reuse_fails_a_post() {
    let backend = closing_on_reuse().await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    assert_eq!(gw.send(post("/", "one")).await.status, 200);
    let reply: Reply = gw.send(post("/", "two")).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_reset"));
    assert_eq!(backend.connections(), 1, "nobody did it twice");
}

#[tokio::test]
async fn answers_that_are_not_http_are_502() {
    for answer in [
        "hello\r\n\r\n",
        "HTTP/1.1 999999 Huge\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\nx: y\n\n",
        // RFC 9112 section 6.3: two lengths, or one that nobody knows.
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
    ] {
        let backend = RawBackend::answering(answer).await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
        let reply = gw.send(post("/", "x")).await;
        assert_eq!((reply.status, reply.reason()), (502, "upstream_invalid"), "{answer:?}");
        assert_eq!(backend.connections(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn bytes_after_an_answer_end_its_connection() {
    let backend = RawBackend::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    )
    .await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    for turn in 1..=3 {
        assert_eq!(gw.get("/").await.text(), "ok", "nobody gets what nobody asked for");
        assert_eq!(backend.connections(), turn);
    }
}

#[tokio::test]
async fn rfc9113_8_7_a_refused_stream_is_tried_again() {
    let (refusing, good) = (
        refusing_streams().await,
        Backend::replying_as(crate::support::Speak { http2: true, ..Default::default() }, 200).await,
    );
    let template = "
        workers: 1
        routes: { all: { cluster: two } }
        clusters: { two: { endpoints: ['{0}', '{1}'], protocol: h2c, loadBalancer: round-robin } }
    ";
    let gw = Gw::with(template, &[&refusing, &good]).await;
    for _ in 0..4 {
        assert_eq!(gw.send(request("POST", "/", empty())).await.status, 200, "even a POST: nothing was done");
    }
    assert_eq!(good.hits(), 4);
}

/// An HTTP/2 endpoint that refuses every stream.
async fn refusing_streams() -> RawBackend {
    RawBackend::script(|connection| async move {
        let Ok(mut connection) = h2::server::handshake(connection.into_stream()).await else {
            return;
        };
        while let Some(Ok((_request, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
    })
    .await
}

#[tokio::test]
async fn a_get_over_keep_alive_after_a_502_still_works() {
    let (bad, good) = (resetting().await, Backend::replying(200).await);
    let template = "
        routes:
          bad: { endpoints: ['{0}'], match: { path: { prefix: /bad } } }
          good: { endpoints: ['{1}'] }
    ";
    let gw = Gw::with(template, &[&bad, &good]).await;
    let mut client = gw.h1().await;
    assert_eq!(client.reply(get("/bad")).await.status, 502);
    assert_eq!(client.reply(get("/good")).await.status, 200, "the client's connection goes on");
}
