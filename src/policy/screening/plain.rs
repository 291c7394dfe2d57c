//! Text as what finally reads it sees it: without the ways in which it may be written otherwise.

use std::borrow::Cow;

use super::Coding;

/// The text decoded; borrowed where nothing is coded.
pub(super) fn decoded(text: &[u8], coding: Coding) -> Cow<'_, [u8]> {
    match coding {
        Coding::Form if memchr::memchr(b'+', text).is_some() => {
            let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
            Cow::Owned(percent_decoded(&spaced).into_owned())
        }
        Coding::Percent | Coding::Form => percent_decoded(text),
        Coding::Json if memchr::memchr(b'\\', text).is_some() => Cow::Owned(unescaped(text)),
        Coding::Json => Cow::Borrowed(text),
    }
}

/// Some agents decode twice, and what is in front of them once more.
fn percent_decoded(text: &[u8]) -> Cow<'_, [u8]> {
    let mut decoded = Cow::Borrowed(text);
    for _ in 0..ROUNDS {
        match once(&decoded) {
            Some(next) => decoded = Cow::Owned(next),
            None => break,
        }
    }
    decoded
}

/// `None` where there is nothing to decode.
fn once(text: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'%', text)?;
    let mut decoded = Vec::with_capacity(text.len());
    let (mut rest, mut changed) = (text, false);
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        let value = match (first, more) {
            (b'%', [high, low, ..]) => hex(&[*high, *low]).and_then(|value| u8::try_from(value).ok()),
            _ => None,
        };
        decoded.push(value.unwrap_or(*first));
        if value.is_some() {
            changed = true;
            rest = rest.get(2..).unwrap_or_default();
        }
    }
    changed.then_some(decoded)
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        rest = more;
        let (b'\\', Some((kind, after))) = (*first, more.split_first()) else {
            plain.push(*first);
            continue;
        };
        rest = after;
        match kind {
            b'n' => plain.push(b'\n'),
            b'r' => plain.push(b'\r'),
            b't' => plain.push(b'\t'),
            b'b' | b'f' => plain.push(b' '),
            b'u' => match after.get(..4).and_then(hex).and_then(char::from_u32) {
                Some(char) => {
                    plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                    rest = after.get(4..).unwrap_or_default();
                }
                // A half of a pair, or no escape at all.
                None => plain.extend_from_slice(b"\\u"),
            },
            other => plain.push(*other),
        }
    }
    plain
}

fn hex(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// How often triplets may be encoded.
const ROUNDS: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_decoded_as_agents_do() {
        for (coding, text, expected) in [
            (Coding::Percent, "a%2e%2E/b", "a../b"),
            (Coding::Percent, "%252e%25252e", ".."),
            (Coding::Percent, "100%", "100%"),
            (Coding::Percent, "%zz%4", "%zz%4"),
            (Coding::Percent, "a+b", "a+b"),
            (Coding::Form, "a+b%2Bc", "a b+c"),
            (Coding::Json, r"..\/..\/", "../../"),
            (Coding::Json, r"\u002e\u002E\u2028", "..\u{2028}"),
            (Coding::Json, r"\ud83d\u00", r"\ud83d\u00"),
            (Coding::Json, r"a\nb\\", "a\nb\\"),
            (Coding::Json, "\\", "\\"),
        ] {
            let decoded = decoded(text.as_bytes(), coding);
            assert_eq!(std::str::from_utf8(&decoded), Ok(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_and_never_grow(text in prop::collection::vec(any::<u8>(), 0..200)) {
            for coding in [Coding::Percent, Coding::Form, Coding::Json] {
                prop_assert!(decoded(&text, coding).len() <= text.len());
            }
        }
    }
}
