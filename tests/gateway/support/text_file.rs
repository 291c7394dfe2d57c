//! Files that a configuration names.

use std::path::PathBuf;

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

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(&self.path, text).unwrap();
    }
}

impl Place for TextFile {
    fn place(&self) -> String {
        self.path.display().to_string()
    }
}
