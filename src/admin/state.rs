//! What a dashboard shows, in one answer: made at most once a second however many look, and only while somebody does.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::control::AdminControl;
use super::rollouts;
use super::view::{self, agents, certificates, clusters, errors, routes};
use crate::snapshot::Snapshot;

/// The state of this second, as JSON.
pub(super) async fn now(control: &AdminControl) -> Arc<str> {
    let make = || async {
        let asked = control.clone();
        let made = tokio::task::spawn_blocking(move || Arc::<str>::from(whole(&asked).to_string())).await;
        made.unwrap_or_else(|_broke| Arc::from("{}"))
    };
    control.state.get(FRESH, make).await
}

/// Health, and how the configuration stands.
fn status(control: &AdminControl) -> Value {
    let health = control.health.report();
    json!({
        "now": view::now(),
        "version": health.version,
        "status": health.status,
        "ready": health.ready,
        "checks": health.checks,
        "configHash": health.config_hash,
        "lastReload": control.journal.entries().first(),
        "lastChange": control.journal.last_change(),
        "lastRefused": control.journal.last_refused(),
    })
}

/// The same with the clusters.
pub(super) fn with_clusters(control: &AdminControl) -> Value {
    let mut status = status(control);
    let clusters: Vec<_> = control.hub.current().clusters.iter().map(|cluster| cluster.status()).collect();
    if let Some(fields) = status.as_object_mut() {
        fields.insert("clusters".to_owned(), json!(clusters));
    }
    status
}

fn whole(control: &AdminControl) -> Value {
    let snapshot = control.hub.current();
    let (rates, streams) = (control.traffic.rates(), &control.live.streams);
    let mut state = status(control);
    let parts = json!({
        "lastChangeLines": control.journal.last_change().map(|last| last.difference.lines()).unwrap_or_default(),
        "writes": snapshot.config.admin.as_ref().map(|admin| admin.writes.word()),
        "listeners": listeners(&snapshot, &rates.connections),
        "total": rates.all,
        "point": control.traffic.last_point(),
        "streams": rates.streams.values().sum::<i64>(),
        "inFlight": rates.in_flight.values().sum::<i64>(),
        "routes": routes::list(&snapshot, &rates, SHOWN, |_| true),
        "clusters": clusters::list(&snapshot, &rates, streams, SHOWN, |_| true),
        "rollouts": rollouts::list(&snapshot),
        "agents": agents::list(&snapshot, SHOWN),
        "errors": errors::list(&control.live.errors, ERRORS, |_| true),
        "certificates": certificates::list(&control.metrics, SystemTime::now()),
    });
    if let (Value::Object(state), Value::Object(parts)) = (&mut state, parts) {
        state.extend(parts);
    }
    state
}

fn listeners(snapshot: &Snapshot, connections: &std::collections::BTreeMap<Box<str>, i64>) -> Vec<Value> {
    let listeners = snapshot.config.listeners.iter().take(SHOWN);
    listeners
        .map(|listener| {
            json!({
                "name": listener.name,
                "address": listener.address.to_string(),
                "tls": listener.tls.is_some(),
                "redirects": listener.https_redirect.is_some(),
                "connections": connections.get(listener.name.as_str()).copied().unwrap_or_default(),
            })
        })
        .collect()
}

/// Takes in the counts of the metrics again and again, for the rates; and ends what operators chose for a while.
pub(super) async fn keep(control: &AdminControl) {
    loop {
        let (metrics, traffic) = (Arc::clone(&control.metrics), Arc::clone(&control.traffic));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // With thousands of endpoints this takes long enough to keep a probe waiting.
        let noted = tokio::task::spawn_blocking(move || traffic.note(metrics.traffic(), Instant::now(), wall)).await;
        if let Err(broken) = noted {
            tracing::error!(error = %broken, "the rates of the traffic could not be made");
        }
        control.live.log_level.tick(Instant::now());
        tokio::time::sleep(super::traffic::INTERVAL).await;
    }
}

/// How old a state may be.
const FRESH: Duration = Duration::from_millis(900);
/// Routes, clusters and agents that are shown.
const SHOWN: usize = 200;
/// Causes of errors that are shown.
const ERRORS: usize = 30;
