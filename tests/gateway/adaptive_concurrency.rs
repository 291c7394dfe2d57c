//! How many requests a cluster carries is found out from how long its answers take.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Response;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::support::{Backend, Gw, Reply, Sse, eventually, full, get, pass, post, soon, with_field};

fn text(adaptive: &str) -> String {
    format!(
        "workers: 1\nroutes: {{ all: {{ cluster: all }} }}\n\
         clusters: {{ all: {{ endpoints: ['{{0}}'], adaptiveConcurrency: {adaptive} }} }}"
    )
}

/// An agent that answers when the test says so.
async fn waiting() -> (Backend, Arc<Semaphore>) {
    let answers = Arc::new(Semaphore::new(0));
    let free = Arc::clone(&answers);
    let backend = Backend::handling(move |_| {
        let free = Arc::clone(&free);
        async move {
            free.acquire().await.unwrap().forget();
            Response::new(full("done"))
        }
    });
    (backend.await, answers)
}

async fn send(gw: &Gw) -> JoinHandle<Reply> {
    let mut client = gw.h1().await;
    tokio::spawn(async move { client.reply(get("/")).await })
}

async fn limit(gw: &Gw) -> f64 {
    gw.metric("attache_adaptive_concurrency_limit", &[("cluster", "all")]).await
}

async fn refused(gw: &Gw) -> f64 {
    let labels = [("cluster", "all"), ("ceiling", "adaptive")];
    gw.metric("attache_circuit_breaker_rejections_total", &labels).await
}

#[tokio::test]
async fn what_is_beyond_the_limit_is_refused_at_once() {
    let (agent, answers) = waiting().await;
    let mut gw = Gw::with(&text("{ initial: 2, min: 2, max: 2 }"), &[&agent]).await;
    let held = [send(&gw).await, send(&gw).await];
    eventually("both are under way", || async { agent.hits() == 2 }).await;
    let mut client = gw.h1().await;
    // The other two are not answered before this one is.
    let reply = client.reply(get("/")).await;
    assert_eq!((reply.status, reply.reason(), reply.header("retry-after")), (503, "circuit_open", "1"));
    assert_eq!((refused(&gw).await, agent.hits(), limit(&gw).await), (1.0, 2, 2.0));
    assert_eq!(gw.record().await["flags"], "UO");
    gw.reload(&text("{ initial: 2, min: 2, max: 2 }").replace("workers: 1", "workers: 1\nzone: a"), &[&agent])
        .await
        .unwrap();
    assert_eq!(client.reply(get("/")).await.status, 503, "a reload forgets nobody");
    gw.reload(&text("{ initial: 2, min: 2, max: 3 }"), &[&agent]).await.unwrap();
    assert_eq!(client.reply(get("/")).await.status, 503, "nor does one that changes the settings");
    answers.add_permits(2);
    for held in held {
        assert_eq!(held.await.unwrap().status, 200);
    }
    answers.add_permits(1);
    assert_eq!(client.reply(get("/")).await.status, 200, "their places are free again");
    gw.reload(&text("off"), &[&agent]).await.unwrap();
    eventually("its series is gone", || async { !gw.metrics().await.contains("attache_adaptive_concurrency_limit") })
        .await;
}

#[tokio::test]
async fn streams_take_no_place() {
    let agent = Sse::new().await;
    let gw = Gw::with(&text("{ initial: 1, min: 1, max: 1 }"), &[agent.backend()]).await;
    let ask = || with_field("accept", "text/event-stream, application/json", post("/", "{}"));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut client = gw.h1().await;
        let response = client.send(ask()).await.unwrap();
        assert_eq!(response.status(), 200, "one that turns out to be a stream gives its place back");
        streams.push((client, response, agent.stream().await));
    }
    assert_eq!(refused(&gw).await, 0.0);
}

/// Sends eight requests at a time until the limit is what it should be.
async fn until(gw: &Gw, what: &str, is_so: fn(f64) -> bool) -> f64 {
    soon(what, || async {
        for sent in join_all((0..8).map(|_| send(gw))).await {
            let reply = sent.await.unwrap();
            assert!(reply.status == 200 || reply.reason() == "circuit_open", "{}", reply.status);
        }
        let now = limit(gw).await;
        is_so(now).then_some(now)
    })
    .await
}

#[tokio::test]
async fn the_limit_grows_while_answers_are_fast_and_shrinks_when_they_are_slow() {
    const FAST: u64 = 50;
    let millis = Arc::new(AtomicU64::new(FAST));
    let takes = Arc::clone(&millis);
    let agent = Backend::handling(move |_| {
        let takes = Arc::clone(&takes);
        async move {
            // How long an answer takes is what this is about.
            pass(Duration::from_millis(takes.load(Ordering::SeqCst))).await;
            Response::new(full("done"))
        }
    })
    .await;
    let gw = Gw::with(&text("{ initial: 4, min: 2, max: 8, tolerance: 3, window: 100ms }"), &[&agent]).await;
    assert_eq!((gw.get("/").await.status, limit(&gw).await), (200, 4.0));
    assert_eq!(until(&gw, "it grows to its end", |limit| limit >= 8.0).await, 8.0);
    // On a busy machine a fast answer takes longer than the agent does. A slow one must stand out beside it.
    let asked = Instant::now();
    assert_eq!(gw.get("/").await.status, 200);
    let fast = u64::try_from(asked.elapsed().as_millis()).unwrap();
    millis.store((5 * fast).clamp(8 * FAST, 40 * FAST), Ordering::SeqCst);
    until(&gw, "it shrinks", |limit| limit <= 5.0).await;
    assert!(refused(&gw).await > 0.0);
    millis.store(FAST, Ordering::SeqCst);
    until(&gw, "it grows again", |limit| limit >= 7.0).await;
}
