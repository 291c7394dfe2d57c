//! `routes.X.fault`: what a route does to requests on purpose.

use std::fmt;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use ipnet::IpNet;
use schemars::json_schema;
use serde::{Deserialize, Deserializer};

use super::{
    Count, MILLION, Many, Millis, Named, Network, Percentage, Timestamp, schema_of, section, text_value, written,
};
use crate::config::de::{invalid, with_hint};
use crate::config::types::{HeaderMatch, ValueMatch};
use crate::config::units::time;
use crate::error::CallError;
use crate::grpc_status::GrpcStatus;

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

impl Fault {
    /// Each kind of fault in words, and whether a request with these fields meets its conditions.
    pub fn kinds(&self, fields: &HeaderMap) -> impl Iterator<Item = String> {
        let told = |what: &dyn fmt::Display, when: &[HeaderMatch]| format!("{what}{}", condition(when, fields));
        let delay = self.delay.as_ref().map(|delay| told(delay, &delay.when_header));
        let abort = self.abort.as_ref().map(|abort| told(abort, &abort.when_header));
        let stream = self.stream.as_ref().map(|stream| told(stream, &stream.when_header));
        let requested = self.by_header.as_ref().map(ToString::to_string);
        [delay, abort, stream, requested].into_iter().flatten()
    }
}

fn condition(when: &[HeaderMatch], fields: &HeaderMap) -> String {
    match when.iter().find(|field| !field.holds(fields)) {
        Some(missing) => format!(" (not this request: {} is missing or differs)", missing.name),
        None if when.is_empty() => String::new(),
        None => " (its header fields are there)".to_owned(),
    }
}

impl fmt::Display for DelayFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} delayed by {}", self.percentage, time(self.fixed_delay.unwrap_or_default()))
    }
}

impl fmt::Display for AbortFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered ", self.percentage)?;
        match self.answer() {
            AbortAnswer::Http(status) => f.write_str(status.as_str()),
            AbortAnswer::Grpc(code) => write!(f, "gRPC {}", code.name()),
            AbortAnswer::Call(error) => write!(f, "A2A {}, where it is a call", error.name()),
        }
    }
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = self.cut_after_events.map(|events| format!("cut after {events} events"));
        let pause = self.delay_between_events.map(|pause| format!("{} between events", time(pause)));
        let what: Vec<_> = cut.into_iter().chain(pause).collect();
        write!(f, "{} of the streams {}", self.percentage, what.join(", "))
    }
}

impl fmt::Display for FaultByHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by header {} of those that may, at most {}", self.percentage, time(self.max_delay))
    }
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

schema_of!(FailureStatus as "FailureStatus", |_| {
    json_schema!({ "type": "integer", "minimum": 400, "maximum": 599 })
});

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

written!(FailureStatus => StatusCode);
