//! Response heads with more fields than hyper keeps places for. hyper parses 100 fields on its stack and allocates for
//! every other number, which makes each small answer pay for the rare large one. So what follows the first fields of a
//! large head is held here until the head is whole. Fields that hyper need not see are taken out then, and the answer
//! gets them back once hyper has parsed the rest.

use std::mem;

use bytes::{BufMut, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The end of a large head.
#[derive(Debug, Default)]
pub(super) struct LongHead {
    held: Vec<u8>,
    /// What the parser gets next.
    ready: Bytes,
    taken_out: Vec<(HeaderName, HeaderValue)>,
}

impl LongHead {
    /// Takes the next bytes, in which the head ends at `end` and after which it `fits` its limit so far. False when
    /// there are too many: the parser gets all as it is, what follows too, and refuses the head.
    pub(super) fn take(&mut self, bytes: &[u8], end: Option<usize>, fits: bool) -> bool {
        let (head, body) = end.and_then(|end| bytes.split_at_checked(end)).unwrap_or((bytes, &[]));
        self.held.extend_from_slice(head);
        let fits = fits && self.held.len() <= MAX_HEAD;
        if end.is_some() || !fits {
            let held = mem::take(&mut self.held);
            let mut ready = if fits { self.thin(&held).unwrap_or(held) } else { held };
            ready.extend_from_slice(body);
            self.ready = Bytes::from(ready);
        }
        fits
    }

    /// Moves what is ready to `buffer`; false when nothing is.
    pub(super) fn give(&mut self, buffer: &mut impl BufMut) -> bool {
        let size = self.ready.len().min(buffer.remaining_mut());
        buffer.put(self.ready.split_to(size));
        size > 0
    }

    /// What is ready and was not given.
    pub(super) fn rest(&mut self) -> Bytes {
        mem::take(&mut self.ready)
    }

    /// Gives the fields that were taken out to the answer that hyper made of the others.
    pub(super) fn complete(&mut self, fields: &mut HeaderMap) {
        fields.reserve(self.taken_out.len());
        for (name, value) in self.taken_out.drain(..) {
            fields.append(name, value);
        }
    }

    /// The held lines without those that are taken out; `None` when there are too many. Other heads may follow an
    /// interim one.
    fn thin(&mut self, held: &[u8]) -> Option<Vec<u8>> {
        let mut thinned = Vec::with_capacity(held.len());
        let mut fields = Some(STRAIGHT);
        for line in held.split_inclusive(|byte| *byte == b'\n') {
            let Some(number) = fields else {
                // A status line. What the interim head before it said is dropped.
                self.taken_out.clear();
                fields = Some(0);
                thinned.extend_from_slice(line);
                continue;
            };
            fields = (line != b"\r\n").then_some(number + 1);
            if number > MAX_FIELDS {
                self.taken_out.clear();
                return None;
            }
            match parsed(line).filter(|_| number >= STRAIGHT) {
                Some(field) => self.taken_out.push(field),
                None => thinned.extend_from_slice(line),
            }
        }
        Some(thinned)
    }
}

/// A field that hyper need not see. What is no field at all is left to hyper's judgement.
fn parsed(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let line = line.strip_suffix(b"\r\n")?;
    let (name, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
    let name = HeaderName::from_bytes(name).ok().filter(|name| !SEEN_BY_HYPER.contains(name))?;
    let value = value.get(1..).unwrap_or_default();
    let begin = value.iter().position(|byte| !is_blank(*byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(*byte)).map_or(begin, |last| last + 1);
    Some((name, HeaderValue::from_bytes(value.get(begin..end)?).ok()?))
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Fields by which hyper frames an answer, and ends or hands over its connection.
const SEEN_BY_HYPER: [HeaderName; 4] =
    [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::UPGRADE];
/// Fields of a head that hyper gets as they come. It takes ten more, which leaves room for those it has to see.
pub(super) const STRAIGHT: usize = 90;
/// Fields a response head may have. Agents that send many cookies or links need more than hyper takes.
const MAX_FIELDS: usize = 256;
/// A response head may be this large.
pub(super) const MAX_HEAD: usize = 64 * 1024;
