//! What providers remember and who waits for them is shown in metrics, about once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Shows it for ever, or ends where no provider of `snapshot` remembers anything.
pub(super) async fn show(snapshot: Arc<Snapshot>, metrics: Arc<Metrics>) {
    while snapshot.auth.loads().next().is_some() {
        for (provider, remembered, waiting) in snapshot.auth.loads() {
            metrics.auth_remembered(provider).set_count(remembered);
            metrics.auth_waiting(provider).set_count(waiting);
        }
        sleep(INTERVAL).await;
    }
}

/// The age of what the metrics show, at most.
const INTERVAL: Duration = Duration::from_secs(1);
