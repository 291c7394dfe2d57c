//! `clusters.X.healthCheck`: what fits the kind of check, and numbers that make sense together.

use std::time::Duration;

use http::Method;

use super::{Scope, headers};
use crate::config::keys::health::{HealthCheck, Kind};
use crate::config::model::UpstreamProtocol;
use crate::config::node::{Step, steps};
use crate::config::report::Diagnostic;

/// Judges the health check of one cluster, which speaks `protocol`, has bindings for gRPC everywhere or not, and ejects
/// endpoints or not.
pub(super) fn check(
    cluster: &str,
    check: &HealthCheck,
    (protocol, tls, speaks_grpc): (UpstreamProtocol, bool, bool),
    ejects: bool,
    scope: &mut Scope<'_>,
) {
    let at = |key: &str| steps!["clusters", cluster, "healthCheck", key];
    misplaced(check.kind, at, scope);
    if check.method == Method::CONNECT {
        let hint = "write `GET`, or `type: tcp` to only connect";
        scope.invalid(&at("method"), "CONNECT asks for a tunnel, not for an answer", hint);
    }
    if check.kind == Kind::Grpc && !speaks_grpc && !speaks_http2(protocol, tls) {
        let ours = if tls { "h2" } else { "h2c" };
        let diagnostic = Diagnostic::conflict("gRPC needs HTTP/2, which this cluster does not speak");
        scope.add(&at("type"), diagnostic.hint(format!("add `protocol: {ours}` to `clusters.{cluster}`")));
    }
    if check.ends_ejection && !ejects {
        let message = "outlier detection is off, so there are no ejections to end";
        scope.warn(&at("endsEjection"), "no-effect", message, "take it out");
    }
    headers::check_values(&at("headers"), scope);
    if check.kind == Kind::Http && check.path.is_none() {
        let message = format!("`clusters.{cluster}.healthCheck` asks for nothing");
        let hint = "add `path: /health`, or `type: tcp` to only connect";
        scope.lacks(&steps!["clusters", cluster, "healthCheck"], message, hint);
    }
    if check.kind == Kind::Http && check.expected_statuses.is_empty() {
        scope.lacks(&at("expectedStatuses"), "no status is expected", "write `[200-299]`, or take it out");
    }
    let (interval, limit) = (check.interval, check.limit());
    if interval < SHORTEST {
        let message = format!("checks every {interval:?} would flood the endpoints");
        scope.invalid(&at("interval"), message, "`100ms` or more");
    }
    if check.timeout.is_some() && limit >= interval {
        let message = format!("a check may take {limit:?}, as long as the interval of {interval:?} or longer");
        let hint = "checks of one endpoint never overlap: make `interval` longer than `timeout`";
        scope.warn(&at("timeout"), "check-overlap", message, hint);
    }
}

/// Keys that mean nothing to this kind of check.
fn misplaced<'k>(kind: Kind, at: impl Fn(&'k str) -> [Step; 4], scope: &mut Scope<'_>) {
    let (http, card, grpc) = (Kind::Http, Kind::AgentCard, Kind::Grpc);
    let places: [(&str, &[Kind]); 6] = [
        ("path", &[http, card]),
        ("method", &[http]),
        ("expectedStatuses", &[http]),
        ("host", &[http, card, grpc]),
        ("headers", &[http, card, grpc]),
        ("service", &[grpc]),
    ];
    for (key, kinds) in places {
        if !kinds.contains(&kind) && scope.is_given(&at(key)) {
            let message = format!("`{key}` means nothing to a check of the type {}", kind.word());
            let fitting: Vec<_> = kinds.iter().map(|kind| format!("`type: {}`", kind.word())).collect();
            scope.conflict(&at(key), message, format!("it belongs to {}", fitting.join(", ")));
        }
    }
}

fn speaks_http2(protocol: UpstreamProtocol, tls: bool) -> bool {
    match protocol {
        UpstreamProtocol::H2 | UpstreamProtocol::H2c => true,
        UpstreamProtocol::Auto => tls,
        UpstreamProtocol::Http1 => false,
    }
}

/// Checks more often than this would flood the endpoints.
const SHORTEST: Duration = Duration::from_millis(100);
