//! Pieces of a request body that were fetched before the body was asked for, in bounded memory.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body::Frame;

use crate::bounded::{Count, Permit};

/// The memory that bodies may hold together beyond their first pieces.
#[derive(Clone, Debug)]
pub struct Room {
    /// Blocks of [`BLOCK`] bytes that are held.
    pub held: Arc<Count>,
    /// How many there may be.
    pub blocks: usize,
}

/// Unit in which held memory is counted, in bytes.
pub const BLOCK: usize = 64 * 1024;

/// Pieces that came before the body was asked for.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// The first, alone in nearly every request.
    first: Option<Frame<Bytes>>,
    more: VecDeque<Frame<Bytes>>,
    /// Small pieces in one buffer: each by itself would cost more than its bytes.
    gathered: BytesMut,
    /// Bytes in `more` and `gathered`.
    bytes: usize,
    held: Vec<Permit>,
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty() && self.gathered.is_empty()
    }

    /// Bytes that wait here.
    pub(super) fn len(&self) -> usize {
        self.bytes + self.first.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len)
    }

    /// The bytes that wait here.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let frames = self.first.iter().chain(&self.more);
        let data = frames.filter_map(Frame::data_ref).map(|data| &**data);
        data.chain((!self.gathered.is_empty()).then_some(&*self.gathered))
    }

    pub(super) fn pop(&mut self) -> Option<Frame<Bytes>> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let next = self.more.pop_front();
        let next = next.or_else(|| (!self.gathered.is_empty()).then(|| Frame::data(self.gathered.split().freeze())))?;
        self.bytes -= next.data_ref().map_or(0, Bytes::len);
        if self.is_empty() {
            self.held = Vec::new();
        }
        Some(next)
    }

    /// Takes the one piece that came together with the head.
    pub(super) fn push_first(&mut self, frame: Frame<Bytes>) {
        self.first = Some(frame);
    }

    /// Takes one more piece. Without room for it nothing is lost: the piece is kept, and false says that it must be the
    /// last one.
    pub(super) fn push(&mut self, frame: Frame<Bytes>, room: &Room) -> bool {
        if self.is_empty() {
            self.first = Some(frame);
            return true;
        }
        let frame = match frame.into_data() {
            Ok(data) if data.len() < SMALL => {
                self.bytes += data.len();
                self.gathered.extend_from_slice(&data);
                return self.has_room(room);
            }
            Ok(data) => Frame::data(data),
            Err(trailers) => trailers,
        };
        self.bytes += frame.data_ref().map_or(0, Bytes::len);
        if !self.gathered.is_empty() {
            self.more.push_back(Frame::data(self.gathered.split().freeze()));
        }
        self.more.push_back(frame);
        self.has_room(room)
    }

    /// Counts the blocks in use.
    fn has_room(&mut self, room: &Room) -> bool {
        while self.held.len() * BLOCK < self.bytes {
            match room.held.enter(room.blocks) {
                Some(permit) => self.held.push(permit),
                None => return false,
            }
        }
        true
    }
}

/// A piece below this is copied together with its neighbours, in bytes.
const SMALL: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_small_pieces_hold_little_more_than_their_bytes() {
        let room = Room { held: Count::new(()), blocks: 8 };
        let mut ahead = Ahead::default();
        for _ in 0..BLOCK {
            assert!(ahead.push(Frame::data(Bytes::from_static(b"x")), &room));
        }
        assert_eq!((ahead.len(), ahead.more.len(), ahead.held.len()), (BLOCK, 0, 1));
        assert_eq!(std::iter::from_fn(|| ahead.pop()).count(), 2);
        assert_eq!((ahead.len(), room.held.taken()), (0, 0));
    }
}
