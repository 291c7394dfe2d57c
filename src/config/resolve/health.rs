//! `clusters.X.healthCheck`: what fits the kind of check, and numbers that make sense together.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method};

use super::{Scope, headers};
use crate::config::hosts::is_authority;
use crate::config::model::{HealthCheck, Probe, ProbeFields, UpstreamProtocol};
use crate::config::node::steps;
use crate::config::raw::health::{self as raw, Kind, ProbePath};
use crate::config::raw::{Many, OrOff};
use crate::config::report::Diagnostic;

/// Resolves the health check of one cluster, which speaks `protocol` and ejects endpoints or not.
pub(super) fn resolve(
    cluster: &str,
    raw: Option<OrOff<raw::HealthCheck>>,
    (protocol, tls): (UpstreamProtocol, bool),
    ejects: bool,
    scope: &mut Scope<'_>,
) -> Option<HealthCheck> {
    let raw = raw.and_then(OrOff::on)?;
    let kind = raw.kind.map_or(Kind::Http, |word| word.0);
    misplaced(cluster, &raw, kind, scope);
    if kind == Kind::Grpc {
        needs_http2(cluster, (protocol, tls), scope);
    }
    let (interval, timeout) = times(cluster, &raw, scope);
    let at = |key: &'static str| steps!["clusters", cluster, "healthCheck", key];
    let mut count = |key, value: Option<u64>, default, most| {
        let value = scope.range(&at(key), value.unwrap_or(default), 1..=most, "");
        u32::try_from(value).unwrap_or(u32::MAX)
    };
    let healthy_threshold = count("healthyThreshold", raw.healthy_threshold, 2, 100);
    let unhealthy_threshold = count("unhealthyThreshold", raw.unhealthy_threshold, 3, 100);
    let port = raw.port.map(|port| count("port", Some(port), 1, u16::MAX.into()));
    let ends_ejection = raw.ends_ejection.unwrap_or_default();
    if ends_ejection && !ejects {
        let message = "outlier detection is off, so there are no ejections to end";
        scope.add(&at("endsEjection"), Diagnostic::warning("no-effect", message).hint("take it out"));
    }
    Some(HealthCheck {
        ends_ejection,
        probe: probe(cluster, raw, kind, scope),
        interval,
        timeout,
        healthy_threshold,
        unhealthy_threshold,
        port: port.and_then(|port| u16::try_from(port).ok()),
    })
}

fn probe(cluster: &str, raw: raw::HealthCheck, kind: Kind, scope: &mut Scope<'_>) -> Probe {
    let fields = ProbeFields {
        host: raw.host.and_then(|host| self::host(cluster, &host, scope)),
        headers: headers::values(&steps!["clusters", cluster, "healthCheck", "headers"], raw.headers, scope)
            .into_iter()
            .collect(),
    };
    match kind {
        Kind::Tcp => Probe::Tcp,
        Kind::Grpc => Probe::Grpc { service: raw.service.unwrap_or_default(), fields },
        Kind::AgentCard => {
            Probe::AgentCard { path: raw.path.map_or_else(|| PathAndQuery::from_static(CARD), |path| path.0), fields }
        }
        Kind::Http => Probe::Http {
            method: raw.method.map_or(Method::GET, |verb| verb.0),
            path: path(cluster, raw.path, scope),
            statuses: statuses(cluster, raw.expected_statuses, scope),
            fields,
        },
    }
}

fn statuses(cluster: &str, list: Option<Many<raw::Statuses>>, scope: &mut Scope<'_>) -> Vec<RangeInclusive<u16>> {
    let Some(list) = list else {
        return vec![200..=299];
    };
    if list.0.is_empty() {
        scope.missing(
            &steps!["clusters", cluster, "healthCheck", "expectedStatuses"],
            Diagnostic::error("missing-field", "no status is expected").hint("write `[200-299]`, or take it out"),
        );
    }
    list.0.into_iter().map(|statuses| statuses.0).collect()
}

fn path(cluster: &str, path: Option<ProbePath>, scope: &mut Scope<'_>) -> PathAndQuery {
    path.map_or_else(
        || {
            let diagnostic =
                Diagnostic::error("missing-field", format!("`clusters.{cluster}.healthCheck` asks for nothing"));
            scope.missing(
                &steps!["clusters", cluster, "healthCheck"],
                diagnostic.hint("add `path: /health`, or `type: tcp` to only connect"),
            );
            PathAndQuery::from_static("/")
        },
        |path| path.0,
    )
}

/// Keys that mean nothing to this kind of check.
fn misplaced(cluster: &str, raw: &raw::HealthCheck, kind: Kind, scope: &mut Scope<'_>) {
    let (http, card, grpc) = (Kind::Http, Kind::AgentCard, Kind::Grpc);
    let given: [(&'static str, bool, &[Kind]); 6] = [
        ("path", raw.path.is_some(), &[http, card]),
        ("method", raw.method.is_some(), &[http]),
        ("expectedStatuses", raw.expected_statuses.is_some(), &[http]),
        ("host", raw.host.is_some(), &[http, card, grpc]),
        ("headers", raw.headers.is_some(), &[http, card, grpc]),
        ("service", raw.service.is_some(), &[grpc]),
    ];
    for (key, is_given, kinds) in given {
        if !is_given || kinds.contains(&kind) {
            continue;
        }
        let message = format!("`{key}` means nothing to a check of the type {}", word(kind));
        let fitting: Vec<_> = kinds.iter().map(|kind| format!("`type: {}`", word(*kind))).collect();
        let hint = format!("it belongs to {}", fitting.join(", "));
        scope.add_key(
            &steps!["clusters", cluster, "healthCheck", key],
            Diagnostic::error("conflict", message).hint(hint),
        );
    }
    let connects = raw.method.as_ref().is_some_and(|verb| verb.0 == Method::CONNECT);
    if connects {
        scope.add(
            &steps!["clusters", cluster, "healthCheck", "method"],
            Diagnostic::error("invalid-value", "CONNECT asks for a tunnel, not for an answer")
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
            Diagnostic::error("conflict", "gRPC needs HTTP/2, which this cluster does not speak")
                .hint(format!("add `protocol: {ours}` to `clusters.{cluster}`")),
        );
    }
}

fn times(cluster: &str, raw: &raw::HealthCheck, scope: &mut Scope<'_>) -> (Duration, Duration) {
    let at = |key: &'static str| steps!["clusters", cluster, "healthCheck", key];
    let interval = raw.interval.map_or(INTERVAL, |time| time.0);
    if interval < SHORTEST {
        scope.add(
            &at("interval"),
            Diagnostic::error("invalid-value", format!("checks every {interval:?} would flood the endpoints"))
                .hint("`100ms` or more"),
        );
    }
    let Some(timeout) = raw.timeout.map(|time| time.0) else {
        return (interval, TIMEOUT.min(interval));
    };
    let timeout = scope.limit(&at("timeout"), timeout);
    if timeout >= interval {
        let diagnostic = Diagnostic::warning(
            "check-overlap",
            format!("a check may take {timeout:?}, as long as the interval of {interval:?} or longer"),
        );
        scope.add(
            &at("timeout"),
            diagnostic.hint("checks of one endpoint never overlap: make `interval` longer than `timeout`"),
        );
    }
    (interval, timeout)
}

fn host(cluster: &str, text: &str, scope: &mut Scope<'_>) -> Option<HeaderValue> {
    let legal = is_authority(text);
    if !legal {
        scope.add(
            &steps!["clusters", cluster, "healthCheck", "host"],
            Diagnostic::error("invalid-value", format!("`{text}` is not a host"))
                .hint("a name or an address, with a port if need be"),
        );
    }
    HeaderValue::try_from(text).ok().filter(|_| legal)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Http => "http",
        Kind::Tcp => "tcp",
        Kind::Grpc => "grpc",
        Kind::AgentCard => "agent-card",
    }
}

const INTERVAL: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(2);
const SHORTEST: Duration = Duration::from_millis(100);
/// Where agents of 0.3 and later have their card.
const CARD: &str = "/.well-known/agent-card.json";
