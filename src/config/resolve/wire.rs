//! How peers that vanished are noticed, on either side.

use std::time::Duration;

use super::Scope;
use crate::config::model::TcpKeepalive;
use crate::config::node::{Step, steps};
use crate::config::raw::{OrOff, values, wire as raw};

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
            return Some(TcpKeepalive {
                user_timeout: usual.user_timeout.max(floor),
                ..usual
            });
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
    Some(TcpKeepalive {
        time,
        interval,
        probes,
        user_timeout: (time + interval * probes).max(floor),
    })
}

/// The kernel counts in whole seconds, and not beyond 32,767 of them.
fn seconds(
    scope: &mut Scope<'_>,
    at: &[Step],
    given: Option<values::Time>,
    default: Duration,
) -> Duration {
    let Some(given) = given else { return default };
    let whole = given.0.as_secs() + u64::from(given.0.subsec_nanos() > 0);
    Duration::from_secs(scope.range(at, whole, 1..=32_767, "s"))
}
