//! The whole of a small answer, in memory: bounded in size and in time.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::response::Parts;
use http_body::Body as _;
use tokio::time::{Instant, timeout_at};

use super::exchange::Exchange;
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
pub(super) async fn collect(body: ResponseBody, most: usize, end: Instant) -> Result<Collected, Error> {
    timeout_at(end, read(body, most)).await.unwrap_or(Err(Error::Timeout))
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
    exchange: &mut Exchange,
    head: Parts,
    come: Come,
    rest: ResponseBody,
) -> Response<ResponseBody> {
    exchange.reply.come = Some(Box::new(come));
    Response::from_parts(head, rest)
}

fn wants_more(come: &[u8], most: usize) -> bool {
    match in_frame(come) {
        Framed::Begun { length } => length.is_none_or(|length| length <= most),
        Framed::Whole(..) | Framed::Compressed | Framed::Other => false,
    }
}

async fn read(mut body: ResponseBody, most: usize) -> Result<Collected, Error> {
    let mut collected = Bytes::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(data) = frame.map_err(Error::UpstreamAborted)?.into_data() else {
            continue;
        };
        collected = joined(collected, data);
        if collected.len() > most {
            return Ok(Collected::TooLarge(Come { data: collected, trailers: None }, body));
        }
    }
    Ok(Collected::Whole(collected))
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
