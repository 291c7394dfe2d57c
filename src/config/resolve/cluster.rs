//! Clusters: endpoints and how to talk to them.

use std::collections::HashMap;
use std::time::Duration;

use super::{Scope, circuit_breaker, health, outlier, wire};
use crate::config::certs::{self, Part};
use crate::config::keys::{self, cluster as raw_cluster};
use crate::config::model::{BindingPlace, Cluster, HealthCheck, Member, MemberAddress, UpstreamProtocol, UpstreamTls};
use crate::config::node::{below, steps};
use crate::config::report::Diagnostic;

/// Resolves one cluster of a gateway in this zone.
pub(super) fn resolve(name: &str, raw: keys::Cluster, zone: Option<&str>, scope: &mut Scope<'_>) -> Cluster {
    let (members, dns_refresh) = members(name, &raw, scope);
    let panic = outlier::panic(name, raw.panic, raw.outlier_detection.as_ref(), scope);
    idle_race(name, raw.keepalive.idle_timeout, scope);
    wire::check(name, raw.http2.keepalive, scope);
    circuit_breaker::check(name, &raw.circuit_breaker, scope);
    circuit_breaker::check_adaptive(name, raw.adaptive_concurrency.as_ref(), raw.circuit_breaker.max_requests, scope);
    let tls_is_on = raw.tls.is_some();
    raw.tls.iter().for_each(|tls| check_tls(name, tls, scope));
    let protocol = protocol(name, raw.protocol, tls_is_on, scope);
    let outlier_detection = outlier::detection(name, raw.outlier_detection, &members, scope);
    if let Some(check) = &raw.health_check {
        let speaks_grpc = !members.is_empty() && members.iter().all(|member| member.grpc.is_some());
        let protocol = (protocol, tls_is_on, speaks_grpc);
        health::check(name, check, protocol, outlier_detection.is_some(), scope);
    }
    Cluster {
        name: name.to_owned(),
        outlier_detection,
        panic,
        slow_start: raw.slow_start,
        drain_tasks: raw.drain_tasks,
        zone: zone.filter(|_| raw.zones == raw_cluster::Zones::Prefer).map(str::to_owned),
        members,
        load_balancer: raw.load_balancer,
        protocol,
        tls: raw.tls,
        connect_timeout: raw.connect_timeout,
        handshake_timeout: raw.handshake_timeout,
        idle_timeout: raw.keepalive.idle_timeout,
        max_idle: raw.keepalive.max_idle,
        tcp_keepalive: raw.tcp_keepalive,
        http2_keepalive: raw.http2.keepalive,
        dns_refresh,
        health_check: raw.health_check.map(HealthCheck::settled),
        circuit_breaker: raw.circuit_breaker,
        adaptive_concurrency: raw.adaptive_concurrency,
    }
}

/// An agent that does not say how long it keeps an idle connection may close it just when a request is on its way.
/// Servers that say nothing usually keep theirs for 60 s or less.
fn idle_race(name: &str, idle: Duration, scope: &mut Scope<'_>) {
    if idle <= Duration::from_secs(60) {
        return;
    }
    let message =
        "an agent that closes an idle connection sooner may do so while a request is on its way: a POST gets 502 then";
    let hint = "stay below the agent's own limit (uvicorn 5s, gunicorn 2s, nginx 75s), or have it send \
                `Keep-Alive: timeout=..`";
    scope.warn(&steps!["clusters", name, "keepalive", "idleTimeout"], "idle-race", message, hint);
}

fn members(name: &str, raw: &keys::Cluster, scope: &mut Scope<'_>) -> (Vec<Member>, Option<Duration>) {
    let at = steps!["clusters", name];
    match (&raw.endpoints, &raw.discovery) {
        (Some(_), Some(_)) => {
            let message = format!("`clusters.{name}` has `endpoints` and `discovery`");
            scope.conflict(&at, message, "keep one of them");
            (Vec::new(), None)
        }
        (None, None) => {
            let message = format!("`clusters.{name}` has no endpoints");
            scope.lacks(&at, message, "add `endpoints: [\"10.0.0.1:8080\"]`");
            (Vec::new(), None)
        }
        (Some(list), None) => (endpoints(name, &list.0, scope), None),
        (None, Some(discovery)) => discover(name, discovery, scope),
    }
}

fn endpoints(name: &str, list: &[Member], scope: &mut Scope<'_>) -> Vec<Member> {
    let at = steps!["clusters", name, "endpoints"];
    if list.is_empty() {
        scope.lacks(&at, format!("`clusters.{name}` has no endpoints"), "add `\"10.0.0.1:8080\"`");
    } else if list.iter().all(|endpoint| endpoint.weight == 0) {
        let message = format!("every endpoint of `clusters.{name}` has the weight 0");
        scope.missing(&at, Diagnostic::warning("all-drained", message).hint("nothing will be sent to it"));
    }
    let mut seen: HashMap<&MemberAddress, usize> = HashMap::new();
    for (index, endpoint) in list.iter().enumerate() {
        if seen.insert(&endpoint.address, index).is_some() {
            scope.invalid(&below(&at, index), "this endpoint is given twice", "give it a `weight` instead");
        }
    }
    list.to_vec()
}

fn discover(name: &str, raw: &raw_cluster::Discovery, scope: &mut Scope<'_>) -> (Vec<Member>, Option<Duration>) {
    let (refresh, at) = (raw.refresh, steps!["clusters", name, "discovery"]);
    if let Some(refresh) = refresh.filter(|time| *time < Duration::from_secs(1)) {
        let message = format!("a refresh of {refresh:?} would flood the name server");
        scope.invalid(&below(&at, "refresh"), message, "`1s` or more");
    }
    let Some(target) = &raw.dns else {
        scope.lacks(&at, format!("`clusters.{name}.discovery` names nothing"), "add `dns: name:8080`");
        return (Vec::new(), refresh);
    };
    if let MemberAddress::Socket(_) = target {
        scope.invalid(&below(&at, "dns"), "an IP address needs no discovery", "write it under `endpoints`");
    }
    let grpc = raw.grpc.map(BindingPlace::Port);
    let labels = std::collections::BTreeMap::new();
    (vec![Member { address: target.clone(), weight: 1, labels, priority: 0, grpc }], refresh)
}

fn protocol(name: &str, given: Option<UpstreamProtocol>, tls: bool, scope: &mut Scope<'_>) -> UpstreamProtocol {
    let at = steps!["clusters", name, "protocol"];
    match (given, tls) {
        (Some(UpstreamProtocol::H2), false) => {
            let diagnostic = Diagnostic::conflict("`h2` needs TLS");
            scope.add(&at, diagnostic.hint("write `h2c` for HTTP/2 in the clear, or add `tls: {}`"));
        }
        (Some(UpstreamProtocol::H2c), true) => {
            scope.add(&at, Diagnostic::conflict("`h2c` is HTTP/2 without TLS").hint("write `h2`, or take `tls` out"));
        }
        _ => {}
    }
    given.unwrap_or(if tls { UpstreamProtocol::Auto } else { UpstreamProtocol::Http1 })
}

fn check_tls(name: &str, tls: &UpstreamTls, scope: &mut Scope<'_>) {
    let at = steps!["clusters", name, "tls"];
    if let Some(Err(problem)) = tls.ca_file.as_deref().map(|path| certs::bundle(path, scope.env)) {
        scope.add(&below(&at, "caFile"), problem.diagnostic(scope.env));
    }
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        let hint = "`certFile` and `keyFile` come together";
        scope.lacks(&at, "a client certificate needs both files", hint);
    }
    if let Some((cert, key)) = tls.client_cert() {
        for problem in certs::pair(cert, key, scope.env).err().into_iter().flatten() {
            let key = if problem.part == Part::Certificate { "certFile" } else { "keyFile" };
            scope.add(&below(&at, key), problem.diagnostic(scope.env));
        }
    }
    if let Some(server_name) = &tls.server_name
        && rustls_pki_types::ServerName::try_from(server_name.as_str()).is_err()
    {
        let message = format!("`{server_name}` is not a name a certificate can hold");
        scope.invalid(&below(&at, "serverName"), message, "a host name or an IP address, without a port");
    }
    for (index, name) in tls.subject_alt_names.iter().enumerate() {
        if !is_subject_alt_name(name) {
            let message = format!("`{name}` is not a name a certificate can hold");
            let hint = "a host name, an IP address, or a URI such as `spiffe://example.org/agent`";
            scope.invalid(&below(&below(&at, "subjectAltNames"), index), message, hint);
        }
    }
}

/// A URI with something behind its scheme, or a host.
fn is_subject_alt_name(name: &str) -> bool {
    match name.split_once("://") {
        Some((scheme, rest)) => {
            !scheme.is_empty()
                && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_graphic())
        }
        None => crate::config::forms::names::host(name).is_ok(),
    }
}
