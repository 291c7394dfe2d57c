//! `clusters.X`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;

use super::adaptive::AdaptiveConcurrency;
use super::circuit_breaker::CircuitBreaker;
use super::health::HealthCheck;
use super::outlier::{OutlierDetection, Panic};
use super::wire::{Http2, TcpKeepalive};
use super::{
    ANY, Count, Limit, MILLION, Many, Named, OrOff, Seconds, Time, choice, find, one_of, section, text_or, words,
};
use crate::config::de::with_hint;
use crate::config::forms::names::target;
use crate::config::forms::words::Word;
use crate::config::suggest;
use crate::config::types::{BindingPlace, HashKey, LoadBalancer, Member, MemberAddress};

section! {
    #[derive()]
    /// One upstream: endpoints that do the same job.
    pub(in crate::config) struct Cluster {
        /// Where it runs.
        endpoints: Option<Many<Member>>; one of members,
        /// Endpoints from a DNS name, instead of `endpoints`.
        discovery: Option<Discovery>; whole one of members,
        /// How an endpoint is chosen.
        load_balancer: LoadBalancer = "least-connection"; whole,
        /// HTTP version: http/1.1, h2, h2c or auto. Default: http/1.1, or auto with TLS.
        protocol: Option<UpstreamProtocol>,
        /// Connect with TLS; `{}` is enough for a public certificate.
        tls: Option<Tls>,
        /// TCP connect.
        connect_timeout: Duration as Limit = 5s,
        /// TLS handshake.
        handshake_timeout: Duration as Limit = 10s,
        /// Idle connections.
        keepalive: Keepalive = {},
        /// How an endpoint that vanished is noticed.
        tcp_keepalive: Option<TcpKeepalive> as OrOff<TcpKeepalive> = {},
        /// HTTP/2.
        http2: Http2 = {},
        /// Ask endpoints at intervals whether they are well.
        health_check: Option<HealthCheck> as OrOff<HealthCheck> = off,
        /// What it carries at once, and when it is left alone.
        circuit_breaker: CircuitBreaker = {},
        /// How many requests it carries at once, found out by how long its answers take; `{}` is enough.
        adaptive_concurrency: Option<AdaptiveConcurrency> as OrOff<AdaptiveConcurrency> = off,
        /// When traffic takes an endpoint out. Default: after 5 failures in a row that show it down or broken; `{}`
        /// counts every 5xx.
        outlier_detection: Option<OrOff<OutlierDetection>>,
        /// What happens when too few endpoints are usable; `off` keeps to those that are.
        panic: Option<Panic> as OrOff<Panic> = {},
        /// How long an endpoint that joins or returns takes to its full weight.
        slow_start: Option<Duration> as OrOff<Limit> = 30s,
        /// How long an endpoint that is removed or has the weight 0 still gets calls about tasks that go on at it;
        /// `off`: not at all.
        drain_tasks: Option<Duration> as OrOff<Seconds<1, 604_800>> = 5m,
        /// `prefer` keeps to endpoints whose label `zone` is the gateway's, `ignore` does not.
        zones: Zones = prefer,
    }

    #[derive()]
    /// Endpoints by name.
    pub(in crate::config) struct Discovery {
        /// `name:port`; each address of the name is an endpoint.
        dns: Option<MemberAddress> [schemars(required)],
        /// Ask again after. Default: the answer's TTL, 1 to 300 s.
        refresh: Option<Duration> as Time,
        /// Port for gRPC calls at each address. Default: that of `dns`.
        grpc: Option<u16> as Count<1, 65_535>,
    }

    #[derive(PartialEq, Eq)]
    /// Upstream TLS.
    pub struct Tls {
        /// PEM bundle of accepted authorities; relative to this file. Default: the system's.
        ca_file: Option<PathBuf> as String,
        /// Name to ask for and verify. Default: the endpoint's.
        server_name: Option<String>,
        /// Names of which an endpoint's certificate must hold one, instead of the server name: DNS names, IP addresses
        /// and URIs such as `spiffe://example.org/agent`, letter for letter.
        subject_alt_names: Vec<String> as Many<String>; empty,
        /// PEM client certificate chain; relative to this file.
        cert_file: Option<PathBuf> as String,
        /// PEM client key; relative to this file.
        key_file: Option<PathBuf> as String,
    }

    #[derive()]
    /// Idle connections.
    pub(in crate::config) struct Keepalive {
        /// Close an idle connection after, or sooner where the agent's `Keep-Alive: timeout=` says so.
        idle_timeout: Duration as Limit = 60s,
        /// Idle connections kept per endpoint and worker.
        max_idle: usize as Count<0, MILLION> = 256,
    }

    #[derive()]
    /// An endpoint with more than an address.
    pub(in crate::config) struct EndpointFields {
        /// Host or IP address, and port.
        address: Option<MemberAddress> [schemars(required)],
        /// Where the same replica takes gRPC calls: a port of the same host, or an IP address and port. Load, health
        /// and tasks are the replica's. Default: `address`.
        grpc: Option<BindingPlace>,
        /// Share of the load; 0 drains it.
        weight: u32 as Count<0, ANY> = 1 [schemars(range(max = 1_000_000))],
        /// Free labels, such as `zone`.
        labels: Vec<(String, String)> as Named<String> = {},
        /// Group: endpoints of a higher number are used when too few of the lower ones are usable.
        priority: u32 as Count<0, ANY> = 0 [schemars(range(max = 100))],
    }
}

choice! {
    /// HTTP version towards upstreams.
    pub enum UpstreamProtocol {
        /// HTTP/1.1.
        Http1 = ["http/1.1", "http1", "h1"],
        /// HTTP/2 over TLS (ALPN must agree).
        H2 = ["h2", "http/2", "http2"],
        /// HTTP/2 in the clear, with prior knowledge.
        H2c = ["h2c"],
        /// By ALPN over TLS, HTTP/1.1 in the clear.
        Auto = ["auto"],
    }

    /// Whether the gateway's own zone is preferred.
    pub(in crate::config) enum Zones {
        /// Its endpoints come first.
        Prefer = ["prefer", "prefer-local", "local", "prefer-close"],
        /// It makes no difference.
        Ignore = ["ignore", "off", "any"],
    }
}

impl fmt::Display for UpstreamProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Auto { "http/1.1 or h2 by ALPN" } else { self.word() })
    }
}

impl Tls {
    /// Client certificate and key, which come together.
    #[must_use]
    pub fn client_cert(&self) -> Option<(&Path, &Path)> {
        self.cert_file.as_deref().zip(self.key_file.as_deref())
    }
}

/// Largest weight of an endpoint, so that sums of weights stay far from overflow.
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_PRIORITY: u32 = 100;

impl TryFrom<EndpointFields> for Member {
    type Error = String;
    fn try_from(fields: EndpointFields) -> Result<Self, String> {
        let EndpointFields { address, grpc, weight, labels, priority } = fields;
        let address =
            address.ok_or_else(|| with_hint("an endpoint needs an address", "write `address: \"10.0.0.1:8080\"`"))?;
        if weight > MAX_WEIGHT {
            let hint = format!("0 to {MAX_WEIGHT}; only the ratio matters");
            return Err(with_hint(format!("the weight {weight} is too large"), hint));
        }
        if priority > MAX_PRIORITY {
            let hint = format!("0, the first to be used, to {MAX_PRIORITY}");
            return Err(with_hint(format!("the priority {priority} is too large"), hint));
        }
        if let (MemberAddress::Name { .. }, Some(BindingPlace::Address(own))) = (&address, &grpc) {
            let hint = format!("write `grpc: {}`", own.port());
            return Err(with_hint("every address of the name would share this one for gRPC", hint));
        }
        Ok(Self { address, weight, priority, labels: labels.into_iter().collect(), grpc })
    }
}

text_or!(Member as "Endpoint", EndpointFields, "`host:port`, or a mapping with `address`", bare_endpoint, as MemberAddress);

fn bare_endpoint(text: &str) -> Result<Member, String> {
    EndpointFields { address: Some(target(text)?), ..EndpointFields::default() }.try_into()
}

section! {
    #[derive()]
    /// The long form of a policy.
    pub(in crate::config) struct LoadBalancerFields {
        /// Rendezvous hash on `clientIp`, `{ header: name }` or `{ cookie: name }`.
        hash: Option<HashKey>,
    }
}

words!(
    LoadBalancer, "LoadBalancerPolicy",
    Self::LeastConnection => ["least-connection", "least-connections", "least-conn", "least-request", "least-requests"],
    Self::RoundRobin => ["round-robin", "rr"],
    Self::Random => ["random"],
    Self::PeakEwma => ["peak-ewma", "ewma", "least-time"],
);

impl TryFrom<LoadBalancerFields> for LoadBalancer {
    type Error = String;
    fn try_from(fields: LoadBalancerFields) -> Result<Self, String> {
        let key = fields
            .hash
            .ok_or_else(|| with_hint("this says nothing", "write `hash: clientIp`, or a policy's name alone"))?;
        Ok(Self::Hash(key))
    }
}

text_or!(
    LoadBalancer, LoadBalancerFields, "a policy's name, or `{ hash: .. }`",
    |text| match suggest::fold(text).as_str() {
        "hash" | "ringhash" | "maglev" | "iphash" | "consistenthash" | "source" => Err(with_hint(
            format!("`{text}` needs to say on what"),
            "write `{ hash: clientIp }`, `{ hash: { header: name } }` or `{ hash: { cookie: name } }`",
        )),
        _ => find(text),
    },
    as Word<LoadBalancer>
);

one_of! {
    /// Exactly one of these.
    HashKeyFields => HashKey {
        /// A request header.
        header: String => |name| field(&name).map(HashKey::Header),
        // A cookie's name is a token (RFC 6265), and so is a header's, but with case.
        /// A cookie.
        cookie: String => |name| field(&name).map(|_| HashKey::Cookie(name)),
    }
}

pub(super) fn field(name: &str) -> Result<HeaderName, String> {
    let illegal = |_| with_hint(format!("`{name}` is not a legal name"), "letters, digits and `-`");
    HeaderName::try_from(name).map_err(illegal)
}

text_or!(
    HashKey, HashKeyFields, "`clientIp`, `{ header: .. }` or `{ cookie: .. }`",
    |text| find(text).map_err(|error| {
        if error.contains("did you mean") {
            return error;
        }
        let shown: String = text.chars().take(60).collect();
        with_hint(
            format!("`{shown}` does not say where it is"),
            "write `{ header: x-context-id }`, `{ cookie: session }` or `clientIp`",
        )
    }),
    as Word<HashKey>
);

words!(HashKey, "HashWord", Self::ClientIp => ["clientIp", "source-ip"]);
