//! Moves the weights of splits as time passes, and keeps a record of how far each rollout is so that a restart goes on
//! there.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::files::Owned;
use crate::config::model::Action;
use crate::config::read_regular;
use crate::observe::metrics::Metrics;
use crate::route::rollout::{Event, Millis, Now, RolloutControl, Saved};
use crate::snapshot::{Hub, Snapshot, now};

/// What the state file holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct StateFile<S = Saved> {
    version: u32,
    /// When it was written, in milliseconds since 1970.
    at: Millis,
    rollouts: BTreeMap<String, S>,
}

/// Read before the rest, which another version may have otherwise.
#[derive(Debug, Deserialize)]
struct Version {
    version: u32,
}

/// Goes on where the state file says. A file that cannot be read is reported and replaced in time.
pub(super) fn restore(snapshot: &Snapshot, file: Option<&Path>) {
    let Some(file) = file else { return };
    let now = now();
    let record = match read(file, now.wall) {
        Ok(Some(record)) => record,
        Ok(None) => return,
        Err(error) => {
            put_aside(file);
            tracing::warn!(file = %file.display(), %error, "the state file cannot be used; rollouts begin anew");
            return;
        }
    };
    for (route, control) in splits(snapshot) {
        let Some(saved) = record.rollouts.get(route) else {
            continue;
        };
        let saved = match Saved::deserialize(saved) {
            Ok(saved) => saved,
            // It costs no other rollout its place.
            Err(error) => {
                tracing::warn!(route, file = %file.display(), %error, "rollout begins anew: its state cannot be read");
                continue;
            }
        };
        if control.restore(&saved, record.at, now) {
            tracing::info!(route, "rollout goes on where it was");
        } else {
            tracing::warn!(route, "rollout begins anew: the configuration changed it, or the state is not plausible");
        }
    }
}

/// Keeps a copy of a file that is about to be written over: it may be somebody else's, or a newer gateway's. Where that
/// has been done before, the first copy stays.
fn put_aside(file: &Path) {
    let mut name = file.as_os_str().to_owned();
    name.push(".unusable");
    let copied = read_regular(file, MAX_STATE).and_then(|text| {
        let mut options = std::fs::OpenOptions::new();
        let mut copy = options.write(true).create_new(true).mode(0o600).open(&name)?;
        copy.write_all(&text)
    });
    match copied {
        Ok(()) => tracing::warn!(copy = %name.display(), "the state file is kept aside"),
        Err(error) => {
            tracing::warn!(copy = %name.display(), %error, "the state file cannot be kept aside");
        }
    }
}

/// Whether a file is there that is no state file, of whatever version. An empty one is nobody's.
fn is_foreign(file: &Path) -> io::Result<bool> {
    let text = match read_regular(file, MAX_STATE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let is_ours = serde_json::from_slice::<StateFile<serde_json::Value>>(&text).is_ok();
    Ok(!(text.is_empty() || is_ours))
}

/// The rollouts as they stand there: one that is not understood costs no other its place.
fn read(file: &Path, now: Millis) -> io::Result<Option<StateFile<serde_json::Value>>> {
    let text = match read_regular(file, MAX_STATE) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Version { version } = serde_json::from_slice(&text).map_err(io::Error::other)?;
    if version != VERSION {
        let why = format!("it has version {version}, and this gateway knows {VERSION}");
        return Err(io::Error::other(why));
    }
    let record: StateFile<serde_json::Value> = serde_json::from_slice(&text).map_err(io::Error::other)?;
    if record.at > now.saturating_add(MAX_AHEAD) {
        let why = "it was written more than a year from now, by this machine's clock";
        return Err(io::Error::other(why));
    }
    Ok(Some(record))
}

/// Logs which rollouts a reload restarted, and which settings of operators it dropped.
pub(super) fn announce(before: &Snapshot, after: &Snapshot) {
    for (route, control) in after.config.routes.iter().zip(&after.splits) {
        if let (Action::Split(split), Some(control)) = (&route.action, control) {
            control.go_on(split, after.cookie_key());
        }
    }
    let stays: BTreeMap<&str, &Arc<RolloutControl>> = splits(after).collect();
    let known: BTreeMap<&str, &Arc<RolloutControl>> = splits(before).collect();
    let same = |one: Option<&&Arc<RolloutControl>>, other: &Arc<RolloutControl>| {
        one.is_some_and(|one| Arc::ptr_eq(one, other))
    };
    for (route, control) in &known {
        if let Some(held) = control.held()
            && !same(stays.get(route), control)
        {
            let (weight, cluster, by) = (held.weight, held.cluster, held.by);
            tracing::info!(
                route,
                kind = "released",
                "the share {weight} of {cluster} set by {by} ended: the file changed the route"
            );
        }
    }
    for (route, control) in splits(after).filter(|(_, control)| control.has_rollout()) {
        match known.get(route) {
            Some(known) if Arc::ptr_eq(known, control) => {}
            Some(_) => tracing::info!(route, "rollout begins anew: the file changed it"),
            None => tracing::info!(route, "rollout begins"),
        }
    }
}

/// Runs until `stop`, and then writes the state once more with the operators' last changes.
pub(super) async fn run(hub: Arc<Hub>, metrics: Arc<Metrics>, stop: CancellationToken) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut book = Book::default();
    loop {
        let stopped = tokio::select! {
            _ = ticks.tick() => false,
            () = stop.cancelled() => true,
        };
        let now = now();
        let snapshot = hub.current();
        for (route, control) in splits(&snapshot) {
            report(route, &control.tick(now), &metrics);
            show(route, control, &metrics);
        }
        if let Some(file) = snapshot.config.state_file.clone() {
            let record = record(&snapshot, now);
            let waits = splits(&snapshot).any(|(_, control)| control.is_waiting());
            drop(snapshot);
            book.keep(file, record, waits, stopped).await;
        }
        if stopped {
            return;
        }
    }
}

/// The last text for the state file, written or not.
#[derive(Debug, Default)]
struct Book {
    last: Option<(PathBuf, StateFile)>,
    failed: bool,
    owned: Arc<Mutex<Owned>>,
}

impl Book {
    /// Writes a new state. A state that `ages`, or that could not be written, is written again after a while, or at the
    /// `end`.
    async fn keep(&mut self, file: PathBuf, record: StateFile, ages: bool, end: bool) {
        let new = self.last.as_ref().is_none_or(|(known, last)| *known != file || last.rollouts != record.rollouts);
        let old = self.last.as_ref().is_some_and(|(_, last)| last.at.abs_diff(record.at) >= AGAIN);
        if !(new || (ages || self.failed) && (old || end)) {
            return;
        }
        let written = self.write(&file, &record).await;
        if let Err(error) = &written
            && (new || !self.failed)
        {
            tracing::warn!(file = %file.display(), %error, "the state file cannot be written");
        }
        self.failed = written.is_err();
        self.last = Some((file, record));
    }

    /// Replaces the file in one step, if no other gateway writes it.
    async fn write(&self, file: &Path, record: &StateFile) -> io::Result<()> {
        let text = serde_json::to_string_pretty(record).map_err(io::Error::other)?;
        let (file, owned) = (file.to_owned(), Arc::clone(&self.owned));
        let write = move || {
            let mut owned = owned.lock().unwrap_or_else(PoisonError::into_inner);
            let is_link = file.symlink_metadata().is_ok_and(|there| there.is_symlink());
            // A link may have been turned since the file was read at the start.
            if is_link && is_foreign(&file)? {
                return Err(io::Error::other("it leads to a file that was not written by attache"));
            }
            owned.keep(&file, &text)
        };
        spawn_blocking(write).await?
    }
}

fn report(route: &str, events: &[Event], metrics: &Metrics) {
    for event in events {
        metrics.rollout_events(route, event.kind).inc();
        let (kind, message) = (event.kind, event.message.as_str());
        match kind {
            "rolled_back" | "measurement_failed" | "paused" => {
                tracing::warn!(route, kind, "{message}");
            }
            _ => tracing::info!(route, kind, "{message}"),
        }
    }
}

fn show(route: &str, control: &RolloutControl, metrics: &Metrics) {
    if let Some((phase, step, percent)) = control.position() {
        metrics.rollout(route, phase.name(), step, percent);
    }
}

fn splits(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &Arc<RolloutControl>)> {
    let routes = snapshot.config.routes.iter().zip(&snapshot.splits);
    routes.filter_map(|(route, control)| Some((route.name.as_str(), control.as_ref()?)))
}

fn record(snapshot: &Snapshot, now: Now) -> StateFile {
    StateFile {
        version: VERSION,
        at: now.wall,
        rollouts: splits(snapshot).map(|(route, control)| (route.to_owned(), control.saved())).collect(),
    }
}

/// Of the state file.
const VERSION: u32 = 1;
/// Size of a state file; thousands of rollouts fit.
const MAX_STATE: usize = 16 << 20;
/// Milliseconds that a state file may be ahead of the clock, which may have been set back: a year.
const MAX_AHEAD: Millis = 366 * 24 * 3600 * 1000;
/// How often it looks at the clock.
const TICK: Duration = Duration::from_millis(200);
/// Milliseconds until the state file is written again though nothing happened: as much of a pause is lost by a crash.
const AGAIN: Millis = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(second: u64, changed: bool) -> StateFile {
        let saved = Saved { fingerprint: "1".to_owned(), progress: None, held: None };
        StateFile {
            version: 1,
            at: second * 1000,
            rollouts: changed.then(|| ("r".to_owned(), saved)).into_iter().collect(),
        }
    }

    #[test]
    fn a_state_file_is_believed_only_so_far() {
        let directory = tempfile::TempDir::new().unwrap();
        let file = directory.path().join("state.json");
        for (text, expected) in [
            ("{\"version\":1,\"at\":5,\"rollouts\":{}}", None),
            ("{\"version\":99,\"at\":5,\"other\":{}}", Some("version 99")),
            ("{\"version\":1,\"at\":99999999999999,\"rollouts\":{}}", Some("more than a year")),
            ("{\"version\":1,\"at\":-5,\"rollouts\":{}}", Some("invalid value")),
            ("{", Some("EOF")),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = read(&file, 1000).err().map(|error| error.to_string());
            let fits = match (&error, expected) {
                (None, None) => true,
                (Some(error), Some(expected)) => error.contains(expected),
                _ => false,
            };
            assert!(fits, "{text}: {error:?}");
        }
        assert!(read(Path::new("/dev/zero"), 0).is_err(), "a device never ends");
        assert!(read(&directory.path().join("absent"), 0).unwrap().is_none());
    }

    #[tokio::test]
    async fn what_changed_ages_or_failed_is_written() {
        let directory = tempfile::TempDir::new().unwrap();
        let place = || directory.path().join("state.json");
        let written = || read(&place(), 0).unwrap().map(|record| record.at / 1000);
        let mut book = Book::default();
        for (second, changed, ages, end, expected) in [
            (1, false, false, false, 1),
            (2, false, false, false, 1),
            (30, false, false, true, 1),
            (31, true, false, false, 31),
            (32, true, true, false, 31),
            (41, true, true, false, 41),
            (42, true, true, true, 42),
        ] {
            book.keep(place(), record(second, changed), ages, end).await;
            assert_eq!(written(), Some(expected), "{second}");
        }
        std::fs::remove_file(place()).unwrap();
        std::fs::create_dir(place()).unwrap();
        book.keep(place(), record(50, false), false, false).await;
        std::fs::remove_dir(place()).unwrap();
        for (second, expected) in [(51, None), (60, Some(60))] {
            book.keep(place(), record(second, false), false, false).await;
            assert_eq!(written(), expected, "tried again after a while");
        }
    }
}
