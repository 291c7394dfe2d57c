//! How peers that vanished are noticed: the same words on a listener and on a cluster.

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::OrOff;
use super::values::Time;

/// Probes of the kernel to a TCP peer that is silent. One that answers none of them, or takes nothing of what is
/// written for as long as all of them take, is gone.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct TcpKeepalive {
    /// Silence before the first probe. Default: 15s.
    pub(in crate::config) time: Option<Time>,
    /// From one probe to the next. Default: 15s.
    pub(in crate::config) interval: Option<Time>,
    /// Probes without an answer. Default: 3.
    #[schemars(range(min = 1, max = 127))]
    pub(in crate::config) probes: Option<u64>,
}

/// HTTP/2.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Http2 {
    /// Send PING frames to a silent peer, for networks between that forget connections. Default: off.
    pub(in crate::config) keepalive: Option<OrOff<Http2Keepalive>>,
}

/// PING frames to a peer that is silent while a stream is open. gRPC servers close connections on which they come more
/// often than every 5 minutes.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Http2Keepalive {
    /// Silence before one is sent. Default: 5m.
    pub(in crate::config) interval: Option<Time>,
    /// Close the connection when no answer came for so long. Default: 20s.
    pub(in crate::config) timeout: Option<Time>,
}
