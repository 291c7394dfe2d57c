//! Active health checks: endpoints that do not answer well get no requests until they do again.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, Version};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};

use crate::support::{
    Backend, Body, Ca, Client, Gw, Place, Raw, RawBackend, Speak, empty, eventually, full, get, pass, post, refusing,
    soon, with_trailers, within,
};

/// An agent whose `/health` answers what the test says, and everything else with 200.
struct Agent {
    backend: Backend,
    health: Arc<AtomicU16>,
    checks: Arc<AtomicU16>,
}

impl Agent {
    async fn with(status: u16) -> Self {
        let health = Arc::new(AtomicU16::new(status));
        let checks = Arc::new(AtomicU16::new(0));
        let (says, counts) = (Arc::clone(&health), Arc::clone(&checks));
        let backend = Backend::handling(move |request| {
            let mut response = Response::new(full("an answer"));
            if request.uri().path() == "/health" {
                counts.fetch_add(1, Ordering::SeqCst);
                *response.status_mut() = says.load(Ordering::SeqCst).try_into().unwrap();
            }
            async move { response }
        })
        .await;
        Self { backend, health, checks }
    }

    /// What its checks find from now on.
    fn says(&self, status: u16) {
        self.health.store(status, Ordering::SeqCst);
    }

    fn checks(&self) -> u16 {
        self.checks.load(Ordering::SeqCst)
    }

    /// Requests that were no checks.
    fn served(&self) -> usize {
        self.backend.hits() - usize::from(self.checks())
    }
}

impl Place for Agent {
    fn place(&self) -> String {
        self.backend.place()
    }
}

/// A cluster with this check, and whatever else.
fn checked(endpoints: &str, check: &str) -> String {
    format!(
        "routes: {{ all: {{ cluster: agents }} }}\nclusters: {{ agents: {{ endpoints: [{endpoints}], healthCheck: {{ {check} }} }} }}"
    )
}

/// Endpoints in this state.
async fn count(gw: &Gw, state: &str) -> f64 {
    gw.metric("attache_health_endpoints", &[("cluster", "agents"), ("state", state)]).await
}

async fn checks(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_health_checks_total", &[("cluster", "agents"), ("result", result)]).await
}

async fn until(gw: &Gw, state: &str, number: f64) {
    eventually(&format!("{number} {state}"), || async { (count(gw, state).await - number).abs() < 0.5 }).await;
}

#[tokio::test]
async fn an_endpoint_leaves_and_returns() {
    let (sick, well) = (Agent::with(200).await, Agent::with(200).await);
    let gw = Gw::with(&checked("'{0}', '{1}'", "path: /health, interval: 100ms"), &[&sick, &well]).await;
    until(&gw, "healthy", 2.0).await;
    for _ in 0..2 {
        sick.says(503);
        until(&gw, "unhealthy", 1.0).await;
        let before = sick.served();
        for _ in 0..20 {
            assert_eq!(gw.get("/").await.status, 200);
        }
        assert_eq!(sick.served(), before, "it gets nothing but checks");
        let health: Value = serde_json::from_str(gw.admin("/health").await.text()).unwrap();
        assert_eq!(health["status"], "degraded", "{health}");
        let detail = health["checks"][0]["detail"].as_str().unwrap();
        let expected = format!("2 endpoints, 1 usable, 1 unhealthy: {} (status 503 Service Unavailable)", sick.place());
        assert_eq!(detail, expected);
        assert_eq!(gw.admin("/ready").await.status, 200, "the gateway is ready");
        sick.says(200);
        until(&gw, "healthy", 2.0).await;
        let before = sick.served();
        eventually("it gets requests again", || async {
            gw.get("/").await;
            sick.served() > before
        })
        .await;
    }
}

/// Each check waits for the test, which sees what the ones before it led to.
#[tokio::test]
async fn thresholds_count_failures_and_successes_in_a_row() {
    for (thresholds, failures, successes) in [("unhealthyThreshold: 4, healthyThreshold: 3", 4, 3), ("", 3, 2)] {
        let (asked, mut checks) = mpsc::channel(1);
        let agent = Backend::handling(move |_| {
            let asked = asked.clone();
            async move {
                let (answer, answered) = oneshot::channel();
                asked.send(answer).await.ok();
                let status = answered.await.unwrap_or(503_u16);
                Response::builder().status(status).body(full("")).unwrap()
            }
        })
        .await;
        let check = format!("path: /health, interval: 100ms, timeout: 20s, {thresholds}");
        let gw = Gw::with(&checked("'{0}'", &check), &[&agent]).await;
        for (state, times, status) in [
            ("unchecked", 1, 200),
            ("healthy", failures - 1, 500),
            ("healthy", 1, 200),
            ("healthy", failures, 500),
            ("unhealthy", successes - 1, 200),
            ("unhealthy", 1, 500),
            ("unhealthy", successes, 200),
            ("healthy", 1, 200),
        ] {
            for turn in 1..=times {
                let answer = within("it is checked", checks.recv()).await.unwrap();
                let seen = count(&gw, state).await;
                assert_eq!(seen, 1.0, "{state} until {status} number {turn}: {thresholds}");
                answer.send(status).unwrap();
            }
        }
    }
}

fn sample(text: &str, label: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with("attache_health_") && line.contains(label));
    line.map_or(0.0, |line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
}

#[tokio::test]
async fn the_first_check_decides_alone() {
    let (sick, well) = (Agent::with(500).await, Agent::with(200).await);
    let check = "path: /health, interval: 1h, unhealthyThreshold: 50, healthyThreshold: 50";
    let gw = Gw::with(&checked("'{0}', '{1}'", check), &[&sick, &well]).await;
    until(&gw, "unhealthy", 1.0).await;
    until(&gw, "healthy", 1.0).await;
    assert_eq!((sick.checks(), well.checks()), (1, 1));
    let before = sick.served();
    for _ in 0..20 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!(sick.served(), before);
    let agent = gw.metric("a2a_agent_health", &[("agent_id", "agents")]);
    assert_eq!(agent.await, 1.0, "the other endpoint is well");
}

#[tokio::test]
async fn an_endpoint_that_starts_late_is_admitted_by_its_first_success() {
    let agent = Agent::with(503).await;
    let check = "path: /health, interval: 100ms, healthyThreshold: 100";
    let gw = Gw::with(&checked("'{0}'", check), &[&agent]).await;
    until(&gw, "unhealthy", 1.0).await;
    agent.says(200);
    let successes = soon("it is admitted", || async {
        let text = gw.metrics().await;
        (sample(&text, "state=\"healthy\"") > 0.0).then(|| sample(&text, "result=\"ok\""))
    })
    .await;
    assert!(successes < 100.0, "admitted after {successes} successes");
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn without_a_healthy_endpoint_the_answer_is_503_at_once() {
    let agent = Agent::with(503).await;
    let balancing = checked("'{0}'", "path: /health, interval: 1h");
    let failing = balancing.replace("healthCheck", "panic: { action: fail }, healthCheck");
    let gw = Gw::with(&failing, &[&agent]).await;
    until(&gw, "unhealthy", 1.0).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, reply.reason()), (503, "no_endpoint"));
    assert_eq!(reply.header("retry-after"), "1");
    assert_eq!(gw.record().await["upstream_error"], "no usable endpoint: all are unhealthy by their checks");
    assert_eq!(gw.metric("a2a_agent_health", &[("agent_id", "agents")]).await, 0.0);
    assert_eq!(agent.served(), 0);
    // Unless that is asked for, a check that is wrong about everybody is no outage.
    let gw = Gw::with(&balancing, &[&agent]).await;
    until(&gw, "unhealthy", 1.0).await;
    assert_eq!(gw.get("/").await.status, 200);
    assert_eq!(agent.served(), 1);
    let health = gw.admin("/health").await;
    assert!(health.text().contains("1 endpoint, 0 usable, panic, 1 unhealthy"), "{}", health.text());
}

#[tokio::test]
async fn a_check_that_passes_ends_an_ejection_where_it_may() {
    for (ends, ejection_ends) in [("true", true), ("false", false)] {
        let (bad, good) = (Backend::handling(fails_but_is_well).await, Agent::with(200).await);
        let check = format!("path: /health, interval: 100ms, endsEjection: {ends}");
        let template = checked("'{0}', '{1}'", &check).replace(
            "healthCheck",
            "slowStart: off, outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 1h, maxEjectionTime: 1h }, healthCheck",
        );
        let gw = Gw::with(&template, &[&bad, &good]).await;
        until(&gw, "healthy", 2.0).await;
        let ejections = async || gw.metric("attache_ejections_total", &[]).await;
        eventually("it is ejected", || async {
            gw.get("/").await;
            ejections().await >= 1.0
        })
        .await;
        if ejection_ends {
            eventually("it is in again, and ejected again", || async {
                gw.get("/").await;
                ejections().await >= 2.0
            })
            .await;
        } else {
            let before = good.checks();
            eventually("it is checked again and again", || async {
                assert_eq!(gw.get("/").await.status, 200, "it stays out");
                good.checks() > before + 5
            })
            .await;
            assert_eq!(ejections().await, 1.0);
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_well_again_starts_slowly() {
    let (sick, well) = (Agent::with(200).await, Agent::with(200).await);
    let check = "path: /health, interval: 100ms, unhealthyThreshold: 1";
    let template =
        checked("'{0}', '{1}'", check).replace("healthCheck", "loadBalancer: round-robin, slowStart: 10m, healthCheck");
    let gw = Gw::with(&template, &[&sick, &well]).await;
    until(&gw, "healthy", 2.0).await;
    let mut client = gw.h1().await;
    let shares = async |client: &mut Client| {
        let before = sick.served();
        for _ in 0..100 {
            assert_eq!(client.reply(get("/")).await.status, 200);
        }
        sick.served() - before
    };
    assert_eq!(shares(&mut client).await, 50, "well from the start");
    sick.says(503);
    until(&gw, "unhealthy", 1.0).await;
    sick.says(200);
    until(&gw, "healthy", 2.0).await;
    // A worker may go by what it knew for a moment.
    pass(Duration::from_millis(100)).await;
    let share = shares(&mut client).await;
    assert!(share < 35, "a tenth of its weight: {share}");
}

/// Answers its checks well and everything else badly.
async fn fails_but_is_well(request: http::Request<hyper::body::Incoming>) -> Response<Body> {
    let status = if request.uri().path() == "/health" { 200 } else { 500 };
    Response::builder().status(status).body(full("moody")).unwrap()
}

#[tokio::test]
async fn checks_say_who_they_are_and_are_not_traffic() {
    let agent = Backend::replying(200).await;
    let check =
        "path: '/health?deep=1', method: OPTIONS, host: agent.internal, headers: { x-probe: gateway }, interval: 1h";
    let gw = Gw::with(&checked("'{0}'", check), &[&agent]).await;
    until(&gw, "healthy", 1.0).await;
    let seen = agent.request();
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("OPTIONS", "/health?deep=1"));
    assert_eq!((seen.header("host"), seen.header("x-probe")), ("agent.internal", "gateway"));
    assert_eq!(seen.header("user-agent"), concat!("attache-health/", env!("CARGO_PKG_VERSION")));
    for family in [
        "attache_attempts_total",
        "attache_upstream_connects_total",
        "attache_upstream_connections",
        "http_requests_total",
    ] {
        assert_eq!(gw.metric(family, &[]).await, 0.0, "{family}");
    }
    eventually("the connection is closed", || async { agent.open() == 0 }).await;
    gw.get("/").await;
    assert_eq!(gw.record().await["path"], "/", "the only record");
}

#[tokio::test]
async fn a_check_may_have_a_port_of_its_own() {
    let (agent, side) = (Agent::with(500).await, Backend::replying(200).await);
    let port = side.address().port();
    let check = format!("path: /health, interval: 1h, port: {port}");
    let gw = Gw::with(&checked("'{0}'", &check), &[&agent]).await;
    until(&gw, "healthy", 1.0).await;
    assert_eq!(side.request().header("host"), side.place());
    assert_eq!(gw.get("/").await.status, 200);
    assert_eq!((agent.served(), side.hits()), (1, 1));
}

#[tokio::test]
async fn statuses_are_judged_as_configured() {
    for (expected, status, state) in [
        ("", 200, "healthy"),
        ("", 204, "healthy"),
        ("", 302, "unhealthy"),
        (", expectedStatuses: [200, 400-404]", 404, "healthy"),
        (", expectedStatuses: [200, 400-404]", 204, "unhealthy"),
        (", expectedStatuses: 503", 503, "healthy"),
    ] {
        let agent = Agent::with(status).await;
        let check = format!("path: /health, interval: 1h{expected}");
        let gw = Gw::with(&checked("'{0}'", &check), &[&agent]).await;
        until(&gw, state, 1.0).await;
    }
}

/// Raw endpoints that fail every check that asks for an answer, and the word for it.
async fn broken() -> Vec<(&'static str, RawBackend, &'static str)> {
    async fn hold(mut connection: Raw) {
        connection.closed().await;
    }
    async fn slow(mut connection: Raw) {
        connection.read_head().await;
        for byte in "HTTP/1.1 200 OK\r\n".bytes() {
            connection.try_write([byte]).await;
            pass(Duration::from_millis(100)).await;
        }
    }
    async fn stuck(mut connection: Raw) {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        connection.closed().await;
    }
    async fn cut(mut connection: Raw) {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    }
    async fn close(mut connection: Raw) {
        connection.read_head().await;
    }
    async fn garbage(mut connection: Raw) {
        connection.try_write("SSH-2.0-OpenSSH_9.9\r\n".repeat(100)).await;
        connection.closed().await;
    }
    async fn head_without_end(mut connection: Raw) {
        connection.write("HTTP/1.1 200 OK\r\n").await;
        while connection.try_write("x: y\r\n".repeat(1000)).await {}
    }
    vec![
        ("never answers", RawBackend::script(hold).await, "timeout"),
        ("answers slowly", RawBackend::script(slow).await, "timeout"),
        ("stops in the body", RawBackend::script(stuck).await, "timeout"),
        ("cuts the body", RawBackend::script(cut).await, "no_answer"),
        ("closes", RawBackend::script(close).await, "no_answer"),
        ("resets", RawBackend::script(|connection| async { connection.reset() }).await, "no_answer"),
        ("talks garbage", RawBackend::script(garbage).await, "no_answer"),
        ("never ends its head", RawBackend::script(head_without_end).await, "no_answer"),
    ]
}

#[tokio::test]
async fn whatever_is_no_answer_is_a_failure() {
    for (what, backend, word) in broken().await {
        let well = Agent::with(200).await;
        let check = "path: /health, interval: 1h, timeout: 1s";
        let gw = Gw::with(&checked("'{0}', '{1}'", check), &[&backend, &well]).await;
        until(&gw, "unhealthy", 1.0).await;
        assert_eq!((checks(&gw, word).await, checks(&gw, "ok").await), (1.0, 1.0), "{what}: {}", gw.metrics().await);
        for _ in 0..5 {
            assert_eq!(gw.send(post("/", "x")).await.status, 200, "{what}");
        }
    }
}

#[tokio::test]
async fn a_large_page_is_a_success_and_is_not_read_to_its_end() {
    let backend = RawBackend::script(|mut connection| async move {
        connection.read_head().await;
        connection.write("HTTP/1.1 200 OK\r\n\r\n").await;
        while connection.try_write("x".repeat(64 * 1024)).await {}
    })
    .await;
    let gw = Gw::with(&checked("'{0}'", "path: /health, interval: 1h"), &[&backend]).await;
    until(&gw, "healthy", 1.0).await;
}

#[tokio::test]
async fn a_tcp_check_only_connects() {
    let mute = RawBackend::silent().await;
    let (dead, check) = (refusing(), "type: tcp, interval: 1h");
    let gw = Gw::with(&checked("'{0}', '{1}'", check), &[&mute, &dead]).await;
    until(&gw, "healthy", 1.0).await;
    until(&gw, "unhealthy", 1.0).await;
    assert_eq!(checks(&gw, "connect_failed").await, 1.0);
    eventually("it was closed", || async { mute.connections() == 1 }).await;
    assert_eq!(mute.received().concat(), "", "nothing was said");
}

#[tokio::test]
async fn a_tcp_check_of_a_tls_endpoint_shakes_hands() {
    let (ca, plain) = (Ca::new(), Backend::replying(200).await);
    let speak = Speak { tls: Some(ca.issue(&["127.0.0.1"]).server(&["http/1.1"], None)), ..Speak::default() };
    let secure = Backend::replying_as(speak, 200).await;
    let template = "
        routes: { all: { cluster: agents } }
        clusters: { agents: { endpoints: ['{0}', '{1}'], tls: { caFile: '{2}' }, healthCheck: { type: tcp, interval: 1h } } }
    ";
    let gw = Gw::with(template, &[&secure, &plain, &ca]).await;
    until(&gw, "healthy", 1.0).await;
    until(&gw, "unhealthy", 1.0).await;
    assert_eq!(checks(&gw, "tls_failed").await, 1.0);
}

#[tokio::test]
async fn a_check_uses_tls_and_http2_where_the_cluster_does() {
    let ca = Ca::new();
    let identity = ca.issue(&["127.0.0.1"]);
    for (alpn, rest, version) in [
        (&["h2", "http/1.1"][..], "protocol: h2, ", Version::HTTP_2),
        (&["h2", "http/1.1"], "", Version::HTTP_2),
        (&["http/1.1"], "", Version::HTTP_11),
        (&["h2", "http/1.1"], "protocol: http/1.1, ", Version::HTTP_11),
    ] {
        let speak = Speak { tls: Some(identity.server(alpn, None)), ..Speak::default() };
        let agent = Backend::replying_as(speak, 200).await.body(vec![b'x'; 200_000]);
        let template = format!(
            "routes: {{ all: {{ cluster: agents }} }}\nclusters: {{ agents: {{ endpoints: ['{{0}}'], {rest}tls: {{ caFile: '{{1}}' }}, healthCheck: {{ path: /health, interval: 1h }} }} }}"
        );
        let gw = Gw::with(&template, &[&agent, &ca]).await;
        until(&gw, "healthy", 1.0).await;
        let seen = agent.request();
        assert_eq!((seen.version, seen.uri.path()), (version, "/health"), "{rest}");
        if version == Version::HTTP_2 {
            assert_eq!(seen.uri.authority().unwrap().as_str(), agent.place());
        }
        assert_eq!(gw.send(post("/", "x")).await.status, 200, "{rest}");
    }
}

#[tokio::test]
async fn an_http2_endpoint_that_talks_something_else_is_unhealthy() {
    for (what, backend, _) in broken().await {
        let template = "
            routes: { all: { cluster: agents } }
            clusters: { agents: { endpoints: ['{0}'], protocol: h2c, healthCheck: { path: /, interval: 1h, timeout: 300ms } } }
        ";
        // Those that wait for the end of an HTTP/1.1 head find it in HTTP/2's first line, and answer in the wrong
        // language.
        let gw = Gw::with(template, &[&backend]).await;
        until(&gw, "unhealthy", 1.0).await;
        assert_eq!(checks(&gw, "ok").await, 0.0, "{what}");
        if what == "never answers" {
            assert_eq!(checks(&gw, "timeout").await, 1.0, "{what}");
        }
    }
}

const GRPC: &str = "
    routes: { all: { cluster: agents } }
    clusters: { agents: { endpoints: ['{0}'], protocol: h2c, healthCheck: { type: grpc, service: a2a.Agent, interval: 1h, timeout: 2s } } }
";

/// Answers a health check with this message and outcome, and remembers what it was asked.
async fn grpc(
    message: &'static [u8],
    outcome: &'static str,
    asked: Arc<Mutex<Vec<(String, HeaderMap, Bytes)>>>,
) -> Backend {
    let speak = Speak { http2: true, ..Speak::default() };
    Backend::handling_as(speak, move |request| {
        let asked = Arc::clone(&asked);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            asked.lock().unwrap().push((head.uri.path().to_owned(), head.headers, body));
            let mut fields = HeaderMap::new();
            fields.insert("grpc-status", outcome.parse().unwrap());
            let response = Response::builder().header("content-type", "application/grpc");
            if message.is_empty() {
                let mut response = response.body(empty()).unwrap();
                response.headers_mut().extend(fields);
                return response;
            }
            response.body(with_trailers(message, fields)).unwrap()
        }
    })
    .await
}

#[tokio::test]
async fn a_grpc_check_asks_the_health_service() {
    for (message, outcome, state, word) in [
        (&[0, 0, 0, 0, 2, 8, 1][..], "0", "healthy", "ok"),
        (&[0, 0, 0, 0, 2, 8, 2], "0", "unhealthy", "not_serving"),
        (&[0, 0, 0, 0, 2, 8, 1], "14", "unhealthy", "not_serving"),
        (&[], "12", "unhealthy", "not_serving"),
        (b"<html>", "0", "unhealthy", "not_serving"),
    ] {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let backend = grpc(message, outcome, Arc::clone(&asked)).await;
        let gw = Gw::with(GRPC, &[&backend]).await;
        until(&gw, state, 1.0).await;
        assert_eq!(checks(&gw, word).await, 1.0, "{message:?} {outcome}");
        let asked = asked.lock().unwrap().remove(0);
        assert_eq!(asked.0, "/grpc.health.v1.Health/Check");
        assert_eq!(
            (&asked.1["content-type"], &asked.1["te"]),
            (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
        );
        assert_eq!(&asked.2[..], b"\0\0\0\0\x0b\x0a\x09a2a.Agent");
    }
}

fn card(rest: &Value) -> Value {
    let mut card = json!({
        "name": "agent", "description": "helps", "version": "1.0.0", "capabilities": {},
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"], "skills": [],
    });
    card.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    card
}

#[tokio::test]
async fn an_agent_card_must_be_one() {
    let interfaces = json!([{ "url": "http://a/", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }]);
    for (status, body, state) in [
        (200, card(&json!({ "url": "http://a/", "protocolVersion": "0.3.0" })).to_string(), "healthy"),
        (200, card(&json!({ "supportedInterfaces": interfaces })).to_string(), "healthy"),
        (200, card(&json!({})).to_string(), "unhealthy"),
        (200, "<html>It works!</html>".to_owned(), "unhealthy"),
        (200, "x".repeat(600_000), "unhealthy"),
        (404, card(&json!({ "url": "http://a/" })).to_string(), "unhealthy"),
    ] {
        let agent = Backend::replying(status).await.body(body.clone());
        let gw = Gw::with(&checked("'{0}'", "type: agent-card, interval: 1h"), &[&agent]).await;
        until(&gw, state, 1.0).await;
        let shown: String = body.chars().take(100).collect();
        assert_eq!(agent.request().uri.path(), "/.well-known/agent-card.json", "{shown}");
    }
}

#[tokio::test]
async fn a_reload_keeps_the_verdict_of_the_same_check_only() {
    let (sick, well) = (Agent::with(500).await, Agent::with(200).await);
    let places: &[&dyn Place] = &[&sick, &well];
    let template = |check: &str| checked("'{0}', '{1}'", check);
    let same = template("path: /health, interval: 1h, healthyThreshold: 9");
    let mut gw = Gw::with(&same, places).await;
    until(&gw, "unhealthy", 1.0).await;
    until(&gw, "healthy", 1.0).await;
    sick.says(200);
    for text in [
        same.clone(),
        same.replace("'{0}'", "{ address: '{0}', weight: 2 }"),
        same.clone() + "\nshutdown: { drainTimeout: 1s }",
    ] {
        gw.reload(&text, places).await.unwrap();
        until(&gw, "unhealthy", 1.0).await;
        let before = sick.served();
        for _ in 0..10 {
            assert_eq!(gw.get("/").await.status, 200);
        }
        assert_eq!((sick.checks(), sick.served()), (1, before), "{text}");
    }
    // Another check: what the one before said is forgotten, and the first success admits.
    gw.reload(&template("path: /health, interval: 2h, healthyThreshold: 9"), places).await.unwrap();
    until(&gw, "healthy", 2.0).await;
    assert_eq!((sick.checks(), well.checks()), (2, 2));
    // No check: everybody gets requests, and nothing is shown.
    sick.says(500);
    gw.reload(&template("path: /health, interval: 3h"), places).await.unwrap();
    until(&gw, "unhealthy", 1.0).await;
    let without = same.replace("healthCheck: { path: /health, interval: 1h, healthyThreshold: 9 }", "healthCheck: off");
    gw.reload(&without, places).await.unwrap();
    let before = sick.served();
    eventually("it gets requests", || async {
        gw.get("/").await;
        sick.served() > before
    })
    .await;
    eventually("no series is left", || async {
        let metrics = gw.metrics().await;
        !metrics.contains("attache_health") && !metrics.contains("a2a_agent_health{")
    })
    .await;
}

#[tokio::test]
async fn a_reload_that_fails_changes_no_verdict() {
    let (sick, well) = (Agent::with(500).await, Agent::with(200).await);
    let template = checked("'{0}', '{1}'", "path: /health, interval: 1h");
    let mut gw = Gw::with(&template, &[&sick, &well]).await;
    until(&gw, "unhealthy", 1.0).await;
    until(&gw, "healthy", 1.0).await;
    // The address is taken, which is found out when the clusters are built already.
    let refused = template.replace("1h", "2h") + "\nlisteners: { http: { address: '{1}' } }";
    let error = gw.reload(&refused, &[&sick, &well]).await.unwrap_err();
    assert!(error.to_string().contains("cannot bind"), "{error}");
    let before = sick.served();
    for _ in 0..10 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!((sick.served(), sick.checks()), (before, 1));
    assert_eq!(count(&gw, "unhealthy").await, 1.0);
}

/// A name server with addresses that change, each good for a second.
async fn name_server(addresses: Arc<Mutex<Vec<[u8; 4]>>>) -> (String, tokio::task::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = socket.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        let mut packet = [0; 512];
        while let Ok((size, client)) = socket.recv_from(&mut packet).await {
            let end = 12 + packet[12..size].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_v4 = packet[end - 4..end - 2] == [0, 1];
            let found = if is_v4 { addresses.lock().unwrap().clone() } else { Vec::new() };
            let mut answer = packet[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::try_from(found.len()).unwrap(), 0, 0, 0, 0]);
            answer.extend(&packet[12..end]);
            for address in found {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
                answer.extend(address);
            }
            socket.send_to(&answer, client).await.unwrap();
        }
    });
    (at, task)
}

#[tokio::test]
async fn endpoints_that_dns_brings_later_are_checked_too() {
    let agent = Agent::with(200).await;
    let addresses = Arc::new(Mutex::new(vec![[127, 0, 0, 1]]));
    let (server, _task) = name_server(Arc::clone(&addresses)).await;
    let template = format!(
        "dns: {{ servers: ['{server}'] }}\n{}",
        checked(&format!("'agent.example:{}'", agent.backend.address().port()), "path: /health, interval: 1h")
    );
    let gw = Gw::with(&template, &[]).await;
    until(&gw, "healthy", 1.0).await;
    // Nobody listens at the other address.
    *addresses.lock().unwrap() = vec![[127, 0, 0, 1], [127, 0, 0, 2]];
    until(&gw, "unhealthy", 1.0).await;
    assert_eq!(agent.checks(), 1, "the one that was there is not asked again");
    for _ in 0..10 {
        assert_eq!(gw.send(post("/", "x")).await.status, 200);
    }
    *addresses.lock().unwrap() = vec![[127, 0, 0, 1]];
    until(&gw, "unhealthy", 0.0).await;
    assert_eq!(count(&gw, "healthy").await, 1.0);
}

#[tokio::test]
async fn hanging_endpoints_do_not_hold_up_the_checks_of_others() {
    let hanging = RawBackend::silent().await;
    let well = Agent::with(200).await;
    let check = "path: /health, interval: 200ms, timeout: 10s";
    let gw = Gw::with(&checked("'{0}', '{1}'", check), &[&hanging, &well]).await;
    eventually("the other is checked again and again", || async { well.checks() >= 4 }).await;
    assert_eq!(hanging.connections(), 1, "checks of one endpoint do not overlap");
    assert_eq!(checks(&gw, "timeout").await, 0.0);
}
