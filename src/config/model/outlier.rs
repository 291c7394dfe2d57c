//! Passive detection of endpoints that misbehave, and what happens when too few are left.

use std::time::Duration;

use super::{FailurePercentage, SuccessRate};

/// When an endpoint is taken out because of what its traffic shows, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Failures in a row, every 5xx but 501 and 505 included; `None` means off.
    pub consecutive_5xx: Option<u32>,
    /// Failures in a row of the kind that says the endpoint is down or broken: no connection, a reset, a timeout, an
    /// answer that breaks off or is no HTTP, 502, 503, 504. `None` means off.
    pub consecutive_gateway: Option<u32>,
    /// Failures within a window.
    pub max_fails: Option<MaxFails>,
    /// Compared with the others.
    pub success_rate: Option<SuccessRate>,
    /// Failures per hundred.
    pub failure_percentage: Option<FailurePercentage>,
    /// How often rates are compared and the multiplier of a healthy endpoint goes down a step. Default 10 s.
    pub interval: Duration,
    /// The first ejection. Default 30 s.
    pub base_ejection_time: Duration,
    /// The longest ejection. Default 300 s.
    pub max_ejection_time: Duration,
    /// Share of the endpoints that may be out, of which one may always be when there is another. Default 10.
    pub max_ejection_percent: u32,
    /// Whether a 500 is a failure. Default true.
    pub count_500: bool,
    /// Whether a 429 or 503 with Retry-After rests the endpoint. Default false.
    pub rest_on_retry_after: bool,
}

/// So many failures within a window, then out for as long as the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxFails {
    /// Failures.
    pub fails: u32,
    /// The window, and the time out.
    pub timeout: Duration,
}

impl OutlierDetection {
    /// Whether requests and failures are counted over an interval.
    #[must_use]
    pub fn compares_rates(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}
