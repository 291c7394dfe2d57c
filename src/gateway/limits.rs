//! Clients that nothing is held against any more are forgotten, about once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Sweeps the tables of `snapshot`, for ever or until there is nothing to sweep.
pub(super) async fn sweep(snapshot: Arc<Snapshot>, metrics: Arc<Metrics>) {
    while !snapshot.limits.is_empty() {
        sleep(INTERVAL).await;
        let (swept, metrics) = (Arc::clone(&snapshot), Arc::clone(&metrics));
        // A million clients take long enough to keep a probe waiting.
        let done = tokio::task::spawn_blocking(move || swept.limits.sweep(&metrics));
        if done.await.is_err() {
            tracing::error!("sweeping rate limits failed");
        }
    }
}

/// Time between two sweeps.
const INTERVAL: Duration = Duration::from_secs(1);
