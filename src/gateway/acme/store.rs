//! What is kept of one directory: the account, the certificates with their keys, and when the next attempt may be made.
//! Only the gateway that has the lock writes; others serve what they find.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::schedule::WEEK;
use crate::config::read_regular;
use crate::gateway::files::{claim, replace};

/// The files of one directory, which nobody else writes.
#[derive(Debug)]
pub(super) struct Store {
    place: PathBuf,
    _lock: File,
}

/// How attempts for one name went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// In a row.
    pub(super) failures: u32,
    /// No attempt before this time, in seconds since 1970.
    pub(super) not_before: i64,
}

impl Store {
    /// Takes the lock.
    pub(super) fn open(place: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(place)?;
        let lock = claim(&place.join("lock"))?;
        Ok(Self { place: place.to_owned(), _lock: lock })
    }

    /// Does what may wait for the disk elsewhere. The lock is held to the end of it, also when nobody waits for that.
    pub(super) async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let store = Arc::clone(self);
        on_disk(move || work(&store)).await
    }

    /// The account, as it was written; `None` where none was. One that cannot be read is not one that is not there.
    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        match read_regular(&self.account_file(), MAX_FILE) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn keep_account(&self, text: &str) -> io::Result<()> {
        replace(&self.account_file(), text)
    }

    /// Forgets the account, which the authority does not know any more.
    pub(super) fn forget_account(&self) -> io::Result<()> {
        fs::remove_file(self.account_file())
    }

    /// How attempts for this name went. A file that is there and cannot be read is no reason to make more of them, and
    /// one that was written while the clock was wrong stops them for a week at most.
    pub(super) fn attempts(&self, domain: &str, now: i64) -> Attempts {
        let unknown = Attempts { failures: 1, not_before: now.saturating_add(UNKNOWN) };
        let known = match read_regular(&self.attempts_file(domain), MAX_FILE) {
            Ok(text) => std::str::from_utf8(&text).ok().and_then(parse).unwrap_or(unknown),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Attempts::default(),
            Err(_) => unknown,
        };
        Attempts { not_before: known.not_before.min(now.saturating_add(WEEK)), ..known }
    }

    pub(super) fn keep_attempts(&self, domain: &str, attempts: Attempts) -> io::Result<()> {
        replace(&self.attempts_file(domain), &format!("{} {}\n", attempts.failures, attempts.not_before))
    }

    fn account_file(&self) -> PathBuf {
        self.place.join("account.json")
    }

    fn attempts_file(&self, domain: &str) -> PathBuf {
        self.place.join(format!("{domain}.attempts"))
    }
}

/// Does what may wait for the disk on a thread that may. A panic there is one here.
pub(super) async fn on_disk<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => match broken.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

fn parse(text: &str) -> Option<Attempts> {
    let (failures, not_before) = text.trim().split_once(' ')?;
    Some(Attempts { failures: failures.parse().ok()?, not_before: not_before.parse().ok()? })
}

/// Size of a file with an account.
const MAX_FILE: usize = 1 << 20;
/// Until the next attempt, where nobody knows how the last one went; in seconds.
const UNKNOWN: i64 = 3600;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn attempts_are_remembered_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("deep/ca.example");
        let store = Store::open(&place).unwrap();
        assert_eq!(store.attempts("a.example", 5), Attempts::default());
        let attempts = Attempts { failures: 3, not_before: 100_000 };
        store.keep_attempts("a.example", attempts).unwrap();
        drop(store);
        let store = Store::open(&place).unwrap();
        assert_eq!(store.attempts("a.example", 5), attempts);
        assert_eq!(store.attempts("a.example", -WEEK).not_before, 0, "the clock was wrong");
        fs::write(place.join("a.example.attempts"), "nonsense").unwrap();
        assert_eq!(store.attempts("a.example", 5), Attempts { failures: 1, not_before: 3605 });
    }

    #[test]
    fn one_gateway_writes_and_nobody_else_reads() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("ca.example");
        let store = Store::open(&place).unwrap();
        let refused = Store::open(&place).unwrap_err();
        assert!(refused.to_string().starts_with("another gateway writes it"), "{refused}");
        store.keep_account("{}").unwrap();
        replace(&place.join("a.pem"), "key").unwrap();
        for (file, mode) in [("", 0o700), ("account.json", 0o600), ("a.pem", 0o600), ("lock", 0o600)] {
            let found = fs::metadata(place.join(file)).unwrap().permissions().mode() & 0o777;
            assert_eq!(found, mode, "{file}");
        }
        assert_eq!(store.account().unwrap().as_deref(), Some(&b"{}"[..]));
        store.forget_account().unwrap();
        assert_eq!(store.account().unwrap(), None);
        fs::create_dir(place.join("account.json")).unwrap();
        store.account().expect_err("there is something");
        drop(store);
        Store::open(&place).unwrap();
    }
}
