//! How peers that vanished are noticed, on either side.

use std::time::Duration;

use super::Scope;
use crate::config::model::{Http2Keepalive, TcpKeepalive};
use crate::config::node::{Step, steps};
use crate::config::raw::{OrOff, values, wire as raw};
use crate::config::report::Diagnostic;

/// Resolves the `tcpKeepalive` of `object`, which is never less patient than `floor`.
pub(super) fn tcp_keepalive(
    object: [&str; 2],
    raw: Option<&OrOff<raw::TcpKeepalive>>,
    floor: Duration,
    scope: &mut Scope<'_>,
) -> Option<TcpKeepalive> {
    let usual = TcpKeepalive::DEFAULT;
    let raw = match raw {
        None => {
            return Some(TcpKeepalive { user_timeout: usual.user_timeout.max(floor), ..usual });
        }
        Some(OrOff::Off) => return None,
        Some(OrOff::On(raw)) => raw,
    };
    let [section, name] = object;
    let at = |key: &'static str| steps![section, name, "tcpKeepalive", key];
    let time = seconds(scope, &at("time"), raw.time, usual.time);
    let interval = seconds(scope, &at("interval"), raw.interval, usual.interval);
    let probes = raw.probes.unwrap_or_else(|| usual.probes.into());
    let probes = scope.range(&at("probes"), probes, 1..=127, "");
    let probes = u32::try_from(probes).unwrap_or(usual.probes);
    Some(TcpKeepalive { time, interval, probes, user_timeout: (time + interval * probes).max(floor) })
}

/// Resolves the `http2.keepalive` of `object`.
pub(super) fn http2_keepalive(
    object: [&str; 2],
    raw: Option<&raw::Http2>,
    scope: &mut Scope<'_>,
) -> Option<Http2Keepalive> {
    let Some(OrOff::On(raw)) = raw.and_then(|http2| http2.keepalive.as_ref()) else {
        return None;
    };
    let [section, name] = object;
    let at = |key: &'static str| steps![section, name, "http2", "keepalive", key];
    let mut limit =
        |key, given: Option<values::Time>, usual| given.map_or(usual, |given| scope.limit(&at(key), given.0));
    let interval = limit("interval", raw.interval, GRPC_PERMITS);
    let timeout = limit("timeout", raw.timeout, PONG);
    if section == "clusters" && interval < GRPC_PERMITS && !interval.is_zero() {
        let diagnostic = Diagnostic::warning(
            "ping-rate",
            "gRPC servers close connections with PINGs more often than every 5 minutes",
        );
        let hint = "write `5m`, or leave it out: `tcpKeepalive` finds endpoints that vanished";
        scope.add(&at("interval"), diagnostic.hint(hint));
    }
    Some(Http2Keepalive { interval, timeout })
}

/// The kernel counts in whole seconds, and not beyond 32,767 of them.
fn seconds(scope: &mut Scope<'_>, at: &[Step], given: Option<values::Time>, default: Duration) -> Duration {
    let Some(given) = given else { return default };
    let whole = given.0.as_secs() + u64::from(given.0.subsec_nanos() > 0);
    Duration::from_secs(scope.range(at, whole, 1..=32_767, "s"))
}

/// One PING without data in so long is what gRPC servers allow where they were told nothing else.
const GRPC_PERMITS: Duration = Duration::from_secs(300);
const PONG: Duration = Duration::from_secs(20);
