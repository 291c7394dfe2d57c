//! A counter over all workers with a limit that it never exceeds. A holder of a [`Permit`] counts until the permit is
//! dropped. Every ceiling of the gateway is made of this; it knows nothing of the things it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::Notify;

/// A count. The limit is the caller's, so that a reload can change it while permits are out.
#[derive(Debug, Default)]
pub struct Count<W = ()> {
    // Sequentially consistent throughout: a waiter registers and then looks at the count; a releaser lowers the count
    // and then looks for waiters. One of the two sees the other.
    taken: AtomicUsize,
    waiters: W,
}

/// The waiters for a permit. Woken after each permit that is given back.
pub trait Waiters {
    /// A place was given back.
    fn wake(&self);
}

/// Nobody waits.
impl Waiters for () {
    #[inline]
    fn wake(&self) {}
}

impl Waiters for Notify {
    fn wake(&self) {
        self.notify_waiters();
    }
}

impl<W: Waiters> Count<W> {
    /// A count of nothing.
    #[must_use]
    pub fn new(waiters: W) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), waiters })
    }

    /// How many there are.
    #[must_use]
    #[inline]
    pub fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    /// One more.
    #[must_use]
    pub fn add(self: &Arc<Self>) -> Permit<W> {
        self.taken.fetch_add(1, SeqCst);
        Permit(Arc::clone(self))
    }

    /// One more, while there are fewer than `limit`.
    #[must_use]
    pub fn enter(self: &Arc<Self>, limit: usize) -> Option<Permit<W>> {
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < limit).then_some(taken + 1)).ok()?;
        Some(Permit(Arc::clone(self)))
    }

    /// The waiters for a permit.
    #[must_use]
    pub fn waiters(&self) -> &W {
        &self.waiters
    }
}

/// One of those that are counted, until it is dropped.
#[derive(Debug)]
pub struct Permit<W: Waiters = ()>(Arc<Count<W>>);

impl<W: Waiters> Drop for Permit<W> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, SeqCst);
        self.0.waiters.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, OnceLock, Weak};

    use super::*;

    #[test]
    fn places_are_taken_and_given_back() {
        let count = Arc::new(Count::<()>::default());
        let first = count.enter(2);
        let second = count.enter(2);
        assert!(first.is_some() && second.is_some());
        assert!(count.enter(2).is_none());
        drop(first);
        assert!(count.enter(1).is_none(), "a reload lowered it");
        assert!(count.enter(2).is_some());
        let beyond = [count.add(), count.add()];
        assert_eq!(count.taken(), 3, "what has no limit is counted all the same");
        assert!(count.enter(3).is_none());
        drop((second, beyond));
        assert_eq!(count.taken(), 0);
        assert!(count.enter(0).is_none());
    }

    #[test]
    fn no_more_than_allowed_whatever_the_threads() {
        let count = Count::new(());
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        if let Some(_permit) = count.enter(3) {
                            most.fetch_max(count.taken(), SeqCst);
                        }
                    }
                });
            }
        });
        assert!(most.load(SeqCst) <= 3);
        assert_eq!(count.taken(), 0);
    }

    #[test]
    fn who_waits_is_told_when_the_place_is_free() {
        /// What was taken at the time of each wake-up.
        #[derive(Default)]
        struct Seen {
            taken: Mutex<Vec<usize>>,
            count: OnceLock<Weak<Count<Arc<Self>>>>,
        }
        impl Waiters for Arc<Seen> {
            fn wake(&self) {
                let count = self.count.get().and_then(Weak::upgrade);
                self.taken.lock().unwrap().push(count.map_or(usize::MAX, |count| count.taken()));
            }
        }
        let seen = Arc::<Seen>::default();
        let count = Count::new(Arc::clone(&seen));
        seen.count.set(Arc::downgrade(&count)).unwrap();
        let (one, two) = (count.add(), count.enter(2).unwrap());
        drop(one);
        drop(two);
        assert_eq!(*seen.taken.lock().unwrap(), [1, 0]);
    }
}
