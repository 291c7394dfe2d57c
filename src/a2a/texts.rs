//! Short texts in one allocation: a call has half a dozen ids, and each would otherwise have memory of its own.

use std::num::NonZeroU16;

/// The texts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Texts(String);

/// Where one of them lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u16,
    /// One more than the end, so that no span is all zeros.
    after: NonZeroU16,
}

/// Room for the ids of an ordinary call.
const FIRST: usize = 192;

impl Texts {
    /// Keeps a text, given in parts. `None` when there is no room; callers keep far less.
    pub(super) fn push(&mut self, parts: &[&str]) -> Option<Span> {
        let before = self.0.len();
        let start = u16::try_from(before).ok()?;
        if self.0.capacity() == 0 {
            self.0.reserve(FIRST);
        }
        for part in parts {
            self.0.push_str(part);
        }
        let after = u16::try_from(self.0.len() + 1).ok().and_then(NonZeroU16::new);
        if after.is_none() {
            self.0.truncate(before);
        }
        Some(Span { start, after: after? })
    }

    /// Forgets all of them and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// One of the texts.
    pub(super) fn get(&self, span: Span) -> Option<&str> {
        self.0.get(usize::from(span.start)..usize::from(span.after.get() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_until_there_is_no_room() {
        let mut texts = Texts::default();
        let first = texts.push(&["\"", "a", "\""]).unwrap();
        let second = texts.push(&["ü"]).unwrap();
        assert_eq!((texts.get(first), texts.get(second)), (Some("\"a\""), Some("ü")));
        assert_eq!(texts.push(&[&"x".repeat(usize::from(u16::MAX))]), None);
        assert_eq!(texts.get(second), Some("ü"));
        texts.clear();
        assert_eq!(texts.get(second), None);
    }
}
