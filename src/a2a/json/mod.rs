//! JSON (RFC 8259) read in pieces cut anywhere. A [`Reader`] says which places it cares for; everything else is checked
//! and skipped without being kept. Never recurses: the nesting is a stack of bits, and the way to the places of
//! interest a short stack beside it.
//!
//! Keys are compared without case and underscores, because agents do: ProtoJSON takes `task_id` for `taskId`, Go takes
//! `METHOD` for `method`. A key that comes twice in one object by that measure is reported, since some agents take the
//! first and some the last. Bytes in skipped strings need not be UTF-8.

use std::fmt::Debug;

mod number;
mod text;

use number::Number;
use text::{Escape, Escaped, Kept, Key};

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
    fn bit(self) -> u64;
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

/// What is to be found in a document.
pub(super) trait Reader {
    /// Its places.
    type Place: Place;

    /// The place of the document itself.
    fn root(&self) -> Self::Place;
    /// The place of a member of the object at `at`; the key is in lower case and without underscores.
    fn member(&self, at: Self::Place, key: &[u8]) -> Option<Self::Place>;
    /// The place of the elements of the array at `at`.
    fn element(&self, at: Self::Place) -> Option<Self::Place>;
    /// How a string at this place is reported.
    fn capture(&self, at: Self::Place) -> Capture;
    /// There is a value at this place.
    fn value(&mut self, at: Self::Place, value: Value<'_>);
    /// A member of the object at this place is none that the reader cares for.
    fn passed_over(&mut self, _at: Self::Place) {}
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
    /// One bit for each open level: whether it is an object.
    levels: [u64; MAX_DEPTH / 64],
    depth: usize,
    /// The outermost levels, as far as they are of interest: where they are, and which keys they had.
    frames: [Option<(P, u64)>; MAX_FRAMES],
    live: usize,
    /// Where the next value is.
    place: Option<P>,
    key: Key,
    kept: Kept,
    /// The first half of a character outside the basic plane, until the second comes.
    high: Option<u16>,
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
        escape: Escape,
    },
    Number(Number),
    Literal {
        rest: &'static [u8],
        value: Value<'static>,
    },
    Failed(Fault),
}

impl<P: Place> Default for Tokenizer<P> {
    fn default() -> Self {
        Self {
            state: State::Value,
            levels: [0; MAX_DEPTH / 64],
            depth: 0,
            frames: [None; MAX_FRAMES],
            live: 0,
            place: None,
            key: Key::default(),
            kept: Kept::default(),
            high: None,
        }
    }
}

impl<P: Place> Tokenizer<P> {
    /// Begins another document, with the memory of the one before.
    pub(super) fn restart(&mut self) {
        (self.state, self.depth, self.live) = (State::Value, 0, 0);
        (self.place, self.high) = (None, None);
    }

    /// Takes the next bytes.
    pub(super) fn feed(&mut self, bytes: &[u8], reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            let next = match self.state {
                State::Failed(fault) => Err(fault),
                State::String { is_key, escape: Escape::None } => self.string(rest, is_key, reader),
                State::String { is_key, escape } => self.escape(*byte, escape, is_key).map(|()| tail),
                State::Number(number) => self.number(rest, number, reader),
                State::Literal { rest: expected, value } => self.literal(*byte, expected, value, reader).map(|()| tail),
                State::Value | State::First | State::Key { .. } | State::Colon | State::Next => {
                    self.structure(*byte, reader).map(|()| tail)
                }
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

    /// A byte between strings, numbers and literals.
    fn structure(&mut self, byte: u8, reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        match (self.state, byte) {
            (_, b' ' | b'\n' | b'\r' | b'\t') => {}
            (State::Key { .. }, b'"') => {
                self.key.clear();
                self.state = State::String { is_key: true, escape: Escape::None };
            }
            (State::Key { may_end: true }, b'}') | (State::First, b']') => self.close(),
            (State::Colon, b':') => self.state = State::Value,
            (State::Value | State::First, byte) => return self.begin(byte, reader),
            (State::Next, b',') if self.depth > 0 => {
                let is_object = self.is_object();
                if !is_object {
                    self.next_element(reader);
                }
                self.state = if is_object { State::Key { may_end: false } } else { State::Value };
            }
            (State::Next, b'}') if self.depth > 0 && self.is_object() => self.close(),
            (State::Next, b']') if self.depth > 0 && !self.is_object() => self.close(),
            _ => return Err(Fault::Malformed),
        }
        Ok(())
    }

    /// The first byte of a value.
    fn begin(&mut self, byte: u8, reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        if self.depth == 0 {
            self.place = Some(reader.root());
        } else if self.state == State::First {
            self.next_element(reader);
        }
        let literal = |rest: &'static [u8], value| State::Literal { rest, value };
        self.state = match byte {
            b'"' => {
                self.kept.begin(self.place.map_or(Capture::Kind, |place| reader.capture(place)));
                State::String { is_key: false, escape: Escape::None }
            }
            b'{' => return self.open(true, reader),
            b'[' => return self.open(false, reader),
            b't' => literal(b"rue", Value::Bool(true)),
            b'f' => literal(b"alse", Value::Bool(false)),
            b'n' => literal(b"ull", Value::Null),
            byte => {
                self.kept.begin(self.place.map_or(Capture::Kind, |_| Capture::Raw));
                self.kept.push(&[byte]);
                State::Number(Number::begun(byte).ok_or(Fault::Malformed)?)
            }
        };
        Ok(())
    }

    fn next_element(&mut self, reader: &impl Reader<Place = P>) {
        self.place = self.frame().and_then(|(at, _)| reader.element(at));
    }

    /// The innermost level, if it is of interest.
    fn frame(&self) -> Option<(P, u64)> {
        let last = self.live.checked_sub(1).filter(|_| self.live == self.depth)?;
        self.frames.get(last).copied().flatten()
    }

    fn open(&mut self, is_object: bool, reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        let bit = 1_u64 << (self.depth % 64);
        let word = self.levels.get_mut(self.depth / 64).ok_or(Fault::TooDeep)?;
        *word = if is_object { *word | bit } else { *word & !bit };
        if let Some(place) = self.place.take() {
            reader.value(place, if is_object { Value::Object } else { Value::Array });
            if let Some(frame) = self.frames.get_mut(self.live).filter(|_| self.live == self.depth) {
                *frame = Some((place, 0));
                self.live += 1;
            }
        }
        self.depth += 1;
        self.state = if is_object { State::Key { may_end: true } } else { State::First };
        Ok(())
    }

    fn close(&mut self) {
        if self.live == self.depth {
            self.live = self.live.saturating_sub(1);
        }
        self.depth = self.depth.saturating_sub(1);
        self.state = State::Next;
    }

    fn is_object(&self) -> bool {
        let level = self.depth.saturating_sub(1);
        self.levels.get(level / 64).is_some_and(|word| word & (1 << (level % 64)) != 0)
    }

    /// Bytes of a string that is not in the middle of an escape. Gives back those after what was understood.
    fn string<'b>(
        &mut self,
        bytes: &'b [u8],
        is_key: bool,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        let length = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        let (run, rest) = bytes.split_at_checked(length).ok_or(Fault::Malformed)?;
        if run.iter().fold(false, |found, byte| found | (*byte < b' ')) {
            return Err(Fault::Malformed);
        }
        if self.high.is_some() && (!run.is_empty() || rest.starts_with(b"\"")) {
            self.give_up_half(is_key);
        }
        match rest {
            [b'"', tail @ ..] => {
                if is_key {
                    self.end_key(run, reader);
                } else {
                    self.end_text(run, reader)?;
                }
                Ok(tail)
            }
            [_backslash, tail @ ..] => {
                self.keep(run, is_key);
                if !is_key && self.kept.capture() == Capture::Raw {
                    self.kept.push(b"\\");
                }
                self.state = State::String { is_key, escape: Escape::Begun };
                Ok(tail)
            }
            [] => {
                self.keep(run, is_key);
                Ok(rest)
            }
        }
    }

    /// A byte of an escape, after its backslash.
    fn escape(&mut self, byte: u8, escape: Escape, is_key: bool) -> Result<(), Fault> {
        let is_raw = !is_key && self.kept.capture() == Capture::Raw;
        if is_raw {
            self.kept.push(&[byte]);
        }
        let mut next = Escape::None;
        match escape.with(byte)? {
            Escaped::On(escape) => next = escape,
            Escaped::Byte(_) | Escaped::Unit(_) if is_raw => {}
            Escaped::Byte(byte) => {
                self.give_up_half(is_key);
                self.keep(&[byte], is_key);
            }
            Escaped::Unit(unit) => self.unit(unit, is_key),
        }
        self.state = State::String { is_key, escape: next };
        Ok(())
    }

    /// A unit of UTF-16: a character, or half of one.
    fn unit(&mut self, unit: u16, is_key: bool) {
        let pair = [self.high.unwrap_or(unit), unit];
        if self.high.is_some() && matches!(unit, 0xdc00..=0xdfff) {
            self.high = None;
            for character in char::decode_utf16(pair).flatten() {
                self.keep(character.encode_utf8(&mut [0; 4]).as_bytes(), is_key);
            }
            return;
        }
        self.give_up_half(is_key);
        if matches!(unit, 0xd800..=0xdbff) {
            self.high = Some(unit);
            return;
        }
        let character = char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER);
        self.keep(character.encode_utf8(&mut [0; 4]).as_bytes(), is_key);
    }

    /// Half of a character without its other half is none.
    fn give_up_half(&mut self, is_key: bool) {
        if self.high.take().is_some() {
            self.keep("\u{fffd}".as_bytes(), is_key);
        }
    }

    fn keep(&mut self, bytes: &[u8], is_key: bool) {
        if is_key {
            self.key.push(bytes);
        } else {
            self.kept.push(bytes);
        }
    }

    fn end_key(&mut self, run: &[u8], reader: &mut impl Reader<Place = P>) {
        self.state = State::Colon;
        self.place = None;
        let Some((at, seen)) = self.frame() else { return };
        self.key.push(run);
        let place = self.key.text().and_then(|key| reader.member(at, key));
        let Some(place) = place else { return reader.passed_over(at) };
        if seen & place.bit() != 0 {
            reader.repeated();
        }
        if let Some(frame) = self.live.checked_sub(1).and_then(|last| self.frames.get_mut(last)) {
            *frame = Some((at, seen | place.bit()));
        }
        self.place = Some(place);
    }

    fn end_text(&mut self, run: &[u8], reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        self.state = State::Next;
        let Some(place) = self.place.take() else { return Ok(()) };
        let value = match self.kept.capture() {
            Capture::Kind => Value::Text(""),
            Capture::Text | Capture::Raw => self.kept.whole(run)?.map_or(Value::Long, Value::Text),
        };
        reader.value(place, value);
        Ok(())
    }

    fn number<'b>(
        &mut self,
        bytes: &'b [u8],
        mut number: Number,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        let mut length = 0;
        for byte in bytes {
            let Some(next) = number.with(*byte) else { break };
            number = next;
            length += 1;
        }
        let (run, rest) = bytes.split_at_checked(length).ok_or(Fault::Malformed)?;
        if rest.is_empty() {
            self.kept.push(run);
            self.state = State::Number(number);
        } else {
            self.end_number(number, run, reader)?;
        }
        Ok(rest)
    }

    fn end_number(&mut self, number: Number, run: &[u8], reader: &mut impl Reader<Place = P>) -> Result<(), Fault> {
        if !number.is_whole() {
            return Err(Fault::Malformed);
        }
        self.state = State::Next;
        if let Some(place) = self.place.take() {
            reader.value(place, self.kept.whole(run)?.map_or(Value::Long, Value::Number));
        }
        Ok(())
    }

    /// A byte of `true`, `false` or `null`.
    fn literal(
        &mut self,
        byte: u8,
        expected: &'static [u8],
        value: Value<'static>,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<(), Fault> {
        let rest = match expected.split_first() {
            Some((first, rest)) if *first == byte => rest,
            _ => return Err(Fault::Malformed),
        };
        self.state = State::Literal { rest, value };
        if rest.is_empty() {
            self.state = State::Next;
            if let Some(place) = self.place.take() {
                reader.value(place, value);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
