//! Handles to the series of limits on clients.

use prometheus::IntCounter;

use super::metrics::Metrics;
use crate::config::model::LimitMode;

/// Series of one rate limit.
#[derive(Debug)]
pub struct RateLimitHandles {
    limited: IntCounter,
}

impl RateLimitHandles {
    /// Handles for the limit called `limit`.
    #[must_use]
    pub fn new(metrics: &Metrics, limit: &str, mode: LimitMode) -> Self {
        let mode = match mode {
            LimitMode::Enforce => "enforce",
            LimitMode::Shadow => "shadow",
        };
        let family = &metrics.families.rate_limited;
        Self { limited: family.with_label_values(&[limit, mode]) }
    }

    /// Counts a request that is too many.
    pub fn limited(&self) {
        self.limited.inc();
    }
}

/// Series of one route's `maxConcurrentPerClient`.
#[derive(Debug)]
pub struct ConcurrencyHandles {
    limited: IntCounter,
}

impl ConcurrencyHandles {
    /// Handles for `route`.
    #[must_use]
    pub fn new(metrics: &Metrics, route: &str) -> Self {
        let family = &metrics.families.concurrency_limited;
        Self { limited: family.with_label_values(&[route]) }
    }

    /// Counts a request that is too many.
    pub fn limited(&self) {
        self.limited.inc();
    }
}
