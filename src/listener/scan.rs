//! Checks the raw bytes of an HTTP/1 connection before hyper parses them. hyper is lenient where a gateway must not be:
//! it drops a Content-Length that comes with a Transfer-Encoding, ends lines at a bare LF and does not check Host. This
//! scanner follows the framing of the messages strictly and says how many of the read bytes the parser may see. It is
//! pure, and its result does not depend on the splitting of the bytes. It does not repeat the checks of httparse (bare
//! CR, NUL, folding, spaces before the colon), because such a head never reaches the service.

use memchr::{memchr, memchr_iter};

use crate::config::model::Limits;
use crate::context::ScannerRefusal;
use crate::listener::fault::Fault;
use crate::listener::host::is_valid_host;
use crate::listener::odd;

/// Follows one connection from its first byte.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    head: Head,
    /// The start of a line whose end has not arrived; empty unless a read ended inside a line.
    partial: Vec<u8>,
    requests: u64,
    limits: ScanLimits,
    verdict: Option<ScannerRefusal>,
    odd: Option<Box<[u8]>>,
}

/// Limits on the size of a head.
#[derive(Clone, Copy, Debug)]
pub struct ScanLimits {
    /// Bytes of a head, or of a trailer section.
    pub head: usize,
    /// Bytes of the request target.
    pub target: usize,
}

impl ScanLimits {
    /// The limits of a listener.
    #[must_use]
    pub fn of(limits: &Limits) -> Self {
        Self { head: limits.max_header_bytes, target: limits.max_target_bytes }
    }
}

/// What to do with the bytes just scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// How many of them the parser may see.
    pub keep: usize,
    /// The parser's input after those bytes.
    pub next: Next,
}

/// What the parser sees after the bytes it may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next bytes of the connection.
    More,
    /// Nothing: the head that ends here is refused by the service, which looks at [`Scanner::verdict`].
    Silence,
    /// [`POISON`], which makes the parser refuse the unfinished head with 400, then nothing.
    Poison,
    /// A read error: the framing of a body is broken.
    Error,
}

/// Where in a message a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before the first byte of a head.
    Start,
    /// Inside a head.
    Head,
    /// Inside a body.
    Body,
    /// Nothing more is read.
    Stopped,
}

/// No parser takes a head with a NUL in it, wherever it stands, and the empty line makes it look at once.
pub const POISON: &[u8] = b"\0\r\n\r\n";

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body(u64),
    ChunkSize,
    ChunkData(u64),
    ChunkEnd,
    Trailers(usize),
    Stopped(Next),
}

/// The facts from the lines of a head so far.
#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    begun: bool,
    old_version: bool,
    hosts: u32,
    lengths: u32,
    length: u64,
    encodings: u32,
    fault: Option<Fault>,
}

impl Scanner {
    /// A scanner for a fresh connection.
    #[must_use]
    pub fn new(limits: ScanLimits) -> Self {
        Self {
            state: State::Head,
            head: Head::default(),
            partial: Vec::new(),
            requests: 0,
            limits,
            verdict: None,
            odd: None,
        }
    }

    /// A scanner that refuses every head, for a client that speaks no TLS on a TLS listener. No second head gets
    /// through.
    #[must_use]
    pub fn refusing(limits: ScanLimits) -> Self {
        let mut scanner = Self::new(limits);
        scanner.head.blame(Fault::Plain);
        scanner
    }

    /// Scans the next bytes of the connection. After any [`Next`] but `More`, further bytes are dropped.
    #[must_use]
    pub fn scan(&mut self, bytes: &[u8]) -> Scanned {
        let mut rest = bytes;
        while !rest.is_empty() {
            let step = match self.state {
                State::Body(left) => self.skip(rest, left, State::Head, State::Body),
                State::ChunkData(left) => self.skip(rest, left, State::ChunkEnd, State::ChunkData),
                State::Stopped(_) => return self.stopped(0),
                State::Head if self.head.begun && self.partial.is_empty() => self.fields(rest),
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers(_) => self.line(rest),
            };
            rest = rest.get(step..).unwrap_or_default();
            if let State::Stopped(_) = self.state {
                return self.stopped(bytes.len() - rest.len());
            }
        }
        Scanned { keep: bytes.len(), next: Next::More }
    }

    /// Where in a message the connection is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Head if self.head.bytes == 0 && self.partial.is_empty() => Phase::Start,
            State::Head => Phase::Head,
            State::Stopped(_) => Phase::Stopped,
            State::Body(_) | State::ChunkSize | State::ChunkData(_) | State::ChunkEnd | State::Trailers(_) => {
                Phase::Body
            }
        }
    }

    /// Heads completed so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The refusal of the last head, which is also the last that is read.
    #[must_use]
    pub fn verdict(&self) -> Option<ScannerRefusal> {
        self.verdict
    }

    /// The beginning of the last request line, where the parser may have refused its target.
    #[must_use]
    pub fn odd_line(&self) -> Option<&[u8]> {
        self.odd.as_deref()
    }

    fn stopped(&self, keep: usize) -> Scanned {
        let next = if let State::Stopped(next) = self.state { next } else { Next::More };
        Scanned { keep, next }
    }

    fn skip(&mut self, rest: &[u8], left: u64, done: State, more: fn(u64) -> State) -> usize {
        let have = u64::try_from(rest.len()).unwrap_or(u64::MAX);
        if have < left {
            self.state = more(left - have);
            return rest.len();
        }
        self.state = done;
        usize::try_from(left).unwrap_or(rest.len())
    }

    /// As [`Self::line`] for the complete fields of a head, which are nearly always all of them: one search through all
    /// lines that checks only the first byte of most.
    fn fields(&mut self, rest: &[u8]) -> usize {
        let window = rest.get(..self.room()).unwrap_or(rest);
        let mut start = 0;
        for feed in memchr_iter(b'\n', window) {
            let Some([line @ .., b'\r']) = window.get(start..feed) else {
                self.stop(Next::Poison);
                return feed;
            };
            match line.first().map(|first| first | 0x20) {
                None => {
                    self.end_head();
                    return feed + 1;
                }
                Some(b'h' | b'c' | b't') => self.head.field(line),
                // A space or, with the bit set, a tab: a folded line, which is part of the one before for some parsers.
                Some(b' ' | 0x29) if matches!(line.first(), Some(b' ' | b'\t')) => {
                    self.stop(Next::Poison);
                    return feed;
                }
                Some(_) => {}
            }
            start = feed + 1;
        }
        self.head.bytes += start;
        if start > 0 { start } else { self.line(rest) }
    }

    /// Takes one line, or the part of it that has arrived, and says how many bytes the parser may see of it: all, or
    /// all but the line feed that would complete a line that is refused.
    fn line(&mut self, rest: &[u8]) -> usize {
        let room = self.room();
        let Some(feed) = memchr(b'\n', rest.get(..room).unwrap_or(rest)) else {
            if rest.len() > room {
                // In a head the parser has all it may hold and answers 431; the poison is for the case that it does
                // not.
                self.stop(self.fatal());
                return room;
            }
            self.partial.extend_from_slice(rest);
            return rest.len();
        };
        let arrived = rest.get(..feed).unwrap_or_default();
        if self.partial.is_empty() {
            self.check_line(arrived);
        } else {
            let mut whole = std::mem::take(&mut self.partial);
            whole.extend_from_slice(arrived);
            self.check_line(&whole);
        }
        match self.state {
            State::Stopped(Next::Poison | Next::Error) => feed,
            _ => feed + 1,
        }
    }

    /// How many bytes the line may still grow by.
    fn room(&self) -> usize {
        let room = match self.state {
            State::Head => self.limits.head.saturating_sub(self.head.bytes),
            State::Trailers(bytes) => self.limits.head.saturating_sub(bytes),
            State::ChunkSize => MAX_CHUNK_LINE,
            _ => 2,
        };
        room.saturating_sub(self.partial.len())
    }

    fn fatal(&self) -> Next {
        if matches!(self.state, State::Head) { Next::Poison } else { Next::Error }
    }

    fn stop(&mut self, next: Next) {
        self.state = State::Stopped(next);
        self.partial = Vec::new();
    }

    fn check_line(&mut self, line: &[u8]) {
        let fatal = self.fatal();
        let Some((b'\r', line)) = line.split_last() else {
            return self.stop(fatal);
        };
        match self.state {
            State::Head => self.head_line(line),
            State::ChunkSize => match chunk_size(line) {
                Some(0) => self.state = State::Trailers(0),
                Some(size) => self.state = State::ChunkData(size),
                None => self.stop(fatal),
            },
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::Trailers(_) if line.is_empty() => self.state = State::Head,
            State::Trailers(bytes) => self.state = State::Trailers(bytes + line.len() + 2),
            _ => self.stop(fatal),
        }
    }

    fn head_line(&mut self, line: &[u8]) {
        self.head.bytes += line.len() + 2;
        if self.head.begun {
            if line.is_empty() {
                return self.end_head();
            }
            if let Some(b' ' | b'\t') = line.first() {
                return self.stop(Next::Poison);
            }
            self.head.field(line);
        } else if line.is_empty() {
            // RFC 9112 section 2.2: an empty line before the request line is skipped; one, not a stream of them.
            if self.head.bytes > 2 {
                self.stop(Next::Poison);
            }
        } else {
            self.head.begun = true;
            self.odd = odd::kept(line);
            self.head.request_line(line, self.limits.target);
        }
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        if let Some(fault) = head.check() {
            self.verdict =
                Some(ScannerRefusal { request: self.requests, reason: fault.reason(), refusal: fault.refusal() });
            self.stop(Next::Silence);
        } else if head.encodings > 0 {
            self.state = State::ChunkSize;
        } else if head.length > 0 {
            self.state = State::Body(head.length);
        }
        self.requests += 1;
    }
}

impl Head {
    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn request_line(&mut self, line: &[u8], longest: usize) {
        let Some((rest, version)) = line.split_last_chunk::<9>() else {
            return self.blame(Fault::RequestLine);
        };
        // Methods are short.
        let space = rest.iter().position(|byte| *byte == b' ');
        let Some(target) = space.and_then(|space| rest.get(space + 1..)) else {
            return self.blame(Fault::RequestLine);
        };
        self.old_version = version == b" HTTP/1.0";
        if !self.old_version && version != b" HTTP/1.1" {
            self.blame(Fault::RequestLine);
        } else if target.len() > longest {
            self.blame(Fault::TargetTooLong);
        } else if !target.is_ascii() || memchr(b'#', target).is_some() {
            self.blame(Fault::Target);
        }
    }

    /// Only three fields matter here, and each has a name of another length.
    fn field(&mut self, line: &[u8]) {
        if let Some((name, [b':', value @ ..])) = line.split_at_checked(4)
            && name.eq_ignore_ascii_case(b"host")
        {
            self.hosts += 1;
            if !is_valid_host(value.trim_ascii()) {
                self.blame(Fault::HostInvalid);
            }
        } else if let Some((name, [b':', value @ ..])) = line.split_at_checked(14)
            && name.eq_ignore_ascii_case(b"content-length")
        {
            self.lengths += 1;
            match content_length(value.trim_ascii()) {
                Some(length) => self.length = length,
                None => self.blame(Fault::Length),
            }
        } else if let Some((name, [b':', value @ ..])) = line.split_at_checked(17)
            && name.eq_ignore_ascii_case(b"transfer-encoding")
        {
            self.encodings += 1;
            if !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                self.blame(Fault::Encoding);
            }
        }
    }

    /// The worst of it: framing before anything else.
    fn check(&self) -> Option<Fault> {
        if self.fault == Some(Fault::Plain) {
            return self.fault;
        }
        if self.encodings > 0 && self.lengths > 0 {
            return Some(Fault::LengthAndEncoding);
        }
        if self.encodings > 0 && self.old_version {
            return Some(Fault::EncodingOnOldVersion);
        }
        if self.encodings > 1 {
            return Some(Fault::Encoding);
        }
        if self.lengths > 1 {
            return Some(Fault::LengthRepeated);
        }
        if self.fault.is_some() {
            return self.fault;
        }
        match self.hosts {
            1 => None,
            0 if self.old_version => None,
            0 => Some(Fault::HostMissing),
            _ => Some(Fault::HostRepeated),
        }
    }
}

/// RFC 9110 section 8.6: digits only, and at most 63 bits, so that no hop reads another number.
fn content_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let length = value.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })?;
    (length <= MAX_LENGTH).then_some(length)
}

/// RFC 9112 section 7.1, without the white space it tolerates: hexadecimal digits, then perhaps `;` and an extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at_checked(digits)?;
    let clean = match extension.split_first() {
        None => true,
        Some((b';', text)) => !text.iter().any(|&byte| byte != b'\t' && byte.is_ascii_control()),
        Some(_) => false,
    };
    if !clean || size.is_empty() || size.len() > 16 {
        return None;
    }
    let size = size.iter().try_fold(0_u64, |sum, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        sum.checked_mul(16)?.checked_add(u64::from(digit))
    })?;
    (size <= MAX_LENGTH).then_some(size)
}

const MAX_LENGTH: u64 = u64::MAX >> 1;
/// A chunk's size line with its extension.
const MAX_CHUNK_LINE: usize = 256;

#[cfg(test)]
mod tests;
