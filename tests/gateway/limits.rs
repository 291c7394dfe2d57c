//! Time limits of ordinary exchanges.

use std::time::Duration;

use http::Response;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Backend, Gw, RawBackend, channel, chunk, eventually, get, pass, post, request};

#[tokio::test]
async fn an_ordinary_exchange_ends_at_its_time_limit() {
    let backend = RawBackend::silent().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], timeout: 300ms } }", &[&backend]).await;
    for request in [get("/"), post("/", "x")] {
        let start = Instant::now();
        let reply = gw.send(request).await;
        assert_eq!((reply.status, reply.reason()), (504, "timeout"));
        assert!(start.elapsed() >= Duration::from_millis(280), "not before its time: {:?}", start.elapsed());
    }
    for record in gw.records(2).await {
        assert_eq!((&record["flags"], &record["attempts"]), (&json!("UT"), &json!(1)), "a timeout is not tried again");
    }
}

#[tokio::test]
async fn the_time_limit_covers_the_body_of_an_ordinary_answer() {
    let backend = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            sender.send("some").await;
            sender.closed().await;
        });
        Response::new(body)
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], timeout: 1s } }", &[&backend]).await;
    for (turn, mut client) in [gw.h1().await, gw.h2().await].into_iter().enumerate() {
        let mut body = client.send(get("/")).await.unwrap().into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), "some");
        assert!(chunk(&mut body).await.expect("not the end").is_err(), "cut");
        let record = gw.records(turn + 1).await.remove(turn);
        assert_eq!((&record["reason"], &record["status"]), (&json!("timeout"), &json!(200)));
    }
    eventually("the endpoint is let go", || async { backend.open() == 0 }).await;
}

#[tokio::test]
async fn the_head_has_a_time_limit_of_its_own() {
    let backend = RawBackend::silent().await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], responseHeadTimeout: 200ms } }", &[&backend]).await;
    for request in [get("/"), post("/", "x")] {
        let reply = gw.send(request).await;
        assert_eq!((reply.status, reply.reason()), (504, "head_timeout"));
    }
    eventually("both connections are closed", || async { gw.metric("attache_upstream_connections", &[]).await == 0.0 })
        .await;
}

#[tokio::test]
async fn the_limit_of_the_head_ends_with_the_head() {
    let backend = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            pass(Duration::from_millis(1500)).await;
            sender.send("late").await;
        });
        Response::new(body)
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], responseHeadTimeout: 1s } }", &[&backend]).await;
    assert_eq!(gw.get("/").await.text(), "late");
}

#[tokio::test]
async fn a_post_may_take_its_time() {
    let backend = Backend::handling(|_| async {
        pass(Duration::from_millis(400)).await;
        Response::new(crate::support::full("done"))
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    assert_eq!(gw.send(post("/", "think")).await.text(), "done");
}

#[tokio::test]
async fn rfc9110_15_5_9_a_client_that_stops_uploading_gets_408() {
    let backend = Backend::replying(200).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', protocols: [http/1.1, h2], limits: { bodyIdleTimeout: 400ms } } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer:?}");
    let (sender, body) = channel();
    let mut client = gw.h2().await;
    sender.send("abc").await;
    let reply = client.reply(request("POST", "/", body)).await;
    assert_eq!((reply.status, reply.reason()), (408, "body_timeout"));
    for record in gw.records(2).await {
        assert_eq!((&record["reason"], &record["status"]), (&json!("body_timeout"), &json!(408)));
    }
}

#[tokio::test]
async fn a_slow_upload_is_fine_while_it_moves() {
    let backend = Backend::replying(200).await;
    let template = "
        listeners: { http: { address: '127.0.0.1:0', limits: { bodyIdleTimeout: 2s } } }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 25\r\n\r\n").await;
    for _ in 0..25 {
        pass(Duration::from_millis(100)).await;
        client.write("x").await;
    }
    assert!(client.read_message().await.0.starts_with("HTTP/1.1 200"));
}

/// A listening socket whose queue is full: the kernel drops every further SYN, so that connecting takes for ever.
#[tokio::test]
async fn connecting_has_a_time_limit() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    loop {
        let connected = tokio::time::timeout(Duration::from_millis(300), tokio::net::TcpStream::connect(address)).await;
        let Ok(stream) = connected else { break };
        filling.push(stream.unwrap());
        assert!(filling.len() < 64, "the queue fills");
    }
    let template = format!(
        "routes: {{ all: {{ cluster: full }} }}\nclusters: {{ full: {{ endpoints: ['{address}'], connectTimeout: 200ms }} }}"
    );
    let gw = Gw::with(&template, &[]).await;
    let reply = gw.send(post("/", "x")).await;
    assert_eq!((reply.status, reply.reason()), (504, "connect_timeout"));
    assert_eq!(gw.record().await["flags"], "UF");
    assert!(gw.metric("attache_upstream_connects_total", &[("result", "connect_timeout")]).await >= 1.0);
}

#[tokio::test]
async fn an_idle_upstream_connection_is_closed() {
    let backend = Backend::replying(200).await;
    let template = "
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{0}'], keepalive: { idleTimeout: 1s } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    gw.get("/").await;
    assert_eq!(backend.open(), 1, "kept for the next request");
    eventually("it is closed", || async { backend.open() == 0 }).await;
}

#[tokio::test]
async fn an_idle_h2_upstream_connection_is_closed() {
    let backend = Backend::replying_as(crate::support::Speak { http2: true, ..Default::default() }, 200).await;
    let template = "
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{0}'], protocol: h2c, keepalive: { idleTimeout: 1s } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    gw.get("/").await;
    assert_eq!(backend.open(), 1, "kept for the next request");
    eventually("it is closed", || async { backend.open() == 0 }).await;
}
