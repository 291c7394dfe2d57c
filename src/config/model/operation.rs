//! The gateway as a whole: trust, logs, metrics, the end, DNS.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

/// Whose word on the client's address is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIp {
    /// Networks of proxies in front of us.
    pub trusted_proxies: Vec<IpNet>,
    /// Bits of an IPv6 address that make a client, where clients are counted. Default 64.
    pub ipv6_prefix: u8,
}

/// The access log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessLog {
    /// Where lines go; `None` means off.
    pub output: Option<LogOutput>,
    /// Line format.
    pub format: LogFormat,
    /// Exact paths that are not logged.
    pub exclude: Vec<String>,
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// Format of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Aligned text for people.
    Text,
    /// Text on a terminal, JSON elsewhere.
    Auto,
}

/// The metrics and health listener.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Where it binds; `None` means off. Default `127.0.0.1:9090`.
    pub address: Option<SocketAddr>,
    /// Upper bounds of the latency histogram, seconds, ascending.
    pub latency_buckets: Vec<f64>,
    /// Endpoints that have series of their own; 0 for none.
    pub endpoint_series: usize,
}

/// How the gateway ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Readiness fails but connections are still accepted. Default 0 s.
    pub drain_delay: Duration,
    /// Ordinary requests may finish within this. Default 30 s.
    pub drain_timeout: Duration,
    /// Streams may finish within this. Default: as `drain_timeout`.
    pub stream_grace: Duration,
}

/// Lifecycle logging (standard error).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// A `tracing` filter such as `info` or `attache=debug`.
    pub level: String,
    /// Line format.
    pub format: LogFormat,
}

/// DNS resolution.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Servers to ask instead of those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
}
