//! What a cluster carries at once, who waits and who is refused, and the breaker that leaves a failing cluster alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::Response;
use tokio::sync::{Mutex, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{
    Backend, Gw, Place, Reply, Speak, Sse, SwitchableBackend, eventually, full, get, pass, post, refusing, websocket,
    with_field, within,
};

/// An agent that answers a request when the test says so.
struct Slow {
    backend: Backend,
    answers: Arc<Semaphore>,
    arrived: Mutex<mpsc::Receiver<String>>,
}

impl Slow {
    async fn new() -> Self {
        Self::speaking(Speak::default()).await
    }

    async fn speaking(speak: Speak) -> Self {
        let answers = Arc::new(Semaphore::new(0));
        let (paths, arrived) = mpsc::channel(1024);
        let free = Arc::clone(&answers);
        let backend = Backend::handling_as(speak, move |request| {
            let (free, paths) = (Arc::clone(&free), paths.clone());
            async move {
                paths.send(request.uri().path().to_owned()).await.unwrap();
                free.acquire().await.unwrap().forget();
                Response::new(full("done"))
            }
        })
        .await;
        Self { backend, answers, arrived: Mutex::new(arrived) }
    }

    /// Path of the next request that arrives.
    async fn next(&self) -> String {
        let next = async { self.arrived.lock().await.recv().await };
        within("a request arrives", next).await.unwrap()
    }

    fn answer(&self, count: usize) {
        self.answers.add_permits(count);
    }
}

impl Place for Slow {
    fn place(&self) -> String {
        self.backend.place()
    }
}

/// Sends a request on a connection of its own, beside the test.
async fn send(gw: &Gw, path: &str) -> JoinHandle<Reply> {
    let mut client = gw.h1().await;
    let path = path.to_owned();
    tokio::spawn(async move { client.reply(get(&path)).await })
}

/// One cluster of one endpoint with this circuit breaker.
fn guarded(circuit_breaker: &str) -> String {
    format!(
        "
        routes: {{ all: {{ cluster: all }} }}
        clusters: {{ all: {{ endpoints: ['{{0}}'], circuitBreaker: {{ {circuit_breaker} }} }} }}
        "
    )
}

fn assert_refused(reply: &Reply) {
    assert_eq!((reply.status, reply.reason()), (503, "circuit_open"));
    assert!(reply.header("retry-after").parse::<u32>().unwrap() >= 1);
}

async fn rejections(gw: &Gw, ceiling: &str) -> f64 {
    let name = "attache_circuit_breaker_rejections_total";
    gw.metric(name, &[("cluster", "all"), ("ceiling", ceiling)]).await
}

async fn pending(gw: &Gw) -> f64 {
    gw.metric("attache_pending_requests", &[("cluster", "all")]).await
}

async fn state(gw: &Gw) -> f64 {
    gw.metric("attache_circuit_breaker_state", &[("cluster", "all")]).await
}

// ------------------------------------------------------------------------------------------------ ceilings

#[tokio::test]
async fn a_request_beyond_the_ceiling_is_refused_at_once() {
    let slow = Slow::new().await;
    let template = guarded("maxRequests: 2");
    let gw = Gw::with(&template, &[&slow]).await;
    let held = [send(&gw, "/one").await, send(&gw, "/two").await];
    slow.next().await;
    slow.next().await;
    let mut client = gw.h1().await;
    // The other two are not answered before this one is.
    assert_refused(&client.reply(get("/three")).await);
    assert_eq!(rejections(&gw, "requests").await, 1.0);
    slow.answer(3);
    for held in held {
        assert_eq!(held.await.unwrap().status, 200);
    }
    assert_eq!(client.reply(get("/four")).await.status, 200);
    let records = gw.records(4).await;
    let refused = records.iter().find(|record| record["path"] == "/three");
    let refused = refused.unwrap();
    assert_eq!((&refused["flags"], &refused["reason"]), (&"UO".into(), &"circuit_open".into()));
}

#[tokio::test]
async fn requests_wait_in_the_order_in_which_they_came() {
    let slow = Slow::new().await;
    let template = guarded("maxRequests: 1, maxPendingRequests: 4, pendingTimeout: 1h");
    let gw = Gw::with(&template, &[&slow]).await;
    let mut sent = vec![send(&gw, "/0").await];
    assert_eq!(slow.next().await, "/0");
    for number in 1..=4 {
        sent.push(send(&gw, &format!("/{number}")).await);
        let waiting = || async { pending(&gw).await == f64::from(number) };
        eventually("it waits", waiting).await;
    }
    assert_refused(&gw.get("/5").await);
    for number in 1..=4 {
        slow.answer(1);
        assert_eq!(slow.next().await, format!("/{number}"));
    }
    slow.answer(1);
    for reply in sent {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    assert_eq!(pending(&gw).await, 0.0);
}

#[tokio::test]
async fn a_request_waits_no_longer_than_it_may() {
    let slow = Slow::new().await;
    let template = guarded("maxRequests: 1, maxPendingRequests: 4, pendingTimeout: 150ms");
    let gw = Gw::with(&template, &[&slow]).await;
    let held = send(&gw, "/").await;
    slow.next().await;
    let mut client = gw.h1().await;
    let begun = Instant::now();
    assert_refused(&client.reply(get("/")).await);
    assert!(begun.elapsed() >= Duration::from_millis(150));
    slow.answer(1);
    assert_eq!(held.await.unwrap().status, 200);
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_makes_room_in_it() {
    let slow = Slow::new().await;
    let template = guarded("maxRequests: 1, maxPendingRequests: 1, pendingTimeout: 1h");
    let gw = Gw::with(&template, &[&slow]).await;
    let held = send(&gw, "/").await;
    slow.next().await;
    let leaving = send(&gw, "/leaving").await;
    eventually("it waits", || async { pending(&gw).await == 1.0 }).await;
    leaving.abort();
    eventually("it has left", || async { pending(&gw).await == 0.0 }).await;
    let next = send(&gw, "/next").await;
    eventually("another waits", || async { pending(&gw).await == 1.0 }).await;
    slow.answer(2);
    assert_eq!(slow.next().await, "/next");
    for reply in [held, next] {
        assert_eq!(reply.await.unwrap().status, 200);
    }
}

const STREAMS: &str = "
    routes:
      streams: { match: { path: { prefix: /stream } }, cluster: all }
    clusters:
      all:
        endpoints: ['{0}']
        circuitBreaker: { maxRequests: 1, maxStreams: 2 }
";

#[tokio::test]
async fn streams_have_a_ceiling_of_their_own() {
    let sse = Sse::new().await;
    let gw = Gw::with(STREAMS, &[&sse]).await;
    let (mut one, mut two) = (gw.h1().await, gw.h1().await);
    let open = [one.send(get("/stream/1")).await.unwrap(), two.send(get("/stream/2")).await.unwrap()];
    let streams = [sse.stream().await, sse.stream().await];
    assert_eq!(open[0].status(), 200, "more streams than requests may be");
    assert_eq!(open[1].status(), 200);
    // Nobody knew that it would be one.
    assert_refused(&gw.get("/stream/3").await);
    let third = sse.stream().await;
    within("the agent learns of it", third.closed()).await;
    // This one says so, and is not sent.
    let asks = with_field("accept", "text/event-stream", get("/stream/4"));
    assert_refused(&gw.send(asks).await);
    assert_eq!(sse.backend().hits(), 3);
    assert_eq!(rejections(&gw, "streams").await, 2.0);
    assert!(streams[0].event("still there").await && !streams[1].is_closed());
    drop((one, open));
    eventually("there is room again", || async {
        let mut client = gw.h1().await;
        let answer = client.send(get("/stream/5")).await.unwrap();
        answer.status() == 200
    })
    .await;
}

#[tokio::test]
async fn grpc_and_upgrades_count_as_streams() {
    let slow = Slow::new().await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all, websocket: true } }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { maxStreams: 1 } } }
        ",
        &[&slow],
    )
    .await;
    let mut client = gw.h1().await;
    let held = tokio::spawn(async move { client.reply(websocket("/")).await });
    slow.next().await;
    assert_refused(&gw.send(websocket("/")).await);
    let call = post("/agents.Agent/Call", "");
    let call = with_field("content-type", "application/grpc", call);
    let refused = gw.h2().await.reply(call).await;
    assert_eq!((refused.header("grpc-status"), refused.reason()), ("14", "circuit_open"));
    slow.answer(2);
    assert_eq!(gw.get("/").await.status, 200, "a request is none");
    assert_eq!(held.await.unwrap().status, 200);
}

#[tokio::test]
async fn retries_have_a_ceiling() {
    let (dead, alive) = (refusing(), Backend::replying(200).await);
    let gw = Gw::with(
        "
        workers: 1
        routes: { all: { cluster: all } }
        clusters:
          all:
            endpoints: ['{0}', '{1}']
            loadBalancer: round-robin
            circuitBreaker: { maxRetries: 0 }
        ",
        &[&dead, &alive],
    )
    .await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(gw.get("/").await.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502], "in turn, and never twice");
    assert_eq!(rejections(&gw, "retries").await, 2.0);
    assert_eq!(gw.metric("attache_retries_total", &[]).await, 0.0);
}

#[tokio::test]
async fn a_full_endpoint_is_passed_over() {
    let (one, other) = (Slow::new().await, Slow::new().await);
    for policy in ["least-connection", "round-robin", "random", "{ hash: clientIp }"] {
        let template = format!(
            "
            routes: {{ all: {{ cluster: all }} }}
            clusters:
              all:
                endpoints: ['{{0}}', '{{1}}']
                loadBalancer: {policy}
                circuitBreaker: {{ perEndpoint: {{ maxRequests: 1 }} }}
            "
        );
        let gw = Gw::with(&template, &[&one, &other]).await;
        let held = [send(&gw, "/").await, send(&gw, "/").await];
        one.next().await;
        other.next().await;
        assert_refused(&gw.get("/").await);
        one.answer(1);
        other.answer(1);
        for held in held {
            assert_eq!(held.await.unwrap().status, 200, "{policy}");
        }
    }
}

#[tokio::test]
async fn when_all_endpoints_are_full_the_first_that_is_not_serves_who_waits() {
    let (one, other) = (Slow::new().await, Slow::new().await);
    let gw = Gw::with(
        "
        routes: { all: { cluster: all } }
        clusters:
          all:
            endpoints: ['{0}', '{1}']
            circuitBreaker:
              maxPendingRequests: 10
              pendingTimeout: 1h
              perEndpoint: { maxRequests: 1 }
        ",
        &[&one, &other],
    )
    .await;
    let held = [send(&gw, "/").await, send(&gw, "/").await];
    one.next().await;
    other.next().await;
    let first = send(&gw, "/first").await;
    eventually("it waits", || async { pending(&gw).await == 1.0 }).await;
    let second = send(&gw, "/second").await;
    eventually("it waits", || async { pending(&gw).await == 2.0 }).await;
    other.answer(1);
    assert_eq!(other.next().await, "/first");
    one.answer(1);
    assert_eq!(one.next().await, "/second");
    one.answer(1);
    other.answer(1);
    for reply in held.into_iter().chain([first, second]) {
        assert_eq!(reply.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_reload_keeps_counting_what_is_under_way() {
    let sse = Sse::new().await;
    let mut gw = Gw::with(STREAMS, &[&sse]).await;
    let (mut one, mut two) = (gw.h1().await, gw.h1().await);
    let open = [one.send(get("/stream")).await.unwrap(), two.send(get("/stream")).await.unwrap()];
    let changed = STREAMS.replace("prefix: /stream", "prefix: /");
    gw.reload(&changed, &[&sse]).await.unwrap();
    assert_refused(&gw.get("/").await);
    drop((one, two, open));
    eventually("there is room again", || async {
        let mut client = gw.h1().await;
        client.send(get("/")).await.unwrap().status() == 200
    })
    .await;
}

// ------------------------------------------------------------------------------------------------ connections

#[tokio::test]
async fn a_connection_carries_so_many_requests() {
    for (protocol, http2) in [("http/1.1", false), ("h2c", true)] {
        let speak = Speak { http2, ..Speak::default() };
        let backend = Backend::replying_as(speak, 200).await;
        let template = format!(
            "
            workers: 1
            routes: {{ all: {{ cluster: all }} }}
            clusters:
              all:
                endpoints: ['{{0}}']
                protocol: {protocol}
                circuitBreaker: {{ maxRequestsPerConnection: 2 }}
            "
        );
        let gw = Gw::with(&template, &[&backend]).await;
        let mut client = gw.h1().await;
        for _ in 0..5 {
            assert_eq!(client.reply(get("/")).await.status, 200);
        }
        assert_eq!(backend.connections(), 3, "{protocol}");
        eventually("those used up are closed", || async { backend.open() == 1 }).await;
    }
}

#[tokio::test]
async fn connections_have_a_ceiling() {
    for each in ["maxConnections: 1", "perEndpoint: { maxConnections: 1 }"] {
        let slow = Slow::new().await;
        let gw = Gw::with(&guarded(each), &[&slow]).await;
        let held = send(&gw, "/").await;
        slow.next().await;
        assert_refused(&gw.get("/").await);
        assert_refused(&gw.send(post("/", "x")).await);
        assert_eq!(rejections(&gw, "connections").await, 2.0, "{each}");
        slow.answer(2);
        assert_eq!(held.await.unwrap().status, 200);
        assert_eq!(gw.get("/").await.status, 200);
        assert!(slow.backend.open() <= 1);
    }
}

#[tokio::test]
async fn who_waits_for_a_connection_gets_the_next_one_that_is_free() {
    for http2 in [false, true] {
        let speak = Speak { http2, max_streams: http2.then_some(1), ..Speak::default() };
        let slow = Slow::speaking(speak).await;
        let protocol = if http2 { "h2c" } else { "http/1.1" };
        let template = format!(
            "
            workers: 1
            routes: {{ all: {{ cluster: all }} }}
            clusters:
              all:
                endpoints: ['{{0}}']
                protocol: {protocol}
                circuitBreaker: {{ maxConnections: 1, maxPendingRequests: 3, pendingTimeout: 1h }}
            "
        );
        let gw = Gw::with(&template, &[&slow]).await;
        let mut sent = vec![send(&gw, "/0").await];
        assert_eq!(slow.next().await, "/0");
        for number in 1..=3 {
            sent.push(send(&gw, &format!("/{number}")).await);
            let waiting = || async { pending(&gw).await == f64::from(number) };
            eventually("it waits", waiting).await;
        }
        for number in 1..=3 {
            slow.answer(1);
            assert_eq!(slow.next().await, format!("/{number}"));
        }
        slow.answer(1);
        for reply in sent {
            assert_eq!(reply.await.unwrap().status, 200);
        }
        assert_eq!(slow.backend.connections(), 1, "{protocol}");
    }
}

#[tokio::test]
async fn streams_share_a_connection_below_the_ceiling() {
    let speak = Speak { http2: true, ..Speak::default() };
    let slow = Slow::speaking(speak).await;
    let gw = Gw::with(
        "
        workers: 1
        routes: { all: { cluster: all } }
        clusters: { all: { endpoints: ['{0}'], protocol: h2c, circuitBreaker: { maxConnections: 1 } } }
        ",
        &[&slow],
    )
    .await;
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.push(send(&gw, "/").await);
    }
    for _ in 0..20 {
        slow.next().await;
    }
    slow.answer(20);
    for reply in sent {
        assert_eq!(reply.await.unwrap().status, 200);
    }
    assert_eq!(slow.backend.connections(), 1);
}

#[tokio::test]
async fn idle_connections_of_another_worker_are_no_obstacle() {
    for protocol in ["http/1.1", "h2c"] {
        for ceiling in ["maxConnections: 1", "perEndpoint: { maxConnections: 1 }"] {
            let speak = Speak { http2: protocol == "h2c", ..Speak::default() };
            let backend = Backend::replying_as(speak, 200).await;
            let template = format!(
                "
                workers: 2
                routes: {{ all: {{ cluster: all }} }}
                clusters:
                  all:
                    endpoints: ['{{0}}']
                    protocol: {protocol}
                    circuitBreaker: {{ {ceiling} }}
                "
            );
            let gw = Gw::with(&template, &[&backend]).await;
            // The kernel spreads them over both workers; each time the other one holds the only connection, idle.
            for turn in 0..40 {
                let reply = gw.get("/").await;
                assert_eq!(reply.status, 200, "{protocol} {ceiling} {turn}: {}", reply.reason());
                assert!(backend.open() <= 2, "the one that closes, and its successor");
            }
            assert!(backend.connections() > 1, "both workers had one");
            eventually("one is left", || async { backend.open() == 1 }).await;
        }
    }
}

#[tokio::test]
async fn workers_that_fight_for_one_connection_all_get_their_turn() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "
        workers: 2
        routes: { all: { cluster: all } }
        clusters:
          all:
            endpoints: ['{0}']
            circuitBreaker: { maxConnections: 1, maxPendingRequests: 100, pendingTimeout: 20s }
        ",
        &[&backend],
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = gw.h1().await;
        clients.push(tokio::spawn(async move {
            for _ in 0..20 {
                let reply = client.reply(get("/")).await;
                assert_eq!((reply.status, reply.reason()), (200, ""));
            }
        }));
    }
    for client in clients {
        within("everybody is served", client).await.unwrap();
    }
    assert_eq!(backend.hits(), 160);
}

// ------------------------------------------------------------------------------------------------ the breaker

fn breaking(half_open: &str) -> String {
    guarded(&format!("halfOpen: {{ {half_open} }}"))
}

#[tokio::test]
async fn an_open_breaker_ends_retries_too() {
    let agent = SwitchableBackend::new(503).await;
    let template = breaking("failureThreshold: 2, recoveryTimeout: 1h").replace(
        "cluster: all }",
        "cluster: all, retries: { attempts: 5, retryOn: 5xx, backoff: { base: 1ms, max: 1ms } } }",
    );
    let gw = Gw::with(&template, &[&agent]).await;
    let reply = gw.get("/").await;
    assert_eq!((reply.status, agent.hits()), (503, 2));
    assert_eq!(gw.record().await["reason"], "circuit_open");
    let stopped = [("cluster", "all"), ("reason", "circuit_open")];
    assert_eq!(gw.metric("attache_retries_stopped_total", &stopped).await, 1.0);
}

#[tokio::test]
async fn it_opens_and_that_is_said() {
    let agent = SwitchableBackend::new(503).await;
    let template = breaking("failureThreshold: 3, recoveryTimeout: 1h");
    let gw = Gw::with(&template, &[&agent]).await;
    for _ in 0..3 {
        assert_eq!(gw.get("/").await.reason(), "", "the agent's own 503");
    }
    for _ in 0..3 {
        assert_refused(&gw.get("/").await);
    }
    assert_eq!((agent.hits(), state(&gw).await), (3, 2.0));
    assert_eq!(rejections(&gw, "breaker").await, 3.0);
    let health = gw.admin("/health").await;
    let health: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["checks"][0]["detail"], "1 endpoint, circuit breaker open");
}

#[tokio::test]
async fn it_tries_one_after_its_time_and_closes_when_that_is_good() {
    const RECOVERY: Duration = Duration::from_millis(400);
    let agent = SwitchableBackend::new(503).await;
    let template = breaking("failureThreshold: 3, recoveryTimeout: 400ms, rampUp: 0s");
    let gw = Gw::with(&template, &[&agent]).await;
    for _ in 0..2 {
        assert_eq!(gw.get("/").await.reason(), "");
    }
    // Not before it was asked for the last time, after which it is open; and each probe that fails opens it for as long
    // again.
    let asked = Instant::now();
    assert_eq!(gw.get("/").await.reason(), "");
    for (probes, least) in [(1, RECOVERY), (2, 2 * RECOVERY)] {
        eventually("a probe is sent", || async {
            gw.get("/").await;
            agent.hits() == 3 + probes
        })
        .await;
        assert!(asked.elapsed() >= least, "not before its time");
    }
    agent.becomes(200);
    eventually("it closes", || async { gw.get("/").await.status == 200 }).await;
    for _ in 0..5 {
        assert_eq!(gw.get("/").await.status, 200);
    }
    assert_eq!(state(&gw).await, 0.0);
}

#[tokio::test]
async fn connections_that_fail_open_it_and_retry_after_says_for_how_long() {
    let dead = refusing();
    let gw = Gw::with(&breaking("failureThreshold: 4, recoveryTimeout: 1h"), &[&dead]).await;
    // Each is tried twice.
    assert_eq!(gw.get("/").await.status, 502);
    assert_eq!(gw.get("/").await.status, 502);
    let reply = gw.get("/").await;
    assert_refused(&reply);
    let wait: u32 = reply.header("retry-after").parse().unwrap();
    assert!((3500..=3600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn only_one_probe_is_sent_at_a_time() {
    let (hits, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
    let (count, gate) = (Arc::clone(&hits), Arc::clone(&answers));
    let agent = Backend::handling(move |_| {
        let (first, gate) = (count.fetch_add(1, Ordering::SeqCst) == 0, Arc::clone(&gate));
        async move {
            let status = if first { 503 } else { 200 };
            if !first {
                gate.acquire().await.unwrap().forget();
            }
            Response::builder().status(status).body(full("")).unwrap()
        }
    })
    .await;
    let template = breaking("failureThreshold: 1, recoveryTimeout: 5s, rampUp: 0s");
    let gw = Gw::with(&template, &[&agent]).await;
    assert_eq!(gw.get("/").await.reason(), "");
    let mut sent = Vec::new();
    within("the probe is sent", async {
        while hits.load(Ordering::SeqCst) < 2 {
            sent.push(send(&gw, "/").await);
            pass(Duration::from_millis(20)).await;
        }
    })
    .await;
    for _ in 0..5 {
        assert_refused(&gw.get("/").await);
    }
    assert_eq!((hits.load(Ordering::SeqCst), state(&gw).await), (2, 1.0));
    answers.add_permits(1000);
    let mut served = 0;
    for reply in sent {
        served += u32::from(reply.await.unwrap().status == 200);
    }
    assert_eq!(served, 1, "the probe");
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn after_the_probe_only_a_share_is_sent() {
    let agent = SwitchableBackend::new(503).await;
    let gw = Gw::with(&breaking("failureThreshold: 1, recoveryTimeout: 100ms, rampUp: 24h"), &[&agent]).await;
    assert_eq!(gw.get("/").await.reason(), "");
    agent.becomes(200);
    eventually("the probe is good", || async { gw.get("/").await.status == 200 }).await;
    let mut client = gw.h1().await;
    let mut sent = 0;
    for _ in 0..300 {
        sent += u32::from(client.reply(get("/")).await.status == 200);
    }
    assert!((1..150).contains(&sent), "a tenth at first, and it was {sent} of 300");
    agent.becomes(500);
    eventually("it opens again", || async {
        gw.get("/").await;
        state(&gw).await == 2.0
    })
    .await;
}

#[tokio::test]
async fn neither_clients_that_leave_nor_our_own_refusals_open_it() {
    let slow = Slow::new().await;
    let template = guarded("maxRequests: 1, halfOpen: { failureThreshold: 2 }");
    let gw = Gw::with(&template, &[&slow]).await;
    for turn in 1..=4 {
        let leaving = send(&gw, "/").await;
        slow.next().await;
        assert_refused(&gw.get("/").await);
        leaving.abort();
        let gone = || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 };
        eventually("it is over", gone).await;
        assert_eq!(state(&gw).await, 0.0, "turn {turn}");
    }
    slow.answer(1000);
    assert_eq!(gw.get("/").await.status, 200);
}

#[tokio::test]
async fn streams_that_break_off_open_it() {
    let sse = Sse::new().await;
    let gw = Gw::with(&breaking("failureThreshold: 3"), &[&sse]).await;
    for _ in 0..3 {
        let mut client = gw.h1().await;
        let answer = client.send(get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        let stream = sse.stream().await;
        stream.event("one").await;
        stream.abort().await;
        assert!(Reply::read(answer).await.is_err(), "it is cut for the client, too");
    }
    assert_refused(&gw.get("/").await);
}

#[tokio::test]
async fn a_reload_keeps_an_open_breaker_open() {
    let agent = SwitchableBackend::new(503).await;
    let template = breaking("failureThreshold: 2, recoveryTimeout: 1h");
    let mut gw = Gw::with(&template, &[&agent]).await;
    for _ in 0..2 {
        assert_eq!(gw.get("/").await.reason(), "");
    }
    assert_refused(&gw.get("/").await);
    agent.becomes(200);
    let renamed = template.replace("routes: { all:", "routes: { other:");
    assert_ne!(renamed, template);
    gw.reload(&renamed, &[&agent]).await.unwrap();
    assert_refused(&gw.get("/").await);
    assert_eq!((agent.hits(), state(&gw).await), (2, 2.0));
    let changed = breaking("failureThreshold: 3, recoveryTimeout: 1h");
    gw.reload(&changed, &[&agent]).await.unwrap();
    assert_eq!(gw.get("/").await.status, 200, "other settings, another breaker");
    assert_eq!(state(&gw).await, 0.0);
    let without = "routes: { all: { endpoints: ['{0}'] } }";
    gw.reload(without, &[&agent]).await.unwrap();
    eventually("no series of it is left", || async { !gw.metrics().await.contains("attache_circuit_breaker_state") })
        .await;
}
