//! The body of a request that the client still sends: counted, limited in size and in silence, never collected.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::ahead::Ahead;
use super::tee::{Copied, Tee, TooLarge};
use super::upload_state::{AnswerProgress, Failure};
use super::{IdleTimer, Upload, UploadState};
use crate::context::ProtectedFields;
use crate::error::Error;

/// A streamed request body.
#[derive(Debug)]
pub struct Streaming {
    incoming: Upload,
    /// Whether its end has been seen.
    ended: bool,
    /// What was fetched before it was asked for.
    pub(super) ahead: Ahead,
    left: u64,
    state: Rc<UploadState>,
    timer: IdleTimer,
    /// The receiver of a copy.
    tee: Option<Box<Tee>>,
    /// Fields that no trailer may have.
    kept_out: Option<Arc<ProtectedFields>>,
}

impl Streaming {
    /// The body of a request that just came in.
    pub(super) fn new(incoming: Upload, state: Rc<UploadState>) -> Self {
        state.unfinished.set(true);
        Self {
            incoming,
            ended: false,
            ahead: Ahead::default(),
            left: u64::MAX,
            state,
            timer: IdleTimer::new(Duration::MAX),
            tee: None,
            kept_out: None,
        }
    }

    /// Lets at most `limit` bytes pass, with at most `idle` between two pieces.
    pub(super) fn hold_to(&mut self, limit: Option<u64>, idle: Duration) {
        self.left = limit.unwrap_or(u64::MAX);
        self.timer = IdleTimer::new(idle);
    }

    /// Takes these fields out of its trailers.
    pub(super) fn keep_out(&mut self, fields: &Arc<ProtectedFields>) {
        self.kept_out = Some(Arc::clone(fields));
    }

    /// Copies the body while it passes: at most `limit` bytes, an error when more is announced.
    pub(super) fn copy(&mut self, limit: u64) -> Result<Copied, TooLarge> {
        if self.incoming.size_hint().lower() > limit {
            return Err(TooLarge);
        }
        let (mut tee, copied) = Tee::new(limit);
        self.ahead.pieces().for_each(|piece| tee.take(piece));
        if self.is_received() {
            tee.end();
        }
        self.tee = Some(Box::new(tee));
        Ok(copied)
    }

    /// Fetches the first piece before it is asked for. Ready with the piece or the end; a failure is noted in the state
    /// of the upload. A body that was looked at has its first piece already.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.is_empty()
            && let Some(Ok(frame)) = ready!(self.poll_piece(cx))
        {
            self.ahead.push_first(frame);
        }
        Poll::Ready(())
    }

    pub(super) fn state(&self) -> &UploadState {
        &self.state
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
        self.state.failure.set(Some(failure));
        Poll::Ready(self.state.failure().map(Err))
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
        if self.state.answer.get() == AnswerProgress::Streams {
            return false;
        }
        while self.timer.poll_expired(cx) {
            match self.state.passed.take() {
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
                self.state.unfinished.set(false);
                self.tee.iter_mut().for_each(|tee| tee.end());
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(if is_misframed(&error) { Failure::Invalid } else { Failure::ClientGone })
            }
            Poll::Ready(Some(Ok(frame))) => {
                self.timer.touch();
                if self.state.answer.get() != AnswerProgress::Awaited {
                    self.state.came.set(Some(Instant::now()));
                }
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                self.state.add(size);
                let Some(left) = self.left.checked_sub(size) else {
                    return self.fail(Failure::TooLarge);
                };
                self.left = left;
                self.state.unfinished.set(!self.incoming.is_end_stream());
                if let Some(tee) = &mut self.tee {
                    frame.data_ref().into_iter().for_each(|data| tee.take(data));
                    // Its reader may know the length and not ask for the end.
                    if self.incoming.is_end_stream() {
                        tee.end();
                    }
                }
                match frame.into_trailers() {
                    Ok(fields) => {
                        let mut fields = super::clean_trailers(fields);
                        self.kept_out.iter().for_each(|kept_out| kept_out.clean(&mut fields));
                        Poll::Ready(Some(Ok(Frame::trailers(fields))))
                    }
                    Err(frame) => Poll::Ready(Some(Ok(frame))),
                }
            }
        }
    }
}

/// Whether the client's chunks are no chunks (RFC 9112 section 7.1). A client that leaves ends in the middle of them.
fn is_misframed(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData))
}
