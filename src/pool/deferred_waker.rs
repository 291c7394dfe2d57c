//! An upstream connection is polled by the task that uses it, and its halves (the driver, the response, the body) wake
//! each other all the time. Those wake-ups come while the task is polling them anyway and would only have it polled
//! once more, so the connection's waker holds them back until the task goes to sleep.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The waker of one connection. Closed, except while its task sleeps.
#[derive(Debug)]
pub(super) struct DeferredWaker {
    state: Arc<State>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct State {
    // Relaxed: the connection and its socket live on one thread, these only have to be Sync.
    open: AtomicBool,
    woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl Wake for State {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Relaxed);
        if self.open.load(Relaxed)
            && let Some(task) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner)
        {
            task.wake_by_ref();
        }
    }
}

impl DeferredWaker {
    pub(super) fn new() -> Self {
        let state = Arc::new(State::default());
        Self { waker: Waker::from(Arc::clone(&state)), state }
    }

    /// Polls the parts of the connection with the gate closed. When they are pending, the gate opens, and the task is
    /// woken at once if they asked for it after the last [`DeferredWakes::heard`]. A task that was woken by something
    /// else has nothing to do here: hyper's server polls its service several times in a row.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        parts: impl FnOnce(&mut Context<'_>, &DeferredWakes<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if self.state.open.load(Relaxed) && !self.state.woken.load(Relaxed) {
            self.remember(cx);
            return Poll::Pending;
        }
        self.state.open.store(false, Relaxed);
        self.state.woken.store(false, Relaxed);
        let polled = parts(&mut Context::from_waker(&self.waker), &DeferredWakes(&self.state));
        if polled.is_pending() {
            self.sleep(cx);
        }
        polled
    }

    /// A waker of its own for the socket, which wakes the same task.
    pub(super) fn arrivals(&self) -> Arrivals {
        let socket = Arc::new(Socket { arrived: AtomicBool::new(true), connection: Arc::clone(&self.state) });
        Arrivals { waker: Waker::from(Arc::clone(&socket)), socket, waits: Cell::new(false) }
    }

    /// A context for polling a connection that is not in use.
    pub(super) fn quietly<T>(&self, look: impl FnOnce(&mut Context<'_>) -> T) -> T {
        self.state.open.store(false, Relaxed);
        self.state.woken.store(false, Relaxed);
        look(&mut Context::from_waker(&self.waker))
    }

    /// The connection is not in use any more: its last user is neither woken nor kept in memory.
    pub(super) fn forget(&self) {
        self.state.open.store(false, Relaxed);
        *self.state.task.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn remember(&self, cx: &Context<'_>) {
        let mut task = self.state.task.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
    }

    fn sleep(&self, cx: &Context<'_>) {
        self.remember(cx);
        self.state.open.store(true, Relaxed);
        if self.state.woken.load(Relaxed) {
            cx.waker().wake_by_ref();
        }
    }
}

/// What is known of a socket's input. hyper asks for more of it several times per exchange; only the first time after
/// something came there is an answer.
#[derive(Debug)]
pub(super) struct Arrivals {
    socket: Arc<Socket>,
    waker: Waker,
    /// Whether the socket had nothing the last time and has this waker.
    waits: Cell<bool>,
}

#[derive(Debug)]
struct Socket {
    arrived: AtomicBool,
    connection: Arc<State>,
}

impl Wake for Socket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.arrived.store(true, Relaxed);
        self.connection.wake_by_ref();
    }
}

impl Arrivals {
    /// Whether nothing has come since the socket was last read to its end.
    pub(super) fn is_quiet(&self) -> bool {
        self.waits.get() && !self.socket.arrived.load(Relaxed)
    }

    /// Reads the socket, where that is not in vain.
    pub(super) fn poll<T>(&self, read: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        if self.is_quiet() {
            return Poll::Pending;
        }
        self.socket.arrived.store(false, Relaxed);
        let polled = read(&mut Context::from_waker(&self.waker));
        self.waits.set(polled.is_pending());
        polled
    }
}

/// The wake-ups while the gate is closed.
#[derive(Debug)]
pub(super) struct DeferredWakes<'a>(&'a State);

impl DeferredWakes<'_> {
    /// The caller is about to poll, which answers all wake-ups so far.
    pub(super) fn heard(&self) {
        self.0.woken.store(false, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (Arc::clone(&count), Waker::from(count))
    }

    #[test]
    fn a_knock_while_polling_wakes_a_task_that_goes_to_sleep_once() {
        let (count, waker) = task();
        let cx = Context::from_waker(&waker);
        let gate = DeferredWaker::new();
        let polled = gate.poll(&cx, |cx, _| {
            cx.waker().wake_by_ref();
            cx.waker().wake_by_ref();
            assert_eq!(count.0.load(Relaxed), 0, "held back");
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        assert_eq!(count.0.load(Relaxed), 1);
    }

    #[test]
    fn a_knock_is_forgotten_when_heard_or_when_something_came_of_it() {
        let (count, waker) = task();
        let cx = Context::from_waker(&waker);
        let gate = DeferredWaker::new();
        assert!(
            gate.poll(&cx, |cx, wakes| {
                cx.waker().wake_by_ref();
                wakes.heard();
                Poll::<()>::Pending
            })
            .is_pending()
        );
        gate.quietly(|_| ());
        assert!(
            gate.poll(&cx, |cx, _| {
                cx.waker().wake_by_ref();
                Poll::Ready(())
            })
            .is_ready()
        );
        assert_eq!(count.0.load(Relaxed), 0);
    }

    #[test]
    fn a_sleeping_task_is_woken() {
        let (count, waker) = task();
        let cx = Context::from_waker(&waker);
        let gate = DeferredWaker::new();
        let mut inner = None;
        let polled = gate.poll(&cx, |cx, _| {
            inner = Some(cx.waker().clone());
            Poll::<()>::Pending
        });
        assert!(polled.is_pending());
        inner.as_ref().unwrap().wake_by_ref();
        assert_eq!(count.0.load(Relaxed), 1);
        let polled = gate.poll(&cx, |_, _| Poll::<()>::Pending);
        assert!(polled.is_pending());
        let untouched = gate.poll(&cx, |_, _| Poll::Ready(()));
        assert!(untouched.is_pending(), "nothing has happened since");
        gate.quietly(|_| ());
        inner.unwrap().wake();
        assert_eq!(count.0.load(Relaxed), 1, "nobody uses the connection");
    }
    #[test]
    fn a_task_that_is_through_is_let_go() {
        let (count, waker) = task();
        let gate = DeferredWaker::new();
        let polled = gate.poll(&Context::from_waker(&waker), |_, _| Poll::<()>::Pending);
        assert!(polled.is_pending());
        drop(waker);
        assert_eq!(Arc::strong_count(&count), 2, "kept while it waits");
        gate.forget();
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn a_socket_is_read_again_only_after_it_has_said_so() {
        let gate = DeferredWaker::new();
        let (count, waker) = task();
        let arrivals = gate.arrivals();
        let (mut reads, mut socket) = (0, None);
        assert!(!arrivals.is_quiet(), "nobody has looked");
        for _ in 0..3 {
            let polled = arrivals.poll(|cx| {
                (reads, socket) = (reads + 1, Some(cx.waker().clone()));
                Poll::<()>::Pending
            });
            assert!(polled.is_pending() && arrivals.is_quiet());
        }
        assert_eq!(reads, 1);
        assert!(gate.poll(&Context::from_waker(&waker), |_, _| Poll::<()>::Pending).is_pending());
        socket.unwrap().wake();
        assert_eq!(count.0.load(Relaxed), 1, "the task of the connection is woken");
        assert!(!arrivals.is_quiet());
        for _ in 0..2 {
            assert!(arrivals.poll(|_| Poll::Ready(())).is_ready());
            assert!(!arrivals.is_quiet(), "there may be more");
        }
    }
}
