//! A look at the raw head of an HTTP/1.1 response: every line must end in CRLF (RFC 9112 section 2.2), which hyper's parser does
//! not insist on. Interim responses are heads of their own, and hyper would read any number of them.

use std::cell::Cell;

/// Where in a response head the bytes of a connection are.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    awaiting: Cell<bool>,
    at: Cell<Position>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Position {
    /// Bytes of the present line so far.
    line: usize,
    /// Lines of the present head so far.
    lines: usize,
    /// Interim responses before the present head.
    interim: usize,
    /// The byte before.
    last: u8,
    /// The status code.
    status: [u8; 3],
}

impl HeadScan {
    /// A request is being sent: a head comes next.
    pub(super) fn expect(&self) {
        self.awaiting.set(true);
        self.at.set(Position::default());
    }

    pub(super) fn is_awaiting(&self) -> bool {
        self.awaiting.get()
    }

    /// Takes in what was read; says what is wrong with it.
    pub(super) fn take(&self, bytes: &[u8]) -> Result<(), &'static str> {
        let mut at = self.at.get();
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            at.take(line);
            if at.last != b'\r' {
                return Err("bare LF in the response head");
            }
            rest = after.get(1..).unwrap_or_default();
            if at.line == 1 {
                if at.is_final() {
                    self.awaiting.set(false);
                    return Ok(());
                }
                if at.interim == MAX_INTERIM {
                    return Err("too many interim responses");
                }
                at = Position {
                    interim: at.interim + 1,
                    ..Position::default()
                };
            } else {
                at = Position {
                    line: 0,
                    lines: at.lines + 1,
                    last: b'\n',
                    ..at
                };
            }
        }
        at.take(rest);
        self.at.set(at);
        Ok(())
    }
}

impl Position {
    /// Whether what follows the head is not another one. After a 101 it is no longer HTTP.
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

/// Index of the status code in `HTTP/1.1 200 OK`.
const STATUS_AT: usize = 9;
/// Interim responses (1xx) an endpoint may send before its answer.
const MAX_INTERIM: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(bytes: &[u8], step: usize) -> (bool, bool) {
        let scan = HeadScan::default();
        scan.expect();
        let sound = bytes
            .chunks(step)
            .all(|chunk| !scan.is_awaiting() || scan.take(chunk).is_ok());
        (sound, scan.is_awaiting())
    }

    #[test]
    fn finds_bare_line_feeds_however_the_bytes_arrive() {
        for (text, sound, awaiting) in [
            ("HTTP/1.1 200 OK\r\na: b\r\n\r\nbody\nbody", true, false),
            ("HTTP/1.1 200 OK\r\na: b\r\n", true, true),
            ("HTTP/1.1 200 OK\na: b\r\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\na: b\n\r\n", false, true),
            ("HTTP/1.1 200 OK\r\na: b\r\n\n", false, true),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx\n",
                true,
                false,
            ),
            ("HTTP/1.1 101 Switched\r\n\r\nhello\n", true, false),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\n\r\n",
                false,
                true,
            ),
        ] {
            for step in 1..text.len() + 1 {
                assert_eq!(
                    scan(text.as_bytes(), step),
                    (sound, awaiting),
                    "{text:?} in steps of {step}"
                );
            }
        }
    }

    #[test]
    fn bounds_the_interim_responses_of_one_request() {
        for (interim, sound) in [(10, true), (11, false)] {
            let text = "HTTP/1.1 102 Processing\r\n\r\n".repeat(interim);
            for step in [1, 7, text.len()] {
                let scanned = HeadScan::default();
                for turn in 0..2 {
                    scanned.expect();
                    let taken = text
                        .as_bytes()
                        .chunks(step)
                        .try_for_each(|chunk| scanned.take(chunk));
                    assert_eq!(
                        taken.is_ok(),
                        sound,
                        "{interim} in steps of {step}, turn {turn}"
                    );
                }
            }
        }
    }
}
