//! serve

use hyper::StatusCode;

use crate::context::Connection;
use crate::listener::watchdog::Expiry;

/// Something a listener did, for logs and metrics.
#[derive(Debug)]
pub enum Report<'a> {
    /// A connection was accepted.
    Accepted,
    /// The ceiling is reached: nothing is accepted until a connection ends.
    AtCeiling,
    /// A connection was closed at once because its client has too many.
    OverClientCeiling,
    /// `accept` failed; the listener backs off and goes on.
    AcceptFailed(&'a std::io::Error),
    /// A connection ended before it carried HTTP.
    HandshakeFailed(HandshakeEnd),
    /// A connection ended.
    Ended(&'a Connection, ConnectionEnd),
}

/// How a connection ended that never got as far as HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeEnd {
    /// The TLS handshake or the PROXY header took too long.
    Timeout,
    /// The peer closed or spoke no TLS, or the parties agreed on nothing.
    Tls,
    /// No certificate serves the name asked for.
    UnknownName,
    /// No or an invalid PROXY header from a peer that must send one.
    ProxyHeader,
    /// The listener was stopped.
    Stopped,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectionEnd {
    /// Both sides were done.
    Closed,
    /// It became a tunnel.
    Upgraded,
    /// The watchdog ended it.
    Expired(Expiry),
    /// The head of a request was not HTTP; hyper answered with this status.
    Refused(StatusCode),
    /// The client left or broke the protocol in the middle of something.
    Broken,
    /// Cut when the time to drain was over.
    Aborted,
}
