//! A bounded look at the beginning of a request body, before an endpoint is chosen. What was looked at stays in front
//! of the body: it is sent first, in the pieces it came in.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use tokio::time::timeout;

use super::ahead::Room;
use super::request::RequestBody;
use super::streaming::Streaming;
use crate::error::Error;

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// All of the body has been seen.
    Whole,
    /// The observer has seen enough.
    Enough,
    /// The body is longer than what may be looked at.
    TooLong,
    /// The bodies that are looked at hold as much memory as they may.
    NoRoom,
    /// The body did not come in time.
    Late,
    /// The body broke off, is too large or is misframed. The failure is noted in its [`UploadState`].
    ///
    /// [`UploadState`]: super::UploadState
    Broken,
}

/// What a look may cost.
#[derive(Clone, Debug)]
pub struct LookLimits {
    /// Bytes of one body.
    pub bytes: usize,
    /// How long the client may take.
    pub time: Duration,
    /// The memory of all bodies that are looked at.
    pub room: Room,
}

impl RequestBody {
    /// Shows the body to `observer` piece by piece until that returns false or a limit is reached, and then once more
    /// in the same pieces to whoever reads the body.
    pub async fn look(&mut self, limits: &LookLimits, mut observer: impl FnMut(&[u8]) -> bool) -> Looked {
        let streaming = match self {
            Self::Streaming(streaming) => streaming,
            Self::Whole(bytes) => return if observer(bytes) { Looked::Whole } else { Looked::Enough },
            Self::Empty | Self::Kept(_) => return Looked::Whole,
        };
        if streaming.size_hint().lower() > limits.bytes as u64 {
            return Looked::TooLong;
        }
        for piece in streaming.ahead.pieces() {
            if !observer(piece) {
                return Looked::Enough;
            }
        }
        // Boxed where it has to wait, which few bodies do.
        if let Some(looked) = come(streaming, limits, &mut observer).await {
            return looked;
        }
        let rest = Box::pin(poll_on(streaming, limits, observer));
        timeout(limits.time, rest).await.unwrap_or(Looked::Late)
    }
}

/// Takes what has arrived with the head. The task is polled once more, because hyper hands out a piece only after it
/// was asked.
async fn come(streaming: &mut Streaming, limits: &LookLimits, see: &mut impl FnMut(&[u8]) -> bool) -> Option<Looked> {
    let mut asked = false;
    poll_fn(|cx| {
        loop {
            match streaming.poll_piece(cx) {
                Poll::Ready(piece) => {
                    if let Some(looked) = take(streaming, piece, limits, see) {
                        return Poll::Ready(Some(looked));
                    }
                }
                Poll::Pending if asked => return Poll::Ready(None),
                Poll::Pending => {
                    asked = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

/// Waits for the rest. The time the client takes is the client's, not the endpoint's.
async fn poll_on(streaming: &mut Streaming, limits: &LookLimits, mut see: impl FnMut(&[u8]) -> bool) -> Looked {
    poll_fn(|cx| {
        loop {
            match streaming.poll_piece(cx) {
                Poll::Ready(piece) => {
                    streaming.state().asked(false);
                    if let Some(looked) = take(streaming, piece, limits, &mut see) {
                        return Poll::Ready(looked);
                    }
                }
                Poll::Pending => {
                    streaming.state().asked(true);
                    return Poll::Pending;
                }
            }
        }
    })
    .await
}

/// Keeps a piece and shows it; says how the look ends if it ends here.
fn take(
    streaming: &mut Streaming,
    piece: Option<Result<Frame<Bytes>, Error>>,
    limits: &LookLimits,
    observer: &mut impl FnMut(&[u8]) -> bool,
) -> Option<Looked> {
    let frame = match piece {
        None => return Some(Looked::Whole),
        Some(Err(_noted)) => return Some(Looked::Broken),
        Some(Ok(frame)) => frame,
    };
    let wants_more = frame.data_ref().is_none_or(|data| observer(data));
    let has_room = streaming.ahead.push(frame, &limits.room);
    if streaming.is_received() {
        Some(Looked::Whole)
    } else if !wants_more {
        Some(Looked::Enough)
    } else if streaming.ahead.len() > limits.bytes {
        Some(Looked::TooLong)
    } else {
        (!has_room).then_some(Looked::NoRoom)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use http_body_util::BodyExt;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::sleep;

    use super::*;
    use crate::body::{Upload, UploadState};
    use crate::bounded::Count;
    use crate::config::model::ListenerId;
    use crate::context::Connection;

    /// What a look into a body came to, what it showed, and what the reader of the body got afterwards.
    #[derive(Debug, PartialEq)]
    struct Seen {
        looked: Looked,
        shown: usize,
        read: Vec<u8>,
    }

    fn limits() -> LookLimits {
        LookLimits { bytes: 100_000, time: Duration::from_secs(5), room: Room { held: Count::new(()), blocks: 8 } }
    }

    fn body(incoming: Incoming) -> (RequestBody, Rc<UploadState>) {
        let state = Rc::<UploadState>::default();
        let address = "127.0.0.1:1".parse().unwrap();
        let connection = Rc::new(Connection::new(ListenerId(0), address, address, None));
        let mut body = RequestBody::new(Upload::new(incoming, &connection, &state), Rc::clone(&state));
        body.hold_to(Some(1_000_000), Duration::from_secs(30));
        (body, state)
    }

    /// Sends the pieces with a pause between them and looks until `enough` bytes have been shown.
    async fn look(head: &str, pieces: &[&[u8]], limits: &LookLimits, enough: usize) -> Seen {
        let (client, server) = duplex(1 << 20);
        let seen = RefCell::new(None);
        let service = service_fn(|request: http::Request<Incoming>| {
            let seen = &seen;
            async move {
                let (mut body, _state) = body(request.into_body());
                let mut shown = 0;
                let looked = body.look(limits, |piece| {
                    shown += piece.len();
                    shown < enough
                });
                let looked = looked.await;
                let read = body.collect().await.map(|read| read.to_bytes().to_vec()).unwrap_or_default();
                *seen.borrow_mut() = Some(Seen { looked, shown, read });
                Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
            }
        });
        let (mut reader, mut writer) = tokio::io::split(client);
        let serve = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        let send = async {
            writer.write_all(head.as_bytes()).await.unwrap();
            for piece in pieces {
                writer.write_all(piece).await.unwrap();
                sleep(Duration::from_secs(1)).await;
            }
            let mut answer = [0; 12];
            reader.read_exact(&mut answer).await.unwrap();
            drop((reader, writer));
        };
        let (served, ()) = tokio::join!(serve, send);
        served.unwrap();
        seen.into_inner().unwrap()
    }

    fn sized(length: usize) -> String {
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_is_seen_whole_and_sent_whole() {
        let long = vec![b'x'; 50_000];
        for pieces in [&[b"abc".as_slice()][..], &[b"a", b"", b"bc"], &[&long, b"1", b"2", &long[..5_000], b"3"]] {
            let all = pieces.concat();
            let seen = look(&sized(all.len()), pieces, &limits(), usize::MAX).await;
            assert_eq!(seen, Seen { looked: Looked::Whole, shown: all.len(), read: all });
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunked_body_is_seen_to_its_last_chunk() {
        let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let pieces: [&[u8]; 3] = [b"2\r\nab\r\n", b"1\r\nc\r\n", b"0\r\n\r\n"];
        let seen = look(head, &pieces, &limits(), usize::MAX).await;
        assert_eq!(seen, Seen { looked: Looked::Whole, shown: 3, read: b"abc".to_vec() });
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_ends_when_enough_was_seen() {
        let seen = look(&sized(6), &[b"ab", b"cd", b"ef"], &limits(), 3).await;
        assert_eq!(seen, Seen { looked: Looked::Enough, shown: 4, read: b"abcdef".to_vec() });
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_long_late_or_has_no_room_passes_all_the_same() {
        let pieces: [&[u8]; 3] = [&[b'a'; 10], &[b'b'; 10], &[b'c'; 10]];
        let all = pieces.concat();
        let passed = |looked, shown| Seen { looked, shown, read: all.clone() };
        let short = LookLimits { bytes: 15, ..limits() };
        assert_eq!(look(&sized(30), &pieces, &short, usize::MAX).await, passed(Looked::TooLong, 0));
        let hasty = LookLimits { time: Duration::from_millis(1_500), ..limits() };
        assert_eq!(look(&sized(30), &pieces, &hasty, usize::MAX).await, passed(Looked::Late, 20));
        let crowded = LookLimits { room: Room { held: Count::new(()), blocks: 0 }, ..limits() };
        assert_eq!(look(&sized(30), &pieces, &crowded, usize::MAX).await, passed(Looked::NoRoom, 20));
        assert_eq!(crowded.room.held.taken(), 0);
        let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        let pieces: [&[u8]; 3] = [b"a\r\naaaaaaaaaa\r\n", b"a\r\nbbbbbbbbbb\r\n", b"a\r\ncccccccccc\r\n0\r\n\r\n"];
        assert_eq!(look(chunked, &pieces, &short, usize::MAX).await, passed(Looked::TooLong, 20));
    }
}
