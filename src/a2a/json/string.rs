//! Keys and texts. Most lie in one piece without an escape and are reported from where they lie; of the others the
//! parts are put together.

use super::text::{Escape, Escaped, MAX_KEY};
use super::{Capture, Fault, MAX_VALUE, Place, Reader, Skipped, State, Tokenizer, Value, run};

impl<P: Place> Tokenizer<P> {
    /// A key, after its quote. Gives back the bytes after what was understood.
    #[inline(always)]
    pub(super) fn key<'b>(&mut self, bytes: &'b [u8], reader: &mut impl Reader<Place = P>) -> Result<&'b [u8], Fault> {
        let length = run::plain(bytes);
        let Some((whole, [b'"', tail @ ..])) = bytes.split_at_checked(length) else {
            self.key.clear();
            self.state = State::String { is_key: true };
            return self.string(bytes, length, true, reader);
        };
        self.place = None;
        if let Some(at) = self.level() {
            let place = self.member(at, whole, bytes, reader);
            self.enter(at, place, reader);
        }
        // Most keys have their colon right behind them.
        if let [b':', tail @ ..] = tail {
            self.state = State::Value;
            return Ok(tail);
        }
        self.state = State::Colon;
        Ok(tail)
    }

    /// The member of that name, with which `bytes` begin.
    #[inline(always)]
    fn member(&mut self, at: P, name: &[u8], bytes: &[u8], reader: &impl Reader<Place = P>) -> Option<P> {
        if let Some(block) = bytes.first_chunk::<MAX_KEY>() {
            // Places have letters in their names and nothing else, of which this bit is the case.
            let lower = block.map(|byte| byte | b' ');
            let place = lower.get(..name.len()).and_then(|name| reader.member(at, name));
            if place.is_some() || !name.iter().any(|byte| *byte == b'_' || !byte.is_ascii()) {
                return place;
            }
        }
        self.key.clear();
        self.key.push(name);
        reader.member(at, self.key.text()?)
    }

    /// The key at this level was that of `place`.
    #[inline(always)]
    fn enter(&mut self, at: P, place: Option<P>, reader: &mut impl Reader<Place = P>) {
        self.place = place;
        let Some(place) = place else { return reader.passed_over(at) };
        if let Some(seen) = self.seen.get_mut(self.live.wrapping_sub(1)) {
            if *seen & place.bit() != 0 {
                reader.repeated();
            }
            *seen |= place.bit();
        }
    }

    /// A text, after its quote. Gives back the bytes after what was understood.
    #[inline(always)]
    pub(super) fn text<'b>(&mut self, bytes: &'b [u8], reader: &mut impl Reader<Place = P>) -> Result<&'b [u8], Fault> {
        let length = run::plain(bytes);
        let capture = match self.place {
            Some(place) => reader.capture(place),
            None => {
                reader.skips(Skipped::Text, bytes.len());
                Capture::Kind
            }
        };
        let Some((whole, [b'"', tail @ ..])) = bytes.split_at_checked(length) else {
            self.kept.begin(capture);
            self.state = State::String { is_key: false };
            return self.string(bytes, length, false, reader);
        };
        self.state = State::Next;
        if let Some(place) = self.place.take() {
            let value = match capture {
                Capture::Kind => Value::Text(""),
                Capture::Text | Capture::Raw if length > MAX_VALUE => Value::Long,
                Capture::Text | Capture::Raw => Value::Text(text(whole)?),
            };
            reader.value(place, value);
        }
        Ok(tail)
    }

    /// Bytes of a string that is not in the middle of an escape; `length` of them are plain. Gives back those after
    /// what was understood.
    pub(super) fn string<'b>(
        &mut self,
        bytes: &'b [u8],
        length: usize,
        is_key: bool,
        reader: &mut impl Reader<Place = P>,
    ) -> Result<&'b [u8], Fault> {
        let (run, rest) = bytes.split_at_checked(length).ok_or(Fault::Malformed)?;
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
            [b'\\', tail @ ..] => {
                self.keep(run, is_key);
                if !is_key && self.kept.capture() == Capture::Raw {
                    self.kept.push(b"\\");
                }
                self.state = State::Escape { is_key, escape: Escape::Begun };
                Ok(tail)
            }
            [] => {
                self.keep(run, is_key);
                Ok(rest)
            }
            [_control, ..] => Err(Fault::Malformed),
        }
    }

    /// A byte of an escape, after its backslash.
    pub(super) fn escape(&mut self, byte: u8, escape: Escape, is_key: bool) -> Result<(), Fault> {
        let is_raw = !is_key && self.kept.capture() == Capture::Raw;
        if is_raw {
            self.kept.push(&[byte]);
        }
        self.state = State::String { is_key };
        match escape.with(byte)? {
            Escaped::On(escape) => self.state = State::Escape { is_key, escape },
            Escaped::Byte(_) | Escaped::Unit(_) if is_raw => {}
            Escaped::Byte(byte) => {
                self.give_up_half(is_key);
                self.keep(&[byte], is_key);
            }
            Escaped::Unit(unit) => self.unit(unit, is_key),
        }
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
        let Some(at) = self.level() else { return };
        self.key.push(run);
        let place = self.key.text().and_then(|key| reader.member(at, key));
        self.enter(at, place, reader);
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
}

/// What is reported is text; what is skipped need not be.
fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_no_text| Fault::Malformed)
}
