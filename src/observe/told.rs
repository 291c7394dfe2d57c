//! What has been said already, so that a warning about the same thing is not repeated with every request.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Hashes of what was told last. Takes no room until something is told.
#[derive(Debug, Default)]
pub struct Told {
    last: OnceLock<Box<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    hashes: [AtomicU64; KEPT],
    next: AtomicUsize,
}

impl Told {
    /// Whether this has not been told yet; from now on it has. Two threads may both be the first.
    pub fn is_new(&self, hash: u64) -> bool {
        let last = self.last.get_or_init(Box::default);
        // Zero stands for an empty place.
        let hash = hash.max(1);
        if last.hashes.iter().any(|kept| kept.load(Relaxed) == hash) {
            return false;
        }
        let at = last.next.fetch_add(1, Relaxed) % KEPT;
        if let Some(place) = last.hashes.get(at) {
            place.store(hash, Relaxed);
        }
        true
    }
}

/// Things remembered. More of them take turns, and are told again.
const KEPT: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_told_once() {
        let told = Told::default();
        let said: Vec<_> = [7, 7, 0, 1, 7].into_iter().map(|hash| told.is_new(hash)).collect();
        assert_eq!(said, [true, false, true, false, false]);
        assert!((100..100 + KEPT as u64).all(|hash| told.is_new(hash)));
        assert!(told.is_new(7), "more than is remembered has been told since");
    }

    #[test]
    fn a_route_without_warnings_pays_a_pointer() {
        assert!(size_of::<Told>() <= 16);
    }
}
