//! The body of a request on its way upstream, whether it is here, streams, or is kept for another try.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::streaming::Streaming;
use super::tee::{Copied, TooLarge};
use super::{Replay, Upload, UploadState};
use crate::context::ProtectedFields;
use crate::error::Error;

/// A request body.
#[derive(Debug)]
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// All of it, here. In a box because that is rare and every request carries the size of this.
    Whole(Box<Bytes>),
    /// The client's.
    Streaming(Box<Streaming>),
    /// The client's, kept for another try.
    Kept(Box<Replay>),
}

impl RequestBody {
    /// The body of a request that just came in. What it may is said by [`Self::hold_to`].
    #[must_use]
    pub fn new(incoming: Upload, state: Rc<UploadState>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        Self::Streaming(Box::new(Streaming::new(incoming, state)))
    }

    /// Lets at most `limit` bytes pass, with at most `idle` between two pieces.
    pub fn hold_to(&mut self, limit: Option<u64>, idle: Duration) {
        if let Self::Streaming(streaming) = self {
            streaming.hold_to(limit, idle);
        }
    }

    /// Takes these fields out of its trailers.
    pub fn keep_out(&mut self, fields: &Arc<ProtectedFields>) {
        if let Self::Streaming(streaming) = self {
            streaming.keep_out(fields);
        }
    }

    /// Copies the body while it passes: at most `limit` bytes. `None` when there is nothing to copy.
    ///
    /// # Errors
    /// When more than that is announced.
    pub fn copy(&mut self, limit: u64) -> Result<Option<Copied>, TooLarge> {
        match self {
            Self::Streaming(streaming) => streaming.copy(limit).map(Some),
            Self::Empty | Self::Whole(_) | Self::Kept(_) => Ok(None),
        }
    }

    /// Fetches the first piece if it has arrived together with the head, as that of a small request has. Head and piece
    /// then leave in one write. Waits for nothing: the task is polled once more, because hyper hands out a piece only
    /// after it was asked. A body that was looked at has its first piece already.
    pub async fn prime(&mut self) {
        let Self::Streaming(streaming) = self else {
            return;
        };
        let mut asked = false;
        poll_fn(|cx| {
            // Asked quietly: the wake-up for the piece would come while this task is running anyway.
            let fetched = streaming.poll_ahead(&mut Context::from_waker(Waker::noop()));
            if fetched.is_pending() && !asked {
                asked = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }

    /// The pieces that have come and wait to be sent.
    pub fn come(&self) -> impl Iterator<Item = &[u8]> {
        let streaming = if let Self::Streaming(streaming) = self { Some(streaming) } else { None };
        streaming.into_iter().flat_map(|streaming| streaming.ahead.pieces())
    }

    /// Whether all of it has come.
    #[must_use]
    pub fn is_here(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(streaming) => streaming.is_received(),
            Self::Whole(_) | Self::Kept(_) => false,
        }
    }

    /// Waits for the first piece or the end, at most for `limit`, and says whether it came. A failure is noted in the
    /// state of the upload.
    pub async fn arrives(&mut self, limit: Duration) -> bool {
        let Self::Streaming(streaming) = self else {
            return true;
        };
        timeout(limit, poll_fn(|cx| streaming.poll_ahead(cx))).await.is_ok()
    }

    /// How long the endpoint may take to ask for more; `None` when there is nothing more than what was fetched.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        match self {
            Self::Empty | Self::Whole(_) => None,
            Self::Streaming(streaming) => streaming.patience(),
            Self::Kept(replay) => replay.patience(),
        }
    }

    /// A body for another try, to be read after [`Self::rewind`]. From now on up to `limit` bytes of this one are kept.
    pub fn again(&mut self, limit: usize) -> Self {
        match std::mem::replace(self, Self::Empty) {
            Self::Empty => {}
            Self::Streaming(streaming) => {
                *self = Self::Kept(Box::new(Replay::new(streaming, limit)));
            }
            kept @ (Self::Kept(_) | Self::Whole(_)) => *self = kept,
        }
        match self {
            Self::Kept(replay) => Self::Kept(Box::new(replay.again())),
            Self::Whole(bytes) => Self::Whole(bytes.clone()),
            Self::Empty | Self::Streaming(_) => Self::Empty,
        }
    }

    /// Starts from the first byte. False when too much has passed to have been kept.
    pub fn rewind(&mut self) -> bool {
        match self {
            Self::Kept(replay) => replay.rewind(),
            Self::Empty | Self::Whole(_) => true,
            Self::Streaming(_) => false,
        }
    }

    /// The endpoint has been told that there is a body: it is up to it to ask.
    pub fn offer(&self) {
        match self {
            Self::Empty | Self::Whole(_) => {}
            Self::Streaming(streaming) => streaming.state().handed(),
            Self::Kept(replay) => replay.handed(),
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(&mut **bytes);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Streaming(streaming) => {
                let polled = streaming.poll(cx);
                match &polled {
                    Poll::Ready(Some(Ok(_))) if !streaming.is_end_stream() => {
                        streaming.state().handed();
                    }
                    Poll::Ready(_) | Poll::Pending => streaming.state().asked(polled.is_pending()),
                }
                polled
            }
            Self::Kept(replay) => {
                let polled = replay.poll(cx);
                match &polled {
                    _ if !replay.is_current() => {}
                    Poll::Ready(Some(Ok(_))) if !replay.is_end_stream() => replay.handed(),
                    Poll::Ready(_) | Poll::Pending => replay.asked(polled.is_pending()),
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(_) => false,
            Self::Streaming(streaming) => streaming.is_end_stream(),
            Self::Kept(replay) => replay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Streaming(streaming) => streaming.size_hint(),
            Self::Kept(replay) => replay.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_with_every_request_is_small() {
        assert!(size_of::<RequestBody>() <= 2 * size_of::<usize>());
    }
}
