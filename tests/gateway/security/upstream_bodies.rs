//! Bodies that are cut short, and bytes nobody asked for.

use std::sync::Arc;

use tokio::sync::Notify;

use super::bench::TO_ONE;
use crate::support::{Gw, Raw, RawBackend, Reply, eventually, get};

#[tokio::test]
async fn a_body_cut_short_never_ends_cleanly() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "abc"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n", "123456789"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n0"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\nx: y"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "9\r\nabc"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabcX"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabc\r\nx\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\nabc\n0\n\n"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "3\r\nabcde\r\n0\r\n\r\n"),
        (
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
            "9\r\ndata: x\n\n\r\n",
        ),
    ];
    for (head, body) in cases {
        for by_reset in [false, true] {
            let (go, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (wait, done) = (Arc::clone(&go), Arc::clone(&gone));
            let backend = RawBackend::script(move |mut connection| {
                let (wait, done) = (Arc::clone(&wait), Arc::clone(&done));
                async move {
                    connection.read_head().await;
                    connection.try_write(format!("{head}{body}")).await;
                    if by_reset {
                        wait.notified().await;
                        connection.reset();
                    }
                    done.notify_one();
                }
            })
            .await;
            let gw = Gw::with(TO_ONE, &[&backend]).await;
            let mut client: Raw = gw.raw().await;
            client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n").await;
            go.notify_one();
            let text = client.rest().await;
            let clean = if text.contains("transfer-encoding: chunked") {
                text.ends_with("0\r\n\r\n")
            } else {
                text.contains("content-length: 10") && text.ends_with("0123456789")
            };
            assert!(!clean && text.matches("HTTP/1.1").count() <= 1, "{body:?}: {text}");
            assert!(
                text.starts_with("HTTP/1.1 200") || text.starts_with("HTTP/1.1 502") || text.is_empty(),
                "{body:?}: {text}"
            );
            gone.notified().await;
            let mut h2 = gw.h2().await;
            let request = crate::support::post("/", "");
            go.notify_one();
            let ended = match h2.send(request).await {
                Ok(response) => Reply::read(response).await.map(|reply| reply.status),
                Err(error) => Err(error),
            };
            assert!(matches!(ended, Err(_) | Ok(502)), "{body:?} over HTTP/2: {ended:?}");
            let record = gw.records(2).await.remove(0);
            assert!(
                ["upstream_aborted", "upstream_reset", "upstream_invalid"]
                    .contains(&record["reason"].as_str().unwrap_or("none")),
                "{body:?}: {record}"
            );
        }
    }
}

#[tokio::test]
async fn an_answer_without_a_length_ends_with_its_connection() {
    // The one framing whose end cannot be told from a break: a reset is one, a close is not.
    let go = Arc::new(Notify::new());
    let wait = Arc::clone(&go);
    let backend = RawBackend::script(move |mut connection| {
        let wait = Arc::clone(&wait);
        async move {
            connection.read_head().await;
            connection.write("HTTP/1.1 200 OK\r\n\r\nabc").await;
            wait.notified().await;
            connection.reset();
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.read_head().await;
    client.read_until("abc").await;
    go.notify_one();
    let rest = client.rest().await;
    assert!(head.contains("transfer-encoding: chunked") && !rest.ends_with("0\r\n\r\n"), "{rest:?}");
    assert_eq!(gw.record().await["reason"], "upstream_aborted");
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The first connection answers with `first`, all others with `OK`.
async fn first_then_ok(first: String) -> RawBackend {
    RawBackend::script(move |mut connection| {
        let first = first.clone();
        async move {
            let mut text = if connection.index == 0 { first } else { OK.to_owned() };
            // Ends with its connection.
            loop {
                connection.read_message().await;
                connection.try_write(std::mem::replace(&mut text, OK.to_owned())).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn surplus_bytes_reach_nobody() {
    let heads = [
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ];
    let poisons = [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "poison",
        "\r\n",
        "\0",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 6\r\n\r\npoison",
        "0\r\n\r\n",
    ];
    for head in heads {
        for poison in poisons {
            let backend = first_then_ok(format!("{head}{poison}")).await;
            let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
            let mut client = gw.h1().await;
            let reply = client.reply(get("/1")).await;
            assert!(!reply.text().contains("poison"), "{head:?} {poison:?}: {reply:?}");
            for _ in 0..2 {
                let reply = client.reply(crate::support::post("/2", "x")).await;
                assert_eq!((reply.status, reply.text()), (200, "ok"), "{head:?} {poison:?}");
            }
            assert_eq!(backend.connections(), 2, "the first one is dropped: {head:?} {poison:?}");
        }
    }
}

#[tokio::test]
async fn bytes_on_an_idle_connection_reach_nobody() {
    for poison in [
        "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison",
        "poison",
        "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\r\n",
        "\0",
    ] {
        let (go, written) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (wait, done) = (Arc::clone(&go), Arc::clone(&written));
        let backend = RawBackend::script(move |mut connection| {
            let (wait, done) = (Arc::clone(&wait), Arc::clone(&done));
            async move {
                connection.read_head().await;
                connection.write(OK).await;
                if connection.index == 0 {
                    wait.notified().await;
                    connection.write(poison).await;
                    done.notify_one();
                }
                connection.closed().await;
            }
        })
        .await;
        let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
        assert_eq!(gw.get("/1").await.text(), "ok");
        go.notify_one();
        written.notified().await;
        let reply = gw.get("/2").await;
        assert_eq!((reply.status, reply.text()), (200, "ok"), "{poison:?}");
        assert_eq!(backend.connections(), 2, "{poison:?}");
    }
}

#[tokio::test]
async fn a_connection_the_endpoint_closed_is_not_used() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write(OK).await;
    })
    .await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
    for turn in 0..20 {
        let reply = gw.send(crate::support::post("/", "x")).await;
        assert_eq!((reply.status, reply.text()), (200, "ok"), "turn {turn}");
        eventually("the connection is gone", || async {
            gw.metric("attache_upstream_connections", &[("cluster", "all")]).await < 0.5
                || backend.connections() == turn + 1
        })
        .await;
    }
    let closing = RawBackend::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&closing]).await;
    for turn in 1..5 {
        assert_eq!(gw.get("/").await.text(), "ok");
        assert_eq!(closing.connections(), turn, "it said close");
    }
}
