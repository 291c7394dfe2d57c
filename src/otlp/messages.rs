//! Spans and lines of logs in the messages of OTLP.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyOf;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use prost::Message as _;
use serde_json::{Map, Value as Json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::delivery::Paths;
use crate::observe::log::LogLine;
use crate::observe::span::{Attributes, Event, Side, Span, Value};
use crate::observe::trace::SpanId;

/// Who says it: the attributes of the gateway.
#[derive(Clone, Debug)]
pub struct Resource(Vec<(String, String)>);

impl Resource {
    /// A service of this name, with further attributes; one that names a fact of ours replaces it.
    #[must_use]
    pub fn new(service: &str, instance: String, host: Option<String>, further: &[(String, String)]) -> Self {
        let own = [
            ("service.name", Some(service.to_owned())),
            ("service.version", Some(env!("CARGO_PKG_VERSION").to_owned())),
            ("service.instance.id", Some(instance)),
            ("host.name", host),
        ];
        let own = own.into_iter().filter(|(name, _)| !further.iter().any(|(other, _)| other == name));
        let own = own.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Self(own.chain(further.iter().cloned()).collect())
    }

    fn message(&self) -> resource::Resource {
        let attributes = self.0.iter().map(|(name, value)| pair(name, AnyOf::StringValue(value.clone())));
        resource::Resource { attributes: attributes.collect(), ..Default::default() }
    }
}

/// What can be exported.
pub trait Signal: Send {
    /// Where it is delivered.
    const PATH: Paths;

    /// A message with all of `batch`.
    fn message(batch: &[Self], resource: &Resource) -> Bytes
    where
        Self: Sized;

    /// How many of them an answer says were refused.
    fn refused(answer: &Bytes) -> u64;
}

impl Signal for Span {
    const PATH: Paths =
        Paths { grpc: "/opentelemetry.proto.collector.trace.v1.TraceService/Export", http: "/v1/traces" };

    fn message(batch: &[Self], resource: &Resource) -> Bytes {
        let spans = batch.iter().map(span).collect();
        let scope_spans = vec![trace::ScopeSpans { scope: Some(scope()), spans, ..Default::default() }];
        let resource = Some(resource.message());
        let resource_spans = vec![trace::ResourceSpans { resource, scope_spans, ..Default::default() }];
        ExportTraceServiceRequest { resource_spans }.encode_to_vec().into()
    }

    fn refused(answer: &Bytes) -> u64 {
        let answer = ExportTraceServiceResponse::decode(answer.clone()).unwrap_or_default();
        answer.partial_success.map_or(0, |partly| u64::try_from(partly.rejected_spans).unwrap_or(0))
    }
}

impl Signal for LogLine {
    const PATH: Paths = Paths { grpc: "/opentelemetry.proto.collector.logs.v1.LogsService/Export", http: "/v1/logs" };

    fn message(batch: &[Self], resource: &Resource) -> Bytes {
        let log_records = batch.iter().map(record).collect();
        let scope_logs = vec![logs::ScopeLogs { scope: Some(scope()), log_records, ..Default::default() }];
        let resource = Some(resource.message());
        let resource_logs = vec![logs::ResourceLogs { resource, scope_logs, ..Default::default() }];
        ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
    }

    fn refused(answer: &Bytes) -> u64 {
        let answer = ExportLogsServiceResponse::decode(answer.clone()).unwrap_or_default();
        answer.partial_success.map_or(0, |partly| u64::try_from(partly.rejected_log_records).unwrap_or(0))
    }
}

/// A line of JSON: what it says of its time and its trace has a place of its own, all else is attributes.
fn record(line: &LogLine) -> logs::LogRecord {
    let mut fields: Map<String, Json> = serde_json::from_slice(&line.0).unwrap_or_default();
    let text = |fields: &Map<String, Json>, name: &str| fields.get(name)?.as_str().map(str::to_owned);
    let mut take = |name: &str| fields.remove(name)?.as_str().map(str::to_owned);
    let (time, trace_id, span_id) = (take("timestamp"), take("trace_id"), take("span_id"));
    let time = time.and_then(|time| OffsetDateTime::parse(&time, &Rfc3339).ok());
    let said = ["method", "path"].into_iter().filter_map(|name| text(&fields, name));
    let status = fields.get("status").and_then(Json::as_u64).unwrap_or_default();
    let severity = match status {
        500.. => logs::SeverityNumber::Error,
        400.. => logs::SeverityNumber::Warn,
        _ => logs::SeverityNumber::Info,
    };
    let said: Vec<String> = said.chain((status > 0).then(|| status.to_string())).collect();
    logs::LogRecord {
        time_unix_nano: time.and_then(|time| u64::try_from(time.unix_timestamp_nanos()).ok()).unwrap_or_default(),
        severity_number: severity.into(),
        body: Some(AnyValue { value: Some(AnyOf::StringValue(said.join(" "))) }),
        trace_id: trace_id.and_then(|id| bytes_of(&id)).unwrap_or_default(),
        span_id: span_id.and_then(|id| bytes_of(&id)).unwrap_or_default(),
        attributes: fields.into_iter().map(|(name, value)| pair(&name, any(value))).collect(),
        ..Default::default()
    }
}

fn any(value: Json) -> AnyOf {
    match value {
        Json::Bool(truth) => AnyOf::BoolValue(truth),
        Json::Number(number) => match number.as_i64() {
            Some(number) => AnyOf::IntValue(number),
            None => AnyOf::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => AnyOf::StringValue(text),
        Json::Object(fields) => AnyOf::KvlistValue(KeyValueList {
            values: fields.into_iter().map(|(name, value)| pair(&name, any(value))).collect(),
        }),
        other => AnyOf::StringValue(other.to_string()),
    }
}

/// Of an id in hexadecimal digits.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks_exact(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "attache".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    }
}

fn span(span: &Span) -> trace::Span {
    let kind = match span.side {
        Side::Server => trace::span::SpanKind::Server,
        Side::Client => trace::span::SpanKind::Client,
    };
    let status = span
        .failure
        .as_ref()
        .map(|why| trace::Status { message: why.to_string(), code: trace::status::StatusCode::Error.into() });
    let mut flags = u32::from(span.context.flags()) | HAS_IS_REMOTE;
    if span.is_parent_remote {
        flags |= IS_REMOTE;
    }
    trace::Span {
        trace_id: span.context.trace_id().to_bytes().into(),
        span_id: span.context.span_id().to_bytes().into(),
        trace_state: span.trace_state.as_deref().unwrap_or_default().to_owned(),
        parent_span_id: span.parent.map(SpanId::to_bytes).map(Vec::from).unwrap_or_default(),
        flags,
        name: span.name.to_string(),
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.began),
        end_time_unix_nano: nanoseconds(span.ended),
        attributes: attributes(&span.attributes),
        events: span.events.iter().map(event).collect(),
        status,
        ..Default::default()
    }
}

fn event(event: &Event) -> trace::span::Event {
    trace::span::Event {
        time_unix_nano: nanoseconds(event.at),
        name: event.name.to_owned(),
        attributes: attributes(&event.attributes),
        ..Default::default()
    }
}

fn attributes(attributes: &Attributes) -> Vec<KeyValue> {
    let value = |value: &Value| match value {
        Value::Text(text) => AnyOf::StringValue(text.clone().into_owned()),
        Value::Number(number) => AnyOf::IntValue(*number),
        Value::Truth(truth) => AnyOf::BoolValue(*truth),
    };
    attributes.iter().map(|(name, given)| pair(name, value(given))).collect()
}

fn pair(name: &str, value: AnyOf) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

fn nanoseconds(since_epoch: std::time::Duration) -> u64 {
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

/// Bits of `flags` that say whether it is known where the parent is, and that it is elsewhere.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
