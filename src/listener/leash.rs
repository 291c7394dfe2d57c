//! How a connection's task is told to do something by the watchdog, by a drain or at the end: an order is left here and the task is
//! woken. One waker serves for all of them, so a connection registers with nothing else.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::context::Connection;
use crate::listener::link::Link;
use crate::listener::watchdog::Expiry;

/// The worker's hold on one connection.
pub struct Leash {
    link: Arc<Link>,
    connection: OnceCell<Rc<Connection>>,
    calls: Cell<u64>,
    answering: Cell<u32>,
    draining: Cell<bool>,
    ended: Cell<Option<Cut>>,
    waker: Cell<Option<Waker>>,
}

/// What a connection is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End after the present requests.
    Drain,
    /// End now, a limit was reached.
    Expire(Expiry),
    /// End now, the time to drain is over.
    Abort,
}

/// Why a connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A limit was reached.
    Expired(Expiry),
    /// The time to drain was over.
    Aborted,
}

impl Leash {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self {
            link,
            connection: OnceCell::new(),
            calls: Cell::new(0),
            answering: Cell::new(0),
            draining: Cell::new(false),
            ended: Cell::new(None),
            waker: Cell::new(None),
        }
    }

    pub(crate) fn order(&self, order: Order) {
        match order {
            Order::Drain => self.draining.set(true),
            Order::Expire(expiry) => self.ended.set(Some(Cut::Expired(expiry))),
            Order::Abort => self.ended.set(Some(Cut::Aborted)),
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// From here on the watchdog's clocks run.
    pub(crate) fn hand_over(&self, connection: Rc<Connection>) {
        self.connection.get_or_init(|| connection);
    }

    /// The connection, once it carries HTTP.
    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.get().map(|connection| &**connection)
    }

    /// Exchanges under way; `None` before the connection carries HTTP.
    pub(crate) fn active(&self) -> Option<u32> {
        self.connection.get().map(|connection| connection.active.get().saturating_add(self.answering.get()))
    }

    /// Requests handed to the service.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.get()
    }

    /// Counts a request, which is now being answered; its number, from zero, comes back.
    pub(crate) fn call(&self) -> u64 {
        let number = self.calls.get();
        self.calls.set(number + 1);
        self.answering.set(self.answering.get() + 1);
        number
    }

    /// The service has answered, or its future was dropped.
    pub(crate) fn answered(&self) {
        self.answering.set(self.answering.get().saturating_sub(1));
    }

    /// Whether the connection is to end after its present requests.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// As [`Order::Drain`], said by the connection's own task.
    pub(crate) fn close_soon(&self) {
        self.draining.set(true);
    }

    /// Ends when the connection is to drain.
    pub(crate) async fn drained(&self) {
        std::future::poll_fn(|_| if self.is_draining() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Runs a connection until it ends or is cut. The task polling this is the one that is woken for orders, so everything
    /// inside may look at them whenever it is polled.
    pub(crate) async fn hold<T>(&self, connection: impl Future<Output = T>) -> Result<T, Cut> {
        let mut connection = pin!(connection);
        std::future::poll_fn(|cx| {
            self.listen(cx);
            match self.ended.get() {
                Some(cut) => Poll::Ready(Err(cut)),
                None => connection.as_mut().poll(cx).map(Ok),
            }
        })
        .await
    }

    fn listen(&self, cx: &Context<'_>) {
        let waker = match self.waker.take() {
            Some(waker) if waker.will_wake(cx.waker()) => waker,
            _ => cx.waker().clone(),
        };
        self.waker.set(Some(waker));
    }
}

impl fmt::Debug for Leash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leash")
            .field("link", &self.link)
            .field("calls", &self.calls)
            .field("draining", &self.draining)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
