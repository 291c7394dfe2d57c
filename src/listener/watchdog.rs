//! Watchdog.

use std::rc::Rc;
use std::time::SystemTime;

use tokio::time::Instant;

/// One per worker.
#[derive(Debug)]
pub struct Watchdog {}

/// Why the watchdog ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// No request within `idle_timeout`.
    Idle,
    /// A request head, or an HTTP/2 preface, not complete within `header_timeout`.
    Head,
    /// No byte of a request body within `body_idle_timeout` while one was waited for.
    Body,
    /// Nothing read by the client within `body_idle_timeout` although there was something to read.
    Write,
    /// The client did not close after the last answer.
    Linger,
}

impl Watchdog {
    /// Starts the watchdog of this worker; its task ends when the last handle is dropped.
    #[must_use]
    pub fn start() -> Rc<Self> {
        todo!()
    }

    /// Coarse time, exact to the tick (100 ms).
    #[must_use]
    pub fn now(&self) -> Instant {
        todo!()
    }

    /// Coarse wall clock.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        todo!()
    }
}
