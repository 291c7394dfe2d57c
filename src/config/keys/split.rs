//! `routes.X.split` and `routes.X.rollout`.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::cluster::HashKeyFields;
use super::{ANY, Count, List, MILLION, Time, Timestamp, find, section, text_or, text_value, word_values, words};
use crate::config::de::with_hint;
use crate::config::forms::either::TextOr;
use crate::config::forms::values::time;
use crate::config::types::{Comparison, Condition, HashKey, Losing, Measure, OnFailure, Threshold};

/// A list of shares, or a mapping with more.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct Split {
    pub(in crate::config) parts: Vec<Part>,
    pub(in crate::config) listed: bool,
    pub(in crate::config) sticky: Option<Sticky>,
    pub(in crate::config) chosen_by: Option<HashKey>,
}

/// What keeps a caller with its cluster.
#[derive(Clone, Debug)]
pub(in crate::config) struct Sticky {
    pub(in crate::config) key: HashKey,
    pub(in crate::config) key_file: Option<String>,
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

    #[derive()]
    /// Moves a split's weights step by step, in Argo Rollouts' words.
    pub(in crate::config) struct Rollout {
        /// The new version: one of the split's clusters.
        canary: Option<String> [schemars(required)],
        /// The same as the split's `sticky`.
        sticky: Option<Sticky>,
        /// What happens, in order.
        steps: Option<Vec<Step>> [schemars(required)],
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

    #[derive()]
    /// One step; exactly one of these.
    pub(in crate::config) struct Step [schemars(extend("minProperties" = 1, "maxProperties" = 1))] {
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

    #[derive()]
    /// How the canary is measured.
    pub(in crate::config) struct Analysis {
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
        metrics: Option<Vec<Metric>> [schemars(required)],
    }

    #[derive()]
    /// One number and what it must be.
    pub(in crate::config) struct Metric {
        /// `success-rate`, `latency-p99` or `latency-p95`.
        name: Option<Measure> [schemars(required)],
        /// `>= 0.95`, `<= 0.5s`, or against the other versions: `>= stable - 0.02`, `<= stable * 1.2`.
        success_condition: Option<SuccessCondition> [schemars(required)],
    }
}

impl TryFrom<StickyFields> for Sticky {
    type Error = String;
    fn try_from(fields: StickyFields) -> Result<Self, String> {
        let StickyFields { header, cookie, key_file } = fields;
        if key_file.is_some() && cookie.is_none() {
            return Err(with_hint(
                "only a cookie is made with a key".to_owned(),
                "take `keyFile` out, or write `cookie`",
            ));
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

impl<'de> Deserialize<'de> for Split {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Split;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of `{ cluster: .., weight: .. }`, or a mapping with `clusters`")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Split, A::Error> {
                let parts = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
                Ok(Split { parts, listed: true, ..Split::default() })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Split, A::Error> {
                let fields = SplitFields::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Split { parts: fields.clusters, listed: false, sticky: fields.sticky, chosen_by: fields.chosen_by })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for Split {
    fn schema_name() -> Cow<'static, str> {
        "Split".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "array", "items": generator.subschema_for::<Part>() },
            generator.subschema_for::<SplitFields>()
        ] })
    }
}

/// A wait: how long, or until an operator resumes.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Pause(pub(in crate::config) Option<Duration>);

impl TryFrom<PauseFields> for Pause {
    type Error = String;
    fn try_from(fields: PauseFields) -> Result<Self, String> {
        Ok(Self(fields.duration))
    }
}

impl<'de> Deserialize<'de> for Pause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOr::<Self, PauseFields>::new("a duration such as `5m`, or `{}`", |text| {
            time(text).map(|time| Self(Some(time.0)))
        }))
    }
}

impl JsonSchema for Pause {
    fn schema_name() -> Cow<'static, str> {
        "PauseOrDuration".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (short, long) = (generator.subschema_for::<Time>(), generator.subschema_for::<PauseFields>());
        json_schema!({ "anyOf": [short, long] })
    }
}

words!(
    OnFailure, "OnFailure",
    Self::Rollback => ["rollback"],
    Self::Pause => ["pause"],
);
words!(
    Losing, "Losing",
    Self::Finish => ["finish", "drain"],
    Self::Cut => ["cut", "abort"],
);
words!(
    Measure, "Measure",
    Self::SuccessRate => ["success-rate"],
    Self::LatencyP99 => ["latency-p99", "p99"],
    Self::LatencyP95 => ["latency-p95", "p95"],
);

/// A condition as it was read: whether its number had a unit of time is judged with the metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::config) struct SuccessCondition {
    pub(in crate::config) condition: Condition,
    pub(in crate::config) unit: Unit,
}

/// Unit of a condition's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Unit {
    /// Seconds; what was written in another unit is converted.
    Time,
    /// A share, written with `%`.
    Percent,
    /// A bare number.
    None,
    /// A factor, which has no unit.
    Factor,
}

text_value!(SuccessCondition, success_condition, "a condition such as `>= 0.95`", {
    "type": "string",
    "description": "A comparison: `>= 0.95`, `<= 0.5s`, `>= stable - 0.02`, `<= stable * 1.2`."
});

fn success_condition(text: &str) -> Result<SuccessCondition, String> {
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
    Ok(SuccessCondition { condition: Condition { comparison, threshold }, unit })
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

word_values!(OnFailure, Losing, Measure);

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
            let read = success_condition(text).unwrap();
            let condition = Condition { comparison, threshold };
            assert_eq!((read.condition, read.unit), (condition, unit), "{text}");
        }
        for text in ["", ">=", "0.95", "== 1", ">= stable / 2", ">= x", "<= stable * 2s", ">= 0.9.5"] {
            assert!(success_condition(text).is_err(), "{text}");
        }
    }
}
