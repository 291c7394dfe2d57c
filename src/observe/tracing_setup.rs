//! Lifecycle events on standard error, through `tracing`.

use crate::config::model::Logging;

/// Why events could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not a filter.
    #[error("invalid log filter")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody did it before.
    #[error("event logging is already set up")]
    AlreadySet,
}

/// Sends events to standard error from now on. `RUST_LOG` wins over the configured level.
pub fn init(logging: &Logging) -> Result<(), Error> {
    todo!()
}
