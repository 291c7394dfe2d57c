//! `clusters.X.outlierDetection` and `clusters.X.panic`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::OrOff;
use super::listener::Count;
use super::values::Time;
use super::words::{Word, Words, words};
use crate::config::de::with_hint;
use crate::config::model::PanicAction;

/// When traffic takes an endpoint out.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(transform = other_words)]
pub(in crate::config) struct OutlierDetection {
    /// Failures in a row, every 5xx but 501 and 505 included. Default: 5, or off with `maxFails`.
    #[serde(rename = "consecutive5xxErrors", alias = "consecutiveErrors")]
    pub(in crate::config) consecutive_5xx_errors: Option<OrOff<Count>>,
    /// Failures in a row that show an endpoint down or broken: no connection, reset, timeout, an answer that breaks off
    /// or is no HTTP, 502, 503, 504. Default: off.
    pub(in crate::config) consecutive_gateway_errors: Option<OrOff<Count>>,
    /// Failures within any span of `failTimeout`, then out for `failTimeout`. At most 10000. Default: off.
    pub(in crate::config) max_fails: Option<OrOff<Count>>,
    /// Window of `maxFails`, and the time out. Default: 10s.
    pub(in crate::config) fail_timeout: Option<Time>,
    /// Ejects endpoints that succeed much less often than the others. Default: off.
    pub(in crate::config) success_rate: Option<OrOff<SuccessRate>>,
    /// Ejects endpoints of which too large a share of requests fails. Default: off.
    pub(in crate::config) failure_percentage: Option<OrOff<FailurePercentage>>,
    /// Whether a 500 is a failure. Default: true.
    pub(in crate::config) count500: Option<bool>,
    /// How often rates are compared and the ejection time of a healthy endpoint goes down a step. Default: 10s.
    pub(in crate::config) interval: Option<Time>,
    /// Time out, times the number of ejections. Default: 30s.
    pub(in crate::config) base_ejection_time: Option<Time>,
    /// Longest time out. Default: 5m, or baseEjectionTime where that is more.
    pub(in crate::config) max_ejection_time: Option<Time>,
    /// Share of the endpoints that may be out: at least one when there is another, never the last usable one. Default:
    /// 10%.
    pub(in crate::config) max_ejection_percent: Option<Share>,
    /// Istio's word for `panic.threshold`. Default: what `panic` says.
    pub(in crate::config) min_health_percent: Option<Share>,
    /// Whether a 429 or 503 with Retry-After rests the endpoint for so long, at most maxEjectionTime. Default: false.
    pub(in crate::config) rest_on_retry_after: Option<bool>,
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

/// Ejects endpoints that succeed much less often than the others.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct SuccessRate {
    /// Endpoints with enough requests that are needed to compare. Default: 5.
    pub(in crate::config) min_hosts: Option<u64>,
    /// Requests in an interval that make an endpoint comparable. Default: 100.
    pub(in crate::config) min_requests: Option<u64>,
    /// Standard deviations below the mean. Default: 1.9.
    pub(in crate::config) stdev_factor: Option<f64>,
}

/// Ejects endpoints of which too large a share of requests fails.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct FailurePercentage {
    /// Failed share of the requests in an interval from which on an endpoint is out. Default: 85%.
    pub(in crate::config) threshold: Option<Share>,
    /// Endpoints with enough requests that are needed to judge. Default: 5.
    pub(in crate::config) min_hosts: Option<u64>,
    /// Requests in an interval that make an endpoint judgeable. Default: 50.
    pub(in crate::config) min_requests: Option<u64>,
}

/// What happens when too few endpoints are usable.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Panic {
    /// Usable share of the endpoints below which there is panic. Default: 50%.
    pub(in crate::config) threshold: Option<Share>,
    /// `balance` sends to all endpoints, `fail` answers 503 at once. Default: balance.
    pub(in crate::config) action: Option<Word<PanicAction>>,
}

words!(
    PanicAction, "PanicAction",
    Self::Balance => ["balance", "balance-over-all"],
    Self::Fail => ["fail", "fail-traffic", "refuse"],
);

/// A whole percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Share(pub(in crate::config) u32);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Share;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a percentage such as `50%`")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                share(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Istio's fields hold bare whole numbers, which cannot be mistaken; a fraction can.
fn share(text: &str) -> Result<Share, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    match number.parse::<u32>() {
        Ok(percent) if percent <= 100 => Ok(Share(percent)),
        Ok(_) => Err(with_hint(format!("`{text}` is more than everything"), "`0%` to `100%`")),
        Err(_) if number.parse::<f64>().is_ok() => {
            Err(with_hint(format!("`{text}` is not a whole percentage"), "write `50%` for one half"))
        }
        Err(_) => Err(with_hint(format!("`{text}` is not a percentage"), "write `50%`")),
    }
}

impl JsonSchema for Share {
    fn schema_name() -> Cow<'static, str> {
        "Share".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole percentage: 50%.",
            "anyOf": [
                { "type": "string", "pattern": "^([0-9]+%?|.*[$][{].*)$" },
                { "type": "integer", "minimum": 0, "maximum": 100 }
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        for (text, percent) in [("0%", 0), ("50%", 50), ("50", 50), ("100%", 100)] {
            assert_eq!(share(text).unwrap().0, percent, "{text}");
        }
        for text in ["", "%", "0.5", "101%", "-1%", "half", "50 %", "50%%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
