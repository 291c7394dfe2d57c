//! The HTTP answers of a demo agent: JSON, errors in the caller's envelope, and event streams that follow a task's log.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};

use super::call::{Binding, Style};
use super::task::{Event, Task};
use super::wire::{self, Fault};

/// Body of every answer.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A JSON document. It ends with a line end, for people who look at it in a terminal.
pub(super) fn document(status: StatusCode, media_type: &'static str, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(format!("{value}\n"))).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

/// A result in the caller's envelope.
pub(super) fn result(style: &Style, value: Value) -> Response<Body> {
    match &style.binding {
        Binding::Rpc(_) => document(StatusCode::OK, JSON, &envelope(style, value)),
        Binding::Rest => document(StatusCode::OK, A2A_JSON, &value),
    }
}

/// An error in the caller's envelope: JSON-RPC answers 200, REST the error's own status.
pub(super) fn fault(style: &Style, fault: Fault) -> Response<Body> {
    match &style.binding {
        Binding::Rpc(id) => {
            let value = json!({ "jsonrpc": "2.0", "id": id, "error": fault.rpc(style.generation) });
            document(StatusCode::OK, JSON, &value)
        }
        Binding::Rest => {
            let status = StatusCode::from_u16(fault.status().0).unwrap_or(StatusCode::BAD_REQUEST);
            document(status, JSON, &fault.rest())
        }
    }
}

/// An event stream: the task as it is now, then everything that still happens to it.
pub(super) fn stream(style: Style, task: Arc<Task>) -> Response<Body> {
    let events = futures_util::stream::unfold(Cursor { style, task, next: Next::Snapshot }, Cursor::advance);
    let mut response = Response::new(StreamBody::new(events).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// Where a stream is in its task's log.
struct Cursor {
    style: Style,
    task: Arc<Task>,
    next: Next,
}

enum Next {
    Snapshot,
    Event(usize),
}

impl Cursor {
    async fn advance(mut self) -> Option<(Result<Frame<Bytes>, Infallible>, Self)> {
        let value = match self.next {
            Next::Snapshot => {
                let now = self.task.snapshot();
                self.next = Next::Event(now.seen);
                wire::sent(&self.task, &now, self.style.generation)
            }
            Next::Event(index) => {
                let event: Event = self.task.event(index).await?;
                self.next = Next::Event(index + 1);
                wire::event(&self.task, &event, self.style.generation)
            }
        };
        let data = envelope(&self.style, value);
        Some((Ok(Frame::data(Bytes::from(format!("data: {data}\n\n")))), self))
    }
}

fn envelope(style: &Style, value: Value) -> Value {
    match &style.binding {
        Binding::Rpc(id) => json!({ "jsonrpc": "2.0", "id": id, "result": value }),
        Binding::Rest => value,
    }
}

pub(super) const JSON: &str = "application/json";
const A2A_JSON: &str = "application/a2a+json";
