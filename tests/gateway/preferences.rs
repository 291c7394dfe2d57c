//! Backups, zones, slow starts and the fastest endpoint: who is preferred while there is a choice.

use std::time::Duration;

use http::Response;

use crate::support::{Backend, Gw, eventually, full, get, pass};

/// So many GETs, one after the other, all of which must be answered with 200.
async fn ask(gw: &Gw, count: usize) {
    let mut client = gw.h1().await;
    for _ in 0..count {
        assert_eq!(client.reply(get("/")).await.status, 200);
    }
}

#[tokio::test]
async fn a_backup_takes_over_and_gives_back() {
    let primary = Backend::replying(200).await.then(200).then(500).then(500).then(200);
    let backup = Backend::replying(200).await;
    let template = "
        workers: 1
        routes: { all: { cluster: all } }
        clusters:
          all:
            endpoints: ['{0}', { address: '{1}', priority: 1 }]
            slowStart: off
            outlierDetection: { consecutive5xxErrors: 2, baseEjectionTime: 1s }
    ";
    let gw = Gw::with(template, &[&primary, &backup]).await;
    ask(&gw, 2).await;
    assert_eq!((primary.hits(), backup.hits()), (2, 0));
    for _ in 0..2 {
        assert_eq!(gw.get("/").await.status, 500);
    }
    eventually("the backup answers", || async {
        ask(&gw, 1).await;
        backup.hits() > 0
    })
    .await;
    eventually("the primary is back", || async {
        ask(&gw, 1).await;
        primary.hits() > 4
    })
    .await;
    // A worker may go by what it knew for a moment.
    pass(Duration::from_millis(100)).await;
    let before = backup.hits();
    ask(&gw, 20).await;
    assert_eq!(backup.hits(), before, "it has given back");
    let panic = gw.metric("attache_cluster_panic", &[("cluster", "all")]);
    assert_eq!(panic.await, 0.0);
}

#[tokio::test]
async fn a_retry_goes_to_the_backup_rather_than_back() {
    let backup = Backend::replying(200).await;
    let dead = crate::support::refusing();
    let template = "
        routes: { all: { endpoints: ['{0}', { address: '{1}', priority: 1 }] } }
    ";
    let gw = Gw::with(template, &[&dead, &backup]).await;
    ask(&gw, 3).await;
    assert_eq!(backup.hits(), 3);
}

#[tokio::test]
async fn the_gateways_own_zone_is_preferred_while_it_works() {
    for (zones, elsewhere) in [("prefer", false), ("ignore", true)] {
        let near = Backend::replying(200).await;
        let far = Backend::replying(200).await;
        let template = format!(
            "
        zone: a
        workers: 1
        routes: {{ all: {{ cluster: all }} }}
        clusters:
          all:
            zones: {zones}
            slowStart: off
            loadBalancer: round-robin
            outlierDetection: {{ consecutive5xxErrors: 1, baseEjectionTime: 60s }}
            endpoints:
              - {{ address: '{{0}}', labels: {{ zone: a }} }}
              - {{ address: '{{1}}', labels: {{ zone: b }} }}
    "
        );
        let gw = Gw::with(&template, &[&near, &far]).await;
        ask(&gw, 10).await;
        assert_eq!(far.hits() > 0, elsewhere, "zones: {zones}");
        let near = near.then(500);
        // Its last answer is repeated, and the one before it has been given.
        eventually("the other zone answers", || async {
            gw.get("/").await;
            far.hits() >= 10
        })
        .await;
        let before = near.hits();
        ask(&gw, 10).await;
        assert_eq!(near.hits(), before);
    }
}

#[tokio::test]
async fn an_endpoint_that_joins_starts_slowly() {
    for (slow_start, fewest, most) in [("1h", 5, 110), ("off", 150, 250)] {
        let (first, second) = (Backend::replying(200).await, Backend::replying(200).await);
        let template = |endpoints: &str| {
            format!(
                "workers: 1\nroutes: {{ all: {{ cluster: all }} }}\n\
                 clusters: {{ all: {{ endpoints: [{endpoints}], loadBalancer: random, slowStart: {slow_start} }} }}"
            )
        };
        let mut gw = Gw::with(&template("'{0}'"), &[&first, &second]).await;
        ask(&gw, 5).await;
        gw.reload(&template("'{0}', '{1}'"), &[&first, &second]).await.unwrap();
        ask(&gw, 400).await;
        // A tenth against one: 36 of 400.
        let share = second.hits();
        assert!((fewest..most).contains(&share), "slowStart: {slow_start}: {share} of 400");
    }
}

#[tokio::test]
async fn peak_ewma_prefers_the_fast_endpoint() {
    let slow = Backend::handling(|_| async {
        pass(Duration::from_millis(500)).await;
        Response::new(full("slow"))
    })
    .await;
    let fast = Backend::replying(200).await;
    let template = "
        workers: 1
        routes: { all: { cluster: all } }
        clusters: { all: { endpoints: ['{0}', '{1}'], loadBalancer: peak-ewma } }
    ";
    let gw = Gw::with(template, &[&slow, &fast]).await;
    ask(&gw, 100).await;
    assert!(slow.hits() <= 5, "{} of 100 went to the slow one", slow.hits());
}
