//! `clusters.X.healthCheck`: what fits the kind of check, and numbers that make sense together.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::{Scope, headers};
use crate::config::hosts::is_authority;
use crate::config::model::{HealthCheck, Probe, ProbeFields, UpstreamProtocol};
use crate::config::node::steps;
use crate::config::raw::health::{self as raw, Kind};
use crate::config::raw::words::Words as _;
use crate::config::report::Diagnostic;

/// Resolves the health check of one cluster, which speaks `protocol` and ejects endpoints or not.
pub(super) fn resolve(
    cluster: &str,
    raw: Option<raw::HealthCheck>,
    (protocol, tls): (UpstreamProtocol, bool),
    ejects: bool,
    scope: &mut Scope<'_>,
) -> Option<HealthCheck> {
    let raw = raw?;
    misplaced(cluster, &raw, scope);
    if raw.kind == Kind::Grpc {
        needs_http2(cluster, (protocol, tls), scope);
    }
    if raw.ends_ejection && !ejects {
        let message = "outlier detection is off, so there are no ejections to end";
        let at = steps!["clusters", cluster, "healthCheck", "endsEjection"];
        scope.add(&at, Diagnostic::warning("no-effect", message).hint("take it out"));
    }
    Some(HealthCheck {
        interval: raw.interval,
        timeout: timeout(cluster, &raw, scope),
        healthy_threshold: raw.healthy_threshold,
        unhealthy_threshold: raw.unhealthy_threshold,
        port: raw.port,
        ends_ejection: raw.ends_ejection,
        probe: probe(cluster, raw, scope),
    })
}

fn probe(cluster: &str, raw: raw::HealthCheck, scope: &mut Scope<'_>) -> Probe {
    let fields = ProbeFields {
        host: raw.host.and_then(|host| self::host(cluster, &host, scope)),
        headers: headers::values(&steps!["clusters", cluster, "healthCheck", "headers"], raw.headers, scope)
            .into_iter()
            .collect(),
    };
    match raw.kind {
        Kind::Tcp => Probe::Tcp,
        Kind::Grpc => Probe::Grpc { service: raw.service.unwrap_or_default(), fields },
        Kind::AgentCard => {
            Probe::AgentCard { path: raw.path.unwrap_or_else(|| PathAndQuery::from_static(raw::CARD)), fields }
        }
        Kind::Http => Probe::Http {
            method: raw.method,
            path: path(cluster, raw.path, scope),
            statuses: statuses(cluster, raw.expected_statuses, scope),
            fields,
        },
    }
}

fn statuses(cluster: &str, list: Vec<RangeInclusive<u16>>, scope: &mut Scope<'_>) -> Vec<RangeInclusive<u16>> {
    if list.is_empty() {
        scope.missing(
            &steps!["clusters", cluster, "healthCheck", "expectedStatuses"],
            Diagnostic::lacks("no status is expected").hint("write `[200-299]`, or take it out"),
        );
    }
    list
}

fn path(cluster: &str, path: Option<PathAndQuery>, scope: &mut Scope<'_>) -> PathAndQuery {
    path.unwrap_or_else(|| {
        let message = format!("`clusters.{cluster}.healthCheck` asks for nothing");
        let diagnostic = Diagnostic::lacks(message);
        let hint = "add `path: /health`, or `type: tcp` to only connect";
        scope.missing(&steps!["clusters", cluster, "healthCheck"], diagnostic.hint(hint));
        PathAndQuery::from_static("/")
    })
}

/// Keys that mean nothing to this kind of check.
fn misplaced(cluster: &str, raw: &raw::HealthCheck, scope: &mut Scope<'_>) {
    let (kind, http, card, grpc) = (raw.kind, Kind::Http, Kind::AgentCard, Kind::Grpc);
    let places: [(&'static str, &[Kind]); 6] = [
        ("path", &[http, card]),
        ("method", &[http]),
        ("expectedStatuses", &[http]),
        ("host", &[http, card, grpc]),
        ("headers", &[http, card, grpc]),
        ("service", &[grpc]),
    ];
    for (key, kinds) in places {
        if kinds.contains(&kind) || !scope.is_given(&steps!["clusters", cluster, "healthCheck", key]) {
            continue;
        }
        let message = format!("`{key}` means nothing to a check of the type {}", word(kind));
        let fitting: Vec<_> = kinds.iter().map(|kind| format!("`type: {}`", word(*kind))).collect();
        let hint = format!("it belongs to {}", fitting.join(", "));
        scope.add_key(&steps!["clusters", cluster, "healthCheck", key], Diagnostic::conflict(message).hint(hint));
    }
    if raw.method == Method::CONNECT {
        scope.add(
            &steps!["clusters", cluster, "healthCheck", "method"],
            Diagnostic::invalid("CONNECT asks for a tunnel, not for an answer")
                .hint("write `GET`, or `type: tcp` to only connect"),
        );
    }
}

fn needs_http2(cluster: &str, (protocol, tls): (UpstreamProtocol, bool), scope: &mut Scope<'_>) {
    let speaks = match protocol {
        UpstreamProtocol::H2 | UpstreamProtocol::H2c => true,
        UpstreamProtocol::Auto => tls,
        UpstreamProtocol::Http1 => false,
    };
    if !speaks {
        let ours = if tls { "h2" } else { "h2c" };
        scope.add(
            &steps!["clusters", cluster, "healthCheck", "type"],
            Diagnostic::conflict("gRPC needs HTTP/2, which this cluster does not speak")
                .hint(format!("add `protocol: {ours}` to `clusters.{cluster}`")),
        );
    }
}

fn timeout(cluster: &str, raw: &raw::HealthCheck, scope: &mut Scope<'_>) -> Duration {
    let at = |key: &'static str| steps!["clusters", cluster, "healthCheck", key];
    let interval = raw.interval;
    if interval < SHORTEST {
        let message = format!("checks every {interval:?} would flood the endpoints");
        scope.add(&at("interval"), Diagnostic::invalid(message).hint("`100ms` or more"));
    }
    let timeout = raw.timeout.unwrap_or_else(|| raw::HealthCheck::LONGEST.min(interval));
    if raw.timeout.is_some() && timeout >= interval {
        let message = format!("a check may take {timeout:?}, as long as the interval of {interval:?} or longer");
        let hint = "checks of one endpoint never overlap: make `interval` longer than `timeout`";
        scope.add(&at("timeout"), Diagnostic::warning("check-overlap", message).hint(hint));
    }
    timeout
}

fn host(cluster: &str, text: &str, scope: &mut Scope<'_>) -> Option<HeaderValue> {
    let legal = is_authority(text);
    if !legal {
        scope.add(
            &steps!["clusters", cluster, "healthCheck", "host"],
            Diagnostic::invalid(format!("`{text}` is not a host")).hint("a name or an address, with a port if need be"),
        );
    }
    HeaderValue::try_from(text).ok().filter(|_| legal)
}

fn word(kind: Kind) -> &'static str {
    let spelt = Kind::WORDS.iter().find(|(known, _)| *known == kind);
    spelt.and_then(|(_, words)| words.first()).copied().unwrap_or_default()
}

/// Checks more often than this would flood the endpoints.
const SHORTEST: Duration = Duration::from_millis(100);
