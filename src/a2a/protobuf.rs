//! Protocol buffers (the encoding guide) read in pieces cut anywhere: as much of it as messages of A2A need. Fields
//! that nobody asks for are skipped without being kept; no recursion, bounded memory.

use super::json::{Fault, MAX_VALUE, Place};

/// What a field of interest holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Another message.
    Message,
    /// A string.
    Text,
    /// A number.
    Number,
}

/// What is to be found in a message.
pub(super) trait Fields {
    /// Its places.
    type Place: Place;

    /// The place of the whole message.
    fn root(&self) -> Self::Place;
    /// The place of a field of the message at `at`, what it holds, and whether it may come again.
    fn field(&self, at: Self::Place, number: u32) -> Option<(Self::Place, Shape, bool)>;
    /// A message begins.
    fn message(&mut self, at: Self::Place);
    /// A string; `None` when it is longer than what is kept.
    fn text(&mut self, at: Self::Place, text: Option<&str>);
    /// A number.
    fn number(&mut self, at: Self::Place, number: u64);
    /// A field that comes once in a message came again.
    fn repeated(&mut self);
}

/// Reads one message after the other.
#[derive(Debug)]
pub(super) struct Decoder<P> {
    state: State,
    /// How many bytes of the whole message are read.
    at: u64,
    /// The open messages of interest, the whole one first: where they are, which fields they had, where they end.
    frames: [Option<(P, u32, u64)>; MAX_FRAMES],
    open: usize,
    /// The field under way.
    place: Option<(P, Shape)>,
    varint: Varint,
    kept: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Tag,
    Number,
    Length,
    Skip { left: u64 },
    Text { left: u64, is_long: bool },
    Failed(Fault),
}

/// A number of 1 to 10 bytes, as far as it has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Varint {
    value: u64,
    shift: u32,
}

impl Varint {
    /// Takes the next byte; the number when it is whole.
    pub(super) fn push(&mut self, byte: u8) -> Result<Option<u64>, Fault> {
        let bits = u64::from(byte & 0x7f);
        // The tenth byte has room for one bit.
        if self.shift > 63 || (self.shift == 63 && bits > 1) {
            return Err(Fault::Malformed);
        }
        self.value |= bits << self.shift;
        self.shift += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        let value = self.value;
        *self = Self::default();
        Ok(Some(value))
    }
}

/// Deepest message of interest.
const MAX_FRAMES: usize = 8;

impl<P: Place> Decoder<P> {
    pub(super) fn new() -> Self {
        Self {
            state: State::Tag,
            at: 0,
            frames: [None; MAX_FRAMES],
            open: 0,
            place: None,
            varint: Varint::default(),
            kept: Vec::new(),
        }
    }

    /// Begins a message of so many bytes.
    pub(super) fn begin(&mut self, length: u64, fields: &impl Fields<Place = P>) {
        (self.state, self.at, self.place, self.varint) = (State::Tag, 0, None, Varint::default());
        self.frames = [None; MAX_FRAMES];
        if let Some(first) = self.frames.first_mut() {
            *first = Some((fields.root(), 0, length));
        }
        self.open = 1;
        self.kept.clear();
    }

    /// Takes the next bytes of the message, none beyond it.
    pub(super) fn feed(&mut self, bytes: &[u8], fields: &mut impl Fields<Place = P>) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.step(rest, fields).inspect_err(|fault| self.state = State::Failed(*fault))?;
        }
        Ok(())
    }

    /// The message is over.
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
        self.close();
        match self.state {
            State::Tag if self.open == 0 && self.varint.shift == 0 => Ok(()),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::Malformed),
        }
    }

    /// Takes some bytes and gives back the others.
    fn step<'b>(&mut self, bytes: &'b [u8], fields: &mut impl Fields<Place = P>) -> Result<&'b [u8], Fault> {
        Ok(match self.state {
            State::Failed(fault) => return Err(fault),
            State::Skip { left } => {
                let (taken, rest) = split(bytes, left);
                self.at += length(taken);
                self.skip(left - length(taken));
                rest
            }
            State::Text { left, is_long } => {
                let (taken, rest) = split(bytes, left);
                self.at += length(taken);
                self.keep(taken, left - length(taken), is_long, fields)?;
                rest
            }
            State::Tag | State::Number | State::Length => {
                let [byte, tail @ ..] = bytes else { return Ok(bytes) };
                self.close();
                // A number may not go beyond the message it is in.
                self.frame().filter(|(.., end)| self.at < *end).ok_or(Fault::Malformed)?;
                self.at += 1;
                if let Some(value) = self.varint.push(*byte)? {
                    self.number(value, fields)?;
                }
                tail
            }
        })
    }

    /// Closes the messages that end here.
    fn close(&mut self) {
        while self.state == State::Tag && self.varint.shift == 0 && self.frame().is_some_and(|(.., end)| end == self.at)
        {
            self.open -= 1;
        }
    }

    fn frame(&self) -> Option<(P, u32, u64)> {
        self.frames.get(self.open.checked_sub(1)?).copied().flatten()
    }

    /// A whole number: a tag, a value or a length.
    fn number(&mut self, value: u64, fields: &mut impl Fields<Place = P>) -> Result<(), Fault> {
        match self.state {
            State::Tag => return self.tag(value, fields),
            State::Number => {
                self.state = State::Tag;
                if let Some((place, Shape::Number)) = self.place.take() {
                    fields.number(place, value);
                }
            }
            _ => return self.begin_field(value, fields),
        }
        Ok(())
    }

    fn tag(&mut self, tag: u64, fields: &mut impl Fields<Place = P>) -> Result<(), Fault> {
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or(Fault::Malformed)?;
        self.state = match tag & 7 {
            0 => State::Number,
            1 => return self.fixed(8),
            2 => State::Length,
            5 => return self.fixed(4),
            _ => return Err(Fault::Malformed),
        };
        self.place = None;
        let Some((at, seen, end)) = self.frame() else { return Err(Fault::Malformed) };
        let Some((place, shape, may_repeat)) = fields.field(at, number) else { return Ok(()) };
        // A field of another wire type than it should have is one that nobody knows.
        if (self.state == State::Number) != (shape == Shape::Number) {
            return Ok(());
        }
        if seen & place.bit() != 0 && !may_repeat {
            fields.repeated();
        }
        if let Some(frame) = self.open.checked_sub(1).and_then(|last| self.frames.get_mut(last)) {
            *frame = Some((at, seen | place.bit(), end));
        }
        self.place = Some((place, shape));
        Ok(())
    }

    fn fixed(&mut self, length: u64) -> Result<(), Fault> {
        self.fits(length)?;
        self.state = State::Skip { left: length };
        Ok(())
    }

    /// Whether so many bytes more lie within the innermost message.
    fn fits(&self, length: u64) -> Result<u64, Fault> {
        let end = self.at.checked_add(length).ok_or(Fault::Malformed)?;
        let (.., outer) = self.frame().ok_or(Fault::Malformed)?;
        if end <= outer { Ok(end) } else { Err(Fault::Malformed) }
    }

    /// A field with a length begins.
    fn begin_field(&mut self, length: u64, fields: &mut impl Fields<Place = P>) -> Result<(), Fault> {
        let end = self.fits(length)?;
        match self.place.take() {
            Some((place, Shape::Message)) => {
                fields.message(place);
                self.state = State::Tag;
                *self.frames.get_mut(self.open).ok_or(Fault::TooDeep)? = Some((place, 0, end));
                self.open += 1;
            }
            Some((place, Shape::Text)) => {
                self.place = Some((place, Shape::Text));
                self.kept.clear();
                let left = length;
                self.state = State::Text { left, is_long: false };
                if left == 0 {
                    return self.keep(&[], 0, false, fields);
                }
            }
            Some((_, Shape::Number)) | None => self.skip(length),
        }
        Ok(())
    }

    fn skip(&mut self, left: u64) {
        self.state = if left == 0 { State::Tag } else { State::Skip { left } };
    }

    /// Bytes of a string, of which so many are left.
    fn keep(
        &mut self,
        bytes: &[u8],
        left: u64,
        is_long: bool,
        fields: &mut impl Fields<Place = P>,
    ) -> Result<(), Fault> {
        let is_long = is_long || self.kept.len() + bytes.len() > MAX_VALUE;
        if !is_long {
            self.kept.extend_from_slice(bytes);
        }
        if left > 0 {
            self.state = State::Text { left, is_long };
            return Ok(());
        }
        self.state = State::Tag;
        if let Some((place, _)) = self.place.take() {
            let text = std::str::from_utf8(&self.kept).map_err(|_no_text| Fault::Malformed);
            fields.text(place, if is_long { None } else { Some(text?) });
        }
        Ok(())
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// At most so many of the bytes, and the others.
fn split(bytes: &[u8], most: u64) -> (&[u8], &[u8]) {
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(bytes.len());
    bytes.split_at_checked(most).unwrap_or((bytes, &[]))
}
