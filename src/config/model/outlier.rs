//! Passive detection of endpoints that misbehave, and what happens when too few are left.

use std::time::Duration;

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

/// Ejects endpoints whose success rate is far below the mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuccessRate {
    /// Endpoints with enough requests that are needed for a comparison. Default 5.
    pub min_hosts: u32,
    /// Requests in an interval that make an endpoint comparable. Default 100.
    pub min_requests: u32,
    /// Standard deviations below the mean, in thousandths. Default 1900.
    pub stdev_thousandths: u32,
}

/// Ejects endpoints of which too large a share of requests fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailurePercentage {
    /// Failures per hundred requests from which on an endpoint is out. Default 85.
    pub threshold: u32,
    /// Endpoints with enough requests that are needed for a judgement. Default 5.
    pub min_hosts: u32,
    /// Requests in an interval that make an endpoint judgeable. Default 50.
    pub min_requests: u32,
}

/// What happens when too few endpoints are usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panic {
    /// Usable endpoints per hundred below which there is panic; 0 means never. Default 50.
    pub threshold: u32,
    /// What is done then.
    pub action: PanicAction,
}

/// What is done with a request while too few endpoints are usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PanicAction {
    /// It goes to any endpoint, usable or not.
    Balance,
    /// It is refused at once.
    Fail,
}

impl Panic {
    /// Half of the endpoints, then all of them.
    pub const DEFAULT: Self = Self { threshold: 50, action: PanicAction::Balance };
}

impl OutlierDetection {
    /// What an `outlierDetection` block means that says nothing.
    pub const BLOCK: Self = Self {
        consecutive_5xx: Some(5),
        consecutive_gateway: None,
        max_fails: None,
        success_rate: None,
        failure_percentage: None,
        interval: Duration::from_secs(10),
        base_ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(300),
        max_ejection_percent: 10,
        count_500: true,
        rest_on_retry_after: false,
    };

    /// What no block means: only what shows that an endpoint is down or broken. A 500 may be one client's bad input.
    pub const UNASKED: Self = Self { consecutive_5xx: None, consecutive_gateway: Some(5), ..Self::BLOCK };

    /// Whether requests and failures are counted over an interval.
    #[must_use]
    pub fn compares_rates(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}
