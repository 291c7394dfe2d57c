//! Brings the locations in an agent's answer into the form its client can use.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::exchange::Exchange;
use super::public::sources;
use super::stage::ServedRoute;
use crate::config::model::{Scheme, UpstreamHost};
use crate::route::LocationMap;
use crate::upstream::WorkerCluster;

/// Maps `Location`, `Content-Location` and `Refresh` where they lead back to the agent.
pub(super) fn map(exchange: &Exchange, route: &ServedRoute<'_>, cluster: &WorkerCluster, fields: &mut HeaderMap) {
    let settings = route.settings();
    if !settings.map_location {
        return;
    }
    let Some(in_flight) = &exchange.guards.in_flight else {
        return;
    };
    let endpoint = in_flight.handle().endpoint();
    let host_sent = match &settings.upstream_host {
        UpstreamHost::Preserve => exchange.request.asked(),
        UpstreamHost::Endpoint => &endpoint.name,
        UpstreamHost::Fixed(host) => host.to_str().unwrap_or_default(),
    };
    let map = LocationMap {
        face: sources(exchange, route.listener.public_url.as_deref(), Some(settings)).face(),
        paths: route.paths.get(exchange.route.matched),
        scheme: Scheme::of_tls(cluster.uses_tls()),
        host_sent,
        is_agent: |host: &str, port| endpoint.is_at(host, port) || cluster.is_at(host, port),
    };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        change(fields, &name, |location| map.location(location));
    }
    change(fields, &REFRESH, |value| map.refresh(value));
}

fn change(fields: &mut HeaderMap, name: &HeaderName, map: impl Fn(&str) -> Option<String>) {
    let header::Entry::Occupied(mut entry) = fields.entry(name) else {
        return;
    };
    for value in entry.iter_mut() {
        let mapped = std::str::from_utf8(value.as_bytes()).ok().and_then(&map);
        if let Some(mapped) = mapped.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            *value = mapped;
        }
    }
}

const REFRESH: HeaderName = HeaderName::from_static("refresh");
