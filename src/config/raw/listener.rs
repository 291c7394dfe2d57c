//! `listeners.X`.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::OrOff;
use super::names::Host;
use super::public::PublicUrl;
use super::values::{Bind, Network, Size, Status, Time};
use super::wire::{Http2, TcpKeepalive};
use super::words::{AuthMode, Word};
use crate::config::de::invalid;
use crate::config::model::{HttpVersion, TlsVersion, UnknownSni};

/// One entry point.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Listener {
    /// IP address and port to bind.
    pub(in crate::config) address: Option<Bind>,
    /// HTTP versions, in order of preference. Without TLS, h2 is for clients that begin with it (prior knowledge), as
    /// gRPC clients do. Default: h2 and http/1.1.
    pub(in crate::config) protocols: Option<Vec<Word<HttpVersion>>>,
    /// Where clients see this listener, when that is not its address: `https://agents.example.com`, with a port or path
    /// where there is one. Default: what trusted proxies say, else the connection.
    pub(in crate::config) public_url: Option<PublicUrl>,
    /// Redirect everybody to HTTPS who is not there by the word of a trusted proxy.
    pub(in crate::config) https_redirect: Option<HttpsRedirect>,
    /// Terminate TLS.
    pub(in crate::config) tls: Option<Tls>,
    /// Ceilings and time limits.
    pub(in crate::config) limits: Option<Limits>,
    /// How a client that vanished is noticed. Default: `{ time: 15s, interval: 15s, probes: 3 }`.
    pub(in crate::config) tcp_keepalive: Option<OrOff<TcpKeepalive>>,
    /// HTTP/2.
    pub(in crate::config) http2: Option<Http2>,
    /// Expect a PROXY protocol header from these peers.
    pub(in crate::config) proxy_protocol: Option<ProxyProtocol>,
    /// Path normalisation.
    pub(in crate::config) paths: Option<Paths>,
}

/// `true`, or where to.
#[derive(Clone, Debug)]
pub(in crate::config) enum HttpsRedirect {
    Off,
    On(HttpsRedirectTo),
}

/// Where an HTTPS redirect leads.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct HttpsRedirectTo {
    /// The listener redirected to. Default: the only one with TLS.
    pub(in crate::config) listener: Option<String>,
    /// 301, 302, 303, 307 or 308. Default: 301 for GET and HEAD, 308 for the rest.
    pub(in crate::config) status: Option<Status>,
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
                Ok(if on { HttpsRedirect::On(HttpsRedirectTo::default()) } else { HttpsRedirect::Off })
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<HttpsRedirect, A::Error> {
                HttpsRedirectTo::deserialize(MapAccessDeserializer::new(map)).map(HttpsRedirect::On)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl JsonSchema for HttpsRedirect {
    fn schema_name() -> Cow<'static, str> {
        "HttpsRedirect".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "boolean" }, generator.subschema_for::<HttpsRedirectTo>()] })
    }
}

/// TLS termination.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// Lowest version accepted. Default: 1.2.
    pub(in crate::config) min_version: Option<Word<TlsVersion>>,
    /// Certificates, chosen by SNI; the first is the default.
    pub(in crate::config) certificates: Option<Vec<Certificate>>,
    /// What a handshake for an unknown name gets. Default: default (the first certificate).
    pub(in crate::config) unknown_sni: Option<Word<UnknownSni>>,
    /// Client certificates.
    pub(in crate::config) client_auth: Option<ClientAuth>,
}

/// A certificate chain and its key.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Certificate {
    /// Names it serves. Default: those it holds.
    pub(in crate::config) hosts: Option<Vec<Host>>,
    /// PEM chain, leaf first; relative to this file.
    pub(in crate::config) cert_file: Option<String>,
    /// PEM private key; relative to this file.
    pub(in crate::config) key_file: Option<String>,
}

/// Client certificates.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ClientAuth {
    /// Whether clients are asked for a certificate, and must have one. Default: none.
    pub(in crate::config) mode: Option<Word<AuthMode>>,
    /// PEM bundle of accepted authorities; relative to this file.
    pub(in crate::config) ca_file: Option<String>,
}

/// Ceilings and time limits.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Limits {
    /// Open connections. Default: 10000.
    pub(in crate::config) max_connections: Option<u64>,
    /// Open connections of one client address. Default: off.
    pub(in crate::config) max_connections_per_ip: Option<OrOff<Count>>,
    /// Size of a request head. Default: 64KiB.
    pub(in crate::config) max_header_bytes: Option<Size>,
    /// Header fields in a request. Default: 100.
    pub(in crate::config) max_headers: Option<u64>,
    /// Length of the request target. Default: 16KiB.
    pub(in crate::config) max_target_bytes: Option<Size>,
    /// Size of a request body. Default: 16MiB.
    pub(in crate::config) max_body_bytes: Option<OrOff<Size>>,
    /// Time for a request head. Default: 10s.
    pub(in crate::config) header_timeout: Option<Time>,
    /// Keep-alive without a request. Default: 75s.
    pub(in crate::config) idle_timeout: Option<Time>,
    /// Between two pieces of a body: for the client to send one while no answer streams, or to take one, and for a
    /// stalled agent to ask for one. Default: 30s.
    pub(in crate::config) body_idle_timeout: Option<Time>,
    /// How long an HTTP/1 client that has closed its direction is answered before it is taken as gone, which cancels
    /// the agent's work; `off` takes it as gone at once. Default: 500ms.
    pub(in crate::config) half_close_timeout: Option<OrOff<Time>>,
    /// Time for a TLS handshake. Default: 10s.
    pub(in crate::config) handshake_timeout: Option<Time>,
    /// Streams of one HTTP/2 connection. Default: 100.
    pub(in crate::config) max_concurrent_streams: Option<u64>,
}

/// A whole number where a word is possible too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Count(pub(in crate::config) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map(Self)
            .map_err(|_not_a_number| invalid(format!("`{text}` is not a whole number"), "write a number, or `off`"))
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": ["integer", "string"], "minimum": 1, "pattern": "^[0-9]+$|[$][{]" },
            { "$comment": "Istio's word for off", "const": 0 }
        ] })
    }
}

/// PROXY protocol.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct ProxyProtocol {
    /// Peers that must send the header and are believed. Default: none, which is off.
    pub(in crate::config) trusted: Option<Vec<Network>>,
}

/// Path normalisation.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Paths {
    /// Merge runs of slashes. Default: true.
    pub(in crate::config) merge_slashes: Option<bool>,
    /// Pass `%2F` and `%5C` instead of refusing them. Default: false.
    pub(in crate::config) allow_encoded_slash: Option<bool>,
}
