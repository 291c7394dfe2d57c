//! Upstream clusters: endpoints, balancing, the connections to them.

use std::fmt;
use std::time::Duration;

use super::{
    AdaptiveConcurrency, CircuitBreaker, HealthCheck, Http2Keepalive, LoadBalancer, Member, OutlierDetection, Panic,
    TcpKeepalive, UpstreamProtocol, UpstreamTls,
};
use crate::config::units::time;

/// One upstream cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name in the file.
    pub name: String,
    /// Where its endpoints come from.
    pub members: Vec<Member>,
    /// How one is chosen.
    pub load_balancer: LoadBalancer,
    /// HTTP version spoken upstream.
    pub protocol: UpstreamProtocol,
    /// Set when connections use TLS.
    pub tls: Option<UpstreamTls>,
    /// TCP connect. Default 5 s.
    pub connect_timeout: Duration,
    /// TLS handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// An idle pooled connection is closed after this. Default 60 s.
    pub idle_timeout: Duration,
    /// Idle connections kept per endpoint and worker. Default 256.
    pub max_idle: usize,
    /// How the kernel notices an endpoint that vanished; `None` means it does not.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames over HTTP/2; `None` means none.
    pub http2_keepalive: Option<Http2Keepalive>,
    /// Re-resolution of names; `None` means by TTL, 1 to 300 s.
    pub dns_refresh: Option<Duration>,
    /// How endpoints are asked whether they are well; `None` means they are not.
    pub health_check: Option<HealthCheck>,
    /// What it carries at once, and when it is left alone. Off by default.
    pub circuit_breaker: CircuitBreaker,
    /// How many requests it carries at once, found out from its answers; `None` means that is not found out.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// How long an endpoint that joins or returns takes to its full weight; `None` means at once. Default 30 s.
    pub slow_start: Option<Duration>,
    /// How long an endpoint that is removed or drains still gets calls about its tasks; `None` means not at all.
    /// Default 5 min.
    pub drain_tasks: Option<Duration>,
    /// When too few endpoints are usable, and what then.
    pub panic: Panic,
    /// When traffic takes an endpoint out; `None` means never.
    pub outlier_detection: Option<OutlierDetection>,
    /// The zone whose endpoints are preferred: the gateway's.
    pub zone: Option<String>,
}

impl Cluster {
    /// Whether endpoints have bindings for gRPC of their own.
    #[must_use]
    pub fn has_grpc(&self) -> bool {
        self.members.iter().any(|member| member.grpc.is_some())
    }

    /// Which of its endpoints are preferred, and what happens when too few are usable, in words.
    #[must_use]
    pub fn preference(&self) -> String {
        let zone = self.zone.as_ref().map(|zone| format!("zone {zone} first"));
        let has_groups = self.members.iter().any(|member| member.priority > 0);
        let groups = has_groups.then(|| "groups by priority".to_owned());
        let start =
            self.slow_start.map_or_else(|| "no slow start".to_owned(), |window| format!("slow start {}", time(window)));
        let parts = zone.into_iter().chain(groups).chain([start, self.panic.to_string()]);
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// How it is balanced and connected to.
impl fmt::Display for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls.is_some() { "TLS" } else { "cleartext" };
        let connect = time(self.connect_timeout);
        write!(f, "{}, {}, {}, {tls}, connect timeout {connect}", self.name, self.load_balancer, self.protocol)
    }
}
