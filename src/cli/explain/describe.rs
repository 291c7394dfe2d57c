//! The words of `attache explain`: one line per fact, the value beside a label of fixed width.

use super::circuit;
use std::fmt::Display;
use std::time::Duration;

use http::Method;

use super::{ejection, health, injected, public, rates, retries};
use crate::cli::summary::spoken;
use crate::config::model::{
    Action, Cluster, Config, HashKey, HeadLimit, HeaderChanges, Listener, LoadBalancer, MemberAddress, PathMatch,
    Redirect, Route, Split, Step, UpstreamHost, UpstreamProtocol,
};
use crate::route::{self, Considered, Facts};

/// The listener's line.
pub(super) fn listener(listener: &Listener) -> String {
    let kind = if listener.tls.is_some() { "TLS" } else { "cleartext" };
    format!("listener  {} on {}, {kind}, {}", listener.name, listener.address, spoken(listener))
}

/// Everything that happens to a request on the route that was found.
pub(super) fn outcome(config: &Config, listener: &Listener, found: &Considered, facts: &Facts<'_>) -> Vec<String> {
    let Some(route) = config.routes.get(found.route.0) else {
        return Vec::new();
    };
    let alternative = route.matches.get(found.matched);
    let path = alternative.map(|alternative| &alternative.path);
    let mut lines = vec![format!("route     {}: {}", route.name, why(route, found, facts))];
    lines.extend(public::line(config, listener, found, facts.host));
    lines.extend(rates::lines(config, route));
    match &route.action {
        Action::Forward(id) => {
            lines.push(target(route, path, facts));
            let clusters: Vec<_> = config.clusters.get(id.0).into_iter().collect();
            lines.extend(forwarded(config, listener, route, &clusters, facts));
        }
        Action::Split(split) => {
            lines.push(target(route, path, facts));
            lines.extend(split_lines(split));
            let clusters = split.parts.iter();
            let clusters: Vec<_> = clusters.filter_map(|part| config.clusters.get(part.cluster.0)).collect();
            lines.extend(forwarded(config, listener, route, &clusters, facts));
        }
        Action::Redirect(redirect) => lines.push(redirected(redirect, facts.method)),
        Action::Respond(respond) => {
            lines.push(format!("answer    {} with {} bytes, no upstream", respond.status.as_u16(), respond.body.len()));
        }
    }
    lines.extend(changes("request", &route.request_headers));
    lines.extend(changes("response", &route.response_headers));
    lines
}

/// What happens to a request that goes to one of these clusters.
fn forwarded(
    config: &Config,
    listener: &Listener,
    route: &Route,
    clusters: &[&Cluster],
    facts: &Facts<'_>,
) -> Vec<String> {
    let mut lines: Vec<String> = clusters
        .iter()
        .flat_map(|cluster| {
            let circuit = circuit::lines(&cluster.circuit_breaker);
            let health = cluster.health_check.as_ref().map(health::line);
            cluster_lines(cluster).into_iter().chain(circuit).chain(health)
        })
        .collect();
    lines.push(format!("host sent {}", host_sent(&route.upstream_host, facts.host)));
    lines.push(limits(listener, route));
    if let Some(cluster) = clusters.first() {
        lines.push(timeouts(route, cluster, facts.method));
    }
    lines.extend(injected::lines(config, route, facts));
    lines.push(retries::line(&route.retries, facts.method));
    lines
}

/// How a route's traffic is divided, and what moves it.
fn split_lines(split: &Split) -> Vec<String> {
    let parts: Vec<String> = split.parts.iter().map(|part| format!("{} {}", part.name, part.weight)).collect();
    let key = |key: &HashKey| match key {
        HashKey::ClientIp => "client address".to_owned(),
        HashKey::Header(name) => format!("header {name}"),
        HashKey::Cookie(name) => format!("cookie {name}"),
    };
    let mut line = format!("split     by weight: {}", parts.join(", "));
    if let Some(sticky) = &split.sticky {
        line.push_str(&format!("; sticky by {}", key(sticky)));
    }
    if let Some(chosen_by) = &split.chosen_by {
        line.push_str(&format!("; {} may name one", key(chosen_by)));
    }
    let rollout = split.rollout.as_ref().map(|rollout| {
        let canary = split.parts.get(rollout.canary);
        let steps = rollout.steps.iter().map(|step| match step {
            Step::SetWeight(weight) => format!("{weight} %"),
            Step::Pause(Some(duration)) => format!("wait {duration:?}"),
            Step::Pause(None) => "wait for resume".to_owned(),
        });
        format!("rollout   to {}: {}", canary.map_or("-", |part| &part.name), steps.collect::<Vec<_>>().join(", "))
    });
    [line].into_iter().chain(rollout).collect()
}

/// Why this alternative holds.
fn why(route: &Route, found: &Considered, facts: &Facts<'_>) -> String {
    let mut reasons = vec![if route.hosts.is_empty() { "any host".to_owned() } else { format!("host {}", facts.host) }];
    if let Some(alternative) = route.matches.get(found.matched) {
        reasons.push(match &alternative.path {
            PathMatch::Exact(path) => format!("exact path {path}"),
            PathMatch::Prefix(prefix) if prefix.is_empty() => "any path".to_owned(),
            PathMatch::Prefix(prefix) => format!("path prefix {prefix}"),
            PathMatch::Regex(regex) => format!("path expression {regex}"),
        });
        if !alternative.methods.is_empty() {
            reasons.push(format!("method {}", facts.method));
        }
        reasons.extend(alternative.headers.iter().map(|header| format!("header {}", header.name)));
        reasons.extend(alternative.query.iter().map(|query| format!("query {}", query.name)));
    }
    reasons.join(", ")
}

fn target(route: &Route, path: Option<&PathMatch>, facts: &Facts<'_>) -> String {
    let query = facts.query.map(|query| format!("?{query}")).unwrap_or_default();
    match (&route.rewrite, path) {
        (Some(rewrite), Some(matched)) => match route::rewrite(rewrite, matched, facts.path, facts.query) {
            Ok(target) => format!("path sent {target} (rewritten)"),
            Err(reason) => format!("path sent none: the rewrite makes no valid path, the answer is 400 ({reason})"),
        },
        _ => format!("path sent {}{query}", facts.path),
    }
}

fn cluster_lines(cluster: &Cluster) -> [String; 4] {
    let policy = match &cluster.load_balancer {
        LoadBalancer::LeastConnection => "least-connection".to_owned(),
        LoadBalancer::RoundRobin => "round-robin".to_owned(),
        LoadBalancer::Random => "random".to_owned(),
        LoadBalancer::PeakEwma => "peak-ewma".to_owned(),
        LoadBalancer::Hash(HashKey::ClientIp) => "hash of the client address".to_owned(),
        LoadBalancer::Hash(HashKey::Header(name)) => format!("hash of the header {name}"),
        LoadBalancer::Hash(HashKey::Cookie(name)) => format!("hash of the cookie {name}"),
    };
    let protocol = match cluster.protocol {
        UpstreamProtocol::Http1 => "http/1.1",
        UpstreamProtocol::H2 => "h2",
        UpstreamProtocol::H2c => "h2c",
        UpstreamProtocol::Auto => "http/1.1 or h2 by ALPN",
    };
    let tls = if cluster.tls.is_some() { "TLS" } else { "cleartext" };
    let endpoints = cluster.members.iter().map(|member| {
        let address = match &member.address {
            MemberAddress::Socket(address) => address.to_string(),
            MemberAddress::Name { host, port } => format!("{host}:{port}"),
        };
        let mut notes = Vec::new();
        match member.weight {
            0 => notes.push("draining".to_owned()),
            1 => {}
            weight => notes.push(format!("weight {weight}")),
        }
        if member.priority > 0 {
            notes.push(format!("priority {}", member.priority));
        }
        if notes.is_empty() {
            return address;
        }
        format!("{address} ({})", notes.join(", "))
    });
    let mut endpoints: Vec<_> = endpoints.collect();
    let more = endpoints.len().saturating_sub(MAX_ENDPOINTS);
    endpoints.truncate(MAX_ENDPOINTS);
    if more > 0 {
        endpoints.push(format!("and {more} more"));
    }
    [
        format!("cluster   {}, {policy}, {protocol}, {tls}", cluster.name),
        format!("endpoints {}", endpoints.join(", ")),
        ejection::usage(cluster),
        ejection::ejection(cluster),
    ]
}

fn host_sent(host: &UpstreamHost, asked: &str) -> String {
    match host {
        UpstreamHost::Preserve => format!("{asked} (the client's)"),
        UpstreamHost::Endpoint => "the endpoint's name and port".to_owned(),
        UpstreamHost::Fixed(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
    }
}

fn limits(listener: &Listener, route: &Route) -> String {
    let limits = &listener.limits;
    let body = route.max_body_bytes.or(limits.max_body_bytes);
    let body = body.map_or_else(|| "unlimited".to_owned(), bytes);
    format!(
        "limits    body {body}, head {} in {} fields, target {}, websocket {}",
        bytes(limits.max_header_bytes as u64),
        limits.max_headers,
        bytes(limits.max_target_bytes as u64),
        if route.websocket { "allowed" } else { "refused" },
    )
}

fn timeouts(route: &Route, cluster: &Cluster, method: &Method) -> String {
    let is_safe = method == Method::GET || method == Method::HEAD;
    let head = match route.response_head_timeout {
        HeadLimit::After(limit) => time(limit),
        HeadLimit::Default if is_safe => time(HeadLimit::OF_SAFE),
        HeadLimit::Default | HeadLimit::Off => "none".to_owned(),
    };
    let or_none = |limit: Option<Duration>| limit.map_or_else(|| "none".to_owned(), time);
    let whole =
        route.timeout.map_or_else(|| "none".to_owned(), |limit| format!("{} (of a stream only its head)", time(limit)));
    format!(
        "timeouts  connect {}, response head {head}, whole {whole}, stream silence {}, stream life {}",
        time(cluster.connect_timeout),
        or_none(route.streaming.idle_timeout),
        or_none(route.streaming.max_duration),
    )
}

fn redirected(redirect: &Redirect, method: &Method) -> String {
    let default_status = if method == Method::GET || method == Method::HEAD { 302 } else { 307 };
    let status = redirect.status.map_or(default_status, |status| status.as_u16());
    let parts: [(&str, Option<&dyn Display>); 5] = [
        ("scheme", redirect.scheme.as_ref().map(|part| part as &dyn Display)),
        ("host", redirect.host.as_ref().map(|part| part as &dyn Display)),
        ("port", redirect.port.as_ref().map(|part| part as &dyn Display)),
        ("path", redirect.path.as_ref().map(|part| part as &dyn Display)),
        ("prefix", redirect.prefix.as_ref().map(|part| part as &dyn Display)),
    ];
    let changed: Vec<_> = parts.iter().filter_map(|(name, part)| Some(format!("{name} {}", part.as_ref()?))).collect();
    format!("answer    {status}, redirect with {}", changed.join(", "))
}

/// Names only: values may be credentials.
fn changes(direction: &str, changes: &HeaderChanges) -> Option<String> {
    let removed = changes.remove.iter().map(|name| format!("-{name}"));
    let set = changes.set.iter().map(|(name, _)| format!("={name}"));
    let added = changes.add.iter().map(|(name, _)| format!("+{name}"));
    let hsts = changes.hsts.then(|| "=strict-transport-security".to_owned());
    let all: Vec<_> = removed.chain(set).chain(added).chain(hsts).collect();
    (!all.is_empty()).then(|| format!("headers   {direction}: {} (- removed, = set, + added)", all.join(" ")))
}

pub(super) fn bytes(count: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = UNITS.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count}B"), |(size, name)| format!("{}{name}", count / size))
}

pub(super) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (duration.subsec_millis(), seconds) {
        (0, seconds) if seconds >= 60 && seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        (0, seconds) => format!("{seconds}s"),
        _ => format!("{}ms", duration.as_millis()),
    }
}

const MAX_ENDPOINTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_written_as_in_the_file() {
        let sizes = [(0, "0B"), (1000, "1000B"), (64 << 10, "64KiB"), (16 << 20, "16MiB"), ((1 << 20) + 1, "1048577B")];
        for (count, text) in sizes {
            assert_eq!(bytes(count), text);
        }
        for (millis, text) in [(250, "250ms"), (5_000, "5s"), (90_000, "90s"), (300_000, "5m")] {
            assert_eq!(time(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn header_values_are_not_shown() {
        let set = vec![(http::header::AUTHORIZATION, http::HeaderValue::from_static("secret"))];
        let line = changes("request", &HeaderChanges { set, ..HeaderChanges::default() }).unwrap();
        assert!(line.contains("=authorization") && !line.contains("secret"), "{line}");
    }
}
