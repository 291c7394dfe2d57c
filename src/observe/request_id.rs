//! The `x-request-id` of an exchange: the caller's if it is believed and sane, else a UUIDv7, which sorts by time.

use std::time::Duration;

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The header.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id for a request: that of `headers` if `trusted` and sane (1 to 128 visible ASCII characters, given once), else a new one
/// made from `since_epoch` and `rng`.
pub fn request_id(headers: &HeaderMap, trusted: bool, since_epoch: Duration, rng: &mut Rng) -> HeaderValue {
    todo!()
}
