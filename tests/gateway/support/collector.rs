//! A collector that speaks OTLP over HTTP or gRPC: it keeps what it takes, and refuses as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::{Span, span};
use prost::Message;

use super::{Backend, Body, Place, Speak, full, soon, with_trailers};

/// A running collector.
#[derive(Debug)]
pub(crate) struct Collector {
    backend: Backend,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    heads: Mutex<Vec<(Uri, HeaderMap)>>,
    spans: Mutex<Vec<Sent>>,
    logs: Mutex<Vec<LogRecord>>,
    /// Answers before it takes anything: a status of HTTP, or a code of gRPC.
    refusals: Mutex<VecDeque<u16>>,
    /// Spans of each message that it says it does not take.
    refuses: Mutex<i64>,
}

/// A span with what was said of its gateway.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
}

impl Collector {
    /// One that takes everything over HTTP.
    pub(crate) async fn http() -> Self {
        Self::start(Speak::default(), false).await
    }

    /// One that takes everything over gRPC.
    pub(crate) async fn grpc() -> Self {
        Self::grpc_as(Speak::default()).await
    }

    /// The same, reached in another way.
    pub(crate) async fn grpc_as(speak: Speak) -> Self {
        Self::start(Speak { http2: true, ..speak }, true).await
    }

    async fn start(speak: Speak, is_grpc: bool) -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let backend = Backend::handling_as(speak, move |request| {
            let state = Arc::clone(&shared);
            async move { state.take(request, is_grpc).await }
        })
        .await;
        Self { backend, state }
    }

    /// Refuses so many deliveries first.
    pub(crate) fn refusing(self, answers: &[u16]) -> Self {
        self.state.refusals.lock().unwrap().extend(answers);
        self
    }

    /// Says of each delivery that so many spans of it were not taken.
    pub(crate) fn refusing_of_each(self, spans: i64) -> Self {
        *self.state.refuses.lock().unwrap() = spans;
        self
    }

    /// Targets and fields of all deliveries.
    pub(crate) fn heads(&self) -> Vec<(Uri, HeaderMap)> {
        self.state.heads.lock().unwrap().clone()
    }

    /// The spans so far.
    pub(crate) fn now(&self) -> Vec<Sent> {
        self.state.spans.lock().unwrap().clone()
    }

    /// The records of logs, once there are so many.
    pub(crate) async fn logs(&self, count: usize) -> Vec<LogRecord> {
        let logs = soon(&format!("{count} records arrive"), || async {
            let logs = self.state.logs.lock().unwrap().clone();
            (logs.len() >= count).then_some(logs)
        })
        .await;
        assert_eq!(logs.len(), count, "{logs:#?}");
        logs
    }

    /// The spans, once there are so many, by their beginnings.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Sent> {
        let mut spans = soon(&format!("{count} spans arrive"), || async {
            let spans = self.now();
            (spans.len() >= count).then_some(spans)
        })
        .await;
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|sent| (sent.span.start_time_unix_nano, sent.span.kind));
        spans
    }
}

impl Place for Collector {
    fn place(&self) -> String {
        self.backend.place()
    }
}

impl State {
    async fn take(&self, request: Request<Incoming>, is_grpc: bool) -> Response<Body> {
        self.heads.lock().unwrap().push((request.uri().clone(), request.headers().clone()));
        let is_of_logs = request.uri().path().to_ascii_lowercase().contains("logs");
        let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let refusal = self.refusals.lock().unwrap().pop_front();
        let message = if is_grpc { body.get(5..).unwrap_or_default() } else { &body };
        match refusal {
            None if is_of_logs => self.keep_logs(message),
            None => self.keep(message),
            Some(_) => {}
        }
        let rejected_spans = *self.refuses.lock().unwrap();
        let partly = ExportTracePartialSuccess { rejected_spans, ..Default::default() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partly) }.encode_to_vec();
        if !is_grpc {
            return Response::builder().status(refusal.unwrap_or(200)).body(full(answer)).unwrap();
        }
        let code = refusal.unwrap_or(0).to_string();
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), code.parse().unwrap())]);
        let response = Response::builder().header("content-type", "application/grpc");
        response.body(with_trailers(framed(&answer), trailers)).unwrap()
    }

    fn keep(&self, message: &[u8]) {
        let message = ExportTraceServiceRequest::decode(message).expect("a message of OTLP");
        let mut spans = self.spans.lock().unwrap();
        for group in message.resource_spans {
            let resource = group.resource.unwrap_or_default().attributes;
            let all = group.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(all.map(|span| Sent { span, resource: resource.clone() }));
        }
    }
}

impl State {
    fn keep_logs(&self, message: &[u8]) {
        let message = ExportLogsServiceRequest::decode(message).expect("a message of OTLP");
        let scopes = message.resource_logs.into_iter().flat_map(|group| group.scope_logs);
        self.logs.lock().unwrap().extend(scopes.flat_map(|scope| scope.log_records));
    }
}

/// An attribute of a record as text; empty where there is none.
pub(crate) fn logged(record: &LogRecord, name: &str) -> String {
    value(&record.attributes, name)
}

impl Sent {
    /// An attribute as text; empty where there is none.
    pub(crate) fn attribute(&self, name: &str) -> String {
        value(&self.span.attributes, name)
    }

    /// The same of its gateway.
    pub(crate) fn resource(&self, name: &str) -> String {
        value(&self.resource, name)
    }

    /// What its gateway did for others (`true`), or asked of them.
    pub(crate) fn is_server(&self) -> bool {
        self.span.kind == i32::from(span::SpanKind::Server)
    }

    /// Names of its events.
    pub(crate) fn events(&self) -> Vec<&str> {
        self.span.events.iter().map(|event| event.name.as_str()).collect()
    }

    /// An attribute of the event of this name.
    pub(crate) fn of_event(&self, event: &str, name: &str) -> String {
        let event = self.span.events.iter().find(|found| found.name == event);
        event.map(|event| value(&event.attributes, name)).unwrap_or_default()
    }

    /// Whether it counts as failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.span.status.as_ref().is_some_and(|status| status.code == 2)
    }

    pub(crate) fn trace_id(&self) -> String {
        hex(&self.span.trace_id)
    }

    pub(crate) fn id(&self) -> String {
        hex(&self.span.span_id)
    }

    pub(crate) fn parent(&self) -> String {
        hex(&self.span.parent_span_id)
    }

    /// What whoever is asked within it gets as `traceparent`, sampled or not.
    pub(crate) fn as_parent(&self, sampled: bool) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id(), self.id(), u8::from(sampled))
    }
}

fn value(attributes: &[KeyValue], name: &str) -> String {
    let found = attributes.iter().find(|pair| pair.key == name);
    match found.and_then(|pair| pair.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::from(&[0][..]);
    framed.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    framed.extend_from_slice(message);
    framed.freeze()
}
