//! What is kept of strings: the present key, and a value that does not lie in one piece without escapes.

use super::{Capture, Fault, MAX_VALUE};

/// Longest key that is compared, without its underscores.
pub(super) const MAX_KEY: usize = 32;

/// A key in lower case and without underscores.
#[derive(Debug, Default)]
pub(super) struct Key {
    bytes: [u8; MAX_KEY],
    length: usize,
    is_long: bool,
}

impl Key {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().filter(|byte| **byte != b'_') {
            match self.bytes.get_mut(self.length) {
                Some(place) => *place = byte.to_ascii_lowercase(),
                None => {
                    self.is_long = true;
                    return;
                }
            }
            self.length += 1;
        }
    }

    /// `None` when it is longer than any that is asked for.
    pub(super) fn text(&mut self) -> Option<&[u8]> {
        if self.is_long {
            return None;
        }
        self.fold();
        self.bytes.get(..self.length)
    }

    /// Puts letters in the place of two others that are the same to agents that ignore case: the long s (U+017F) and
    /// the sign of the kelvin (U+212A).
    fn fold(&mut self) {
        let old = self.bytes;
        let Some(mut rest) = old.get(..self.length).filter(|key| !key.is_ascii()) else { return };
        self.length = 0;
        while let [first, after @ ..] = rest {
            let (byte, after) = match rest {
                [0xC5, 0xBF, after @ ..] => (b's', after),
                [0xE2, 0x84, 0xAA, after @ ..] => (b'k', after),
                _ => (*first, after),
            };
            self.push(&[byte]);
            rest = after;
        }
    }

    pub(super) fn clear(&mut self) {
        (self.length, self.is_long) = (0, false);
    }
}

/// A value as far as it has come.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    is_long: bool,
    capture: Capture,
}

impl Default for Kept {
    fn default() -> Self {
        Self { bytes: Vec::new(), is_long: false, capture: Capture::Kind }
    }
}

impl Kept {
    /// Begins another value.
    pub(super) fn begin(&mut self, capture: Capture) {
        self.bytes.clear();
        (self.is_long, self.capture) = (false, capture);
    }

    pub(super) const fn capture(&self) -> Capture {
        self.capture
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.capture == Capture::Kind || self.is_long {
            return;
        }
        if self.bytes.len() + bytes.len() > MAX_VALUE {
            self.is_long = true;
            self.bytes.clear();
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// The whole value, of which `last` is the end that was not kept yet. `None` when it is too long.
    pub(super) fn whole<'a>(&'a mut self, last: &'a [u8]) -> Result<Option<&'a str>, Fault> {
        let bytes = if self.bytes.is_empty() && !self.is_long && last.len() <= MAX_VALUE {
            last
        } else {
            self.push(last);
            &self.bytes
        };
        if self.is_long {
            return Ok(None);
        }
        std::str::from_utf8(bytes).map(Some).map_err(|_no_text| Fault::Malformed)
    }
}

/// Where an escape is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    /// After a backslash.
    Begun,
    /// In the digits of `\u` and four digits.
    Unicode { digits: u8, value: u16 },
}

/// What a byte of an escape leads to.
#[derive(Debug)]
pub(super) enum Escaped {
    /// The escape goes on.
    On(Escape),
    /// It stands for this byte.
    Byte(u8),
    /// It stands for this unit of UTF-16.
    Unit(u16),
}

impl Escape {
    /// Takes the next byte of an escape (RFC 8259 section 7).
    pub(super) fn with(self, byte: u8) -> Result<Escaped, Fault> {
        if let Self::Unicode { digits, value } = self {
            let digit = char::from(byte).to_digit(16).and_then(|digit| u16::try_from(digit).ok());
            let value = value << 4 | digit.ok_or(Fault::Malformed)?;
            let on = Escaped::On(Self::Unicode { digits: digits + 1, value });
            return Ok(if digits < 3 { on } else { Escaped::Unit(value) });
        }
        Ok(match byte {
            b'u' => Escaped::On(Self::Unicode { digits: 0, value: 0 }),
            b'"' | b'\\' | b'/' => Escaped::Byte(byte),
            b'b' => Escaped::Byte(8),
            b'f' => Escaped::Byte(12),
            b'n' => Escaped::Byte(b'\n'),
            b'r' => Escaped::Byte(b'\r'),
            b't' => Escaped::Byte(b'\t'),
            _ => return Err(Fault::Malformed),
        })
    }
}
