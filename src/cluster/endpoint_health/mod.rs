//! The health of one endpoint, where the checks write it and everybody reads it.

mod state;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

pub use self::state::{HealthState, Transition};
use super::calendar::rfc3339;
use crate::config::model::HealthCheck;

/// Health of an endpoint whose cluster has a check.
#[derive(Debug, Default)]
pub struct Health {
    // Relaxed: a request that is a moment late goes where the one before it went.
    unhealthy: AtomicBool,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    verdict: HealthState,
    /// Why the last check failed, when it did: a word for programs and a sentence for people.
    failure: Option<(&'static str, Box<str>)>,
    /// Since when the endpoint has been in or out.
    since: Option<SystemTime>,
    due: Option<Instant>,
}

/// Health of an endpoint at one moment, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HealthStatus {
    /// The state that the checks led to.
    pub verdict: HealthState,
    /// Why the last check failed, if it did, in the word of the metric.
    pub reason: Option<&'static str>,
    /// The same for people.
    pub message: Option<String>,
    /// Since when the endpoint has been healthy or unhealthy.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<String>")]
    pub since: Option<SystemTime>,
}

impl Health {
    /// Whether it must get no requests.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.unhealthy.load(Relaxed)
    }

    /// What is known now.
    #[must_use]
    pub fn verdict(&self) -> HealthState {
        self.facts().verdict
    }

    /// Takes in one check; `failure` says why it failed, in a word and in a sentence.
    pub(super) fn record(
        &self,
        failure: Option<(&'static str, String)>,
        check: &HealthCheck,
        now: SystemTime,
    ) -> (HealthState, Option<Transition>) {
        let mut facts = self.facts();
        let first = facts.verdict == HealthState::Unchecked;
        let (next, transition) = facts.verdict.next(failure.is_none(), check);
        facts.verdict = next;
        facts.failure = failure.map(|(reason, message)| (reason, message.into()));
        if first || transition.is_some() {
            facts.since = Some(now);
        }
        self.unhealthy.store(!next.is_usable(), Relaxed);
        (next, transition)
    }

    /// When the next check is due; `None` before the first.
    pub(in crate::cluster) fn due(&self) -> Option<Instant> {
        self.facts().due
    }

    /// Says when the next check is due.
    pub(in crate::cluster) fn set_due(&self, due: Instant) {
        self.facts().due = Some(due);
    }

    /// Everything, for people.
    #[must_use]
    pub fn status(&self) -> HealthStatus {
        let facts = self.facts();
        HealthStatus {
            verdict: facts.verdict,
            reason: facts.failure.as_ref().map(|(reason, _)| *reason),
            message: facts.failure.as_ref().map(|(_, message)| message.to_string()),
            since: facts.since,
        }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
