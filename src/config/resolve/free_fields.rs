//! Header fields that are free to tell agents who a client is.

use http::HeaderName;

use super::Scope;
use crate::config::node::Step;

/// Reports a field that cannot tell agents who the client is, because it means something else.
pub(super) fn check_free(at: &[Step], name: &HeaderName, scope: &mut Scope<'_>) {
    if TAKEN.contains(&name.as_str()) || name.as_str().starts_with("x-forwarded-") {
        scope.invalid(at, format!("`{name}` means something else"), "write `x-auth-principal`");
    }
}

/// Fields that frame, route or authorise a message.
const TAKEN: [&str; 12] = [
    "authorization", "connection", "content-length", "content-type", "cookie", "expect", "host", "te", "trailer",
    "transfer-encoding", "upgrade", "via",
];
