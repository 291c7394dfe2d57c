//! Names and passwords.

use super::Scope;
use super::credentials_file::read;
use crate::config::keys::basic as raw;
use crate::config::keys_file::BadLine;
use crate::config::model::{BasicUsers, KnownUser};
use crate::config::node::{Step, below};
use crate::config::users_file;

/// Resolves the users of one provider.
pub(super) fn resolve(at: &[Step], raw: &raw::Basic, scope: &mut Scope<'_>) -> BasicUsers {
    BasicUsers { users: users(at, raw, scope), at_once: raw.at_once }
}

fn users(at: &[Step], raw: &raw::Basic, scope: &mut Scope<'_>) -> Vec<KnownUser> {
    let file = &raw.users_file;
    let Some(bytes) = read(at, "usersFile", file, scope) else { return Vec::new() };
    let at = below(at, "usersFile");
    match users_file::parse(&bytes) {
        Ok(users) => {
            if users.is_empty() {
                let message = format!("`{}` holds no user, so nobody gets in by a password", file.display());
                scope.warn(&at, "no-users", message, "write a line `name:hash` for each");
            }
            users
        }
        Err(BadLine { line, what }) => {
            scope.invalid(&at, format!("`{}`, line {line}: {what}", file.display()), FORM);
            Vec::new()
        }
    }
}

const FORM: &str = "a line is `name:hash` or `name:hash:role,role`, as `htpasswd -B` writes it";
