//! Bodies in both directions: framing, size, back-pressure, the odd cases of HTTP/1.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::support::{
    Backend, BodySender, Client, Gw, Raw, RawBackend, Speak, channel, chunk, eventually, full, get,
    post, request, with_trailers, within,
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
    assert_eq!(
        seen.header("transfer-encoding"),
        "chunked",
        "still of unknown length"
    );
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

/// 64 MiB of a pattern whose period divides no buffer size.
const LARGE: usize = 64 << 20;
const PERIOD: usize = 65_537;

fn pattern() -> Bytes {
    let mut state = 1_u32;
    let once: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    [once.as_slice(), once.as_slice()].concat().into()
}

/// Feeds the pattern piece by piece.
async fn feed(sender: BodySender, size: usize) {
    let pattern = pattern();
    let mut sent = 0;
    while sent < size {
        let piece = (size - sent).min(48 * 1024);
        let at = sent % PERIOD;
        if !sender.send(pattern.slice(at..at + piece)).await {
            return;
        }
        sent += piece;
    }
}

/// Reads a body that must follow the pattern; how much there was.
async fn check(mut body: hyper::body::Incoming) -> usize {
    let pattern = pattern();
    let mut seen = 0;
    while let Some(data) = chunk(&mut body).await {
        for piece in data.expect("the body goes on").chunks(PERIOD) {
            let at = seen % PERIOD;
            assert_eq!(
                piece,
                &pattern[at..at + piece.len()],
                "bytes from {seen} on"
            );
            seen += piece.len();
        }
    }
    seen
}

async fn counting() -> Backend {
    Backend::handling(|request| async move {
        Response::new(full(check(request.into_body()).await.to_string()))
    })
    .await
}

#[tokio::test]
async fn a_large_upload_passes_unchanged() {
    let backend = counting().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, LARGE));
    let answer = gw
        .h1()
        .await
        .send_patiently(request("POST", "/", body))
        .await
        .unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        LARGE.to_string()
    );
    assert_eq!(gw.record().await["bytes_received"], LARGE);
}

#[tokio::test]
async fn a_large_upload_passes_unchanged_over_h2() {
    let backend = counting().await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, LARGE / 4));
    let answer = gw
        .h2()
        .await
        .send_patiently(request("POST", "/", body))
        .await
        .unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        (LARGE / 4).to_string()
    );
}

async fn pouring(size: usize) -> Backend {
    Backend::handling(move |_| async move {
        let (sender, body) = channel();
        tokio::spawn(feed(sender, size));
        Response::new(body)
    })
    .await
}

#[tokio::test]
async fn a_large_download_passes_unchanged() {
    let backend = pouring(LARGE).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let answer = gw.h1().await.send(get("/")).await.unwrap();
    assert_eq!(check(answer.into_body()).await, LARGE);
    assert_eq!(gw.record().await["bytes_sent"], LARGE);
}

#[tokio::test]
async fn a_large_download_passes_unchanged_over_h2() {
    let backend = pouring(LARGE / 4).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let answer = gw.h2().await.send(get("/")).await.unwrap();
    assert_eq!(check(answer.into_body()).await, LARGE / 4);
}

/// What the sockets on the way may hold, by this kernel's limits, and one MiB for the gateway.
fn allowance() -> u64 {
    let largest = |name: &str| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        text.split_whitespace().last().unwrap().parse().unwrap()
    };
    2 * (largest("tcp_rmem") + largest("tcp_wmem")) + (1 << 20)
}

/// The value once it has stopped growing.
async fn settled(count: &AtomicU64) -> u64 {
    let mut last = (count.load(Ordering::SeqCst), Instant::now());
    while last.1.elapsed() < Duration::from_millis(400) {
        sleep(Duration::from_millis(10)).await;
        let now = count.load(Ordering::SeqCst);
        if now != last.0 {
            last = (now, Instant::now());
        }
    }
    last.0
}

/// Pours without end and counts.
async fn pour(sender: BodySender, count: Arc<AtomicU64>) {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    while sender.send_patiently(piece.clone()).await {
        count.fetch_add(piece.len() as u64, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_endpoint() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let backend = Backend::handling(move |_| {
        let (sender, body) = channel();
        tokio::spawn(pour(sender, Arc::clone(&counted)));
        async { Response::new(body) }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = Raw::connect_narrow(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    client.read_head().await;
    let sent = settled(&count).await;
    assert!(
        sent <= allowance(),
        "{sent} bytes went on their way to nobody"
    );
    let before = count.load(Ordering::SeqCst);
    client.read_exact(16 << 20).await;
    assert!(
        count.load(Ordering::SeqCst) > before,
        "it goes on when the client reads again"
    );
}

#[tokio::test]
async fn an_h2_client_that_does_not_read_stops_the_endpoint() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let backend = Backend::handling(move |_| {
        let (sender, body) = channel();
        tokio::spawn(pour(sender, Arc::clone(&counted)));
        async { Response::new(body) }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.h2().await;
    let _unread = client.send(get("/")).await.unwrap();
    let sent = settled(&count).await;
    // The client's own window is 2 MiB.
    assert!(
        sent <= allowance() + (2 << 20),
        "{sent} bytes went on their way to nobody"
    );
}

#[tokio::test]
async fn an_endpoint_that_does_not_read_stops_the_client() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        std::future::pending::<()>().await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let count = Arc::new(AtomicU64::new(0));
    let (sender, body) = channel();
    let mut client = gw.h1().await;
    let upload =
        tokio::spawn(async move { client.send_patiently(request("POST", "/", body)).await });
    let pouring = tokio::spawn(pour(sender, Arc::clone(&count)));
    let sent = settled(&count).await;
    assert!(
        sent <= allowance(),
        "{sent} bytes went on their way to nobody"
    );
    upload.abort();
    pouring.abort();
}

#[tokio::test]
async fn rfc9110_10_1_1_expectation_is_met_when_the_endpoint_takes_the_body() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client
        .write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("12345").await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(backend.request().body, "12345");
    assert_eq!(
        backend.request().header("expect"),
        "",
        "the expectation was ours to meet"
    );
}

#[tokio::test]
async fn rfc9110_10_1_1_a_refused_body_is_not_asked_for() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], maxBodyBytes: 4B } }",
        &[&backend],
    )
    .await;
    let mut client = gw.raw().await;
    client
        .write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    let head = client.read_head().await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn rfc9110_15_5_14_too_large_without_a_length_is_refused_while_it_comes() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], maxBodyBytes: 4KiB } }",
        &[&backend],
    )
    .await;
    let mut client = gw.raw().await;
    client
        .write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
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
    assert!(
        head.starts_with("HTTP/1.1 200"),
        "the connection goes on: {head}"
    );
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
        assert_eq!(
            backend.connections(),
            1,
            "one connection is enough: {answer:?}"
        );
        assert_eq!(gw.records(3).await[2]["reason"], serde_json::Value::Null);
    }
}

#[tokio::test]
async fn rfc9112_6_3_an_answer_that_ends_with_its_connection_is_whole() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection
            .write("HTTP/1.1 200 OK\r\n\r\nuntil the end")
            .await;
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    assert_eq!(gw.get("/").await.text(), "until the end");
}

#[tokio::test]
async fn rfc9110_15_2_interim_answers_are_not_the_answer() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection
            .write("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            .await;
        connection
            .write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
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
        connection
            .write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno")
            .await;
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
    pairs
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect()
}

#[tokio::test]
async fn rfc9110_6_5_request_trailers_arrive() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntrailer: x-sum, host\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client
        .write("3\r\nabc\r\n0\r\nx-sum: 7\r\nhost: evil\r\n\r\n")
        .await;
    let (head, _) = client.read_message().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let trailers = backend.request().trailers.expect("there are trailers");
    assert_eq!(trailers["x-sum"], "7");
    assert!(
        !trailers.contains_key("host"),
        "RFC 9110 section 6.5.1: no routing in trailers"
    );
}

#[tokio::test]
async fn rfc9110_6_5_response_trailers_arrive() {
    let trailers = fields(&[("x-sum", "7")]);
    let backend = Backend::handling(move |request| {
        let trailers = trailers.clone();
        async move {
            assert_eq!(
                request.headers()["te"],
                "trailers",
                "the endpoint learns that trailers are welcome"
            );
            Response::builder()
                .header("trailer", "x-sum")
                .body(with_trailers("abc", trailers))
                .unwrap()
        }
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let mut asking = get("/");
        asking
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
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
    assert!(
        answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"),
        "{answer}"
    );
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
        assert_eq!(
            client.reply(post("/", "x")).await.status,
            200,
            "turn {turn}"
        );
    }
    for _ in 0..5 {
        gw.get("/").await;
    }
    assert_eq!(
        backend.connections(),
        1,
        "one worker, one request at a time"
    );
    let one = gw
        .metric("attache_upstream_connections", &[("cluster", "all")])
        .await;
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
    client.write("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n").await;
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
    client
        .write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
        .await;
    eventually("the endpoint has the first part", || async {
        backend.received().iter().any(|text| text.ends_with("abc"))
    })
    .await;
    client.reset();
    let record = gw.record().await;
    assert_eq!(
        (&record["reason"], &record["attempts"]),
        (&"client_gone".into(), &1.into()),
        "{record}"
    );
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
    let sending =
        tokio::spawn(async move { client.send(request("POST", "/", body)).await.is_err() });
    sender.send("abc").await;
    eventually("the endpoint has the first part", || async {
        backend.received().iter().any(|text| text.contains("abc"))
    })
    .await;
    sender.abort().await;
    assert!(within("the request fails", sending).await.unwrap());
    assert_eq!(gw.record().await["reason"], "client_gone");
}

#[tokio::test]
async fn a_narrow_endpoint_slows_an_upload_and_loses_nothing() {
    let speak = Speak {
        narrow: Some(4096),
        ..Speak::default()
    };
    let backend = Backend::handling_as(speak, |request| async move {
        Response::new(full(check(request.into_body()).await.to_string()))
    })
    .await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let (sender, body) = channel();
    tokio::spawn(feed(sender, 4 << 20));
    let answer = gw
        .h1()
        .await
        .send_patiently(request("POST", "/", body))
        .await
        .unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        (4 << 20).to_string()
    );
}
