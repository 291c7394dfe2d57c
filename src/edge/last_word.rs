//! What a client still gets of a stream that the gateway has to break off: one last event that says why, or the status
//! of gRPC. Only between two events, where it makes nothing unreadable, and only where the stream is the answer to a
//! call of A2A that asked for one. Then the stream is broken off all the same, because clients take a clean end for
//! success; only in gRPC a status is an end that no client can mistake.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Version};
use http_body::Frame;

use super::answer_scan::Between;
use super::error_words::{grpc_fields, json_rpc_text, rest_text};
use super::exchange::Exchange;
use crate::a2a::{Binding, Generation};
use crate::error::Error;
use crate::outcome::{Phase, Transport};

/// The last frame of a stream that `error` ends, where it may have one.
pub(super) fn frame(exchange: &Exchange, error: &Error) -> Option<Frame<Bytes>> {
    if Transport::of(error, Phase::Answered).is_by_client() {
        return None;
    }
    match exchange.scan.as_ref()?.between()? {
        Between::Events => Some(Frame::data(event(exchange, error)?)),
        Between::Messages if exchange.request.version == Version::HTTP_2 => Some(Frame::trailers(status(error))),
        Between::Messages => None,
    }
}

/// The event, as servers of that generation write an error into a stream: those of 0.x give it no name.
fn event(exchange: &Exchange, error: &Error) -> Option<Bytes> {
    let call = exchange.call.as_deref()?;
    if !call.operation?.is_streaming() {
        return None;
    }
    let data = match call.binding {
        Binding::JsonRpc => json_rpc_text(error, call.id()),
        Binding::Rest | Binding::Grpc => rest_text(error),
    };
    let name = if call.generation == Generation::V1_0 { "event: error\n" } else { "" };
    Some(Bytes::from(format!("{name}data: {data}\n\n")))
}

fn status(error: &Error) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(2);
    grpc_fields(error, &mut fields);
    fields
}

/// The way out of a stream whose last word has been handed over.
#[derive(Debug)]
pub(super) enum Parting {
    /// It breaks off for this reason, a moment later: data that is handed over together with an error is lost.
    Breaks { error: Error, has_settled: bool },
    /// It is over.
    Over,
}

impl Parting {
    /// After this last frame.
    pub(super) fn after(frame: &Frame<Bytes>, error: Error) -> Self {
        if frame.is_trailers() { Self::Over } else { Self::Breaks { error, has_settled: false } }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match std::mem::replace(self, Self::Over) {
            Self::Over => Poll::Ready(None),
            Self::Breaks { error, has_settled: true } => Poll::Ready(Some(Err(error))),
            Self::Breaks { error, has_settled: false } => {
                *self = Self::Breaks { error, has_settled: true };
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
