//! How peers that vanished are noticed: the same words on a listener and on a cluster.

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Time;

/// Probes of the kernel to a TCP peer that is silent. One that answers none of them, or takes nothing of what is written for as
/// long as all of them take, is gone.
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
