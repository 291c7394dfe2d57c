//! Bodies for both directions.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::within;

/// Why a test breaks a body off.
pub(crate) type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Any body a test sends.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of known length.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of one piece, then trailers. Its length is not announced, so that trailers are possible in HTTP/1.
pub(crate) fn with_trailers(bytes: impl Into<Bytes>, trailers: HeaderMap) -> Body {
    let frames = [Ok(Frame::data(bytes.into())), Ok(Frame::trailers(trailers))];
    StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

/// A body the test feeds piece by piece.
pub(crate) fn channel() -> (BodySender, Body) {
    let (frames, receiver) = mpsc::channel(1);
    (BodySender { frames }, Channel { receiver }.boxed_unsync())
}

/// The test's end of a [`channel`]. Dropped, the body is complete.
#[derive(Clone, Debug)]
pub(crate) struct BodySender {
    frames: mpsc::Sender<Result<Frame<Bytes>, Broken>>,
}

impl BodySender {
    /// Hands over one piece once there is room for it; false when nobody takes it any more.
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        within("send a piece of a body", self.frames.send(Ok(Frame::data(bytes.into())))).await.is_ok()
    }

    /// As `send`, for as long as it takes.
    pub(crate) async fn send_patiently(&self, bytes: impl Into<Bytes>) -> bool {
        self.frames.send(Ok(Frame::data(bytes.into()))).await.is_ok()
    }

    /// Hands over trailers.
    pub(crate) async fn trailers(&self, fields: HeaderMap) -> bool {
        within("send trailers", self.frames.send(Ok(Frame::trailers(fields)))).await.is_ok()
    }

    /// Breaks the body off.
    pub(crate) async fn abort(self) {
        within("break a body off", self.frames.send(Err("broken off by the test".into()))).await.ok();
    }

    /// Ends when nobody takes the body any more.
    pub(crate) async fn closed(&self) {
        within("a body nobody wants is dropped", self.frames.closed()).await;
    }

    /// Whether nobody takes the body any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.frames.is_closed()
    }
}

struct Channel {
    receiver: mpsc::Receiver<Result<Frame<Bytes>, Broken>>,
}

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.receiver.poll_recv(cx)
    }
}

/// The next piece of data; `None` at the end, an error when it was broken off.
pub(crate) async fn chunk(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match within("the next piece of a body", body.frame()).await {
            None => return None,
            Some(Err(error)) => return Some(Err(error)),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Some(Ok(data));
                }
            }
        }
    }
}
