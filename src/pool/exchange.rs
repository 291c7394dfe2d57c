//! The body of an upstream response, which owns the connection (or the stream's place on it) until its last byte.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::io::Detached;
use super::{Pool, h1, h2};

/// A response body as it comes from an endpoint. Dropped before its end it closes the connection (HTTP/1.1) or resets
/// the stream (HTTP/2), so the endpoint learns that its answer is not wanted any more.
///
/// The rest of the request's body is sent while this body is polled. So over HTTP/1.1 a client that reads nothing of an
/// early answer also stops its own upload. That is the client's own back-pressure, bounded by `bodyIdleTimeout`, and it
/// saves a task for every exchange.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// Driven here; gone once it went back to the pool or ended.
    H1 { conn: Option<h1::Connection>, pool: Rc<Pool> },
    /// Driven by its own task.
    H2 { _lease: h2::Lease },
}

impl ResponseBody {
    /// An answer over HTTP/1, and its connection unless that has ended.
    pub(super) fn h1(
        (response, conn): (Response<Incoming>, Option<h1::Connection>),
        pool: &Rc<Pool>,
    ) -> Response<Self> {
        // After a 101 the connection is no longer HTTP and never goes back to the pool.
        let is_http = response.status() != StatusCode::SWITCHING_PROTOCOLS;
        response.map(|incoming| {
            let mut body = Self { incoming, source: Source::H1 { conn, pool: Rc::clone(pool) } };
            if is_http && body.incoming.is_end_stream() {
                body.release();
            }
            body
        })
    }

    /// An answer over HTTP/2, and the place of its stream.
    pub(super) fn h2((response, lease): (Response<Incoming>, h2::Lease)) -> Response<Self> {
        response.map(|incoming| Self { incoming, source: Source::H2 { _lease: lease } })
    }

    /// The connection of a 101 answer, taken out of HTTP. `None` when it has none (HTTP/2).
    #[must_use]
    pub fn detach(self) -> Option<Detached> {
        match self.source {
            Source::H1 { conn, .. } => conn.and_then(h1::Connection::detach),
            Source::H2 { .. } => None,
        }
    }

    /// Gives a connection whose exchange is over back to the pool. A connection that is not finished stays, to be
    /// dropped with the body.
    fn release(&mut self) {
        let Source::H1 { conn: slot, pool } = &mut self.source else {
            return;
        };
        let Some(mut conn) = slot.take() else { return };
        // The end of a body may leave the connection one step before ready.
        if !conn.is_ready() && conn.step().is_ready() {
            return;
        }
        if conn.is_ready() {
            pool.keep(conn);
        } else {
            *slot = Some(conn);
        }
    }

    /// The next piece over HTTP/2. Where all that the head announced has come, it does not matter that the stream or
    /// the connection broke before its end was read. And a stream that is reset without an error, which hyper takes for
    /// its end, has not ended.
    fn poll_stream(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Option<hyper::Error>>>> {
        let piece = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        let whole = self.incoming.is_end_stream() || self.incoming.size_hint().exact() == Some(0);
        Poll::Ready(match piece {
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(_)) | None if whole => None,
            Some(Err(error)) => Some(Err(Some(error))),
            None => Some(Err(None)),
        })
    }

    fn poll_incoming(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Option<hyper::Error>>>> {
        match &self.source {
            Source::H1 { .. } => self.poll_message(cx).map_err(Some),
            Source::H2 { .. } => self.poll_stream(cx),
        }
    }

    /// The next piece over HTTP/1.
    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Source::H1 { conn: slot, .. } = &mut self.source else {
            return Poll::Ready(None);
        };
        let Some(conn) = slot.as_mut() else {
            return Pin::new(&mut self.incoming).poll_frame(cx);
        };
        match ready!(conn.poll_body(&mut self.incoming, cx)) {
            h1::Piece::Frame(frame, closed) => {
                if closed {
                    *slot = None;
                }
                Poll::Ready(frame)
            }
            h1::Piece::Ended(end) => {
                *slot = None;
                if let Err(error) = end {
                    tracing::debug!(%error, "upstream connection ended");
                }
                Pin::new(&mut self.incoming).poll_frame(cx)
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    /// None where the stream ended too early and nobody said that it failed.
    type Error = Option<hyper::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = self.poll_incoming(cx);
        if let Poll::Ready(frame) = &polled
            && (frame.is_none() || self.incoming.is_end_stream())
        {
            self.release();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
