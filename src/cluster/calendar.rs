//! Moments of the calendar as the answers of the admin API have them.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use crate::observe::clock;

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
pub(super) fn rfc3339<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(clock::rfc3339).serialize(serializer)
}
