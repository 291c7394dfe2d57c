//! Endpoints with ways of their own: how they are named, how they close, what they get wrong.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::sync::Notify;

use crate::support::{Backend, Gw, Place, RawBackend, eventually, full, get, pass, post, request, with_field};

struct Named(u16);

impl Place for Named {
    fn place(&self) -> String {
        format!("localhost:{}", self.0)
    }
}

#[tokio::test]
async fn an_endpoint_may_have_a_name() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&Named(backend.address().port())]).await;
    let reply = gw.get("/").await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
}

const TO_ONE: &str = "workers: 1\nroutes: { all: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn rfc9112_9_6_a_connection_the_endpoint_closes_is_not_kept() {
    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for turn in 1..=3 {
        assert_eq!(gw.send(post("/", "x")).await.text(), "ok");
        assert_eq!(backend.connections(), turn);
    }
}

#[tokio::test]
async fn rfc9112_9_3_a_1_0_endpoint_is_served_by_one_connection_each() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.0 200 OK\r\ncontent-type: text/plain\r\n\r\nold but good").await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        assert_eq!(client.reply(get("/")).await.text(), "old but good");
    }
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_502() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.try_write(format!("HTTP/1.1 200 OK\r\nx-large: {}\r\n\r\n", "x".repeat(100_000))).await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.send(post("/", "x")).await;
    assert_eq!((reply.status, reply.reason()), (502, "upstream_invalid"));
}

#[tokio::test]
async fn large_heads_below_the_limit_pass() {
    let backend = Backend::replying(200).await.header("x-large", &"x".repeat(20_000));
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let asking = with_field("x-mine", &"y".repeat(20_000), get("/"));
    let reply = gw.send(asking).await;
    assert_eq!((reply.status, reply.header("x-large").len()), (200, 20_000));
    assert_eq!(backend.request().header("x-mine").len(), 20_000);
}

#[tokio::test]
async fn an_endpoint_that_answers_and_closes_without_reading_is_heard() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").await;
        connection.finish().await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }", &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let reply = client.reply(post("/", vec![b'x'; 4 << 20])).await;
        assert_eq!((reply.status, reply.text()), (413, "no"));
    }
}

/// An agent that closes idle connections says when: nothing is sent in the last part of that.
#[tokio::test]
async fn a_connection_is_not_used_when_the_agent_is_about_to_close_it() {
    for (said, wait, connections) in
        [("timeout=0", 0, 2), ("timeout=1", 600, 2), ("timeout=60", 600, 1), ("max=100", 600, 1)]
    {
        let backend = RawBackend::script(move |mut connection| async move {
            while connection.try_read_until("once").await.is_some() {
                connection.write(format!("HTTP/1.1 200 OK\r\nkeep-alive: {said}\r\ncontent-length: 2\r\n\r\nok")).await;
            }
        })
        .await;
        let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
        let mut client = gw.h1().await;
        assert_eq!(client.reply(post("/", "once")).await.status, 200);
        pass(Duration::from_millis(wait)).await;
        assert_eq!(client.reply(post("/", "once")).await.status, 200);
        assert_eq!(backend.connections(), connections, "{said}");
    }
}

/// A close with something unread is a reset, and the gateway may hear of it while it writes.
#[tokio::test]
async fn rfc9112_9_5_an_answer_before_a_reset_is_heard() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 2\r\n\r\nno").await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }", &[&backend]).await;
    for turn in 1..=20 {
        let mut client = gw.h2().await;
        let reply = client.reply(post("/", vec![b'x'; 1 << 20])).await;
        assert_eq!((reply.status, reply.text()), (413, "no"), "turn {turn}: {}", reply.reason());
        assert_eq!(backend.connections(), turn, "nothing was sent twice");
    }
}

#[tokio::test]
async fn rfc9113_6_8_an_endpoint_that_goes_away_finishes_what_it_began() {
    let backend = RawBackend::script(|connection| async move {
        let mut server = h2::server::handshake(connection.into_stream()).await.unwrap();
        let (_, mut first) = server.accept().await.unwrap().unwrap();
        server.graceful_shutdown();
        let finish = tokio::spawn(async move {
            tokio::task::yield_now().await;
            let mut body = first.send_response(Response::new(()), false).unwrap();
            body.send_data("whole".into(), true).unwrap();
        });
        while server.accept().await.is_some() {}
        finish.await.unwrap();
    })
    .await;
    let template =
        "workers: 1\nroutes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&backend]).await;
    for turn in 1..=3 {
        let reply = gw.send(post("/", "x")).await;
        assert_eq!((reply.status, reply.text()), (200, "whole"), "{}", reply.reason());
        assert_eq!(backend.connections(), turn, "a new connection each time");
    }
}

#[tokio::test]
async fn rfc9113_8_1_1_a_length_that_lies_is_an_abort() {
    let backend = RawBackend::script(|connection| async move {
        let mut server = h2::server::handshake(connection.into_stream()).await.unwrap();
        while let Some(Ok((_, mut respond))) = server.accept().await {
            let answer = Response::builder().header("content-length", "10").body(()).unwrap();
            let mut body = respond.send_response(answer, false).unwrap();
            body.send_data("short".into(), true).unwrap();
        }
    })
    .await;
    let template = "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    // hyper may drop the head with the broken body; either way nobody takes it for whole.
    let answer = client.rest().await;
    assert!(answer.is_empty() || answer.ends_with("\r\n\r\nshort"), "{answer}");
    assert_ne!(gw.record().await["reason"], json!(null), "not whole, and known not to be");
}

#[tokio::test]
async fn an_h2_connection_that_dies_is_replaced() {
    let kill = Arc::new(Notify::new());
    let killed = Arc::clone(&kill);
    let dying = RawBackend::script(move |connection| {
        let killed = Arc::clone(&killed);
        async move {
            let mut server = h2::server::handshake(connection.into_stream()).await.unwrap();
            let (_, mut respond) = server.accept().await.unwrap().unwrap();
            respond.send_response(Response::new(()), true).unwrap();
            tokio::select! {
                _ = server.accept() => {}
                () = killed.notified() => {}
            }
        }
    })
    .await;
    let template = "
        workers: 1
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
    ";
    let gw = Gw::with(template, &[&dying]).await;
    for turn in 1..=3 {
        assert_eq!(gw.send(post("/", "x")).await.status, 200);
        assert_eq!(dying.connections(), turn);
        kill.notify_one();
        eventually("the dead connection is let go", || async {
            gw.metric("attache_upstream_connections", &[]).await == 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn requests_with_every_method_arrive_as_they_are() {
    let backend = Backend::handling(|request| async move { Response::new(full(request.method().to_string())) }).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY", "PROPFIND"] {
        for mut client in [gw.h1().await, gw.h2().await] {
            assert_eq!(client.reply(request(method, "/", full("body"))).await.text(), method);
        }
    }
}

#[tokio::test]
async fn rfc9110_9_3_7_options_for_the_whole_server_are_answered_by_it() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 204"), "{head}");
    let allow = crate::support::field(&head, "allow").expect("what is allowed");
    assert!(allow.contains("POST"), "{allow}");
    assert_eq!(backend.hits(), 0, "no endpoint is the whole server");
}

#[tokio::test]
async fn rfc9112_3_2_2_an_absolute_target_names_the_host() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { hosts: [b.example], endpoints: ['{0}'] } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET http://b.example/x?y HTTP/1.1\r\nhost: a.example\r\n\r\n").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let seen = backend.request();
    assert_eq!((seen.uri.to_string().as_str(), seen.header("host")), ("/x?y", "b.example"));
}
