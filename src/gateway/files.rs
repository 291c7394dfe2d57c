//! The files a gateway writes: each is replaced whole, by one gateway only. One of them is the last good state of the
//! configuration, kept for a start when that is broken.

use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Seek as _, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch::Sender;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::config::{behind_links, is_foreign, lock_of};

/// Writes a text beside its final name and renames it, so that a crash, or two writers at once, leave a complete old or
/// new file. Only its owner can read it, because a configuration may hold secrets. Only a regular file is replaced.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", fastrand::u64(..)));
    let temporary = path.with_file_name(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        fs::remove_file(&temporary).ok();
    }
    written
}

/// A file that only one gateway writes: the one that has the lock beside it. Kept until this is dropped.
#[derive(Debug, Default)]
pub(super) struct Owned(Option<(PathBuf, File)>);

impl Owned {
    /// Puts `text` in the place of the file at `path`.
    pub(super) fn keep(&mut self, path: &Path, text: &str) -> io::Result<()> {
        // All names of a file have one lock, and a link stays one.
        let path = behind_links(path)?;
        let lock = lock_of(&path);
        let is_there = |file| fs::metadata(&lock).is_ok_and(|there| is_same(&there, file));
        let has_it = self.0.as_ref().is_some_and(|(known, file)| *known == path && is_there(file));
        if !has_it {
            self.0 = None;
            self.0 = Some((path.clone(), claim(&lock)?));
        }
        replace(&path, text)
    }
}

fn is_same(there: &Metadata, file: &File) -> bool {
    file.metadata().is_ok_and(|own| (own.dev(), own.ino()) == (there.dev(), there.ino()))
}

/// Takes the lock and writes its owner into the file. The file stays, because another process may wait for it already.
/// A file that is not the lock of a gateway stays as it is.
pub(super) fn claim(lock: &Path) -> io::Result<File> {
    if fs::symlink_metadata(lock).is_ok_and(|there| !there.is_file()) {
        return Err(io::Error::other(format!("{} is no file", lock.display())));
    }
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(lock)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let owner: String = content(&file).chars().filter(|c| !c.is_control()).collect();
            let message = format!("another gateway writes it ({owner})");
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
        }
        // A file system without locks: write without one, as earlier versions did.
        Err(TryLockError::Error(error)) => {
            tracing::debug!(file = %lock.display(), %error, "cannot be locked");
        }
    }
    let before = content(&file);
    if !(before.is_empty() || is_owner(&before)) {
        return Err(io::Error::other(format!("{} is there and no lock of a gateway: move it away", lock.display())));
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let owner = format!("process {} on {}\n", std::process::id(), host.trim());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(owner.as_bytes())?;
    Ok(file)
}

/// The beginning of a lock, which says whose it is.
fn content(file: &File) -> String {
    let mut bytes = Vec::new();
    file.take(MAX_OWNER).read_to_end(&mut bytes).ok();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a gateway wrote this into a lock.
fn is_owner(text: &str) -> bool {
    let owner =
        text.strip_suffix('\n').filter(|line| !line.contains('\n')).and_then(|line| line.strip_prefix("process "));
    let parts = owner.and_then(|owner| owner.split_once(" on "));
    parts.is_some_and(|(process, _)| process.parse::<u32>().is_ok())
}

/// Keeps the last good state. When it cannot be written, tries again until it can.
#[derive(Clone, Debug, Default)]
pub(super) struct Keeper {
    owned: Arc<Mutex<Owned>>,
    waiting: Sender<Option<Arc<Kept>>>,
}

/// Where and what to write down.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    text: String,
}

impl Keeper {
    /// Writes `text` to `path`. A failure is logged, and the write is tried again later.
    pub(super) async fn keep(&self, path: PathBuf, text: String) {
        let kept = Arc::new(Kept { path, text });
        self.waiting.send_replace(Some(Arc::clone(&kept)));
        if let Err(error) = self.write(&kept).await {
            let file = kept.path.display();
            tracing::error!(%file, %error, "reload.lastGoodFile cannot be written; tried again until it can");
        }
    }

    /// Stops keeping it.
    pub(super) fn forget(&self) {
        self.waiting.send_replace(None);
    }

    /// Tries again whatever could not be written. Never ends.
    pub(super) async fn again(self) {
        let mut waiting = self.waiting.subscribe();
        loop {
            if waiting.wait_for(Option::is_some).await.is_err() {
                return;
            }
            sleep(AGAIN).await;
            let kept = waiting.borrow_and_update().clone();
            if let Some(kept) = kept
                && self.write(&kept).await.is_ok()
            {
                tracing::info!(file = %kept.path.display(), "reload.lastGoodFile is written again");
            }
        }
    }

    /// Writes, unless a newer text waits by then.
    async fn write(&self, kept: &Arc<Kept>) -> io::Result<()> {
        let (keeper, kept) = (self.clone(), Arc::clone(kept));
        let write = move || {
            let mut owned = keeper.owned.lock().unwrap_or_else(PoisonError::into_inner);
            let is_it = |waits: &Option<Arc<Kept>>| waits.as_ref().is_some_and(|waits| Arc::ptr_eq(waits, &kept));
            if !is_it(&keeper.waiting.borrow()) {
                return Ok(());
            }
            if is_foreign(&kept.path)? {
                return Err(io::Error::other("it was not written by attache"));
            }
            owned.keep(&kept.path, &kept.text)?;
            keeper.waiting.send_if_modified(|waits| {
                let done = is_it(waits);
                if done {
                    *waits = None;
                }
                done
            });
            Ok(())
        };
        spawn_blocking(write).await?
    }
}

/// Time between two attempts to write.
const AGAIN: Duration = Duration::from_secs(10);
/// No name is longer.
const MAX_OWNER: u64 = 300;

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
                scope.spawn(move || (0..20).for_each(|_| replace(path, text).unwrap()));
            }
            for _ in 0..200 {
                if let Ok(found) = fs::read_to_string(&path) {
                    assert!(texts.contains(&found), "{} bytes", found.len());
                }
            }
        });
        let left = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 1, "nothing is left beside it");
    }

    #[test]
    fn only_one_gateway_writes_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let (mut first, mut second) = (Owned::default(), Owned::default());
        first.keep(&path, "first").unwrap();
        let error = second.keep(&path, "second").unwrap_err().to_string();
        let own = format!("another gateway writes it (process {} on ", std::process::id());
        assert!(error.starts_with(&own), "{error}");
        first.keep(&path, "first again").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "first again");
        drop(first);
        second.keep(&path, "second").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        let other = directory.path().join("other.json");
        second.keep(&other, "second").unwrap();
        Owned::default().keep(&path, "third").unwrap();
        fs::remove_dir_all(directory.path()).unwrap();
        fs::create_dir(directory.path()).unwrap();
        second.keep(&other, "the lock is taken anew").unwrap();
        Owned::default().keep(&other, "").unwrap_err();
    }

    #[test]
    fn what_is_no_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        Owned::default().keep(&path, "text").unwrap_err();
        assert!(std::os::unix::net::UnixStream::connect(&path).is_ok());
        let in_the_way = directory.path().join("state.json.lock");
        std::os::unix::fs::symlink(directory.path().join("other"), in_the_way).unwrap();
        let state = directory.path().join("state.json");
        Owned::default().keep(&state, "text").unwrap_err();
        assert!(!state.exists());
    }

    #[tokio::test(start_paused = true)]
    async fn what_could_not_be_written_is_written_when_it_can() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("later").join("good.yaml");
        let keeper = Keeper::default();
        let again = tokio::spawn(keeper.clone().again());
        keeper.keep(path.clone(), "one".to_owned()).await;
        keeper.keep(path.clone(), "two".to_owned()).await;
        assert!(!path.exists());
        fs::create_dir(directory.path().join("later")).unwrap();
        let mut waiting = keeper.waiting.subscribe();
        waiting.wait_for(Option::is_none).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two");
        again.abort();
    }
}
