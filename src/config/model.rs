//! The validated configuration: every value here is legal by construction and every reference resolved. Built only by
//! this room from the raw YAML types; the rest of the gateway reads nothing else.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;

/// The whole configuration of one gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` means the cores of the cgroup.
    pub workers: Option<NonZeroUsize>,
    /// Entry points, in name order. A [`ListenerId`] indexes this list.
    pub listeners: Vec<Listener>,
    /// Routes, in name order. A [`RouteId`] indexes this list.
    pub routes: Vec<Route>,
    /// Upstream clusters, in name order. A [`ClusterId`] indexes this list.
    pub clusters: Vec<Cluster>,
    /// Whose forwarding headers are believed.
    pub client_ip: ClientIp,
    /// The access log.
    pub access_log: AccessLog,
    /// The listener for `/metrics`, `/health`, `/ready` and `/startup`.
    pub metrics: Metrics,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// Lifecycle logging.
    pub logging: Logging,
    /// DNS settings shared by every cluster.
    pub dns: Dns,
    /// Hash of the configuration's content (all files, after includes), hexadecimal.
    pub hash: String,
}

/// Index into [`Config::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Index into [`Config::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// Index into [`Config::clusters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub usize);

/// One entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Where it binds.
    pub address: SocketAddr,
    /// HTTP versions spoken, in ALPN order. On cleartext, `H2` means prior knowledge (h2c).
    pub protocols: Vec<HttpVersion>,
    /// Set when the listener only redirects to HTTPS.
    pub https_redirect: Option<HttpsRedirect>,
    /// Set when the listener terminates TLS.
    pub tls: Option<ListenerTls>,
    /// Ceilings and time limits.
    pub limits: Limits,
    /// Peers whose PROXY protocol header is required and believed; empty means off.
    pub proxy_protocol: Vec<IpNet>,
    /// How paths are normalised before matching and forwarding.
    pub paths: PathPolicy,
}

/// An HTTP version a listener may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2.
    H2,
}

/// A listener that answers everything with a redirect to HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// Port of the HTTPS listener; left out of `Location` when it is 443.
    pub port: u16,
    /// A fixed status; `None` means 301 for GET and HEAD and 308 for the rest.
    pub status: Option<StatusCode>,
    /// Hosts that may be redirected to: the hosts of the target's routes and certificates. Empty means any valid host.
    pub hosts: Vec<HostPattern>,
}

/// TLS termination at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Lowest version accepted.
    pub min_version: TlsVersion,
    /// Certificates, at least one; the first is the default.
    pub certificates: Vec<Certificate>,
    /// What a handshake for an unknown name gets.
    pub unknown_sni: UnknownSni,
    /// Client certificates.
    pub client_auth: ClientAuth,
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246) with AEAD and ECDHE suites only.
    V12,
    /// TLS 1.3 (RFC 8446).
    V13,
}

/// A certificate chain and its key, as files that are re-read when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Names it serves; empty means those of its SAN extension.
    pub hosts: Vec<HostPattern>,
    /// PEM chain, leaf first.
    pub cert_file: PathBuf,
    /// PEM private key.
    pub key_file: PathBuf,
}

/// What to do when SNI names a host no certificate serves. A handshake without SNI always gets the default certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownSni {
    /// Serve the first certificate.
    Default,
    /// End the handshake with an `unrecognized_name` alert.
    Reject,
}

/// Client certificate policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Verified when presented.
    Optional {
        /// PEM bundle of the accepted authorities.
        ca_file: PathBuf,
    },
    /// Handshakes without a valid one fail.
    Require {
        /// PEM bundle of the accepted authorities.
        ca_file: PathBuf,
    },
}

/// Ceilings and time limits of one listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections; more wait in the kernel's queue. Default 10,000.
    pub max_connections: usize,
    /// Open connections of one client address; `None` means no ceiling. Default none.
    pub max_connections_per_ip: Option<usize>,
    /// Size of a request head. Default 64 KiB; over it the answer is 431.
    pub max_header_bytes: usize,
    /// Header fields in a request. Default 100; over it the answer is 431.
    pub max_headers: usize,
    /// Length of the request target. Default 16 KiB; over it the answer is 414.
    pub max_target_bytes: usize,
    /// Size of a request body; `None` means no ceiling. Default 16 MiB; over it the answer is 413.
    pub max_body_bytes: Option<u64>,
    /// From the first byte of a head to its end. Default 10 s.
    pub header_timeout: Duration,
    /// Keep-alive without a request. Default 75 s.
    pub idle_timeout: Duration,
    /// Between two pieces of a request body, and while a client does not read what is written to it. Default 30 s.
    pub body_idle_timeout: Duration,
    /// A TLS handshake, PROXY header included. Default 10 s.
    pub handshake_timeout: Duration,
    /// Streams per HTTP/2 connection. Default 100.
    pub max_concurrent_streams: u32,
}

/// Path normalisation (RFC 3986 section 6.2.2). What is matched is what is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathPolicy {
    /// Merge runs of slashes. Default true.
    pub merge_slashes: bool,
    /// Pass `%2F` and `%5C` through unchanged instead of refusing them with 400. `%00` is always refused. Default false.
    pub allow_encoded_slash: bool,
}

/// A host to match, lower case and without port or trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One name or address; IPv6 addresses in brackets.
    Exact(String),
    /// `*.example.com` holds `example.com`: one or more labels before it (Gateway API).
    Wildcard(String),
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in the file.
    pub name: String,
    /// Listeners it is reachable through (those that redirect to HTTPS are never among them).
    pub listeners: Vec<ListenerId>,
    /// Hosts it serves; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// Alternatives, at least one: the route matches when any does.
    pub matches: Vec<Match>,
    /// What happens to a request that matches.
    pub action: Action,
    /// Changes to the request before it is forwarded.
    pub rewrite: Option<Rewrite>,
    /// Header changes towards the upstream.
    pub request_headers: HeaderChanges,
    /// Header changes towards the client.
    pub response_headers: HeaderChanges,
    /// The Host header towards upstreams.
    pub upstream_host: UpstreamHost,
    /// Total time of an ordinary exchange; for event and gRPC streams it ends at the response head. Default none.
    pub timeout: Option<Duration>,
    /// Time from a request sent to its response head, per try. `None` is the default: 30 s for GET and HEAD, else none.
    pub response_head_timeout: Option<Duration>,
    /// Limits of event and gRPC streams.
    pub streaming: Streaming,
    /// Whether `Upgrade: websocket` is passed on. Default false.
    pub websocket: bool,
    /// Overrides [`Limits::max_body_bytes`]; `u64::MAX` switches the ceiling off.
    pub max_body_bytes: Option<u64>,
    /// Requests that write no access record.
    pub access_log: bool,
}

/// Limits of a streamed response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streaming {
    /// Upstream silence. Default 5 min; `None` means no limit (`off`).
    pub idle_timeout: Option<Duration>,
    /// Whole life of a stream. Default none.
    pub max_duration: Option<Duration>,
}

/// One alternative of a route's match: all parts must hold.
#[derive(Clone, Debug)]
pub struct Match {
    /// The path. Default: prefix `/`.
    pub path: PathMatch,
    /// Methods; empty means all.
    pub methods: Vec<Method>,
    /// Headers that must be there.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters that must be there (decoded, case-sensitive, first occurrence).
    pub query: Vec<QueryMatch>,
}

/// How a path is matched.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/v2` matches `/v2` and `/v2/x`, not `/v2example`. Kept without a trailing slash,
    /// `/` as the empty string.
    Prefix(String),
    /// The whole path, by a linear-time regular expression (anchored at both ends).
    Regex(regex::Regex),
}

/// A header condition.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The field.
    pub name: HeaderName,
    /// Its value.
    pub value: ValueMatch,
}

/// A query parameter condition.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The parameter, percent-decoded.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// A condition on one value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Whole value, anchored.
    Regex(regex::Regex),
    /// There at all.
    Present,
}

/// What a route does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Forward to a cluster.
    Forward(ClusterId),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer at once.
    Respond(Respond),
}

/// A redirect answer. Parts not given are the request's.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308; `None` means 302 for GET and HEAD and 307 for the rest.
    pub status: Option<StatusCode>,
    /// `http` or `https`.
    pub scheme: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Port.
    pub port: Option<NonZeroU16>,
    /// Whole path.
    pub path: Option<String>,
    /// Replaces the matched prefix.
    pub prefix: Option<String>,
}

/// A direct answer.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
    /// Content type. Default `text/plain; charset=utf-8`, or `application/json` when the body is a JSON object or list.
    pub content_type: HeaderValue,
}

/// A change of the path before forwarding.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Replace the matched prefix (with an exact match: the whole path).
    Prefix(String),
    /// Replace the whole path.
    Path(String),
    /// Replace by regular expression with capture groups (`$1`).
    Regex {
        /// What is looked for.
        pattern: regex::Regex,
        /// What it is replaced with.
        replacement: String,
    },
}

/// Header changes, applied in the order remove, set, add.
#[derive(Clone, Debug, Default)]
pub struct HeaderChanges {
    /// Fields taken out.
    pub remove: Vec<HeaderName>,
    /// Fields replaced.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields added beside those there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Set `strict-transport-security: max-age=31536000; includeSubDomains`, on TLS connections only.
    pub hsts: bool,
}

/// The Host header (or `:authority`) towards upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The client's.
    Preserve,
    /// The endpoint's name and port as written in the configuration.
    Endpoint,
    /// This one.
    Fixed(HeaderValue),
}

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
    /// Re-resolution of names; `None` means by TTL, 1 to 300 s.
    pub dns_refresh: Option<Duration>,
}

/// A configured endpoint, or a name that stands for several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is.
    pub address: MemberAddress,
    /// Share of the load; 0 means draining. Default 1.
    pub weight: u32,
    /// Free labels (`zone`).
    pub labels: BTreeMap<String, String>,
}

/// Address of a [`Member`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MemberAddress {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A name that is resolved; each of its addresses becomes an endpoint.
    Name {
        /// The DNS name, lower case.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Load-balancing policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadBalancer {
    /// Fewest requests and streams in flight per weight; ties at random.
    LeastConnection,
    /// In turn, by weight.
    RoundRobin,
    /// At random, by weight.
    Random,
    /// Rendezvous hash.
    Hash(HashKey),
}

/// What a hash policy keys on. A request without it is balanced at random.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The client address.
    ClientIp,
    /// A request header.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
}

/// HTTP version towards upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS (ALPN must agree).
    H2,
    /// HTTP/2 in the clear, with prior knowledge.
    H2c,
    /// By ALPN over TLS, HTTP/1.1 in the clear.
    Auto,
}

/// TLS towards upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM bundle of accepted authorities; `None` means the system's (with Mozilla's as a fallback).
    pub ca_file: Option<PathBuf>,
    /// Name for SNI and verification; `None` means the endpoint's configured name.
    pub server_name: Option<String>,
    /// Client certificate and key.
    pub client_cert: Option<(PathBuf, PathBuf)>,
}

/// Whose word on the client's address is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientIp {
    /// Networks of proxies in front of us.
    pub trusted_proxies: Vec<IpNet>,
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
