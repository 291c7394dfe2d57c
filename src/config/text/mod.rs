//! From files to one tree: YAML that remembers where it was written, with variables and includes put in and secrets
//! marked. Knows the shape of text and nothing of what keys mean, but for those that hold secrets or name files.

pub(super) mod conceal;
pub(super) mod de;
pub(super) mod looks;
pub(super) mod names;
pub(super) mod node;
pub(super) mod report;
pub(super) mod source;
pub(super) mod substitute;
pub(super) mod yaml;
