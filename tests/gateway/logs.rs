//! Access logs: their formats, fields and outputs, what they leave out and what they hide.

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Agent, Backend, Collector, GUARD, Gw, Place, RawBackend, call, eventually, get, logged, message, pass, post,
    refusing, with_field,
};

/// A gateway in front of `{0}` with this log.
fn logging(log: &str) -> String {
    format!("workers: 1\nroutes: {{ all: {{ endpoints: ['{{0}}'] }} }}\naccessLog: {log}")
}

/// The keys of a line, in their order.
fn keys(line: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(line).unwrap();
    let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
    keys.sort_by_key(|key| line.find(&format!("\"{key}\":")));
    keys
}

#[tokio::test]
async fn one_exchange_in_every_format_each_in_its_file() {
    let backend = Backend::replying(200).await.body("12345");
    let template = "
        workers: 1
        routes: { all: { endpoints: ['{0}'] } }
        accessLog:
          - { output: '{log}' }
          - { output: '{log}.common', format: common }
          - { output: '{log}.combined', format: combined }
          - { output: '{log}.text', format: text }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    let asking = with_field("referer", "https://a.example/\"x\"", get("/a?token=secret"));
    gw.send(with_field("user-agent", "test/1", asking)).await;
    let record = gw.record().await;
    let stamp = record["timestamp"].as_str().unwrap();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months[stamp[5..7].parse::<usize>().unwrap() - 1];
    let date = format!("{}/{month}/{}:{} +0000", &stamp[8..10], &stamp[0..4], &stamp[11..19]);
    let common = format!("127.0.0.1 - - [{date}] \"GET /a?token=* HTTP/1.1\" 200 5");
    assert_eq!(gw.lines(".common", 1).await, [format!("{common}\n")]);
    let combined = format!("{common} \"https://a.example/\\\"x\\\"\" \"test/1\"\n");
    assert_eq!(gw.lines(".combined", 1).await, [combined]);
    let text = gw.lines(".text", 1).await.remove(0);
    assert!(text.contains(" 200 GET localhost/a?token=* "), "{text}");
}

#[tokio::test]
async fn a_record_has_the_fields_of_ones_choice_in_that_order() {
    let backend = Backend::replying(200).await.header("x-model", "small").header("set-cookie", "a=1");
    let log = "{ output: '{log}', fields: [status, method, request-id, REASON, client_ip],
        requestHeaders: [x-team, authorization, x-absent], responseHeaders: [x-model, set-cookie] }";
    let mut gw = Gw::with(&logging(log), &[&backend]).await;
    let asking = with_field("authorization", "Bearer secret", get("/"));
    gw.send(with_field("x-team", "north", asking)).await;
    let line = gw.lines("", 1).await.remove(0);
    assert_eq!(
        keys(&line),
        ["status", "method", "request_id", "client_ip", "request_headers", "response_headers"],
        "absent values are left out: {line}"
    );
    let record: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(record["request_headers"], json!({ "x-team": "north", "authorization": "*" }));
    assert_eq!(record["response_headers"], json!({ "x-model": "small", "set-cookie": "*" }));
    gw.reload(&logging("{ output: '{log}', fields: status }"), &[&backend]).await.unwrap();
    gw.get("/").await;
    assert_eq!(gw.lines("", 2).await[1], "{\"status\":200}\n", "it changes on a reload");
    let elsewhere = gw.reload(&logging("{ output: '{log}.other' }"), &[&backend]).await;
    assert!(elsewhere.unwrap_err().to_string().contains("accessLog.output"), "where it goes needs a restart");
}

#[tokio::test]
async fn facts_are_hidden_in_every_format() {
    let agent = Agent::new("one").await;
    let template = "
        workers: 1
        routes: { all: { endpoints: ['{0}'] } }
        clientIp: { trustedProxies: 127.0.0.1 }
        accessLog:
          - { output: '{log}', redact: [client_ip, path, task, context, user_agent, authority] }
          - { output: '{log}.combined', format: combined, redact: [client_ip, path, user_agent] }
    ";
    let gw = Gw::with(template, &[&agent]).await;
    let asking = with_field("user-agent", "test/1", call("SendMessage", &message(&json!({}))));
    gw.send(with_field("x-forwarded-for", "192.0.2.77", asking)).await;
    let record = gw.record().await;
    for (key, expected) in [
        ("client_ip", json!("192.0.2.0")),
        ("path", json!("*")),
        ("task", json!("*")),
        ("user_agent", json!("*")),
        ("authority", json!("*")),
        ("operation", json!("SendMessage")),
    ] {
        assert_eq!(record[key], expected, "{key} of {record}");
    }
    let line = gw.lines(".combined", 1).await.remove(0);
    assert!(line.starts_with("192.0.2.0 - - [") && line.contains("\"POST * HTTP/1.1\""), "{line}");
    assert!(line.ends_with("\"-\" \"*\"\n"), "{line}");
}

#[tokio::test]
async fn a_log_leaves_out_what_it_is_told_to() {
    let backend = Backend::handling(|request| async move {
        let status = request.uri().path().rsplit('/').next().and_then(|status| status.parse().ok()).unwrap_or(200);
        http::Response::builder().status(status).body(crate::support::empty()).unwrap()
    })
    .await;
    let dead = refusing();
    for (log, expected) in [
        ("exclude: [/a/200, /b/404]", &["/a/404", "/b/200", "/b/503", "/dead"][..]),
        ("only: { statuses: 400-499 }", &["/a/404", "/b/404"]),
        ("only: { statuses: [200, 500-599] }", &["/a/200", "/b/200", "/b/503", "/dead"]),
        ("only: { routes: b }", &["/b/200", "/b/404", "/b/503"]),
        ("only: { routes: b, statuses: 200-299 }", &["/b/200"]),
        ("only: { minDuration: 1h }", &[]),
        ("sample: { success: 0% }", &["/a/404", "/b/404", "/b/503", "/dead"]),
        ("sample: { error: 0% }", &["/a/200", "/b/200"]),
        ("sample: { success: 0%, error: 0%, slow: 1h }", &[]),
        ("only: { statuses: 503 }, sample: { error: 0% }", &[]),
    ] {
        let template = format!(
            "workers: 1
routes:
  a: {{ endpoints: ['{{0}}'], match: {{ path: {{ prefix: /a }} }} }}
  b: {{ cluster: a, match: {{ path: {{ prefix: /b }} }} }}
  dead: {{ endpoints: ['{{1}}'] }}
accessLog:
  - {{ output: '{{log}}', {log} }}
  - {{ output: '{{log}}.all', fields: path }}"
        );
        let gw = Gw::with(&template, &[&backend, &dead]).await;
        let mut client = gw.h1().await;
        for path in ["/a/200", "/a/404", "/b/200", "/b/404", "/b/503", "/dead"] {
            client.reply(get(path)).await;
        }
        gw.lines(".all", 6).await;
        let (_, ended) = gw.shutdown().await;
        let paths: Vec<_> = ended.records().iter().map(|record| record["path"].as_str().unwrap().to_owned()).collect();
        assert_eq!(paths, expected, "{log}");
    }
}

#[tokio::test]
async fn what_took_long_is_kept_whatever_the_share() {
    let (held, release) = Backend::held().await;
    let log = "\n  - { output: '{log}', sample: { success: 0%, slow: 20ms } }\n  \
               - { output: '{log}.long', only: { minDuration: 20ms } }\n  - { output: '{log}.short', sample: { success: 0% } }";
    let gw = Gw::with(&logging(log), &[&held]).await;
    let mut client = gw.h1().await;
    let asking = tokio::spawn(async move { client.reply(get("/")).await.status });
    eventually("the agent has it", || async { held.hits() == 1 }).await;
    pass(Duration::from_millis(20)).await;
    release.send(()).unwrap();
    assert_eq!(asking.await.unwrap(), 200);
    gw.lines("", 1).await;
    gw.lines(".long", 1).await;
    let (_, ended) = gw.shutdown().await;
    assert_eq!(ended.text_of(".short"), "");
}

#[tokio::test]
async fn a_share_is_a_share() {
    let backend = Backend::replying(200).await;
    let log = "\n  - { output: '{log}', sample: { success: 50% } }\n  - { output: '{log}.tenth', sample: { success: 10% } }\n  - { output: '{log}.all' }";
    let gw = Gw::with(&logging(log), &[&backend]).await;
    let mut client = gw.h1().await;
    for _ in 0..1000 {
        client.reply(get("/")).await;
    }
    gw.lines(".all", 1000).await;
    let (_, ended) = gw.shutdown().await;
    let half = ended.records();
    assert!((400..600).contains(&half.len()), "{}", half.len());
    let tenth = ended.text_of(".tenth");
    assert!((50..200).contains(&tenth.lines().count()), "{}", tenth.lines().count());
    let ids: Vec<_> = half.iter().map(|record| record["request_id"].to_string()).collect();
    let nested = tenth.lines().all(|line| ids.iter().any(|id| line.contains(id.as_str())));
    assert!(nested, "a larger share has all of a smaller one");
}

#[tokio::test]
async fn syslog_gets_each_record_as_a_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let local = UnixDatagram::bind(&path).unwrap();
    local.set_read_timeout(Some(GUARD)).unwrap();
    let remote = UdpSocket::bind("127.0.0.1:0").unwrap();
    remote.set_read_timeout(Some(GUARD)).unwrap();
    let backend = Backend::replying(204).await;
    let log = format!(
        "\n  - {{ output: 'syslog:{}' }}\n  - {{ output: 'syslog:udp://{}', format: common }}",
        path.display(),
        remote.local_addr().unwrap()
    );
    let gw = Gw::with(&logging(&log), &[&backend]).await;
    gw.get("/a").await;
    let read = tokio::task::spawn_blocking(move || {
        let mut buffer = [0; 4096];
        let length = local.recv(&mut buffer).unwrap();
        let first = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let length = remote.recv(&mut buffer).unwrap();
        (first, String::from_utf8(buffer[..length].to_vec()).unwrap())
    });
    let (local, remote) = read.await.unwrap();
    let (head, line) = local.split_once(" access - ").unwrap();
    assert!(head.starts_with("<134>1 ") && head.contains(" attache "), "{head}");
    assert_eq!(serde_json::from_str::<Value>(line).unwrap()["path"], "/a");
    assert!(remote.contains("\"GET /a HTTP/1.1\" 204 0"), "{remote}");
}

#[tokio::test]
async fn a_server_of_syslog_that_is_gone_costs_lines_and_no_time() {
    let backend = Backend::replying(204).await;
    let folder = tempfile::tempdir().unwrap();
    let log = format!("{{ output: 'syslog:{}' }}", folder.path().join("nobody").display());
    let gw = Gw::with(&logging(&log), &[&backend]).await;
    for _ in 0..3 {
        assert_eq!(gw.get("/").await.status, 204);
    }
    eventually("lost lines are counted", || async { gw.metric("attache_access_log_dropped_total", &[]).await == 3.0 })
        .await;
}

#[tokio::test]
async fn a_server_of_syslog_that_hangs_costs_lines_and_no_request() {
    let backend = Backend::replying(204).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    // It is there, and never reads.
    let _silent = UnixDatagram::bind(&path).unwrap();
    let log = format!("{{ output: 'syslog:{}' }}", path.display());
    let gw = Gw::with(&logging(&log), &[&backend]).await;
    let mut client = gw.h1().await;
    let mut lost = 0.0;
    for _ in 0..100 {
        for _ in 0..50 {
            assert_eq!(client.reply(get("/")).await.status, 204);
        }
        lost = gw.metric("attache_access_log_dropped_total", &[]).await;
        if lost > 0.0 {
            break;
        }
    }
    assert!(lost > 0.0, "what did not fit is counted");
    let (drained, _) = gw.shutdown().await;
    assert_eq!(drained.cut, 0, "and the end does not wait for it");
}

#[tokio::test]
async fn decisions_go_to_syslog_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(GUARD)).unwrap();
    let place = path.display();
    let template = format!(
        "workers: 1
routes: {{ all: {{ ipAccess: {{ deny: [127.0.0.1] }}, respond: {{ status: 204 }} }} }}
accessLog: {{ output: 'syslog:{place}' }}
auditLog: {{ output: 'syslog:{place}', exclude: configuration }}"
    );
    let gw = Gw::with(&template, &[]).await;
    gw.get("/").await;
    let read = move || {
        let mut buffer = [0; 4096];
        let mut messages: Vec<String> = Vec::new();
        for _ in 0..2 {
            let length = server.recv(&mut buffer).unwrap();
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        messages
    };
    let messages = tokio::task::spawn_blocking(read).await.unwrap();
    for id in [" access - {", " audit - {"] {
        let message = messages.iter().find(|message| message.contains(id)).expect("a message of each log");
        assert!(message.contains("\"reason\":\"address_refused\""), "{message}");
    }
}

#[tokio::test]
async fn a_collector_gets_records_with_the_ids_of_their_spans() {
    for protocol in ["http", "grpc"] {
        let collector = if protocol == "http" { Collector::http().await } else { Collector::grpc().await };
        let backend = Backend::replying(503).await;
        let otlp = format!("otlp: {{ endpoint: 'http://{}', protocol: {protocol} }}", collector.place());
        let log = format!("{{ output: otlp, {otlp}, requestHeaders: x-team }}\ntracing: {{ {otlp} }}");
        let gw = Gw::with(&logging(&log), &[&backend]).await;
        gw.send(with_field("x-team", "north", post("/a?token=1", "x"))).await;
        let record = collector.logs(1).await.remove(0);
        let server = collector.spans(2).await.remove(0);
        assert_eq!((&record.trace_id, &record.span_id), (&server.span.trace_id, &server.span.span_id), "{protocol}");
        for (name, expected) in [("status", "503"), ("path", "/a?token=*"), ("route", "all"), ("timestamp", "")] {
            assert_eq!(logged(&record, name), expected, "{name}");
        }
        assert!(logged(&record, "request_headers").contains("north"), "{record:#?}");
        assert_eq!(record.severity_number, 17, "an error");
        assert_eq!(record.time_unix_nano / 1_000_000, server.span.start_time_unix_nano / 1_000_000);
        gw.get("/").await;
        gw.shutdown().await;
        assert_eq!(collector.logs(2).await.len(), 2, "the rest is delivered at the end");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_delays_nothing_and_lost_lines_are_counted() {
    let (backend, silent) = (Backend::replying(204).await, RawBackend::silent().await);
    let log = format!("{{ output: otlp, otlp: {{ endpoint: 'http://{}' }} }}", silent.place());
    let gw = Gw::with(&logging(&log), &[&backend]).await;
    let mut client = gw.h1().await;
    // More than may wait for it.
    for _ in 0..4096 + 200 {
        assert_eq!(client.reply(get("/")).await.status, 204);
    }
    eventually("what does not fit is counted", || async {
        gw.metric("attache_access_log_dropped_total", &[]).await >= 200.0
    })
    .await;
    let (drained, _) = gw.shutdown().await;
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn what_a_collector_refuses_is_counted() {
    let (backend, collector) = (Backend::replying(204).await, Collector::http().await.refusing(&[400]));
    let otlp = format!("{{ endpoint: 'http://{}', protocol: http }}", collector.place());
    let gw = Gw::with(&logging(&format!("{{ output: otlp, otlp: {otlp} }}")), &[&backend]).await;
    gw.get("/").await;
    eventually("it is counted", || async { gw.metric("attache_access_log_dropped_total", &[]).await == 1.0 }).await;
    assert_eq!(collector.heads()[0].0.path(), "/v1/logs");
}

#[test]
fn what_does_not_fit_together_is_an_error() {
    for (log, said) in [
        ("{ output: otlp }", "no collector to send to"),
        ("{ otlp: { endpoint: 'http://a:4317' } }", "the log does not go there"),
        ("{ format: common, fields: status }", "only JSON has fields"),
        ("{ fields: [] }", "at least one field"),
        ("{ fields: [statos] }", "status"),
        ("{ only: { routes: [al] } }", "did you mean `all`"),
        ("{ output: 'syslog:tls://a:6514' }", "not a server of syslog"),
        ("[{ output: ./a.log }, { output: ./a.log }]", "each needs a file of its own"),
        ("{ output: off }\nauditLog: { output: otlp }", "does not go to collectors"),
    ] {
        let text = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}\nroutes: {{ all: {{ respond: {{ body: a }} }} }}\naccessLog: {log}"
        );
        let parsed = attache::config::parse(&text, "test.yaml", &attache::config::Environment::process());
        let report = format!("{:?}", parsed.map(drop).unwrap_err());
        assert!(report.contains(said), "{log}: {report}");
    }
}
