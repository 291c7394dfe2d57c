//! Moments of the calendar as the answers of the admin API have them.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
pub(super) fn unix_seconds<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map(|since| since.as_secs()).serialize(serializer)
}
