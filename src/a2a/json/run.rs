//! Bytes that mean nothing by themselves, many at a time.

use super::Fault;
use super::text::{Escape, Escaped};

/// How many bytes of a string at the beginning stand for themselves: up to a quote, a backslash or a control character,
/// which no string may have (RFC 8259 section 7).
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    // Keys and ids end here; to call a search for long strings would cost as much again.
    for word in words.iter().take(SHORT) {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return length + found.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + plain_in_long(bytes.get(length..).unwrap_or_default())
}

/// The same for long strings, and for the last bytes of a piece.
#[inline(never)]
fn plain_in_long(bytes: &[u8]) -> usize {
    let length = memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
    let run = bytes.get(..length).unwrap_or_default();
    if run.iter().fold(false, |found, byte| found | (*byte < b' ')) {
        return run.iter().take_while(|byte| **byte >= b' ').count();
    }
    length
}

/// The length of a string behind its first quote, up to its last one; `None` when it is none, or not whole.
pub(super) fn text(bytes: &[u8]) -> Option<usize> {
    let mut rest = bytes;
    loop {
        rest = rest.get(plain(rest)..)?;
        match rest {
            [b'"', ..] => return Some(bytes.len() - rest.len()),
            [b'\\', tail @ ..] => rest = after_escape(tail)?,
            _ => return None,
        }
    }
}

/// The bytes after an escape, which began with the backslash before these.
fn after_escape(bytes: &[u8]) -> Option<&[u8]> {
    let (mut escape, mut rest) = (Escape::Begun, bytes);
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match escape.with(*byte).ok()? {
            Escaped::On(on) => escape = on,
            Escaped::Byte(_) | Escaped::Unit(_) => return Some(rest),
        }
    }
    None
}

/// The highest bit of each byte that is special. Only the lowest of these bits is sure: a difference borrows from the
/// bytes above.
const fn specials(word: u64) -> u64 {
    let (quotes, escapes) = (word ^ each(b'"'), word ^ each(b'\\'));
    (below(quotes, 1) | below(escapes, 1) | below(word, b' ')) & each(0x80)
}

/// Whether bytes are below a limit of ASCII.
const fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(each(limit)) & !word
}

/// A word of this byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The bytes after white space, of which `byte` is the first.
pub(super) fn after_space(byte: u8, tail: &[u8]) -> Result<&[u8], Fault> {
    if !is_space(byte) {
        return Err(Fault::Malformed);
    }
    let length = tail.iter().take_while(|byte| is_space(**byte)).count();
    Ok(tail.get(length..).unwrap_or_default())
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// How many words of eight bytes are looked at one by one.
const SHORT: usize = 5;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_run_ends_where_the_first_special_byte_is(
            byte in prop_oneof![any::<u8>(), Just(b'a'), Just(0x1f), Just(b' '), Just(0xa2)],
            length in 0_usize..100,
            others in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let bytes = [&vec![byte; length][..], &others].concat();
            let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
            let expected = bytes.iter().position(is_special).unwrap_or(bytes.len());
            prop_assert_eq!(plain(&bytes), expected, "{:?}", bytes);
        }
    }

    #[test]
    fn white_space_is_passed_over_and_nothing_else_is() {
        for (bytes, expected) in [
            (&b" \n\r\t{ "[..], Ok(&b"{ "[..])),
            (b"\t", Ok(b"")),
            (b"\x0c ", Err(Fault::Malformed)),
            (b"x", Err(Fault::Malformed)),
        ] {
            assert_eq!(after_space(bytes[0], &bytes[1..]), expected, "{bytes:?}");
        }
    }
}
