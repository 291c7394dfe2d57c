//! A look at the raw head of an HTTP/1.1 response: every line must end in CRLF (RFC 9112 section 2.2), which hyper's
//! parser does not insist on. Interim responses are heads of their own, of which hyper would take any number.

use std::cell::{Cell, RefCell};

use bytes::{BufMut, Bytes};
use http::HeaderMap;

use super::long_head::{LongHead, MAX_HEAD, STRAIGHT};

/// Where in a response head the bytes of a connection are.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    awaiting: Cell<bool>,
    at: Cell<Position>,
    /// Interim heads before the one awaited.
    interim: Cell<u32>,
    mode: Cell<Mode>,
    long: RefCell<LongHead>,
}

/// What becomes of the bytes of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    /// The parser gets them as they come, as long as there are not too many fields.
    #[default]
    Straight,
    /// They are held until the head is whole.
    Held,
    /// The head is too large. The parser gets them and refuses it.
    Refused,
}

#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Bytes of the present head so far, without line feeds.
    head: usize,
    /// Bytes of the present line so far.
    line: usize,
    /// Lines of the present head so far.
    lines: usize,
    /// The byte before.
    last: u8,
    /// The status code.
    status: [u8; 3],
}

impl HeadScan {
    /// A request is being sent: a head comes next.
    pub(crate) fn expect(&self) {
        self.awaiting.set(true);
        self.interim.set(0);
        self.at.set(Position::default());
        if self.mode.replace(Mode::Straight) != Mode::Straight {
            self.long.take();
        }
    }

    /// Whether nothing of the head was read.
    pub(super) fn is_at_start(&self) -> bool {
        self.interim.get() == 0 && self.at.get().is_start()
    }

    pub(crate) fn is_awaiting(&self) -> bool {
        self.awaiting.get()
    }

    /// Scans the bytes that were read and says how many of them the parser gets now; the others are held. `None` when a
    /// line ends in a bare LF, or when there are too many interim heads.
    pub(crate) fn accepts(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.at.get();
        let mut held = (self.mode.get() == Mode::Held).then_some(0);
        let mut start = 0;
        for feed in memchr::memchr_iter(b'\n', bytes) {
            at.take(bytes.get(start..feed)?);
            if at.last != b'\r' {
                return None;
            }
            start = feed + 1;
            if at.line != 1 {
                at = Position { line: 0, lines: at.lines + 1, last: b'\n', ..at };
                if at.lines > STRAIGHT && held.is_none() && self.mode.get() == Mode::Straight {
                    held = Some(start);
                }
            } else if at.is_final() {
                self.awaiting.set(false);
                return Some(self.hold(bytes, held, Some(start), at));
            } else {
                self.interim.set(self.interim.get() + 1);
                if self.interim.get() > MAX_INTERIM {
                    return None;
                }
                at = Position::default();
            }
        }
        at.take(bytes.get(start..)?);
        self.at.set(at);
        Some(self.hold(bytes, held, None, at))
    }

    /// Holds the bytes from `held` on, in which the last head ends at `end`.
    fn hold(&self, bytes: &[u8], held: Option<usize>, end: Option<usize>, at: Position) -> usize {
        let Some((seen, rest)) = held.and_then(|from| bytes.split_at_checked(from)) else {
            return bytes.len();
        };
        let end = end.map(|end| end - seen.len());
        let fits = self.long.borrow_mut().take(rest, end, at.head + at.lines < MAX_HEAD);
        self.mode.set(if fits { Mode::Held } else { Mode::Refused });
        seen.len()
    }

    /// Moves what was held to `buffer`; false when nothing is to be read but what comes from the endpoint.
    pub(crate) fn give(&self, buffer: &mut impl BufMut) -> bool {
        self.mode.get() != Mode::Straight && self.long.borrow_mut().give(buffer)
    }

    /// What was held and not read.
    pub(super) fn rest(&self) -> Bytes {
        self.long.borrow_mut().rest()
    }

    /// Gives the answer those fields that hyper did not see.
    pub(crate) fn complete(&self, fields: &mut HeaderMap) {
        if self.mode.get() == Mode::Held {
            self.long.borrow_mut().complete(fields);
        }
    }
}

impl Position {
    fn is_start(self) -> bool {
        self.lines == 0 && self.line == 0
    }

    /// Whether this is the final head. The bytes after a 101 are no longer HTTP.
    fn is_final(self) -> bool {
        !self.status.starts_with(b"1") || self.status == *b"101"
    }

    /// Goes over a part of a line.
    fn take(&mut self, part: &[u8]) {
        if self.lines == 0 {
            for (digit, at) in self.status.iter_mut().zip(STATUS_AT..) {
                let found = at.checked_sub(self.line).and_then(|index| part.get(index));
                *digit = found.copied().unwrap_or(*digit);
            }
        }
        self.line += part.len();
        self.head += part.len();
        self.last = part.last().copied().unwrap_or(self.last);
    }
}

/// Interim heads per response.
const MAX_INTERIM: u32 = 16;
/// Index of the status code in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], step: usize) -> (bool, bool) {
        let scan = HeadScan::default();
        scan.expect();
        let sound = bytes.chunks(step).all(|chunk| !scan.is_awaiting() || scan.accepts(chunk).is_some());
        (sound, scan.is_awaiting())
    }

    #[test]
    fn interim_heads_are_few() {
        let scan = HeadScan::default();
        for _ in 0..2 {
            scan.expect();
            for _ in 0..MAX_INTERIM {
                assert!(scan.accepts(b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n").is_some());
            }
        }
        assert!(scan.accepts(b"HTTP/1.1 103 Hints\r\n\r\n").is_none());
    }

    #[test]
    fn finds_bare_line_feeds_however_the_bytes_arrive() {
        for (text, sound, awaiting) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\nbody\nbody", true, false),
            ("HTTP/1.1 200 OK\r\na: b\r\n", true, true),
            ("HTTP/1.1 200 OK\na: b\r\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\na: b\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\na: b\r\n\n", false, true),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx\n", true, false),
            ("HTTP/1.1 101 Switched\r\n\r\nhello\n", true, false),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\n\r\n", false, true),
        ] {
            for step in 1..text.len() + 1 {
                assert_eq!(scan(text.as_bytes(), step), (sound, awaiting), "{text:?} in steps of {step}");
            }
        }
    }

    /// What the parser reads of these bytes, and the fields it does not see.
    fn read(bytes: &[u8], step: usize) -> Option<(String, HeaderMap)> {
        let scan = HeadScan::default();
        scan.expect();
        let (mut read, mut fields) = (Vec::new(), HeaderMap::new());
        for chunk in bytes.chunks(step) {
            let seen = if scan.is_awaiting() { scan.accepts(chunk)? } else { chunk.len() };
            read.extend_from_slice(&chunk[..seen]);
            scan.give(&mut read);
        }
        scan.complete(&mut fields);
        Some((String::from_utf8(read).unwrap(), fields))
    }

    fn head(fields: usize, more: &str) -> String {
        let fields: String = (0..fields).map(|number| format!("x: {number}\r\n")).collect();
        format!("HTTP/1.1 200 OK\r\n{fields}{more}\r\n")
    }

    #[test]
    fn fields_that_the_parser_has_no_place_for_are_taken_out() {
        let framing = "Content-Length: 4\r\nno field\r\nX:\t last \r\nconnection: close\r\n";
        let kept = "Content-Length: 4\r\nno field\r\nconnection: close\r\n";
        let hints = head(STRAIGHT + 20, "").replace("200 OK", "103 Hints");
        let few_hints = head(STRAIGHT, "").replace("200 OK", "103 Hints");
        let huge = format!("y: {}\r\n", "y".repeat(MAX_HEAD));
        for (text, expected, taken_out) in [
            (head(STRAIGHT, ""), head(STRAIGHT, ""), 0),
            (head(STRAIGHT, framing), head(STRAIGHT, kept), 1),
            (head(250, framing), head(STRAIGHT, kept), 161),
            // Refused by the parser as it is.
            (head(300, ""), head(300, ""), 0),
            (head(200, &huge), head(200, &huge), 0),
            // What interim heads say is dropped.
            (format!("{hints}{}", head(200, "")), format!("{few_hints}{}", head(STRAIGHT, "")), 110),
            (format!("{hints}{}", head(3, framing)), format!("{few_hints}{}", head(3, framing)), 0),
        ] {
            let (text, expected) = (format!("{text}body\nbody"), format!("{expected}body\nbody"));
            for step in [1, 2, 7, 64, 1000, text.len()] {
                let (read, fields) = read(text.as_bytes(), step).unwrap();
                assert_eq!((read, fields.len()), (expected.clone(), taken_out), "in steps of {step}");
            }
        }
        let (_, fields) = read(head(250, framing).as_bytes(), 100).unwrap();
        let values: Vec<_> = fields.get_all("x").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!((values[0], values[159], values[160]), ("90", "249", "last"));
        assert_eq!(read(head(200, "a: b\n").as_bytes(), 1000), None, "a bare line feed");
    }
}
