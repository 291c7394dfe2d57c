//! What was read while a configuration was loaded: every file and every directory, with a hash of its content. Says later
//! whether any of it is different now, without reading what the content means.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Files and directories with the content they had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    files: BTreeMap<PathBuf, File>,
    directories: BTreeMap<PathBuf, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    hash: u64,
    /// Most bytes that were read.
    limit: usize,
    /// Whether it holds configuration; otherwise a certificate, a key, a secret.
    is_configuration: bool,
}

/// Hash of what cannot be read.
const ABSENT: u64 = 0;

impl Seen {
    pub(super) fn file(&mut self, path: &Path, bytes: Option<&[u8]>, limit: usize) {
        let file = File {
            hash: bytes.map_or(ABSENT, xxh3_64),
            limit,
            is_configuration: false,
        };
        self.files.entry(path.to_owned()).or_insert(file);
    }

    /// Says that a file that was read is part of the configuration itself.
    pub(super) fn is_configuration(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.is_configuration = true;
        }
    }

    pub(super) fn directory(&mut self, path: &Path) {
        self.directories.insert(path.to_owned(), names(path));
    }

    /// The files beside the configuration itself with the hash of their content.
    pub(super) fn beside(&self) -> BTreeMap<PathBuf, u64> {
        let beside = self.files.iter().filter(|(_, file)| !file.is_configuration);
        beside
            .map(|(path, file)| (path.clone(), file.hash))
            .collect()
    }

    /// Every directory in which a change may matter. For a link also the directory it leads to.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<PathBuf> {
        let mut found: BTreeSet<PathBuf> = self.directories.keys().cloned().collect();
        for path in self.files.keys() {
            let target = fs::canonicalize(path).ok();
            let places = [Some(path.as_path()), target.as_deref()];
            let parents = places.into_iter().flatten().filter_map(Path::parent);
            found.extend(parents.map(|parent| match parent.as_os_str().is_empty() {
                true => PathBuf::from("."),
                false => parent.to_owned(),
            }));
        }
        found
    }

    /// Whether anything has another content now. Blocks on the file system.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let file = |(path, file): (&PathBuf, &File)| content(path, file.limit) != file.hash;
        let directory = |(path, hash): (&PathBuf, &u64)| names(path) != *hash;
        self.files.iter().any(file) || self.directories.iter().any(directory)
    }
}

fn content(path: &Path, limit: usize) -> u64 {
    let read = || {
        if !fs::metadata(path).ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        fs::File::open(path)
            .ok()?
            .take(most)
            .read_to_end(&mut bytes)
            .ok()?;
        (bytes.len() <= limit).then_some(bytes)
    };
    read().map_or(ABSENT, |bytes| xxh3_64(&bytes))
}

/// Hash of a directory's names.
fn names(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return ABSENT;
    };
    let names: BTreeSet<_> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .collect();
    let mut hasher = Xxh3::new();
    for name in names {
        hasher.update(name.as_encoded_bytes());
        hasher.update(&[0]);
    }
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_content_is_seen_and_a_touch_is_not() {
        let root = tempfile::tempdir().unwrap();
        let (file, absent) = (root.path().join("a"), root.path().join("b"));
        fs::write(&file, "one").unwrap();
        let mut seen = Seen::default();
        seen.file(&file, Some(b"one"), 10);
        seen.file(&absent, None, 10);
        assert!(!seen.has_changed());
        fs::write(&file, "one").unwrap();
        assert!(!seen.has_changed(), "the same again");
        fs::write(&file, "two").unwrap();
        assert!(seen.has_changed());
        fs::write(&file, "one").unwrap();
        fs::write(&absent, "here now").unwrap();
        assert!(seen.has_changed(), "what was missing has come");
    }

    #[test]
    fn a_new_name_in_a_listed_directory_is_seen() {
        let root = tempfile::tempdir().unwrap();
        let mut seen = Seen::default();
        seen.directory(root.path());
        assert!(!seen.has_changed());
        fs::write(root.path().join("more.yaml"), "").unwrap();
        assert!(seen.has_changed());
        fs::remove_dir_all(root.path()).unwrap();
        assert!(seen.has_changed(), "gone altogether");
    }

    #[test]
    fn a_link_is_watched_where_it_stands_and_where_it_leads() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        for directory in ["etc", "data"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        fs::write(root.join("data/real.yaml"), "x").unwrap();
        let link = root.join("etc/gateway.yaml");
        std::os::unix::fs::symlink(root.join("data/real.yaml"), &link).unwrap();
        let mut seen = Seen::default();
        seen.file(&link, Some(b"x"), 10);
        let expected = [root.join("data"), root.join("etc")];
        assert_eq!(seen.watched(), BTreeSet::from(expected));
    }
}
