//! hyper's server has its connection woken whenever a piece of a request's body is taken, also when that was the last
//! piece and nothing is left to read. Polling a connection in vain costs as much as finding a route. So the wake-ups of
//! a connection are held while a piece is taken, and the one that comes of the last piece is dropped.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The waker of one HTTP/1 connection.
#[derive(Debug)]
pub struct HeldWakes {
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    /// Zero where wake-ups pass; else one, and one more for each that was held.
    held: AtomicUsize,
    task: Mutex<Option<Waker>>,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let count = |held: usize| if held == 0 { None } else { held.checked_add(1) };
        if self.held.fetch_update(AcqRel, Acquire, count).is_err() {
            self.pass();
        }
    }
}

impl State {
    fn pass(&self) {
        if let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            task.wake_by_ref();
        }
    }
}

impl Default for HeldWakes {
    fn default() -> Self {
        let state = Arc::<State>::default();
        Self { waker: Waker::from(Arc::clone(&state)), state }
    }
}

impl HeldWakes {
    /// Polls the connection with this waker.
    pub fn poll<T>(&self, cx: &Context<'_>, connection: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        let mut task = self.state.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        drop(task);
        connection(&mut Context::from_waker(&self.waker))
    }

    /// Takes a piece of a body, and is told whether it was the last. Wake-ups from elsewhere are late, not lost.
    pub fn taking<T>(&self, take: impl FnOnce() -> (T, bool)) -> T {
        self.state.held.store(1, Release);
        let (piece, is_last) = take();
        let came = self.state.held.swap(0, AcqRel).saturating_sub(1);
        if came > usize::from(is_last) {
            self.state.pass();
        }
        piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, AcqRel);
        }
    }

    #[test]
    fn only_the_wake_up_of_a_last_piece_is_dropped() {
        let (wakes, count) = (HeldWakes::default(), Arc::new(Count::default()));
        let task = Waker::from(Arc::clone(&count));
        let cx = Context::from_waker(&task);
        let polled = wakes.poll(&cx, |cx| Poll::Ready(cx.waker().clone()));
        let Poll::Ready(waker) = polled else { panic!("it is ready") };
        for (came, is_last, expected) in
            [(0, false, 0), (0, true, 0), (1, false, 1), (1, true, 0), (2, false, 1), (2, true, 1), (3, true, 1)]
        {
            let before = count.0.load(Acquire);
            wakes.taking(|| {
                (0..came).for_each(|_| waker.wake_by_ref());
                assert_eq!(count.0.load(Acquire), before, "held");
                ((), is_last)
            });
            assert_eq!(count.0.load(Acquire) - before, expected, "{came} wake-ups, last: {is_last}");
            waker.wake_by_ref();
            assert_eq!(count.0.load(Acquire) - before, expected + 1, "others pass");
        }
    }
}
