//! The health of one endpoint, where the checks write it and everybody reads it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::time::Instant;

use super::state::{HealthState, Transition};
use crate::cluster::status::unix_seconds;
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
    /// Of the last check, when it failed.
    reason: Option<Box<str>>,
    /// Since when the endpoint has been in or out.
    since: Option<SystemTime>,
    due: Option<Instant>,
}

/// Health of an endpoint at one moment, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthStatus {
    /// The state that the checks led to.
    pub verdict: HealthState,
    /// Why the last check failed, if it did.
    pub reason: Option<String>,
    /// Since when the endpoint has been healthy or unhealthy.
    #[serde(serialize_with = "unix_seconds")]
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

    /// Takes in one check; `failure` says why it failed.
    pub(super) fn record(
        &self,
        failure: Option<String>,
        check: &HealthCheck,
        now: SystemTime,
    ) -> (HealthState, Option<Transition>) {
        let mut facts = self.facts();
        let first = facts.verdict == HealthState::Unchecked;
        let (next, transition) = facts.verdict.next(failure.is_none(), check);
        facts.verdict = next;
        facts.reason = failure.map(Into::into);
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
        HealthStatus { verdict: facts.verdict, reason: facts.reason.as_deref().map(str::to_owned), since: facts.since }
    }

    fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
