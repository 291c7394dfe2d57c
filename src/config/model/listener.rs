//! Entry points: addresses, TLS, ceilings and time limits.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;

use super::{Http2Keepalive, ListenerId, PublicUrl, TcpKeepalive};

/// One entry point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name in the file.
    pub name: String,
    /// Where it binds.
    pub address: SocketAddr,
    /// HTTP versions spoken, in ALPN order. On cleartext, `H2` means prior knowledge (h2c).
    pub protocols: Vec<HttpVersion>,
    /// Where clients see it. A listener that redirects without one of its own has that of the listener it leads to.
    pub public_url: Option<Box<PublicUrl>>,
    /// Set when the listener redirects to HTTPS.
    pub https_redirect: Option<HttpsRedirect>,
    /// Set when the listener terminates TLS.
    pub tls: Option<ListenerTls>,
    /// Ceilings and time limits.
    pub limits: Limits,
    /// How the kernel notices a client that vanished; `None` means it does not.
    pub tcp_keepalive: Option<TcpKeepalive>,
    /// PING frames over HTTP/2; `None` means none.
    pub http2_keepalive: Option<Http2Keepalive>,
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

/// A listener that redirects everybody to HTTPS who is not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// Port of the HTTPS listener, where no public URL says what clients use; left out of `Location` when it is 443.
    pub port: u16,
    /// Whose routes serve clients that are on HTTPS already, by the word of a trusted proxy in front.
    pub serves: ListenerId,
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
    /// Between two pieces of a request body while no answer streams, and while a client does not read what is written
    /// to it. Default 30 s.
    pub body_idle_timeout: Duration,
    /// For the answer of an HTTP/1 client that has closed its direction. Default 500 ms; zero means that it is gone at
    /// once (`off`).
    pub half_close_timeout: Duration,
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
    /// Pass `%2F` and `%5C` through unchanged instead of refusing them with 400. `%00` is always refused. Default
    /// false.
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
