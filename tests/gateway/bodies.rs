//! Bodies in both directions: framing, size, back-pressure, the odd cases of HTTP/1.

use std::sync::Arc;

use http::{HeaderMap, Response};
use tokio::sync::oneshot;

use crate::support::{
    Backend, Client, Gw, RawBackend, channel, eventually, full, get, post, request, with_field, with_trailers, within,
};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }";

#[tokio::test]
async fn rfc9112_7_1_chunked_upload_arrives_whole() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST /x HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n5\r\ndefgh\r\n0\r\n\r\n").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let seen = backend.request();
    assert_eq!(seen.body, "abcdefgh");
    assert_eq!(seen.header("transfer-encoding"), "chunked", "still of unknown length");
    assert_eq!(seen.header("content-length"), "");
}

#[tokio::test]
async fn rfc9112_7_1_chunked_answer_arrives_whole() {
    let backend = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            for piece in ["one ", "two ", "three"] {
                sender.send(piece).await;
            }
        });
        Response::new(body)
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!(reply.header("transfer-encoding"), "chunked");
    assert_eq!(reply.text(), "one two three");
}

#[tokio::test]
async fn a_known_length_stays_known() {
    let backend = Backend::replying(200).await.body("hello");
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.send(post("/", "12345")).await;
    assert_eq!(reply.header("content-length"), "5");
    assert_eq!(reply.text(), "hello");
    assert_eq!(backend.request().header("content-length"), "5");
}

#[tokio::test]
async fn rfc9110_10_1_1_expectation_is_met_when_the_endpoint_takes_the_body() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("12345").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(backend.request().body, "12345");
    assert_eq!(backend.request().header("expect"), "", "the expectation was ours to meet");
}

#[tokio::test]
async fn rfc9110_10_1_1_a_refused_body_is_not_asked_for() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: 4B } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn rfc9110_15_5_14_too_large_without_a_length_is_refused_while_it_comes() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], maxBodyBytes: 4KiB } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let chunk = format!("800\r\n{}\r\n", "x".repeat(0x800));
    for _ in 0..3 {
        client.write(&chunk).await;
    }
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(gw.record().await["reason"], "body_too_large");
}

#[tokio::test]
async fn rfc9110_9_3_2_head_has_a_length_and_no_body() {
    let backend = Backend::replying(200).await.body("hello");
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("HEAD /1 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let head = client.read_head().await;
    assert!(head.contains("content-length: 5\r\n"), "{head}");
    client.write("GET /2 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let (head, body) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "the connection goes on: {head}");
    assert_eq!(body, "hello");
    assert_eq!(backend.connections(), 1, "towards the endpoint as well");
    assert_eq!(gw.records(2).await[0]["bytes_sent"], 0);
}

#[tokio::test]
async fn rfc9112_6_3_statuses_without_body_leave_the_connection_usable() {
    for answer in [
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\netag: \"1\"\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let backend = RawBackend::answering(answer).await;
        let gw = Gw::with(TO_ONE, &[&backend]).await;
        let mut client = gw.raw().await;
        for _ in 0..3 {
            client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let head = client.read_head().await;
            assert_eq!(head.split(' ').nth(1), answer.split(' ').nth(1), "{head}");
            assert!(!head.contains("transfer-encoding"), "{head}");
        }
        assert_eq!(backend.connections(), 1, "one connection is enough: {answer:?}");
        assert_eq!(gw.records(3).await[2]["reason"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn rfc9112_6_3_an_answer_that_ends_with_its_connection_is_whole() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\n\r\nuntil the end").await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    assert_eq!(gw.get("/").await.text(), "until the end");
}

#[tokio::test]
async fn rfc9110_15_2_interim_answers_are_not_the_answer() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n").await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.text()), (200, "ok"));
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_that_still_uploads() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (sender, body) = channel();
        assert!(sender.send("some").await, "room for the first piece");
        let reply = client.reply(request("POST", "/", body)).await;
        assert_eq!((reply.status, reply.text()), (401, "no"));
    }
}

fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test]
async fn rfc9110_6_5_request_trailers_arrive() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum, host\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.write("3\r\nabc\r\n0\r\nx-sum: 7\r\nhost: evil\r\n\r\n").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let trailers = backend.request().trailers.expect("there are trailers");
    assert_eq!(trailers["x-sum"], "7");
    assert!(!trailers.contains_key("host"), "RFC 9110 section 6.5.1: no routing in trailers");
}

#[tokio::test]
async fn rfc9110_6_5_response_trailers_arrive() {
    let trailers = fields(&[("x-sum", "7")]);
    let backend = Backend::handling(move |request| {
        let trailers = trailers.clone();
        async move {
            assert_eq!(request.headers()["te"], "trailers", "the endpoint learns that trailers are welcome");
            Response::builder().header("trailer", "x-sum").body(with_trailers("abc", trailers)).unwrap()
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let asking = with_field("te", "trailers", get("/"));
        let reply = client.reply(asking).await;
        assert_eq!(reply.text(), "abc");
        assert_eq!(reply.trailers.expect("there are trailers")["x-sum"], "7");
    }
}

#[tokio::test]
async fn rfc9112_9_3_a_1_0_client_gets_an_answer_without_chunks() {
    let backend = Backend::handling(|_| async {
        let (sender, body) = channel();
        tokio::spawn(async move {
            sender.send("one ").await;
            sender.send("two").await;
        });
        Response::new(body)
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("\r\n\r\none two"), "{answer}");
    assert_eq!(gw.record().await["proto"], "HTTP/1.0");
}

#[tokio::test]
async fn rfc9112_9_3_upstream_connections_are_reused() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(&format!("workers: 1\n{TO_ONE}"), &[&backend]).await;
    let mut client = gw.h1().await;
    for turn in 0..5 {
        assert_eq!(client.reply(post("/", "x")).await.status, 200, "turn {turn}");
    }
    for _ in 0..5 {
        gw.get("/").await;
    }
    assert_eq!(backend.connections(), 1, "one worker, one request at a time");
    let one = gw.metric("attache_upstream_connections", &[("cluster", "all")]).await;
    assert!((one - 1.0).abs() < f64::EPSILON, "{one} connections");
}

#[tokio::test]
async fn rfc9112_9_3_2_pipelined_answers_keep_their_order() {
    let (first, wait) = oneshot::channel::<()>();
    let wait = Arc::new(tokio::sync::Mutex::new(Some(wait)));
    let backend = Backend::handling(move |request| {
        let wait = Arc::clone(&wait);
        async move {
            let path = request.uri().path().to_owned();
            if path == "/1" {
                let wait = wait.lock().await.take().unwrap();
                wait.await.ok();
            }
            Response::new(full(path))
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client
        .write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    first.send(()).unwrap();
    for expected in ["/1", "/2", "/3"] {
        assert_eq!(client.read_message().await.1, expected);
    }
}

#[tokio::test]
async fn a_client_that_breaks_its_upload_off_is_not_the_endpoints_failure() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_until("abc").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    eventually("the endpoint has the first part", || async {
        backend.received().iter().any(|text| text.ends_with("abc"))
    })
    .await;
    client.reset();
    let record = gw.record().await;
    assert_eq!((&record["reason"], &record["attempts"]), (&"client_gone".into(), &1.into()), "{record}");
}

#[tokio::test]
async fn the_client_of_a_broken_upload_over_h2_is_gone_as_well() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_until("abc").await;
        connection.closed().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    let mut client: Client = gw.h2().await;
    let sending = tokio::spawn(async move { client.send(request("POST", "/", body)).await.is_err() });
    sender.send("abc").await;
    eventually("the endpoint has the first part", || async {
        backend.received().iter().any(|text| text.contains("abc"))
    })
    .await;
    sender.abort().await;
    assert!(within("the request fails", sending).await.unwrap());
    assert_eq!(gw.record().await["reason"], "client_gone");
}
