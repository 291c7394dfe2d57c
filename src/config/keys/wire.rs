//! How peers that vanished are noticed: the same words on a listener and on a cluster.

use std::time::Duration;

use super::{Count, Limit, OrOff, Seconds, section};

section! {
    #[derive(Copy, PartialEq, Eq)]
    /// Probes of the kernel to a TCP peer that is silent. One that answers none of them, or takes nothing of what is
    /// written for as long as all of them take, is gone.
    pub struct TcpKeepalive {
        /// Silence before the first probe.
        time: Duration as Seconds<1, 32_767> = 15s,
        /// From one probe to the next.
        interval: Duration as Seconds<1, 32_767> = 15s,
        /// Probes without an answer.
        probes: u32 as Count<1, 127> = 3,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// HTTP/2.
    pub(in crate::config) struct Http2 {
        /// Send PING frames to a silent peer, for networks between that forget connections.
        keepalive: Option<Http2Keepalive> as OrOff<Http2Keepalive> = off,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// PING frames to a peer that is silent while a stream is open. gRPC servers close connections on which they come
    /// more often than every 5 minutes.
    pub struct Http2Keepalive {
        /// Silence before one is sent.
        interval: Duration as Limit = 5m,
        /// Close the connection when no answer came for so long.
        timeout: Duration as Limit = 20s,
    }
}

impl TcpKeepalive {
    /// How long what was written may stay unacknowledged, or find no room at the peer.
    #[must_use]
    pub fn user_timeout(&self) -> Duration {
        self.time + self.interval * self.probes
    }
}
