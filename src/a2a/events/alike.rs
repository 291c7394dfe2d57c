//! Events that say what the one before said, but for texts that nobody reads. Most events of a stream are such: the
//! next words of an answer, another step of the same task. So the last event is kept as a pattern: its bytes, and the
//! gaps in them where any other text or number leads to the same [`Answer`](super::Answer). An event that fits is not
//! read again, which costs a tenth. Only what lies in one piece from its first byte to its last makes a pattern or is
//! compared with one.

use super::super::json::Skipped;
use super::run;

/// The last event, if it is small and was read without a fault.
#[derive(Debug, Default)]
pub(super) struct Pattern {
    /// The event; empty when there is none.
    event: Vec<u8>,
    gaps: Vec<Span>,
    /// The bytes of the piece in which the present event began, while it may become the pattern.
    piece: Option<usize>,
}

/// Something that nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// A value in the data.
    Value(Skipped),
    /// A line to its end.
    Line,
}

/// Where a gap is in the event.
#[derive(Clone, Copy, Debug)]
struct Span {
    kind: Gap,
    start: u16,
    end: u16,
}

impl Gap {
    /// How many bytes at the beginning it has.
    #[inline]
    fn length(self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Value(kind) => kind.length(bytes),
            Self::Line => Some(run(bytes).0.len()),
        }
    }
}

impl Pattern {
    /// The number of bytes up to the end of an event that says what the last one said; `None` when they begin with no
    /// such event.
    pub(super) fn end_of_alike(&self, bytes: &[u8]) -> Option<usize> {
        let (mut rest, mut at) = (bytes, 0);
        for gap in &self.gaps {
            rest = rest.strip_prefix(self.event.get(at..usize::from(gap.start))?)?;
            rest = rest.get(gap.kind.length(rest)?..)?;
            at = usize::from(gap.end);
        }
        let last = self.event.get(at..).filter(|last| !last.is_empty())?;
        Some(bytes.len() - rest.strip_prefix(last)?.len())
    }

    /// Another event begins, with a piece of so many bytes.
    pub(super) fn begin(&mut self, piece: usize) {
        self.give_up();
        self.piece = Some(piece);
    }

    /// There is no pattern until another event has begun.
    pub(super) fn give_up(&mut self) {
        self.event.clear();
        self.gaps.clear();
        self.piece = None;
    }

    /// Whether the present event may become the pattern.
    pub(super) const fn is_begun(&self) -> bool {
        self.piece.is_some()
    }

    /// A gap begins in the present event, so many bytes before the end of its piece.
    pub(super) fn note(&mut self, kind: Gap, left: usize) {
        let Some(piece) = self.piece else { return };
        match u16::try_from(piece.saturating_sub(left)) {
            Ok(start) if self.gaps.len() < MAX_GAPS => self.gaps.push(Span { kind, start, end: start }),
            _ => self.give_up(),
        }
    }

    /// The present event has ended, has this text, and was read without a fault.
    pub(super) fn settle(&mut self, event: &[u8]) {
        // A carriage return at the end may be half of the end, and a byte order mark is none after the first event.
        let fits = event.len() <= MAX_EVENT && event.ends_with(b"\n") && !event.starts_with(b"\xef");
        let is_whole = self.piece.take().is_some() && fits;
        let are_found = self.gaps.iter_mut().all(|gap| {
            let length = event.get(usize::from(gap.start)..).and_then(|rest| gap.kind.length(rest));
            let end = length.and_then(|length| gap.start.checked_add(u16::try_from(length).ok()?));
            gap.end = end.unwrap_or(gap.start);
            end.is_some()
        });
        if is_whole && are_found {
            self.event.extend_from_slice(event);
        } else {
            self.give_up();
        }
    }
}

/// Largest event that is kept.
const MAX_EVENT: usize = 1024;
/// Most gaps that are kept; with more to compare, little would be won.
const MAX_GAPS: usize = 24;

#[cfg(test)]
mod tests {
    use super::super::super::answer::AnswerReader;
    use super::super::EventReader;

    const FIRST: &str = concat!(
        r#"data: {"id":1,"jsonrpc":"2.0","result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_WORKING","#,
        r#""timestamp":"10:00","message":{"messageId":"m","parts":[{"text":"a"}]}},"metadata":{"step":1}}}}"#,
        "\r\n\r\n"
    );

    /// Reads these events, each in a piece, and says which were alike and the state that each told of.
    fn read(events: &[String]) -> Vec<(bool, String)> {
        let mut reader = EventReader::new(AnswerReader::json_rpc());
        let said = |event: &String| {
            assert_eq!(reader.read(event.as_bytes()), Some(event.len()), "{event:?}");
            assert_eq!(reader.read(b""), None);
            let state = reader.event().answer.and_then(|answer| answer.state());
            (reader.is_alike(), format!("{state:?}"))
        };
        events.iter().map(said).collect()
    }

    #[test]
    fn an_event_is_alike_where_only_what_nobody_reads_differs() {
        let first = || FIRST.to_owned();
        for (old, new, is_alike, state) in [
            ("", "", true, "Some(Working)"),
            ("10:00", "11:30:01.5", true, "Some(Working)"),
            ("\"a\"", r#""\n\"state\":\"TASK_STATE_COMPLETED\" \u00e9\\""#, true, "Some(Working)"),
            ("\"a\"", "\"\"", true, "Some(Working)"),
            ("\"step\":1", "\"step\":-20.5e3", true, "Some(Working)"),
            ("\"step\":1", "\"step\":01", false, "None"),
            ("\"step\":1", "\"step\":\"1\"", false, "Some(Working)"),
            ("\"step\"", "\"Step\"", false, "Some(Working)"),
            ("WORKING", "COMPLETED", false, "Some(Completed)"),
            ("\"t\"", "\"u\"", false, "Some(Working)"),
            ("\"a\"", r#""a","text":"b""#, false, "Some(Working)"),
            ("\"a\"", "\"\\x\"", false, "None"),
            ("\"a\"", "\"\t\"", false, "None"),
            ("data: ", "id: 5\r\ndata: ", false, "Some(Working)"),
            ("data: ", "event: x\r\ndata: ", false, "Some(Working)"),
            ("\r\n\r\n", "\n\n", false, "Some(Working)"),
        ] {
            let other = FIRST.replacen(old, new, 1);
            let found = read(&[first(), first(), other, first()]);
            assert_eq!(found[1], (true, "Some(Working)".to_owned()));
            assert_eq!((found[2].0, &*found[2].1), (is_alike, state), "{new:?} for {old:?}");
            assert_eq!(found[3].1, "Some(Working)", "{new:?} for {old:?}");
        }
    }

    #[test]
    fn lines_that_say_nothing_may_differ() {
        let event = |id: &str, comment: &str| format!(":{comment}\nid: {id}\ndata: {{\"error\":{{\"code\":1}}}}\n\n");
        let first = format!("\u{feff}{}", event("1", "x"));
        let events = [first, event("1", "x"), event("1", "x"), event("22", ""), event("", " y"), event("3\ndata", "")];
        let alike: Vec<bool> = read(&events).into_iter().map(|(is_alike, _)| is_alike).collect();
        assert_eq!(alike, [false, false, true, true, true, false]);
    }

    #[test]
    fn what_is_large_or_comes_in_parts_is_read_each_time() {
        let large = FIRST.replacen("\"a\"", &format!("\"{}\"", "x".repeat(super::MAX_EVENT)), 1);
        assert!(read(&[large.clone(), large.clone(), large.clone()]).iter().all(|(is_alike, _)| !is_alike));
        assert!(read(&[FIRST.to_owned(), FIRST.to_owned(), large])[2].0, "a text of any size fits in a gap");
        let mut reader = EventReader::new(AnswerReader::json_rpc());
        for event in [FIRST; 3] {
            let (head, tail) = event.as_bytes().split_at(100);
            assert_eq!((reader.read(head), reader.read(tail)), (None, Some(tail.len())));
            assert!(!reader.is_alike());
        }
        let both = [FIRST, FIRST].concat();
        assert_eq!(reader.read(both.as_bytes()), Some(FIRST.len()));
        assert!(!reader.is_alike(), "the one before came in parts");
        assert_eq!(reader.read(&both.as_bytes()[FIRST.len()..]), Some(FIRST.len()));
        assert!(reader.is_alike());
    }
}
