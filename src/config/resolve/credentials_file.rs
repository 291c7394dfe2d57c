//! Files of credentials. They are read as part of the configuration: what cannot be read stops a start, and a reload
//! keeps what was.

use std::path::Path;

use super::Scope;
use crate::config::node::{Step, below};

/// What the file under `key` holds.
pub(super) fn read(at: &[Step], key: &'static str, file: &Path, scope: &mut Scope<'_>) -> Option<Vec<u8>> {
    if file.as_os_str().is_empty() {
        let name = scope.tree.locate(at).path;
        scope.lacks(at, format!("`{name}` has no `{key}`"), format!("add `{key}: path`"));
        return None;
    }
    scope.read_file(&below(at, key), file, MAX_FILE)
}

/// Size of a file of credentials.
const MAX_FILE: usize = 16 << 20;
