//! What the admin API shows, as plain data: each view is made from the state of one moment.

pub(super) mod agents;
pub(super) mod certificates;
pub(super) mod clusters;
pub(super) mod errors;
pub(super) mod limits;
pub(super) mod routes;
pub(super) mod streams;
pub(super) mod tasks;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::observe::clock::rfc3339;

/// A moment since the Unix epoch, as the API says it.
fn moment(since: Duration) -> String {
    rfc3339(UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH))
}

/// This moment, as the API says it.
pub(super) fn now() -> String {
    rfc3339(SystemTime::now())
}

/// Entries of an answer where a query does not say how many.
pub(super) const LISTED: usize = 200;
/// Entries of an answer at most.
pub(super) const MOST: usize = 10_000;
