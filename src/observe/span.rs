//! Spans: what happened to a request or to one of its tries, as a tracing system keeps it. They know nothing of how
//! they are exported.

use std::borrow::Cow;
use std::time::Duration;

use super::short::{PATH, short};
use super::trace::{SpanId, TraceContext};

/// One span, over.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its place in its trace.
    pub context: TraceContext,
    /// The span it belongs to.
    pub parent: Option<SpanId>,
    /// Whether that is the span of a caller.
    pub is_parent_remote: bool,
    /// The caller's `tracestate`.
    pub trace_state: Option<Box<str>>,
    /// What it is called, of few words.
    pub name: Cow<'static, str>,
    /// Whose side it tells of.
    pub side: Side,
    /// When it began, since the Unix epoch.
    pub began: Duration,
    /// When it ended, since the Unix epoch.
    pub ended: Duration,
    /// What is known of it.
    pub attributes: Attributes,
    /// What happened meanwhile.
    pub events: Vec<Event>,
    /// Why it counts as failed.
    pub failure: Option<Cow<'static, str>>,
}

/// Whose side a span tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The request was served.
    Server,
    /// It was asked of somebody else.
    Client,
}

/// Something that happened during a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What.
    pub name: &'static str,
    /// When, since the Unix epoch.
    pub at: Duration,
    /// More about it.
    pub attributes: Attributes,
}

/// Names and values, each name once. What waits to be exported must not be as long as a client likes: of a long text
/// the first 512 bytes are kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attributes(Vec<(&'static str, Value)>);

/// Value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
    /// A truth.
    Truth(bool),
}

impl Attributes {
    /// Adds a value.
    pub fn add(&mut self, name: &'static str, value: impl Into<Value>) {
        self.0.push((name, value.into().bounded()));
    }

    /// Adds a value, if there is one.
    pub fn add_some(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter()
    }
}

impl Value {
    fn bounded(self) -> Self {
        match self {
            Self::Text(Cow::Owned(text)) if text.len() > PATH => short(&text, PATH).to_owned().into(),
            other => other,
        }
    }
}

impl<const N: usize> From<[(&'static str, Value); N]> for Attributes {
    fn from(pairs: [(&'static str, Value); N]) -> Self {
        Self(pairs.map(|(name, value)| (name, value.bounded())).into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Cow<'static, str>> for Value {
    fn from(text: Cow<'static, str>) -> Self {
        Self::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_in_bounded_length() {
        let text = |length: usize| Value::from("x".repeat(length));
        let mut attributes = Attributes::from([("first", text(PATH + 1))]);
        attributes.add("whole", text(PATH));
        attributes.add_some("cut", Some("\u{e4}".repeat(PATH)));
        let kept: Vec<_> = attributes.iter().cloned().collect();
        assert_eq!(kept, [("first", text(PATH)), ("whole", text(PATH)), ("cut", "\u{e4}".repeat(PATH / 2).into())]);
    }
}
