//! Spans in the messages of OTLP.

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyOf;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use prost::Message as _;

use super::delivery::Paths;
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
