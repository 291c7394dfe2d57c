//! Which route answers, what it does to the request, and what happens when none does.

use serde_json::json;

use crate::support::{Backend, Gw, Reply, at_host, delete, empty, get, post, request, with_field};

/// Routes that answer with their own name.
fn answering(routes: &[(&str, &str)]) -> String {
    let lines =
        routes.iter().map(|(name, rest)| format!("  {name}: {{ {rest}, respond: {{ status: 200, body: {name} }} }}\n"));
    format!("routes:\n{}", lines.collect::<String>())
}

async fn ask(gw: &Gw, host: &str, path: &str) -> Reply {
    gw.send(at_host(host, get(path))).await
}

#[tokio::test]
async fn a_request_reaches_the_endpoint() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let reply = gw.get("/x?y=1").await;
    assert_eq!(reply.status, 200);
    assert_eq!(backend.request().uri, "/x?y=1");
}

#[tokio::test]
async fn no_route_is_404_with_a_reason_and_nothing_else() {
    let gw = Gw::with(&answering(&[("one", "hosts: [a.example]")]), &[]).await;
    let reply = gw.get("/x").await;
    assert_eq!((reply.status, reply.reason()), (404, "no_route"));
    assert_eq!(reply.header("content-type"), "application/json");
    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(body["error"]["code"], 404);
    assert!(reply.headers.get("server").is_none(), "no version, no name");
    let record = gw.record().await;
    assert_eq!(
        (&record["flags"], &record["reason"], &record["route"]),
        (&json!("NR"), &json!("no_route"), &json!(null))
    );
}

#[tokio::test]
async fn hosts_are_matched_exactly_then_by_the_longest_wildcard() {
    let gw = Gw::with(
        &answering(&[
            ("exact", "hosts: [a.example.com]"),
            ("long", "hosts: ['*.b.example.com']"),
            ("short", "hosts: ['*.example.com']"),
            ("any", "match: { path: { prefix: / } }"),
        ]),
        &[],
    )
    .await;
    for (host, expected) in [
        ("a.example.com", "exact"),
        ("A.Example.COM.", "exact"),
        ("a.example.com:8080", "exact"),
        ("c.example.com", "short"),
        ("x.a.example.com", "short"),
        ("x.b.example.com", "long"),
        ("example.com", "any"),
        ("other", "any"),
    ] {
        assert_eq!(ask(&gw, host, "/").await.text(), expected, "{host}");
    }
}

#[tokio::test]
async fn paths_are_matched_exactly_then_by_the_longest_prefix() {
    let gw = Gw::with(
        &answering(&[
            ("exact", "match: { path: { exact: /v1/agents } }"),
            ("deep", "match: { path: { prefix: /v1/agents } }"),
            ("version", "match: { path: { prefix: /v1 } }"),
            ("pattern", "match: { path: { regex: '/r/[0-9]+' } }"),
        ]),
        &[],
    )
    .await;
    for (path, expected) in [
        ("/v1/agents", "exact"),
        ("/v1/agents/", "deep"),
        ("/v1/agents/1?x", "deep"),
        ("/v1/agentsmith", "version"),
        ("/v1", "version"),
        ("/v1/%61gents", "exact"),
        ("/v1/x/../agents", "exact"),
        ("//v1//agents", "exact"),
        ("/r/17", "pattern"),
    ] {
        assert_eq!(ask(&gw, "a", path).await.text(), expected, "{path}");
    }
    for path in ["/v2", "/r/17x", "/r/", "/", "/v1example"] {
        assert_eq!(ask(&gw, "a", path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn methods_headers_and_query_decide_in_that_order() {
    let gw = Gw::with(
        &answering(&[
            ("method", "match: { methods: [POST] }"),
            ("header", "match: { headers: { x-tenant: a } }"),
            ("prefix", "match: { headers: { x-tenant: { prefix: team- } } }"),
            ("query", "match: { query: { debug: { present: true } } }"),
            ("rest", "match: { path: { prefix: / } }"),
        ]),
        &[],
    )
    .await;
    let tenant = |path: &str, tenant: &str| with_field("x-tenant", tenant, get(path));
    assert_eq!(gw.send(post("/", "")).await.text(), "method");
    assert_eq!(gw.send(tenant("/", "a")).await.text(), "header");
    assert_eq!(gw.send(tenant("/?debug=1", "a")).await.text(), "header");
    assert_eq!(gw.send(tenant("/", "team-7")).await.text(), "prefix");
    assert_eq!(gw.send(get("/?debug")).await.text(), "query");
    assert_eq!(gw.send(tenant("/", "b")).await.text(), "rest");
    assert_eq!(gw.send(delete("/")).await.text(), "rest");
}

#[tokio::test]
async fn a_route_is_reachable_through_its_listeners_only() {
    let template = "
        listeners: { inside: { address: '127.0.0.1:0' }, outside: { address: '127.0.0.1:0' } }
        routes:
          private: { listeners: [inside], respond: { status: 200, body: private } }
          public: { match: { path: { prefix: /pub } }, respond: { status: 200, body: public } }
    ";
    let gw = Gw::with(template, &[]).await;
    for (listener, path, status) in
        [("inside", "/", 200), ("outside", "/", 404), ("inside", "/pub", 200), ("outside", "/pub", 200)]
    {
        let reply = crate::support::Client::h1(gw.at(listener)).await.reply(get(path)).await;
        assert_eq!(reply.status, status, "{listener} {path}");
    }
}

#[tokio::test]
async fn what_is_matched_is_what_is_forwarded() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let cases = [
        ("/a/./b/../c", "/a/c"),
        ("/%7Euser/%41", "/~user/A"),
        ("/a//b///c", "/a/b/c"),
        ("/a%2c%3a", "/a%2C%3A"),
        ("/tasks/1:cancel", "/tasks/1:cancel"),
        ("/slash/", "/slash/"),
        ("/../..", "/"),
        ("/q?a=%2f..&b=//", "/q?a=%2f..&b=//"),
        ("/?", "/?"),
    ];
    for (path, expected) in cases {
        let mut client = gw.raw().await;
        client.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        client.read_message().await;
        assert_eq!(backend.requests().last().unwrap().uri, expected, "{path}");
    }
}

#[tokio::test]
async fn paths_that_cannot_be_passed_on_safely_are_refused() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    for (path, reason) in [
        ("/a%2fb", "encoded_slash"),
        ("/a%5Cb", "encoded_backslash"),
        ("/a%00", "encoded_nul"),
        ("/%zz", "path_broken_percent"),
    ] {
        let mut client = gw.raw().await;
        client.write(format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let answer = client.rest().await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(answer.contains(&format!("x-attache-reason: {reason}\r\n")), "{path}: {answer}");
    }
    assert_eq!(backend.hits(), 0);
}

#[tokio::test]
async fn rewrites_change_the_path_and_keep_the_query() {
    let backend = Backend::replying(200).await;
    let template = "
        routes:
          prefix: { cluster: one, match: { path: { prefix: /api/v1 } }, rewrite: { prefix: / } }
          deeper: { cluster: one, match: { path: { prefix: /old } }, rewrite: { prefix: /new/place } }
          whole: { cluster: one, match: { path: { prefix: /whole } }, rewrite: { path: /fixed } }
          exact: { cluster: one, match: { path: { exact: /exact } }, rewrite: { prefix: /other } }
          regex: { cluster: one, match: { path: { prefix: /r } }, rewrite: { regex: { pattern: '^/r/([a-z]+)/([0-9]+)$', replacement: '/$2/$1' } } }
        clusters: { one: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for (path, expected) in [
        ("/api/v1/tasks?x=/api/v1", "/tasks?x=/api/v1"),
        ("/api/v1", "/"),
        ("/api/v1/", "/"),
        ("/old", "/new/place"),
        ("/old/a%2Cb?q", "/new/place/a%2Cb?q"),
        ("/whole/x?y=1", "/fixed?y=1"),
        ("/exact?z", "/other?z"),
        ("/r/abc/12?k", "/12/abc?k"),
        ("/r/none", "/r/none"),
    ] {
        assert_eq!(gw.get(path).await.status, 200, "{path}");
        assert_eq!(backend.requests().last().unwrap().uri, expected, "{path}");
    }
}

#[tokio::test]
async fn redirects_change_what_they_say_and_keep_the_rest() {
    let template = "
        routes:
          host: { match: { path: { prefix: /host } }, redirect: { host: other.example, status: 301 } }
          scheme: { match: { path: { prefix: /scheme } }, redirect: { scheme: https, port: 8443 } }
          prefix: { match: { path: { prefix: /old } }, redirect: { prefix: /new, status: 308 } }
          path: { match: { path: { prefix: /path } }, redirect: { path: /only } }
    ";
    let gw = Gw::with(template, &[]).await;
    let port = gw.address().port();
    for (asking, status, location) in [
        (get("/host/a?b=c%20d"), 301, format!("http://other.example:{port}/host/a?b=c%20d")),
        (get("/scheme/x"), 302, "https://localhost:8443/scheme/x".to_owned()),
        (post("/scheme/x", "y"), 307, "https://localhost:8443/scheme/x".to_owned()),
        (get("/old/x?y"), 308, format!("http://localhost:{port}/new/x?y")),
        (get("/path/x"), 302, format!("http://localhost:{port}/only")),
    ] {
        let asking = at_host(&format!("localhost:{port}"), asking);
        let reply = gw.send(asking).await;
        assert_eq!((reply.status, reply.header("location")), (status, location.as_str()));
    }
}

#[tokio::test]
async fn direct_answers_say_what_they_are() {
    let template = r#"
        routes:
          text: { match: { path: { exact: /text } }, respond: { body: hello } }
          json: { match: { path: { exact: /json } }, respond: { status: 418, body: '{"a":1}' } }
          none: { match: { path: { exact: /none } }, respond: { status: 204 } }
    "#;
    let gw = Gw::with(template, &[]).await;
    let text = gw.get("/text").await;
    assert_eq!((text.status, text.text(), text.header("content-type")), (200, "hello", "text/plain; charset=utf-8"));
    let json = gw.get("/json").await;
    assert_eq!((json.status, json.text(), json.header("content-type")), (418, r#"{"a":1}"#, "application/json"));
    assert_eq!(gw.get("/none").await.status, 204);
    let head = gw.send(request("HEAD", "/text", empty())).await;
    assert_eq!((head.header("content-length"), head.text()), ("5", ""));
    for mut client in [gw.h1().await, gw.h2().await] {
        // The body of a request nobody reads does not harm the next one.
        assert_eq!(client.reply(post("/text", vec![b'x'; 1000])).await.text(), "hello");
        assert_eq!(client.reply(get("/text")).await.text(), "hello");
    }
    let records = gw.records(8).await;
    let texts = records
        .iter()
        .filter(|record| record["route"] == "text" && record["attempts"] == 0 && record["bytes_sent"] == 5);
    assert_eq!(texts.count(), 5, "{records:?}");
}

#[tokio::test]
async fn rfc9110_9_3_methods_never_served_get_405() {
    let gw = Gw::with(&answering(&[("all", "match: { path: { prefix: / } }")]), &[]).await;
    let mut client = gw.raw().await;
    client.write("TRACE / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let answer = client.rest().await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
    assert!(answer.to_lowercase().contains("\r\nallow: "), "RFC 9110 section 15.5.6: {answer}");
}

#[tokio::test]
async fn https_redirect_keeps_path_and_query_byte_for_byte() {
    let ca = crate::support::Ca::new();
    let identity = ca.issue(&["a.example"]);
    let template = "
        listeners:
          http: { address: '127.0.0.1:0', httpsRedirect: true, protocols: [http/1.1, h2] }
          https: { address: '127.0.0.1:0', tls: { certificates: [{ {0} }] } }
        routes: { all: { hosts: [a.example], respond: { status: 200 } } }
    ";
    let gw = Gw::with(template, &[&identity]).await;
    let ask = async |method: &str, host: &str, path: &str| {
        let mut client = gw.raw().await;
        client.write(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n")).await;
        client.read_head().await
    };
    for (method, path, status) in [
        ("GET", "/", "301"),
        ("HEAD", "/a", "301"),
        ("POST", "/b", "308"),
        ("DELETE", "/c", "308"),
        ("GET", "/a/../b//c?x=%2f%20&y=%22q%22", "301"),
        ("GET", "/?", "301"),
    ] {
        let head = ask(method, "a.example:80", path).await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {head}");
        let location = head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap();
        let at = location.strip_prefix("https://a.example").expect("to the same host");
        let at = at.strip_prefix(':').map_or(at, |port| port.trim_start_matches(|c: char| c.is_ascii_digit()));
        assert_eq!(at, path, "byte for byte");
    }
    let head = ask("GET", "evil.example", "/").await;
    assert!(!head.contains("location"), "nobody is sent to a host that is not served: {head}");
}
