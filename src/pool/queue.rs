//! A queue for permits that are all taken: how many requests may wait, for how long, and in which order. It knows
//! nothing of the permits: a waiting request tries again whenever one was given back.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, timeout_at};

use crate::bounded::{Count, Waiters};

/// The bound on all requests that wait for permits of one cluster, of any kind. Shared by all workers.
#[derive(Debug)]
pub struct Queue {
    limit: usize,
    patience: Duration,
    waiting: Arc<Count>,
    listening: Arc<Count>,
    changed: Notify,
}

/// Requests that wait for the same kind of permit, first come first served.
#[derive(Debug, Default)]
pub struct Line {
    length: Arc<Count>,
    /// The first request holds this lock, and only it tries. Tokio hands the lock on in the order of arrival.
    turn: Mutex<()>,
}

impl Queue {
    /// Room for `limit` to wait, each for `patience`.
    #[must_use]
    pub fn new(limit: usize, patience: Duration) -> Self {
        Self { limit, patience, waiting: Arc::default(), listening: Arc::default(), changed: Notify::new() }
    }

    /// Until when a request that began at `begun` waits.
    #[must_use]
    pub fn deadline(&self, begun: Instant) -> Instant {
        begun + self.patience
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.taken()
    }

    /// How many wait, and how many may.
    #[must_use]
    pub fn fill(&self) -> (usize, usize) {
        (self.waiting(), self.limit)
    }

    /// Whether one more may wait.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting() < self.limit
    }

    /// A permit was given back. Costs one load when no request waits.
    pub fn ring(&self) {
        // A waiter registers and then looks for a permit; a releaser returns the permit and then looks for waiters. The
        // counts are sequentially consistent, so one of the two sees the other.
        if self.listening.taken() > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits in `line` until `attempt` comes to something. `None` when there is no room to wait, or `deadline` has
    /// come. Dropped, it leaves the line.
    pub async fn wait<T>(&self, line: &Line, deadline: Instant, attempt: impl FnMut() -> Option<T>) -> Option<T> {
        let _place = self.waiting.enter(self.limit)?;
        let _in_line = line.length.add();
        let found = async {
            let _turn = line.turn.lock().await;
            self.listen(attempt).await
        };
        timeout_at(deadline, found).await.ok()
    }

    /// Tries until `attempt` comes to something, now and whenever something was given back. Out of any line and any
    /// bound: the caller has both.
    pub async fn listen<T>(&self, mut attempt: impl FnMut() -> Option<T>) -> T {
        let _listening = self.listening.add();
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = attempt() {
                return found;
            }
            changed.await;
        }
    }
}

impl Line {
    /// Whether no request waits here; otherwise a new request would get ahead of the waiting ones.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length.taken() == 0
    }
}

/// A waiting request looks again when a permit is given back.
impl Waiters for Arc<Queue> {
    fn wake(&self) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::rc::Rc;
    use std::task::Poll;

    use futures_util::future::join_all;
    use futures_util::poll;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_beyond_the_bound_or_the_deadline() {
        let queue = Queue::new(2, Duration::from_millis(100));
        let line = Line::default();
        let begun = Instant::now();
        let wait = || queue.wait(&line, queue.deadline(begun), || None::<()>);
        let (mut one, mut two) = (Box::pin(wait()), Box::pin(wait()));
        assert!(poll!(one.as_mut()).is_pending());
        assert!(poll!(two.as_mut()).is_pending());
        assert_eq!((queue.waiting(), queue.has_room()), (2, false));
        assert_eq!(poll!(Box::pin(wait())), Poll::Ready(None), "no room: at once");
        assert_eq!((one.await, two.await), (None, None));
        assert_eq!(begun.elapsed(), Duration::from_millis(100));
        assert!(line.is_empty() && queue.waiting() == 0);
    }

    #[tokio::test(start_paused = true)]
    async fn first_come_is_first_served() {
        let queue = Queue::new(100, LONG);
        let (line, free) = (Line::default(), Cell::new(0_u32));
        let served = Rc::new(RefCell::new(Vec::new()));
        let take = || {
            let left = free.get().checked_sub(1)?;
            free.set(left);
            Some(())
        };
        let waiters = (0..20).map(|number| {
            let (served, queue, line) = (Rc::clone(&served), &queue, &line);
            async move {
                let found = queue.wait(line, queue.deadline(Instant::now()), take).await;
                found.expect("it is served");
                served.borrow_mut().push(number);
            }
        });
        let give = async {
            for count in [1, 2, 7, 10] {
                tokio::task::yield_now().await;
                free.set(free.get() + count);
                queue.ring();
            }
        };
        tokio::join!(join_all(waiters), give);
        assert_eq!(*served.borrow(), (0..20).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_leaves_does_not_hold_the_others_up() {
        let queue = Queue::new(3, LONG);
        let (line, free) = (Line::default(), Cell::new(false));
        let deadline = Instant::now() + LONG;
        let wait = || queue.wait(&line, deadline, || free.get().then_some(()));
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(wait())).collect();
        for one in &mut waiting {
            assert!(poll!(one.as_mut()).is_pending());
        }
        drop(waiting.remove(0));
        drop(waiting.remove(0));
        assert_eq!(queue.waiting(), 1);
        free.set(true);
        assert_eq!(waiting.remove(0).await, Some(()));
        assert!(line.is_empty());
    }
}
