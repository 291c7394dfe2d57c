//! Fields of one connection, forwarding fields, and what the gateway gives away.

use super::bench::Bench;
use crate::support::{Backend, Gw, Place, RawBackend, get, refusing};

/// Sends one GET with these fields, each with its line end, and returns what the endpoint received.
async fn forwarded(template: &str, fields: &str) -> super::origin::Arrived {
    let bench = Bench::with(template).await;
    passes(&bench, fields).await;
    bench.finish().await.remove(0)
}

/// A GET with these fields is served, and so is what follows on its connection.
async fn passes(bench: &Bench, fields: &str) {
    let answers = bench.serves(format!("GET /case HTTP/1.1\r\nhost: a\r\n{fields}\r\n")).await;
    assert_eq!(answers.statuses(), [200, 200], "{fields:?}: {}", answers.text);
}

const PLAIN: &str = super::bench::TO_ONE;
const TRUSTING: &str = "
    clientIp: { trustedProxies: [127.0.0.0/8, 10.0.0.0/8] }
    routes: { all: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn fields_of_one_connection_stay_there() {
    let bench = Bench::new().await;
    for fields in [
        "connection: keep-alive\r\nkeep-alive: timeout=5\r\n",
        "connection: x-one\r\nx-one: 1\r\n",
        "connection: x-one, X-Two\r\nx-one: 1\r\nx-two: 2\r\n",
        "connection: x-one\r\nconnection: x-two\r\nx-one: 1\r\nx-two: 2\r\n",
        "Connection: \t x-one ,, , x-two ,\r\nx-one: 1\r\nX-TWO: 2\r\nx-two: again\r\n",
        "connection: te\r\nte: gzip\r\n",
        "te: gzip, deflate\r\n",
        "proxy-connection: keep-alive\r\n",
        "proxy-authorization: Basic eA==\r\n",
        "keep-alive: 1\r\n",
        "http2-settings: AAA\r\n",
        "upgrade: x\r\n",
        "connection: connection\r\n",
        "connection: \"x-one\", x-one\r\nx-one: 1\r\n",
        "connection: x one\r\n",
        "connection:\r\n",
        "connection: \u{e9}\r\n",
    ] {
        passes(&bench, fields).await;
    }
    for arrived in bench.finish().await {
        for gone in [
            "connection", "keep-alive", "x-one", "x-two", "te", "proxy-connection", "proxy-authorization",
            "http2-settings", "upgrade",
        ] {
            assert!(arrived.all(gone).is_empty(), "{gone}: {}", arrived.head);
        }
    }
}

#[tokio::test]
async fn connection_cannot_take_away_what_matters() {
    let named = "host, content-length, transfer-encoding, x-forwarded-for, x-forwarded-proto, x-forwarded-host, x-forwarded-port, x-real-ip, x-request-id, via, traceparent, authorization, cookie, content-type, a2a-version";
    let bench =
        Bench::with("routes: { all: { endpoints: ['{0}'], requestHeaders: { set: { x-gateway: edge } } } }").await;
    for (framing, body) in [("content-length: 3", "abc"), ("transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")] {
        let request = format!(
            "POST /case HTTP/1.1\r\nconnection: close, {named}, x-gateway\r\nhost: a\r\nauthorization: b\r\ncookie: c\r\ncontent-type: d/e\r\na2a-version: 1.0\r\n{framing}\r\n\r\n{body}"
        );
        assert_eq!(bench.converse(&[request.as_bytes()]).await.status(), 200);
    }
    let arrived = bench.finish().await;
    assert_eq!(arrived.len(), 2);
    for arrived in arrived {
        assert_eq!(arrived.body, b"abc");
        for name in [
            "host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-real-ip",
            "x-request-id", "via", "traceparent", "authorization", "cookie", "content-type", "a2a-version",
            "x-gateway",
        ] {
            assert_eq!(arrived.all(name).len(), 1, "{name} is there: {}", arrived.head);
        }
        assert!(arrived.all("connection").is_empty());
    }
}

#[tokio::test]
async fn answers_lose_the_fields_of_their_connection_too() {
    let fields = "connection: x-private, keep-alive\r\nx-private: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: keep-alive\r\nproxy-authenticate: Basic\r\nupgrade: h2c\r\nte: trailers\r\nx-kept: 1\r\n";
    for (framing, body) in [("content-length: 2", "ok"), ("transfer-encoding: chunked", "2\r\nok\r\n0\r\n\r\n")] {
        let text: &'static str = format!("HTTP/1.1 200 OK\r\n{fields}{framing}\r\n\r\n{body}").leak();
        let backend = RawBackend::answering(text).await;
        let gw = Gw::with(PLAIN, &[&backend]).await;
        for mut client in [gw.h1().await, gw.h2().await] {
            let reply = client.reply(get("/")).await;
            assert_eq!((reply.status, reply.text(), reply.header("x-kept")), (200, "ok", "1"));
            for gone in
                ["connection", "x-private", "keep-alive", "proxy-connection", "proxy-authenticate", "upgrade", "te"]
            {
                assert_eq!(reply.header(gone), "", "{gone} over {:?}", reply.version);
            }
            if reply.version == http::Version::HTTP_2 {
                assert_eq!(reply.header("transfer-encoding"), "");
            }
        }
    }
}

#[tokio::test]
async fn forwarding_fields_of_strangers_are_replaced() {
    let lies = [
        "x-forwarded-for", "X-Forwarded-For", "x_forwarded_for", "x-forwarded_for", "X_Forwarded-For",
        "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-ssl",
        "x-forwarded-server", "x-forwarded-scheme", "x-forwarded-by", "x_forwarded_host", "x_forwarded_proto",
        "x_forwarded_port", "x_forwarded_prefix", "forwarded", "x-real-ip", "x_real_ip", "x-real_ip", "x_real-ip",
        "x_request_id",
    ];
    let all: String = lies.iter().map(|name| format!("{name}: 6.6.6.6\r\n{name}: 7.7.7.7\r\n")).collect();
    let arrived = forwarded(PLAIN, &all).await;
    assert!(!arrived.head.contains("6.6.6.6") && !arrived.head.contains("7.7.7.7"), "{}", arrived.head);
    assert_eq!(arrived.field("x-forwarded-for"), "127.0.0.1");
    assert_eq!(arrived.field("x-real-ip"), "127.0.0.1");
    assert_eq!(arrived.field("x-forwarded-proto"), "http");
    assert_eq!(arrived.field("x-forwarded-host"), "a");
    for name in lies {
        let arrived = forwarded(PLAIN, &format!("{name}: 6.6.6.6\r\n")).await;
        assert!(!arrived.head.contains("6.6.6.6"), "{name}: {}", arrived.head);
    }
}

#[tokio::test]
async fn trusted_proxies_are_believed_from_the_right() {
    for (fields, client, list) in [
        ("", "127.0.0.1", "127.0.0.1"),
        ("x-forwarded-for: 203.0.113.9\r\n", "203.0.113.9", "203.0.113.9, 127.0.0.1"),
        ("x-forwarded-for: 6.6.6.6, 203.0.113.9\r\n", "203.0.113.9", "6.6.6.6, 203.0.113.9, 127.0.0.1"),
        (
            "x-forwarded-for: 6.6.6.6, 203.0.113.9, 10.1.2.3\r\n",
            "203.0.113.9",
            "6.6.6.6, 203.0.113.9, 10.1.2.3, 127.0.0.1",
        ),
        (
            "x-forwarded-for: 6.6.6.6\r\nx-forwarded-for: 203.0.113.9\r\n",
            "203.0.113.9",
            "6.6.6.6, 203.0.113.9, 127.0.0.1",
        ),
        ("x-forwarded-for: 203.0.113.9, junk\r\n", "127.0.0.1", "203.0.113.9, junk, 127.0.0.1"),
        ("x-forwarded-for: 203.0.113.9, 10.1.2.3:99\r\n", "203.0.113.9", "203.0.113.9, 10.1.2.3:99, 127.0.0.1"),
        ("x-forwarded-for: 127.0.0.1, 10.0.0.1\r\n", "127.0.0.1", "127.0.0.1, 10.0.0.1, 127.0.0.1"),
        ("x-forwarded-for: 203.0.113.9'--, 10.0.0.1\r\n", "10.0.0.1", "203.0.113.9'--, 10.0.0.1, 127.0.0.1"),
        ("x-forwarded-for: ::ffff:203.0.113.9\r\n", "203.0.113.9", "::ffff:203.0.113.9, 127.0.0.1"),
        ("x-forwarded-for: [2001:db8::7]:80\r\n", "2001:db8::7", "[2001:db8::7]:80, 127.0.0.1"),
        ("x-real-ip: 6.6.6.6\r\n", "127.0.0.1", "127.0.0.1"),
        ("x_forwarded_for: 6.6.6.6\r\n", "127.0.0.1", "127.0.0.1"),
    ] {
        let bench = Bench::with(TRUSTING).await;
        let request = format!("GET /case HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        assert_eq!(bench.converse(&[request.as_bytes()]).await.status(), 200, "{fields:?}");
        assert_eq!(bench.gw.record().await["client_ip"], client, "the log says so: {fields:?}");
        let arrived = bench.finish().await.remove(0);
        assert_eq!((arrived.field("x-real-ip"), arrived.field("x-forwarded-for")), (client, list), "{fields:?}");
    }
}

#[tokio::test]
async fn the_log_does_not_believe_strangers() {
    let bench = Bench::new().await;
    let request = b"GET /case HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-forwarded-for: 6.6.6.6\r\nx-real-ip: 6.6.6.6\r\nforwarded: for=6.6.6.6\r\n\r\n";
    assert_eq!(bench.converse(&[request]).await.status(), 200);
    assert_eq!(bench.gw.record().await["client_ip"], "127.0.0.1");
}

#[tokio::test]
async fn error_pages_give_nothing_away() {
    let dead = refusing();
    let garbage = RawBackend::answering("SSH-2.0-OpenSSH_9.9 canary\r\n\r\n").await;
    let hanging = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.closed().await;
    })
    .await;
    let resetting = RawBackend::script(|connection| async move { connection.reset() }).await;
    let gw = Gw::with(
        "
        routes:
          dead: { match: { path: { exact: /dead } }, endpoints: ['{0}'] }
          garbage: { match: { path: { exact: /garbage } }, endpoints: ['{1}'] }
          hanging: { match: { path: { exact: /hanging } }, endpoints: ['{2}'], responseHeadTimeout: 50ms }
          resetting: { match: { path: { exact: /resetting } }, endpoints: ['{3}'] }
          small: { match: { path: { exact: /small } }, endpoints: ['{3}'], maxBodyBytes: 1B }",
        &[&dead, &garbage, &hanging, &resetting],
    )
    .await;
    let places = [dead.place(), garbage.place(), hanging.place(), resetting.place()];
    let ports: Vec<_> = places.iter().filter_map(|place| place.rsplit(':').next()).collect();
    let requests = [
        ("GET /dead HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 502),
        ("GET /garbage HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 502),
        ("GET /hanging HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 504),
        ("GET /resetting HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 502),
        ("GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404),
        ("GET /none?%3Cscript%3Ecanary HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404),
        ("GET /canary%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 400),
        ("GET /x HTTP/1.1\r\nhost: canary@x\r\nconnection: close\r\n\r\n", 400),
        ("TRACE /x HTTP/1.1\r\nhost: a\r\nx: canary\r\n\r\n", 405),
        ("POST /small HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\ncanary", 413),
        ("POST /small HTTP/1.1\r\nhost: a\r\nexpect: canary\r\n\r\n", 417),
        ("canary\r\n\r\n", 400),
    ];
    for (request, status) in requests {
        let mut client = gw.raw().await;
        client.write(request).await;
        let text = client.rest().await;
        assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {text}");
        let head = text.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        assert!(!head.contains("\r\nserver:") && !head.contains("\r\nx-powered-by:"), "{text}");
        let said: String =
            text.lines().filter(|line| !line.starts_with("x-request-id:") && !line.starts_with("date:")).collect();
        for secret in [
            "127.0.0.1",
            "canary",
            "hyper",
            "h2",
            "rustls",
            "tokio",
            "src/",
            "os error",
            "Connection refused",
            "panicked",
            "attache/",
            env!("CARGO_PKG_VERSION"),
            "endpoint",
            "upstream_addr",
        ] {
            assert!(!said.contains(secret), "{request:?} gives away {secret:?}: {text}");
        }
        for port in &ports {
            assert!(!said.contains(&format!(":{port}")), "{text}");
        }
    }
}

#[tokio::test]
async fn operations_have_their_own_listener() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { hosts: [a.example], endpoints: ['{0}'] } }", &[&backend]).await;
    let metrics = gw.metrics_address();
    assert!(metrics.ip().is_loopback());
    for path in [
        "/metrics", "/health", "/ready", "/startup", "/healthz", "/readyz", "/stats", "/stats/prometheus", "/admin",
        "/debug/pprof", "/config_dump", "/quitquitquit", "/reload", "/clusters",
    ] {
        for (target, host) in [
            (path.to_owned(), "a".to_owned()),
            (path.to_owned(), metrics.to_string()),
            (format!("http://{metrics}{path}"), "a".to_owned()),
            (path.to_owned(), "localhost".to_owned()),
        ] {
            let mut client = gw.raw().await;
            client.write(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
            let text = client.rest().await;
            assert!(text.starts_with("HTTP/1.1 404 ") && !text.contains("attache_"), "{target} {host}: {text}");
        }
    }
    assert_eq!(backend.hits(), 0);
    let loaded = attache::config::parse(
        "listeners: { http: { address: '0.0.0.0:80' } }\nroutes: { a: { endpoints: ['127.0.0.1:1'] } }",
        "x.yaml",
        &attache::config::Environment::process(),
    );
    let metrics = loaded.unwrap().config.metrics;
    assert!(format!("{metrics:?}").contains("127.0.0.1:9090"), "by default for this machine only: {metrics:?}");
}
