//! The handle by which the gateway stops one listener on one worker, and the count of its connections there.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::config::model::Limits;
use crate::context::Connection;
use crate::listener::command::ConnectionCommand;
use crate::listener::connection_handle::ConnectionHandle;
use crate::listener::io_progress::IoProgress;
use crate::listener::watchdog::{Registered, Watchdog};

/// One listener running on one worker. Dropping it aborts it and its connections.
#[derive(Debug)]
pub struct Running {
    group: Rc<Group>,
    task: AbortHandle,
}

/// The connections of one listener on one worker.
#[derive(Debug)]
pub struct Group {
    watchdog: Rc<Watchdog>,
    number: u64,
    /// Connections, and one for the accept loop.
    members: Cell<usize>,
    connections: Cell<usize>,
    draining: Cell<bool>,
    changed: Notify,
}

/// A connection's membership of its group; ends with its drop.
#[derive(Debug)]
pub struct Member {
    registered: Registered,
    group: Rc<Group>,
}

/// The accept loop's membership.
#[derive(Debug)]
pub struct Accepting(Rc<Group>);

impl Running {
    pub(crate) fn new(group: Rc<Group>, task: AbortHandle) -> Self {
        Self { group, task }
    }

    /// Stops accepting, after what the kernel has already queued, and asks every connection to end after its present
    /// requests.
    pub fn drain(&self) {
        self.group.draining.set(true);
        self.group.changed.notify_waiters();
        self.group.watchdog.command(self.group.number, ConnectionCommand::Drain);
    }

    /// Cuts every connection that is left and says how many those were.
    #[must_use]
    pub fn abort(&self) -> usize {
        self.task.abort();
        self.group.draining.set(true);
        self.group.watchdog.command(self.group.number, ConnectionCommand::Abort)
    }

    /// Cuts the connections `which` names; the rest goes on.
    pub fn abort_those(&self, which: impl Fn(&Connection) -> bool) {
        self.group.watchdog.command_those(self.group.number, ConnectionCommand::Abort, which);
    }

    /// Connections of this listener on this worker. Tunnels are counted by [`Shared::open`](super::Shared::open) only.
    #[must_use]
    pub fn open(&self) -> usize {
        self.group.connections.get()
    }

    /// Ends the accept loop as a panic would.
    #[cfg(test)]
    pub(crate) fn end_early(&self) {
        self.task.abort();
    }

    /// Whether the accept loop has ended although it was not told to: clients still connect to its socket, or will be
    /// refused.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.task.is_finished() && !self.group.draining.get()
    }

    /// Whether the accept loop has ended with the kernel's queue accepted, and no connection is left.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.group.members.get() == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
        self.group.watchdog.command(self.group.number, ConnectionCommand::Abort);
    }
}

impl Group {
    pub(crate) fn new(watchdog: Rc<Watchdog>) -> Rc<Self> {
        let number = watchdog.group_number();
        Rc::new(Self {
            watchdog,
            number,
            members: Cell::new(0),
            connections: Cell::new(0),
            draining: Cell::new(false),
            changed: Notify::new(),
        })
    }

    pub(crate) fn watchdog(&self) -> &Watchdog {
        &self.watchdog
    }

    pub(crate) fn accepting(self: &Rc<Self>) -> Accepting {
        self.members.set(self.members.get() + 1);
        Accepting(Rc::clone(self))
    }

    pub(crate) fn join(self: &Rc<Self>, limits: &Limits) -> Member {
        self.members.set(self.members.get() + 1);
        self.connections.set(self.connections.get() + 1);
        let registered = self.watchdog.register(IoProgress::new(), self.number, limits);
        if self.draining.get() {
            registered.handle().command(ConnectionCommand::Drain);
        }
        Member { registered, group: Rc::clone(self) }
    }

    /// Ends when the group is to drain.
    pub(crate) async fn drained(&self) {
        while !self.draining.get() {
            self.changed.notified().await;
        }
    }

    fn leave(&self) {
        self.members.set(self.members.get().saturating_sub(1));
    }
}

impl Member {
    pub(crate) fn handle(&self) -> &Rc<ConnectionHandle> {
        self.registered.handle()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.group.connections.set(self.group.connections.get().saturating_sub(1));
        self.group.leave();
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.leave();
    }
}
