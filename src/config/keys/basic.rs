//! `authProviders.X.basic`.

use std::path::PathBuf;

use super::{Count, section};

section! {
    #[derive()]
    /// Names and passwords (HTTP Basic, RFC 7617).
    pub(in crate::config) struct Basic {
        /// File with a line `name:hash` for each user, or `name:hash:role,role`, with hashes of argon2 or bcrypt; read
        /// again when it changes, relative to this file. Required.
        users_file: PathBuf as String; empty,
        /// Passwords that are checked at the same time, away from the workers. Each takes a core, and the memory that
        /// its hash asks for. What was good is remembered and not checked again.
        at_once: usize as Count<1, 64> = 2,
    }
}
