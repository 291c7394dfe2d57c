//! Defects of the way to the endpoints that were found and fixed; each test failed before its fix.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use tokio::sync::{Notify, mpsc};

use crate::support::{Gw, RawBackend, Reply, at_host, chunk, get, post, within};

const ONE_H2C: &str = "
    workers: 1
    routes: { all: { cluster: one } }
    clusters: { one: { endpoints: ['{0}'], protocol: h2c } }
";

/// An HTTP/2 endpoint that says GOAWAY on its first connection while its first answer is still under way. Hands out the
/// authority of each request.
async fn going_away(authorities: mpsc::Sender<String>, told: Arc<Notify>) -> RawBackend {
    RawBackend::script(move |connection| {
        let (authorities, told) = (authorities.clone(), Arc::clone(&told));
        async move {
            let first = connection.index == 0;
            let Ok(mut connection) = h2::server::handshake(connection.into_stream()).await else {
                return;
            };
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let authority = request.uri().authority().unwrap().to_string();
                authorities.send(authority).await.unwrap();
                let mut body = respond.send_response(Response::new(()), !first).ok();
                if let (true, Some(body)) = (first, body.as_mut()) {
                    connection.graceful_shutdown();
                    body.send_data(Bytes::from_static(b"after the GOAWAY"), false)
                        .unwrap();
                    tokio::select! {
                        next = connection.accept() => assert!(next.is_none(), "no other stream"),
                        () = told.notified() => {}
                    }
                    body.send_data(Bytes::new(), true).unwrap();
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn rfc9113_6_8_a_request_goaway_left_unsent_keeps_its_host() {
    let (sender, mut authorities) = mpsc::channel(8);
    let told = Arc::new(Notify::new());
    let backend = going_away(sender, Arc::clone(&told)).await;
    let gw = Gw::with(ONE_H2C, &[&backend]).await;
    let mut first = gw.h1().await;
    let answer = first
        .send(at_host("first.example", get("/")))
        .await
        .unwrap();
    let mut body = answer.into_body();
    chunk(&mut body).await.unwrap().unwrap();
    let reply: Reply = gw.send(at_host("second.example", post("/", "x"))).await;
    assert_eq!(reply.status, 200, "{}", reply.reason());
    assert_eq!(backend.connections(), 2);
    for host in ["first.example", "second.example"] {
        let seen = within("a request arrives", authorities.recv()).await;
        assert_eq!(seen.as_deref(), Some(host));
    }
    told.notify_one();
    assert!(chunk(&mut body).await.is_none(), "the first ends in peace");
    let attempts: Vec<_> = gw
        .records(2)
        .await
        .iter()
        .map(|record| record["attempts"].clone())
        .collect();
    assert!(
        attempts.contains(&2.into()),
        "the second was handed back: {attempts:?}"
    );
}

#[tokio::test]
async fn rfc9110_15_2_interim_answers_are_bounded() {
    for (interim, status) in [(10, 200), (11, 502)] {
        let backend = RawBackend::script(move |mut connection| async move {
            connection.read_message().await;
            let waits = "HTTP/1.1 102 Processing\r\n\r\n".repeat(interim);
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            connection.try_write(format!("{waits}{answer}")).await;
            connection.closed().await;
        })
        .await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
        let reply = gw.send(post("/", "x")).await;
        assert_eq!(reply.status, status, "{interim} interim answers");
        if status == 502 {
            assert_eq!(reply.reason(), "upstream_invalid");
        }
    }
}
