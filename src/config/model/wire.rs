//! How a peer that vanished is noticed.

use std::time::Duration;

/// What the kernel does about a TCP peer it hears nothing from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpKeepalive {
    /// Silence before the first probe. Default 15 s.
    pub time: Duration,
    /// Between two probes. Default 15 s.
    pub interval: Duration,
    /// Probes without an answer after which the connection is dead. Default 3.
    pub probes: u32,
    /// How long what was written may stay unacknowledged, or find no room at the peer.
    pub user_timeout: Duration,
}

/// PING frames to an HTTP/2 peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Keepalive {
    /// Silence before one is sent.
    pub interval: Duration,
    /// Without an answer for so long the connection is closed. Default 20 s.
    pub timeout: Duration,
}

impl TcpKeepalive {
    /// Where the file says nothing.
    pub const DEFAULT: Self = Self {
        time: Duration::from_secs(15),
        interval: Duration::from_secs(15),
        probes: 3,
        user_timeout: Duration::from_secs(60),
    };
}
