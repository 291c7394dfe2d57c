//! What was read while a configuration was loaded: every file and every directory, with a hash of its content. Says
//! later whether any of it is different now, without reading what the content means.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::files::{Identity, MAX_LINKS, directory_of, read_regular};

/// Files and directories with the content they had.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    files: BTreeMap<PathBuf, File>,
    /// Directories whose names were looked through, with the pattern they had to match.
    directories: BTreeMap<(PathBuf, String), u64>,
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

impl Inputs {
    pub(super) fn file(&mut self, path: &Path, bytes: Option<&[u8]>, limit: usize) {
        let file = File { hash: bytes.map_or(ABSENT, xxh3_64), limit, is_configuration: false };
        self.files.entry(path.to_owned()).or_insert(file);
    }

    /// Says that a file that was read is part of the configuration itself.
    pub(super) fn is_configuration(&mut self, path: &Path) {
        if let Some(file) = self.files.get_mut(path) {
            file.is_configuration = true;
        }
    }

    /// Reads the names in a directory that match `pattern`, in order.
    pub(super) fn directory(&mut self, path: &Path, pattern: &str) -> Vec<String> {
        let names = names(path, pattern);
        let listing = (path.to_owned(), pattern.to_owned());
        self.directories.insert(listing, hash(&names));
        names
    }

    /// What is read, to hold what is written against.
    pub(super) fn known(&self) -> Known {
        let listing =
            |(directory, pattern): &(PathBuf, String)| Some((fs::canonicalize(directory).ok()?, pattern.clone()));
        Known {
            files: self.files.keys().map(|path| Identity::of(path)).collect(),
            listings: self.directories.keys().filter_map(listing).collect(),
        }
    }

    /// The files beside the configuration itself with the hash of their content.
    pub(super) fn beside(&self) -> BTreeMap<PathBuf, u64> {
        let beside = self.files.iter().filter(|(_, file)| !file.is_configuration);
        beside.map(|(path, file)| (path.clone(), file.hash)).collect()
    }

    /// Every directory in which a change may matter: of each file the one it stands in, those of the links that lead
    /// there, and where something is missing the last one that is there.
    #[must_use]
    pub fn watched(&self) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for path in self.files.keys() {
            follow(path, &mut found, MAX_LINKS);
        }
        for (path, _) in self.directories.keys() {
            follow(path, &mut found, MAX_LINKS);
            if path.is_dir() {
                found.insert(path.clone());
            }
        }
        found
    }

    /// Whether anything has another content now. Blocks on the file system.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let file = |(path, file): (&PathBuf, &File)| content(path, file.limit) != file.hash;
        let directory = |((path, pattern), known): (&(PathBuf, String), &u64)| hash(&names(path, pattern)) != *known;
        self.files.iter().any(file) || self.directories.iter().any(directory)
    }
}

/// Files and directories that are read.
#[derive(Debug)]
pub(super) struct Known {
    files: Vec<Identity>,
    listings: Vec<(PathBuf, String)>,
}

impl Known {
    /// Whether a file written there would be among those that are read.
    pub(super) fn includes(&self, output: &Identity) -> bool {
        let lists = |place: &PathBuf| {
            let name = place.file_name().and_then(|name| name.to_str());
            self.listings.iter().any(|(directory, pattern)| {
                place.parent() == Some(directory.as_path()) && name.is_some_and(|name| matches(pattern, name))
            })
        };
        self.files.iter().any(|file| file.is(output)) || output.places().iter().any(lists)
    }
}

fn content(path: &Path, limit: usize) -> u64 {
    read_regular(path, limit).map_or(ABSENT, |bytes| xxh3_64(&bytes))
}

/// The names in a directory that match a pattern, in order; none when it cannot be read. Hidden ones never do.
fn names(path: &Path, pattern: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(path) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.') && matches(pattern, name)).collect();
    names.sort();
    names
}

fn hash(names: &[String]) -> u64 {
    let mut hasher = Xxh3::new();
    for name in names {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
    }
    hasher.digest()
}

/// Whether `name` matches a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Walks down to `path` and collects the directories in which a change could make the path lead elsewhere.
fn follow(path: &Path, found: &mut BTreeSet<PathBuf>, links: usize) {
    let mut here = PathBuf::new();
    for part in path.components() {
        here.push(part);
        let Ok(metadata) = fs::symlink_metadata(&here) else {
            found.insert(directory_of(&here).to_owned());
            return;
        };
        if metadata.is_symlink()
            && let Ok(target) = fs::read_link(&here)
        {
            let parent = directory_of(&here);
            found.insert(parent.to_owned());
            if links > 0 {
                follow(&parent.join(target), found, links - 1);
            }
        }
    }
    found.insert(directory_of(path).to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_among_those_that_are_read_is_known_by_any_name() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("real/parts")).unwrap();
        fs::write(root.join("real/gateway.yaml"), "x").unwrap();
        std::os::unix::fs::symlink("real", root.join("etc")).unwrap();
        std::os::unix::fs::symlink("real/gateway.yaml", root.join("link.yaml")).unwrap();
        let mut inputs = Inputs::default();
        inputs.file(&root.join("link.yaml"), Some(b"x"), 10);
        inputs.directory(&root.join("etc/parts"), "*.yaml");
        for (path, expected) in [
            ("link.yaml", true),
            ("real/gateway.yaml", true),
            ("etc/gateway.yaml", true),
            ("real/parts/new.yaml", true),
            ("etc/parts/new.yaml", true),
            ("etc/parts/new.state", false),
            ("real/new.yaml", false),
            ("nowhere/new.yaml", false),
        ] {
            let output = Identity::of(&root.join(path));
            assert_eq!(inputs.known().includes(&output), expected, "{path}");
        }
        for (name, target) in [("to-file", "link.yaml"), ("to-new", "etc/parts/new.yaml")] {
            std::os::unix::fs::symlink(target, root.join(name)).unwrap();
            let output = Identity::of(&root.join(name));
            assert!(inputs.known().includes(&output), "a link {name}");
        }
        fs::hard_link(root.join("real/gateway.yaml"), root.join("twin")).unwrap();
        assert!(inputs.known().includes(&Identity::of(&root.join("twin"))));
        fs::write(root.join("copy"), "x").unwrap();
        assert!(!inputs.known().includes(&Identity::of(&root.join("copy"))));
    }

    #[test]
    fn glob_patterns() {
        for (pattern, name, expected) in [
            ("*.yaml", "a.yaml", true),
            ("*.yaml", "a.yml", false),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("*", "x", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("x", "x", true),
            ("x", "xy", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
