//! The gateway as a whole: trust, logs, metrics, the end, DNS, reloads, and the listener of operators.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::retries::FieldName;
use super::{Bind, Count, Many, Network, OrOff, Time, choice, section, text_value, written};
use crate::config::de::{invalid, with_hint};
use crate::config::forms::values::bind;
use crate::config::suggest;

section! {
    #[derive(PartialEq, Eq)]
    /// Whose word on the client's address is believed.
    pub struct ClientIp {
        /// Proxies in front of the gateway; X-Forwarded-For, -Proto, -Host, -Port and -Prefix are believed only from
        /// these.
        trusted_proxies: Vec<IpNet> as Many<Network> = [],
        /// Bits of an IPv6 address that make one client where clients are counted; an IPv4 address is one as a whole.
        ipv6_prefix: u8 as Count<1, 128> = 64 [serde(rename = "ipv6PrefixLen")],
    }

    #[derive(PartialEq, Eq)]
    /// On whose behalf requests are made.
    pub struct Tenants {
        /// The header that names the tenant, before what an A2A call says. Whoever sets it must be trusted: the gateway
        /// believes it.
        header: Option<HeaderName> as FieldName,
        /// The claim of a token (RFC 7519 section 4) that proves the tenant, on routes that ask for credentials. It
        /// wins: a client whose header or call names another tenant, or that has no such claim and names one, gets 403.
        claim: Option<String>,
        /// Tenants with a series of their own in `attache_tenant_requests_total`; all others share `other`. Without
        /// names there is no such series.
        series: Vec<String> as Many<String> = [],
    }

    #[derive(PartialEq)]
    /// The metrics and health listener.
    pub struct Metrics {
        /// IP address and port.
        address: Option<SocketAddr> as OrOff<Bind> = "127.0.0.1:9090"; restart,
        // From a local answer to an agent that thinks for a minute.
        /// Upper bounds of the latency histogram in seconds, ascending.
        latency_buckets: Vec<f64> as LatencyBuckets
            = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]; restart,
        /// Endpoints that have series of their own; the others share one. `off`: none has.
        endpoint_series: usize as OrOff<Count<1, 100_000>> = 200,
        /// Whether series are shown again under the names that dashboards, rules and autoscalers of other systems have,
        /// such as `errors_total` and `active_workflows`.
        compatibility: bool = true,
    }

    #[derive(PartialEq, Eq)]
    /// What `/ready` depends on beside the gateway itself.
    pub struct Readiness {
        /// `clusters`: not ready while any cluster has no usable endpoint. For a gateway with one job, behind a
        /// balancer that has others to send to: with several clusters, the one that is down takes the traffic of all
        /// away.
        requires: Vec<Required> as Many<Required> = [],
    }

    #[derive(Copy, PartialEq, Eq)]
    /// How the gateway ends.
    pub struct Shutdown {
        /// After a signal to stop: not ready, but still accepting.
        drain_delay: Duration as Time = 0s,
        /// For ordinary requests to finish.
        drain_timeout: Duration as Time = 30s,
        /// For streams to finish. Default: as drainTimeout.
        stream_grace: Option<Duration> as Time,
    }

    #[derive(PartialEq, Eq)]
    /// The gateway's own log.
    pub struct Logging {
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a filter such as `info,attache=debug`.
        level: String as LogFilter = info,
        /// `auto` is text on a terminal and JSON elsewhere.
        format: LogFormat = auto; restart,
    }

    #[derive(PartialEq, Eq)]
    /// DNS.
    pub struct Dns {
        /// Servers to ask (port 53 unless given); none are those of the system.
        servers: Vec<SocketAddr> as Many<NameServer> = [],
    }

    #[derive(PartialEq, Eq)]
    /// What survives a restart.
    pub(in crate::config) struct State {
        /// File that keeps the progress of rollouts and what operators set; relative to this file. Default: nothing is
        /// kept.
        file: Option<PathBuf> as String,
    }

    #[derive(PartialEq, Eq)]
    /// Taking a changed configuration while running. `SIGHUP` and `attache reload` always do.
    pub struct Reload {
        /// Take changed files without being asked, certificates and secrets included; `false` waits for `SIGHUP` or
        /// `attache reload`.
        watch: bool = true,
        /// A change is taken once it has been quiet for this long; `off` takes it at once.
        debounce: Duration as OrOff<Time> = 250ms,
        /// Also compare the files' content this often, for file systems that report no changes, such as NFS.
        poll: Option<Duration> as OrOff<Time> = 30s,
        /// After each good load the configuration is written here, and the gateway starts from it when its own file is
        /// broken. Secrets stay where they are. Default: none.
        last_good_file: Option<PathBuf> as String,
    }

    #[derive(PartialEq, Eq)]
    /// The listener that operators ask and command. Without this section there is none.
    pub(in crate::config) struct Admin {
        /// IP address and port, `unix:/path` for a socket, or `off`. Anything but loopback and sockets needs
        /// `tokenFile`.
        address: Option<AdminAddress> as OrOff<AdminPlace> = "127.0.0.1:9901"; restart,
        /// File with the token that callers send as `Authorization: Bearer`. The owner of a unix socket needs none.
        /// Default: none.
        token_file: Option<PathBuf> as String,
        /// What callers may change: `none`, `rollouts` (reload and rollouts) or `all`.
        writes: Writes = rollouts,
    }
}

choice! {
    /// Format of a log.
    pub enum LogFormat {
        /// One JSON object per line.
        Json = ["json"],
        /// Aligned text for people.
        Text = ["text"],
        /// Text on a terminal, JSON elsewhere.
        Auto = ["auto"],
    }

    /// Something readiness may require.
    pub enum Required {
        /// A usable endpoint in every cluster.
        Clusters = ["clusters", "cluster"],
    }

    /// What may be changed through the admin listener; each allows what the one before does.
    pub enum Writes {
        /// Nothing.
        None = ["none", "off"],
        /// Reloads and rollouts.
        Rollouts = ["rollouts"],
        /// Everything.
        All = ["all"],
    }
}

impl ClientIp {
    /// Whether this is the address of a proxy in front of the gateway.
    #[must_use]
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

impl Readiness {
    /// Whether every cluster must have a usable endpoint.
    #[must_use]
    pub fn requires_clusters(&self) -> bool {
        self.requires.contains(&Required::Clusters)
    }
}

impl Shutdown {
    /// Time for streams to finish.
    #[must_use]
    pub fn stream_grace(&self) -> Duration {
        self.stream_grace.unwrap_or(self.drain_timeout)
    }
}

text_value!(
    /// The whole path of a request.
    ExactPath(String), exact_path, "a path such as `/health`", { "type": "string" }
);

fn exact_path(text: &str) -> Result<ExactPath, String> {
    if text.starts_with('/') {
        return Ok(ExactPath(text.to_owned()));
    }
    Err(with_hint(format!("the path `{text}` does not start with `/`"), format!("write `/{text}`")))
}

/// Bounds of a histogram.
#[derive(JsonSchema)]
#[schemars(transparent)]
pub(in crate::config) struct LatencyBuckets(Vec<f64>);

impl<'de> Deserialize<'de> for LatencyBuckets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bounds = Vec::<f64>::deserialize(deserializer)?;
        let ascending = bounds.iter().zip(bounds.iter().skip(1)).all(|(a, b)| a < b);
        let legal = bounds.iter().all(|bound| bound.is_finite() && *bound > 0.0);
        if ascending && legal && (1..=64).contains(&bounds.len()) {
            return Ok(Self(bounds));
        }
        let message = "latency buckets are upper bounds in seconds, each larger than the one before";
        Err(invalid(message, "1 to 64 positive numbers, ascending"))
    }
}

text_value!(
    /// A filter of `tracing`.
    LogFilter(String), log_filter, "a level such as `info`", { "type": "string" }
);

fn log_filter(text: &str) -> Result<LogFilter, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_word = !text.contains(['=', ',', '[', ':']);
    if is_word && !LEVELS.contains(&text.to_ascii_lowercase().as_str()) {
        let hint = suggest::closest(text, LEVELS).map_or_else(
            || "error, warn, info, debug, trace or off".to_owned(),
            |word| format!("did you mean `{word}`?"),
        );
        return Err(with_hint(format!("`{text}` is not a log level"), hint));
    }
    if tracing_subscriber::EnvFilter::builder().parse(text).is_err() {
        return Err(with_hint("this log filter is not understood", "write `info` or `info,attache=debug`"));
    }
    Ok(LogFilter(text.to_owned()))
}

text_value!(
    /// An address, with a port or without.
    NameServer(SocketAddr), name_server, "an IP address such as `10.0.0.2`", { "type": "string" }
);

fn name_server(text: &str) -> Result<NameServer, String> {
    let bare = || text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 53));
    text.parse()
        .ok()
        .or_else(bare)
        .map(NameServer)
        .ok_or_else(|| with_hint(format!("`{text}` is not a name server"), "an IP address, with or without a port"))
}

text_value!(
    /// Where the admin listener is.
    AdminPlace(AdminAddress), place, "an address such as `127.0.0.1:9901` or `unix:/run/attache.sock`", {
    "type": "string",
    "description": "IP address and port, or a unix socket: 127.0.0.1:9901, unix:/run/attache.sock."
});

fn place(text: &str) -> Result<AdminPlace, String> {
    match AdminAddress::parse(text) {
        Ok(address) => Ok(AdminPlace(address)),
        Err(message) if text.starts_with("unix:") => Err(with_hint(message, "write `unix:/run/attache.sock`")),
        // The messages for other addresses to bind fit this one.
        Err(_) => bind(text).map(|bind| AdminPlace(AdminAddress::Tcp(bind.0))),
    }
}

written!(LatencyBuckets => Vec<f64>);

/// Where an admin listener is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// A unix socket at an absolute path.
    Unix(PathBuf),
}

impl AdminAddress {
    /// Reads `127.0.0.1:9901` or `unix:/path`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(path) = text.strip_prefix("unix:") else {
            let address = text.parse().map(Self::Tcp);
            return address.map_err(|_error| format!("`{text}` is not an IP address and port"));
        };
        let path = path.strip_prefix("//").unwrap_or(path);
        // The kernel's limit, with its final zero.
        if path.starts_with('/') && path.len() < 108 {
            Ok(Self::Unix(PathBuf::from(path)))
        } else {
            Err(format!("`{text}` does not name a socket by a path of at most 107 bytes"))
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "http://{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
