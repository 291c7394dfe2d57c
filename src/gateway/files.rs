//! The files a gateway follows: read again when they change, and the last good state of them kept for a start when they are broken.

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::{self, Receiver, Sender};
use tokio::time::sleep;

use crate::admin::control::{Control, NotDone};
use crate::admin::journal::Trigger;
use crate::config::model::Reload;
use crate::config::{Seen, watch::changed};

/// Where the configuration comes from, and what the watch looks at.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) path: PathBuf,
    looking_at: Sender<Look>,
}

/// What is watched, and how.
#[derive(Clone, Debug)]
struct Look {
    settings: Reload,
    seen: Arc<Seen>,
}

/// The task that watches.
type Watching = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Following {
    /// Begins to follow, and what makes the task that watches.
    pub(super) fn new(
        path: PathBuf,
        settings: Reload,
        seen: Seen,
        control: Control,
    ) -> (Self, impl Fn() -> Watching + Send + Sync + 'static) {
        let seen = Arc::new(seen);
        let (looking_at, told) = watch::channel(Look { settings, seen });
        let begin = move || -> Watching { Box::pin(watch(told.clone(), control.clone())) };
        (Self { path, looking_at }, begin)
    }

    /// Watches what was read last, with the settings in force.
    pub(super) fn look_at(&self, settings: &Reload, seen: Seen) {
        self.looking_at.send_replace(Look {
            settings: settings.clone(),
            seen: Arc::new(seen),
        });
    }
}

/// Asks for a reload whenever what was read last has another content, whatever became of it.
async fn watch(mut told: Receiver<Look>, control: Control) {
    loop {
        let look = told.borrow_and_update().clone();
        let change = async {
            if look.settings.watch {
                changed(&look.settings, &look.seen).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            told = told.changed() => match told {
                Ok(()) => continue,
                Err(_gone) => return,
            },
            () = change => {}
        }
        match control.reload(Trigger::Watch).await {
            // The next look is told by then.
            Ok(_) => {}
            Err(NotDone::Busy) => sleep(BUSY).await,
            Err(NotDone::Stopping) => return,
        }
    }
}

/// Writes a text beside its final name and renames it, so that a crash leaves the old one or the new one, and so do two that write at
/// once. Readable by its owner only: a configuration may hold what others should not read.
pub(super) fn keep(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    let temporary = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        std::fs::remove_file(&temporary).ok();
    }
    written
}

/// Before a look again, when others wait for the gateway already.
const BUSY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_that_write_at_once_leave_one_text_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let texts = ["short".to_owned(), "long".repeat(10_000)];
        std::thread::scope(|scope| {
            for text in &texts {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| keep(path, text).unwrap()));
            }
            for _ in 0..200 {
                if let Ok(found) = std::fs::read_to_string(&path) {
                    assert!(texts.contains(&found), "{} bytes", found.len());
                }
            }
        });
        let left = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }
}
