//! What can be wrong with a configuration that is sound by itself: it changes what is chosen when the gateway starts
//! and cannot change while it runs, or a listener of it cannot be opened.

use std::collections::BTreeMap;

use super::Loaded;
use super::model::Config;
use super::node::{Span, Step, steps};
use super::report::{Diagnostic, Report};
use super::schema;

/// The keys in which `after` differs from `running` although they need a restart.
#[must_use]
pub fn needs_restart(running: &Config, after: &Config) -> Vec<&'static str> {
    let changed = |key: &&String| running.restart_required.get(*key) != after.restart_required.get(*key);
    schema::restart_keys().iter().filter(changed).map(String::as_str).collect()
}

/// Where what a configuration opens stands in its files.
#[derive(Debug)]
pub struct OpenedAt {
    report: Report,
    addresses: BTreeMap<String, Span>,
}

impl OpenedAt {
    /// The same without what was warned of.
    #[must_use]
    pub fn without_warnings(mut self) -> Self {
        self.report.clear();
        self
    }

    /// What was warned of, and that the address at `key` cannot be opened.
    #[must_use]
    pub fn refuse(mut self, key: &str, message: String, hint: Option<String>) -> Report {
        let mut diagnostic = Diagnostic::error("cannot-open", message);
        key.clone_into(&mut diagnostic.path);
        diagnostic.hint = hint;
        self.report.add(match self.addresses.get(key) {
            Some(span) => diagnostic.at(*span),
            None => diagnostic,
        });
        self.report.sort();
        self.report
    }
}

impl Loaded {
    /// The places of the addresses of its listeners, and of those of metrics, admin and the logs that are
    /// configured.
    #[must_use]
    pub fn places(&self) -> OpenedAt {
        let listeners = self.config.listeners.iter().map(|listener| {
            let name = listener.name.as_str();
            let at = self.root.locate(&steps!["listeners", name, "address"]);
            (format!("listeners.{name}.address"), at.span)
        });
        let others = [("metrics", "address"), ("admin", "address"), ("accessLog", "output"), ("auditLog", "output")];
        let others = others.into_iter().filter_map(|(section, key)| {
            self.root.get(section)?;
            let at = self.root.locate(&steps![section, key]);
            Some((format!("{section}.{key}"), at.span))
        });
        OpenedAt { addresses: listeners.chain(others).collect(), report: self.warnings.clone() }
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::config::{Environment, parse};

    #[test]
    fn every_key_that_is_declared_to_need_a_restart_is_compared() {
        let text =
            "listeners: { a: { address: '127.0.0.1:80' } }\nworkers: 1\nadmin: {}\nauditLog: { output: stdout }\n";
        let config = parse(text, "a.yaml", &Environment::empty(SystemTime::UNIX_EPOCH)).unwrap().config;
        let mut declared = schema::restart_keys().to_vec();
        declared.sort_unstable();
        assert!(config.restart_required.keys().eq(&declared), "{declared:?} are not {:?}", config.restart_required);
    }
}
