//! Where the events of a stream end: lines of `text/event-stream`, messages of gRPC. Sees bytes as they come, cut
//! anywhere, and keeps nothing of them.

use crate::a2a::Lines;

/// How a stream is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// Blank lines end an event (WHATWG HTML, section 9.2.6).
    Lines,
    /// Each message says its length (gRPC over HTTP/2, length-prefixed messages).
    Messages,
}

/// Finds the ends of events in one stream.
#[derive(Debug)]
pub(crate) enum Scanner {
    Lines(Lines),
    Messages(Messages),
}

impl Scanner {
    pub(crate) fn new(events: Events) -> Self {
        match events {
            Events::Lines => Self::Lines(Lines::default()),
            Events::Messages => Self::Messages(Messages::default()),
        }
    }

    /// The number of bytes up to the end of an event; `None` when it does not end in them. The caller passes the bytes
    /// after the end to the next call.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Lines(lines) => lines.end(bytes),
            Self::Messages(messages) => messages.end(bytes),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// Bytes of the prefix that have come: a flag and four of length.
    prefix: u8,
    left: u32,
}

impl Messages {
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at).filter(|_| self.prefix < 5) {
            if self.prefix > 0 {
                self.left = self.left << 8 | u32::from(*byte);
            }
            self.prefix += 1;
            at += 1;
        }
        if self.prefix < 5 {
            return None;
        }
        let here = u32::try_from(bytes.len() - at).unwrap_or(u32::MAX);
        if here < self.left {
            self.left -= here;
            return None;
        }
        let end = at + usize::try_from(self.left).unwrap_or(usize::MAX);
        *self = Self::default();
        Some(end)
    }
}

/// Tells whether an answer has more than one message. A unary gRPC call gets one.
#[derive(Debug, Default)]
pub struct Several {
    first: Messages,
    has_ended: bool,
}

impl Several {
    /// Takes the next bytes; whether a second message has begun.
    pub fn has_begun(&mut self, bytes: &[u8]) -> bool {
        if self.has_ended {
            return !bytes.is_empty();
        }
        let end = self.first.end(bytes);
        self.has_ended = end.is_some();
        end.is_some_and(|end| end < bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ends of events in a stream that comes in these pieces, counted from its start.
    fn ends<'a>(events: Events, pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<usize> {
        let mut scanner = Scanner::new(events);
        let (mut found, mut before) = (Vec::new(), 0);
        for piece in pieces {
            let mut rest = piece;
            while let Some(end) = scanner.end(rest) {
                found.push(before + piece.len() - rest.len() + end);
                rest = &rest[end..];
            }
            before += piece.len();
        }
        found
    }

    #[test]
    fn blank_lines_end_events() {
        for (text, expected) in [
            ("", &[][..]),
            ("data: 1\n\n", &[9]),
            ("data: 1\n\ndata: 2\n\n", &[9, 18]),
            ("data: 1\r\n\r\ndata: 2\r\n\r\n", &[11, 22]),
            ("data: 1\n", &[]),
            ("data: a\ndata: b\n\n", &[17]),
            (": ping\n\n", &[]),
            (": ping\n\ndata: 1\n\n", &[17]),
            (": ping\ndata: 1\n\n", &[16]),
            ("\n\n\n", &[]),
            ("data: 1\r\rdata: 2\r\rx", &[9, 18]),
        ] {
            assert_eq!(ends(Events::Lines, [text.as_bytes()]), expected, "{text:?}");
        }
    }

    #[test]
    fn messages_say_their_length() {
        let one = b"\0\0\0\0\x03abc";
        let empty = b"\x01\0\0\0\0";
        let both = [&one[..], &empty[..], &one[..]].concat();
        assert_eq!(ends(Events::Messages, [&both[..]]), [8, 13, 21]);
        assert!(ends(Events::Messages, [&one[..7]]).is_empty());
        assert!(ends(Events::Messages, [&b"\0\xff\xff\xff\xff"[..], &one[..]]).is_empty());
    }

    #[test]
    fn a_second_message_is_noticed_wherever_the_bytes_are_divided() {
        let one = b"\0\0\0\0\x03abc";
        let two = [&one[..], &b"\0\0\0\0\0"[..]].concat();
        for at in 0..=one.len() {
            let (head, tail) = one.split_at(at);
            let mut several = Several::default();
            assert!(!several.has_begun(head) && !several.has_begun(tail), "{at}");
            assert!(!several.has_begun(b""), "{at}");
        }
        for at in 0..=two.len() {
            let (head, tail) = two.split_at(at);
            let mut several = Several::default();
            let begun = several.has_begun(head);
            assert!(several.has_begun(tail) || begun, "{at}");
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_a_stream_is_cut(
            bytes in proptest::collection::vec(prop::sample::select(b"\n\r:x\0\x02".to_vec()), 0..60),
            size in 1_usize..7,
        ) {
            for events in [Events::Lines, Events::Messages] {
                let whole = ends(events, [&bytes[..]]);
                prop_assert_eq!(&ends(events, bytes.chunks(size)), &whole, "{:?}", events);
                prop_assert!(whole.is_sorted());
            }
        }
    }
}
