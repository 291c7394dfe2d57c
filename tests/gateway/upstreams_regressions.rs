//! Defects of the way to the endpoints that were found and fixed; each test failed before its fix.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Response;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Barrier, Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Backend, Ca, Gw, H2Peer, HEADERS, RawBackend, Reply, Speak, at_host, chunk, empty, eventually, full, get, post,
    within,
};

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
                    body.send_data(Bytes::from_static(b"after the GOAWAY"), false).unwrap();
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
    let answer = first.send(at_host("first.example", get("/"))).await.unwrap();
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
    let attempts: Vec<_> = gw.records(2).await.iter().map(|record| record["attempts"].clone()).collect();
    assert!(attempts.contains(&2.into()), "the second was handed back: {attempts:?}");
}

/// The agent's reason does not matter: what is above the last stream it names was not worked on.
#[tokio::test]
async fn rfc9113_6_8_a_post_that_goaway_leaves_out_is_sent_again_whatever_its_code() {
    for (code, last, status) in
        [(0, 0, 200), (1, 0, 200), (2, 0, 200), (11, 0, 200), (0xbad, 0, 200), (0, 1, 502), (2, 1, 502), (11, 1, 502)]
    {
        let backend = RawBackend::script(move |connection| async move {
            let first = connection.index == 0;
            let Some(mut peer) = H2Peer::accept(connection).await else {
                return;
            };
            let Some(asked) = peer.until(HEADERS).await else {
                return;
            };
            if first {
                peer.go_away(last, code).await;
            } else {
                peer.answer(asked.stream, 8).await;
            }
            peer.leave().await;
        })
        .await;
        let gw = Gw::with(ONE_H2C, &[&backend]).await;
        let reply = gw.send(post("/", "once")).await;
        let case = format!("code {code}, last stream {last}");
        assert_eq!(reply.status, status, "{case}: {}", reply.reason());
        let tries = if status == 200 { 2 } else { 1 };
        assert_eq!(backend.connections(), tries, "{case}");
        assert_eq!(gw.record().await["attempts"], tries, "{case}");
    }
}

/// A GOAWAY in peace says nothing about the agent; one with an error counts as a failure, as it did when it was a 502.
#[tokio::test]
async fn a_goaway_with_an_error_counts_against_the_agent() {
    for (code, breaker) in [(0, 0.0), (2, 2.0)] {
        let backend = RawBackend::script(move |connection| async move {
            if let Some(mut peer) = H2Peer::accept(connection).await
                && peer.until(HEADERS).await.is_some()
            {
                peer.go_away(0, code).await;
                peer.leave().await;
            }
        })
        .await;
        let template = "
            workers: 1
            routes: { all: { cluster: one } }
            clusters:
              one: { endpoints: ['{0}'], protocol: h2c, circuitBreaker: { halfOpen: { failureThreshold: 1 } } }
        ";
        let gw = Gw::with(template, &[&backend]).await;
        assert_eq!(gw.send(post("/", "x")).await.status, 502);
        let state = gw.metric("attache_circuit_breaker_state", &[]).await;
        assert_eq!(state, breaker, "code {code}");
    }
}

#[tokio::test]
async fn rfc9110_15_2_interim_answers_are_bounded() {
    for (interim, status) in [(16, 200), (17, 502)] {
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

const ONE_TLS: &str = "
    workers: 1
    routes: { all: { cluster: one } }
    clusters: { one: { endpoints: ['{0}'], tls: { caFile: '{1}' } } }
";

/// A TLS endpoint that only speaks HTTP/1.1, one request per connection. After the first connection it shakes no hand
/// before `clients` of them have come.
async fn hesitant(ca: &Ca, clients: usize) -> RawBackend {
    let acceptor = TlsAcceptor::from(ca.issue(&["127.0.0.1"]).server(&["http/1.1"], None));
    let barrier = Arc::new(Barrier::new(clients));
    RawBackend::script(move |connection| {
        let (acceptor, barrier) = (acceptor.clone(), Arc::clone(&barrier));
        async move {
            if connection.index > 0 {
                within("the others connect", barrier.wait()).await;
            }
            let mut stream = acceptor.accept(connection.into_stream()).await.unwrap();
            let mut head = [0; 4096];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.ok();
        }
    })
    .await
}

#[tokio::test]
async fn connections_that_turn_out_to_be_http1_are_opened_side_by_side() {
    let ca = Ca::new();
    let backend = hesitant(&ca, 4).await;
    let gw = Gw::with(ONE_TLS, &[&backend, &ca]).await;
    assert_eq!(gw.get("/").await.status, 200, "the first one finds out");
    let replies = join_all((0..4).map(|_| gw.send(post("/", "x")))).await;
    for reply in replies {
        assert_eq!(reply.status, 200, "{}", reply.reason());
    }
    assert_eq!(backend.connections(), 5);
}

#[tokio::test]
async fn who_waits_for_a_connection_shares_its_failure() {
    let (ca, told) = (Ca::new(), Arc::new(Notify::new()));
    let notified = Arc::clone(&told);
    let backend = RawBackend::script(move |connection| {
        let told = Arc::clone(&notified);
        async move {
            if connection.index == 0 {
                told.notified().await;
            }
            drop(connection);
        }
    })
    .await;
    let gw = Gw::with(ONE_TLS, &[&backend, &ca]).await;
    let requests = join_all((0..4).map(|_| gw.send(post("/", "x"))));
    let tell = async {
        eventually("all of them wait", || async { gw.metric("attache_attempts_total", &[]).await == 4.0 }).await;
        assert_eq!(backend.connections(), 1);
        told.notify_one();
    };
    let (replies, ()) = tokio::join!(requests, tell);
    for reply in replies {
        assert_eq!((reply.status, reply.reason()), (502, "upstream_tls"));
    }
    // Each tried twice; whether the second tries met again is up to the scheduler.
    assert!(backend.connections() <= 5, "{}", backend.connections());
}

/// Agrees to every WebSocket handshake and says one line; answers other requests with their version.
async fn websocket_or_h2(ca: &Ca) -> Backend {
    let speak = Speak { tls: Some(ca.issue(&["127.0.0.1"]).server(&["h2", "http/1.1"], None)), ..Speak::default() };
    Backend::handling_as(speak, |mut request| async move {
        if !request.headers().contains_key("upgrade") {
            return Response::new(full(format!("{:?}", request.version())));
        }
        let upgrading = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrading.await.unwrap());
            io.write_all(b"hello\n").await.unwrap();
        });
        Response::builder()
            .status(101)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .body(empty())
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn rfc9110_7_8_an_upgrade_goes_over_http1_where_http2_is_agreed_on() {
    let ca = Ca::new();
    for warm in [false, true] {
        let backend = websocket_or_h2(&ca).await;
        let gw = Gw::with(
            "
            workers: 1
            routes: { all: { cluster: one, websocket: true } }
            clusters: { one: { endpoints: ['{0}'], tls: { caFile: '{1}' } } }
            ",
            &[&backend, &ca],
        )
        .await;
        if warm {
            assert_eq!(gw.get("/").await.text(), "HTTP/2.0");
        }
        let mut client = gw.raw().await;
        let handshake = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        client.write(handshake).await;
        let head = client.read_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(client.read_until("\n").await, "hello\n");
        assert_eq!(gw.get("/").await.text(), "HTTP/2.0", "the others go on as before");
        assert_eq!(backend.connections(), 2);
    }
}

#[tokio::test]
async fn an_endpoint_that_stops_reading_an_upload_ends_it() {
    for (http2, protocol) in [(false, "http/1.1"), (true, "h2c")] {
        let speak = Speak { http2, ..Speak::default() };
        let backend = Backend::handling_as(speak, |request| async move {
            let _unread = request;
            std::future::pending().await
        })
        .await;
        let template = format!(
            "
            workers: 1
            listeners: {{ http: {{ address: '127.0.0.1:0', limits: {{ bodyIdleTimeout: 1s }} }} }}
            routes: {{ all: {{ cluster: one, maxBodyBytes: off }} }}
            clusters: {{ one: {{ endpoints: ['{{0}}'], protocol: {protocol} }} }}
            "
        );
        let gw = Gw::with(&template, &[&backend]).await;
        let mut client = gw.raw().await;
        let upload = tokio::spawn(async move {
            client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9000000000\r\n\r\n").await;
            while client.try_write(vec![0; 64 * 1024]).await {}
        });
        let record = gw.record().await;
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&504.into(), &"head_timeout".into()),
            "{protocol}: {record}"
        );
        upload.abort();
        eventually("the exchange with the endpoint is over", || async {
            gw.metric("attache_requests_in_flight", &[]).await == 0.0
        })
        .await;
    }
}
