//! `clusters.X`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::forms::{Many, Named, OrOff, TextOr, exactly_one};
use super::health::HealthCheck;
use super::names::{HostPort, target};
use super::outlier::{OutlierDetection, Panic};
use super::values::Time;
use super::words::{self, Word, Words};
use crate::config::de::with_hint;
use crate::config::keys::wire::{Http2, TcpKeepalive};
use crate::config::model::{self, CircuitBreaker};

/// One upstream: endpoints that do the same job.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Cluster {
    /// Where it runs.
    pub(in crate::config) endpoints: Option<Many<Endpoint>>,
    /// Endpoints from a DNS name, instead of `endpoints`.
    pub(in crate::config) discovery: Option<Discovery>,
    /// How an endpoint is chosen. Default: least-connection.
    pub(in crate::config) load_balancer: Option<LoadBalancer>,
    /// HTTP version: http/1.1, h2, h2c or auto. Default: http/1.1, or auto with TLS.
    pub(in crate::config) protocol: Option<Word<model::UpstreamProtocol>>,
    /// Connect with TLS; `{}` is enough for a public certificate.
    pub(in crate::config) tls: Option<Tls>,
    /// TCP connect. Default: 5s.
    pub(in crate::config) connect_timeout: Option<Time>,
    /// TLS handshake. Default: 10s.
    pub(in crate::config) handshake_timeout: Option<Time>,
    /// Idle connections.
    pub(in crate::config) keepalive: Option<Keepalive>,
    /// How an endpoint that vanished is noticed.
    pub(in crate::config) tcp_keepalive: Option<OrOff<TcpKeepalive>>,
    /// HTTP/2.
    pub(in crate::config) http2: Option<Http2>,
    /// Ask endpoints at intervals whether they are well. Default: off.
    pub(in crate::config) health_check: Option<OrOff<HealthCheck>>,
    /// What it carries at once, and when it is left alone.
    pub(in crate::config) circuit_breaker: Option<CircuitBreaker>,
    /// When traffic takes an endpoint out. Default: after 5 failures in a row that show it down or broken; `{}` counts
    /// every 5xx.
    pub(in crate::config) outlier_detection: Option<OrOff<OutlierDetection>>,
    /// What happens when too few endpoints are usable; `off` keeps to those that are. Default: below 50% all are used.
    pub(in crate::config) panic: Option<OrOff<Panic>>,
    /// How long an endpoint that joins or returns takes to its full weight. Default: 30s.
    pub(in crate::config) slow_start: Option<OrOff<Time>>,
    /// `prefer` keeps to endpoints whose label `zone` is the gateway's, `ignore` does not. Default: prefer.
    pub(in crate::config) zones: Option<Word<Zones>>,
}

/// Whether the gateway's own zone is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) enum Zones {
    Prefer,
    Ignore,
}

words::words!(
    Zones, "Zones",
    Self::Prefer => ["prefer", "prefer-local", "local", "prefer-close"],
    Self::Ignore => ["ignore", "off", "any"],
);

/// `host:port`, or a mapping.
#[derive(Clone, Debug)]
pub(in crate::config) struct Endpoint {
    pub(in crate::config) address: HostPort,
    pub(in crate::config) weight: u32,
    pub(in crate::config) labels: Vec<(String, String)>,
    pub(in crate::config) priority: u32,
}

/// An endpoint with more than an address.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct EndpointFields {
    /// Host or IP address, and port.
    #[schemars(required)]
    address: Option<HostPort>,
    /// Share of the load; 0 drains it. Default: 1.
    #[schemars(range(max = 1_000_000))]
    weight: Option<u32>,
    /// Free labels, such as `zone`.
    labels: Option<Named<String>>,
    /// Group: endpoints of a higher number are used when too few of the lower ones are usable. Default: 0.
    #[schemars(range(max = 100))]
    priority: Option<u32>,
}

/// Largest weight of an endpoint, so that sums of weights stay far from overflow.
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_PRIORITY: u32 = 100;

impl TryFrom<EndpointFields> for Endpoint {
    type Error = String;
    fn try_from(fields: EndpointFields) -> Result<Self, String> {
        let address = fields
            .address
            .ok_or_else(|| with_hint("an endpoint needs an address", "write `address: \"10.0.0.1:8080\"`"))?;
        let weight = fields.weight.unwrap_or(1);
        if weight > MAX_WEIGHT {
            return Err(with_hint(
                format!("the weight {weight} is too large"),
                format!("0 to {MAX_WEIGHT}; only the ratio matters"),
            ));
        }
        let priority = fields.priority.unwrap_or(0);
        if priority > MAX_PRIORITY {
            return Err(with_hint(
                format!("the priority {priority} is too large"),
                format!("0, the first to be used, to {MAX_PRIORITY}"),
            ));
        }
        Ok(Self { address, weight, priority, labels: fields.labels.unwrap_or_default().0 })
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_str(TextOr::<Self, EndpointFields>::new("`host:port`, or a mapping with `address`", |text| {
                Ok(Self { address: target(text)?, weight: 1, labels: Vec::new(), priority: 0 })
            }))
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [generator.subschema_for::<HostPort>(), generator.subschema_for::<EndpointFields>()] })
    }
}

/// Endpoints by name.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Discovery {
    /// `name:port`; each address of the name is an endpoint.
    #[schemars(required)]
    pub(in crate::config) dns: Option<HostPort>,
    /// Ask again after. Default: the answer's TTL, 1 to 300 s.
    pub(in crate::config) refresh: Option<Time>,
}

/// Upstream TLS.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Tls {
    /// PEM bundle of accepted authorities; relative to this file. Default: the system's.
    pub(in crate::config) ca_file: Option<String>,
    /// Name to ask for and verify. Default: the endpoint's.
    pub(in crate::config) server_name: Option<String>,
    /// PEM client certificate chain; relative to this file.
    pub(in crate::config) cert_file: Option<String>,
    /// PEM client key; relative to this file.
    pub(in crate::config) key_file: Option<String>,
}

/// Idle connections.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Keepalive {
    /// Close an idle connection after, or sooner where the agent's `Keep-Alive: timeout=` says so. Default: 60s.
    pub(in crate::config) idle_timeout: Option<Time>,
    /// Idle connections kept per endpoint and worker. Default: 256.
    pub(in crate::config) max_idle: Option<u64>,
}

/// A policy's name, or `{ hash: .. }`.
#[derive(Clone, Debug)]
pub(in crate::config) struct LoadBalancer(pub(in crate::config) model::LoadBalancer);

/// The long form of a policy.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct LoadBalancerFields {
    /// Rendezvous hash on `clientIp`, `{ header: name }` or `{ cookie: name }`.
    hash: Option<HashKey>,
}

words::words!(
    model::LoadBalancer, "LoadBalancerPolicy",
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
        Ok(Self(model::LoadBalancer::Hash(key.0)))
    }
}

impl<'de> Deserialize<'de> for LoadBalancer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOr::<Self, LoadBalancerFields>::new(
            "a policy's name, or `{ hash: .. }`",
            |text| match words::fold(text).as_str() {
                "hash" | "ringhash" | "maglev" | "iphash" | "consistenthash" | "source" => Err(with_hint(
                    format!("`{text}` needs to say on what"),
                    "write `{ hash: clientIp }`, `{ hash: { header: name } }` or `{ hash: { cookie: name } }`",
                )),
                _ => words::find(text).map(Self),
            },
        ))
    }
}

impl JsonSchema for LoadBalancer {
    fn schema_name() -> Cow<'static, str> {
        "LoadBalancer".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<Word<model::LoadBalancer>>(),
            generator.subschema_for::<LoadBalancerFields>()
        ] })
    }
}

/// What a hash keys on.
#[derive(Clone, Debug)]
pub(in crate::config) struct HashKey(pub(in crate::config) model::HashKey);

/// Exactly one of these.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "maxProperties" = 1))]
pub(in crate::config) struct HashKeyFields {
    /// A request header.
    pub(in crate::config) header: Option<String>,
    /// A cookie.
    pub(in crate::config) cookie: Option<String>,
}

impl TryFrom<HashKeyFields> for HashKey {
    type Error = String;
    fn try_from(fields: HashKeyFields) -> Result<Self, String> {
        let legal = |name: &String| http::HeaderName::try_from(name.as_str()).ok();
        let illegal = |name: &str| with_hint(format!("`{name}` is not a legal name"), "letters, digits and `-`");
        let header = match fields.header {
            Some(name) => Some(model::HashKey::Header(legal(&name).ok_or_else(|| illegal(&name))?)),
            None => None,
        };
        let cookie = match fields.cookie {
            // A cookie's name is a token (RFC 6265), and so is a header's, but with case.
            Some(name) if legal(&name).is_none() => return Err(illegal(&name)),
            other => other.map(model::HashKey::Cookie),
        };
        exactly_one(&["header", "cookie"], [header, cookie]).map(Self)
    }
}

impl<'de> Deserialize<'de> for HashKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextOr::<Self, HashKeyFields>::new(
            "`clientIp`, `{ header: .. }` or `{ cookie: .. }`",
            |text| {
                words::find(text).map(Self).map_err(|error| {
                    if error.contains("did you mean") {
                        return error;
                    }
                    let shown: String = text.chars().take(60).collect();
                    with_hint(
                        format!("`{shown}` does not say where it is"),
                        "write `{ header: x-context-id }`, `{ cookie: session }` or `clientIp`",
                    )
                })
            },
        ))
    }
}

words::words!(model::HashKey, "HashWord", Self::ClientIp => ["clientIp", "source-ip"]);

impl JsonSchema for HashKey {
    fn schema_name() -> Cow<'static, str> {
        "HashKey".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            generator.subschema_for::<Word<model::HashKey>>(),
            generator.subschema_for::<HashKeyFields>()
        ] })
    }
}
