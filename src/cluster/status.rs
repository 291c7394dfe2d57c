//! What a cluster looks like right now, as plain data for health and admin answers.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use super::breaker::BreakerState;
use super::endpoint::Endpoint;
use super::health::HealthStatus;

/// A cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterStatus {
    /// Its name in the file.
    pub name: String,
    /// How its breaker stands, if it has one.
    pub breaker: Option<BreakerState>,
    /// Every endpoint.
    pub endpoints: Vec<EndpointStatus>,
    /// Every name that is resolved.
    pub names: Vec<NameStatus>,
}

/// An endpoint at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointStatus {
    /// Where it is.
    pub address: SocketAddr,
    /// Host and port as configured.
    pub name: String,
    /// Share of the load; 0 means draining.
    pub weight: u32,
    /// Requests and streams not yet finished.
    pub in_flight: u32,
    /// Labels from the configuration.
    pub labels: BTreeMap<String, String>,
    /// What its checks say, where there are checks.
    pub health: Option<HealthStatus>,
}

impl EndpointStatus {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        Self {
            address: endpoint.address,
            name: endpoint.name.to_string(),
            weight: endpoint.weight,
            in_flight: endpoint.in_flight(),
            labels: endpoint.labels.clone(),
            health: endpoint.health(),
        }
    }
}

/// A DNS name at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameStatus {
    /// The name.
    pub host: String,
    /// The addresses in use: of the last good answer.
    pub addresses: Vec<IpAddr>,
    /// When the last good answer came; `None` when there never was one.
    pub resolved_at: Option<SystemTime>,
    /// Set since the first of the failures that have lasted until now.
    pub stale_since: Option<SystemTime>,
    /// The latest failure, while stale.
    pub error: Option<String>,
}
