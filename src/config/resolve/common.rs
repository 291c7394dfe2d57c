//! What several sections have to judge alike: files that they name, names that users choose, trust domains.

use std::path::Path;

use super::Scope;
use crate::config::files::reason;
use crate::config::node::{Step, below};
use crate::config::report::Diagnostic;
use crate::config::types::is_trust_domain;

impl Scope<'_> {
    /// The content of a file that the value at `at` names, of at most `most` bytes. One that cannot be read is an
    /// obstacle only where it is to be served from.
    pub(super) fn read_file(&mut self, at: &[Step], file: &Path, most: usize) -> Option<Vec<u8>> {
        match self.env.read(file, most) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                let message = format!("cannot read `{}`: {}", file.display(), reason(&error));
                let kind = if self.env.is_lenient() { Diagnostic::warning } else { Diagnostic::error };
                self.add(at, kind("missing-file", message));
                None
            }
        }
    }

    /// Judges the `name` that users gave a thing of this kind, which is a value of labels.
    pub(super) fn own_name(&mut self, kind: &str, name: &str, at: &[Step]) {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(is_plain) {
            let message = format!("`{}` is not a name for a {kind}", name.chars().take(MAX_NAME).collect::<String>());
            let hint = format!("letters, digits, `-`, `_` and `.`, at most {MAX_NAME} of them");
            self.invalid(&below(at, "name"), message, hint);
        }
    }

    /// Judges the name of a trust domain.
    pub(super) fn trust_domain(&mut self, at: &[Step], domain: &str) {
        if !is_trust_domain(domain) {
            let message = format!("`{domain}` is no trust domain: it has lower-case letters, digits, `-`, `.` and `_`");
            self.invalid(at, message, "write `example.org`");
        }
    }
}

/// Characters of a name.
const MAX_NAME: usize = 64;
