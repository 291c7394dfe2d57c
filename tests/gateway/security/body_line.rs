//! Methods and upgrades that would leave HTTP, bodies nobody reads, expectations, pipelining.

use super::bench::{Bench, LAST, SMUGGLED, refused};
use crate::support::{Gw, RawBackend};

#[tokio::test]
async fn connect_and_trace_are_refused() {
    let cases = [
        "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\n\r\n",
        "CONNECT a HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT / HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT [::1]:22 HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT a:443 HTTP/1.0\r\n\r\n",
        "CONNECT a:443 HTTP/1.1\r\nhost: b\r\ncontent-length: 0\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE * HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\nmax-forwards: 0\r\ncookie: secret\r\n\r\n",
        "TRACE http://a/ HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.0\r\n\r\n",
    ];
    refused(&[400, 405], &cases).await;
    let bench = Bench::new().await;
    let answers = bench.converse(&[b"TRACE / HTTP/1.1\r\nhost: a\r\nx-secret: canary\r\n\r\n"]).await;
    assert!(!answers.text.contains("canary"), "nothing is echoed: {}", answers.text);
}

#[tokio::test]
async fn upgrades_that_are_not_allowed_do_not_happen() {
    // Refused, or served as an ordinary request: nothing of the upgrade is passed on, and what follows is still HTTP.
    let requests = [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\n",
        "upgrade: h2c\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: WebSocket\r\n",
        "upgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        "connection: upgrade\r\nupgrade: h2c\r\nupgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: TLS/1.0\r\n",
        "connection: Upgrade\r\nupgrade: HTTP/2.0\r\n",
        "connection: keep-alive, upgrade\r\nupgrade: foo\r\n",
        "connection: upgrade\r\n",
        "connection: upgrade\r\nupgrade:\r\n",
    ];
    let bench = Bench::new().await;
    for fields in requests {
        for request in [
            format!("GET /case HTTP/1.1\r\nhost: a\r\n{fields}\r\n"),
            format!(
                "POST /case HTTP/1.1\r\nhost: a\r\n{fields}content-length: {}\r\n\r\n{}",
                SMUGGLED.len(),
                String::from_utf8_lossy(SMUGGLED)
            ),
        ] {
            let answers = bench.converse(&[request.as_bytes(), LAST]).await;
            assert!(
                matches!(answers.statuses()[..], [200, 200] | [400] | [403, 200] | [403]),
                "{fields:?}: {}",
                answers.text
            );
        }
    }
    for arrived in bench.finish().await {
        assert_eq!(arrived.target(), "/case", "a body stays a body: {arrived:#?}");
        assert!(
            arrived.all("upgrade").is_empty()
                && arrived.all("connection").is_empty()
                && arrived.all("http2-settings").is_empty(),
            "{}",
            arrived.head
        );
    }
}

#[tokio::test]
async fn a_tunnel_begins_only_with_the_endpoints_101() {
    // The endpoint declines: what the client sent too early is the next request on a connection that is still HTTP.
    let bench = Bench::with("routes: { all: { endpoints: ['{0}'], websocket: true } }").await;
    let head = "GET /case HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n";
    let early = format!("{head}\r\n");
    let answers = bench.serves(&early).await;
    assert_eq!(answers.statuses(), [200, 200], "{}", answers.text);
    let with_body = format!("{head}content-length: {}\r\n\r\n{}", SMUGGLED.len(), String::from_utf8_lossy(SMUGGLED));
    let answers = bench.serves(&with_body).await;
    assert!(matches!(answers.statuses()[..], [200, 200] | [400]), "{}", answers.text);
    for (protocol, method) in
        [("h2c", "GET"), ("websocket", "POST"), ("websocket, h2c", "GET"), ("h2c, websocket", "GET")]
    {
        let request =
            format!("{method} /plain HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
        assert_eq!(bench.serves(request).await.statuses(), [200, 200], "{protocol}");
    }
    assert_eq!(
        bench
            .converse(&[format!("{}\r\n", head.replace("1.1", "1.0").replace("/case", "/plain")).as_bytes()])
            .await
            .status(),
        200
    );
    for arrived in bench.finish().await {
        let expected = if arrived.target() == "/plain" { "" } else { "websocket" };
        assert_ne!(arrived.target(), "/smuggled", "a body stays a body");
        assert_eq!(arrived.field("upgrade"), expected, "{}", arrived.head);
    }
}

#[tokio::test]
async fn after_a_101_bytes_pass_and_reach_no_other_request() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n").await;
        connection.read_until("GET /smuggled HTTP/1.1\r\n").await;
        connection.write("not HTTP").await;
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], websocket: true } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client
        .write(
            [b"GET /case HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", SMUGGLED].concat(),
        )
        .await;
    let text = client.rest().await;
    assert!(text.starts_with("HTTP/1.1 101 ") && text.ends_with("\r\n\r\nnot HTTP"), "{text}");
    assert_eq!(backend.connections(), 1, "all of it in one tunnel");
}

#[tokio::test]
async fn a_body_nobody_reads_is_never_a_request() {
    let routes = "
        routes:
          none: { match: { path: { exact: /respond } }, respond: { status: 203 } }
          small: { match: { path: { exact: /small } }, endpoints: ['{0}'], maxBodyBytes: 4B }
          moved: { match: { path: { exact: /moved } }, redirect: { path: /x } }
          last: { match: { path: { exact: /last } }, endpoints: ['{0}'] }";
    let bench = Bench::with(routes).await;
    let inner = String::from_utf8_lossy(SMUGGLED).into_owned();
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for path in ["/respond", "/small", "/moved", "/nowhere"] {
        for body in [
            format!("content-length: {}\r\n\r\n{inner}", inner.len()),
            format!("transfer-encoding: chunked\r\n\r\n{chunk}"),
            format!("content-length: {}\r\n\r\n{}", inner.len() * 20_000, inner.repeat(20_000)),
        ] {
            let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{body}");
            let answers = bench.converse(&[request.as_bytes(), LAST]).await;
            let statuses = answers.statuses();
            assert!(!statuses.is_empty() && statuses.len() <= 2 && statuses[0] != 200, "{path}: {statuses:?}");
        }
    }
    for arrived in bench.finish().await {
        assert!(arrived.target() == "/small" && !arrived.whole, "{arrived:#?}");
    }
}

#[tokio::test]
async fn an_upstream_connection_with_an_unfinished_upload_is_not_used_again() {
    let backend = RawBackend::script(|mut connection| async move {
        let head = connection.read_head().await;
        if head.starts_with("POST") {
            connection.write("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno").await;
        } else {
            connection.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        }
        connection.closed().await;
    })
    .await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }", &[&backend]).await;
    let mut client = gw.raw().await;
    client.write("POST /case HTTP/1.1\r\nhost: a\r\ncontent-length: 100000000\r\n\r\nsome").await;
    assert!(client.read_message().await.0.starts_with("HTTP/1.1 401"), "an early answer is passed on");
    drop(client);
    assert_eq!(gw.get("/after").await.text(), "ok");
    assert_eq!(backend.connections(), 2, "the first one still waits for a body");
}

#[tokio::test]
async fn a_client_that_expects_100_is_told_to_go_on_or_refused() {
    let bench = Bench::with("routes: { all: { match: { path: { prefix: /case } }, endpoints: ['{0}'], maxBodyBytes: 100B }, last: { match: { path: { exact: /last } }, endpoints: ['{0}'] } }").await;
    for value in ["100-continu", "100-continue, x", "x", "200-ok", "100-continue=1", "\"100-continue\""] {
        let head =
            format!("POST /case HTTP/1.1\r\nhost: a\r\nexpect: {value}\r\ncontent-length: {}\r\n\r\n", SMUGGLED.len());
        let answers = bench.converse(&[head.as_bytes(), SMUGGLED]).await;
        assert_eq!(answers.status(), 417, "{value}: {}", answers.text);
    }
    // A final answer instead of 100: the client may send the body or not; neither may make it a request.
    for (path, length, status) in [("/nowhere", SMUGGLED.len(), 404), ("/case", 101, 413)] {
        let mut client = bench.gw.raw().await;
        client
            .write(format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n"
            ))
            .await;
        let (head, _) = client.read_message().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        client.try_write(SMUGGLED).await;
        client.finish().await;
        assert_eq!(client.rest().await, "", "{path}: not a second answer");
    }
    let mut client = bench.gw.raw().await;
    client
        .write(format!(
            "POST /case HTTP/1.1\r\nhost: a\r\nexpect: 100-Continue\r\ncontent-length: {}\r\n\r\n",
            SMUGGLED.len()
        ))
        .await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 100 "));
    client.write([SMUGGLED, LAST].concat()).await;
    let text = client.rest().await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 2, "{text}");
    // Without 100: the client did not wait.
    let eager = format!(
        "POST /case HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n{}",
        SMUGGLED.len(),
        String::from_utf8_lossy(SMUGGLED)
    );
    let answers = bench.serves(eager).await;
    assert_eq!(answers.statuses().iter().filter(|status| **status == 200).count(), 2, "{}", answers.text);
    let old = bench.converse(&[b"POST /case HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc"]).await;
    assert_eq!(old.status(), 200, "HTTP/1.0 knows no 100: {}", old.text);
    let arrived = bench.finish().await;
    let targets: Vec<_> = arrived.iter().map(|arrived| (arrived.target(), arrived.body.len())).collect();
    assert_eq!(targets, [("/case", SMUGGLED.len()), ("/case", SMUGGLED.len()), ("/case", 3)]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_and_once() {
    let bench = Bench::new().await;
    let mut pipeline = String::new();
    for turn in 0..40 {
        pipeline += &match turn % 5 {
            0 => format!("GET /{turn} HTTP/1.1\r\nhost: a\r\n\r\n"),
            1 => format!(
                "POST /{turn} HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{}",
                SMUGGLED.len(),
                String::from_utf8_lossy(SMUGGLED)
            ),
            2 => format!(
                "POST /{turn} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                SMUGGLED.len(),
                String::from_utf8_lossy(SMUGGLED)
            ),
            3 => format!("\r\nPUT /{turn} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"),
            _ => format!("DELETE /{turn} HTTP/1.1\r\nhost: a\r\n\r\n"),
        };
    }
    let answers = bench.serves(&pipeline).await;
    assert_eq!(answers.statuses(), vec![200; 41]);
    let order: Vec<_> = (0..40).filter_map(|turn| answers.text.find(&format!("\r\n\r\n/{turn}HTTP"))).collect();
    assert!(order.len() == 40 && order.is_sorted(), "each answer once and in turn: {order:?}");
    let arrived = bench.finish().await;
    let targets: Vec<_> = arrived.iter().map(|arrived| arrived.target().to_owned()).collect();
    assert_eq!(targets, (0..40).map(|turn| format!("/{turn}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_refusal_in_a_pipeline_is_its_last_answer() {
    let bench = Bench::new().await;
    for bad in [
        "GET /bad HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        "GET /bad HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        "GET /bad HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n",
        "GET /bad HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
    ] {
        let answers = bench.converse(&[b"GET /good HTTP/1.1\r\nhost: a\r\n\r\n", bad.as_bytes(), SMUGGLED]).await;
        assert!(matches!(answers.statuses()[..], [200, 400 | 405]), "{bad:?}: {}", answers.text);
    }
    assert!(bench.finish().await.iter().all(|arrived| arrived.target() == "/good"));
}

#[tokio::test]
async fn head_204_and_304_have_no_body_whatever_the_endpoint_says() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\n\r\n"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n"),
        ("GET", "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n"),
    ] {
        for after in ["poison", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"] {
            let backend = RawBackend::script(move |mut connection| async move {
                connection.read_head().await;
                let first = connection.index == 0;
                let text = if first {
                    format!("{answer}{after}")
                } else {
                    "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()
                };
                connection.write(text).await;
                connection.closed().await;
            })
            .await;
            let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
            let mut client = gw.raw().await;
            client.write(format!("{method} /case HTTP/1.1\r\nhost: a\r\n\r\n")).await;
            let head = client.read_head().await;
            assert_eq!(head.split(' ').nth(1), answer.split(' ').nth(1), "{head}");
            client.write("GET /next HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
            let text = client.rest().await;
            assert!(text.ends_with("\r\n\r\nok") && !text.contains("poison"), "{answer:?} {after:?}: {text}");
        }
    }
}
