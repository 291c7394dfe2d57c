//! What the task of a connection can be told, and why a connection is cut.

/// A command to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionCommand {
    /// End after the present requests.
    Drain,
    /// As `Drain`, because the connection was idle for too long; a request that arrives at this moment is still
    /// answered.
    Retire,
    /// Free the HTTP machinery until the next request.
    Rest,
    /// End now if the client has closed.
    Look,
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

/// Why the watchdog ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Expiry {
    /// No request within `idle_timeout`.
    Idle,
    /// A request head, or an HTTP/2 preface, not complete within `header_timeout`.
    Head,
    /// No byte of a request body within `body_idle_timeout` while one was waited for and no answer streamed.
    Body,
    /// Nothing read by the client within `body_idle_timeout` although there was something to read.
    Write,
    /// The client did not close after the last answer.
    Linger,
}
