//! What operators see: access records, metrics and health.

use serde_json::{Value, json};

use crate::support::{Backend, Gw, Raw, Sse, empty, eventually, post, refusing, request, with_field};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'] } }";

#[tokio::test]
async fn a_record_says_who_asked_what_and_what_became_of_it() {
    let backend = Backend::replying(201).await.body("12345");
    let template = "routes: { agents: { cluster: pool } }\nclusters: { pool: { endpoints: ['{0}'] } }";
    let gw = Gw::with(template, &[&backend]).await;
    let asking = with_field("user-agent", "test/1", post("/tasks?token=secret&page=2", "123"));
    let reply = gw.send(asking).await;
    let record = gw.record().await;
    for (key, expected) in [
        ("method", json!("POST")),
        ("authority", json!("localhost")),
        ("path", json!("/tasks?token=*&page=*")),
        ("proto", json!("HTTP/1.1")),
        ("status", json!(201)),
        ("flags", json!("-")),
        ("reason", Value::Null),
        ("route", json!("agents")),
        ("cluster", json!("pool")),
        ("endpoint", json!(backend.address().to_string())),
        ("attempts", json!(1)),
        ("upstream_status", json!(201)),
        ("bytes_received", json!(3)),
        ("bytes_sent", json!(5)),
        ("user_agent", json!("test/1")),
        ("client_ip", json!("127.0.0.1")),
        ("request_id", json!(reply.header("x-request-id"))),
        ("stream", Value::Null),
        ("tls", Value::Null),
    ] {
        assert_eq!(record[key], expected, "{key} of {record}");
    }
    let (duration, to_head) = (record["duration_ms"].as_f64().unwrap(), record["ttfb_ms"].as_f64().unwrap());
    assert!(0.0 < to_head && to_head <= duration, "{record}");
    assert!(record["timestamp"].as_str().unwrap().ends_with('Z'), "{record}");
}

#[tokio::test]
async fn finished_requests_are_counted_under_their_names() {
    let backend = Backend::replying(200).await.then(404);
    let template = "routes: { agents: { cluster: pool } }\nclusters: { pool: { endpoints: ['{0}'] } }";
    let gw = Gw::with(template, &[&backend]).await;
    gw.get("/").await;
    gw.get("/").await;
    gw.send(post("/", "12345")).await;
    gw.send(request("BREW", "/", empty())).await;
    gw.records(4).await;
    let names = [("route", "agents"), ("cluster", "pool")];
    for (method, code, count) in [("GET", "200", 1.0), ("GET", "404", 1.0), ("POST", "404", 1.0), ("OTHER", "404", 1.0)]
    {
        let labels = [names.as_slice(), &[("method", method), ("code", code), ("status_code", code)]].concat();
        assert_eq!(gw.metric("http_requests_total", &labels).await, count, "{method} {code}");
    }
    assert_eq!(gw.metric("http_request_duration_seconds_count", &names).await, 4.0);
    assert_eq!(gw.metric("attache_attempts_total", &[("cluster", "pool")]).await, 4.0);
    assert_eq!(gw.metric("attache_bytes_total", &[("direction", "received_from_client")]).await, 5.0);
    let connects = gw.metric("attache_upstream_connects_total", &[("cluster", "pool"), ("result", "ok")]).await;
    assert!((1.0..=4.0).contains(&connects), "{connects}");
    assert_eq!(gw.metric("attache_connections_total", &[("listener", "http")]).await, 4.0);
    eventually("clients have left", || async { gw.metric("attache_downstream_connections", &[]).await == 0.0 }).await;
}

#[tokio::test]
async fn each_worker_shows_what_it_has_to_do() {
    let agent = Sse::new().await;
    let gw = Gw::with(&format!("workers: 2\n{TO_ONE}"), &[agent.backend()]).await;
    let mut client = gw.h1().await;
    let stream = client.send(with_field("accept", "text/event-stream", post("/", "{}"))).await.unwrap();
    let open = agent.stream().await;
    let of = async |name: &str| [gw.metric(name, &[("worker", "0")]).await, gw.metric(name, &[("worker", "1")]).await];
    eventually("the worker that has the connection shows it", || async {
        let (connections, exchanges) = (of("attache_worker_connections").await, of("attache_worker_exchanges").await);
        connections == exchanges && connections[0] + connections[1] == 1.0
    })
    .await;
    eventually("both were busy for a moment", || async {
        of("attache_worker_busy_seconds_total").await.iter().all(|seconds| *seconds > 0.0)
    })
    .await;
    drop((stream, open, client));
    eventually("nothing is left", || async { of("attache_worker_connections").await == [0.0, 0.0] }).await;
    assert_eq!(of("attache_worker_exchanges").await, [0.0, 0.0]);
}

#[tokio::test]
async fn failures_are_counted_by_their_word_and_say_nothing_of_what_is_behind() {
    let dead = refusing();
    let place = crate::support::Place::place(&dead);
    let gw =
        Gw::with("routes: { secret-route: { endpoints: ['{0}'], match: { path: { prefix: /a } } } }", &[&dead]).await;
    for (path, reason) in [("/a", "connect_failed"), ("/b", "no_route")] {
        let reply = gw.get(path).await;
        assert_eq!(reply.reason(), reason);
        let shown = format!("{:?} {}", reply.headers, reply.text());
        for secret in ["secret-route", "attache/", "hyper", place.rsplit_once(':').unwrap().1] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
        assert!(!reply.header("x-request-id").is_empty());
        assert_eq!(gw.metric("attache_errors_total", &[("reason", reason)]).await, 1.0);
        assert_eq!(gw.metric("errors_total", &[("reason", reason)]).await, 1.0, "the name of existing dashboards");
    }
}

#[tokio::test]
async fn heads_that_are_not_http_are_counted_and_recorded() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut raw = gw.raw().await;
    raw.write("not http at all\r\n\r\n").await;
    assert!(raw.rest().await.starts_with("HTTP/1.1 400"));
    eventually("it is counted", || async {
        gw.metric("attache_malformed_requests_total", &[("listener", "http")]).await == 1.0
    })
    .await;
    let record = gw.record().await;
    assert_eq!(
        (&record["status"], &record["flags"], &record["reason"]),
        (&json!(400), &json!("DPE"), &json!("not_http")),
        "{record}"
    );
}

#[tokio::test]
async fn paths_and_routes_can_be_left_out_of_the_log() {
    let backend = Backend::replying(200).await;
    let template = "
        accessLog: { output: '{log}', exclude: [/health] }
        routes:
          all: { endpoints: ['{0}'] }
          quiet: { endpoints: ['{0}'], match: { path: { prefix: /quiet } }, accessLog: false }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for path in ["/health", "/quiet/x", "/health/x", "/loud"] {
        gw.get(path).await;
    }
    let records = gw.records(2).await;
    let mut paths: Vec<_> = records.iter().map(|record| record["path"].as_str().unwrap()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/health/x", "/loud"]);
    assert_eq!(gw.metric("http_requests_total", &[]).await, 4.0, "they are counted all the same");
}

#[tokio::test]
async fn a_rotated_log_goes_on_in_a_new_file() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    gw.get("/before").await;
    gw.record().await;
    let moved = gw.rotate_log().await;
    gw.get("/after").await;
    assert_eq!(gw.record().await["path"], "/after");
    let text = std::fs::read_to_string(moved).unwrap();
    assert!(text.contains("/before") && !text.contains("/after"), "{text}");
}

#[tokio::test]
async fn a_client_cannot_forge_a_line_of_the_log() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    let mut raw: Raw = gw.raw().await;
    raw.write("GET /%22%0a{\"x\":1} HTTP/1.1\r\nhost: a\r\nuser-agent: a\"b\\c\x7f\u{e9}\r\nconnection: close\r\n\r\n")
        .await;
    raw.closed().await;
    // Whatever became of it, the log is one object per line.
    gw.get("/").await;
    eventually("a whole line", || async { gw.metric("attache_connections_total", &[]).await == 2.0 }).await;
    let (_, ended) = gw.shutdown().await;
    assert!(!ended.records().is_empty());
}

#[tokio::test]
async fn health_paths_answer_in_words_probes_know() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(TO_ONE, &[&backend]).await;
    for path in ["/health", "/ready", "/startup"] {
        assert_eq!(gw.admin(path).await.status, 200, "{path}");
    }
    assert_eq!(gw.admin("/nothing").await.status, 404);
    let metrics = gw.metrics().await;
    for name in [
        "attache_build_info", "attache_config_hash_info", "memory_usage_bytes", "cpu_usage_percent", "process_open_fds",
    ] {
        assert!(metrics.contains(&format!("\n{name}")), "{name}");
    }
}
