//! `listeners.X`.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{Method, StatusCode};
use ipnet::IpNet;
use schemars::json_schema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::abuse::IpAccess;
use super::acme::Acme;
use super::wire::{Http2, TcpKeepalive};
use super::{
    Bind, Bytes, Count, Limit, List, Network, OrOff, PathText, Size, Status, Written, choice, schema_of, section,
};
use crate::config::types::{HostPattern, PublicUrl};
use crate::config::units::time;

section! {
    #[derive(PartialEq)]
    /// One entry point.
    pub(in crate::config) struct Listener {
        /// IP address and port to bind.
        address: Option<SocketAddr> as Bind,
        /// HTTP versions, in order of preference. Without TLS, h2 is for clients that begin with it (prior knowledge),
        /// as gRPC clients do.
        protocols: Vec<HttpVersion> as List<HttpVersion> = [h2, "http/1.1"],
        /// Where clients see this listener, when that is not its address: `https://agents.example.com`, with a port or
        /// path where there is one. Default: what trusted proxies say, else the connection.
        public_url: Option<PublicUrl>,
        /// Redirect requests to HTTPS, except where a trusted proxy says that the client uses it already.
        https_redirect: Option<HttpsRedirectTo> as HttpsRedirect = false,
        /// Terminate TLS.
        tls: Option<Tls>,
        /// Ceilings and time limits.
        limits: Limits = {},
        /// How a client that vanished is noticed.
        tcp_keepalive: Option<TcpKeepalive> as OrOff<TcpKeepalive> = {},
        /// HTTP/2.
        http2: Http2 = {},
        /// Expect a PROXY protocol header from these peers.
        proxy_protocol: Option<ProxyProtocol>,
        /// Which addresses of clients are served.
        ip_access: Option<IpAccess> as OrOff<IpAccess> = off,
        /// Path normalisation.
        paths: PathPolicy = {},
        /// A list of the agents that clients reach through this listener, with what their cards say: `{}` serves it at
        /// `/.well-known/agents.json`.
        catalog: Option<Catalog> as OrOff<Catalog> = off,
    }

    #[derive(PartialEq, Eq)]
    /// A list of agents.
    pub struct Catalog {
        /// Where it is, also where a route has this path.
        path: String as PathText = "/.well-known/agents.json",
        /// How long a card counts before its agent is asked again.
        ttl: Duration as Limit = 60s,
        /// How long an agent has for its card; an answer waits for no agent longer than this.
        timeout: Duration as Limit = 3s,
    }

    #[derive(PartialEq)]
    /// Where an HTTPS redirect leads.
    pub(in crate::config) struct HttpsRedirectTo {
        /// The listener redirected to. Default: the only one with TLS.
        listener: Option<String>,
        /// 301, 302, 303, 307 or 308. Default: 301 for GET and HEAD, 308 for the rest.
        status: Option<StatusCode> as Status,
    }

    #[derive(PartialEq, Eq)]
    /// TLS termination.
    pub struct Tls {
        /// Lowest version accepted.
        min_version: TlsVersion = "1.2",
        /// Certificates, chosen by SNI; the first is the default.
        certificates: Vec<Certificate> as List<Certificate> = [],
        /// What a handshake for an unknown name gets: the first certificate, or an end.
        unknown_sni: UnknownSni = default,
        /// Client certificates.
        client_auth: ClientAuth = {},
        /// Order certificates and renew them.
        acme: Option<Acme>,
    }

    #[derive(PartialEq, Eq)]
    /// A certificate chain and its key.
    pub struct Certificate {
        /// Names it serves. Default: those it holds.
        hosts: Vec<HostPattern> as List<HostPattern>; empty,
        /// PEM chain, in any order; relative to this file.
        cert_file: PathBuf as String; empty,
        /// PEM private key; relative to this file.
        key_file: PathBuf as String; empty,
    }

    #[derive(PartialEq, Eq)]
    /// Client certificates.
    pub struct ClientAuth {
        /// Whether clients are asked for a certificate, and must have one.
        mode: AuthMode = none,
        /// PEM bundle of accepted authorities; relative to this file.
        ca_file: Option<PathBuf> as String,
        /// PEM bundle of revocation lists, one of each authority in a client's chain; relative to this file. Where one
        /// is missing or out of date, its clients are refused.
        crl_file: Option<PathBuf> as String,
    }

    #[derive(PartialEq, Eq)]
    /// Ceilings and time limits of a listener.
    pub struct Limits {
        /// Open connections; more wait in the kernel's queue.
        max_connections: usize as Count<1, 10_000_000> = 10000,
        /// Open connections of one client address.
        max_connections_per_ip: Option<usize> as OrOff<Count<1, 10_000_000>> = off,
        // Below 8 KiB hyper refuses to work.
        /// Size of a request head; over it the answer is 431.
        max_header_bytes: usize as Bytes<{ 8 << 10 }, { 16 << 20 }> = 64KiB,
        /// Header fields in a request; over it the answer is 431.
        max_headers: usize as Count<1, 10_000> = 100,
        // A request target beyond 65,534 bytes cannot be represented.
        /// Length of the request target; over it the answer is 414.
        max_target_bytes: usize as Bytes<128, 65_534> = 16KiB,
        /// Size of a request body; over it the answer is 413.
        max_body_bytes: Option<u64> as OrOff<Size> = 16MiB,
        /// Time for a request head, from its first byte.
        header_timeout: Duration as Limit = 10s,
        /// Keep-alive without a request.
        idle_timeout: Duration as Limit = 75s,
        /// Between two pieces of a body: for the client to send one while no answer streams, or to take one, and for a
        /// stalled agent to ask for one.
        body_idle_timeout: Duration as Limit = 30s,
        /// How long an HTTP/1 client that has closed its direction is answered before it is taken as gone, which
        /// cancels the agent's work; `off` takes it as gone at once.
        half_close_timeout: Duration as OrOff<Limit> = 500ms,
        /// Time for a TLS handshake, PROXY header included.
        handshake_timeout: Duration as Limit = 10s,
        /// Streams of one HTTP/2 connection.
        max_concurrent_streams: u32 as Count<1, 65_535> = 100,
    }

    #[derive(PartialEq)]
    /// PROXY protocol.
    pub(in crate::config) struct ProxyProtocol {
        /// Peers that must send the header and are believed. Required.
        trusted: Vec<IpNet> as List<Network> = [],
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Path normalisation (RFC 3986 section 6.2.2). What is matched is what is forwarded.
    pub struct PathPolicy {
        /// Merge runs of slashes.
        merge_slashes: bool = true,
        /// Pass `%2F` and `%5C` unchanged instead of refusing them with 400. `%00` is always refused.
        allow_encoded_slash: bool = false,
    }
}

choice! {
    /// An HTTP version a listener may speak.
    pub enum HttpVersion {
        /// HTTP/1.0 and HTTP/1.1.
        Http1 = ["http/1.1", "http1", "h1", "http/1"],
        /// HTTP/2.
        H2 = ["h2", "http/2", "http2", "h2c"],
    }

    /// A TLS protocol version.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246) with AEAD and ECDHE suites only.
        V12 = ["1.2", "TLSv1.2", "TLSv1_2"],
        /// TLS 1.3 (RFC 8446).
        V13 = ["1.3", "TLSv1.3", "TLSv1_3"],
    }

    /// What to do when SNI names a host no certificate serves. A handshake without SNI always gets the default
    /// certificate.
    pub enum UnknownSni {
        /// Serve the first certificate.
        Default = ["default"],
        /// End the handshake with an `unrecognized_name` alert.
        Reject = ["reject"],
    }

    /// How client certificates are asked for.
    pub enum AuthMode {
        /// Not at all.
        None = ["none", "off"],
        /// Verified when presented.
        Optional = ["optional"],
        /// Handshakes without one fail.
        Require = ["require", "required", "mutual"],
    }
}

impl Catalog {
    /// Whether a request for this path asks for it.
    #[must_use]
    pub fn is_asked_for(&self, method: &Method, path: &str) -> bool {
        matches!(*method, Method::GET | Method::HEAD) && path == self.path
    }
}

/// How long cards count, and how long is waited for them.
impl fmt::Display for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cards count for {}, each agent has {} for one", time(self.ttl), time(self.timeout))
    }
}

impl ClientAuth {
    /// PEM bundle of the authorities by which clients are verified, if they are.
    #[must_use]
    pub fn authorities(&self) -> Option<&Path> {
        self.ca_file.as_deref().filter(|_| self.mode != AuthMode::None)
    }

    /// PEM bundle of the revocation lists that are looked into, if any are.
    #[must_use]
    pub fn revocation_lists(&self) -> Option<&Path> {
        self.crl_file.as_deref().filter(|_| self.mode != AuthMode::None)
    }
}

/// `true`, or where to.
#[derive(Clone, Debug)]
pub(in crate::config) struct HttpsRedirect(Option<HttpsRedirectTo>);

impl Written<Option<HttpsRedirectTo>> for HttpsRedirect {
    fn meaning(self) -> Option<HttpsRedirectTo> {
        self.0
    }
}

impl<'de> Deserialize<'de> for HttpsRedirect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = HttpsRedirect;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a mapping")
            }
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<HttpsRedirect, E> {
                Ok(HttpsRedirect(on.then(HttpsRedirectTo::default)))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HttpsRedirect, A::Error> {
                HttpsRedirectTo::deserialize(MapAccessDeserializer::new(map)).map(|to| HttpsRedirect(Some(to)))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

schema_of!(HttpsRedirect as "HttpsRedirect", |generator| {
    json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<HttpsRedirectTo>()] })
});
