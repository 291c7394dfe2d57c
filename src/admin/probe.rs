//! A very small HTTP client for `attache healthcheck`, so that an image without a shell or curl can probe itself.

use std::time::Duration;

/// Why a probe got no status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a plain `http://` URL.
    #[error("not a plain http:// URL: {0}")]
    Url(String),
}

/// Status that `url` answers a GET with, within `timeout`.
pub async fn probe(url: &str, timeout: Duration) -> Result<u16, Error> {
    todo!()
}
