//! Lifecycle events on standard error, through `tracing`: text for people on a terminal, JSON for machines elsewhere.

use std::env;
use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::model::{LogFormat, Logging};

/// Why events could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not a filter.
    #[error(
        "invalid log filter `{filter}`; write a level such as info, or parts such as attache=debug,info"
    )]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
    /// Somebody did it before.
    #[error("event logging is already set up")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends events to standard error from now on. `RUST_LOG` wins over the configured level; `NO_COLOR` switches colour off.
pub fn init(logging: &Logging) -> Result<(), Error> {
    let level = env::var("RUST_LOG")
        .ok()
        .filter(|level| !level.is_empty())
        .unwrap_or_else(|| logging.level.clone());
    let terminal = io::stderr().is_terminal();
    let events = fmt()
        .with_env_filter(filter(level)?)
        .with_writer(io::stderr)
        .with_ansi(color_wanted(terminal));
    let started = if is_text(logging.format, terminal) {
        events.finish().try_init()
    } else {
        events
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .finish()
            .try_init()
    };
    started.map_err(Error::AlreadySet)
}

fn filter(level: String) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(&level).map_err(|source| Error::Filter {
        filter: level,
        source,
    })
}

/// Whether a log may use colour (<https://no-color.org>).
pub(super) fn color_wanted(terminal: bool) -> bool {
    terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a log that goes to `terminal` or elsewhere is text.
pub(super) fn is_text(format: LogFormat, terminal: bool) -> bool {
    match format {
        LogFormat::Text => true,
        LogFormat::Json => false,
        LogFormat::Auto => terminal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_is_no_filter_is_named() {
        assert!(filter("info".to_owned()).is_ok());
        assert!(filter("attache=debug,hyper=warn".to_owned()).is_ok());
        let error = filter("attache=loud".to_owned()).unwrap_err();
        assert!(error.to_string().contains("`attache=loud`"), "{error}");
    }

    #[test]
    fn automatic_means_text_on_a_terminal_only() {
        assert!(is_text(LogFormat::Auto, true));
        assert!(!is_text(LogFormat::Auto, false));
        assert!(is_text(LogFormat::Text, false));
        assert!(!is_text(LogFormat::Json, true));
    }
}
