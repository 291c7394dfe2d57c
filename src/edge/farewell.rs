//! Tells streams that their time is over before their connections are cut: those that can, say so to their clients.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

/// Where one stream learns that its time is over.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    is_due: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Farewell {
    /// Whether its time is over; else its task is woken when it is.
    pub(super) fn poll_due(&self, cx: &Context<'_>) -> bool {
        if !self.is_due.get() {
            let mut waker = self.waker.borrow_mut();
            match &mut *waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => *waker = Some(cx.waker().clone()),
            }
        }
        self.is_due.get()
    }
}

/// The streams of one worker that have something to say at their end.
#[derive(Debug, Default)]
pub(super) struct Farewells {
    open: RefCell<Vec<Weak<Farewell>>>,
    /// Length at which those that are gone are forgotten.
    tidy_at: Cell<usize>,
    /// Streams that have ended because they were told to.
    ended: Cell<usize>,
}

impl Farewells {
    /// A place for another stream.
    pub(super) fn enter(&self) -> Rc<Farewell> {
        let (farewell, mut open) = (Rc::new(Farewell::default()), self.open.borrow_mut());
        if open.len() >= self.tidy_at.get() {
            open.retain(|farewell| farewell.strong_count() > 0);
            self.tidy_at.set(open.len() * 2 + 8);
        }
        open.push(Rc::downgrade(&farewell));
        farewell
    }

    /// Tells them all; how many there are.
    pub(super) fn tell(&self) -> usize {
        let open: Vec<_> = self.open.take().iter().filter_map(Weak::upgrade).collect();
        self.tidy_at.set(0);
        for farewell in &open {
            farewell.is_due.set(true);
            if let Some(waker) = farewell.waker.take() {
                waker.wake();
            }
        }
        open.len()
    }

    /// A stream has ended for that reason.
    pub(super) fn note_end(&self) {
        self.ended.set(self.ended.get() + 1);
    }

    /// How many have since the last time.
    pub(super) fn take_ended(&self) -> usize {
        self.ended.take()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn streams_are_woken_once_and_told() {
        let (farewells, count) = (Farewells::default(), Arc::new(Count::default()));
        let waker = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&waker);
        let (first, second, gone) = (farewells.enter(), farewells.enter(), farewells.enter());
        drop(gone);
        assert!(!first.poll_due(&cx) && !second.poll_due(&cx));
        assert_eq!(farewells.tell(), 2);
        assert_eq!(count.0.load(SeqCst), 2);
        assert!(first.poll_due(&cx) && second.poll_due(&cx));
        assert_eq!(farewells.tell(), 0, "they know");
        farewells.note_end();
        assert_eq!((farewells.take_ended(), farewells.take_ended()), (1, 0));
    }

    #[test]
    fn streams_that_are_gone_are_forgotten() {
        let farewells = Farewells::default();
        for _ in 0..1000 {
            drop(farewells.enter());
        }
        assert!(farewells.open.borrow().len() <= 8);
    }
}
