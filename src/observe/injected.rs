//! Handles to the series of a route's faults and mirrored requests.

use std::sync::Arc;

use prometheus::IntGauge;

use super::handles::{ByWord, GaugeGuard};
use super::metrics::Metrics;

/// Faults of one route.
#[derive(Debug)]
pub struct FaultHandles {
    injected: ByWord,
    ignored: ByWord,
    active: IntGauge,
}

impl FaultHandles {
    pub(super) fn new(metrics: &Arc<Metrics>, route: &str) -> Self {
        let families = &metrics.families;
        Self {
            injected: ByWord::new(&families.faults, Some(route)),
            ignored: ByWord::new(&families.faults_ignored, Some(route)),
            active: families.faults_active.with_label_values(&[route]),
        }
    }

    /// Counts an injected fault: `delay`, `abort` or `stream`.
    pub fn injected(&self, kind: &'static str) {
        self.injected.count(kind);
    }

    /// Counts a fault that was not injected.
    pub fn ignored(&self, reason: &'static str) {
        self.ignored.count(reason);
    }

    /// Counts a fault as active until the guard is dropped.
    #[must_use]
    pub fn active(&self) -> GaugeGuard {
        GaugeGuard::new(self.active.clone())
    }
}

/// Mirrored requests of one route.
#[derive(Debug)]
pub struct MirrorHandles {
    ended: ByWord,
    active: IntGauge,
}

impl MirrorHandles {
    pub(super) fn new(metrics: &Arc<Metrics>, route: &str) -> Self {
        let families = &metrics.families;
        Self {
            ended: ByWord::new(&families.mirrors, Some(route)),
            active: families.mirrors_active.with_label_values(&[route]),
        }
    }

    /// Counts a mirrored request by the result of its copy.
    pub fn ended(&self, result: &'static str) {
        self.ended.count(result);
    }

    /// Counts a copy as under way until the guard is dropped.
    #[must_use]
    pub fn active(&self) -> GaugeGuard {
        GaugeGuard::new(self.active.clone())
    }
}
