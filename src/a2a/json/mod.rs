//! JSON (RFC 8259) read in pieces cut anywhere. A [`Reader`] says which places it cares for; everything else is checked
//! and skipped without being kept. Never recurses: the nesting is a stack of bits, and the way to the places of
//! interest a short stack beside it.
//!
//! Keys are compared without case and underscores, because agents do: ProtoJSON takes `task_id` for `taskId`, Go takes
//! `METHOD` for `method`. A key that comes twice in one object by that measure is reported, since some agents take the
//! first and some the last. Bytes in skipped strings need not be UTF-8.
//!
//! Every call of an agent pays for this. A token that lies in one piece is read at once, and what reads it is part of
//! the one loop in [`Tokenizer::feed`]: as functions of their own they cost a quarter more.

use std::fmt::Debug;

mod number;
mod run;
mod scalar;
mod string;
mod text;

use number::Number;
use scalar::Literal;
use text::{Escape, Kept, Key};

/// Why bytes are not read to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are not what they should be: no JSON, no protobuf.
    Malformed,
    /// They are nested deeper than this gateway follows: 1,024 levels of JSON.
    TooDeep,
}

/// A place in a document that a reader cares for.
pub(super) trait Place: Copy + Debug {
    /// A bit of its own among the members of one object.
    fn bit(self) -> u32;
}

/// How a string is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Capture {
    /// That there is one.
    Kind,
    /// Decoded.
    Text,
    /// As it was written, without its quotes.
    Raw,
}

/// A value at a place of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A string, as its [`Capture`] says; empty for [`Capture::Kind`].
    Text(&'a str),
    /// A number as it was written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// The beginning of an array.
    Array,
    /// The beginning of an object.
    Object,
    /// A string or number that is longer than [`MAX_VALUE`].
    Long,
}

/// A value that may be any other of its kind without a difference to a [`Reader`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipped {
    /// A string, behind its first quote.
    Text,
    /// A number.
    Number,
}

impl Skipped {
    /// The length of such a value at the beginning of these bytes, up to the quote of a string; `None` when there is
    /// none, or it may go on behind them.
    pub(super) fn length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Text => run::text(bytes),
            Self::Number => Number::length(bytes),
        }
    }
}

/// What is to be found in a document.
pub(super) trait Reader {
    /// Its places.
    type Place: Place;

    /// The place of the document itself.
    fn root(&self) -> Self::Place;
    /// The place of a member of the object at `at`; the key is in lower case and without underscores. Names consist of
    /// letters.
    fn member(&self, at: Self::Place, key: &[u8]) -> Option<Self::Place>;
    /// The place of the elements of the array at `at`.
    fn element(&self, at: Self::Place) -> Option<Self::Place>;
    /// How a string at this place is reported.
    fn capture(&self, at: Self::Place) -> Capture;
    /// There is a value at this place.
    fn value(&mut self, at: Self::Place, value: Value<'_>);
    /// A member of the object at this place is none that the reader cares for.
    fn passed_over(&mut self, _at: Self::Place) {}
    /// A text or number that nobody cares for begins, so many bytes before the end of what was fed.
    #[inline(always)]
    fn skips(&mut self, _kind: Skipped, _left: usize) {}
    /// A key was said again in the same object.
    fn repeated(&mut self);
}

/// Longest value that is reported, in bytes.
pub(super) const MAX_VALUE: usize = 512;
/// Deepest nesting.
const MAX_DEPTH: usize = 1024;
/// Longest way to a place of interest.
const MAX_FRAMES: usize = 10;

/// Reads one document.
#[derive(Debug)]
pub(super) struct Tokenizer<P> {
    state: State,
    depth: usize,
    /// Whether the innermost open level is an object.
    is_object: bool,
    /// How many of the outermost levels are of interest.
    live: usize,
    /// Where the next value is.
    place: Option<P>,
    /// The first half of a character outside the basic plane, until the second comes.
    high: Option<u16>,
    /// Where the levels of interest are, and which keys they had.
    frames: [Option<P>; MAX_FRAMES],
    seen: [u32; MAX_FRAMES],
    /// One bit for each open level: whether it is an object.
    levels: [u64; MAX_DEPTH / 64],
    key: Key,
    kept: Kept,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before a value.
    Value,
    /// After `[`.
    First,
    /// After `{`, or after a comma in an object.
    Key {
        may_end: bool,
    },
    /// After a key.
    Colon,
    /// After a value.
    Next,
    String {
        is_key: bool,
    },
    /// After a backslash in a string.
    Escape {
        is_key: bool,
        escape: Escape,
    },
    Number(Number),
    /// In a word, of which so many bytes have come.
    Literal {
        literal: Literal,
        length: u8,
    },
    Failed(Fault),
}

impl<P: Place> Default for Tokenizer<P> {
    fn default() -> Self {
        Self {
            state: State::Value,
            depth: 0,
            is_object: false,
            live: 0,
            place: None,
            high: None,
            frames: [None; MAX_FRAMES],
            seen: [0; MAX_FRAMES],
            levels: [0; MAX_DEPTH / 64],
            key: Key::default(),
            kept: Kept::default(),
        }
    }
}

impl<P: Place> Tokenizer<P> {
    /// Begins another document, with the memory of the one before.
    pub(super) fn restart(&mut self) {
        (self.state, self.depth, self.live, self.is_object) = (State::Value, 0, 0, false);
        (self.place, self.high) = (None, None);
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        if self.depth == 0 && self.state == State::Value {
            self.place = Some(reader.root());
        }
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            let next = match self.state {
                State::Value => self.begin(*byte, rest, tail, reader),
                State::First if *byte == b']' => Ok(self.close(tail)),
                State::First => {
                    self.next_element(reader);
                    self.begin(*byte, rest, tail, reader)
                }
                State::Key { may_end } => match byte {
                    b'"' => self.key(tail, reader),
                    b'}' if may_end => Ok(self.close(tail)),
                    byte => run::after_space(*byte, tail),
                },
                State::Colon if *byte == b':' => Ok(self.becomes(State::Value, tail)),
                State::Colon => run::after_space(*byte, tail),
                State::Next => self.next(*byte, tail, reader),
                State::String { is_key } => self.string(rest, run::plain(rest), is_key, reader),
                State::Escape { is_key, escape } => self.escape(*byte, escape, is_key).map(|()| tail),
                State::Number(number) => self.number(rest, 0, number, reader),
                State::Literal { literal, length } => self.literal(rest, literal, length, reader),
                State::Failed(fault) => Err(fault),
            };
            rest = next.inspect_err(|fault| self.state = State::Failed(*fault))?;
        }
        Ok(())
    }

    /// There are no more bytes.
    pub(super) fn finish(&mut self, reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        if let State::Number(number) = self.state {
            self.end_number(number, &[], reader)?;
        }
        match self.state {
            State::Next if self.depth == 0 => Ok(()),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::Malformed),
        }
    }

    /// A byte after a value. Gives back the bytes after what was understood, as all of these do.
    #[inline(always)]
    fn next<'b>(&mut self, byte: u8, tail: &'b [u8], reader: &mut impl Reader<Place = P>) -> Result<&'b [u8], Fault> {
        match byte {
            b',' if self.is_object => {
                // Most keys come right behind the comma.
                if let [b'"', tail @ ..] = tail {
                    return self.key(tail, reader);
                }
                Ok(self.becomes(State::Key { may_end: false }, tail))
            }
            b'}' if self.is_object => Ok(self.close(tail)),
            b',' if self.depth > 0 => {
                self.next_element(reader);
                Ok(self.becomes(State::Value, tail))
            }
            b']' if self.depth > 0 && !self.is_object => Ok(self.close(tail)),
            byte => run::after_space(byte, tail),
        }
    }

    /// A value, of which `byte` is the first.
    #[inline(always)]
    fn begin<'b>(
        &mut self,
        byte: u8,
        bytes: &'b [u8],
        tail: &'b [u8],
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        match byte {
            b'"' => self.text(tail, reader),
            b'{' => self.open(true, tail, reader),
            b'[' => self.open(false, tail, reader),
            b't' => self.literal(tail, Literal::True, 1, reader),
            b'f' => self.literal(tail, Literal::False, 1, reader),
            b'n' => self.literal(tail, Literal::Null, 1, reader),
            byte => match Number::begun(byte) {
                Some(number) => {
                    if self.place.is_none() {
                        reader.skips(Skipped::Number, bytes.len());
                    }
                    self.kept.begin(self.place.map_or(Capture::Kind, |_| Capture::Raw));
                    self.number(bytes, 1, number, reader)
                }
                None => run::after_space(byte, tail),
            },
        }
    }

    fn becomes<'b>(&mut self, state: State, tail: &'b [u8]) -> &'b [u8] {
        self.state = state;
        tail
    }

    fn next_element(&mut self, reader: &impl Reader<Place = P>) {
        self.place = self.level().and_then(|at| reader.element(at));
    }

    /// Where the innermost level is, if it is of interest.
    #[inline]
    fn level(&self) -> Option<P> {
        if self.live != self.depth {
            return None;
        }
        self.frames.get(self.live.wrapping_sub(1)).copied().flatten()
    }

    #[inline(always)]
    fn open<'b>(
        &mut self,
        is_object: bool,
        tail: &'b [u8],
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        let bit = 1_u64 << (self.depth % 64);
        let word = self.levels.get_mut(self.depth / 64).ok_or(Fault::TooDeep)?;
        *word = if is_object { *word | bit } else { *word & !bit };
        if let Some(place) = self.place.take() {
            reader.value(place, if is_object { Value::Object } else { Value::Array });
            let level = self.frames.get_mut(self.live).zip(self.seen.get_mut(self.live));
            if let Some((frame, seen)) = level.filter(|_| self.live == self.depth) {
                (*frame, *seen) = (Some(place), 0);
                self.live += 1;
            }
        }
        self.depth += 1;
        self.is_object = is_object;
        Ok(self.becomes(if is_object { State::Key { may_end: true } } else { State::First }, tail))
    }

    #[inline(always)]
    fn close<'b>(&mut self, tail: &'b [u8]) -> &'b [u8] {
        if self.live == self.depth {
            self.live = self.live.saturating_sub(1);
        }
        self.depth = self.depth.saturating_sub(1);
        let outer = self.depth.wrapping_sub(1);
        self.is_object = self.levels.get(outer / 64).is_some_and(|word| word & (1 << (outer % 64)) != 0);
        self.becomes(State::Next, tail)
    }
}

#[cfg(test)]
mod tests;
