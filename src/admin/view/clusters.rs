//! Clusters and their endpoints, with how their traffic goes.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::admin::traffic::{Rate, Rates};
use crate::cluster::{CeilingStatus, Cluster, ClusterStatus, EndpointStatus, NameStatus};
use crate::observe::live::{OpenStreams, StreamFacts};
use crate::snapshot::Snapshot;

/// Clusters of a configuration.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Clusters {
    clusters: Vec<ClusterView>,
    /// How many more there are.
    left_out: usize,
}

/// One cluster.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ClusterView {
    name: String,
    /// Endpoints that may get new requests and do not fail all of them.
    usable: usize,
    /// Whether so few are usable that all are used, or none.
    panic: bool,
    in_flight: u32,
    /// Requests that are being tried again.
    retrying: u32,
    /// `closed`, `half_open` or `open`; null without a breaker.
    breaker: Option<&'static str>,
    ceilings: Vec<CeilingStatus>,
    names: Vec<NameStatus>,
    endpoints: Vec<EndpointView>,
}

/// One endpoint.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct EndpointView {
    #[serde(flatten)]
    status: EndpointStatus,
    /// Open streams, as far as they are shown.
    streams: usize,
    /// Null where the endpoint has no series of its own.
    rate: Option<Rate>,
}

/// At most `most` clusters that `wants`.
pub(in crate::admin) fn list(
    snapshot: &Snapshot,
    rates: &Rates,
    streams: &OpenStreams,
    most: usize,
    wants: impl Fn(&str) -> bool,
) -> Clusters {
    let open = open_streams(streams, &wants);
    let mut found: Vec<_> = snapshot.clusters.iter().filter(|cluster| wants(&cluster.name)).collect();
    let left_out = found.len().saturating_sub(most);
    found.truncate(most);
    let clusters = found.into_iter().map(|cluster| ClusterView::of(cluster, rates, &open)).collect();
    Clusters { clusters, left_out }
}

/// How many of something there are, by cluster and endpoint.
type ByEndpoint = HashMap<String, HashMap<String, usize>>;

/// Copies a name only where it is the first of its kind: there may be hundreds of thousands of streams.
fn open_streams(streams: &OpenStreams, wants: impl Fn(&str) -> bool) -> ByEndpoint {
    let mut open = ByEndpoint::new();
    streams.each(|StreamFacts { cluster, endpoint, .. }| {
        if let Some(count) = open.get_mut(cluster).and_then(|of_cluster| of_cluster.get_mut(endpoint)) {
            *count += 1;
        } else if wants(cluster) {
            open.entry(cluster.clone()).or_default().insert(endpoint.clone(), 1);
        }
    });
    open
}

impl ClusterView {
    fn of(cluster: &Cluster, rates: &Rates, open: &ByEndpoint) -> Self {
        let ClusterStatus { name, usable, panic, in_flight, retrying, breaker, ceilings, endpoints, names } =
            cluster.status();
        let open = open.get(&name);
        let endpoints = endpoints.into_iter().map(|status| {
            let address = status.address.to_string();
            let rate = rates.endpoints.get(&(Box::from(name.as_str()), Box::from(address.as_str()))).cloned();
            let streams = open.and_then(|open| open.get(&address)).copied().unwrap_or_default();
            EndpointView { status, streams, rate }
        });
        let endpoints = endpoints.collect();
        let breaker = breaker.map(|state| match state {
            crate::cluster::BreakerState::Closed => "closed",
            crate::cluster::BreakerState::HalfOpen => "half_open",
            crate::cluster::BreakerState::Open => "open",
        });
        Self { name, usable, panic, in_flight, retrying, breaker, ceilings, names, endpoints }
    }
}
