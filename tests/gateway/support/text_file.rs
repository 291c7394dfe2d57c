//! Files that a configuration names.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use tempfile::TempDir;

use super::Place;

/// A file with text, gone with the test.
pub(crate) struct TextFile {
    path: PathBuf,
    _directory: TempDir,
}

impl TextFile {
    pub(crate) fn new(text: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = Self { path: directory.path().join("file"), _directory: directory };
        file.write(text);
        file
    }

    /// A file of API keys ([`key_lines`]).
    pub(crate) fn keys(keys: &[(&str, &str)]) -> Self {
        Self::new(&key_lines(keys))
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Place for TextFile {
    fn place(&self) -> String {
        self.path.display().to_string()
    }
}

/// Lines of a file of API keys: for each what clients send, and whose it is (`ann`, or `ann:role,role`).
pub(crate) fn key_lines(keys: &[(&str, &str)]) -> String {
    let line = |(key, who): &(&str, &str)| {
        let digits: String =
            digest(&SHA256, key.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let (name, roles) = who.split_once(':').unwrap_or((who, ""));
        format!("{name}:{digits}:{roles}\r\n")
    };
    keys.iter().map(line).collect()
}
