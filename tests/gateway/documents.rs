//! What people write for Istio, nginx and HAProxy, as `config/examples` has it: the files themselves, with scripted
//! agents for theirs and shorter times where a time is the subject.

use std::time::{Duration, SystemTime};

use attache::config::model::Config;
use attache::config::{self, Environment};
use serde_json::json;
use tokio::time::Instant;

use crate::support::{
    Backend, Body, Ca, Client, Gw, Identity, Place, RawBackend, Reply, Sse, SwitchableBackend, Tls, at_host, empty,
    eventually, get, pass, post, refusing, request, within,
};

const HOST: &str = "agents.example.com";
/// What callers inside the cluster call it.
const SERVICE: &str = "mcp-agent-service";

/// An example, being fitted to a test.
struct Example(String);

impl Example {
    fn of(name: &str) -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples");
        Self(std::fs::read_to_string(path.join(name)).unwrap())
    }

    /// Another text for one that stands in the file.
    fn with(self, written: &str, instead: &str) -> Self {
        assert!(self.0.contains(written), "`{written}` is not in the example");
        Self(self.0.replace(written, instead))
    }

    fn istio() -> Self {
        Self::of("istio.yaml")
            .with("\"0.0.0.0:80\"", "\"127.0.0.1:0\"")
            .with("\"0.0.0.0:443\"", "\"127.0.0.1:0\"")
            .with("\"0.0.0.0:8081\"", "\"127.0.0.1:0\"")
            .with("certs/clients-ca.crt", "{4}")
            .with(FLOW, "{ {3} }")
            .with("\"10.0.0.11:8080\"", "\"{0}\"")
            .with("\"10.0.0.12:8080\"", "\"{1}\"")
            .with("\"10.0.0.13:8080\"", "\"{2}\"")
    }

    fn nginx() -> Self {
        Self::of("nginx.yaml")
            .with("- hosts: [agents.example.com]\n          certFile: certs/agents.crt # ssl_certificate\n          keyFile: certs/agents.key # ssl_certificate_key",
                  "- { hosts: [agents.example.com], {3} }")
            .servers()
    }

    fn haproxy() -> Self {
        Self::of("haproxy.yaml")
            .with(FLOW, "{ {3} }")
            .with("{ output: stdout, format: text }", "{ output: \"{log}\", format: json }")
            .servers()
    }

    fn servers(self) -> Self {
        self.with("\"0.0.0.0:80\"", "\"127.0.0.1:0\"")
            .with("\"0.0.0.0:443\"", "\"127.0.0.1:0\"")
            .with("\"a2a-server-1:3000\"", "\"{0}\"")
            .with("\"a2a-server-2:3000\"", "\"{1}\"")
            .with("\"a2a-server-3:3000\"", "\"{2}\"")
    }

    /// A gateway with this configuration, one worker, and these agents.
    async fn start(self, agents: [&dyn Place; 3]) -> Site {
        let ca = Ca::new();
        let identity = ca.issue(&[HOST, SERVICE]);
        let text = format!("workers: 1\n{}", self.0);
        let [first, second, third] = agents;
        let gw = Gw::with(&text, &[first, second, third, &identity, &ca]).await;
        Site { tls: Tls::new(&ca, &["http/1.1"]), gw, ca, _identity: identity }
    }
}

/// How most examples name the certificate.
const FLOW: &str = "{ certFile: certs/agents.crt, keyFile: certs/agents.key }";

/// A gateway, and what one needs to get in.
struct Site {
    gw: Gw,
    tls: Tls,
    ca: Ca,
    _identity: Identity,
}

impl Site {
    /// A connection to the listener with TLS.
    async fn client(&self) -> Client {
        self.tls.connect(self.gw.at("https"), HOST).await.unwrap()
    }

    async fn send(&self, request: http::Request<Body>) -> Reply {
        self.client().await.reply(at_host(HOST, request)).await
    }

    /// A workload of the mesh, by the names in its certificate.
    async fn workload(&self, names: &[&str]) -> Client {
        let key = rcgen::KeyPair::generate().unwrap();
        let identity = self.ca.issue_with(names, &key);
        let tls = Tls::with_identity(&self.ca, &["http/1.1"], &identity);
        tls.connect(self.gw.at("mesh"), SERVICE).await.unwrap()
    }

    /// An answer of the listener without TLS.
    async fn plain(&self, request: http::Request<Body>) -> Reply {
        let mut client = Client::h1(self.gw.at("http")).await;
        client.reply(at_host(HOST, request)).await
    }
}

/// An agent that reads a request and closes without an answer.
async fn breaking_off() -> RawBackend {
    RawBackend::script(|mut connection| async move {
        connection.try_read_until("\r\n\r\n").await;
    })
    .await
}

async fn three(status: u16) -> [Backend; 3] {
    [Backend::replying(status).await, Backend::replying(status).await, Backend::replying(status).await]
}

fn hits(backends: &[Backend; 3]) -> usize {
    backends.iter().map(Backend::hits).sum()
}

/// What an example says, with its own addresses and figures.
fn as_written(name: &str) -> (Config, Vec<String>) {
    let ca = Ca::new();
    let identity = ca.issue(&[HOST, SERVICE]);
    let text = match name {
        "nginx.yaml" => Example::nginx(),
        "haproxy.yaml" => Example::haproxy(),
        _ => Example::istio(),
    };
    let agents = ["10.0.0.11:1", "10.0.0.12:1", "10.0.0.13:1"];
    let text = text.0.replace("\"{log}\"", "stdout");
    let mut text = text.replace("{3}", &identity.place()).replace("{4}", &ca.place());
    for (index, agent) in agents.iter().enumerate() {
        text = text.replace(&format!("{{{index}}}"), agent);
    }
    let env = Environment::empty(SystemTime::now());
    let loaded = config::parse(&text, name, &env).unwrap_or_else(|report| panic!("{report}"));
    let warnings = loaded.warnings.diagnostics().iter();
    let warnings = warnings.map(|warning| warning.message.clone()).collect();
    (loaded.config, warnings)
}

/// Sends GETs until the agent has failed so often that it is left out, and then until it is asked again; how long that
/// took. Every GET succeeds, because it is tried again elsewhere.
async fn time_out(site: &Site, bad: &SwitchableBackend, path: &str, failures: usize) -> Duration {
    let mut client = site.client().await;
    let mut ejected = None;
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let reply = client.reply(at_host(HOST, get(path))).await;
        assert_eq!(reply.status, 200, "tried again elsewhere");
        match bad.hits() {
            hits if hits < failures => {}
            hits if hits == failures => ejected = ejected.or(Some(asked)),
            _ => return ejected.expect("it was asked once too often").elapsed(),
        }
        assert!(start.elapsed() < Duration::from_secs(20), "never asked again");
        tokio::task::yield_now().await;
    }
}

/// Streams that stay open go to whoever has the fewest.
async fn least_connections(site: &Site, path: &str, agents: &[Sse; 3]) {
    let mut open = Vec::new();
    for round in 1..=3 {
        for _ in 0..3 {
            let mut client = site.client().await;
            let response = client.send(at_host(HOST, get(path))).await.unwrap();
            assert_eq!(response.status(), 200);
            open.push((client, response));
        }
        for agent in agents {
            assert_eq!(agent.backend().hits(), round, "as many as each other");
        }
    }
}

// Istio

#[test]
fn istio_figures_are_those_of_the_objects() {
    let (config, warnings) = as_written("istio.yaml");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("4 tries of this length do not fit"));
    let cluster = &config.clusters[0];
    let ceilings = &cluster.circuit_breaker;
    assert_eq!(
        (
            ceilings.max_connections,
            ceilings.max_pending_requests,
            ceilings.max_requests,
            ceilings.max_requests_per_connection,
            ceilings.max_retries
        ),
        (Some(100), 50, Some(100), Some(10), Some(3))
    );
    let ejection = cluster.outlier_detection.as_ref().unwrap();
    assert_eq!(
        (
            ejection.consecutive_5xx(),
            ejection.interval.as_secs(),
            ejection.base_ejection_time.as_secs(),
            ejection.max_ejection_percent
        ),
        (Some(5), 30, 30, 50)
    );
    for (route, seconds) in [("api", 2), ("inside", 5)] {
        let mut routes = config.routes.iter();
        let route = routes.find(|found| found.name == route).unwrap();
        let delay = route.fault.as_ref().unwrap().delay.as_ref().unwrap();
        assert_eq!(delay.percentage.to_string(), "0.1%", "one in a thousand");
        assert_eq!(delay.fixed_delay, Some(Duration::from_secs(seconds)));
    }
}

#[tokio::test]
async fn istio_http_is_redirected_and_each_listener_has_its_routes() {
    let agents = three(200).await;
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    for (asked, status) in [(get("/api/v1/x?y"), 301), (post("/api/v1/x?y", "a"), 308)] {
        let reply = site.plain(asked).await;
        assert_eq!(reply.status, status);
        let location = reply.header("location");
        assert!(location.starts_with("https://agents.example.com"), "{location}");
        assert!(location.ends_with("/api/v1/x?y"), "{location}");
    }
    assert_eq!(hits(&agents), 0);
    for (path, status) in [("/api/v1/x", 200), ("/health", 200), ("/api/v2", 404)] {
        assert_eq!(site.send(get(path)).await.status, status, "{path}");
    }
    let mut mesh = site.workload(&[INGRESS]).await;
    for (host, status) in [(SERVICE, 200), (HOST, 421)] {
        let reply = mesh.reply(at_host(host, get("/api/v1"))).await;
        assert_eq!(reply.status, status, "{host}");
    }
}

/// The ingress gateway of the AuthorizationPolicy.
const INGRESS: &str = "spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";

#[tokio::test]
async fn istio_strict_peers_and_the_authorization_policy_let_in_whom_they_name() {
    let agents = three(200).await;
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    let (prometheus, web) =
        ("spiffe://cluster.local/ns/monitoring/sa/prometheus", "spiffe://cluster.local/ns/default/sa/web");
    for (workload, method, path, status, rule) in [
        (INGRESS, "POST", "/api/v1/x", 200, "agent-authz/ingress"),
        (INGRESS, "GET", "/metrics", 200, "agent-authz/ingress"),
        (prometheus, "GET", "/metrics", 200, "agent-authz/probes"),
        (prometheus, "GET", "/api/v1/x", 403, "-"),
        (web, "GET", "/health", 200, "agent-authz/probes"),
        (web, "GET", "/ready", 200, "agent-authz/probes"),
        (web, "POST", "/health", 403, "-"),
        (web, "GET", "/api/v1/x", 403, "-"),
        ("spiffe://other.example/ns/istio-system/sa/istio-ingressgateway-service-account", "GET", "/api/v1/x", 401, ""),
        ("workload.example", "GET", "/health", 401, ""),
    ] {
        let before = hits(&agents);
        let result = if status == 200 { "allowed" } else { "denied" };
        let counted = async || {
            let decisions = site.gw.metric("attache_authorization_total", &[]).await;
            (decisions, site.gw.metric("attache_authorization_total", &[("rule", rule), ("result", result)]).await)
        };
        let counts = counted().await;
        let mut client = site.workload(&[workload]).await;
        let reply = client.reply(at_host(SERVICE, request(method, path, empty()))).await;
        assert_eq!(reply.status, status, "{workload} {method} {path}: {}", reply.reason());
        assert_eq!(hits(&agents) - before, usize::from(status == 200), "{workload} {method} {path}");
        // Who is not known meets no rule.
        let decided = if rule.is_empty() { (0.0, 0.0) } else { (1.0, 1.0) };
        let now = counted().await;
        assert_eq!((now.0 - counts.0, now.1 - counts.1), decided, "{workload} {method} {path} {rule}");
    }
    let nobody = Tls::new(&site.ca, &["http/1.1"]);
    // TLS 1.3: the client learns with its first read that a certificate is missing.
    let answered = match nobody.connect(site.gw.at("mesh"), SERVICE).await {
        Ok(mut client) => client.send(at_host(SERVICE, get("/health"))).await.is_ok(),
        Err(_) => false,
    };
    assert!(!answered, "STRICT: without a certificate nobody gets in");
}

#[tokio::test]
async fn istio_five_errors_in_a_row_eject_for_the_base_time() {
    let bad = SwitchableBackend::new(500).await;
    let good = three(200).await;
    let time = Duration::from_millis(700);
    let site = Example::istio()
        .with("baseEjectionTime: 30s", "baseEjectionTime: 700ms")
        .start([&bad, &good[0], &good[1]])
        .await;
    let waited = time_out(&site, &bad, "/api/v1/x", 5).await;
    assert!(waited >= time, "{waited:?}");
    bad.becomes(200);
    eventually("it works again", || async {
        let before = bad.hits();
        assert_eq!(site.send(get("/api/v1/x")).await.status, 200);
        bad.hits() > before
    })
    .await;
}

#[tokio::test]
async fn istio_a_get_is_tried_four_times_and_a_post_once() {
    let agents = three(503).await;
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    assert_eq!(site.send(post("/api/v1/", "work")).await.status, 503);
    assert_eq!(hits(&agents), 1, "a POST that was answered is not repeated");
    assert_eq!(site.send(get("/api/v1/")).await.status, 503);
    assert_eq!(hits(&agents), 5, "three retries beyond the first try");
    let records = site.gw.records(2).await;
    let attempts: Vec<_> = records.iter().map(|record| &record["attempts"]).collect();
    assert_eq!(attempts, [&json!(1), &json!(4)]);
}

#[tokio::test]
async fn istio_resets_repeat_a_get_and_never_a_post() {
    let agents = [breaking_off().await, breaking_off().await, breaking_off().await];
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    let tries = || agents.iter().map(RawBackend::connections).sum::<usize>();
    assert_eq!(site.send(post("/api/v1/", "work")).await.status, 502);
    assert_eq!(tries(), 1, "nobody knows what the agent did with it");
    assert_eq!(site.send(get("/api/v1/")).await.status, 502);
    assert_eq!(tries(), 5);
}

#[tokio::test]
async fn istio_a_post_goes_elsewhere_while_no_agent_has_seen_it() {
    let (first, second, good) = (refusing(), refusing(), Backend::replying(200).await);
    let site = Example::istio().start([&first, &second, &good]).await;
    for turn in 1..=10 {
        assert_eq!(site.send(post("/api/v1/", "work")).await.status, 200);
        assert_eq!(good.hits(), turn, "once each");
    }
}

#[tokio::test]
async fn istio_fault_retries_and_timeout_hold_together() {
    let agents = three(503).await;
    let site = Example::istio()
        .with("percentage: { value: 0.1 }", "percentage: { value: 100 }")
        .with("fixedDelay: 2s", "fixedDelay: 300ms")
        .start([&agents[0], &agents[1], &agents[2]])
        .await;
    let start = Instant::now();
    let reply = site.send(get("/api/v1/")).await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!((reply.status, reply.header("x-attache-fault")), (503, "delay"));
    assert_eq!(hits(&agents), 4, "and tried again");
    let slow = [RawBackend::silent().await, RawBackend::silent().await, RawBackend::silent().await];
    let site = Example::istio()
        .with("percentage: { value: 0.1 }", "percentage: { value: 100 }")
        .with("fixedDelay: 2s", "fixedDelay: 100ms")
        .with("timeout: 30s", "timeout: 400ms")
        .with("perTryTimeout: 10s", "perTryTimeout: 350ms")
        .start([&slow[0], &slow[1], &slow[2]])
        .await;
    let reply = site.send(get("/api/v1/")).await;
    assert_eq!((reply.status, reply.header("x-attache-fault")), (504, "delay"));
}

#[tokio::test]
async fn istio_a_timeout_does_not_cut_a_stream() {
    let agents = [Sse::new().await, Sse::new().await, Sse::new().await];
    let site = Example::istio()
        .with("timeout: 30s", "timeout: 1s")
        .with("perTryTimeout: 10s", "perTryTimeout: 900ms")
        .start([&agents[0], &agents[1], &agents[2]])
        .await;
    let mut client = site.client().await;
    let response = client.send(at_host(HOST, get("/api/v1/events"))).await;
    let stream = within("a stream", async {
        tokio::select! {
            stream = agents[0].stream() => stream,
            stream = agents[1].stream() => stream,
            stream = agents[2].stream() => stream,
        }
    })
    .await;
    pass(Duration::from_millis(1500)).await;
    assert!(stream.event("late").await, "somebody still listens");
    stream.end();
    let reply = Reply::read(response.unwrap()).await.expect("a clean end");
    assert_eq!(reply.text(), "data: late\n\n");
}

#[tokio::test]
async fn istio_least_conn_counts_open_streams() {
    let agents = [Sse::new().await, Sse::new().await, Sse::new().await];
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    least_connections(&site, "/api/v1/events", &agents).await;
}

#[tokio::test]
async fn istio_a_connection_carries_ten_requests() {
    let agents = three(200).await;
    let site = Example::istio().start([&agents[0], &agents[1], &agents[2]]).await;
    let mut client = site.client().await;
    for _ in 0..60 {
        assert_eq!(client.reply(at_host(HOST, get("/health"))).await.status, 200);
    }
    for agent in &agents {
        assert_eq!(agent.connections(), agent.hits().div_ceil(10));
    }
}

// nginx

/// nginx's example with a limit that no test meets.
fn unlimited() -> Example {
    Example::nginx().with("rate: 10r/s", "rate: 100000r/s")
}

#[test]
fn nginx_figures_are_those_of_the_directives() {
    let (config, warnings) = as_written("nginx.yaml");
    assert_eq!(warnings, [""; 0]);
    let cluster = &config.clusters[0];
    assert_eq!(cluster.connect_timeout.as_secs(), 60);
    let fails = cluster.outlier_detection.as_ref().unwrap().window().unwrap();
    assert_eq!((fails.fails, fails.timeout.as_secs()), (3, 30));
    assert_eq!(config.rate_limits[0].buckets.quota.capacity.get(), 21);
    let interval = config.rate_limits[0].buckets.quota.interval();
    assert_eq!(interval, Duration::from_millis(100));
    assert!(config.routes.iter().all(|route| route.rate_limits.len() == 1));
}

#[tokio::test]
async fn nginx_21_pass_at_once_then_10_a_second() {
    let agents = three(200).await;
    let site = Example::nginx().start([&agents[0], &agents[1], &agents[2]]).await;
    let mut client = site.client().await;
    let start = Instant::now();
    let mut statuses = Vec::new();
    for turn in 0..60 {
        // One zone for all locations.
        let path = if turn % 2 == 0 { "/a2a" } else { "/health" };
        let reply = client.reply(at_host(HOST, get(path))).await;
        if reply.status == 429 {
            assert_eq!(reply.header("retry-after"), "1");
        }
        statuses.push(reply.status);
    }
    let refilled = usize::try_from(start.elapsed().as_millis() / 100).unwrap();
    assert_eq!(statuses[..21], [200; 21]);
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((21..=22 + refilled).contains(&passed), "{passed} passed");
    assert!(refilled > 35 || statuses.contains(&429), "{statuses:?}");
    assert_eq!(hits(&agents), passed, "what is refused reaches nobody");
}

#[tokio::test]
async fn nginx_three_failures_take_a_server_out_for_fail_timeout() {
    let bad = SwitchableBackend::new(502).await;
    let good = three(200).await;
    let time = Duration::from_millis(1500);
    let site = unlimited().with("failTimeout: 30s", "failTimeout: 1500ms").start([&bad, &good[0], &good[1]]).await;
    let waited = time_out(&site, &bad, "/a2a", 3).await;
    assert!(waited >= time, "{waited:?}");
}

#[tokio::test]
async fn nginx_next_upstream_hides_one_bad_server_from_gets() {
    let statuses = [Backend::replying(500).await, Backend::replying(502).await, Backend::replying(503).await];
    let (closed, broken, silent) = (refusing(), breaking_off().await, RawBackend::silent().await);
    let garbage = RawBackend::answering("no answer at all\r\n\r\n").await;
    let bad: [(&str, &dyn Place); 7] = [
        ("http_500", &statuses[0]),
        ("http_502", &statuses[1]),
        ("http_503", &statuses[2]),
        ("error, no connection", &closed),
        ("error, no answer", &broken),
        ("timeout", &silent),
        ("invalid_header", &garbage),
    ];
    for (name, bad) in bad {
        let good = three(200).await;
        let site = unlimited()
            .with("responseHeadTimeout: 60s", "responseHeadTimeout: 1s")
            .start([bad, &good[0], &good[1]])
            .await;
        eventually(name, || async {
            assert_eq!(site.send(get("/a2a")).await.status, 200, "{name}");
            let labels = [("cluster", "a2a")];
            site.gw.metric("attache_retries_total", &labels).await > 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn nginx_every_server_is_asked_once_and_a_post_only_one() {
    let agents = three(503).await;
    let site = unlimited().start([&agents[0], &agents[1], &agents[2]]).await;
    assert_eq!(site.send(post("/a2a", "work")).await.status, 503);
    assert_eq!(hits(&agents), 1, "not without `non_idempotent`");
    assert_eq!(site.send(get("/a2a")).await.status, 503);
    assert_eq!(hits(&agents), 4);
    for status in [404, 504] {
        let agents = three(status).await;
        let site = unlimited().start([&agents[0], &agents[1], &agents[2]]).await;
        assert_eq!(site.send(get("/a2a")).await.status, status);
        assert_eq!(hits(&agents), 1, "{status} is not listed");
    }
}

#[tokio::test]
async fn nginx_fields_say_who_asked_and_how() {
    let agents = three(200).await;
    let site = Example::nginx().start([&agents[0], &agents[1], &agents[2]]).await;
    let asked = || request("GET", "/a2a/x", empty());
    assert_eq!(site.send(asked()).await.status, 200);
    assert_eq!(site.plain(asked()).await.status, 200, "listen 80");
    let seen: Vec<_> = agents.iter().flat_map(Backend::requests).collect();
    let mut schemes: Vec<_> = seen.iter().map(|seen| seen.header("x-forwarded-proto")).collect();
    schemes.sort_unstable();
    assert_eq!(schemes, ["http", "https"]);
    for seen in &seen {
        assert_eq!(seen.header("host"), HOST);
        assert_eq!(seen.header("x-real-ip"), "127.0.0.1");
        assert_eq!(seen.header("x-forwarded-for"), "127.0.0.1");
        assert_eq!((seen.header("upgrade"), seen.header("connection")), ("", ""));
    }
}

#[tokio::test]
async fn nginx_health_is_another_path_and_not_logged() {
    let agents = three(200).await;
    let site = Example::nginx().start([&agents[0], &agents[1], &agents[2]]).await;
    assert_eq!(site.send(get("/health")).await.status, 200);
    assert_eq!(site.send(get("/a2a")).await.status, 200);
    let seen: Vec<_> = agents.iter().flat_map(Backend::requests).collect();
    let mut paths: Vec<_> = seen.iter().map(|seen| seen.uri.path()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/a2a", "/a2a/health"]);
    assert_eq!(site.gw.record().await["route"], "a2a");
}

#[tokio::test]
async fn nginx_least_conn_counts_open_streams() {
    let agents = [Sse::new().await, Sse::new().await, Sse::new().await];
    let site = Example::nginx().start([&agents[0], &agents[1], &agents[2]]).await;
    least_connections(&site, "/a2a/events", &agents).await;
}

// HAProxy

#[test]
fn haproxy_figures_are_those_of_the_directives() {
    let (config, warnings) = as_written("haproxy.yaml");
    assert_eq!(warnings, [""; 0]);
    let cluster = &config.clusters[0];
    assert_eq!(cluster.connect_timeout.as_secs(), 5);
    let check = cluster.health_check.as_ref().unwrap();
    assert_eq!(check.interval.as_secs(), 5);
    assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (2, 3));
    for listener in &config.listeners {
        assert_eq!(listener.limits.max_connections, 4096);
        assert_eq!(listener.limits.idle_timeout.as_secs(), 50);
    }
    assert_eq!(config.rate_limits[0].buckets.quota.capacity.get(), 20);
    assert_eq!(config.rate_limits[0].buckets.max_keys, 100_000);
}

#[tokio::test]
async fn haproxy_http_is_redirected_and_turns_are_taken() {
    let agents = three(200).await;
    let site = Example::haproxy().start([&agents[0], &agents[1], &agents[2]]).await;
    for (asked, status) in [(get("/a?b"), 301), (post("/a?b", "work"), 308)] {
        let reply = site.plain(asked).await;
        assert_eq!(reply.status, status);
        assert!(reply.header("location").starts_with("https://agents.example.com"));
    }
    for _ in 0..12 {
        assert_eq!(site.send(get("/work")).await.status, 200);
    }
    for agent in &agents {
        let paths = agent.requests();
        let work = paths.iter().filter(|seen| seen.uri.path() == "/work");
        assert_eq!(work.count(), 4, "balance roundrobin");
    }
}

#[tokio::test]
async fn haproxy_20_in_10_seconds_then_429_with_retry_after() {
    let agents = three(200).await;
    let site = Example::haproxy().start([&agents[0], &agents[1], &agents[2]]).await;
    let mut client = site.client().await;
    let start = Instant::now();
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let reply = client.reply(at_host(HOST, get("/"))).await;
        if reply.status == 429 {
            assert_eq!(
                (reply.header("retry-after"), reply.reason()),
                ("1", "rate_limited"),
                "an answer, not a closed socket"
            );
        }
        statuses.push(reply.status);
    }
    let refilled = usize::try_from(start.elapsed().as_millis() / 500).unwrap();
    assert_eq!(statuses[..20], [200; 20]);
    let passed = statuses.iter().filter(|status| **status == 200).count();
    assert!((20..=21 + refilled).contains(&passed), "{passed} passed");
    assert!(refilled > 25 || statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn haproxy_servers_that_fail_their_check_get_nothing_until_they_pass() {
    let sick = SwitchableBackend::at("/a2a/health", 200).await;
    let good = three(200).await;
    let site = Example::haproxy()
        .with("interval: 5s", "interval: 300ms")
        .with("healthCheck: # check", "healthCheck:\n      timeout: 300ms")
        .with("rate: 20/10s", "rate: 100000/s")
        .start([&sick, &good[0], &good[1]])
        .await;
    let usable = async || {
        let labels = [("cluster", "a2a")];
        site.gw.metric("attache_endpoints_usable", &labels).await
    };
    for (status, expected) in [(200, 3.0), (503, 2.0), (302, 3.0)] {
        sick.becomes(status);
        eventually("the checks find it", || async { usable().await == expected }).await;
    }
    let check = good[0].requests().remove(0);
    assert_eq!((check.method.as_str(), check.uri.path()), ("GET", "/a2a/health"));
    sick.becomes(404);
    eventually("it is out", || async { usable().await == 2.0 }).await;
    let served = || {
        let all = good[..2].iter().flat_map(Backend::requests);
        all.filter(|seen| seen.uri.path() == "/work").count()
    };
    for turn in 1..=9 {
        assert_eq!(site.send(get("/work")).await.status, 200);
        assert_eq!(served(), turn, "the others serve it");
    }
}

#[tokio::test]
async fn haproxy_no_more_connections_than_maxconn() {
    let agents = three(200).await;
    let site = Example::haproxy()
        .with("maxConnections: 4096", "maxConnections: 2")
        .start([&agents[0], &agents[1], &agents[2]])
        .await;
    let mut first = site.client().await;
    let mut second = site.client().await;
    for client in [&mut first, &mut second] {
        assert_eq!(client.reply(at_host(HOST, get("/"))).await.status, 200);
    }
    let address = site.gw.at("https");
    let third = tokio::time::timeout(Duration::from_millis(300), site.tls.connect(address, HOST));
    assert!(!matches!(third.await, Ok(Ok(_))), "a third is not served");
    first.leave();
    eventually("there is room again", || async {
        let again = tokio::time::timeout(Duration::from_secs(1), site.tls.connect(address, HOST));
        matches!(again.await, Ok(Ok(_)))
    })
    .await;
}
