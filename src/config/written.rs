//! Files that the gateway writes: where they stand behind links, and what must not be written over.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_yaml::Value;

use super::files::{Identity, place, read_regular, target_of};
use super::inputs::Inputs;

/// How a last good file begins.
pub(super) const LAST_GOOD: &str =
    "# The last good configuration, written by attache. It is replaced at each good load.\n";

/// The file that is locked by the process that writes `path`.
#[must_use]
pub fn lock_of(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".lock");
    name.into()
}

/// Where a file stands that is written under this name: behind all links, in its real directory. It may not be there
/// yet.
///
/// # Errors
/// When the links lead nowhere.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut here = path.to_owned();
    let mut links = 0;
    while let Some(target) = target_of(&here) {
        links += 1;
        if links > MAX_LINKS {
            return Err(io::Error::other("its links lead nowhere"));
        }
        here = target;
    }
    Ok(place(&here).unwrap_or(here))
}

/// Whether there is a file that the gateway did not write as its last good file. Such a file must not be replaced. An
/// empty file may be.
///
/// # Errors
/// When it is there and cannot be read.
pub fn is_foreign(path: &Path) -> io::Result<bool> {
    match read_regular(path, MAX_LAST_GOOD) {
        Ok(text) => Ok(!(text.is_empty() || is_last_good(&text))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(true),
        Err(error) => Err(error),
    }
}

/// Version 0.1 wrote no header: what it wrote is what the printer makes of it, which is true of hardly any other file.
fn is_last_good(text: &[u8]) -> bool {
    if text.starts_with(LAST_GOOD.as_bytes()) {
        return true;
    }
    let Some(tree) = serde_yaml::from_slice::<Value>(text).ok().filter(|tree| tree.get("listeners").is_some()) else {
        return false;
    };
    serde_yaml::to_string(&tree).is_ok_and(|printed| printed.as_bytes() == text)
}

/// What must not be opened for writing under another name: what a configuration is read from, and other outputs.
#[derive(Clone, Debug, Default)]
pub struct Untouchable {
    read: Arc<Inputs>,
    written: Vec<PathBuf>,
}

impl Untouchable {
    /// Of what was read and of files that are replaced, each with its lock.
    #[must_use]
    pub fn new(read: Arc<Inputs>, replaced: &[&Path]) -> Self {
        let written = replaced.iter().flat_map(|path| [(*path).to_owned(), lock_of(path)]);
        Self { read, written: written.collect() }
    }

    /// What a path leads to that must not be written to, for people.
    #[must_use]
    pub fn what_is_at(&self, path: &Path) -> Option<&'static str> {
        let there = Identity::of(path);
        if self.read.known().includes(&there) {
            return Some("the configuration is read from there");
        }
        let is_taken = self.written.iter().any(|other| Identity::of(other).is(&there));
        is_taken.then_some("the gateway writes something else there")
    }
}

/// More links in a row than this lead nowhere, as for Linux.
const MAX_LINKS: usize = 40;
/// Size of a last good file: all files of a configuration together.
const MAX_LAST_GOOD: usize = 64 << 20;
