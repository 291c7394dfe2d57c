//! Weighted splits of a route's traffic, and the rollouts that move their weights.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use serde::Serialize;

use super::{ClusterId, HashKey};

/// A route's traffic, divided over clusters.
#[derive(Clone, Debug)]
pub struct Split {
    /// The clusters, at least one, each once; their weights are not all 0.
    pub parts: Vec<Part>,
    /// What keeps a caller with the cluster it was given. Default: nothing.
    pub sticky: Option<HashKey>,
    /// What the cookie of `sticky` is made with. Default: a key that is made at the start.
    pub cookie_key: Option<CookieKey>,
    /// A header or cookie that names the cluster, for testers. Never [`HashKey::ClientIp`]. Default: none.
    pub chosen_by: Option<HashKey>,
    /// Moves the weights by itself.
    pub rollout: Option<Rollout>,
}

/// A key that cookies are made with, so that nobody who has one can compute another.
#[derive(Clone, PartialEq, Eq)]
pub struct CookieKey([u8; 32]);

impl CookieKey {
    /// The key that this secret stands for, whatever its length.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let hash = digest(&SHA256, secret);
        let mut key = [0; 32];
        key.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        Self(key)
    }

    /// What a cookie holds for `name`: 128 bits of HMAC-SHA256 (RFC 2104) in hexadecimal.
    #[must_use]
    pub fn token(&self, name: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        let tag = hmac::sign(&key, name.as_bytes());
        let bytes = tag.as_ref().iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }
}

/// A secret is not shown.
impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey(..)")
    }
}

/// One cluster's share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The cluster.
    #[serde(skip)]
    pub cluster: ClusterId,
    /// Its name in the file.
    pub name: String,
    /// Share of the sum of the weights; 0 gets nothing.
    pub weight: u32,
}

/// Steps from the first share of the new version to all of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollout {
    /// Index of the new version among the parts.
    pub canary: usize,
    /// What happens, in order; at least one.
    pub steps: Vec<Step>,
    /// What the canary is measured by. Default: nothing, the steps follow the clock.
    pub analysis: Option<Analysis>,
    /// What a failed analysis does. Default: rollback.
    pub on_failure: OnFailure,
    /// What becomes of work that runs on the losing side at the end. Default: finish.
    pub losing: Losing,
    /// When the first step begins; several gateways with the same moment move in step. Default: when it is first read.
    pub start_at: Option<SystemTime>,
}

/// One step of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    /// The canary's share in percent.
    SetWeight(u32),
    /// Time to pass, or `None` until an operator resumes.
    Pause(Option<Duration>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetWeight(weight) => write!(f, "{weight} %"),
            Self::Pause(Some(duration)) => write!(f, "wait {duration:?}"),
            Self::Pause(None) => f.write_str("wait for resume"),
        }
    }
}

/// What a failed analysis does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// The canary gets nothing any more.
    Rollback,
    /// Everything stays as it is until an operator decides.
    Pause,
}

/// What becomes of work that runs on the side that lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Losing {
    /// It runs to its end.
    Finish,
    /// Its streams are aborted within a second.
    Cut,
}

/// How the canary is measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Analysis {
    /// Step, counted from 0, with which measuring begins. Default 0.
    pub starting_step: usize,
    /// Time between measurements. Default 30 s.
    pub interval: Duration,
    /// Conclusive measurements before a step is left. Default 1.
    pub count: u32,
    /// Failed measurements of one metric that are forgiven. Default 0.
    pub failure_limit: u32,
    /// Finished requests a measurement needs to be conclusive. Default 50.
    pub min_requests: u64,
    /// What is measured, at least one.
    pub metrics: Vec<Metric>,
}

impl Analysis {
    /// Whether any number is compared with the other versions'.
    #[must_use]
    pub fn compares(&self) -> bool {
        self.metrics.iter().any(|metric| !matches!(metric.condition.threshold, Threshold::Value(_)))
    }
}

/// One number and what it must be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metric {
    /// The number.
    pub measure: Measure,
    /// What it must be.
    pub condition: Condition,
}

/// A number of the canary's traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Share of requests that neither failed upstream nor were answered 5xx, 0 to 1.
    SuccessRate,
    /// 99th percentile of the time to the end of an answer, for streams to its head, in seconds.
    LatencyP99,
    /// 95th percentile of the same.
    LatencyP95,
}

impl Measure {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SuccessRate => "success-rate",
            Self::LatencyP99 => "latency-p99",
            Self::LatencyP95 => "latency-p95",
        }
    }
}

/// A comparison with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: Threshold,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Comparison {
    /// `>=`
    AtLeast,
    /// `>`
    Above,
    /// `<=`
    AtMost,
    /// `<`
    Below,
}

/// What a number is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub enum Threshold {
    /// A fixed value, in the measure's own unit.
    Value(f64),
    /// The other versions' number, times this.
    StableTimes(f64),
    /// The other versions' number, plus this.
    StablePlus(f64),
}
