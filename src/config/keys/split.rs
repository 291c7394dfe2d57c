//! `routes.X.split` and `routes.X.rollout`.

use std::fmt;
use std::time::{Duration, SystemTime};

use schemars::json_schema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::cluster::HashKeyFields;
use super::{ANY, Count, List, MILLION, Time, Timestamp, choice, find, schema_of, section, text_or, text_value};
use crate::config::de::with_hint;
use crate::config::forms::values::time;
use crate::config::types::HashKey;

/// What keeps a caller with its cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sticky {
    /// What a caller is known by.
    pub key: HashKey,
    /// File with what its cookies are made with.
    pub key_file: Option<String>,
}

section! {
    #[derive()]
    /// A header or a cookie.
    pub(in crate::config) struct StickyFields [schemars(extend("minProperties" = 1))] {
        /// A request header.
        header: Option<String>,
        /// A cookie that the gateway sets.
        cookie: Option<String>,
        /// File with a secret of at least 16 bytes that the cookie is made with, so that nobody can compute one.
        /// Gateways that share callers need the same. Default: a key from the private keys of the listeners'
        /// certificates, or where there are none one that is made at the start and ends with the process.
        key_file: Option<String>,
    }

    #[derive()]
    /// The long form of a split.
    pub(in crate::config) struct SplitFields {
        /// The clusters and their shares.
        clusters: Vec<Part> as List<Part> = [],
        /// What keeps a caller with the cluster it was given: `clientIp`, `{ header: name }`, or `{ cookie: name }`, a
        /// cookie that the gateway sets. Default: nothing.
        sticky: Option<Sticky>,
        /// `{ header: name }` or `{ cookie: name }` whose value names the cluster, for testers; it reaches a cluster of
        /// weight 0 too. Default: none.
        chosen_by: Option<HashKey>,
    }

    #[derive()]
    /// One cluster's share.
    pub(in crate::config) struct Part {
        /// The cluster.
        cluster: Option<String> [schemars(required)],
        /// Its share of the sum of all weights; 0 gets nothing.
        weight: Option<u32> as Count<0, MILLION> [schemars(required)],
    }

    #[derive(PartialEq)]
    /// Moves a split's weights step by step, in Argo Rollouts' words.
    pub struct Rollout {
        /// The new version: one of the split's clusters.
        canary: Option<String> [schemars(required)],
        /// The same as the split's `sticky`.
        sticky: Option<Sticky>,
        /// What happens, in order.
        steps: Vec<Step> [schemars(required)],
        /// What the canary is measured by. Default: nothing, the steps follow the clock.
        analysis: Option<Analysis>,
        /// What a failed analysis does: `rollback` or `pause`.
        on_failure: OnFailure = rollback,
        /// What becomes of work that runs on the losing side at the end: `finish` or `cut`.
        losing: Losing = finish,
        /// When the first step begins, such as `2026-12-01T08:00:00Z`; gateways with the same moment move in step.
        /// Default: when the rollout is first read.
        start_at: Option<SystemTime> as Timestamp,
    }

    #[derive(PartialEq)]
    /// One step; exactly one of these.
    pub struct Step [schemars(extend("minProperties" = 1, "maxProperties" = 1))] {
        /// The canary's share in percent.
        set_weight: Option<u32> as Count<0, 100>,
        /// Wait: `5m`, or `{ duration: 5m }`; `{}` waits for `attache rollout resume`.
        pause: Option<Pause>,
    }

    #[derive()]
    /// The long form of a wait.
    pub(in crate::config) struct PauseFields [schemars(rename = "Pause")] {
        /// How long. Default: until an operator resumes.
        duration: Option<Duration> as Time,
    }

    #[derive(PartialEq, Serialize)]
    /// How the canary is measured.
    pub struct Analysis {
        /// The step, counted from 0, with which measuring begins; it goes on to the end.
        starting_step: usize as Count<0, ANY> = 0,
        /// Time between measurements.
        interval: Duration as Time = 30s,
        /// Conclusive measurements before a step is left.
        count: u32 as Count<1, MILLION> = 1,
        /// Failed measurements of one metric that are forgiven.
        failure_limit: u32 as Count<0, MILLION> = 0,
        /// Finished requests a measurement needs; with fewer it is inconclusive, the step holds and the window goes on.
        min_requests: u64 as Count<1, MILLION> = 50,
        /// What is measured.
        metrics: Vec<Metric> [schemars(required)],
    }

    #[derive(Copy, PartialEq, Serialize)]
    /// One number and what it must be.
    pub struct Metric {
        /// `success-rate`, `latency-p99` or `latency-p95`.
        measure: Option<Measure> [serde(rename = "name"), schemars(required)],
        /// `>= 0.95`, `<= 0.5s`, or against the other versions: `>= stable - 0.02`, `<= stable * 1.2`.
        condition: Option<Condition> [serde(rename = "successCondition"), schemars(required)],
    }
}

choice! {
    /// What a failed analysis does.
    pub enum OnFailure {
        /// The canary gets nothing any more.
        Rollback = ["rollback"],
        /// Everything stays as it is until an operator decides.
        Pause = ["pause"],
    }

    /// What becomes of work that runs on the side that lost.
    pub enum Losing {
        /// It runs to its end.
        Finish = ["finish", "drain"],
        /// Its streams are aborted within a second.
        Cut = ["cut", "abort"],
    }

    /// A number of the canary's traffic.
    pub enum Measure {
        /// Part of requests that neither failed upstream nor were answered 5xx, 0 to 1.
        SuccessRate = ["success-rate"],
        /// 99th percentile of the time to the end of an answer, for streams to its head, in seconds.
        LatencyP99 = ["latency-p99", "p99"],
        /// 95th percentile of the same.
        LatencyP95 = ["latency-p95", "p95"],
    }
}

impl Analysis {
    /// Whether any number is compared with the other versions'.
    #[must_use]
    pub fn compares(&self) -> bool {
        let mut conditions = self.metrics.iter().filter_map(|metric| metric.condition);
        conditions.any(|condition| !matches!(condition.threshold, Threshold::Value(_)))
    }
}

impl TryFrom<StickyFields> for Sticky {
    type Error = String;
    fn try_from(fields: StickyFields) -> Result<Self, String> {
        let StickyFields { header, cookie, key_file } = fields;
        if key_file.is_some() && cookie.is_none() {
            return Err(with_hint("only a cookie is made with a key", "take `keyFile` out, or write `cookie`"));
        }
        let key = HashKeyFields { header, cookie }.try_into()?;
        Ok(Self { key, key_file })
    }
}

text_or!(
    Sticky, StickyFields, "`clientIp`, `{ header: .. }` or `{ cookie: .. }`",
    |text| find(text).map(|key| Self { key, key_file: None }),
    { "const": "clientIp" }
);

/// The shares of a split: a list of them, or a mapping with more.
#[derive(Clone, Debug)]
pub(in crate::config) struct Split(pub(in crate::config) SplitFields);

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = SplitFields;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of `{ cluster: .., weight: .. }`, or a mapping with `clusters`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<SplitFields, A::Error> {
                Ok(SplitFields {
                    clusters: Vec::deserialize(SeqAccessDeserializer::new(seq))?,
                    ..SplitFields::default()
                })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SplitFields, A::Error> {
                SplitFields::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_any(Either).map(Self)
    }
}

schema_of!(Split as "Split", |generator| {
    let list = json_schema!({ "type": "array", "items": generator.subschema_for::<Part>() });
    json_schema!({ "anyOf": [list, generator.subschema_for::<SplitFields>()] })
});

/// A wait: how long, or until an operator resumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pause(pub(in crate::config) Option<Duration>);

impl TryFrom<PauseFields> for Pause {
    type Error = String;
    fn try_from(fields: PauseFields) -> Result<Self, String> {
        Ok(Self(fields.duration))
    }
}

text_or!(
    Pause as "PauseOrDuration", PauseFields, "a duration such as `5m`, or `{}`",
    |text| time(text).map(|time| Self(Some(time.0))),
    as Time
);

/// A comparison with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Condition {
    /// How it is compared.
    pub comparison: Comparison,
    /// With what.
    pub threshold: Threshold,
    /// The unit in which that was written.
    #[serde(skip)]
    pub unit: Unit,
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

/// Unit of a condition's number. Whether it fits is judged with the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds; what was written in another unit is converted.
    Time,
    /// A share, written with `%`.
    Percent,
    /// A bare number.
    None,
    /// A factor, which has no unit.
    Factor,
}

text_value!(Condition as "SuccessCondition", success_condition, "a condition such as `>= 0.95`", {
    "type": "string",
    "description": "A comparison: `>= 0.95`, `<= 0.5s`, `>= stable - 0.02`, `<= stable * 1.2`."
});

fn success_condition(text: &str) -> Result<Condition, String> {
    let shape = || {
        with_hint(
            format!("`{text}` is not a condition"),
            "write `>= 0.95`, `<= 0.5s`, `>= stable - 0.02` or `<= stable * 1.2`",
        )
    };
    // Argo's conditions begin with what is compared.
    let rest = text.trim();
    let rest = rest.strip_prefix("result").map_or(rest, |rest| rest.strip_prefix("[0]").unwrap_or(rest)).trim_start();
    let comparisons =
        [(">=", Comparison::AtLeast), ("<=", Comparison::AtMost), (">", Comparison::Above), ("<", Comparison::Below)];
    let (comparison, rest) = comparisons
        .iter()
        .find_map(|(sign, comparison)| Some((*comparison, rest.strip_prefix(sign)?.trim_start())))
        .ok_or_else(shape)?;
    let (threshold, unit) = match rest.strip_prefix("stable").map(str::trim_start) {
        None => {
            let (value, unit) = number(rest).ok_or_else(shape)?;
            (Threshold::Value(value), unit)
        }
        Some("") => (Threshold::StableTimes(1.0), Unit::Factor),
        Some(rest) => {
            let (sign, operand) = rest.split_at_checked(1).ok_or_else(shape)?;
            let (value, unit) = number(operand.trim_start()).ok_or_else(shape)?;
            match sign {
                "*" if unit == Unit::None => (Threshold::StableTimes(value), Unit::Factor),
                "+" => (Threshold::StablePlus(value), unit),
                "-" => (Threshold::StablePlus(-value), unit),
                _ => return Err(shape()),
            }
        }
    };
    Ok(Condition { comparison, threshold, unit })
}

fn number(text: &str) -> Option<(f64, Unit)> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let number: f64 = number.parse().ok()?;
    match unit.trim() {
        "" => Some((number, Unit::None)),
        "%" => Some((number / 100.0, Unit::Percent)),
        "ms" => Some((number / 1000.0, Unit::Time)),
        "s" => Some((number, Unit::Time)),
        "m" => Some((number * 60.0, Unit::Time)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        for (text, comparison, threshold, unit) in [
            (">= 0.95", AtLeast, Threshold::Value(0.95), Unit::None),
            ("result[0] >= 0.95", AtLeast, Threshold::Value(0.95), Unit::None),
            (">=95%", AtLeast, Threshold::Value(0.95), Unit::Percent),
            ("<= 0.5s", AtMost, Threshold::Value(0.5), Unit::Time),
            ("< 500ms", Below, Threshold::Value(0.5), Unit::Time),
            ("> stable", Above, Threshold::StableTimes(1.0), Unit::Factor),
            (">= stable - 0.02", AtLeast, Threshold::StablePlus(-0.02), Unit::None),
            ("<= stable + 100ms", AtMost, Threshold::StablePlus(0.1), Unit::Time),
            ("<= stable*1.2", AtMost, Threshold::StableTimes(1.2), Unit::Factor),
        ] {
            assert_eq!(success_condition(text), Ok(Condition { comparison, threshold, unit }), "{text}");
        }
        for text in ["", ">=", "0.95", "== 1", ">= stable / 2", ">= x", "<= stable * 2s", ">= 0.9.5"] {
            assert!(success_condition(text).is_err(), "{text}");
        }
    }
}
