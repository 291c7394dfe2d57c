//! The whole of a small answer, in memory: bounded in size and in time.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::response::Parts;
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::facts::ReplyFields;
use crate::a2a::wire::{Framed, in_frame};
use crate::body::Come;
use crate::error::Error;
use crate::pool::ResponseBody;

/// What came of an answer.
#[derive(Debug)]
pub(super) enum Collected {
    /// All of it.
    Whole(Bytes),
    /// Its beginning, and what follows.
    TooLarge(Come, ResponseBody),
}

/// Reads up to `most` bytes, until `end` at the latest.
pub(super) async fn collect(mut body: ResponseBody, most: usize, end: Instant) -> Result<Collected, Error> {
    let data = timeout_at(end, read(&mut body, most)).await.unwrap_or(Err(Error::Timeout))?;
    let is_whole = data.len() <= most;
    Ok(if is_whole { Collected::Whole(data) } else { Collected::TooLarge(Come { data, trailers: None }, body) })
}

/// The same for a body that is kept; `None` where it has more.
pub(super) async fn whole(body: &mut ResponseBody, most: usize, end: Instant) -> Result<Option<Bytes>, Error> {
    let data = timeout_at(end, read(body, most)).await.unwrap_or(Err(Error::Timeout))?;
    Ok(Some(data).filter(|data| data.len() <= most))
}

/// Reads a body up to the end of its first message of gRPC, as far as that has at most `most` bytes, until `end` at the
/// latest. What has come, and what follows.
pub(super) async fn message(mut body: ResponseBody, most: usize, end: Instant) -> Result<(Come, ResponseBody), Error> {
    let read = async {
        let mut come = Come::default();
        while wants_more(&come.data, most)
            && let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            match frame.map_err(Error::UpstreamAborted)?.into_data() {
                Ok(data) => come.data = joined(come.data, data),
                // Nothing follows them.
                Err(last) => {
                    come.trailers = last.into_trailers().ok();
                    break;
                }
            }
        }
        Ok(come)
    };
    let come = timeout_at(end, read).await.unwrap_or(Err(Error::Timeout))?;
    Ok((come, body))
}

/// An answer of which a part was taken, to be passed on after all.
pub(super) fn given_back(
    reply: &mut ReplyFields,
    head: Parts,
    come: Come,
    rest: ResponseBody,
) -> Response<ResponseBody> {
    reply.come = Some(Box::new(come));
    Response::from_parts(head, rest)
}

fn wants_more(come: &[u8], most: usize) -> bool {
    match in_frame(come) {
        Framed::Begun { length } => length.is_none_or(|length| length <= most),
        Framed::Whole(..) | Framed::Compressed | Framed::Other => false,
    }
}

/// Up to the end, or as soon as there is more than `most`.
async fn read(body: &mut ResponseBody, most: usize) -> Result<Bytes, Error> {
    let mut collected = Bytes::new();
    while collected.len() <= most
        && let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await
    {
        if let Ok(data) = frame.map_err(Error::UpstreamAborted)?.into_data() {
            collected = joined(collected, data);
        }
    }
    Ok(collected)
}

/// Most answers come in one piece.
fn joined(before: Bytes, more: Bytes) -> Bytes {
    if before.is_empty() {
        return more;
    }
    let mut both = BytesMut::from(before);
    both.extend_from_slice(&more);
    both.freeze()
}
