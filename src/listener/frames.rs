//! A look at the frames of an HTTP/2 connection, for floods that h2 answers without end: PING, SETTINGS, PRIORITY,
//! WINDOW_UPDATE, resets, frames of unknown kinds. Only the nine bytes before each payload are read, and the clock only
//! when a budget is spent. It is pure but for the clock: bytes in, a verdict out.

use tokio::time::Instant;

/// Follows one connection from its first byte.
#[derive(Debug)]
pub struct Frames {
    /// Bytes until the next frame begins: of the preface, of a payload.
    skip: usize,
    head: [u8; HEAD],
    have: usize,
    opened: bool,
    /// A budget is spent; the frame that did it is still passed on.
    flooded: bool,
    control: Budget,
    resets: Budget,
    windows: Budget,
    /// Bytes written that only acknowledge.
    acknowledged: u64,
}

/// What to do with the bytes just looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Pass them on.
    Fine,
    /// Pass on this many bytes, which end with a frame, then [`CALM_DOWN`], then nothing.
    Flood(usize),
    /// The connection does not begin as it must (RFC 9113 section 3.4).
    Broken,
}

/// After these frames h2 says GOAWAY with ENHANCE_YOUR_CALM: the header block that never ends is the one flood it knows
/// how to stop at once. Streams that are open end with their connection.
pub static CALM_DOWN: &[u8] = BLOCK.as_flattened();

static BLOCK: [[u8; HEAD]; ENDLESS] = {
    let mut frames = [[0, 0, 0, CONTINUATION, 0, 0x7f, 0xff, 0xff, 0xff]; ENDLESS];
    // HEADERS without END_HEADERS.
    frames[0] = [0, 0, 0, HEADERS, 0, 0x7f, 0xff, 0xff, 0xff];
    frames
};

/// A budget of frames that carry no work. It refills with time and with written bytes.
#[derive(Debug)]
struct Budget {
    spent: u64,
    limit: u64,
    /// Bytes written for which one frame is given back; none for zero.
    per: u64,
    since: Instant,
    written: u64,
}

impl Default for Frames {
    fn default() -> Self {
        let now = Instant::now();
        let budget = |limit, per| Budget { spent: 0, limit, per, since: now, written: 0 };
        Self {
            skip: PREFACE,
            head: [0; HEAD],
            have: 0,
            opened: false,
            flooded: false,
            // Some clients measure the line with a PING for every message they receive.
            control: budget(2000, 25),
            resets: budget(1000, 0),
            // Two for every DATA frame, the smallest of which has ten bytes.
            windows: budget(4000, 5),
            acknowledged: 0,
        }
    }
}

impl Frames {
    /// Looks at the next bytes. `written` is how many have gone to the client so far.
    pub fn look(&mut self, bytes: &[u8], written: u64) -> Traffic {
        let mut rest = bytes;
        loop {
            let now = self.skip.min(rest.len());
            self.skip -= now;
            rest = rest.get(now..).unwrap_or_default();
            if self.flooded && self.skip == 0 {
                return Traffic::Flood(bytes.len() - rest.len());
            }
            let Some(room) = self.head.get_mut(self.have..) else {
                return Traffic::Fine;
            };
            let take = room.len().min(rest.len());
            if take == 0 || self.skip > 0 {
                return Traffic::Fine;
            }
            let (head, after) = rest.split_at(take);
            room.iter_mut().zip(head).for_each(|(to, from)| *to = *from);
            self.have += take;
            rest = after;
            if self.have == HEAD {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                if !self.opened && (kind != SETTINGS || flags & ACK != 0) {
                    return Traffic::Broken;
                }
                self.opened = true;
                self.flooded = !self.admits(kind, flags, written);
            }
        }
    }

    /// Whether the first frame has begun.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.opened
    }

    /// Whether this frame is still within its budget.
    fn admits(&mut self, kind: u8, flags: u8, written: u64) -> bool {
        let length = self.skip;
        let budget = match kind {
            DATA if length > 0 && (flags & PADDED == 0 || length > LONGEST_PADDING) => return true,
            HEADERS | CONTINUATION => return true,
            RST_STREAM => &mut self.resets,
            WINDOW_UPDATE => &mut self.windows,
            PING | SETTINGS => {
                self.acknowledged += ACKNOWLEDGEMENT;
                &mut self.control
            }
            _ => &mut self.control,
        };
        budget.spend(written.saturating_sub(self.acknowledged))
    }
}

impl Budget {
    fn spend(&mut self, written: u64) -> bool {
        self.spent += 1;
        if self.spent <= self.limit {
            return true;
        }
        let now = Instant::now();
        let millis = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        let by_time = millis.saturating_mul(PER_SECOND) / 1000;
        let by_work = written.saturating_sub(self.written).checked_div(self.per).unwrap_or(0);
        if by_time > 0 {
            self.since = now;
        }
        if by_work > 0 {
            self.written = written;
        }
        self.spent = self.spent.saturating_sub(by_time).saturating_sub(by_work);
        self.spent <= self.limit
    }
}

/// More frames than h2 takes for one head, however large `maxHeaderBytes` is: at the most 16 MiB, for which it takes
/// 1,280.
const ENDLESS: usize = 1536;
const PREFACE: usize = 24;
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const PADDED: u8 = 8;
/// A padded frame that is no longer than this may be nothing but padding.
const LONGEST_PADDING: usize = 256;
/// Bytes of the answer to a PING or SETTINGS, with a TLS record around it.
const ACKNOWLEDGEMENT: u64 = 48;
/// Frames of each budget that are given back in a second.
const PER_SECOND: u64 = 100;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let [.., a, b, c] = u32::try_from(payload).unwrap().to_be_bytes();
        [&[a, b, c, kind, flags, 0, 0, 0, 1][..], &vec![0; payload]].concat()
    }

    fn opened() -> Frames {
        let mut frames = Frames::default();
        let hello = [vec![b'P'; PREFACE], frame(SETTINGS, 0, 6)].concat();
        assert_eq!(frames.look(&hello, 0), Traffic::Fine);
        frames
    }

    /// How many such frames are accepted, with this many bytes written after each.
    fn taken(kind: u8, flags: u8, payload: usize, written: u64) -> Option<u64> {
        let mut frames = opened();
        let bytes = frame(kind, flags, payload);
        (0..100_000).find(|count| frames.look(&bytes, count * written) != Traffic::Fine)
    }

    #[tokio::test(start_paused = true)]
    async fn floods_are_found_and_work_is_not_a_flood() {
        for (kind, flags, payload, written, limit) in [
            (PING, 0, 8, 0, Some(1999)),
            (PING, 0, 8, 17, Some(1999)),
            (PING, 0, 8, 48 + 25, None),
            (SETTINGS, 0, 0, 9, Some(1999)),
            (2, 0, 5, 0, Some(1999)),
            (0x42, 0, 1, 0, Some(1999)),
            (DATA, 0, 0, 0, Some(1999)),
            (DATA, PADDED, 4, 0, Some(1999)),
            (DATA, 0, 1, 0, None),
            (HEADERS, 4, 5, 0, None),
            (RST_STREAM, 0, 4, 1000, Some(1000)),
            (WINDOW_UPDATE, 0, 4, 0, Some(4000)),
            (WINDOW_UPDATE, 0, 4, 5, None),
        ] {
            let found = taken(kind, flags, payload, written);
            assert_eq!(found, limit, "kind {kind}, {payload} bytes, {written} written");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn budgets_come_back_with_time() {
        let mut frames = opened();
        let reset = frame(RST_STREAM, 0, 4);
        for _ in 0..1000 {
            assert_eq!(frames.look(&reset, 0), Traffic::Fine);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            assert_eq!(frames.look(&reset, 0), Traffic::Fine);
        }
        assert_eq!(frames.look(&reset, 0), Traffic::Flood(reset.len()));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_are_followed_however_they_arrive() {
        let many = [frame(DATA, 0, 300), frame(PING, 0, 8).repeat(3000)].concat();
        for step in [1, 2, 7, 9, 10, 17, 333] {
            let mut frames = opened();
            let mut kept = 0;
            let flood = many.chunks(step).any(|piece| match frames.look(piece, 0) {
                Traffic::Fine => {
                    kept += piece.len();
                    false
                }
                Traffic::Flood(keep) => {
                    kept += keep;
                    true
                }
                Traffic::Broken => panic!("sound"),
            });
            assert!(flood, "in steps of {step}");
            assert_eq!((kept - 309) % 17, 0, "stopped between two frames, in steps of {step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn settings_come_first() {
        for (kind, flags) in [(HEADERS, 4), (PING, 0), (SETTINGS, ACK), (DATA, 0)] {
            let bytes = [vec![b'P'; PREFACE], frame(kind, flags, 0)].concat();
            assert_eq!(Frames::default().look(&bytes, 0), Traffic::Broken, "kind {kind}");
        }
    }
}
