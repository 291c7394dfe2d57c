//! Tracing: which spans arrive at a collector, how they hang together with what agents get, and that no collector
//! costs anything.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::AUTHORIZATION;
use serde_json::json;

use crate::support::{
    Agent, Backend, Ca, Collector, Gw, Place, RawBackend, Speak, Sse, TextFile, ask_by_grpc, call, chunk, eventually,
    get, message, pass, post, refusing, with_field,
};

const CALLER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A gateway in front of `{0}` that sends its spans to `{1}`, over HTTP.
pub(crate) fn traced(rest: &str) -> String {
    format!(
        "workers: 1\nroutes: {{ all: {{ endpoints: ['{{0}}'] }} }}\n\
         tracing: {{ otlp: {{ endpoint: 'http://{{1}}', protocol: http }}, {rest} }}"
    )
}

#[tokio::test]
async fn a_request_leaves_a_span_and_one_for_its_try_over_http_and_over_grpc() {
    for protocol in ["http", "grpc"] {
        let backend = Backend::replying(201).await.body("12345");
        let collector = if protocol == "http" { Collector::http().await } else { Collector::grpc().await };
        let template = format!(
            "routes: {{ research: {{ cluster: agents, match: {{ path: {{ prefix: /api }} }} }} }}\n\
             clusters: {{ agents: {{ endpoints: ['{{0}}'] }} }}\n\
             tracing: {{ otlp: {{ endpoint: 'http://{{1}}', protocol: {protocol} }}, serviceName: edge,\n  \
             attributes: {{ deployment.environment.name: test }} }}"
        );
        let gw = Gw::with(&template, &[&backend, &collector]).await;
        let asking = with_field("traceparent", CALLER, post("/api/x?token=secret", "123"));
        let reply = gw.send(with_field("user-agent", "test/1", asking)).await;
        let spans = collector.spans(2).await;
        let [server, client] = &spans[..] else { panic!("{spans:#?}") };
        assert!(server.is_server() && !client.is_server(), "{spans:#?}");
        assert_eq!((server.trace_id(), server.parent()), (CALLER[3..35].to_owned(), CALLER[36..52].to_owned()));
        assert_eq!((client.trace_id(), client.parent()), (server.trace_id(), server.id()));
        assert_eq!(backend.request().header("traceparent"), client.as_parent(true), "the agent's parent");
        let endpoint = backend.address();
        for (span, name, expected) in [
            (server, "http.request.method", "POST"),
            (server, "http.route", "/api/*"),
            (server, "http.response.status_code", "201"),
            (server, "url.path", "/api/x"),
            (server, "url.query", "token=*"),
            (server, "url.scheme", "http"),
            (server, "user_agent.original", "test/1"),
            (server, "client.address", "127.0.0.1"),
            (server, "network.protocol.version", "1.1"),
            (server, "server.address", "localhost"),
            (server, "http.request.body.size", "3"),
            (server, "http.response.body.size", "5"),
            (server, "attache.route", "research"),
            (server, "attache.request_id", reply.header("x-request-id")),
            (server, "attache.attempts", "1"),
            (server, "error.type", ""),
            (client, "http.request.method", "POST"),
            (client, "server.address", "127.0.0.1"),
            (client, "server.port", &endpoint.port().to_string()),
            (client, "network.peer.address", "127.0.0.1"),
            (client, "url.full", &format!("http://{endpoint}/api/x?token=*")),
            (client, "http.response.status_code", "201"),
            (client, "attache.cluster", "agents"),
            (client, "http.request.resend_count", ""),
        ] {
            assert_eq!(span.attribute(name), expected, "{protocol} {name}");
        }
        assert_eq!((&*server.span.name, &*client.span.name), ("POST /api/*", "POST"));
        assert!(!server.has_failed() && !client.has_failed());
        assert_eq!(client.events(), ["response_head"]);
        assert_eq!(server.resource("service.name"), "edge");
        assert_eq!(server.resource("deployment.environment.name"), "test");
        assert!(!server.resource("service.instance.id").is_empty());
        let record = gw.record().await;
        assert_eq!(record["trace_id"], json!(server.trace_id()), "log and trace have the same ids");
        assert_eq!(record["span_id"], json!(server.id()));
        let (path, _) = collector.heads().remove(0);
        let expected = if protocol == "http" {
            "/v1/traces"
        } else {
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        };
        assert_eq!(path.path(), expected);
        eventually("it is counted", || async { gw.metric("attache_spans_exported_total", &[]).await == 2.0 }).await;
    }
}

#[tokio::test]
async fn each_try_is_a_span_and_the_agent_gets_its_own() {
    let (backend, collector) = (Backend::replying(503).await.then(200), Collector::grpc().await);
    let template = "
        routes: { all: { endpoints: ['{0}'], retries: { attempts: 1, retryOn: 5xx } } }
        tracing: { otlp: { endpoint: 'http://{1}' } }
    ";
    let gw = Gw::with(template, &[&backend, &collector]).await;
    assert_eq!(gw.get("/").await.status, 200);
    let spans = collector.spans(3).await;
    let [server, first, second] = &spans[..] else { panic!("{spans:#?}") };
    for (one, seen) in [first, second].into_iter().zip(backend.requests()) {
        assert_eq!(one.parent(), server.id());
        assert_eq!(seen.header("traceparent"), one.as_parent(true));
    }
    assert!(first.has_failed() && !second.has_failed() && !server.has_failed(), "{spans:#?}");
    assert_eq!(first.attribute("error.type"), "503");
    assert!(first.span.end_time_unix_nano <= second.span.start_time_unix_nano);
    assert_eq!(second.attribute("http.request.resend_count"), "1");
    assert_eq!(
        (server.events(), server.of_event("retry", "attache.retry.reason")),
        (vec!["retry"], "status_5xx".to_owned())
    );
    assert_eq!(server.attribute("attache.attempts"), "2");
}

#[tokio::test]
async fn a_try_says_why_it_failed_and_that_its_endpoint_is_out() {
    let (dead, bad, collector) = (refusing(), Backend::replying(503).await, Collector::grpc().await);
    let template = "
        routes: { all: { cluster: all, retries: { attempts: 1, retryOn: [connect-failure, 5xx] } } }
        clusters: { all: { endpoints: ['{0}', '{1}'], outlierDetection: { consecutiveErrors: 1 } } }
        tracing: { otlp: { endpoint: 'http://{2}' }, sampling: 0% }
    ";
    let gw = Gw::with(template, &[&dead, &bad, &collector]).await;
    assert!(gw.get("/").await.status >= 502);
    let spans = collector.spans(3).await;
    let of = |place: &dyn Place| {
        let port = place.place().rsplit_once(':').unwrap().1.to_owned();
        spans.iter().find(|span| span.attribute("server.port") == port).expect("it was tried")
    };
    let (server, refused, answered) = (&spans[0], of(&dead), of(&bad));
    assert!(server.has_failed() && refused.has_failed() && answered.has_failed(), "{spans:#?}");
    assert_eq!(refused.attribute("error.type"), "connect_failed");
    let why = refused.span.status.as_ref().map(|status| status.message.clone()).unwrap_or_default();
    assert!(why.contains("os error 111"), "{why}");
    assert_eq!(answered.attribute("error.type"), "503");
    let out: Vec<_> =
        [refused, answered].into_iter().filter(|one| one.events().contains(&"endpoint_ejected")).collect();
    // The last usable one stays.
    assert_eq!(out.len(), 1, "{spans:#?}");
    assert_eq!(out[0].of_event("endpoint_ejected", "attache.ejection.cause"), "consecutive_5xx");
    assert_eq!(server.events(), ["retry", "retry_stopped"]);
    assert_eq!(server.of_event("retry_stopped", "attache.retry.reason"), "attempts_used");
}

#[tokio::test]
async fn tries_side_by_side_are_told_apart() {
    let (slow, release) = Backend::held().await;
    let quick = Backend::replying(200).await;
    let collector = Collector::http().await;
    let template = "
        workers: 1
        routes: { all: { cluster: all, retries: { perTryTimeout: 50ms, hedging: true } } }
        clusters: { all: { endpoints: ['{0}', '{1}'], loadBalancer: round-robin } }
        tracing: { otlp: { endpoint: 'http://{2}', protocol: http } }
    ";
    let gw = Gw::with(template, &[&slow, &quick, &collector]).await;
    while slow.hits() == 0 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    let first = quick.hits() - 1;
    let spans = collector.spans(2 * first + 3).await;
    drop(release);
    let port = slow.address().port().to_string();
    let lost = spans.iter().find(|span| span.attribute("server.port") == port).expect("the slow one was tried");
    assert_eq!((lost.attribute("error.type"), lost.has_failed()), ("cancelled".to_owned(), true));
    let won = spans.iter().find(|span| span.parent() == lost.parent() && span.id() != lost.id()).unwrap();
    assert_eq!((won.attribute("http.response.status_code"), won.has_failed()), ("200".to_owned(), false));
    assert_eq!(quick.requests().last().unwrap().header("traceparent"), won.as_parent(true));
}

#[tokio::test]
async fn what_fails_is_kept_though_nothing_is_sampled() {
    let backend = Backend::replying(200).await.then(500).then(404);
    let collector = Collector::http().await;
    let gw = Gw::with(&traced("sampling: 0%"), &[&backend, &collector]).await;
    let mut client = gw.h1().await;
    let statuses = [client.reply(get("/")).await, client.reply(get("/")).await, client.reply(get("/")).await];
    assert_eq!(statuses.map(|reply| reply.status), [200, 500, 404]);
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].attribute("http.response.status_code"), "500");
    assert!(spans[0].has_failed());
    let seen = backend.requests();
    let flags: Vec<_> = seen.iter().map(|seen| seen.header("traceparent")[53..].to_owned()).collect();
    assert_eq!(flags, ["00", "00", "00"], "agents are told that nothing is sampled");
    assert_eq!(seen[1].header("traceparent"), spans[1].as_parent(false));
    let records = gw.records(3).await;
    let logged: Vec<_> = records.iter().map(|record| record["span_id"].is_string()).collect();
    assert_eq!(logged, [false, true, false], "the log names spans that there are");
    assert!(records.iter().all(|record| record["trace_id"].is_string()), "{records:?}");
}

#[tokio::test]
async fn what_is_refused_before_it_has_a_route_is_traced_too() {
    let (backend, collector) = (Backend::replying(200).await, Collector::http().await);
    let template = "
        routes: { all: { endpoints: ['{0}'], match: { path: { prefix: /a } } } }
        tracing: { otlp: { endpoint: 'http://{1}', protocol: http } }
    ";
    let gw = Gw::with(template, &[&backend, &collector]).await;
    assert_eq!(gw.send(with_field("traceparent", CALLER, get("/b"))).await.status, 404);
    let span = collector.spans(1).await.remove(0);
    assert_eq!((span.attribute("attache.reason"), span.has_failed()), ("no_route".to_owned(), false));
    assert_eq!((&*span.span.name, span.parent()), ("GET", CALLER[36..52].to_owned()));
    assert_eq!(gw.record().await["trace_id"], json!(&CALLER[3..35]));
}

#[tokio::test]
async fn what_is_slow_is_kept() {
    let (backend, release) = Backend::held().await;
    let collector = Collector::http().await;
    let gw = Gw::with(&traced("sampling: 0%, keep: { errors: false, slow: 100ms }"), &[&backend, &collector]).await;
    let slow = tokio::spawn({
        let mut client = gw.h1().await;
        async move { client.reply(get("/slow")).await }
    });
    eventually("it is asked", || async { backend.hits() == 1 }).await;
    pass(Duration::from_millis(120)).await;
    release.send(()).unwrap();
    assert_eq!(slow.await.unwrap().status, 200);
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].attribute("url.path"), "/slow");
}

#[tokio::test]
async fn the_caller_decides_unless_it_is_not_to() {
    for (follow, caller, expected) in
        [("always", "01", "01"), ("always", "00", "00"), ("trusted", "01", "00"), ("never", "01", "00")]
    {
        let (backend, collector) = (Backend::replying(200).await, Collector::http().await);
        let gw = Gw::with(&traced(&format!("sampling: 0%, followParent: {follow}")), &[&backend, &collector]).await;
        let caller = format!("{}{caller}", &CALLER[..53]);
        gw.send(with_field("traceparent", &caller, get("/"))).await;
        let sent = backend.request().header("traceparent").to_owned();
        assert_eq!((&sent[..35], &sent[53..]), (&CALLER[..35], expected), "{follow}");
    }
}

#[tokio::test]
async fn a_route_has_a_share_of_its_own_or_none() {
    let (backend, collector) = (Backend::replying(500).await, Collector::http().await);
    let template = "
        routes:
          all: { endpoints: ['{0}'] }
          watched: { cluster: all, match: { path: { prefix: /watched } }, tracing: { sampling: 100% } }
          probes: { cluster: all, match: { path: { prefix: /probes } }, tracing: off }
        tracing: { otlp: { endpoint: 'http://{1}', protocol: http }, sampling: 0%, keep: { errors: false } }
    ";
    let gw = Gw::with(template, &[&backend, &collector]).await;
    for path in ["/", "/probes", "/watched"] {
        gw.send(with_field("traceparent", "nonsense", get(path))).await;
    }
    let caller = with_field("traceparent", CALLER, get("/probes"));
    gw.send(caller).await;
    let spans = collector.spans(2).await;
    assert_eq!(spans[0].attribute("attache.route"), "watched");
    let passed = backend.requests().pop().unwrap();
    assert_eq!(passed.header("traceparent"), CALLER, "without a span of ours the caller's is the parent");
}

#[tokio::test]
async fn b3_and_baggage_pass_as_configured() {
    let (backend, collector) = (Backend::replying(200).await, Collector::http().await);
    let gw = Gw::with(&traced("propagation: [b3, b3multi, tracecontext]"), &[&backend, &collector]).await;
    let caller = format!("{}-{}-1", &CALLER[3..35], &CALLER[36..52]);
    let asking = with_field("baggage", "user=1", with_field("tracestate", "a=1", get("/")));
    gw.send(with_field("b3", &caller, asking)).await;
    let spans = collector.spans(2).await;
    let (server, client) = (&spans[0], &spans[1]);
    assert_eq!((server.trace_id(), server.parent()), (CALLER[3..35].to_owned(), CALLER[36..52].to_owned()));
    let seen = backend.request();
    assert_eq!(seen.header("b3"), format!("{}-{}-1-{}", client.trace_id(), client.id(), server.id()));
    assert_eq!((seen.header("x-b3-spanid"), seen.header("x-b3-sampled")), (&*client.id(), "1"));
    assert_eq!(seen.header("traceparent"), client.as_parent(true));
    assert_eq!(seen.header("tracestate"), "", "it belongs to no trace that is known");
    assert_eq!(seen.header("baggage"), "", "it is not in the list");
    let only = Gw::with("routes: { all: { endpoints: ['{0}'] } }\ntracing: { propagation: [b3] }", &[&backend]).await;
    only.send(with_field("baggage", "user=1", with_field("traceparent", CALLER, get("/")))).await;
    let seen = backend.requests().pop().unwrap();
    assert_eq!(seen.header("traceparent"), CALLER, "what is not in the list is left alone");
    assert_eq!(seen.header("b3").len(), 32 + 1 + 16 + 2, "a trace begins, without a collector: {}", seen.header("b3"));
}

#[tokio::test]
async fn calls_of_agents_are_named_by_what_they_ask() {
    let (agent, collector) = (Agent::with_grpc("one").await, Collector::http().await);
    let template = format!(
        "routes: {{ all: {{ cluster: one }} }}\nclusters: {{ one: {{ endpoints: [{{ address: '{{0}}', grpc: '{}' }}] }} }}\n\
         tracing: {{ otlp: {{ endpoint: 'http://{{1}}', protocol: http }} }}",
        agent.grpc().place()
    );
    let gw = Gw::with(&template, &[&agent, &collector]).await;
    let mut client = gw.h2().await;
    client.reply(call("SendMessage", &message(&json!({})))).await;
    ask_by_grpc(&mut client, "SendMessage", None).await.unwrap();
    let spans = collector.spans(4).await;
    let servers: Vec<_> = spans.iter().filter(|span| span.is_server()).collect();
    let [jsonrpc, grpc] = &servers[..] else { panic!("{spans:#?}") };
    for (span, name, expected) in [
        (jsonrpc, "rpc.system.name", "jsonrpc"),
        (jsonrpc, "rpc.method", "SendMessage"),
        (jsonrpc, "a2a.method.name", "SendMessage"),
        (jsonrpc, "a2a.protocol.binding", "jsonrpc"),
        (jsonrpc, "a2a.task.id", "one-1"),
        (grpc, "rpc.system.name", "grpc"),
        (grpc, "rpc.method", "lf.a2a.v1.A2AService/SendMessage"),
        (grpc, "rpc.response.status_code", "OK"),
        (grpc, "a2a.protocol.version", "1.0"),
        (grpc, "a2a.protocol.binding", "grpc"),
    ] {
        assert_eq!(span.attribute(name), expected, "{name}");
    }
    assert_eq!((&*jsonrpc.span.name, &*grpc.span.name), ("SendMessage", "SendMessage"));
}

#[tokio::test]
async fn a_stream_is_a_span_to_its_end() {
    let (sse, collector) = (Sse::new().await, Collector::http().await);
    let gw = Gw::with(&traced(""), &[&sse, &collector]).await;
    let mut client = gw.h1().await;
    let (answer, stream) = tokio::join!(client.send(get("/")), sse.stream());
    let mut body = answer.unwrap().into_body();
    stream.event("1").await;
    chunk(&mut body).await.unwrap().unwrap();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    stream.abort().await;
    assert!(chunk(&mut body).await.unwrap().is_err());
    let spans = collector.spans(2).await;
    assert!(spans.iter().all(|span| u128::from(span.span.end_time_unix_nano) >= before.as_nanos()), "{spans:#?}");
    assert_eq!((spans[0].attribute("attache.stream"), spans[0].has_failed()), ("true".to_owned(), true));
    assert_eq!(spans[0].attribute("error.type"), "upstream_aborted");
}

#[tokio::test]
async fn a_collector_is_reached_over_tls_with_the_fields_it_wants() {
    let ca = Ca::new();
    let tls = ca.issue(&["localhost"]).server(&["h2"], None);
    let (backend, collector) =
        (Backend::replying(200).await, Collector::grpc_as(Speak { tls: Some(tls), ..Speak::default() }).await);
    let secret = TextFile::new("# of the collector\nauthorization: Bearer 7\nx-team: agents\n");
    let template = format!(
        "routes: {{ all: {{ endpoints: ['{{0}}'] }} }}\ntracing: {{ otlp: {{ endpoint: 'https://localhost:{}',\n  \
         caFile: '{{1}}', headersFile: '{{2}}' }} }}",
        collector.place().rsplit_once(':').unwrap().1,
    );
    let gw = Gw::with(&template, &[&backend, &ca, &secret]).await;
    gw.get("/").await;
    collector.spans(2).await;
    let (_, fields) = collector.heads().remove(0);
    assert_eq!(fields[AUTHORIZATION], "Bearer 7");
    assert_eq!(fields["x-team"], "agents");
}

#[tokio::test]
async fn a_collector_that_hangs_delays_nothing_and_drops_are_counted() {
    let (backend, hanging) = (Backend::replying(200).await, RawBackend::silent().await);
    let gw = Gw::with(&traced("attributes: {}"), &[&backend, &hanging]).await;
    let mut client = gw.h1().await;
    // More than may wait: two spans for each request.
    let requests = 8192 / 2 + 200;
    for _ in 0..requests {
        assert_eq!(client.reply(get("/")).await.status, 200);
    }
    let dropped = || gw.metric("attache_spans_dropped_total", &[("reason", "queue_full")]);
    eventually("what does not fit is counted", || async { dropped().await >= 2.0 * 100.0 }).await;
    assert_eq!(gw.metric("attache_spans_exported_total", &[]).await, 0.0);
    // It is a guard of the test that the end does not wait for the collector.
    let (drained, _) = gw.shutdown().await;
    assert_eq!(drained.cut, 0);
}

#[tokio::test]
async fn what_a_collector_refuses_for_now_is_sent_again_and_the_rest_is_counted() {
    for (collector, is_grpc) in
        [(Collector::http().await.refusing(&[503]), false), (Collector::grpc().await.refusing(&[14]), true)]
    {
        let backend = Backend::replying(200).await;
        let template = traced("").replace("protocol: http", if is_grpc { "protocol: grpc" } else { "protocol: http" });
        let gw = Gw::with(&template, &[&backend, &collector]).await;
        gw.get("/").await;
        collector.spans(2).await;
        assert_eq!(collector.heads().len(), 2, "refused once, then taken");
        assert_eq!(gw.metric("attache_spans_dropped_total", &[]).await, 0.0);
    }
    let backend = Backend::replying(200).await;
    for collector in [Collector::http().await.refusing(&[400]), Collector::http().await.refusing_of_each(2)] {
        let gw = Gw::with(&traced(""), &[&backend, &collector]).await;
        gw.get("/").await;
        let labels = [("reason", "rejected")];
        eventually("it is counted", || async { gw.metric("attache_spans_dropped_total", &labels).await == 2.0 }).await;
        assert_eq!(collector.heads().len(), 1, "never sent again");
    }
}

#[tokio::test]
async fn a_reload_changes_everything_about_tracing() {
    let backend = Backend::replying(200).await;
    let (first, second) = (Collector::http().await, Collector::grpc().await);
    let mut gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await;
    let mut client = gw.h1().await;
    client.reply(get("/")).await;
    gw.reload(&traced(""), &[&backend, &first]).await.unwrap();
    client.reply(get("/")).await;
    let spans = first.spans(2).await;
    assert_eq!(spans[0].resource("service.name"), "attache");
    let other = traced("serviceName: other").replace("protocol: http", "protocol: grpc");
    gw.reload(&other, &[&backend, &second]).await.unwrap();
    client.reply(get("/")).await;
    assert_eq!(second.spans(2).await[0].resource("service.name"), "other");
    gw.reload("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&backend]).await.unwrap();
    client.reply(get("/")).await;
    let (_, ended) = gw.shutdown().await;
    let with_span = ended.records().iter().filter(|record| record["span_id"].is_string()).count();
    assert_eq!((with_span, first.now().len(), second.now().len()), (2, 2, 2));
}

#[tokio::test]
async fn the_last_spans_are_delivered_before_the_end() {
    let (backend, collector) = (Backend::replying(200).await, Collector::grpc().await);
    let template = traced("").replace("protocol: http", "protocol: grpc");
    let gw = Gw::with(&template, &[&backend, &collector]).await;
    gw.get("/").await;
    gw.shutdown().await;
    assert_eq!(collector.now().len(), 2);
}

#[tokio::test]
async fn requests_with_questions_of_the_gateway_before_them_stay_one_trace() {
    let agents = [Agent::new("one").await, Agent::new("two").await];
    let collector = Collector::http().await;
    let template = "
        routes: { all: { endpoints: ['{0}', '{1}'] } }
        tracing: { otlp: { endpoint: 'http://{2}', protocol: http } }
    ";
    let gw = Gw::with(template, &[&agents[0], &agents[1], &collector]).await;
    // Nobody is known to hold it, so all are asked first.
    gw.send(call("GetTask", &json!({ "id": "elsewhere" }))).await;
    let server = collector.spans(2).await.remove(0);
    for agent in &agents {
        for (_, fields) in agent.heads() {
            let parent = fields["traceparent"].to_str().unwrap().to_owned();
            assert_eq!(parent[3..35], server.trace_id(), "{parent}");
        }
    }
    let asked = agents.iter().map(|agent| agent.heads().len()).sum::<usize>();
    assert!(asked > 1, "{asked}");
}
