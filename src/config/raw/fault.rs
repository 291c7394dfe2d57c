//! `routes.X.fault`.

use std::borrow::Cow;
use std::fmt;

use http::StatusCode;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::{Many, Named};
use super::percentage::Percentage;
use super::route::ValueMatch;
use super::timestamp::Timestamp;
use super::values::{Network, Time, text_value};
use crate::config::de::{invalid, with_hint};
use crate::config::model;

/// Faults injected on purpose, to see what clients make of them. They never count as a failure of an endpoint.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Fault {
    /// Hold requests back before they are forwarded. The time counts against the route's `timeout`.
    pub(in crate::config) delay: Option<Delay>,
    /// Answer with a failure instead of forwarding. Drawn by itself, after the delay.
    pub(in crate::config) abort: Option<Abort>,
    /// Disturb event and gRPC streams.
    pub(in crate::config) stream: Option<Stream>,
    /// Let some clients ask for faults. Default: their wishes are ignored.
    pub(in crate::config) by_header: Option<ByHeader>,
    /// Faults active at once, on this route; more are not injected. Default: 100.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) max_active: Option<u64>,
    /// Moment from which nothing is injected any more. Default: none.
    pub(in crate::config) until: Option<Timestamp>,
}

/// A delay.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "DelayFault")]
pub(in crate::config) struct Delay {
    /// Share of the requests. Required.
    pub(in crate::config) percentage: Option<Percentage>,
    /// How long, up to 1h. Required.
    pub(in crate::config) fixed_delay: Option<Time>,
    /// Only requests with these header fields. Default: all.
    pub(in crate::config) when_header: Option<Named<ValueMatch>>,
}

/// An abort: either `httpStatus` or `grpcStatus`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "AbortFault")]
pub(in crate::config) struct Abort {
    /// Share of the requests. Required.
    pub(in crate::config) percentage: Option<Percentage>,
    /// Status of the answer; gRPC calls get the code that stands for it.
    pub(in crate::config) http_status: Option<FailureStatus>,
    /// gRPC code of the answer, by name or number; other requests get the HTTP status that stands for it.
    pub(in crate::config) grpc_status: Option<GrpcCode>,
    /// Only requests with these header fields. Default: all.
    pub(in crate::config) when_header: Option<Named<ValueMatch>>,
}

/// A disturbance of streams: at least one of `cutAfterEvents` and `delayBetweenEvents`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "StreamFault")]
pub(in crate::config) struct Stream {
    /// Share of the streams. Required.
    pub(in crate::config) percentage: Option<Percentage>,
    /// Break off after so many events or messages. Default: never.
    pub(in crate::config) cut_after_events: Option<u64>,
    /// Least time between two events or messages, up to 1h. Default: none.
    pub(in crate::config) delay_between_events: Option<Time>,
    /// Only requests with these header fields. Default: all.
    pub(in crate::config) when_header: Option<Named<ValueMatch>>,
}

/// Faults that clients ask for with `x-attache-fault-delay: 2s` and `x-attache-fault-abort: 503`. At least one of
/// `clients` and `whenHeader` says who may; where both do, both must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "FaultByHeader")]
pub(in crate::config) struct ByHeader {
    /// Networks of the clients that may ask.
    pub(in crate::config) clients: Option<Many<Network>>,
    /// Header fields that the requests of those that may ask carry.
    pub(in crate::config) when_header: Option<Named<ValueMatch>>,
    /// Share of the wishes that come true. Default: 100%.
    pub(in crate::config) percentage: Option<Percentage>,
    /// The longest delay; longer wishes are cut to it. Up to 1h. Default: 10s.
    pub(in crate::config) max_delay: Option<Time>,
}

/// A status that is a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct FailureStatus(pub(in crate::config) StatusCode);

impl<'de> Deserialize<'de> for FailureStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u16::deserialize(deserializer)?;
        match StatusCode::from_u16(code) {
            Ok(status) if (400..=599).contains(&code) => Ok(Self(status)),
            _ => Err(invalid(
                format!("{code} is not the status of a failure"),
                "400 to 599; a route with `respond` gives other answers",
            )),
        }
    }
}

impl JsonSchema for FailureStatus {
    fn schema_name() -> Cow<'static, str> {
        "FailureStatus".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 400, "maximum": 599 })
    }
}

/// A gRPC code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct GrpcCode(pub(in crate::config) model::GrpcStatus);

text_value!(GrpcCode, grpc_code, "a gRPC status such as `UNAVAILABLE`", {
    "type": ["string", "integer"],
    "description": "A gRPC status by name or number, other than OK: UNAVAILABLE, 14."
});

fn grpc_code(text: &str) -> Result<GrpcCode, String> {
    let by_number = || model::GrpcStatus::from_code(text.parse().ok()?);
    by_number().or_else(|| model::GrpcStatus::from_name(text)).map(GrpcCode).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` is not the gRPC status of a failure"),
            "write `UNAVAILABLE`, `DEADLINE_EXCEEDED` or a number from 1 to 16",
        )
    })
}
