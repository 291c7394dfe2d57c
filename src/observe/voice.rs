//! Lines on standard error that do not depend on the log level: the start-up summary, diagnostics, panics. As plain
//! text for people, or as JSON objects that look like events of the log.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::Write as _;
use std::panic::{self, PanicHookInfo};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tracing_subscriber::fmt::MakeWriter as _;

use super::clock::Clock;
use super::harmless::Harmless;
use super::stderr::Stderr;

/// The severity of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something may not be as it should.
    Warn,
    /// All is well.
    Info,
}

/// A writer of such lines.
#[derive(Clone, Debug)]
pub struct Voice {
    stderr: Stderr,
    text: bool,
}

impl Voice {
    /// One that says them on `stderr`: as `text`, or as JSON.
    #[must_use]
    pub fn new(stderr: Stderr, text: bool) -> Self {
        Self { stderr, text }
    }

    /// Speaks to people from now on, or to machines.
    pub fn set_text(&mut self, text: bool) {
        self.text = text;
    }

    /// Whether it speaks to people.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.text
    }

    /// Text of one or more lines, for people.
    pub fn text(&self, text: impl fmt::Display) {
        self.stderr.write(format!("{text}\n"));
    }

    /// An object in a line, for machines. `facts` go beside the message.
    pub fn object(&self, level: Level, message: impl Into<String>, facts: Map<String, Value>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let mut clock = Clock::default();
        let stamp = clock.stamp(now.unwrap_or_default());
        let line = line(&String::from_utf8_lossy(stamp), level, message.into(), facts);
        self.harmless(format_args!("{line}\n"));
    }

    /// Writes text that may contain input from outside, escaped.
    fn harmless(&self, text: fmt::Arguments<'_>) {
        // The queue takes everything.
        Harmless(self.stderr.make_writer()).write_all(text.to_string().as_bytes()).ok();
    }

    /// Reports panics of all threads here from now on. The default hook prints them and waits for the reader.
    pub fn tell_panics(&self) {
        let voice = self.clone();
        panic::set_hook(Box::new(move |panic| voice.panic(panic)));
    }

    fn panic(&self, panic: &PanicHookInfo<'_>) {
        let said = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string);
        let thread = thread::current();
        let mut facts = Map::new();
        let mut fact = |name: &str, value: String| {
            facts.insert(name.to_owned(), Value::String(value));
        };
        fact("error", said.to_owned());
        fact("thread", thread.name().unwrap_or("unnamed").to_owned());
        fact("place", place.unwrap_or_default());
        // Nothing unless RUST_BACKTRACE asks for it.
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            fact("backtrace", trace.to_string());
        }
        if self.text {
            let facts = facts.iter();
            let facts = facts.map(|(name, value)| format!(" {name}={}", value.as_str().unwrap_or_default()));
            self.harmless(format_args!("ERROR attache: panic{}\n", facts.collect::<String>()));
        } else {
            self.object(Level::Error, "panic", facts);
        }
    }
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
        }
    }
}

/// The fields in the order and by the names of the log's events.
fn line(stamp: &str, level: Level, message: String, facts: Map<String, Value>) -> String {
    let mut fields = Map::new();
    let mut field = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    field("timestamp", stamp.into());
    field("level", level.word().into());
    field("message", message.into());
    field("target", "attache".into());
    for (name, value) in facts {
        fields.entry(name).or_insert(value);
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_one_object_with_its_facts() {
        let facts = json!({ "next": "a\nb", "level": "not this" });
        let facts = facts.as_object().unwrap().clone();
        let said = line("1970-01-01T00:00:00.000Z", Level::Warn, "so \"it\" is".to_owned(), facts);
        assert!(!said.contains('\n'), "{said}");
        let read: Value = serde_json::from_str(&said).unwrap();
        let expected = json!({
            "timestamp": "1970-01-01T00:00:00.000Z",
            "level": "WARN",
            "message": "so \"it\" is",
            "next": "a\nb",
            "target": "attache",
        });
        assert_eq!(read, expected);
    }
}
