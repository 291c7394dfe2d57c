//! A request body that may have to be sent again. It is kept while it streams to the first try and never delays it; one
//! that is too long to be kept passes through all the same, and cannot be sent again.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use super::streaming::Streaming;
use crate::error::Error;

/// One try's view of a body.
#[derive(Debug)]
pub struct Replay {
    tape: Rc<RefCell<Tape>>,
    /// Which of the views this is. Only the latest may read on: a connection that has not noticed yet that its try was
    /// given up would otherwise take pieces out of the next one's hands.
    turn: u32,
    next: usize,
}

/// What has come of the body so far, and where the rest comes from.
#[derive(Debug)]
struct Tape {
    source: Box<Streaming>,
    kept: Vec<Piece>,
    /// Bytes that may still be kept.
    room: usize,
    /// Something is missing in `kept`.
    torn: bool,
    ended: bool,
    turn: u32,
}

#[derive(Clone, Debug)]
enum Piece {
    Data(Bytes),
    Trailers(Box<HeaderMap>),
}

impl Replay {
    /// Keeps at most `limit` bytes of what `source` yields.
    pub(super) fn new(source: Box<Streaming>, limit: usize) -> Self {
        let tape = Tape { source, kept: Vec::new(), room: limit, torn: false, ended: false, turn: 0 };
        Self { tape: Rc::new(RefCell::new(tape)), turn: 0, next: 0 }
    }

    /// A view for another try, which reads nothing before [`Self::rewind`]. While there is none, nothing is kept.
    pub(super) fn again(&self) -> Self {
        Self { tape: Rc::clone(&self.tape), turn: u32::MAX, next: 0 }
    }

    /// Makes this view the one that reads, from the start. False when the start is not there any more.
    pub(super) fn rewind(&mut self) -> bool {
        let mut tape = self.tape.borrow_mut();
        if tape.torn {
            return false;
        }
        tape.turn += 1;
        self.turn = tape.turn;
        self.next = 0;
        true
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let alone = Rc::strong_count(&self.tape) == 1;
        let mut tape = self.tape.borrow_mut();
        if self.turn != tape.turn {
            // This reader was cancelled; an error makes it end its stream.
            return Poll::Ready(Some(Err(Error::Internal)));
        }
        if let Some(piece) = tape.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.frame())));
        }
        if tape.ended {
            return Poll::Ready(None);
        }
        let Some(frame) = ready!(tape.source.poll(cx)?) else {
            tape.ended = true;
            return Poll::Ready(None);
        };
        if alone {
            tape.tear();
        }
        tape.keep(&frame);
        self.next = tape.kept.len();
        Poll::Ready(Some(Ok(frame)))
    }

    /// Whether this view may say how the body goes on.
    pub(super) fn is_current(&self) -> bool {
        self.turn == self.tape.borrow().turn
    }

    pub(super) fn handed(&self) {
        self.tape.borrow().source.state().handed();
    }

    pub(super) fn asked(&self, waits: bool) {
        self.tape.borrow().source.state().asked(waits);
    }

    pub(super) fn patience(&self) -> Option<Duration> {
        let tape = self.tape.borrow();
        if tape.ended { None } else { tape.source.patience() }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let tape = self.tape.borrow();
        let over = tape.ended || tape.source.is_end_stream();
        over && self.next >= tape.kept.len()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let tape = self.tape.borrow();
        let kept = tape.kept.get(self.next..).unwrap_or_default();
        let kept: u64 = kept.iter().map(Piece::len).sum();
        let rest = tape.source.size_hint().exact();
        rest.map(|rest| SizeHint::with_exact(rest + kept)).unwrap_or_default()
    }
}

impl Tape {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.torn {
            return;
        }
        let Some(piece) = Piece::of(frame) else {
            return;
        };
        let size = usize::try_from(piece.len()).unwrap_or(usize::MAX);
        match self.room.checked_sub(size) {
            Some(room) if self.kept.len() < MAX_PIECES => {
                self.room = room;
                self.kept.push(piece);
            }
            _ => self.tear(),
        }
    }

    /// Drops the kept bytes.
    fn tear(&mut self) {
        self.torn = true;
        self.kept = Vec::new();
    }
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        let trailers = || frame.trailers_ref().cloned().map(Box::new).map(Self::Trailers);
        data.or_else(trailers)
    }

    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(fields) => Frame::trailers((**fields).clone()),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }
}

/// Pieces kept: each takes memory besides its bytes, and a body may come byte by byte.
const MAX_PIECES: usize = 4096;
