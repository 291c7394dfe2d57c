//! Access logs: which exchanges are written down, how, and where to.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::{LogOutput, Otlp, RecordField, RecordFormat, RecordSample, Redacted};

/// One access log.
#[derive(Clone, Debug)]
pub struct AccessLog {
    /// Where it goes; `None`: nowhere.
    pub output: Option<LogOutput>,
    /// How lines look.
    pub format: RecordFormat,
    /// The collector, where it goes to one.
    pub otlp: Option<Otlp>,
    /// Fields of a JSON record, in this order; `None` means all.
    pub fields: Option<Vec<RecordField>>,
    /// Header fields of requests that it has besides.
    pub request_headers: Vec<HeaderName>,
    /// Header fields of answers that it has besides.
    pub response_headers: Vec<HeaderName>,
    /// Header fields that are hidden besides those with credentials.
    pub redact_headers: Vec<HeaderName>,
    /// Facts that are hidden.
    pub redact: Vec<Redacted>,
    /// Share of the exchanges that are written.
    pub sample: RecordSample,
    /// Statuses that are written; none means all.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Exchanges that took less are not written.
    pub min_duration: Duration,
    /// Routes that are written; none means all, and requests without a route.
    pub routes: Vec<String>,
    /// Exact paths that are not written.
    pub exclude: Vec<String>,
}
