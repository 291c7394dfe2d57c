//! Clients that are blocked: what has ended is forgotten, about once a second, and the rest is counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::config::model::AuthFailures;
use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Tidies up for ever.
pub(super) async fn watch(snapshot: Arc<Snapshot>, metrics: Arc<Metrics>) {
    loop {
        let (swept, metrics) = (Arc::clone(&snapshot), Arc::clone(&metrics));
        // A million clients take long enough to keep a probe waiting.
        let done = tokio::task::spawn_blocking(move || sweep(&swept, &metrics, Instant::now()));
        if done.await.is_err() {
            tracing::error!("sweeping blocked clients failed");
        }
        sleep(INTERVAL).await;
    }
}

fn sweep(snapshot: &Snapshot, metrics: &Metrics, now: Instant) {
    let (config, abuse) = (&snapshot.config, &snapshot.abuse);
    abuse.blocks.sweep(now);
    // Where nothing is counted any more, what was counted ends by and by.
    let usual = AuthFailures::default();
    abuse.failures.sweep(config.auth_failures.as_deref().unwrap_or(&usual), now);
    metrics.blocks("configuration").set_count(config.block_list.networks.given());
    metrics.blocks("operator").set_count(abuse.blocks.len());
    metrics.blocks("failures").set_count(abuse.failures.count_blocked(now));
    metrics.auth_failing_clients().set_count(abuse.failures.clients());
    metrics.auth_failures_overflowed().inc_by(abuse.failures.take_overflowed());
}

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);
