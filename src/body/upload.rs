//! The body of a request as it comes from the client. When nobody reads it any more, an upload over HTTP/2 is not
//! dropped but discarded by its connection: see [`Lingering`](crate::context::Lingering).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::sleep;

use super::UploadState;
use crate::context::{Connection, LINGER_BYTES, LINGER_TIME};

/// A body that is discarded when it is dropped early.
#[derive(Debug)]
pub struct Upload {
    /// Taken when it is dropped.
    incoming: Option<Incoming>,
    /// The connection that it may linger on, or that it wakes.
    place: Option<(Rc<Connection>, Rc<UploadState>)>,
}

impl Upload {
    /// The body of a request on `connection`, which is answered while `state` says so.
    #[must_use]
    pub fn new(incoming: Incoming, connection: &Rc<Connection>, state: &Rc<UploadState>) -> Self {
        let matters = connection.lingering.get().is_some() || connection.wakes.get().is_some();
        let place = (matters && !incoming.is_end_stream()).then(|| (Rc::clone(connection), Rc::clone(state)));
        Self { incoming: Some(incoming), place }
    }

    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let Some(wakes) = self.place.as_ref().and_then(|(connection, _)| connection.wakes.get()) else {
            return Pin::new(incoming).poll_frame(cx);
        };
        wakes.taking(|| {
            let polled = Pin::new(&mut *incoming).poll_frame(cx);
            let is_last = matches!(polled, Poll::Ready(Some(Ok(_)))) && incoming.is_end_stream();
            (polled, is_last)
        })
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(HttpBody::size_hint).unwrap_or_default()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let Some((connection, state)) = self.place.take()
            && let Some(incoming) = self.incoming.take()
            && !incoming.is_end_stream()
            && let Some(lingering) = connection.lingering.get()
        {
            lingering.add(discard(incoming, state));
        }
    }
}

/// Reads and throws away until the upload is over, it was too much, or its answer has been over for long enough.
async fn discard(mut incoming: Incoming, state: Rc<UploadState>) {
    let mut left = LINGER_BYTES;
    let mut timer = None;
    poll_fn(|cx| {
        while let Poll::Ready(piece) = Pin::new(&mut incoming).poll_frame(cx) {
            let size = piece.and_then(Result::ok).map(|frame| frame.data_ref().map_or(0, Bytes::len));
            match size.and_then(|size| left.checked_sub(size as u64)) {
                Some(rest) => left = rest,
                None => return Poll::Ready(()),
            }
        }
        if !state.is_over() {
            // The end of the answer wakes the connection, which polls this.
            return Poll::Pending;
        }
        ready!(timer.get_or_insert_with(|| Box::pin(sleep(LINGER_TIME))).as_mut().poll(cx));
        Poll::Ready(())
    })
    .await;
}
