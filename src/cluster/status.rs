//! What a cluster looks like right now, as plain data for health and admin answers.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::availability::AvailabilitySettings;
use super::breaker::BreakerState;
use super::calendar::rfc3339;
use super::endpoint::{Endpoint, is_usable};
use super::endpoint_health::HealthStatus;
use super::fill::CeilingStatus;
use super::members::Members;
use super::outlier::Cause;

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Its name in the file.
    pub name: String,
    /// Endpoints that may get new requests and do not fail all of them.
    pub usable: usize,
    /// Whether so few are usable that all are used, or none.
    pub panic: bool,
    /// Requests and streams not yet finished.
    pub in_flight: u32,
    /// Requests that are being tried again.
    pub retrying: u32,
    /// How its breaker stands, if it has one.
    pub breaker: Option<BreakerState>,
    /// How full its ceilings are, where it has any.
    pub ceilings: Vec<CeilingStatus>,
    /// Every endpoint.
    pub endpoints: Vec<EndpointStatus>,
    /// Every name that is resolved.
    pub names: Vec<NameStatus>,
}

/// An endpoint at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndpointStatus {
    /// Where it is.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Host and port as configured.
    pub name: String,
    /// Where it takes gRPC calls, if not at its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub grpc: Option<SocketAddr>,
    /// Share of the load; 0 means draining.
    pub weight: u32,
    /// Requests and streams not yet finished.
    pub in_flight: u32,
    /// Tasks of agents that go on at it, as far as this gateway knows, as of the last second.
    pub tasks: u32,
    /// Labels from the configuration.
    pub labels: BTreeMap<String, String>,
    /// What its checks say, where there are checks.
    pub health: Option<HealthStatus>,
    /// Its group.
    pub priority: u32,
    /// How long its traffic keeps it out from now on.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "Option<f64>")]
    pub ejected_for: Option<Duration>,
    /// Why it is kept out, while it is.
    pub ejected_by: Option<&'static str>,
    /// How often it was ejected, less one for each healthy interval since.
    pub ejections: u32,
    /// Whether an operator took it out of service.
    pub drained: bool,
    /// While it drains: how long it still gets calls about its tasks.
    #[serde(serialize_with = "seconds")]
    #[schemars(with = "Option<f64>")]
    pub drains_for: Option<Duration>,
}

impl EndpointStatus {
    pub(super) fn of(endpoint: &Endpoint, now: Instant) -> Self {
        Self {
            address: endpoint.address,
            name: endpoint.name.to_string(),
            grpc: endpoint.grpc.as_ref().map(|binding| binding.address),
            weight: endpoint.weight,
            in_flight: endpoint.in_flight(),
            tasks: endpoint.tasks(),
            labels: endpoint.labels.clone(),
            health: endpoint.health(),
            priority: endpoint.priority,
            ejected_for: endpoint
                .ejected_until()
                .and_then(|until| until.checked_duration_since(now))
                .filter(|left| !left.is_zero()),
            ejected_by: endpoint.ejected_by(now).map(Cause::word),
            ejections: endpoint.ejections(),
            drained: false,
            drains_for: endpoint.drains_until.map(|until| until.saturating_duration_since(now)),
        }
    }
}

/// How many endpoints of a cluster can be used at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survey {
    /// All of them.
    pub endpoints: usize,
    /// Endpoints that may get new requests and do not fail all of them.
    pub usable: usize,
    /// Endpoints that may get new requests and fail all of them.
    pub failing: usize,
    /// Ejected endpoints.
    pub ejected: usize,
    /// Whether so few are usable that all are used, or none.
    pub panic: bool,
    /// Those that are more than a cluster can have.
    pub left_out: usize,
}

impl fmt::Display for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.endpoints {
            1 => f.write_str("1 endpoint")?,
            several => write!(f, "{several} endpoints")?,
        }
        if self.usable < self.endpoints {
            write!(f, ", {} usable", self.usable)?;
        }
        if self.failing > 0 {
            write!(f, ", {} failing", self.failing)?;
        }
        if self.ejected > 0 {
            write!(f, ", {} ejected", self.ejected)?;
        }
        if self.panic {
            f.write_str(", panic")?;
        }
        if self.left_out > 0 {
            write!(f, ", {} left out", self.left_out)?;
        }
        Ok(())
    }
}

impl Survey {
    pub(super) fn of(members: &Members, terms: &AvailabilitySettings, now: Instant) -> Self {
        let count = |wanted: fn(&Endpoint, Instant) -> bool| {
            let found = members.endpoints.iter().filter(|endpoint| wanted(endpoint, now));
            found.count()
        };
        Self {
            endpoints: members.endpoints.len(),
            usable: count(|one, now| is_usable(one, now) && !one.is_failing(now)),
            failing: count(|one, now| is_usable(one, now) && one.is_failing(now)),
            ejected: count(Endpoint::is_ejected),
            panic: members.availability(terms, now).is_panic(),
            left_out: members.left_out,
        }
    }
}

/// A DNS name at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameStatus {
    /// The name.
    pub host: String,
    /// The addresses in use: of the last good answer.
    #[schemars(with = "Vec<String>")]
    pub addresses: Vec<IpAddr>,
    /// When the last good answer came; `None` when there never was one.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<String>")]
    pub resolved_at: Option<SystemTime>,
    /// Set since the first of the failures that have lasted until now.
    #[serde(serialize_with = "rfc3339")]
    #[schemars(with = "Option<String>")]
    pub stale_since: Option<SystemTime>,
    /// The latest failure, while stale.
    pub error: Option<String>,
}

#[expect(clippy::ref_option, reason = "the shape serde asks for")]
fn seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}
