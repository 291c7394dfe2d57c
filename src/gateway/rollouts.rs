//! Moves the weights of splits as time passes, and keeps a record of how far each rollout is so that a restart goes on there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::files::keep;
use crate::observe::metrics::Metrics;
use crate::route::rollout::{Control, Event, Saved};
use crate::snapshot::{Hub, Snapshot, now};

/// What the state file holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    version: u32,
    rollouts: BTreeMap<String, Saved>,
}

/// Goes on where the state file says. A file that cannot be read is reported and replaced in time.
pub(super) fn restore(snapshot: &Snapshot, file: Option<&Path>) {
    let Some(file) = file else { return };
    let record: Record = match read(file) {
        Ok(Some(record)) => record,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the state file cannot be read; rollouts begin anew");
            return;
        }
    };
    for (route, control) in splits(snapshot) {
        let Some(saved) = record.rollouts.get(route) else {
            continue;
        };
        if control.restore(saved) {
            tracing::info!(route, "rollout goes on where it was");
        } else {
            tracing::info!(route, "rollout begins anew: the file changed it");
        }
    }
}

fn read(file: &Path) -> io::Result<Option<Record>> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    serde_json::from_slice(&text)
        .map(Some)
        .map_err(io::Error::other)
}

/// Says which rollouts a reload began anew.
pub(super) fn announce(before: &Snapshot, after: &Snapshot) {
    let known: BTreeMap<&str, &Arc<Control>> = splits(before).collect();
    for (route, control) in splits(after).filter(|(_, control)| control.has_rollout()) {
        match known.get(route) {
            Some(known) if Arc::ptr_eq(known, control) => {}
            Some(_) => tracing::info!(route, "rollout begins anew: the file changed it"),
            None => tracing::info!(route, "rollout begins"),
        }
    }
}

/// Runs until dropped.
pub(super) async fn run(hub: Arc<Hub>, metrics: Arc<Metrics>, file: Option<PathBuf>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut written = None;
    loop {
        ticks.tick().await;
        let record = {
            let snapshot = hub.current();
            for (route, control) in splits(&snapshot) {
                report(route, &control.tick(now()), &metrics);
                show(route, control, &metrics);
            }
            file.as_ref().map(|_| record(&snapshot))
        };
        if let (Some(file), Some(record)) = (&file, record)
            && written.as_ref() != Some(&record)
        {
            if let Err(error) = write(file, &record).await {
                tracing::warn!(file = %file.display(), %error, "the state file cannot be written");
            }
            // Also after a failure: the next change tries again, not the next tick.
            written = Some(record);
        }
    }
}

fn report(route: &str, events: &[Event], metrics: &Metrics) {
    for event in events {
        metrics.rollout_event(route, event.kind);
        let (kind, message) = (event.kind, event.message.as_str());
        match kind {
            "rolled-back" | "measurement-failed" | "paused" => {
                tracing::warn!(route, kind, "{message}");
            }
            _ => tracing::info!(route, kind, "{message}"),
        }
    }
}

fn show(route: &str, control: &Control, metrics: &Metrics) {
    if let Some((phase, step, percent)) = control.position() {
        metrics.rollout(route, phase.name(), step, percent);
    }
}

fn splits(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &Arc<Control>)> {
    let routes = snapshot.config.routes.iter().zip(&snapshot.splits);
    routes.filter_map(|(route, control)| Some((route.name.as_str(), control.as_ref()?)))
}

fn record(snapshot: &Snapshot) -> Record {
    Record {
        version: 1,
        rollouts: splits(snapshot)
            .map(|(route, control)| (route.to_owned(), control.saved()))
            .collect(),
    }
}

/// A reload may begin this anew while the one before is still at it: neither gets into the other's way.
async fn write(file: &Path, record: &Record) -> io::Result<()> {
    let text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
    let file = file.to_owned();
    spawn_blocking(move || keep(&file, &text)).await?
}

/// How often it looks at the clock.
const TICK: Duration = Duration::from_millis(200);
