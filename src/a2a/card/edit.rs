//! Changes of a text at places that are slices of it. All other bytes stay.

use super::scan::{Interface, Member};

/// Changes to come.
#[derive(Debug)]
pub(super) struct Edits<'c> {
    text: &'c [u8],
    /// From, to, and what stands there then.
    changes: Vec<(usize, usize, String)>,
}

/// A part of a list whose parts are divided by commas.
pub(super) trait Item {
    /// Where it begins, and where it ends.
    fn bounds(&self) -> (&str, &str);
}

impl Item for Interface<'_> {
    fn bounds(&self) -> (&str, &str) {
        (self.text, self.text)
    }
}

impl Item for Member<'_> {
    fn bounds(&self) -> (&str, &str) {
        (self.key, self.value)
    }
}

impl<'c> Edits<'c> {
    pub(super) fn of(text: &'c [u8]) -> Self {
        Self { text, changes: Vec::new() }
    }

    pub(super) fn are_none(&self) -> bool {
        self.changes.is_empty()
    }

    /// Puts the JSON string `new` in the place of `old`.
    pub(super) fn replace(&mut self, old: &str, new: &str) {
        let (from, to) = (self.start(old), self.end(old));
        self.changes.push((from, to, serde_json::Value::from(new).to_string()));
    }

    /// Adds a member at the end of an object.
    pub(super) fn add_member(&mut self, object: &str, member: &str) {
        let at = self.end(object).saturating_sub(1);
        let inner = object.trim_start_matches('{').trim_end_matches('}').trim();
        let comma = if inner.is_empty() { "" } else { "," };
        self.changes.push((at, at, format!("{comma}{member}")));
    }

    /// Takes items out, each with one of the commas beside it.
    pub(super) fn drop_items<I: Item>(&mut self, items: &[I], mut is_dropped: impl FnMut(&I) -> bool) {
        let (mut leading, mut kept_end) = (None, None);
        for item in items {
            let (begin, end) = item.bounds();
            let (begin, end) = (self.start(begin), self.end(end));
            if is_dropped(item) {
                match kept_end {
                    // With all that stands between it and the last one that stays.
                    Some(kept_end) => self.cut(kept_end, end),
                    None => leading = leading.or(Some(begin)),
                }
                continue;
            }
            if let (None, Some(first)) = (kept_end, leading) {
                self.cut(first, begin);
            }
            kept_end = Some(end);
        }
        if let (None, Some(first), Some(last)) = (kept_end, leading, items.last()) {
            self.cut(first, self.end(last.bounds().1));
        }
    }

    fn cut(&mut self, from: usize, to: usize) {
        self.changes.push((from, to, String::new()));
    }

    /// The text after all changes. Changes inside what is taken out do not matter.
    pub(super) fn applied(mut self) -> Vec<u8> {
        self.changes.sort_by_key(|(from, to, _)| (*from, std::cmp::Reverse(*to)));
        let mut result = Vec::with_capacity(self.text.len() + ROOM);
        let mut done = 0;
        for (from, to, new) in &self.changes {
            if *from < done {
                continue;
            }
            result.extend_from_slice(self.text.get(done..*from).unwrap_or_default());
            result.extend_from_slice(new.as_bytes());
            done = *to;
        }
        result.extend_from_slice(self.text.get(done..).unwrap_or_default());
        result
    }

    /// Where a slice of the text begins.
    fn start(&self, slice: &str) -> usize {
        slice.as_ptr().addr().saturating_sub(self.text.as_ptr().addr())
    }

    fn end(&self, slice: &str) -> usize {
        self.start(slice) + slice.len()
    }
}

/// For URLs that become longer.
const ROOM: usize = 256;
