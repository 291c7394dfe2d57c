//! A look at the raw head of an HTTP/1.1 response: every line must end in CRLF (RFC 9112 section 2.2), which hyper's
//! parser does not insist on. Interim responses are heads of their own, of which hyper would take any number.

use std::cell::Cell;

/// Where in a response head the bytes of a connection are.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    awaiting: Cell<bool>,
    at: Cell<Position>,
    /// Interim heads before the one awaited.
    interim: Cell<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Position {
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
    }

    /// Whether nothing of the head was read.
    pub(super) fn is_at_start(&self) -> bool {
        self.interim.get() == 0 && self.at.get().is_start()
    }

    pub(crate) fn is_awaiting(&self) -> bool {
        self.awaiting.get()
    }

    /// Scans the bytes that were read; false when a line ends in a bare LF, or when there are too many interim heads.
    pub(crate) fn accepts(&self, bytes: &[u8]) -> bool {
        let mut at = self.at.get();
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            at.take(line);
            if at.last != b'\r' {
                return false;
            }
            rest = after.get(1..).unwrap_or_default();
            if at.line == 1 {
                if at.is_final() {
                    self.awaiting.set(false);
                    return true;
                }
                self.interim.set(self.interim.get() + 1);
                if self.interim.get() > MAX_INTERIM {
                    return false;
                }
                at = Position::default();
            } else {
                at = Position { line: 0, lines: at.lines + 1, last: b'\n', status: at.status };
            }
        }
        at.take(rest);
        self.at.set(at);
        true
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
        let sound = bytes.chunks(step).all(|chunk| !scan.is_awaiting() || scan.accepts(chunk));
        (sound, scan.is_awaiting())
    }

    #[test]
    fn interim_heads_are_few() {
        let scan = HeadScan::default();
        for _ in 0..2 {
            scan.expect();
            for _ in 0..MAX_INTERIM {
                assert!(scan.accepts(b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"));
            }
        }
        assert!(!scan.accepts(b"HTTP/1.1 103 Hints\r\n\r\n"));
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
}
