//! Notices clients that do not read their answers. On HTTP/1 a client that does not read fills the socket, which the
//! listener's watchdog sees. On HTTP/2 it closes the window of one stream while the socket stays busy: hyper then stops
//! asking the body for more, and nothing else would notice. So streams of HTTP/2 note when their last piece was taken,
//! and a task checks them now and then.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::task;
use tokio::time::Instant;

use crate::context::Connection;

/// The pace of one stream.
#[derive(Debug)]
pub(super) struct StallDetector {
    connection: Rc<Connection>,
    limit: Duration,
    task: Cell<Option<task::Id>>,
    handed: Cell<Option<Instant>>,
    stalled: Cell<bool>,
}

impl StallDetector {
    /// Watches a stream on `connection`: a piece must be taken within `limit`.
    pub(super) fn new(connection: Rc<Connection>, limit: Duration) -> Rc<Self> {
        Rc::new(Self { connection, limit, task: Cell::new(None), handed: Cell::new(None), stalled: Cell::new(false) })
    }

    /// The client is ready for another piece.
    pub(super) fn asked(&self) {
        self.handed.set(None);
    }

    /// A piece was handed over.
    pub(super) fn handed(&self) {
        self.task.set(task::try_id());
        self.handed.set(Some(Instant::now()));
    }

    /// Whether the stream was ended because its client did not read.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.get()
    }

    fn look(&self, now: Instant) {
        let waiting = |handed| now.saturating_duration_since(handed) >= self.limit;
        if self.handed.get().is_some_and(waiting)
            && let Some(task) = self.task.get()
        {
            self.stalled.set(true);
            // Dropping the task resets the stream.
            self.connection.abort(task);
        }
    }
}

/// The streams of one worker that are watched.
#[derive(Debug, Default)]
pub(super) struct StallDetectors {
    watched: RefCell<Vec<Weak<StallDetector>>>,
}

impl StallDetectors {
    pub(super) fn watch(&self, stall_detector: &Rc<StallDetector>) {
        self.watched.borrow_mut().push(Rc::downgrade(stall_detector));
    }

    /// Ends the streams whose client is too slow.
    pub(super) fn look(&self, now: Instant) {
        let mut live = Vec::new();
        self.watched.borrow_mut().retain(|stall_detector| {
            let stall_detector = stall_detector.upgrade();
            live.extend(stall_detector.clone());
            stall_detector.is_some()
        });
        for stall_detector in live {
            stall_detector.look(now);
        }
    }
}
