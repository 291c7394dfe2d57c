//! Event streams (WHATWG HTML section 9.2) as A2A uses them: where an event ends, and what the answer in it says. Sees
//! bytes as they pass, cut anywhere. Of the last event it keeps a copy where that is small: see [`alike`].

mod alike;

use super::answer::{Answer, AnswerReader};
use super::json::Fault;
use alike::{Gap, Pattern};

/// Finds the ends of events. Comments alone are no event.
#[derive(Debug)]
pub struct Lines {
    place: Inside,
    name: Name,
    /// Whether the last byte was a carriage return, which a line feed may follow.
    returned: bool,
    /// Whether a line of the event says something.
    says: bool,
    /// Whether a line of data was in the event.
    has_data: bool,
    /// How much of a byte order mark may still come.
    mark: &'static [u8],
}

/// What takes the contents of events.
trait Content {
    /// Bytes of data, with so many left behind them; lines are joined by line feeds.
    fn data(&mut self, bytes: &[u8], left: usize);
    /// What nobody reads begins, so many bytes before the end: the rest of a line.
    fn passed_over(&mut self, left: usize);
    /// Another name of the event begins, which replaces the one before.
    fn begin_name(&mut self);
    /// Bytes of the event's name.
    fn name(&mut self, bytes: &[u8]);
}

/// Nobody reads them.
impl Content for () {
    fn data(&mut self, _bytes: &[u8], _left: usize) {}

    fn passed_over(&mut self, _left: usize) {}

    fn begin_name(&mut self) {}

    fn name(&mut self, _bytes: &[u8]) {}
}

/// Where in a line the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    /// In the name of a field, or at the beginning of the line.
    Name,
    /// After the colon of a field.
    Value {
        field: Field,
        is_first: bool,
    },
    Comment,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Data,
    Event,
    Other,
}

/// The beginning of a field's name: one byte more than the longest that matters.
#[derive(Clone, Copy, Debug, Default)]
struct Name {
    bytes: [u8; 6],
    length: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    fn field(&self) -> Field {
        match self.bytes.get(..self.length) {
            Some(b"data") => Field::Data,
            Some(b"event") => Field::Event,
            _ => Field::Other,
        }
    }
}

/// What an event stream may begin with. Anywhere else it is the beginning of a name that nobody knows.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

impl Default for Lines {
    fn default() -> Self {
        Self {
            place: Inside::Name,
            name: Name::default(),
            returned: false,
            says: false,
            has_data: false,
            mark: BYTE_ORDER_MARK,
        }
    }
}

impl Lines {
    /// The number of bytes up to the end of an event; `None` when it does not end in them. The caller passes the bytes
    /// after the end to the next call.
    pub fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        self.scan(bytes, &mut ())
    }

    /// Whether nothing of an event has come since the last one ended.
    #[must_use]
    pub fn is_between(&self) -> bool {
        let is_in_mark = (1..BYTE_ORDER_MARK.len()).contains(&self.mark.len());
        !self.says && !self.returned && !is_in_mark && self.place == Inside::Name && self.name.length == 0
    }

    fn scan(&mut self, bytes: &[u8], content: &mut impl Content) -> Option<usize> {
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            if std::mem::take(&mut self.returned) {
                // The line ended with the byte before, or ends with this line feed.
                rest = if *byte == b'\n' { tail } else { rest };
                if self.line(content) {
                    return Some(bytes.len() - rest.len());
                }
                continue;
            }
            match byte {
                b'\n' => {
                    rest = tail;
                    if self.line(content) {
                        return Some(bytes.len() - rest.len());
                    }
                }
                b'\r' => {
                    self.returned = true;
                    rest = tail;
                }
                byte if !self.mark.is_empty() && self.is_mark(*byte) => rest = tail,
                byte => rest = self.within(*byte, rest, tail, content),
            }
        }
        None
    }

    /// Whether a byte belongs to the mark at the beginning of the stream.
    fn is_mark(&mut self, byte: u8) -> bool {
        let (first, others) = self.mark.split_first().unwrap_or((&0, &[]));
        if byte == *first {
            self.mark = others;
            return true;
        }
        // The part of a mark that was passed over is the beginning of a name that nobody knows.
        if self.mark.len() < BYTE_ORDER_MARK.len() {
            self.name.push(b'\xef');
        }
        self.mark = &[];
        false
    }

    /// Bytes inside a line, of which `byte` is the first. Gives back those after what was understood.
    fn within<'b>(&mut self, byte: u8, bytes: &'b [u8], tail: &'b [u8], content: &mut impl Content) -> &'b [u8] {
        match &mut self.place {
            Inside::Name if byte == b':' && self.name.length == 0 => self.place = Inside::Comment,
            Inside::Name if byte == b':' => self.value(content),
            Inside::Name => self.name.push(byte),
            Inside::Value { is_first: first @ true, .. } => {
                *first = false;
                return if byte == b' ' { tail } else { bytes };
            }
            Inside::Value { field: Field::Other, .. } | Inside::Comment => {
                content.passed_over(bytes.len());
                return run(bytes).1;
            }
            Inside::Value { field, .. } => {
                let (run, rest) = run(bytes);
                if *field == Field::Data {
                    content.data(run, rest.len());
                } else {
                    content.name(run);
                }
                return rest;
            }
        }
        tail
    }

    /// The name of a field is over.
    fn value(&mut self, content: &mut impl Content) {
        let field = self.name.field();
        if field == Field::Data && std::mem::replace(&mut self.has_data, true) {
            content.data(b"\n", 0);
        }
        if field == Field::Event {
            content.begin_name();
        }
        self.place = Inside::Value { field, is_first: true };
    }

    /// A line has ended; whether an event has.
    fn line(&mut self, content: &mut impl Content) -> bool {
        let is_blank = self.place == Inside::Name && self.name.length == 0;
        if self.place == Inside::Name && !is_blank {
            self.value(content);
        }
        self.says |= !is_blank && self.place != Inside::Comment;
        (self.place, self.name.length, self.mark) = (Inside::Name, 0, &[]);
        let is_over = is_blank && std::mem::take(&mut self.says);
        if is_over {
            self.has_data = false;
        }
        is_over
    }
}

/// Bytes up to the end of a line, and the others.
fn run(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len());
    bytes.split_at_checked(length).unwrap_or((bytes, &[]))
}

/// Reads the events of a stream of A2A.
#[derive(Debug)]
pub struct EventReader {
    lines: Lines,
    data: Data,
    /// Whether the next byte begins an event.
    is_over: bool,
    /// Whether the last event said what the one before had said.
    is_alike: bool,
}

/// What was read of an event.
#[derive(Debug)]
struct Data {
    answer: AnswerReader,
    is_empty: bool,
    fault: Option<Fault>,
    name: Name,
    /// The event as it came.
    pattern: Pattern,
}

/// An event that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// What its data says. `None` without data, or with data that is no JSON.
    pub answer: Option<&'a Answer>,
    /// Whether it has data.
    pub has_data: bool,
    /// Whether its name says that it is an error.
    pub is_error: bool,
}

impl EventReader {
    /// For a stream whose events are answers such as this reader reads.
    #[must_use]
    pub fn new(answer: AnswerReader) -> Self {
        let data = Data { answer, is_empty: true, fault: None, name: Name::default(), pattern: Pattern::default() };
        Self { lines: Lines::default(), data, is_over: true, is_alike: false }
    }

    /// The number of bytes up to the end of an event; `None` when it does not end in them. Then [`EventReader::event`]
    /// says what it was, until the bytes after the end are passed to the next call.
    pub fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.is_empty() {
            return None;
        }
        self.is_alike = false;
        if std::mem::take(&mut self.is_over) {
            if let Some(end) = self.data.pattern.end_of_alike(bytes) {
                // Everything is as it was when the last event ended.
                (self.is_over, self.is_alike) = (true, true);
                return Some(end);
            }
            self.data.restart();
            self.data.pattern.begin(bytes.len());
        } else {
            self.data.pattern.give_up();
        }
        let end = self.lines.scan(bytes, &mut self.data)?;
        self.is_over = true;
        self.data.finish();
        if self.data.fault.is_none() {
            self.data.pattern.settle(bytes.get(..end).unwrap_or_default());
        }
        Some(end)
    }

    /// The stream is over; whether that ended an event: a carriage return at its end needs no line feed.
    pub fn finish(&mut self) -> bool {
        let has_ended = std::mem::take(&mut self.lines.returned) && self.lines.line(&mut self.data);
        if has_ended {
            self.data.finish();
        }
        has_ended
    }

    /// The event that ended last.
    #[must_use]
    pub fn event(&self) -> Event<'_> {
        let has_data = !self.data.is_empty;
        let is_read = has_data && self.data.fault.is_none();
        Event {
            answer: is_read.then(|| self.data.answer.so_far()),
            has_data,
            is_error: self.data.name.bytes.get(..self.data.name.length) == Some(b"error"),
        }
    }

    /// Whether the event that ended last says nothing but what the one before it said.
    #[must_use]
    pub const fn is_alike(&self) -> bool {
        self.is_alike
    }

    /// Whether nothing of an event has come since the last one ended: the stream may end here, or something be put in.
    #[must_use]
    pub fn is_between(&self) -> bool {
        self.lines.is_between()
    }
}

impl Data {
    fn restart(&mut self) {
        self.answer.restart();
        (self.is_empty, self.fault, self.name.length) = (true, None, 0);
    }

    fn finish(&mut self) {
        if let Err(fault) = self.answer.finish() {
            self.fault = self.fault.or(Some(fault));
        }
    }
}

impl Content for Data {
    fn data(&mut self, bytes: &[u8], left: usize) {
        self.is_empty = false;
        if self.fault.is_some() {
            return;
        }
        let fed = if self.pattern.is_begun() {
            self.answer.feed_and_tell(bytes, |kind, before| self.pattern.note(Gap::Value(kind), left + before))
        } else {
            self.answer.feed(bytes)
        };
        self.fault = fed.err();
    }

    fn passed_over(&mut self, left: usize) {
        self.pattern.note(Gap::Line, left);
    }

    fn begin_name(&mut self) {
        self.name.length = 0;
    }

    fn name(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.name.push(*byte));
    }
}

#[cfg(test)]
mod tests;
