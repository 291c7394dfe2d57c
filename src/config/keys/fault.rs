//! `routes.X.fault`: what a route does to requests on purpose.

use std::borrow::Cow;
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::{Count, MILLION, Many, Millis, Named, Network, Percentage, Timestamp, section, text_value, written};
use crate::config::de::{invalid, with_hint};
use crate::config::types::{HeaderMatch, ValueMatch};
use crate::error::CallError;

section! {
    #[derive()]
    /// Faults injected on purpose, to see what clients make of them. They never count as a failure of an endpoint.
    pub struct Fault {
        /// Hold requests back before they are forwarded. The time counts against the route's `timeout`.
        delay: Option<DelayFault>,
        /// Answer with a failure instead of forwarding. Drawn by itself, after the delay.
        abort: Option<AbortFault>,
        /// Disturb event and gRPC streams.
        stream: Option<StreamFault>,
        /// Let some clients ask for faults. Default: their wishes are ignored.
        by_header: Option<FaultByHeader>,
        /// Faults active at once, on this route; more are not injected.
        max_active: usize as Count<1, MILLION> = 100,
        /// Moment from which nothing is injected any more. Default: none.
        until: Option<Duration> as Timestamp,
    }

    #[derive()]
    /// A delay.
    pub struct DelayFault {
        /// Share of the requests. Required.
        percentage: Percentage,
        /// How long, up to 1h. Required.
        fixed_delay: Option<Duration> as Millis<1, HOUR>,
        /// Only requests with these header fields; with none of them, all.
        when_header: Vec<HeaderMatch> as Named<ValueMatch> = {},
    }

    #[derive()]
    /// An abort: one of `httpStatus`, `grpcStatus` and `a2aError`.
    pub struct AbortFault {
        /// Share of the requests. Required.
        percentage: Percentage,
        /// Status of the answer; gRPC calls get the code that stands for it.
        http_status: Option<StatusCode> as FailureStatus; one of status,
        /// gRPC code of the answer, by name or number; other requests get the HTTP status that stands for it.
        grpc_status: Option<GrpcStatus>; one of status,
        /// Error of A2A for recognised calls, by name or code, as an agent would answer it; other requests pass.
        a2a_error: Option<CallError>; one of status,
        /// Only requests with these header fields; with none of them, all.
        when_header: Vec<HeaderMatch> as Named<ValueMatch> = {},
    }

    #[derive()]
    /// A disturbance of streams: at least one of `cutAfterEvents` and `delayBetweenEvents`.
    pub struct StreamFault {
        /// Share of the streams. Required.
        percentage: Percentage,
        /// Break off after so many events or messages. Default: never.
        cut_after_events: Option<u64>,
        /// Least time between two events or messages, up to 1h. Default: none.
        delay_between_events: Option<Duration> as Millis<1, HOUR>,
        /// Only requests with these header fields; with none of them, all.
        when_header: Vec<HeaderMatch> as Named<ValueMatch> = {},
    }

    #[derive()]
    /// Faults that clients ask for with `x-attache-fault-delay: 2s` and `x-attache-fault-abort: 503`. At least one of
    /// `clients` and `whenHeader` says who may; where both do, both must hold.
    pub struct FaultByHeader {
        /// Networks of the clients that may ask.
        clients: Vec<IpNet> as Many<Network> = [],
        /// Header fields that the requests of those that may ask carry.
        when_header: Vec<HeaderMatch> as Named<ValueMatch> = {},
        /// Share of the wishes that come true.
        percentage: Percentage = "100%",
        /// The longest delay; longer wishes are cut to it. Up to 1h.
        max_delay: Duration as Millis<1, HOUR> = 10s,
    }
}

/// In milliseconds.
const HOUR: u64 = 3_600_000;

/// The answer of an abort. Calls of gRPC and others get it in their own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortAnswer {
    /// This status; for gRPC the code that stands for it.
    Http(StatusCode),
    /// This code; for others the status that stands for it.
    Grpc(GrpcStatus),
    /// This error, and only to a call of an agent.
    Call(CallError),
}

impl AbortFault {
    /// The answer.
    #[must_use]
    pub fn answer(&self) -> AbortAnswer {
        let http = AbortAnswer::Http(self.http_status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE));
        let grpc = self.grpc_status.map(AbortAnswer::Grpc);
        self.a2a_error.map(AbortAnswer::Call).or(grpc).unwrap_or(http)
    }
}

impl StreamFault {
    /// What is done to a stream.
    #[must_use]
    pub fn disturbance(&self) -> Disturbance {
        Disturbance { cut_after: self.cut_after_events, delay: self.delay_between_events }
    }
}

/// What is done to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Broken off after so many events.
    pub cut_after: Option<u64>,
    /// Time between two events, at least.
    pub delay: Option<Duration>,
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

text_value!(GrpcStatus, grpc_code, "a gRPC status such as `UNAVAILABLE`", {
    "type": ["string", "integer"],
    "description": "A gRPC status by name or number, other than OK: UNAVAILABLE, 14."
});

fn grpc_code(text: &str) -> Result<GrpcStatus, String> {
    let by_number = || GrpcStatus::from_code(text.parse().ok()?);
    by_number().or_else(|| GrpcStatus::from_name(text)).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` is not the gRPC status of a failure"),
            "write `UNAVAILABLE`, `DEADLINE_EXCEEDED` or a number from 1 to 16",
        )
    })
}

text_value!(CallError, call_error, "an error of A2A such as `TaskNotFound`", {
    "type": ["string", "integer"],
    "description": "An error of A2A by name or code: TaskNotFound, -32001."
});

fn call_error(text: &str) -> Result<CallError, String> {
    CallError::from_text(text).ok_or_else(|| {
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` is no error of A2A"),
            "write `TaskNotFound`, `InternalError` or a code such as -32001",
        )
    })
}

/// A gRPC status code other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(u8);

impl GrpcStatus {
    /// 1 to 16.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        (1..=16).contains(&code).then_some(Self(code))
    }

    /// By its name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let at = GRPC.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Self::from_code(u8::try_from(at + 1).ok()?)
    }

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The HTTP status that stands for it (google.rpc.Code).
    #[must_use]
    pub fn http(self) -> StatusCode {
        StatusCode::from_u16(self.entry().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn entry(self) -> (&'static str, u16) {
        let at = usize::from(self.0).saturating_sub(1);
        GRPC.get(at).copied().unwrap_or(("UNKNOWN", 500))
    }
}

/// Codes 1 to 16.
const GRPC: [(&str, u16); 16] = [
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
];

written!(FailureStatus => StatusCode);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_have_names_and_a_status() {
        for (code, name, http) in [(1, "CANCELLED", 499), (14, "UNAVAILABLE", 503), (16, "UNAUTHENTICATED", 401)] {
            let status = GrpcStatus::from_code(code).unwrap();
            assert_eq!((status.name(), status.http().as_u16()), (name, http));
            assert_eq!(GrpcStatus::from_name(&name.to_lowercase()), Some(status));
        }
        assert_eq!(GrpcStatus::from_code(0), None, "OK is no failure");
        assert_eq!(GrpcStatus::from_code(17), None);
    }
}
