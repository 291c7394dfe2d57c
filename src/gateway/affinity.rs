//! What agents hold is forgotten in time and counted, about once a second.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cluster::{Affinity, Cluster};
use crate::observe::metrics::Metrics;

/// Sweeps the table and shows in metrics what it holds, for ever.
pub(super) async fn watch(clusters: Arc<[Arc<Cluster>]>, table: Arc<Affinity>, metrics: Arc<Metrics>) {
    let mut shows_nothing = false;
    loop {
        // Where there are no agents there is nothing to do but to look once more after the last id is gone.
        if !(shows_nothing && table.is_empty()) {
            let (clusters, table, metrics) = (Arc::clone(&clusters), Arc::clone(&table), Arc::clone(&metrics));
            // To go through 200,000 ids takes long enough to keep a probe waiting.
            let done = tokio::task::spawn_blocking(move || look(&clusters, &table, &metrics, Instant::now()));
            let done = done.await;
            if done.is_err() {
                tracing::error!("sweeping the table of tasks failed");
            }
            shows_nothing = done.unwrap_or(false);
        }
        sleep(INTERVAL).await;
    }
}

/// Says whether there was nothing to show.
fn look(clusters: &[Arc<Cluster>], table: &Affinity, metrics: &Metrics, now: Instant) -> bool {
    table.sweep(now);
    let (ids, active) = (table.len(), table.active_tasks(now));
    metrics.affinity_ids().set_count(ids);
    for cluster in clusters {
        let tasks = cluster.note_tasks(&active, now);
        metrics.show_active_tasks(&cluster.name, tasks.active);
        if tasks.cut > 0 {
            metrics.tasks_cut(&cluster.name).inc_by(tasks.cut as u64);
        }
    }
    ids == 0 && active.is_empty()
}

/// Time between two looks, and so the age of what the metrics show.
const INTERVAL: Duration = Duration::from_secs(1);
