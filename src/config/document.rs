//! A configuration to read, wherever it is: files that a path names, or a text that is in memory already.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Environment;

/// A configuration to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    path: PathBuf,
    text: Option<Arc<str>>,
}

impl Document {
    /// A YAML file, or a directory of them.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), text: None }
    }

    /// A text. Messages about it call it `name`; relative paths in it begin in the working directory.
    #[must_use]
    pub fn text(name: &str, text: impl Into<Arc<str>>) -> Self {
        Self { path: name.into(), text: Some(text.into()) }
    }

    /// Its path, or the name of a text: what to give to [`load`](super::load) with [`Document::environment`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process's environment with the text in the place of a file of its name.
    #[must_use]
    pub fn environment(&self) -> Environment {
        match &self.text {
            Some(text) => Environment::process().with_text(&self.path, text),
            None => Environment::process(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load, read};

    const TEXT: &str = "listeners: { http: { address: \"127.0.0.1:0\" } }\nroutes: { all: { respond: {} } }\n";

    #[test]
    fn a_text_is_read_under_its_name_and_is_no_file() {
        let document = Document::text("<standard input>", TEXT);
        let reading = read(document.path(), &document.environment());
        assert_eq!(reading.outcome.unwrap().files, [Path::new("<standard input>")]);
        assert!(!reading.inputs.has_changed() && reading.inputs.watched().is_empty(), "there is nothing to watch");
        let broken = Document::text("<standard input>", "listeners: {}\nrutes: {}\n");
        let report = load(broken.path(), &broken.environment()).unwrap_err();
        assert!(report.human(false).contains("<standard input>:2"), "{}", report.human(false));
    }

    #[test]
    fn what_a_text_includes_is_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let route = directory.path().join("route.yaml");
        std::fs::write(&route, "routes: { all: { respond: {} } }\n").unwrap();
        let text = format!("listeners: {{ http: {{ address: \"127.0.0.1:0\" }} }}\ninclude: [{}]\n", route.display());
        let document = Document::text("text", text);
        let reading = read(document.path(), &document.environment());
        assert_eq!(reading.outcome.unwrap().files.len(), 2);
        std::fs::write(&route, "routes: { all: { respond: { status: 404 } } }\n").unwrap();
        assert!(reading.inputs.has_changed());
    }
}
