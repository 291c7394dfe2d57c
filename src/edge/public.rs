//! The public address of one request, from all that may name it, and its parts as the forwarding fields show them to
//! the agent.

use http::header::HeaderValue;

use super::exchange::Exchange;
use super::headers::Shown;
use crate::config::model::{PublicUrl, Route, Scheme};
use crate::context::Connection;
use crate::route::PathMapping;
use crate::route::public::{Origin, Sources};

/// Everything that may say how the client of `exchange` sees the gateway. Its host must have been checked.
pub(super) fn sources<'a>(
    exchange: &'a Exchange,
    listener: Option<&'a PublicUrl>,
    route: Option<&'a Route>,
) -> Sources<'a> {
    Sources { asked: exchange.request.asked(), ..without_host(exchange, listener, route) }
}

/// Whether the client of `exchange` uses HTTPS.
pub(super) fn is_https(exchange: &Exchange, listener: Option<&PublicUrl>, route: &Route) -> bool {
    without_host(exchange, listener, Some(route)).scheme() == Scheme::Https
}

fn without_host<'a>(exchange: &'a Exchange, listener: Option<&'a PublicUrl>, route: Option<&'a Route>) -> Sources<'a> {
    Sources {
        route: route.and_then(|route| route.public_url.as_deref()),
        listener,
        names_hosts: route.is_some_and(|route| !route.hosts.is_empty()),
        claimed: exchange.client.claimed.facts(),
        tls: exchange.connection.tls.is_some(),
        asked: "",
        local_port: exchange.connection.local.port(),
    }
}

/// The face as forwarding fields show it. `host` is the request's own, as it came.
pub(super) fn shown(
    exchange: &Exchange,
    sources: &Sources<'_>,
    paths: &PathMapping,
    host: Option<HeaderValue>,
) -> Shown {
    let face = sources.face();
    let spelled = match face.host_is_from() {
        Origin::Url => sources.url().map(|url| url.authority_value().clone()),
        Origin::Claimed => exchange.client.claimed.host.clone(),
        Origin::Asked => host.filter(|_| !face.host().is_empty()),
    };
    let in_full = |value: HeaderValue| {
        if face.is_in_full() { Some(value) } else { HeaderValue::try_from(face.authority()).ok() }
    };
    Shown {
        scheme: face.scheme(),
        host: spelled.and_then(in_full),
        port: port_value(face.port(), &exchange.connection),
        prefix: match sources.url() {
            _ if !paths.are_same() => paths.forwarded(face.prefix()),
            Some(url) => url.prefix_value().cloned(),
            None => exchange.client.claimed.prefix.clone(),
        },
    }
}

fn port_value(port: u16, connection: &Connection) -> HeaderValue {
    match port {
        80 => HeaderValue::from_static("80"),
        443 => HeaderValue::from_static("443"),
        other => connection.port_value(other),
    }
}
