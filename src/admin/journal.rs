//! The results of the last reloads, for operators. The gateway itself does not use them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::config::Difference;
use crate::observe::clock::rfc3339;

/// Attempts that are remembered.
const KEPT: usize = 20;
/// Bytes of diagnostics that are remembered of one attempt.
const MAX_TEXT: usize = 16 << 10;

/// What made the gateway look at its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// Its start.
    Start,
    /// A file changed.
    Watch,
    /// `SIGHUP`.
    Signal,
    /// The admin API.
    Api,
}

impl Trigger {
    /// Its word in logs and answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Watch => "watch",
            Self::Signal => "signal",
            Self::Api => "api",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadResult {
    /// What was read is in force.
    Applied,
    /// The files hold the configuration that is in force already.
    Unchanged,
    /// The new configuration has errors; the one before stays in force.
    Refused,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When, in UTC.
    pub at: String,
    /// What asked for it.
    pub trigger: Trigger,
    /// How it ended.
    pub verdict: ReloadResult,
    /// The configuration in force after it.
    pub hash: String,
    /// The configuration in force before it.
    pub was: String,
    /// How long it took.
    pub milliseconds: u64,
    /// What it changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// The last change before this attempt, when this attempt changed nothing. Often the watch of the files was faster
    /// than the operator.
    #[serde(rename = "lastChange", skip_serializing_if = "Option::is_none")]
    pub last_change: Option<LastChange>,
    /// Errors and warnings, or why else it failed; empty when there is nothing to say.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub diagnostics: String,
}

/// What was changed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastChange {
    /// When, in UTC.
    pub at: String,
    /// What asked for it.
    pub trigger: Trigger,
    /// The configuration in force before it.
    pub was: String,
    /// What it changed.
    pub difference: Difference,
}

impl Entry {
    /// An attempt that ends now and changed nothing yet.
    #[must_use]
    pub fn new(trigger: Trigger, verdict: ReloadResult, hash: &str, was: &str, took: Duration) -> Self {
        Self {
            at: rfc3339(SystemTime::now()),
            trigger,
            verdict,
            hash: hash.to_owned(),
            was: was.to_owned(),
            milliseconds: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            difference: None,
            last_change: None,
            diagnostics: String::new(),
        }
    }

    /// The text for people beside the diagnostics, one line or several.
    #[must_use]
    pub fn summary(&self) -> String {
        let short = |hash: &str| hash.chars().take(8).collect::<String>();
        let (hash, was) = (short(&self.hash), short(&self.was));
        match self.verdict {
            ReloadResult::Applied if self.trigger == Trigger::Start => {
                format!("started with config {hash}")
            }
            ReloadResult::Applied if self.difference.as_ref().is_some_and(Difference::is_empty) => {
                self.nothing_new(&hash)
            }
            ReloadResult::Applied => {
                let took = self.milliseconds;
                let first = format!("reloaded config {hash} (was {was}) in {took} ms");
                let lines = self.difference.iter().flat_map(Difference::lines);
                std::iter::once(first).chain(lines).collect::<Vec<_>>().join("\n")
            }
            ReloadResult::Unchanged => self.nothing_new(&hash),
            ReloadResult::Refused => "The running configuration was not changed.".to_owned(),
        }
    }

    /// Says that the configuration is in force already, and what the last change was, which is what operators want to
    /// see.
    fn nothing_new(&self, hash: &str) -> String {
        let first = format!("config {hash} is in force already");
        let Some(last) = &self.last_change else {
            return first;
        };
        let by = match last.trigger {
            Trigger::Start => "at the start",
            Trigger::Watch => "by the watch of its files",
            Trigger::Signal => "by a signal",
            Trigger::Api => "by the admin API",
        };
        let was: String = last.was.chars().take(8).collect();
        let head = format!("the last change, {} {by} (was {was}):", last.at);
        let lines = [first, head].into_iter();
        let lines: Vec<String> = lines.chain(last.difference.lines()).collect();
        lines.join("\n")
    }
}

/// The last attempts, the newest first.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<VecDeque<Entry>>,
    /// Kept apart: attempts that change nothing must not push it out.
    last_change: Mutex<Option<LastChange>>,
    last_refused: Mutex<Option<Entry>>,
}

impl Journal {
    /// Remembers an attempt and forgets the oldest.
    pub fn add(&self, mut entry: Entry) {
        if entry.diagnostics.len() > MAX_TEXT {
            let end = entry.diagnostics.floor_char_boundary(MAX_TEXT);
            entry.diagnostics.truncate(end);
        }
        if let Some(difference) = entry.difference.clone().filter(|found| !found.is_empty()) {
            *self.last() =
                Some(LastChange { at: entry.at.clone(), trigger: entry.trigger, was: entry.was.clone(), difference });
        }
        if entry.verdict == ReloadResult::Refused {
            *self.refused() = Some(entry.clone());
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push_front(entry);
        entries.truncate(KEPT);
    }

    /// The last attempt that changed something, however long ago.
    #[must_use]
    pub fn last_change(&self) -> Option<LastChange> {
        self.last().clone()
    }

    /// The last attempt that was refused, however long ago.
    #[must_use]
    pub fn last_refused(&self) -> Option<Entry> {
        self.refused().clone()
    }

    fn refused(&self) -> MutexGuard<'_, Option<Entry>> {
        self.last_refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last(&self) -> MutexGuard<'_, Option<LastChange>> {
        let last = self.last_change.lock();
        last.unwrap_or_else(PoisonError::into_inner)
    }

    /// What is remembered, the newest first.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().cloned().collect()
    }
}
