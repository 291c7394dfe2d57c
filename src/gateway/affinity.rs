//! What agents hold is forgotten in time and counted, about once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{Affinity, Cluster};
use crate::observe::metrics::Metrics;

/// Sweeps the table and shows in metrics what it holds, for ever.
pub(super) async fn watch(clusters: Arc<[Arc<Cluster>]>, table: Arc<Affinity>, metrics: Arc<Metrics>) {
    let mut was_empty = false;
    loop {
        // Where there are no agents there is nothing to do but to look once more after the last id is gone.
        if !(was_empty && table.is_empty()) {
            was_empty = table.is_empty();
            let (clusters, table, metrics) = (Arc::clone(&clusters), Arc::clone(&table), Arc::clone(&metrics));
            // To go through 200,000 ids takes long enough to keep a probe waiting.
            let done = tokio::task::spawn_blocking(move || look(&clusters, &table, &metrics, Instant::now()));
            if done.await.is_err() {
                tracing::error!("sweeping the table of tasks failed");
            }
        }
        sleep(INTERVAL).await;
    }
}

fn look(clusters: &[Arc<Cluster>], table: &Affinity, metrics: &Metrics, now: Instant) {
    table.sweep(now);
    metrics.affinity_ids().set_count(table.len());
    let active = table.active_tasks(now);
    for cluster in clusters {
        metrics.show_active_tasks(&cluster.name, cluster.note_tasks(&active));
    }
}

/// Time between two looks, and so the age of what the metrics show.
const INTERVAL: Duration = Duration::from_secs(1);
