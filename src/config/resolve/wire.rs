//! PING frames that gRPC servers would not bear.

use std::time::Duration;

use super::Scope;
use crate::config::model::Http2Keepalive;
use crate::config::node::steps;

/// Judges the `http2.keepalive` of a cluster.
pub(super) fn check(cluster: &str, pings: Option<Http2Keepalive>, scope: &mut Scope<'_>) {
    if pings.is_none_or(|pings| pings.interval >= GRPC_PERMITS) {
        return;
    }
    let message = "gRPC servers close connections with PINGs more often than every 5 minutes";
    let hint = "write `5m`, or leave it out: `tcpKeepalive` finds endpoints that vanished";
    scope.warn(&steps!["clusters", cluster, "http2", "keepalive", "interval"], "ping-rate", message, hint);
}

/// One PING without data in so long is what gRPC servers allow where they were told nothing else.
const GRPC_PERMITS: Duration = Duration::from_secs(300);
