//! What can be wrong with a configuration that is sound by itself: it changes what is chosen when the gateway starts and cannot change
//! while it runs, or a listener of it cannot be opened.

use std::collections::BTreeMap;

use super::Loaded;
use super::model::Config;
use super::node::{Span, Step, steps};
use super::report::{Diagnostic, Report};

/// The keys in which `after` differs from `running` although they need a restart.
#[must_use]
pub fn needs_restart(running: &Config, after: &Config) -> Vec<&'static str> {
    let admin = |config: &Config| config.admin.as_ref().map(|admin| admin.address.clone());
    let (metrics, next_metrics) = (&running.metrics, &after.metrics);
    let (log, next_log) = (&running.access_log, &after.access_log);
    let fixed = [
        ("metrics.address", metrics.address == next_metrics.address),
        ("admin.address", admin(running) == admin(after)),
        ("workers", running.workers == after.workers),
        ("accessLog.output", log.output == next_log.output),
        ("accessLog.format", log.format == next_log.format),
        (
            "logging.format",
            running.logging.format == after.logging.format,
        ),
        (
            "metrics.latencyBuckets",
            metrics.latency_buckets == next_metrics.latency_buckets,
        ),
    ];
    let changed = fixed.into_iter().filter(|(_, same)| !same);
    changed.map(|(key, _)| key).collect()
}

/// Where the listeners of a configuration stand in its files.
#[derive(Debug)]
pub struct Places {
    report: Report,
    listeners: BTreeMap<String, Span>,
}

impl Places {
    /// What was warned of, and that a listener cannot be opened.
    #[must_use]
    pub fn refuse(mut self, listener: &str, message: String) -> Report {
        let diagnostic = Diagnostic::error("cannot-open", message);
        self.report.add(match self.listeners.get(listener) {
            Some(span) => diagnostic.at(*span),
            None => diagnostic,
        });
        self.report.sort();
        self.report
    }
}

impl Loaded {
    /// Where its listeners stand.
    #[must_use]
    pub fn places(&self) -> Places {
        let listeners = self.config.listeners.iter().map(|listener| {
            let name = listener.name.as_str();
            let at = self.root.locate(&steps!["listeners", name, "address"]);
            (name.to_owned(), at.span)
        });
        Places {
            listeners: listeners.collect(),
            report: self.warnings.clone(),
        }
    }

    /// The same when it can take the place of `running`.
    ///
    /// # Errors
    /// A report of everything that needs a restart, where it stands in the files.
    pub fn in_place_of(mut self, running: &Config) -> Result<Self, Report> {
        for key in needs_restart(running, &self.config) {
            let message = format!("`{key}` cannot change while running");
            let diagnostic = Diagnostic::error("needs-restart", message);
            let steps: Vec<Step> = key.split('.').map(Step::from).collect();
            let section = key.split('.').next().unwrap_or(key);
            let diagnostic = match self.root.get(section) {
                Some(_) => diagnostic.at(self.root.locate(&steps).span),
                // It was taken out, so there is no place to show.
                None => diagnostic,
            };
            self.warnings.add(diagnostic.hint("restart to change it"));
        }
        if self.warnings.errors() == 0 {
            return Ok(self);
        }
        self.warnings.sort();
        Err(self.warnings)
    }
}
