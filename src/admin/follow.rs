//! Answers that go on: server-sent events. Each has a bound on what waits for it and says what it had to leave out; a
//! reader that takes nothing for long is cut by its connection.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use http_body::Frame;
use tokio::sync::broadcast;
use tokio::time::{Instant, sleep_until};

use crate::observe::live::{EventBook, Subscription};

/// The pieces of such an answer.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of an answer of the admin API.
pub(super) enum AdminBody {
    /// All of it.
    Whole(http_body_util::Full<Bytes>),
    /// One that goes on until its reader leaves or the gateway ends.
    Following(Pieces),
}

impl http_body::Body for AdminBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut *self {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Following(pieces) => {
                pieces.as_mut().poll_next(cx).map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Following(_) => false,
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Following(_) => http_body::SizeHint::default(),
        }
    }
}

impl std::fmt::Debug for AdminBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole",
            Self::Following(_) => "Following",
        })
    }
}

/// Requests as they end.
pub(super) fn requests(subscription: Subscription) -> Pieces {
    Box::pin(unfold((subscription, begins()), async |(mut subscription, begins)| {
        if let Some(first) = begins {
            return Some((first, (subscription, None)));
        }
        let piece = tokio::select! {
            biased;
            line = subscription.next() => {
                let missed = subscription.take_missed();
                let mut piece = if missed > 0 { missing(missed) } else { Vec::new() };
                let line = line?;
                event(&mut piece, "request", line.trim_ascii_end());
                piece.into()
            }
            () = silence() => Bytes::from_static(SIGN_OF_LIFE),
        };
        Some((piece, (subscription, None)))
    }))
}

/// The last events of the gateway's life, and each as it comes.
pub(super) fn events(book: &EventBook) -> Pieces {
    let (last, news) = book.follow();
    let mut first = begins().unwrap_or_default().to_vec();
    last.iter().for_each(|line| event(&mut first, "event", line.as_bytes()));
    Box::pin(unfold((news, Some(Bytes::from(first))), async |(mut news, first)| {
        if let Some(first) = first {
            return Some((first, (news, None)));
        }
        let piece = tokio::select! {
            biased;
            line = news.recv() => {
                let mut piece = Vec::new();
                match line {
                    Ok(line) => event(&mut piece, "event", line.as_bytes()),
                    Err(broadcast::error::RecvError::Lagged(missed)) => piece = missing(missed),
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
                piece.into()
            }
            () = silence() => Bytes::from_static(SIGN_OF_LIFE),
        };
        Some((piece, (news, None)))
    }))
}

/// What `look` says, at once and then again and again.
pub(super) fn states<F>(every: Duration, look: impl Fn() -> F + Send + Sync + 'static) -> Pieces
where
    F: Future<Output = Arc<str>> + Send + 'static,
{
    let look = Arc::new(look);
    Box::pin(unfold((Instant::now(), begins()), move |(due, begins)| {
        let look = Arc::clone(&look);
        async move {
            if let Some(first) = begins {
                return Some((first, (due, None)));
            }
            sleep_until(due).await;
            let mut piece = Vec::new();
            event(&mut piece, "state", look().await.as_bytes());
            Some((piece.into(), (Instant::now() + every, None)))
        }
    }))
}

/// Tells clients at once that the answer has begun, and how soon they should come back after its end.
fn begins() -> Option<Bytes> {
    Some(Bytes::from_static(b"retry: 2000\n\n"))
}

async fn silence() {
    tokio::time::sleep(QUIET).await;
}

/// One event. Its data is a line of JSON, which has no line ends inside.
fn event(piece: &mut Vec<u8>, name: &str, data: &[u8]) {
    piece.extend_from_slice(b"event: ");
    piece.extend_from_slice(name.as_bytes());
    piece.extend_from_slice(b"\ndata: ");
    piece.extend_from_slice(data);
    piece.extend_from_slice(b"\n\n");
}

fn missing(count: u64) -> Vec<u8> {
    let mut piece = Vec::new();
    event(&mut piece, "missed", format!("{{\"missed\":{count}}}").as_bytes());
    piece
}

/// Time after which a silent answer says that it is there.
const QUIET: Duration = Duration::from_secs(10);
const SIGN_OF_LIFE: &[u8] = b":\n\n";

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn next(pieces: &mut Pieces) -> String {
        String::from_utf8(pieces.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_state_comes_at_once_and_then_every_second() {
        let start = Instant::now();
        let mut pieces = states(Duration::from_secs(1), || async { Arc::from("{}") });
        assert_eq!(next(&mut pieces).await, "retry: 2000\n\n");
        assert_eq!(next(&mut pieces).await, "event: state\ndata: {}\n\n");
        assert_eq!(start.elapsed(), Duration::ZERO);
        next(&mut pieces).await;
        assert_eq!(start.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_shows_that_it_lives() {
        let book = EventBook::default();
        let mut pieces = events(&book);
        assert_eq!(next(&mut pieces).await, "retry: 2000\n\n");
        assert_eq!(next(&mut pieces).await, ":\n\n");
    }
}
