//! Brings the locations in an agent's answer into the form its client can use.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::exchange::Exchange;
use super::public::sources;
use crate::config::model::{PublicUrl, Route, Scheme, UpstreamHost};
use crate::route::{LocationMap, PathMapping};
use crate::upstream::WorkerCluster;

/// Where an answer comes from, and under which settings.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocationContext<'a> {
    pub(super) route: &'a Route,
    pub(super) target: &'a WorkerCluster,
    /// Public URL of the listener.
    pub(super) listener: Option<&'a PublicUrl>,
    /// How the client's paths relate to the agent's.
    pub(super) paths: &'a PathMapping,
}

/// Maps `Location`, `Content-Location` and `Refresh` where they lead back to the agent.
pub(super) fn map(exchange: &Exchange, place: &LocationContext<'_>, fields: &mut HeaderMap) {
    if !place.route.map_location {
        return;
    }
    let Some(in_flight) = &exchange.in_flight else {
        return;
    };
    let endpoint = in_flight.handle().endpoint();
    let host_sent = match &place.route.upstream_host {
        UpstreamHost::Preserve => exchange.asked(),
        UpstreamHost::Endpoint => &endpoint.name,
        UpstreamHost::Fixed(host) => host.to_str().unwrap_or_default(),
    };
    let is_answering = |host: &str, port: u16| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        endpoint.address.port() == port && bare.parse() == Ok(endpoint.address.ip())
    };
    let map = LocationMap {
        face: sources(exchange, place.listener, Some(place.route)).face(),
        paths: place.paths,
        scheme: Scheme::of_tls(place.target.uses_tls()),
        host_sent,
        is_agent: |host: &str, port| is_answering(host, port) || place.target.is_at(host, port),
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
