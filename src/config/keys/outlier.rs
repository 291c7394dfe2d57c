//! `clusters.X.outlierDetection` and `clusters.X.panic`.

use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer};

use super::{Count, Limit, MILLION, OUT_OF_RANGE, OrOff, Share, choice, section, written};
use crate::config::de::invalid;
use crate::config::units::time;

section! {
    #[derive(PartialEq, Eq)]
    /// When traffic takes an endpoint out.
    pub struct OutlierDetection [schemars(transform = other_words)] {
        /// Failures in a row, every 5xx but 501 and 505 included. Default: 5, or off with `maxFails`.
        consecutive_5xx_errors: Option<u32> as OrOff<Count<0, MILLION>>; one of words [
            serde(rename = "consecutive5xxErrors", alias = "consecutiveErrors")
        ],
        /// Failures in a row that show an endpoint down or broken: no connection, reset, timeout, an answer that breaks
        /// off or is no HTTP, 502, 503, 504.
        consecutive_gateway_errors: u32 as OrOff<Count<0, MILLION>> = off,
        // The time of each is kept for each endpoint.
        /// Failures within any span of `failTimeout`, then out for `failTimeout`. At most 10000.
        max_fails: u32 as OrOff<Count<0, 10_000>> = off,
        // nginx's.
        /// Window of `maxFails`, and the time out.
        fail_timeout: Duration as Limit = 10s,
        /// Ejects endpoints that succeed much less often than the others.
        success_rate: Option<SuccessRate> as OrOff<SuccessRate> = off,
        /// Ejects endpoints of which too large a share of requests fails.
        failure_percentage: Option<FailurePercentage> as OrOff<FailurePercentage> = off,
        /// Whether a 500 is a failure.
        count500: bool = true,
        /// How often rates are compared and the ejection time of a healthy endpoint goes down a step.
        interval: Duration as Limit = 10s,
        /// Time out, times the number of ejections.
        base_ejection_time: Duration as Limit = 30s,
        /// Longest time out. Default: 5m, or baseEjectionTime where that is more.
        max_ejection_time: Option<Duration> as Limit,
        /// Share of the endpoints that may be out: at least one when there is another, never the last usable one.
        max_ejection_percent: u32 as Share = "10%",
        /// Istio's word for `panic.threshold`. Default: what `panic` says.
        min_health_percent: Option<u32> as Share,
        /// Whether a 429 or 503 with Retry-After rests the endpoint for so long, at most maxEjectionTime.
        rest_on_retry_after: bool = false,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Ejects endpoints that succeed much less often than the others.
    pub struct SuccessRate {
        // The rate of one endpoint has no deviation.
        /// Endpoints with enough requests that are needed to compare.
        min_hosts: u32 as Count<2, MILLION> = 5,
        /// Requests in an interval that make an endpoint comparable.
        min_requests: u32 as Count<1, MILLION> = 100,
        /// Standard deviations below the mean (kept in thousandths).
        stdev_thousandths: u32 as StdevFactor = 1.9 [serde(rename = "stdevFactor")],
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Ejects endpoints of which too large a share of requests fails.
    pub struct FailurePercentage {
        /// Failed share of the requests in an interval from which on an endpoint is out.
        threshold: u32 as Share = "85%",
        /// Endpoints with enough requests that are needed to judge.
        min_hosts: u32 as Count<1, MILLION> = 5,
        /// Requests in an interval that make an endpoint judgeable.
        min_requests: u32 as Count<1, MILLION> = 50,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// What happens when too few endpoints are usable.
    pub struct Panic {
        /// Usable share of the endpoints below which there is panic; 0 means never.
        threshold: u32 as Share = "50%",
        /// `balance` sends to all endpoints, `fail` answers 503 at once.
        action: PanicAction = balance,
    }
}

choice! {
    /// What is done with a request while too few endpoints are usable.
    pub enum PanicAction {
        /// It goes to any endpoint, usable or not.
        Balance = ["balance", "balance-over-all"],
        /// It is refused at once.
        Fail = ["fail", "fail-traffic", "refuse"],
    }
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
    /// The longest ejection where nothing is said.
    pub(in crate::config) const LONGEST: Duration = Duration::from_secs(300);

    /// Failures in a row where nothing is said.
    pub(in crate::config) const IN_A_ROW: u32 = 5;

    /// What no block means: only what shows that an endpoint is down or broken. A 500 may be one client's bad input.
    #[must_use]
    pub fn unasked() -> Self {
        Self { consecutive_5xx_errors: Some(0), consecutive_gateway_errors: Self::IN_A_ROW, ..Self::default() }
            .settled()
    }

    /// The same with the defaults that follow from other keys, so that two that mean the same are equal.
    #[must_use]
    pub fn settled(self) -> Self {
        let (in_a_row, longest) = (self.consecutive_5xx().unwrap_or(0), self.longest());
        Self { consecutive_5xx_errors: Some(in_a_row), max_ejection_time: Some(longest), ..self }
    }

    /// Failures in a row, every 5xx but 501 and 505 included. Who speaks of `maxFails` means it alone.
    #[must_use]
    pub fn consecutive_5xx(&self) -> Option<u32> {
        let unsaid = if self.max_fails > 0 { 0 } else { Self::IN_A_ROW };
        Some(self.consecutive_5xx_errors.unwrap_or(unsaid)).filter(|count| *count > 0)
    }

    /// Failures in a row that show an endpoint down or broken.
    #[must_use]
    pub fn consecutive_gateway(&self) -> Option<u32> {
        Some(self.consecutive_gateway_errors).filter(|count| *count > 0)
    }

    /// Failures within a window; Istio writes 0 for off.
    #[must_use]
    pub fn window(&self) -> Option<MaxFails> {
        (self.max_fails > 0).then_some(MaxFails { fails: self.max_fails, timeout: self.fail_timeout })
    }

    /// The longest ejection.
    #[must_use]
    pub fn longest(&self) -> Duration {
        self.max_ejection_time.unwrap_or_else(|| Self::LONGEST.max(self.base_ejection_time))
    }

    /// Whether requests and failures are counted over an interval.
    #[must_use]
    pub fn compares_rates(&self) -> bool {
        self.success_rate.is_some() || self.failure_percentage.is_some()
    }
}

impl OutlierDetection {
    /// What is counted by requests or over an interval, in words.
    fn causes(&self) -> impl Iterator<Item = String> {
        let but = if self.count500 { "" } else { " but 500" };
        let any = self.consecutive_5xx().map(|count| format!("{count} failures in a row (any 5xx{but})"));
        let broken = self.consecutive_gateway().map(|count| format!("{count} failures in a row (down or broken)"));
        let rate = self.success_rate.map(|_| "a success rate far below the others'".to_owned());
        let share = self.failure_percentage.map(|rate| format!("{}% failures", rate.threshold));
        [any, broken, rate, share].into_iter().flatten()
    }
}

/// What ejects an endpoint, and for how long.
impl fmt::Display for OutlierDetection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, longest) = (time(self.base_ejection_time), time(self.longest()));
        let causes: Vec<_> = self.causes().collect();
        let counted = (!causes.is_empty()).then(|| {
            let causes = causes.join(" or ");
            format!("after {causes}, for {first} times the number of ejections, at most {longest}")
        });
        let window = self.window().map(|MaxFails { fails, timeout }| {
            let timeout = time(timeout);
            format!("after {fails} failures in {timeout}, for {timeout}")
        });
        let rest = self.rest_on_retry_after.then(|| format!("after a Retry-After, for so long, at most {longest}"));
        let told: Vec<_> = [counted, window, rest].into_iter().flatten().collect();
        if told.is_empty() {
            return f.write_str("every detector is off");
        }
        write!(f, "{}; {}% of the endpoints or one, never the last", told.join("; "), self.max_ejection_percent)
    }
}

/// What happens when too few endpoints are usable.
impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { threshold: 0, .. } => f.write_str("no panic"),
            Self { threshold, action: PanicAction::Balance } => write!(f, "below {threshold}% usable all are used"),
            Self { threshold, action: PanicAction::Fail } => write!(f, "below {threshold}% usable the answer is 503"),
        }
    }
}

/// Says the second name of a field, which the schema would not know by itself.
fn other_words(schema: &mut Schema) {
    let properties = schema.get_mut("properties").and_then(|properties| properties.as_object_mut());
    if let Some(properties) = properties
        && let Some(mut field) = properties.get("consecutive5xxErrors").cloned()
    {
        if let Some(field) = field.as_object_mut() {
            let description = "Istio's older word for `consecutive5xxErrors`. Default: what that says.";
            field.insert("description".to_owned(), description.into());
        }
        properties.insert("consecutiveErrors".to_owned(), field);
    }
}

/// Standard deviations, in thousandths.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(in crate::config) struct StdevFactor(#[schemars(with = "f64", range(min = 0.1, max = 10.0))] u32);

impl<'de> Deserialize<'de> for StdevFactor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let factor = f64::deserialize(deserializer)?;
        if !(0.1..=10.0).contains(&factor) {
            return Err(invalid(OUT_OF_RANGE, "0.1 to 10"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a range that fits")]
        let thousandths = (factor * 1000.0).round() as u32;
        Ok(Self(thousandths))
    }
}

written!(StdevFactor => u32);
