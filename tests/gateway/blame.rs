//! Whose failure it was. What a client or a setting of ours made go wrong says nothing about an endpoint, a breaker or
//! a canary; what an endpoint did wrong says so wherever in the exchange it happened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::sync::Semaphore;

use crate::support::{
    Backend, Gw, Raw, RawBackend, Reply, Sse, SwitchableBackend, channel, eventually, full, get, pass, post, request,
    within,
};

const CLUSTER: [(&str, &str); 1] = [("cluster", "all")];

async fn state(gw: &Gw) -> f64 {
    gw.metric("attache_circuit_breaker_state", &CLUSTER).await
}

/// One that answers with `status` when the test lets it, and counts who came.
async fn held(status: u16) -> (Backend, Arc<Semaphore>, Arc<AtomicUsize>) {
    let (free, came) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (may, count) = (Arc::clone(&free), Arc::clone(&came));
    let backend = Backend::handling(move |_| {
        let may = Arc::clone(&may);
        count.fetch_add(1, SeqCst);
        async move {
            may.acquire().await.unwrap().forget();
            Response::builder().status(status).body(full("held")).unwrap()
        }
    })
    .await;
    (backend, free, came)
}

#[tokio::test]
async fn waiting_for_a_place_of_ours_is_not_the_endpoints_silence() {
    let (backend, free, came) = held(200).await;
    let gw = Gw::with(
        "
        routes:
          held: { match: { path: { exact: /held } }, cluster: all, responseHeadTimeout: off }
          all: { cluster: all, responseHeadTimeout: 200ms }
          total: { match: { path: { exact: /total } }, cluster: all, timeout: 200ms }
        clusters:
          all:
            endpoints: ['{0}']
            circuitBreaker:
              maxConnections: 1
              maxPendingRequests: 4
              pendingTimeout: 1h
              halfOpen: { failureThreshold: 1 }
        ",
        &[&backend],
    )
    .await;
    let mut first = gw.h1().await;
    let first = tokio::spawn(async move { first.reply(get("/held")).await });
    eventually("the only connection is taken", || async { came.load(SeqCst) == 1 }).await;
    for path in ["/", "/total"] {
        let reply = gw.get(path).await;
        assert_eq!(state(&gw).await, 0.0, "{path}: the endpoint was not asked");
        assert_eq!((reply.status, reply.reason()), (503, "circuit_open"));
    }
    free.add_permits(1);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(came.load(SeqCst), 1);
}

#[tokio::test]
async fn a_slow_upload_is_not_the_endpoints_silence() {
    let backend = Backend::replying(200).await;
    let gw = Gw::with(
        "
        routes:
          all: { cluster: all, timeout: 1s }
          try: { match: { path: { exact: /try } }, cluster: all, responseHeadTimeout: 1s }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { halfOpen: { failureThreshold: 1 } } } }
        ",
        &[&backend],
    )
    .await;
    for path in ["/", "/try"] {
        let (sender, body) = channel();
        let mut client = gw.h1().await;
        let sent = tokio::spawn(async move { client.reply(request("POST", path, body)).await });
        assert!(sender.send("a beginning").await);
        let reply = within("the time is over", sent).await.unwrap();
        assert_eq!(state(&gw).await, 0.0, "{path}: the endpoint has nothing to answer");
        assert_eq!((reply.status, reply.reason()), (408, "body_timeout"));
    }
}

#[tokio::test]
async fn a_hung_endpoint_is_blamed_also_for_an_upload() {
    let (backend, _never, _) = held(200).await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all, timeout: 1s } }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { halfOpen: { failureThreshold: 1 } } } }
        ",
        &[&backend],
    )
    .await;
    let reply = gw.send(post("/", "all of it")).await;
    assert_eq!((reply.status, reply.reason()), (504, "timeout"));
    assert_eq!(state(&gw).await, 2.0);
}

#[tokio::test]
async fn answers_that_hang_after_a_good_head_open_the_breaker() {
    let backend = RawBackend::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbeginning").await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all, timeout: 1s } }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { halfOpen: { failureThreshold: 3 } } } }
        ",
        &[&backend],
    )
    .await;
    for _ in 0..3 {
        let mut client = gw.h1().await;
        let answer = client.send(get("/")).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(Reply::read(answer).await.is_err());
    }
    eventually("it is open", || async { state(&gw).await == 2.0 }).await;
}

#[tokio::test]
async fn answers_with_two_lengths_open_the_breaker() {
    let backend = RawBackend::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    )
    .await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all, retries: off } }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { halfOpen: { failureThreshold: 3 } } } }
        ",
        &[&backend],
    )
    .await;
    for _ in 0..3 {
        assert_eq!(gw.get("/").await.status, 502);
    }
    assert_eq!(state(&gw).await, 2.0);
}

#[tokio::test]
async fn a_slow_reader_is_not_the_endpoints_silence() {
    let backend = Backend::handling(|_| async { Response::new(full(Bytes::from(vec![b'x'; 32 << 20]))) }).await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all, timeout: 1s } }
        clusters: { all: { endpoints: ['{0}'], circuitBreaker: { halfOpen: { failureThreshold: 1 } } } }
        ",
        &[&backend],
    )
    .await;
    let mut client = Raw::connect_narrow(gw.address()).await;
    client.write("GET / HTTP/1.1\r\nhost: a.test\r\n\r\n").await;
    client.read_head().await;
    pass(Duration::from_millis(1200)).await;
    // Reading on lets the gateway look at the clock.
    client.read_to_end().await;
    eventually("it is cut", || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 }).await;
    assert_eq!(gw.record().await["reason"], "timeout");
    assert_eq!(state(&gw).await, 0.0);
}

#[tokio::test]
async fn who_waited_while_the_breaker_opened_is_refused() {
    let (backend, free, came) = held(500).await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: all } }
        clusters:
          all:
            endpoints: ['{0}']
            circuitBreaker:
              maxRequests: 1
              maxPendingRequests: 4
              pendingTimeout: 1h
              halfOpen: { failureThreshold: 1, recoveryTimeout: 1h }
        ",
        &[&backend],
    )
    .await;
    #[allow(clippy::async_yields_async, reason = "the test goes on while the answer is waited for")]
    let ask = || async {
        let mut client = gw.h1().await;
        tokio::spawn(async move { client.reply(get("/")).await })
    };
    let first = ask().await;
    eventually("it arrives", || async { came.load(SeqCst) == 1 }).await;
    let waiting = [ask().await, ask().await];
    eventually("two wait", || async { gw.metric("attache_pending_requests", &CLUSTER).await == 2.0 }).await;
    free.add_permits(100);
    assert_eq!(first.await.unwrap().status, 500);
    for waiting in waiting {
        let reply = waiting.await.unwrap();
        assert_eq!((reply.status, reply.reason()), (503, "circuit_open"));
    }
    assert_eq!(came.load(SeqCst), 1, "nothing is sent while it is open");
}

#[tokio::test]
async fn an_open_breaker_and_full_ceilings_keep_copies_out_too() {
    let shadow = SwitchableBackend::new(500).await;
    let main = Backend::replying(200).await;
    let gw = Gw::with(
        "
        routes: { all: { cluster: main, mirror: { cluster: shadow } } }
        clusters:
          main: { endpoints: ['{0}'] }
          shadow:
            endpoints: ['{1}']
            circuitBreaker: { halfOpen: { failureThreshold: 1, recoveryTimeout: 2s, rampUp: 0s } }
        ",
        &[&main, &shadow],
    )
    .await;
    let mirrored = async |result: &str, count: f64| {
        let labels = [("route", "all"), ("result", result)];
        eventually(&format!("{count} copies are {result}"), || async {
            gw.metric("attache_mirrors_total", &labels).await == count
        })
        .await;
    };
    assert_eq!(gw.get("/").await.status, 200);
    mirrored("answered", 1.0).await;
    assert_eq!(gw.get("/").await.status, 200);
    mirrored("failed", 1.0).await;
    assert_eq!(shadow.hits(), 1, "the breaker is open");
    // A copy is a probe like any other request.
    shadow.becomes(200);
    eventually("it closes", || async {
        gw.get("/").await;
        let shown = gw.metric("attache_circuit_breaker_state", &[("cluster", "shadow")]);
        shown.await == 0.0
    })
    .await;
}

const CANARY: &str = "
workers: 1
routes:
  all:
    streaming: { maxDuration: 1s }
    split:
      - { cluster: stable, weight: 50 }
      - { cluster: canary, weight: 50 }
    rollout:
      canary: canary
      steps: [{ setWeight: 100 }, { pause: {} }]
clusters: { stable: { endpoints: ['{0}'] }, canary: { endpoints: ['{1}'], BREAKER } }
";

#[tokio::test]
async fn a_canary_that_cannot_be_asked_any_more_still_counts_as_failing() {
    let (stable, canary) = (Backend::replying(200).await, Backend::replying(500).await);
    let breaker = "circuitBreaker: { halfOpen: { failureThreshold: 1, recoveryTimeout: 1h } }";
    let gw = Gw::with(&CANARY.replace("BREAKER", breaker), &[&stable, &canary]).await;
    eventually("the canary gets all", || async { gw.split("all").status().shares[1].percent > 99.0 }).await;
    let before = gw.split("all").status().shares[1].requests;
    for _ in 0..10 {
        assert!(gw.get("/").await.status >= 500);
    }
    assert!(canary.hits() <= 2, "the breaker is open");
    eventually("all are counted", || async { gw.split("all").status().shares[1].requests == before + 10 }).await;
}

#[tokio::test]
async fn a_stream_cut_at_our_own_limit_is_no_failure_of_the_canary() {
    let (stable, canary) = (Backend::replying(200).await, Sse::new().await);
    let gw = Gw::with(&CANARY.replace(", BREAKER", ""), &[&stable, &canary]).await;
    eventually("the canary gets all", || async { gw.split("all").status().shares[1].percent > 99.0 }).await;
    let mut client = gw.h1().await;
    let (answer, stream) = tokio::join!(client.send(get("/")), canary.stream());
    stream.event("one").await;
    assert!(Reply::read(answer.unwrap()).await.is_err(), "it is cut");
    eventually("it is over", || async { gw.metric("attache_requests_in_flight", &[]).await == 0.0 }).await;
    assert_eq!(gw.split("all").status().shares[1].requests, 0);
}
