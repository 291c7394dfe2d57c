//! Commands to the task of a connection, from the watchdog, a drain or the end of the gateway. The sender leaves a
//! command here and wakes the task. One waker serves all senders, so a connection registers nowhere else.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::context::Connection;
use crate::listener::command::{ConnectionCommand, Cut, Expiry};
use crate::listener::io_progress::{IoProgress, Stage};

/// The worker's hold on one connection.
pub struct ConnectionHandle {
    progress: Arc<IoProgress>,
    connection: OnceCell<Rc<Connection>>,
    calls: Cell<u64>,
    answering: Cell<u32>,
    draining: Cell<bool>,
    retired: Cell<bool>,
    resting: Cell<bool>,
    serving: Cell<bool>,
    ended: Cell<Option<Cut>>,
    waker: Cell<Option<Waker>>,
}

impl ConnectionHandle {
    pub(crate) fn new(progress: Arc<IoProgress>) -> Self {
        Self {
            progress,
            connection: OnceCell::new(),
            calls: Cell::new(0),
            answering: Cell::new(0),
            draining: Cell::new(false),
            retired: Cell::new(false),
            resting: Cell::new(false),
            serving: Cell::new(false),
            ended: Cell::new(None),
            waker: Cell::new(None),
        }
    }

    pub(crate) fn command(&self, command: ConnectionCommand) {
        match command {
            ConnectionCommand::Drain => self.draining.set(true),
            ConnectionCommand::Retire => {
                self.draining.set(true);
                self.retired.set(true);
            }
            ConnectionCommand::Rest => self.resting.set(true),
            ConnectionCommand::Look => self.progress.ask_for_client(),
            // So the connection still ends by itself, and reports how.
            ConnectionCommand::Expire(Expiry::Linger) if !self.progress.lingers_no_more() => self.progress.end_linger(),
            ConnectionCommand::Expire(expiry) => self.ended.set(Some(Cut::Expired(expiry))),
            ConnectionCommand::Abort => {
                self.ended.set(Some(Cut::Aborted));
                if let Some(connection) = self.connection() {
                    connection.cut.set(true);
                }
            }
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    pub(crate) fn progress(&self) -> &Arc<IoProgress> {
        &self.progress
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

    /// Whether its client is being answered with a stream: then its silence is no upload that stopped.
    pub(crate) fn listens(&self) -> bool {
        self.connection().is_some_and(|connection| connection.streams.get() > 0)
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

    /// Whether it is to end because it was idle.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.get()
    }

    /// Whether it has been told to rest since it was last asked.
    pub(crate) fn takes_rest(&self) -> bool {
        self.resting.take()
    }

    /// Whether nothing is under way and nothing is half read or written.
    pub(crate) fn is_between_requests(&self) -> bool {
        let idle = self.active() == Some(0) && self.progress.heads() == self.calls();
        idle && self.progress.stage() == Stage::Start && !self.progress.write_waits()
    }

    /// Whether nothing is under way, but a request has begun to arrive, or has arrived and was not looked at yet.
    pub(crate) fn is_about_to_begin(&self) -> bool {
        let begun = self.progress.stage() == Stage::Head || self.progress.heads() > self.calls();
        begun && self.active() == Some(0)
    }

    /// Whether an exchange of HTTP/1 is under way while the gateway does not read from the client: its upload is
    /// blocked, or it sent more than one request. Then reading does not show that the client leaves.
    pub(crate) fn is_deaf(&self) -> bool {
        let reads = matches!(self.progress.stage(), Stage::Start | Stage::Head | Stage::Body);
        let busy = self.active().is_some_and(|active| active > 0);
        busy && reads && !self.progress.read_waits() && !self.progress.is_tunnel()
    }

    /// Tells the IO how many requests of HTTP/1 have been answered, and whether that was all there is: the client has
    /// closed its direction and waits for nothing more.
    pub(crate) fn has_answered_all(&self) -> bool {
        let under_way = u64::from(self.active().is_some_and(|active| active > 0));
        self.progress.note_answered(self.calls().saturating_sub(under_way));
        self.progress.is_half_closed() && !self.progress.owes_answer()
    }

    /// Whether the connection has its HTTP/1 machinery.
    pub(crate) fn is_serving(&self) -> bool {
        self.serving.get()
    }

    pub(crate) fn set_serving(&self, serving: bool) {
        self.serving.set(serving);
    }

    /// As [`ConnectionCommand::Drain`], said by the connection's own task.
    pub(crate) fn close_soon(&self) {
        self.draining.set(true);
    }

    /// Ends when the connection is to drain.
    pub(crate) async fn drained(&self) {
        std::future::poll_fn(|_| if self.is_draining() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Runs a connection until it ends or is cut. The task polling this is the one that is woken for orders, so
    /// everything inside may look at them whenever it is polled. Takes a pinned future, because one taken by value is
    /// kept twice.
    pub(crate) async fn hold<F: Future>(&self, mut connection: Pin<&mut F>) -> Result<F::Output, Cut> {
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

impl fmt::Debug for ConnectionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leash")
            .field("link", &self.progress)
            .field("calls", &self.calls)
            .field("draining", &self.draining)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::pin::pin;

    use super::*;
    use crate::config::model::ListenerId;

    /// Some facts of a connection.
    pub(crate) fn connection() -> Rc<Connection> {
        let address = ([127, 0, 0, 1], 1).into();
        Rc::new(Connection::new(ListenerId(0), address, address, None))
    }

    #[tokio::test]
    async fn orders_reach_a_waiting_task() {
        let handle = ConnectionHandle::new(IoProgress::new());
        let orders = async {
            tokio::task::yield_now().await;
            handle.command(ConnectionCommand::Drain);
        };
        let drained = pin!(handle.drained());
        let (held, ()) = tokio::join!(handle.hold(drained), orders);
        assert_eq!(held, Ok(()));
        handle.command(ConnectionCommand::Abort);
        assert_eq!(handle.hold(pin!(std::future::pending::<()>())).await, Err(Cut::Aborted));
    }

    #[test]
    fn a_request_counts_as_active_until_its_answer() {
        let handle = ConnectionHandle::new(IoProgress::new());
        assert_eq!(handle.active(), None);
        let connection = connection();
        handle.hand_over(Rc::clone(&connection));
        assert_eq!((handle.call(), handle.active()), (0, Some(1)));
        let exchange = connection.begin();
        handle.answered();
        assert_eq!((handle.call(), handle.active()), (1, Some(2)));
        handle.answered();
        drop(exchange);
        assert_eq!((handle.calls(), handle.active()), (2, Some(0)));
    }
}
