//! What `attache run` says beside the events of the log: text for people, and where the log is JSON an
//! object for each line with the same facts.

use std::fmt::Display;

use serde_json::Map;

use super::{Failure, terminal};
use crate::config::{Report, Severity};
use crate::observe::voice::{Level, Voice};

/// The messages of a start.
pub(super) fn summary(voice: &Voice, lines: &[String]) {
    if voice.is_text() {
        return voice.text(lines.join("\n"));
    }
    for line in lines {
        let line = line.trim();
        let level = if line.starts_with("not protected") { Level::Warn } else { Level::Info };
        voice.object(level, line, Map::new());
    }
}

/// Diagnostics.
pub(super) fn report(voice: &Voice, report: &Report) {
    if voice.is_text() {
        return voice.text(report.human(terminal::has_color()).trim_end());
    }
    for diagnostic in report.diagnostics() {
        let level = match diagnostic.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
        };
        voice.object(level, &*diagnostic.message, report.facts(diagnostic));
    }
    voice.object(Level::Info, report.summary(), Map::new());
}

/// Something to know about a start.
pub(super) fn warning(voice: &Voice, what: impl Display) {
    if voice.is_text() {
        voice.text(format_args!("warning: {what}"));
    } else {
        voice.object(Level::Warn, what.to_string(), Map::new());
    }
}

/// Why it ends.
pub(super) fn failure(voice: &Voice, failure: &Failure) {
    if voice.is_text() {
        return voice.text(failure);
    }
    let (what, next) = failure.parts();
    let facts = [("next".to_owned(), next.into())];
    voice.object(Level::Error, what, facts.into_iter().collect());
}
