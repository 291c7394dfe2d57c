//! What clients and collectors may do to tracing: however long, many-named or slow, it stays within its bounds.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message as _;

use crate::support::{Backend, Collector, Gw, Speak, eventually, get, grpc_at, post, request, with_field};
use crate::traces::traced;

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

#[tokio::test]
async fn what_clients_write_is_cut_in_spans() {
    let (backend, collector) = (Backend::replying(200).await, Collector::http().await);
    let template = format!(
        "tenants: {{ header: x-tenant }}\nlisteners:\n  \
         http: {{ address: '127.0.0.1:0', limits: {{ maxTargetBytes: 63KiB, maxHeaderBytes: 1MiB }} }}\n{}",
        traced("")
    );
    let gw = Gw::with(&template, &[&backend, &collector]).await;
    let path = format!("/{}", "p".repeat(30_000));
    let asking = request(&"M".repeat(300), &format!("{path}?{}=1", "q".repeat(30_000)), crate::support::empty());
    let asking = with_field("x-tenant", &"t".repeat(20_000), with_field("user-agent", &"u".repeat(20_000), asking));
    assert_eq!(gw.send(asking).await.status, 200);
    assert_eq!(backend.request().uri.path(), path, "the agent gets all of it");
    let spans = collector.spans(2).await;
    let (server, client) = (&spans[0], &spans[1]);
    for (span, name, length) in [
        (server, "url.path", 512),
        (server, "url.query", 512),
        (server, "http.request.method_original", 128),
        (server, "attache.tenant", 128),
        (server, "user_agent.original", 256),
        (client, "url.full", 512),
        (client, "http.request.method_original", 128),
    ] {
        assert_eq!(span.attribute(name).len(), length, "{name}");
    }
    for span in [server, client] {
        for pair in &span.span.attributes {
            if let Some(Value::StringValue(text)) = pair.value.as_ref().and_then(|value| value.value.as_ref()) {
                assert!(text.len() <= 512, "{}: {} bytes", pair.key, text.len());
            }
        }
        // 512 of them are one message, and servers of gRPC take 4 MiB by default.
        assert!(span.span.encoded_len() < 4096, "{}", span.span.encoded_len());
    }
}

#[tokio::test]
async fn a_span_is_named_by_a_path_of_grpc_only_where_the_configuration_has_it() {
    let (backend, collector) = (Backend::replying_as(SPEAK, 200).await, Collector::http().await);
    let template = "
        workers: 1
        routes:
          exact: { cluster: all, match: { path: { exact: /a.B/Known } } }
          all: { cluster: all, match: { path: { prefix: /a.B } } }
        clusters: { all: { endpoints: ['{0}'], protocol: h2c } }
        tracing: { otlp: { endpoint: 'http://{1}', protocol: http } }
    ";
    let gw = Gw::with(template, &[&backend, &collector]).await;
    let mut client = gw.h2().await;
    let long = format!("a.B/{}", "x".repeat(1000));
    for path in ["a.B/Known", "a.B/Invented1", &long] {
        client.reply(grpc_at(&format!("/{path}"), b"")).await;
    }
    client.reply(grpc_at("/elsewhere/Invented2", b"")).await;
    let spans = collector.spans(7).await;
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    let named: Vec<_> = servers.iter().map(|span| (&*span.span.name, span.attribute("rpc.method"))).collect();
    let method = |text: &str| text.to_owned();
    assert_eq!(
        named,
        [
            ("a.B/Known", method("a.B/Known")),
            ("POST /a.B/*", method("a.B/Invented1")),
            ("POST /a.B/*", method(&long[..128])),
            ("POST", method("elsewhere/Invented2")),
        ]
    );
}

#[tokio::test]
async fn masked_queries_stand_in_spans_as_they_are_and_in_the_log_escaped() {
    let (backend, collector) = (Backend::replying(200).await, Collector::http().await);
    let gw = Gw::with(&traced(""), &[&backend, &collector]).await;
    assert_eq!(gw.get("/a?\\x=1&token").await.status, 200);
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].attribute("url.query"), "\\x=*&*");
    assert_eq!(spans[1].attribute("url.full"), format!("http://{}/a?\\x=*&*", backend.address()));
    assert_eq!(gw.record().await["path"], "/a?\\x=*&*", "read from JSON");
}

#[tokio::test]
async fn a_collector_of_grpc_that_has_no_room_is_asked_again_only_if_it_says_when() {
    let (backend, collector) = (Backend::replying(200).await, Collector::grpc().await.refusing(&[8]));
    let gw = Gw::with(&traced("").replace("protocol: http", "protocol: grpc"), &[&backend, &collector]).await;
    gw.get("/").await;
    let labels = [("reason", "rejected")];
    eventually("it is counted", || async { gw.metric("attache_spans_dropped_total", &labels).await == 2.0 }).await;
    assert_eq!(collector.heads().len(), 1, "the message may be too large for it, and would be the next time");
}

/// The collector before asks for an hour, and gets 30 seconds.
#[tokio::test]
async fn a_reload_to_another_collector_does_not_wait_for_the_one_before() {
    let (backend, second) = (Backend::replying(200).await, Collector::http().await);
    let first = Backend::replying(503).await.header("retry-after", "3600");
    let mut gw = Gw::with(&traced(""), &[&backend, &first]).await;
    gw.send(post("/early", "")).await;
    eventually("it is refused", || async { first.hits() == 1 }).await;
    gw.reload(&traced("serviceName: other"), &[&backend, &second]).await.unwrap();
    let spans = second.spans(2).await;
    assert_eq!(spans[0].attribute("url.path"), "/early", "what was refused is not lost");
    assert_eq!(spans[0].resource("service.name"), "other");
    gw.send(get("/late")).await;
    second.spans(4).await;
    assert_eq!(first.hits(), 1);
    assert_eq!(gw.metric("attache_spans_dropped_total", &[]).await, 0.0);
}
