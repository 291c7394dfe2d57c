//! The state that probes ask for: started, ready, draining, and the named checks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use serde::Serialize;

/// Outcome of a [`Check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Not as it should be, but traffic is served.
    Degraded,
    /// Traffic must go elsewhere.
    Failing,
}

/// One named fact behind the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, for example `cluster agents`.
    pub name: String,
    /// How it is.
    pub status: Status,
    /// In words.
    pub detail: String,
}

/// State shared by the gateway, which sets it, and the listener, which shows it.
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    config_hash: ArcSwap<String>,
    checks: Box<dyn Fn() -> Vec<Check> + Send + Sync>,
}

/// What a probe is told.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// `ok`, `degraded`, `failing`, `starting` or `draining`.
    pub status: &'static str,
    /// Version running.
    pub version: &'static str,
    /// Configuration in use; empty before the first.
    pub config_hash: String,
    /// The facts behind the status.
    pub checks: Vec<Check>,
    /// Whether traffic should come.
    #[serde(skip)]
    pub ready: bool,
    /// Whether start-up is over.
    #[serde(skip)]
    pub started: bool,
}

impl Health {
    /// Nothing started yet. `checks` is called for every probe and must be quick.
    pub fn new(checks: impl Fn() -> Vec<Check> + Send + Sync + 'static) -> Self {
        Self {
            started: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            config_hash: ArcSwap::default(),
            checks: Box::new(checks),
        }
    }

    /// The first configuration is in use and every listener accepts: started and, if the checks agree, ready.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// Shutdown began: not ready any more.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Names the configuration in use.
    pub fn set_config_hash(&self, hash: &str) {
        self.config_hash.store(Arc::new(hash.to_owned()));
    }

    /// How things are now.
    #[must_use]
    pub fn report(&self) -> Report {
        let (started, draining) = (self.started.load(Ordering::Relaxed), self.draining.load(Ordering::Relaxed));
        let checks = (self.checks)();
        let worst = checks.iter().map(|check| check.status).max().unwrap_or(Status::Ok);
        let status = match worst {
            _ if draining => "draining",
            _ if !started => "starting",
            Status::Ok => "ok",
            Status::Degraded => "degraded",
            Status::Failing => "failing",
        };
        Report {
            status,
            version: env!("CARGO_PKG_VERSION"),
            config_hash: self.config_hash.load().as_ref().clone(),
            checks,
            ready: started && !draining && worst != Status::Failing,
            started,
        }
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Health").field("started", &self.started).field("draining", &self.draining).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(statuses: &[Status]) -> Health {
        let checks: Vec<Check> = statuses
            .iter()
            .map(|status| Check { name: "cluster a".to_owned(), status: *status, detail: "2 endpoints".to_owned() })
            .collect();
        Health::new(move || checks.clone())
    }

    #[test]
    fn ready_from_start_to_drain() {
        let health = health(&[]);
        let verdict = || {
            let report = health.report();
            (report.status, report.started, report.ready)
        };
        assert_eq!(verdict(), ("starting", false, false));
        health.set_started();
        assert_eq!(verdict(), ("ok", true, true));
        health.set_draining();
        assert_eq!(verdict(), ("draining", true, false));
    }

    #[test]
    fn a_degraded_gateway_is_ready_and_a_failing_one_is_not() {
        for (statuses, status, ready) in [
            (&[Status::Ok, Status::Ok][..], "ok", true),
            (&[Status::Ok, Status::Degraded], "degraded", true),
            (&[Status::Failing, Status::Ok, Status::Degraded], "failing", false),
        ] {
            let health = health(statuses);
            health.set_started();
            let report = health.report();
            assert_eq!((report.status, report.ready), (status, ready), "{statuses:?}");
        }
    }

    #[test]
    fn the_report_as_json() {
        let health = health(&[Status::Degraded]);
        health.set_config_hash("abc");
        health.set_started();
        assert_eq!(
            serde_json::to_value(health.report()).unwrap(),
            serde_json::json!({
                "status": "degraded",
                "version": env!("CARGO_PKG_VERSION"),
                "configHash": "abc",
                "checks": [{"name": "cluster a", "status": "degraded", "detail": "2 endpoints"}],
            })
        );
    }
}
