//! A copy of a request body, made while the body passes. The copy never delays the body: when the body is too large or
//! breaks off, only the copy is dropped.

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

/// Takes the copy.
#[derive(Debug)]
pub(super) struct Tee {
    copy: BytesMut,
    limit: u64,
    done: Option<oneshot::Sender<Result<Bytes, TooLarge>>>,
}

/// The body is larger than what is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// A copy in the making. It ends with the body, and with an error of the channel when that broke off.
pub type Copied = oneshot::Receiver<Result<Bytes, TooLarge>>;

impl Tee {
    pub(super) fn new(limit: u64) -> (Self, Copied) {
        let (done, copied) = oneshot::channel();
        let copy = BytesMut::new();
        let done = Some(done);
        (Self { copy, limit, done }, copied)
    }

    /// A piece passes.
    pub(super) fn take(&mut self, piece: &[u8]) {
        if self.done.is_none() {
            return;
        }
        // Copied, not shared: a slice would keep the whole buffer it was read into.
        if (self.copy.len() + piece.len()) as u64 <= self.limit {
            self.copy.extend_from_slice(piece);
        } else {
            self.copy = BytesMut::new();
            self.finish(Err(TooLarge));
        }
    }

    /// The last piece has passed.
    pub(super) fn end(&mut self) {
        let copy = std::mem::take(&mut self.copy).freeze();
        self.finish(Ok(copy));
    }

    fn finish(&mut self, result: Result<Bytes, TooLarge>) {
        if let Some(done) = self.done.take() {
            // The receiver of the copy may be gone.
            drop(done.send(result));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies() {
        for (pieces, ends, expected) in [
            (&["ab", "cd"][..], true, Some(Ok("abcd"))),
            (&["abc", "de"], true, Some(Ok("abcde"))),
            (&["abc", "def"], true, Some(Err(TooLarge))),
            (&["abcdef"], false, Some(Err(TooLarge))),
            (&["ab"], false, None),
            (&[], true, Some(Ok(""))),
        ] {
            let (mut tee, mut copied) = Tee::new(5);
            for piece in pieces {
                tee.take(piece.as_bytes());
            }
            if ends {
                tee.end();
            }
            drop(tee);
            let expected = expected.map(|copy| copy.map(|text| Bytes::from_static(text.as_bytes())));
            assert_eq!(copied.try_recv().ok(), expected, "{pieces:?}");
        }
    }
}
