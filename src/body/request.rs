//! The body of a request on its way upstream: counted, limited in size and in silence, never collected.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, timeout};

use super::ahead::Ahead;
use super::tee::{Copied, Tee, TooLarge};
use super::upload_state::{AnswerProgress, Failure};
use super::{IdleTimer, Replay, Upload, UploadState};
use crate::error::Error;

/// Whether the client's chunks are no chunks (RFC 9112 section 7.1). A client that leaves ends in the middle of them.
fn is_misframed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}

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

/// A streamed request body.
#[derive(Debug)]
pub struct Streaming {
    incoming: Upload,
    /// Whether its end has been seen.
    ended: bool,
    /// What was fetched before it was asked for.
    pub(super) ahead: Ahead,
    left: u64,
    flow: Rc<UploadState>,
    timer: IdleTimer,
    /// The receiver of a copy.
    tee: Option<Box<Tee>>,
}

impl RequestBody {
    /// The body of a request that just came in. What it may is said by [`Self::hold_to`].
    #[must_use]
    pub fn new(incoming: Upload, flow: Rc<UploadState>) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty;
        }
        let timer = IdleTimer::new(Duration::MAX);
        flow.unfinished.set(true);
        Self::Streaming(Box::new(Streaming {
            incoming,
            ended: false,
            ahead: Ahead::default(),
            left: u64::MAX,
            flow,
            timer,
            tee: None,
        }))
    }

    /// Lets at most `limit` bytes pass, with at most `idle` between two pieces.
    pub fn hold_to(&mut self, limit: Option<u64>, idle: Duration) {
        if let Self::Streaming(streaming) = self {
            streaming.left = limit.unwrap_or(u64::MAX);
            streaming.timer = IdleTimer::new(idle);
        }
    }

    /// Copies the body while it passes: at most `limit` bytes. `None` when there is nothing to copy.
    ///
    /// # Errors
    /// When more than that is announced.
    pub fn copy(&mut self, limit: u64) -> Result<Option<Copied>, TooLarge> {
        let Self::Streaming(streaming) = self else {
            return Ok(None);
        };
        if streaming.incoming.size_hint().lower() > limit {
            return Err(TooLarge);
        }
        let (mut tee, copied) = Tee::new(limit);
        streaming.ahead.pieces().for_each(|piece| tee.take(piece));
        if streaming.is_received() {
            tee.end();
        }
        streaming.tee = Some(Box::new(tee));
        Ok(Some(copied))
    }
}

impl RequestBody {
    /// Fetches the first piece if it has arrived together with the head, as that of a small request has. Head and piece
    /// then leave in one write. Waits for nothing: the task is polled once more, because hyper hands out a piece only
    /// after it was asked. A body that was looked at has its first piece already.
    pub async fn prime(&mut self) {
        let Self::Streaming(streaming) = self else {
            return;
        };
        if !streaming.ahead.is_empty() {
            return;
        }
        let mut asked = false;
        poll_fn(|cx| {
            // Asked quietly: the wake-up for the piece would come while this task is running anyway.
            match streaming.poll_piece(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Some(Ok(frame))) => streaming.ahead.push_first(frame),
                Poll::Pending if !asked => {
                    asked = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                // A failure is noted in the flow.
                Poll::Pending | Poll::Ready(None | Some(Err(_))) => {}
            }
            Poll::Ready(())
        })
        .await;
    }
}

impl RequestBody {
    /// Waits for the first piece or the end, at most for `limit`, and says whether it came. A failure is noted in the
    /// flow.
    pub async fn arrives(&mut self, limit: Duration) -> bool {
        let Self::Streaming(streaming) = self else {
            return true;
        };
        if !streaming.ahead.is_empty() {
            return true;
        }
        let piece = timeout(limit, poll_fn(|cx| streaming.poll_piece(cx))).await;
        if let Ok(Some(Ok(frame))) = piece {
            streaming.ahead.push_first(frame);
            return true;
        }
        piece.is_ok()
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
            Self::Streaming(streaming) => streaming.flow.handed(),
            Self::Kept(replay) => replay.handed(),
        }
    }
}

impl Streaming {
    pub(super) fn flow(&self) -> &UploadState {
        &self.flow
    }

    pub(super) fn patience(&self) -> Option<Duration> {
        (!self.is_received()).then(|| self.timer.limit())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.is_received()
    }

    /// Whether nothing more will come from the client.
    pub(super) fn is_received(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let rest = self.incoming.size_hint();
        let ahead = self.ahead.len() as u64;
        let exact = rest.exact().map(|rest| SizeHint::with_exact(rest + ahead));
        exact.unwrap_or_default()
    }

    fn fail(&self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.flow.failure.set(Some(failure));
        Poll::Ready(self.flow.failure().map(Err))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.ahead.pop() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let polled = self.poll_piece(cx);
        if polled.is_pending() && self.is_overdue(cx) {
            return self.fail(Failure::Idle);
        }
        polled
    }

    /// Whether the endpoint has waited too long for a piece from the client. The limit belongs to uploads, not to
    /// exchanges: it does not run while an answer streams, and each piece of another answer starts it again.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if self.flow.answer.get() == AnswerProgress::Streams {
            return false;
        }
        while self.timer.poll_expired(cx) {
            match self.flow.passed.take() {
                Some(at) => self.timer.moved(at),
                None => return true,
            }
        }
        false
    }

    pub(super) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match self.incoming.poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.ended = true;
                self.flow.unfinished.set(false);
                self.tee.iter_mut().for_each(|tee| tee.end());
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(if is_misframed(&error) { Failure::Invalid } else { Failure::ClientGone })
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.timer.touch();
                if self.flow.answer.get() != AnswerProgress::Awaited {
                    self.flow.came.set(Some(Instant::now()));
                }
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.flow.add(size);
                let Some(left) = self.left.checked_sub(size) else {
                    return self.fail(Failure::TooLarge);
                };
                self.left = left;
                self.flow.unfinished.set(!self.incoming.is_end_stream());
                if let Some(tee) = &mut self.tee {
                    frame.data_ref().into_iter().for_each(|data| tee.take(data));
                    // Its reader may know the length and not ask for the end.
                    if self.incoming.is_end_stream() {
                        tee.end();
                    }
                }
                match frame.into_trailers() {
                    Ok(fields) => Poll::Ready(Some(Ok(Frame::trailers(super::clean_trailers(fields))))),
                    Err(frame) => Poll::Ready(Some(Ok(frame))),
                }
            }
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
                        streaming.flow.handed();
                    }
                    Poll::Ready(_) | Poll::Pending => streaming.flow.asked(polled.is_pending()),
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
