//! Every `http_body` adapter of the gateway, and with the connection driver in `pool` its only hand-written polls.
//! Bodies pass frame by frame; nothing here collects one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

mod ahead;
pub(crate) mod events;
mod fault_body;
mod look;
mod replay;
mod request;
mod streaming;
mod tee;
mod timer;
mod upload;
mod upload_state;

pub use ahead::{BLOCK, Room};
pub use events::{Events, Several};
pub use fault_body::{Come, FaultBody};
pub use look::{LookLimits, Looked};
pub use replay::Replay;
pub use request::RequestBody;
pub use tee::{Copied, TooLarge};
pub use timer::IdleTimer;
pub use upload::Upload;
pub use upload_state::UploadState;

/// A response body: made here, or streamed from somewhere.
#[derive(Debug)]
pub enum Body<S> {
    /// Nothing.
    Empty,
    /// Bytes made by the gateway.
    Full(Bytes),
    /// Only trailers (gRPC, HTTP/2).
    Trailers(Box<HeaderMap>),
    /// Streamed.
    Stream(S),
}

impl<S> Body<S> {
    /// A body of `bytes`.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        if bytes.is_empty() { Self::Empty } else { Self::Full(bytes) }
    }
}

impl<S> HttpBody for Body<S>
where
    S: HttpBody<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = S::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, S::Error>>> {
        let this = &mut *self;
        if let Self::Stream(stream) = this {
            return Pin::new(stream).poll_frame(cx);
        }
        Poll::Ready(match std::mem::replace(this, Self::Empty) {
            Self::Full(bytes) => Some(Ok(Frame::data(bytes))),
            Self::Trailers(fields) => Some(Ok(Frame::trailers(*fields))),
            Self::Empty | Self::Stream(_) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) | Self::Trailers(_) => false,
            Self::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Trailers(_) => SizeHint::default(),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}

/// Removes the fields that must not travel in trailers: framing, routing, authentication and forwarding fields (RFC
/// 9110 section 6.5.1).
#[must_use]
pub fn clean_trailers(mut fields: HeaderMap) -> HeaderMap {
    let names: Vec<_> = fields.keys().filter(|name| is_forbidden_in_trailers(name.as_str())).cloned().collect();
    for name in names {
        fields.remove(name);
    }
    fields
}

/// Also in the spelling with underscores, which many servers take for the same name. A quotation mark, which HTTP/2
/// lets pass, would break a message in HTTP/1.
fn is_forbidden_in_trailers(name: &str) -> bool {
    let spelled;
    let name = if name.contains('_') {
        spelled = name.replace('_', "-");
        &spelled
    } else {
        name
    };
    name.contains('"') || name.starts_with("x-forwarded-") || FORBIDDEN_TRAILERS.contains(&name)
}

const FORBIDDEN_TRAILERS: [&str; 24] = [
    "authorization", "cache-control", "connection", "content-encoding", "content-length", "content-range",
    "content-type", "cookie", "expect", "forwarded", "host", "keep-alive", "max-forwards", "proxy-authorization",
    "proxy-connection", "set-cookie", "te", "traceparent", "trailer", "transfer-encoding", "upgrade", "via",
    "x-real-ip", "x-request-id",
];
