//! Numbers and the three words.

use super::number::Number;
use super::{Fault, Place, Reader, State, Tokenizer, Value};

/// A word that is a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Literal {
    True,
    False,
    Null,
}

impl Literal {
    const fn word(self) -> &'static [u8] {
        match self {
            Self::True => b"true",
            Self::False => b"false",
            Self::Null => b"null",
        }
    }

    const fn value(self) -> Value<'static> {
        match self {
            Self::True => Value::Bool(true),
            Self::False => Value::Bool(false),
            Self::Null => Value::Null,
        }
    }
}

impl<P: Place> Tokenizer<P> {
    /// Bytes of a word, of which `length` have come before. Gives back those after it.
    pub(super) fn literal<'b>(
        &mut self,
        bytes: &'b [u8],
        literal: Literal,
        length: u8,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        let expected = literal.word().get(usize::from(length)..).unwrap_or_default();
        if let Some(tail) = bytes.strip_prefix(expected) {
            self.state = State::Next;
            if let Some(place) = self.place.take() {
                reader.value(place, literal.value());
            }
            return Ok(tail);
        }
        if !expected.starts_with(bytes) {
            return Err(Fault::Malformed);
        }
        let length = length + u8::try_from(bytes.len()).unwrap_or(u8::MAX);
        self.state = State::Literal { literal, length };
        Ok(&[])
    }

    /// Bytes of a number, of which the first `length` are understood. Gives back those after it.
    pub(super) fn number<'b>(
        &mut self,
        bytes: &'b [u8],
        mut length: usize,
        mut number: Number,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        while let Some(next) = bytes.get(length).and_then(|byte| number.with(*byte)) {
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

    /// The number is whole with these bytes.
    pub(super) fn end_number(
        &mut self,
        number: Number,
        run: &[u8],
        reader: &mut impl Reader<Place = P>,
    ) -> Result<(), Fault> {
        if !number.is_whole() {
            return Err(Fault::Malformed);
        }
        self.state = State::Next;
        if let Some(place) = self.place.take() {
            reader.value(place, self.kept.whole(run)?.map_or(Value::Long, Value::Number));
        }
        Ok(())
    }
}
