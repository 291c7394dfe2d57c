//! The sections beside listeners, routes and clusters.

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::{Many, OrOff};
use super::listener::Count;
use super::values::{Bind, Network, Time};
use super::words::Word;
use crate::config::model::LogFormat;

/// Whose word on the client's address is believed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ClientIp {
    /// Proxies in front of the gateway; X-Forwarded-For, -Proto, -Host, -Port and -Prefix are believed only from these.
    /// Default: none.
    pub(in crate::config) trusted_proxies: Option<Many<Network>>,
    /// Bits of an IPv6 address that make one client where clients are counted; an IPv4 address is one as a whole.
    /// Default: 64.
    #[schemars(range(min = 1, max = 128))]
    pub(in crate::config) ipv6_prefix_len: Option<u64>,
}

/// The access log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct AccessLog {
    /// `stdout`, `stderr`, `off`, or the path of a file, relative to this one, which `USR1` opens again.
    /// Default: stdout.
    pub(in crate::config) output: Option<String>,
    /// `auto` is text on a terminal and JSON elsewhere. Default: json.
    pub(in crate::config) format: Option<Word<LogFormat>>,
    /// Exact paths that are not logged. Default: none.
    pub(in crate::config) exclude: Option<Many<String>>,
}

/// The metrics and health listener.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Metrics {
    /// IP address and port. Default: 127.0.0.1:9090.
    pub(in crate::config) address: Option<OrOff<Bind>>,
    /// Upper bounds of the latency histogram in seconds, ascending. Default: 0.005 to 60 in 13 steps.
    pub(in crate::config) latency_buckets: Option<Vec<f64>>,
    /// Endpoints that have series of their own; the others share one. `off`: none has. Default: 200.
    pub(in crate::config) endpoint_series: Option<OrOff<Count>>,
}

/// How the gateway ends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Shutdown {
    /// After a signal to stop: not ready, but still accepting. Default: 0s.
    pub(in crate::config) drain_delay: Option<Time>,
    /// For ordinary requests to finish. Default: 30s.
    pub(in crate::config) drain_timeout: Option<Time>,
    /// For streams to finish. Default: as drainTimeout.
    pub(in crate::config) stream_grace: Option<Time>,
}

/// The gateway's own log.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Logging {
    /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `info,attache=debug`. Default: info.
    pub(in crate::config) level: Option<String>,
    /// `auto` is text on a terminal and JSON elsewhere. Default: auto.
    pub(in crate::config) format: Option<Word<LogFormat>>,
}

/// DNS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Dns {
    /// Servers to ask (port 53 unless given). Default: those of the system.
    pub(in crate::config) servers: Option<Many<String>>,
}

/// What survives a restart.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct State {
    /// File that keeps the progress of rollouts and what operators set; relative to this file. Default: nothing is
    /// kept.
    pub(in crate::config) file: Option<String>,
}
