//! Waits until the files of a configuration have another content. The directories are watched and not the files,
//! because a ConfigMap is swapped by renaming a link and many editors rename too; a watch on the file would go silent.
//! What is reported only wakes the comparison of contents, so neither a missed nor a needless report does harm.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::config::Inputs;
use crate::config::model::Reload;

/// A busy directory delays the look at most this many times the debounce.
const LONGEST_DELAY: u32 = 8;

/// Resolves when anything of `inputs` is different, and not before it has been quiet for the debounce. Dropping the
/// future ends the watch.
pub(super) async fn changed(settings: &Reload, inputs: &Arc<Inputs>) {
    let mut is_told = false;
    loop {
        // Before the first look: what happens in between is then reported.
        let watch = Watch::start(inputs, &mut is_told);
        if differs(inputs).await {
            watch.quiet(settings.debounce).await;
            return;
        }
        // A directory may have been replaced by one of the same name, so each poll watches anew.
        let until_poll = async {
            match settings.poll {
                Some(poll) => sleep(poll).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(until_poll);
        loop {
            tokio::select! {
                () = &mut until_poll => break,
                () = watch.poked.notified() => {}
            }
            watch.quiet(settings.debounce).await;
            if differs(inputs).await {
                return;
            }
            if watch.is_incomplete(inputs) {
                break;
            }
        }
    }
}

async fn differs(inputs: &Arc<Inputs>) -> bool {
    let inputs = Arc::clone(inputs);
    // A look that panics is as good as a change: the load that follows will tell.
    tokio::task::spawn_blocking(move || inputs.has_changed()).await.unwrap_or(true)
}

struct Watch {
    poked: Arc<Notify>,
    watched: Vec<(PathBuf, Option<Identity>)>,
    /// Ends with this.
    _watcher: Option<RecommendedWatcher>,
}

/// Device and number of a directory.
type Identity = (u64, u64);

impl Watch {
    /// What keeps it from watching is warned of unless somebody `is_told`: it is tried again with every poll.
    fn start(inputs: &Inputs, is_told: &mut bool) -> Self {
        let mut complain = |error: &notify::Error| {
            if std::mem::replace(is_told, true) {
                tracing::debug!(%error, "files cannot be watched, only polled");
            } else {
                tracing::warn!(%error, "files cannot be watched, only polled");
            }
        };
        let poked = Arc::new(Notify::new());
        let poke = Arc::clone(&poked);
        let report = move |event: notify::Result<notify::Event>| {
            if event.as_ref().map_or(true, matters) {
                poke.notify_one();
            }
        };
        let mut watcher = notify::recommended_watcher(report).inspect_err(&mut complain).ok();
        let directories = inputs.watched().into_iter();
        let watched = directories.map(|path| {
            let identity = identity(&path);
            if let Some(watcher) = &mut watcher
                && let Err(error) = watcher.watch(&path, RecursiveMode::NonRecursive)
            {
                complain(&error);
            }
            (path, identity)
        });
        Self { watched: watched.collect(), poked, _watcher: watcher }
    }

    /// Waits until nothing was reported for as long as `debounce`.
    async fn quiet(&self, debounce: Duration) {
        let settle = async { while timeout(debounce, self.poked.notified()).await.is_ok() {} };
        timeout(debounce * LONGEST_DELAY, settle).await.ok();
    }

    /// Whether a directory is another one than the one that is watched, or a link leads elsewhere.
    fn is_incomplete(&self, inputs: &Inputs) -> bool {
        let now = inputs.watched();
        now.len() != self.watched.len()
            || self.watched.iter().any(|(path, before)| !now.contains(path) || identity(path) != *before)
    }
}

fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

/// Reading is no change; reacting to it would make every look cause the next.
fn matters(event: &notify::Event) -> bool {
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
