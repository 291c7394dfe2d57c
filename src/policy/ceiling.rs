//! A counter with a limit, shared by all workers. The caller knows the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// How many are under way.
#[derive(Debug, Default)]
pub struct Ceiling {
    active: AtomicUsize,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub struct CeilingPermit(Arc<Ceiling>);

impl Ceiling {
    /// Takes a place while fewer than `max` are taken.
    #[must_use]
    pub fn enter(self: &Arc<Self>, max: usize) -> Option<CeilingPermit> {
        // Relaxed: the count guards itself and orders nothing else.
        let taken = self.active.fetch_update(Relaxed, Relaxed, |active| (active < max).then_some(active + 1));
        taken.is_ok().then(|| CeilingPermit(Arc::clone(self)))
    }
}

impl Drop for CeilingPermit {
    fn drop(&mut self) {
        let _before = self.0.active.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let ceiling = Arc::new(Ceiling::default());
        let first = ceiling.enter(2);
        let second = ceiling.enter(2);
        assert!(first.is_some() && second.is_some());
        assert!(ceiling.enter(2).is_none());
        drop(first);
        assert!(ceiling.enter(1).is_none(), "a reload lowered it");
        assert!(ceiling.enter(2).is_some());
    }

    #[test]
    fn no_more_than_allowed_whatever_the_threads() {
        let ceiling = Arc::new(Ceiling::default());
        let most = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if let Some(_place) = ceiling.enter(3) {
                            most.fetch_max(ceiling.active.load(Relaxed), Relaxed);
                        }
                    }
                });
            }
        });
        assert!(most.load(Relaxed) <= 3);
        assert_eq!(ceiling.active.load(Relaxed), 0);
    }
}
