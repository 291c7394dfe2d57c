//! Messages of protocol buffers that are here as a whole: their numbers and fields, and the frames that gRPC puts them
//! in. What comes in pieces is read by `protobuf`.

use super::protobuf::Varint;

/// One field of a message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'m> {
    /// Its number.
    pub number: u32,
    /// All of it.
    pub whole: &'m [u8],
    /// Its first bytes, which say which field it is.
    pub tag: &'m [u8],
    /// What it holds.
    pub content: Content<'m>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'m> {
    /// A number of 1 to 10 bytes.
    Number(u64),
    /// A text or a message.
    Bytes(&'m [u8]),
    /// A number of 4 or 8 bytes.
    Fixed,
}

impl<'m> Field<'m> {
    /// The content of a text or a message.
    #[must_use]
    pub const fn bytes(&self) -> Option<&'m [u8]> {
        match self.content {
            Content::Bytes(bytes) => Some(bytes),
            Content::Number(_) | Content::Fixed => None,
        }
    }
}

/// The fields of a message, up to the first that is none: that is `None`.
pub fn fields(message: &[u8]) -> impl Iterator<Item = Option<Field<'_>>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = field(rest);
        rest = field.and_then(|field| rest.get(field.whole.len()..)).unwrap_or_default();
        Some(field)
    })
}

/// The field at the beginning.
fn field(bytes: &[u8]) -> Option<Field<'_>> {
    let (tag, after_tag) = varint(bytes)?;
    let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number))?;
    let (rest, content) = match tag & 7 {
        0 => varint(after_tag).map(|(number, rest)| (rest, Content::Number(number)))?,
        1 => (after_tag.get(8..)?, Content::Fixed),
        2 => {
            let (length, after_length) = varint(after_tag)?;
            let (content, rest) = after_length.split_at_checked(usize::try_from(length).ok()?)?;
            (rest, Content::Bytes(content))
        }
        5 => (after_tag.get(4..)?, Content::Fixed),
        // Groups, which nobody here uses.
        _ => return None,
    };
    let (whole, _) = bytes.split_at_checked(bytes.len() - rest.len())?;
    let (tag, _) = bytes.split_at_checked(bytes.len() - after_tag.len())?;
    Some(Field { number, whole, tag, content })
}

/// A number of 1 to 10 bytes, and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut number, mut rest) = (Varint::default(), bytes);
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if let Some(value) = number.push(*byte).ok()? {
            return Some((value, rest));
        }
    }
    None
}

/// Writes a text or a message into a message, after the bytes that say which field it is.
pub fn put(message: &mut Vec<u8>, tag: &[u8], content: &[u8]) {
    message.extend_from_slice(tag);
    put_varint(message, u64::try_from(content.len()).unwrap_or(u64::MAX));
    message.extend_from_slice(content);
}

fn put_varint(message: &mut Vec<u8>, number: u64) {
    let mut left = number;
    while left > 0x7f {
        message.push(u8::try_from(left & 0x7f).unwrap_or_default() | 0x80);
        left >>= 7;
    }
    message.push(u8::try_from(left).unwrap_or_default());
}

/// Writes a text into a message as a field below 16, where there is one.
pub fn put_text(message: &mut Vec<u8>, number: u8, text: &str) {
    if !text.is_empty() {
        put(message, &[number << 3 | 2], text.as_bytes());
    }
}

/// What the beginning of a gRPC body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framed<'b> {
    /// A message, and what follows it.
    Whole(&'b [u8], &'b [u8]),
    /// Less than a message, which will have so many bytes where that is known.
    Begun {
        /// Bytes of the message.
        length: Option<usize>,
    },
    /// A compressed message.
    Compressed,
    /// No message.
    Other,
}

/// Finds the first message of a gRPC body: a flag, four bytes of length, the message.
#[must_use]
pub fn in_frame(body: &[u8]) -> Framed<'_> {
    match body {
        [1, ..] => Framed::Compressed,
        [0, length @ ..] => {
            let Some((length, rest)) = length.split_first_chunk::<4>() else {
                return Framed::Begun { length: None };
            };
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            match rest.split_at_checked(length) {
                Some((message, rest)) => Framed::Whole(message, rest),
                None => Framed::Begun { length: Some(length) },
            }
        }
        [] => Framed::Begun { length: None },
        _ => Framed::Other,
    }
}

/// The body of a message with what follows it.
#[must_use]
pub fn framed(message: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], message, rest].concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_found_in_its_frame() {
        let body = framed(b"card", b"\0\0\0\0\0");
        assert_eq!(body, b"\0\0\0\0\x04card\0\0\0\0\0");
        for (bytes, expected) in [
            (&body[..], Framed::Whole(b"card", b"\0\0\0\0\0")),
            (&body[..9], Framed::Whole(b"card", b"")),
            (&body[..8], Framed::Begun { length: Some(4) }),
            (&body[..5], Framed::Begun { length: Some(4) }),
            (&body[..4], Framed::Begun { length: None }),
            (b"", Framed::Begun { length: None }),
            (b"\0\xff\xff\xff\xff.", Framed::Begun { length: Some(0xffff_ffff) }),
            (b"\x01", Framed::Compressed),
            (b"{", Framed::Other),
        ] {
            assert_eq!(in_frame(bytes), expected, "{bytes:?}");
        }
    }

    #[test]
    fn fields_say_what_they_hold() {
        let message = b"\x08\x96\x01\x12\x02hi\x1d....\x21........\x28";
        let found: Vec<_> = fields(message).map(|field| field.map(|field| (field.number, field.content))).collect();
        let expected = [
            Some((1, Content::Number(150))),
            Some((2, Content::Bytes(b"hi"))),
            Some((3, Content::Fixed)),
            Some((4, Content::Fixed)),
            None,
        ];
        assert_eq!(found, expected, "the last is a tag without a number");
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_are_written(number: u64) {
            let mut written = Vec::new();
            put_varint(&mut written, number);
            prop_assert_eq!(varint(&written), Some((number, &b""[..])));
        }

        #[test]
        fn texts_are_read_as_they_are_written(text in ".{0,300}", number in 1_u8..16) {
            let mut message = Vec::new();
            put_text(&mut message, number, &text);
            let found: Vec<_> = fields(&message).flatten().map(|field| (field.number, field.content)).collect();
            let expected = (!text.is_empty()).then(|| (number.into(), Content::Bytes(text.as_bytes())));
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
