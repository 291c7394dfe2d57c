//! Lifecycle events on standard error, through `tracing`: text for people on a terminal, JSON for machines elsewhere.

use std::env;
use std::io::{self, IsTerminal};
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, reload};

use super::harmless::Harmless;
use super::live::{EventBook, EventLayer, Live, SetLevel};
use super::stderr::Stderr;
use crate::config::model::{LogFormat, Logging};

/// Why events could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The level is not a filter.
    #[error("invalid log filter `{filter}`; write a level such as info, or parts such as attache=debug,info")]
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

/// Sends events to standard error from now on. `RUST_LOG` wins over the configured level; `NO_COLOR` switches colour
/// off.
pub fn init(logging: &Logging, stderr: &Stderr) -> Result<Events, Error> {
    let terminal = io::stderr().is_terminal();
    let (filter, handle) = reload::Layer::new(filter(level(logging))?);
    let lines = fmt::layer()
        // Otherwise the layer would report a failed write with a macro that panics.
        .log_internal_errors(false)
        .with_writer(Harmless(stderr.clone()))
        .with_ansi(color_wanted(terminal));
    let lines = if is_text(logging.format, terminal) {
        lines.with_filter(filter).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).with_span_list(false).with_filter(filter).boxed()
    };
    let book = Arc::<EventBook>::default();
    // What operators see of events does not depend on the level of the log.
    let events = EventLayer(Arc::clone(&book)).with_filter(LevelFilter::INFO);
    tracing_subscriber::registry().with(lines).with(events).try_init().map_err(Error::AlreadySet)?;
    let set = move |level: &str| {
        let filter = self::filter(level.to_owned()).map_err(|error| error.to_string())?;
        // What is replaced lives as long as the process.
        handle.reload(filter).map_err(|error| error.to_string())
    };
    Ok(Events { book, set: Box::new(set), level: level(logging) })
}

/// Events as they are set up.
pub struct Events {
    book: Arc<EventBook>,
    set: SetLevel,
    level: String,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").field("level", &self.level).finish_non_exhaustive()
    }
}

impl Events {
    /// Shows them to operators, who may change their level.
    pub fn show(self, live: &Live) {
        live.show_events(self.book);
        live.log_level.install(&self.level, self.set);
    }
}

/// Takes the level of a new configuration.
pub fn follow(live: &Live, logging: &Logging) {
    live.log_level.configure(&level(logging));
}

fn level(logging: &Logging) -> String {
    let variable = env::var("RUST_LOG").ok();
    let variable = variable.filter(|level| !level.is_empty());
    variable.unwrap_or_else(|| logging.level.clone())
}

fn filter(level: String) -> Result<EnvFilter, Error> {
    // The watch of files complains of each directory that goes, as one does whenever a ConfigMap changes.
    EnvFilter::try_new(format!("notify=off,{level}")).map_err(|source| Error::Filter { filter: level, source })
}

/// Whether a log may use colour (<https://no-color.org>).
pub(super) fn color_wanted(terminal: bool) -> bool {
    terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Whether a log that goes to `terminal` or elsewhere is text.
#[must_use]
pub fn is_text(format: LogFormat, terminal: bool) -> bool {
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
