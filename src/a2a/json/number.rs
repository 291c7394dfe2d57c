//! The grammar of a number (RFC 8259 section 6), byte by byte.

/// How far a number has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Minus,
    Zero,
    Integer,
    Dot,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Number {
    /// A number that begins with this byte.
    pub(super) const fn begun(byte: u8) -> Option<Self> {
        match byte {
            b'-' => Some(Self::Minus),
            byte => Self::Minus.with(byte),
        }
    }

    /// What it is with one more byte; `None` when the byte does not belong to it.
    pub(super) const fn with(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus | Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Dot,
            (Self::Dot | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::Sign,
            (Self::E | Self::Sign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    /// The length of the number at the beginning of these bytes; `None` without one, and when it may go on.
    pub(super) fn length(bytes: &[u8]) -> Option<usize> {
        let (first, others) = bytes.split_first()?;
        let (mut number, mut length) = (Self::begun(*first)?, 1);
        for byte in others {
            match number.with(*byte) {
                Some(next) => (number, length) = (next, length + 1),
                None => return number.is_whole().then_some(length),
            }
        }
        None
    }

    /// Whether it may end here.
    pub(super) const fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Exponent)
    }
}
