//! The memory for answers that are kept, counted in bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What the answers of one route take together.
#[derive(Debug, Default)]
pub struct AnswerRoom {
    taken: Arc<AtomicUsize>,
}

/// The place of one answer, until it is dropped.
#[derive(Debug)]
pub(super) struct AnswerPlace {
    taken: Arc<AtomicUsize>,
    bytes: usize,
}

impl AnswerRoom {
    /// A place of so many bytes, while there is room for it.
    pub(super) fn take(&self, bytes: usize) -> Option<AnswerPlace> {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|sum| *sum <= MAX_BYTES);
        self.taken.fetch_update(Relaxed, Relaxed, fits).ok()?;
        Some(AnswerPlace { taken: Arc::clone(&self.taken), bytes })
    }

    /// Bytes that are taken.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }
}

impl Drop for AnswerPlace {
    fn drop(&mut self) {
        self.taken.fetch_sub(self.bytes, Relaxed);
    }
}

/// Bytes of all answers of a route.
const MAX_BYTES: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_bytes_than_there_may_be() {
        let room = AnswerRoom::default();
        let places: Vec<_> = (0..100).filter_map(|_| room.take(1 << 20)).collect();
        assert_eq!((places.len(), room.taken()), (16, MAX_BYTES));
        drop(places);
        assert!(room.take(MAX_BYTES).is_some() && room.take(MAX_BYTES + 1).is_none());
        assert_eq!(room.taken(), 0);
    }
}
