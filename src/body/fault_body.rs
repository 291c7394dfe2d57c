//! A response stream that is disturbed on purpose: its events come apart in time, or it breaks off after some of them,
//! as it would if the agent had crashed. And a body of which the beginning has been read.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::events::{Events, Scanner};
use crate::config::model::Disturbance;
use crate::error::Error;

/// A body, in nearly every case as it is.
#[derive(Debug)]
pub enum FaultBody<B> {
    /// As it is.
    Untouched(B),
    /// With a fault.
    Disturbed(Box<Disturbed<B>>),
    /// Behind what has been read of it.
    Begun(Box<Begun<B>>),
}

/// A body of which the beginning has been read.
#[derive(Debug)]
pub struct Begun<B> {
    come: Come,
    rest: B,
}

/// What has been read of a body.
#[derive(Debug, Default)]
pub struct Come {
    /// Its beginning.
    pub data: Bytes,
    /// Its trailers, where it ended with them.
    pub trailers: Option<HeaderMap>,
}

impl Come {
    fn is_empty(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }

    fn pop(&mut self) -> Option<Frame<Bytes>> {
        if self.data.is_empty() {
            return self.trailers.take().map(Frame::trailers);
        }
        Some(Frame::data(std::mem::take(&mut self.data)))
    }
}

/// A body with a fault.
#[derive(Debug)]
pub struct Disturbed<B> {
    inner: B,
    scanner: Scanner,
    /// Events until it is cut.
    left: Option<u64>,
    pause: Option<Duration>,
    /// Data that arrived and is held back.
    held: Bytes,
    /// The earliest moment for the next event.
    due: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// The data that was passed on had time to leave.
    settled: bool,
}

impl<B> FaultBody<B> {
    /// The body with this done to it.
    pub fn new(inner: B, disturbance: Disturbance, events: Events) -> Self {
        Self::Disturbed(Box::new(Disturbed {
            inner,
            scanner: Scanner::new(events),
            left: disturbance.cut_after,
            pause: disturbance.delay,
            held: Bytes::new(),
            due: None,
            sleep: None,
            settled: false,
        }))
    }

    /// The whole body again, of which this has been read.
    pub fn begun(come: Come, rest: B) -> Self {
        Self::Begun(Box::new(Begun { come, rest }))
    }

    /// Whether it is the fault that lets the client wait: the endpoint is not silent.
    pub fn is_holding(&self) -> bool {
        match self {
            Self::Untouched(_) | Self::Begun(_) => false,
            Self::Disturbed(disturbed) => !disturbed.held.is_empty() || disturbed.left == Some(0),
        }
    }
}

impl<B> Disturbed<B> {
    /// Takes the held data that may go: up to the end of an event.
    fn next_piece(&mut self) -> Bytes {
        let Some(end) = self.scanner.end(&self.held) else {
            return std::mem::take(&mut self.held);
        };
        let piece = self.held.split_to(end.min(self.held.len()));
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.due = self.pause.map(|pause| Instant::now() + pause);
        piece
    }

    /// Ready once the next event may go.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = self.due else {
            return Poll::Ready(());
        };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        ready!(sleep.as_mut().poll(cx));
        self.due = None;
        Poll::Ready(())
    }

    /// Breaks off a moment after the last event, because data that is handed over together with an error is lost.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> Poll<Error> {
        if std::mem::replace(&mut self.settled, true) {
            return Poll::Ready(Error::FaultCut);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<B> Disturbed<B>
where
    B: HttpBody<Data = Bytes, Error: Into<Option<hyper::Error>>> + Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.left == Some(0) {
                return self.poll_cut(cx).map(|error| Some(Err(error)));
            }
            if !self.held.is_empty() {
                ready!(self.poll_due(cx));
                return Poll::Ready(Some(Ok(Frame::data(self.next_piece()))));
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(Error::UpstreamAborted(error.into())))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.held = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }
}

impl<B> HttpBody for FaultBody<B>
where
    B: HttpBody<Data = Bytes, Error: Into<Option<hyper::Error>>> + Unpin,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match &mut *self {
            Self::Untouched(body) => {
                Pin::new(body).poll_frame(cx).map_err(|error| Error::UpstreamAborted(error.into()))
            }
            Self::Disturbed(disturbed) => disturbed.poll(cx),
            Self::Begun(begun) => match begun.come.pop() {
                Some(frame) => Poll::Ready(Some(Ok(frame))),
                None => Pin::new(&mut begun.rest).poll_frame(cx).map_err(|error| Error::UpstreamAborted(error.into())),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Untouched(body) => body.is_end_stream(),
            Self::Disturbed(disturbed) => !self.is_holding() && disturbed.inner.is_end_stream(),
            Self::Begun(begun) => begun.come.is_empty() && begun.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Untouched(body) => body.size_hint(),
            Self::Begun(begun) if begun.come.is_empty() => begun.rest.size_hint(),
            Self::Begun(_) | Self::Disturbed(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use super::*;

    /// Pieces that are all there.
    #[derive(Debug)]
    struct Pieces(VecDeque<Frame<Bytes>>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            Poll::Ready(self.0.pop_front().map(Ok))
        }

        fn is_end_stream(&self) -> bool {
            self.0.is_empty()
        }
    }

    fn disturbed(pieces: &[&'static str], cut_after: Option<u64>, delay: Option<Duration>) -> FaultBody<Pieces> {
        let data = |text: &&'static str| Frame::data(Bytes::from_static(text.as_bytes()));
        let pieces = Pieces(pieces.iter().map(data).collect());
        FaultBody::new(pieces, Disturbance { cut_after, delay }, Events::Lines)
    }

    /// Everything that comes, each with the second it came in; the last is how it ended.
    async fn read(mut body: FaultBody<Pieces>) -> Vec<(u64, String)> {
        let start = Instant::now();
        let mut seen = Vec::new();
        loop {
            let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
            let text = match &frame {
                None => "end".to_owned(),
                Some(Err(error)) => error.reason().to_owned(),
                Some(Ok(frame)) => {
                    let data = frame.data_ref().cloned().unwrap_or_default();
                    String::from_utf8(data.to_vec()).unwrap()
                }
            };
            seen.push((start.elapsed().as_secs(), text));
            if !matches!(frame, Some(Ok(_))) {
                return seen;
            }
        }
    }

    fn at(second: u64, text: &str) -> (u64, String) {
        (second, text.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn it_breaks_off_after_the_events() {
        for (pieces, cut, expected) in [
            (&["a\n\nb\n\nc\n\n"][..], 2, vec!["a\n\n", "b\n\n", "fault_injected"]),
            (&["a\n", "\nb", "\n\n"], 1, vec!["a\n", "\n", "fault_injected"]),
            (&["a\n\n"], 0, vec!["fault_injected"]),
            (&["a\n\n"], 2, vec!["a\n\n", "end"]),
            (&["a\n\n"], 1, vec!["a\n\n", "fault_injected"]),
        ] {
            let seen = read(disturbed(pieces, Some(cut), None)).await;
            let texts: Vec<_> = seen.iter().map(|(_, text)| text.as_str()).collect();
            assert_eq!(texts, expected, "{pieces:?} after {cut}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn events_come_apart_and_the_end_does_not_wait() {
        let body = disturbed(&["a\n\nb\n\n", "c\n", "\n"], None, Some(Duration::from_secs(3)));
        assert_eq!(read(body).await, [at(0, "a\n\n"), at(3, "b\n\n"), at(6, "c\n"), at(6, "\n"), at(6, "end")]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_neither_the_end_nor_silence() {
        let mut body = disturbed(&["a\n\nb\n\n"], None, Some(Duration::from_secs(3)));
        assert!(!body.is_holding() && !body.is_end_stream());
        let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(matches!(first, Some(Ok(_))));
        assert!(body.is_holding() && !body.is_end_stream());
        let second = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(matches!(second, Some(Ok(_))));
        assert!(!body.is_holding() && body.is_end_stream());
        let mut cut = disturbed(&["a\n\n"], Some(1), None);
        let last = poll_fn(|cx| Pin::new(&mut cut).poll_frame(cx)).await;
        assert!(matches!(last, Some(Ok(_))));
        assert!(!cut.is_end_stream(), "a polite end is not one after a cut");
    }

    #[tokio::test(start_paused = true)]
    async fn trailers_pass() {
        let mut body = disturbed(&["a\n\n"], Some(9), None);
        if let FaultBody::Disturbed(disturbed) = &mut body {
            disturbed.inner.0.push_back(Frame::trailers(HeaderMap::new()));
        }
        poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let trailers = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        assert!(trailers.is_some_and(|frame| frame.is_ok_and(|frame| frame.is_trailers())));
    }
}
