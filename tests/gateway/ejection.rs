//! Endpoints that misbehave are left out for a while, and what happens when too many do.

use std::cell::Cell;
use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::{
    Backend, GUARD, Gw, Place, RawBackend, Reply, Sse, SwitchableBackend, eventually, get, pass, post, refusing,
};

/// One worker, endpoints in turn, no slow start: who is asked is exact.
fn in_turn(count: usize, rest: &str) -> String {
    let endpoints: Vec<_> = (0..count).map(|index| format!("'{{{index}}}'")).collect();
    let endpoints = endpoints.join(", ");
    format!(
        "workers: 1\nroutes: {{ all: {{ cluster: all }} }}\n\
         clusters: {{ all: {{ endpoints: [{endpoints}], loadBalancer: round-robin, slowStart: off, {rest} }} }}"
    )
}

const ALL: [(&str, &str); 1] = [("cluster", "all")];

async fn ejections(gw: &Gw) -> f64 {
    gw.metric("attache_ejections_total", &ALL).await
}

/// Statuses of so many GETs, one after the other.
async fn statuses(gw: &Gw, count: usize) -> Vec<u16> {
    let mut client = gw.h1().await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(client.reply(get("/")).await.status);
    }
    statuses
}

fn failed(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status != 200).count()
}

#[tokio::test]
async fn after_so_many_failures_in_a_row_an_endpoint_gets_nothing() {
    let (bad, good) = (SwitchableBackend::new(500).await, SwitchableBackend::new(200).await);
    let template = in_turn(2, "outlierDetection: { consecutiveErrors: 3 }");
    let gw = Gw::with(&template, &[&bad, &good]).await;
    assert_eq!(failed(&statuses(&gw, 40).await), 3);
    assert_eq!((bad.hits(), good.hits()), (3, 37));
    let labels = [("cluster", "all"), ("cause", "consecutive_5xx")];
    assert_eq!(gw.metric("attache_ejections_total", &labels).await, 1.0);
    eventually("the gauges show it", || async {
        gw.metric("attache_endpoints_ejected", &ALL).await == 1.0
            && gw.metric("attache_endpoints_usable", &ALL).await == 1.0
    })
    .await;
    let health = gw.admin("/health").await;
    assert!(health.text().contains("2 endpoints, 1 usable, 1 ejected"), "{}", health.text());
}

#[tokio::test]
async fn it_returns_when_its_time_is_over() {
    let (bad, good) = (SwitchableBackend::new(503).await, SwitchableBackend::new(200).await);
    let template = in_turn(2, "outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 300ms }");
    let gw = Gw::with(&template, &[&bad, &good]).await;
    assert_eq!(failed(&statuses(&gw, 4).await), 2);
    bad.becomes(200);
    eventually("it is asked again", || async {
        assert_eq!(gw.get("/").await.status, 200);
        bad.hits() > 2
    })
    .await;
    eventually("the gauges show it", || async {
        gw.metric("attache_endpoints_ejected", &ALL).await == 0.0
            && gw.metric("attache_endpoints_usable", &ALL).await == 2.0
    })
    .await;
}

/// Asks until the bad endpoint has failed so many times more, which ejects it, and then until it is asked again; the
/// time in between.
async fn time_out(gw: &Gw, bad: &SwitchableBackend, failures: usize) -> Duration {
    let before = bad.hits();
    let mut client = gw.h1().await;
    let mut ejected = None;
    let start = Instant::now();
    loop {
        let asked = Instant::now();
        let _answer = client.reply(get("/")).await;
        match (bad.hits() - before).cmp(&failures) {
            Ordering::Less => {}
            // Not before it was asked to do what took it out.
            Ordering::Equal => ejected = ejected.or(Some(asked)),
            Ordering::Greater => return ejected.unwrap().elapsed(),
        }
        assert!(start.elapsed() < GUARD, "it never returned");
    }
}

#[tokio::test]
async fn each_ejection_is_longer() {
    let (bad, good) = (SwitchableBackend::new(500).await, SwitchableBackend::new(200).await);
    let template = in_turn(2, "outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 700ms }");
    let gw = Gw::with(&template, &[&bad, &good]).await;
    let first = time_out(&gw, &bad, 2).await;
    assert!(first >= Duration::from_millis(700), "{first:?}");
    // What ended the wait was the first failure of the next round.
    let second = time_out(&gw, &bad, 1).await;
    assert!(second >= Duration::from_millis(1400), "{second:?}");
}

#[tokio::test]
async fn the_last_usable_endpoint_is_never_ejected() {
    let (one, other) = (SwitchableBackend::new(500).await, SwitchableBackend::new(500).await);
    let template = in_turn(2, "panic: off, outlierDetection: { consecutive5xxErrors: 2, maxEjectionPercent: 100% }");
    let gw = Gw::with(&template, &[&one, &other]).await;
    assert!(statuses(&gw, 40).await.iter().all(|status| *status == 500));
    assert_eq!(ejections(&gw).await, 1.0);
    assert_eq!(one.hits().min(other.hits()), 2);
    let alone = SwitchableBackend::new(500).await;
    let template = in_turn(1, "outlierDetection: { consecutive5xxErrors: 1 }");
    let gw = Gw::with(&template, &[&alone]).await;
    assert!(statuses(&gw, 10).await.iter().all(|status| *status == 500));
    assert_eq!((ejections(&gw).await, alone.hits()), (0.0, 10));
}

const MOST_MAY_GO: &str =
    "outlierDetection: { consecutive5xxErrors: 2, maxEjectionPercent: 100, baseEjectionTime: 60s }";

#[tokio::test]
async fn with_too_few_usable_endpoints_all_are_used_and_that_is_said() {
    let bad = [SwitchableBackend::new(500).await, SwitchableBackend::new(500).await];
    let good = SwitchableBackend::new(200).await;
    let gw = Gw::with(&in_turn(3, MOST_MAY_GO), &[&bad[0], &bad[1], &good]).await;
    statuses(&gw, 12).await;
    assert_eq!(ejections(&gw).await, 2.0);
    eventually("panic is shown", || async { gw.metric("attache_cluster_panic", &ALL).await == 1.0 }).await;
    let (before, hits) = (bad[0].hits(), good.hits());
    assert_eq!(failed(&statuses(&gw, 30).await), 20);
    assert_eq!((bad[0].hits() - before, good.hits() - hits), (10, 10));
    let health = gw.admin("/health").await;
    assert!(
        health.text().contains("3 endpoints, 1 usable, 2 ejected, panic") && health.text().contains("degraded"),
        "{}",
        health.text()
    );
    assert_eq!(gw.admin("/ready").await.status, 200);
}

#[tokio::test]
async fn panic_may_refuse_or_be_off() {
    for (panic, healthy) in [("{ threshold: 50%, action: fail }", 503), ("off", 200)] {
        let bad = [SwitchableBackend::new(500).await, SwitchableBackend::new(500).await];
        let good = SwitchableBackend::new(200).await;
        let template = in_turn(3, &format!("panic: {panic}, {MOST_MAY_GO}"));
        let gw = Gw::with(&template, &[&bad[0], &bad[1], &good]).await;
        eventually("both are out", || async {
            statuses(&gw, 3).await;
            ejections(&gw).await == 2.0
        })
        .await;
        // A worker may go by what it knew for a moment.
        pass(Duration::from_millis(100)).await;
        let hits = (bad[0].hits(), bad[1].hits());
        assert!(statuses(&gw, 20).await.iter().all(|status| *status == healthy), "panic: {panic}");
        assert_eq!((bad[0].hits(), bad[1].hits()), hits);
        if healthy == 503 {
            let reply = gw.get("/").await;
            assert_eq!(reply.reason(), "no_endpoint");
            assert_eq!(reply.header("retry-after"), "1");
        }
    }
}

/// An endpoint that reads a request and does this to the connection.
async fn raw(answer: &'static str) -> RawBackend {
    RawBackend::script(move |mut connection| async move {
        connection.read_message().await;
        if answer.is_empty() {
            connection.reset();
        } else {
            connection.try_write(answer).await;
            connection.finish().await;
        }
    })
    .await
}

#[tokio::test]
async fn without_a_block_one_broken_endpoint_of_three_is_found_out() {
    let stream =
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n";
    let kinds: [(&str, Box<dyn Place>, bool); 5] = [
        ("refusing", Box::new(refusing()), false),
        ("resetting", Box::new(raw("").await), false),
        ("garbage", Box::new(raw("\u{1}\u{2}garbage\r\n\r\n").await), false),
        ("an answer that breaks off", Box::new(raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort").await), true),
        ("a stream that breaks off", Box::new(raw(stream).await), true),
    ];
    for (what, bad, seen) in kinds {
        let (one, other) = (Backend::replying(200).await, Backend::replying(200).await);
        let gw = Gw::with("routes: { all: { endpoints: ['{0}', '{1}', '{2}'] } }", &[&*bad, &one, &other]).await;
        let (asked, broken) = (Cell::new(0), Cell::new(0));
        eventually("it is ejected", || async {
            asked.set(asked.get() + 1);
            // An answer that breaks off at once may break off before its head is out.
            let whole = match gw.h1().await.send(get("/")).await {
                Ok(response) => Reply::read(response).await,
                Err(error) => Err(error),
            };
            match whole {
                Ok(reply) => assert_eq!(reply.status, 200, "{what}"),
                Err(_) => broken.set(broken.get() + 1),
            }
            ejections(&gw).await == 1.0
        })
        .await;
        // What failed for the client failed at the endpoint: what broke off, and nothing that could be tried again.
        assert_eq!(broken.get() > 0, seen, "{what}: {broken:?}");
        let records = gw.records(asked.get()).await;
        let aborted = records.iter().filter(|record| record["reason"] == "upstream_aborted");
        assert_eq!(aborted.count(), broken.get(), "{what}: {records:#?}");
        let labels = [("cluster", "all"), ("cause", "consecutive_gateway_errors")];
        assert_eq!(gw.metric("attache_ejections_total", &labels).await, 1.0);
        assert_eq!(failed(&statuses(&gw, 50).await), 0, "{what}");
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_found_out() {
    let hanging = RawBackend::silent().await;
    let (one, other) = (Backend::replying(200).await, Backend::replying(200).await);
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}', '{1}', '{2}'], responseHeadTimeout: 500ms } }",
        &[&hanging, &one, &other],
    )
    .await;
    eventually("it is ejected", || async {
        gw.get("/").await;
        ejections(&gw).await == 1.0
    })
    .await;
    assert_eq!(failed(&statuses(&gw, 50).await), 0);
}

#[tokio::test]
async fn clients_that_leave_eject_nobody() {
    let (first, second) = (Sse::new().await, Sse::new().await);
    let template = in_turn(2, "outlierDetection: { consecutive5xxErrors: 2 }");
    let gw = Gw::with(&template, &[&first, &second]).await;
    for turn in 0..20 {
        let agent = if turn % 2 == 0 { &first } else { &second };
        let other = if turn % 2 == 0 { &second } else { &first };
        let mut client = gw.h1().await;
        let body = client.send(get("/")).await.unwrap().into_body();
        let stream = tokio::select! {
            stream = agent.stream() => stream,
            stream = other.stream() => stream,
        };
        client.leave();
        drop(body);
        stream.closed().await;
    }
    // Others leave before there is a head.
    let (one, other) = (RawBackend::silent().await, RawBackend::silent().await);
    let quiet = Gw::with(&template, &[&one, &other]).await;
    for turn in 1..=10 {
        let mut client = quiet.h1().await;
        let asking = tokio::spawn(async move { drop(client.send_patiently(post("/", "x")).await) });
        eventually("it is asked", || async { quiet.metric("attache_attempts_total", &ALL).await >= f64::from(turn) })
            .await;
        asking.abort();
    }
    gw.records(20).await;
    quiet.records(10).await;
    assert_eq!((ejections(&gw).await, ejections(&quiet).await), (0.0, 0.0));
}

#[tokio::test]
async fn an_endpoint_that_asks_for_rest_gets_it() {
    let busy = Backend::replying(503).await.header("retry-after", "60");
    let good = SwitchableBackend::new(200).await;
    for (rest, hits) in [("false", 10), ("true", 1)] {
        let before = busy.hits();
        let template =
            in_turn(2, &format!("outlierDetection: {{ consecutive5xxErrors: 100, restOnRetryAfter: {rest} }}"));
        let gw = Gw::with(&template, &[&busy, &good]).await;
        statuses(&gw, 20).await;
        assert_eq!(busy.hits() - before, hits, "restOnRetryAfter: {rest}");
    }
}

#[tokio::test]
async fn failures_within_a_time_count_as_nginx_counts_them() {
    let (bad, good) = (SwitchableBackend::new(500).await, SwitchableBackend::new(200).await);
    let template = in_turn(2, "outlierDetection: { maxFails: 3, failTimeout: 60s }");
    let gw = Gw::with(&template, &[&bad, &good]).await;
    // Successes in between take nothing back.
    for status in [500, 200, 500, 200, 500] {
        bad.becomes(status);
        statuses(&gw, 2).await;
    }
    assert_eq!(bad.hits(), 5);
    assert_eq!(failed(&statuses(&gw, 10).await), 0);
    assert_eq!(bad.hits(), 5);
    let labels = [("cluster", "all"), ("cause", "max_fails")];
    assert_eq!(gw.metric("attache_ejections_total", &labels).await, 1.0);
}

#[tokio::test]
async fn too_large_a_share_of_failures_is_seen_at_the_end_of_an_interval() {
    let (bad, good) = (SwitchableBackend::new(500).await, SwitchableBackend::new(200).await);
    let template = in_turn(
        2,
        "outlierDetection: { consecutive5xxErrors: off, interval: 500ms, failurePercentage: { minHosts: 2, minRequests: 10 } }",
    );
    let gw = Gw::with(&template, &[&bad, &good]).await;
    eventually("it is ejected", || async {
        statuses(&gw, 30).await;
        ejections(&gw).await == 1.0
    })
    .await;
    let hits = bad.hits();
    assert_eq!(failed(&statuses(&gw, 10).await), 0);
    assert_eq!(bad.hits(), hits);
}

#[tokio::test]
async fn ejections_outlive_a_reload_that_leaves_their_rules_alone() {
    let (bad, good) = (SwitchableBackend::new(500).await, SwitchableBackend::new(200).await);
    let rules = "outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 60s }";
    let mut gw = Gw::with(&in_turn(2, rules), &[&bad, &good]).await;
    statuses(&gw, 4).await;
    assert_eq!((ejections(&gw).await, bad.hits()), (1.0, 2));
    let same = in_turn(2, &format!("connectTimeout: 3s, {rules}"));
    gw.reload(&same, &[&bad, &good]).await.unwrap();
    assert_eq!(failed(&statuses(&gw, 10).await), 0);
    for others in ["outlierDetection: { consecutive5xxErrors: 3 }", "outlierDetection: off"] {
        let hits = bad.hits();
        gw.reload(&in_turn(2, others), &[&bad, &good]).await.unwrap();
        statuses(&gw, 8).await;
        assert!(bad.hits() > hits, "{others}");
    }
}
