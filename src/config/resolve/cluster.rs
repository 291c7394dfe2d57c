//! Clusters: endpoints and how to talk to them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use super::{Scope, circuit_breaker, health, outlier, to_usize, wire};
use crate::config::certs::{self, Part};
use crate::config::model::{
    Cluster, LoadBalancer, Member, MemberAddress, TcpKeepalive, UpstreamProtocol, UpstreamTls,
};
use crate::config::node::{Step, steps};
use crate::config::raw::{self, OrOff, cluster as raw_cluster, values};
use crate::config::report::Diagnostic;

/// Resolves one cluster of a gateway in this zone.
pub(super) fn resolve(name: &str, raw: raw::Cluster, zone: Option<&str>, scope: &mut Scope<'_>) -> Cluster {
    let (members, dns_refresh) = members(name, &raw, scope);
    let (panic, detection) = (raw.panic.as_ref(), raw.outlier_detection.as_ref());
    let panic = outlier::panic(name, panic, detection, scope);
    let ignores_zones = raw.zones.is_some_and(|word| word.0 == raw_cluster::Zones::Ignore);
    let slow_start = raw.slow_start.map_or(Some(SLOW_START), |given| {
        let time = given.on()?.0;
        Some(scope.limit(&steps!["clusters", name, "slowStart"], time))
    });
    let keepalive = raw.keepalive.unwrap_or_default();
    let limit = |scope: &mut Scope<'_>, at: &[Step], time: Option<values::Time>, default: u64| {
        time.map_or_else(|| Duration::from_secs(default), |time| scope.limit(at, time.0))
    };
    let max_idle = scope.range(
        &steps!["clusters", name, "keepalive", "maxIdle"],
        keepalive.max_idle.unwrap_or(256),
        0..=1_000_000,
        "",
    );
    idle_race(name, keepalive.idle_timeout, scope);
    let tls_is_on = raw.tls.is_some();
    let protocol = protocol(name, raw.protocol.map(|word| word.0), tls_is_on, scope);
    let outlier_detection = outlier::detection(name, raw.outlier_detection, &members, scope);
    let ejects = outlier_detection.is_some();
    let http2_keepalive = raw.http2.unwrap_or_default().keepalive;
    wire::check(name, http2_keepalive, scope);
    Cluster {
        name: name.to_owned(),
        outlier_detection,
        panic,
        slow_start,
        zone: zone.filter(|_| !ignores_zones).map(str::to_owned),
        members,
        load_balancer: raw.load_balancer.map_or(LoadBalancer::LeastConnection, |policy| policy.0),
        protocol,
        tls: raw.tls.map(|raw| tls(name, raw, scope)),
        connect_timeout: limit(scope, &steps!["clusters", name, "connectTimeout"], raw.connect_timeout, 5),
        handshake_timeout: limit(scope, &steps!["clusters", name, "handshakeTimeout"], raw.handshake_timeout, 10),
        idle_timeout: limit(scope, &steps!["clusters", name, "keepalive", "idleTimeout"], keepalive.idle_timeout, 60),
        max_idle: to_usize(max_idle),
        tcp_keepalive: raw.tcp_keepalive.map_or_else(|| Some(TcpKeepalive::default()), OrOff::on),
        http2_keepalive,
        dns_refresh,
        health_check: health::resolve(name, raw.health_check, (protocol, tls_is_on), ejects, scope),
        circuit_breaker: circuit_breaker::check(name, raw.circuit_breaker, scope),
    }
}

/// An agent that does not say how long it keeps an idle connection may close it just when a request is on its way.
/// Servers that say nothing usually keep theirs for 60 s or less.
fn idle_race(name: &str, given: Option<values::Time>, scope: &mut Scope<'_>) {
    if given.is_none_or(|given| given.0 <= Duration::from_secs(60)) {
        return;
    }
    let diagnostic = Diagnostic::warning(
        "idle-race",
        "an agent that closes an idle connection sooner may do so while a request is on its way: a POST gets 502 then",
    );
    scope.add(
        &steps!["clusters", name, "keepalive", "idleTimeout"],
        diagnostic.hint("stay below the agent's own limit (uvicorn 5s, gunicorn 2s, nginx 75s), or have it send `Keep-Alive: timeout=..`"),
    );
}

fn members(name: &str, raw: &raw::Cluster, scope: &mut Scope<'_>) -> (Vec<Member>, Option<Duration>) {
    let at = steps!["clusters", name];
    match (&raw.endpoints, &raw.discovery) {
        (Some(_), Some(_)) => {
            let diagnostic =
                Diagnostic::error("conflict", format!("`clusters.{name}` has `endpoints` and `discovery`"));
            scope.add_key(&at, diagnostic.hint("keep one of them"));
            (Vec::new(), None)
        }
        (None, None) => {
            let diagnostic = Diagnostic::error("missing-field", format!("`clusters.{name}` has no endpoints"));
            scope.missing(&at, diagnostic.hint("add `endpoints: [\"10.0.0.1:8080\"]`"));
            (Vec::new(), None)
        }
        (Some(list), None) => (endpoints(name, &list.0, scope), None),
        (None, Some(discovery)) => discover(name, discovery, scope),
    }
}

fn endpoints(name: &str, list: &[raw_cluster::Endpoint], scope: &mut Scope<'_>) -> Vec<Member> {
    let at = steps!["clusters", name, "endpoints"];
    if list.is_empty() {
        scope.missing(
            &at,
            Diagnostic::error("missing-field", format!("`clusters.{name}` has no endpoints"))
                .hint("add `\"10.0.0.1:8080\"`"),
        );
    } else if list.iter().all(|endpoint| endpoint.weight == 0) {
        let diagnostic =
            Diagnostic::warning("all-drained", format!("every endpoint of `clusters.{name}` has the weight 0"));
        scope.missing(&at, diagnostic.hint("nothing will be sent to it"));
    }
    let mut seen: HashMap<&MemberAddress, usize> = HashMap::new();
    for (index, endpoint) in list.iter().enumerate() {
        if seen.insert(&endpoint.address.0, index).is_some() {
            let diagnostic = Diagnostic::error("invalid-value", "this endpoint is given twice");
            scope.add(&steps!["clusters", name, "endpoints", index], diagnostic.hint("give it a `weight` instead"));
        }
    }
    let member = |endpoint: &raw_cluster::Endpoint| Member {
        address: endpoint.address.0.clone(),
        weight: endpoint.weight,
        labels: endpoint.labels.iter().cloned().collect(),
        priority: endpoint.priority,
    };
    list.iter().map(member).collect()
}

fn discover(name: &str, raw: &raw_cluster::Discovery, scope: &mut Scope<'_>) -> (Vec<Member>, Option<Duration>) {
    let refresh = raw.refresh.map(|time| time.0);
    if let Some(refresh) = refresh.filter(|time| *time < Duration::from_secs(1)) {
        let diagnostic =
            Diagnostic::error("invalid-value", format!("a refresh of {refresh:?} would flood the name server"));
        scope.add(&steps!["clusters", name, "discovery", "refresh"], diagnostic.hint("`1s` or more"));
    }
    let Some(target) = &raw.dns else {
        let diagnostic = Diagnostic::error("missing-field", format!("`clusters.{name}.discovery` names nothing"));
        scope.missing(&steps!["clusters", name, "discovery"], diagnostic.hint("add `dns: name:8080`"));
        return (Vec::new(), refresh);
    };
    if let MemberAddress::Socket(_) = target.0 {
        let diagnostic = Diagnostic::error("invalid-value", "an IP address needs no discovery");
        scope.add(&steps!["clusters", name, "discovery", "dns"], diagnostic.hint("write it under `endpoints`"));
    }
    (
        vec![Member { address: target.0.clone(), weight: 1, labels: std::collections::BTreeMap::new(), priority: 0 }],
        refresh,
    )
}

fn protocol(name: &str, given: Option<UpstreamProtocol>, tls: bool, scope: &mut Scope<'_>) -> UpstreamProtocol {
    let at = steps!["clusters", name, "protocol"];
    match (given, tls) {
        (Some(UpstreamProtocol::H2), false) => {
            let diagnostic = Diagnostic::error("conflict", "`h2` needs TLS");
            scope.add(&at, diagnostic.hint("write `h2c` for HTTP/2 in the clear, or add `tls: {}`"));
        }
        (Some(UpstreamProtocol::H2c), true) => {
            scope.add(
                &at,
                Diagnostic::error("conflict", "`h2c` is HTTP/2 without TLS").hint("write `h2`, or take `tls` out"),
            );
        }
        _ => {}
    }
    given.unwrap_or(if tls { UpstreamProtocol::Auto } else { UpstreamProtocol::Http1 })
}

fn tls(name: &str, raw: raw_cluster::Tls, scope: &mut Scope<'_>) -> UpstreamTls {
    let under = |key: &str| steps!["clusters", name, "tls", key];
    let ca_file = raw.ca_file.map(PathBuf::from);
    if let Some(Err(problem)) = ca_file.as_deref().map(|path| certs::bundle(path, scope.env)) {
        scope.add(&under("caFile"), problem.diagnostic(scope.env));
    }
    let client_cert = match (raw.cert_file, raw.key_file) {
        (Some(cert), Some(key)) => Some((PathBuf::from(cert), PathBuf::from(key))),
        (None, None) => None,
        _ => {
            let diagnostic = Diagnostic::error("missing-field", "a client certificate needs both files");
            scope.missing(&steps!["clusters", name, "tls"], diagnostic.hint("`certFile` and `keyFile` come together"));
            None
        }
    };
    if let Some((cert, key)) = &client_cert {
        for problem in certs::pair(cert, key, scope.env).err().into_iter().flatten() {
            let key = if problem.part == Part::Certificate { "certFile" } else { "keyFile" };
            scope.add(&under(key), problem.diagnostic(scope.env));
        }
    }
    if let Some(server_name) = &raw.server_name
        && rustls_pki_types::ServerName::try_from(server_name.as_str()).is_err()
    {
        let diagnostic =
            Diagnostic::error("invalid-value", format!("`{server_name}` is not a name a certificate can hold"));
        scope.add(&under("serverName"), diagnostic.hint("a host name or an IP address, without a port"));
    }
    UpstreamTls { ca_file, server_name: raw.server_name, client_cert }
}

/// Of an endpoint that joins or returns.
const SLOW_START: Duration = Duration::from_secs(30);
