//! The sections beside listeners, routes and clusters.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::{Scope, to_usize};
use crate::config::model::{AccessLog, ClientIp, Dns, Listener, LogFormat, LogOutput, Logging, Metrics, Shutdown};
use crate::config::node::steps;
use crate::config::raw::Many;
use crate::config::raw::settings as raw;
use crate::config::report::Diagnostic;
use crate::config::suggest;

/// Latency histogram: from a local answer to an agent that thinks for a minute, seconds.
pub(in crate::config) const LATENCY_BUCKETS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

pub(super) fn workers(raw: Option<u64>, scope: &mut Scope<'_>) -> Option<NonZeroUsize> {
    NonZeroUsize::new(to_usize(scope.range(&steps!["workers"], raw?, 1..=1024, "")))
}

pub(super) fn client_ip(raw: Option<raw::ClientIp>, scope: &mut Scope<'_>) -> ClientIp {
    let raw = raw.unwrap_or_default();
    let networks = raw.trusted_proxies;
    let prefix = raw.ipv6_prefix_len.unwrap_or(64);
    let prefix = scope.range(&steps!["clientIp", "ipv6PrefixLen"], prefix, 1..=128, "");
    ClientIp {
        trusted_proxies: networks.iter().flat_map(|list| &list.0).map(|network| network.0).collect(),
        ipv6_prefix: u8::try_from(prefix).unwrap_or(128),
    }
}

pub(super) fn access_log(raw: Option<raw::AccessLog>, scope: &mut Scope<'_>) -> AccessLog {
    let raw = raw.unwrap_or_default();
    let output = match raw.output.as_deref() {
        None | Some("stdout") => Some(LogOutput::Stdout),
        Some("stderr") => Some(LogOutput::Stderr),
        Some("off") => None,
        Some(path) => {
            let bare = !path.contains(['/', '.']);
            if bare {
                let hint = suggest::closest(path, ["stdout", "stderr", "off"])
                    .map_or_else(|| format!("write `./{path}` for a file"), |word| format!("did you mean `{word}`?"));
                scope.add(
                    &steps!["accessLog", "output"],
                    Diagnostic::error("invalid-value", format!("`{path}` is not an output")).hint(hint),
                );
            }
            Some(LogOutput::File(PathBuf::from(path)))
        }
    };
    let exclude = raw.exclude.map(|list| list.0).unwrap_or_default();
    for (index, path) in exclude.iter().enumerate() {
        if !path.starts_with('/') {
            let diagnostic = Diagnostic::error("invalid-value", format!("the path `{path}` does not start with `/`"));
            scope.add(&steps!["accessLog", "exclude", index], diagnostic.hint(format!("write `/{path}`")));
        }
    }
    AccessLog { output, format: raw.format.map_or(LogFormat::Json, |word| word.0), exclude }
}

pub(super) fn metrics(raw: Option<raw::Metrics>, listeners: &[Listener], scope: &mut Scope<'_>) -> Metrics {
    let raw = raw.unwrap_or_default();
    let default = SocketAddr::from((Ipv4Addr::LOCALHOST, 9090));
    let address = raw.address.map_or(Some(default), |address| address.on().map(|bind| bind.0));
    let same = |listener: &&Listener| Some(listener.address) == address && listener.address.port() != 0;
    if let Some(listener) = listeners.iter().find(same) {
        let message = format!("`listeners.{}` binds the address of metrics, {}", listener.name, listener.address);
        let at = steps!["listeners", listener.name.as_str(), "address"];
        scope.add(
            &at,
            Diagnostic::error("duplicate-address", message)
                .hint("move one of them, or write `metrics: { address: off }`"),
        );
    }
    let latency_buckets = raw.latency_buckets.unwrap_or_else(|| LATENCY_BUCKETS.to_vec());
    let at = steps!["metrics", "latencyBuckets"];
    let ascending = latency_buckets.iter().zip(latency_buckets.iter().skip(1)).all(|(a, b)| a < b);
    let legal = latency_buckets.iter().all(|bound| bound.is_finite() && *bound > 0.0);
    if !ascending || !legal || latency_buckets.is_empty() || latency_buckets.len() > 64 {
        let diagnostic = Diagnostic::error(
            "invalid-value",
            "latency buckets are upper bounds in seconds, each larger than the one before",
        );
        scope.missing(&at, diagnostic.hint("1 to 64 positive numbers, ascending"));
    }
    let endpoint_series = raw.endpoint_series.map_or(Some(200), |series| series.on().map(|count| count.0));
    let at = steps!["metrics", "endpointSeries"];
    let endpoint_series = endpoint_series.map_or(0, |count| scope.range(&at, count, 1..=100_000, ""));
    Metrics { address, latency_buckets, endpoint_series: to_usize(endpoint_series) }
}

pub(super) fn shutdown(raw: Option<raw::Shutdown>) -> Shutdown {
    let raw = raw.unwrap_or_default();
    let drain_timeout = raw.drain_timeout.map_or(Duration::from_secs(30), |time| time.0);
    Shutdown {
        drain_delay: raw.drain_delay.map_or(Duration::ZERO, |time| time.0),
        drain_timeout,
        stream_grace: raw.stream_grace.map_or(drain_timeout, |time| time.0),
    }
}

pub(super) fn logging(raw: Option<raw::Logging>, scope: &mut Scope<'_>) -> Logging {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let raw = raw.unwrap_or_default();
    let level = raw.level.unwrap_or_else(|| "info".to_owned());
    let at = steps!["logging", "level"];
    let word = !level.contains(['=', ',', '[', ':']);
    if word && !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
        let hint = suggest::closest(&level, LEVELS).map_or_else(
            || "error, warn, info, debug, trace or off".to_owned(),
            |word| format!("did you mean `{word}`?"),
        );
        scope.add(&at, Diagnostic::error("invalid-value", format!("`{level}` is not a log level")).hint(hint));
    } else if tracing_subscriber::EnvFilter::builder().parse(&level).is_err() {
        scope.add(
            &at,
            Diagnostic::error("invalid-value", "this log filter is not understood")
                .hint("write `info` or `info,attache=debug`"),
        );
    }
    Logging { level, format: raw.format.map_or(LogFormat::Auto, |word| word.0) }
}

pub(super) fn dns(raw: Option<raw::Dns>, scope: &mut Scope<'_>) -> Dns {
    let list = raw.and_then(|raw| raw.servers).unwrap_or(Many(Vec::new()));
    let mut servers = Vec::new();
    for (index, text) in list.0.iter().enumerate() {
        let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
        match text.parse().ok().or_else(bare) {
            Some(server) => servers.push(server),
            None => {
                let diagnostic = Diagnostic::error("invalid-value", format!("`{text}` is not a name server"));
                scope.add(&steps!["dns", "servers", index], diagnostic.hint("an IP address, with or without a port"));
            }
        }
    }
    Dns { servers }
}
