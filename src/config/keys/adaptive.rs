//! `clusters.X.adaptiveConcurrency`: how many requests a cluster carries at once, found out by how long its answers
//! take.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::{Count, Millis, OUT_OF_RANGE, section, written};
use crate::config::de::invalid;

section! {
    #[derive(PartialEq, Eq)]
    /// A limit on requests under way that are no streams. It grows while answers come as fast as usual and shrinks when
    /// they take longer; what is beyond it is refused at once with 503 and the reason `circuit_open`.
    pub struct AdaptiveConcurrency {
        /// The limit at the start.
        initial: usize as Count<1, 100_000> = 20,
        /// It never shrinks below this.
        min: usize as Count<1, 100_000> = 4,
        /// It never grows beyond this.
        max: usize as Count<1, 100_000> = 1000,
        /// How many times as long as usual answers may take before it shrinks, 1.1 to 10.
        tolerance_thousandths: u32 as Tolerance = 2 [serde(rename = "tolerance")],
        /// How often it is set anew, if there were enough answers. Up to 1m.
        window: Duration as Millis<100, 60_000> = 1s,
    }
}

/// A number of times, in thousandths.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(in crate::config) struct Tolerance(#[schemars(with = "f64", range(min = 1.1, max = 10.0))] u32);

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let times = f64::deserialize(deserializer)?;
        if !(1.1..=10.0).contains(&times) {
            return Err(invalid(OUT_OF_RANGE, "1.1 to 10"));
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a range that fits")]
        let thousandths = (times * 1000.0).round() as u32;
        Ok(Self(thousandths))
    }
}

written!(Tolerance => u32);

impl AdaptiveConcurrency {
    /// How many times as long as usual answers may take.
    #[must_use]
    pub fn tolerance(&self) -> f64 {
        f64::from(self.tolerance_thousandths) / 1000.0
    }
}

impl fmt::Display for AdaptiveConcurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (initial, min, max, times) = (self.initial, self.min, self.max, self.tolerance());
        write!(f, "requests {initial} at the start, then {min} to {max} as answers take up to {times} times the usual")
    }
}
