//! `reverse_proxy`: a cluster, and how its route treats it.

use super::World;
use super::fields::{field, put};
use crate::migrate::directive::{Block, Directive};
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::words;

pub(super) fn translate(
    directive: &Directive,
    arguments: &[String],
    route: &mut Part,
    world: &mut World<'_, '_>,
) -> Result<(), TooLarge> {
    let block = Block::new(directive.children());
    let mut upstreams: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for to in block.named("to") {
        upstreams.extend(to.mark().arguments.iter().map(String::as_str));
    }
    of_route(&block, route);
    // The same servers with the same words are one cluster.
    let key = format!("{upstreams:?} {}", described(directive));
    let name = match world.clusters.get(&key) {
        Some(name) => {
            directive.mark_all();
            name.clone()
        }
        None => {
            let part = cluster(directive, &upstreams, &block, world);
            let Some(part) = part else {
                let why = format!("{}: none of its upstreams is an address", directive.origin().text);
                route.unserved(&directive.origin(), &why);
                return Ok(());
            };
            let name = part.name.clone();
            world.draft.add(Kind::Cluster, part)?;
            world.clusters.insert(key, name.clone());
            name
        }
    };
    route.put(&["cluster"], Value::plain(name), &directive.origin());
    Ok(())
}

/// All that stands in the block, to compare.
fn described(directive: &Directive) -> String {
    let mut out = String::new();
    for child in directive.children() {
        out.push_str(&child.shown());
        out.push('\n');
        out.push_str(&described(child));
    }
    out
}

fn cluster(directive: &Directive, upstreams: &[&str], block: &Block<'_>, world: &mut World<'_, '_>) -> Option<Part> {
    let first = upstreams.first().copied().unwrap_or("dynamic");
    let mut part = Part::new(String::new(), directive.origin());
    let mut scheme = "http";
    for upstream in upstreams {
        let (how, address) = upstream.split_once("://").unwrap_or(("http", upstream));
        let address = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
        if how.starts_with("unix") || address.starts_with("unix/") || address.contains(['{', '/']) {
            let text = format!("{upstream}: endpoints are addresses and ports");
            part.notes.push(Note::dropped(directive.place.line, text));
            continue;
        }
        scheme = how;
        let address = words::with_port(&address, if how == "https" { 443 } else { 80 });
        part.settings.push(&["endpoints"], Value::text(address), &Origin::new(directive.place.line, *upstream));
    }
    let dynamic = block.last("dynamic").filter(|dynamic| dynamic.argument(0) == "a");
    if let Some(dynamic) = dynamic.filter(|_| part.has(&["endpoints"])) {
        let text = format!("{}: a cluster has upstreams or a name", dynamic.shown());
        part.notes.push(Note::dropped(dynamic.place.line, text));
    } else if let Some(dynamic) = dynamic {
        let port = if dynamic.argument(2).is_empty() { "80" } else { dynamic.argument(2) };
        let address = format!("{}:{port}", dynamic.argument(1));
        part.put(&["discovery", "dns"], Value::text(address), &dynamic.origin());
    }
    if !part.has(&["endpoints"]) && !part.has(&["discovery"]) {
        world.draft.notes.append(&mut part.notes);
        return None;
    }
    part.name = world.draft.name(Kind::Cluster, first.split_once("://").map_or(first, |(_, rest)| rest));
    match scheme {
        "https" => part.put(&["tls"], Value::Map(Section::default()), &Origin::new(directive.place.line, "https://")),
        "h2c" => part.put(&["protocol"], Value::plain("h2c"), &Origin::new(directive.place.line, "h2c://")),
        _ => {}
    }
    balance(block, &mut part);
    health(block, &mut part);
    for (name, path, is_time) in CLUSTER {
        if let Some(found) = block.last(name) {
            let value =
                if *is_time { words::time(found.argument(0), 1_000) } else { Some(found.argument(0).to_owned()) };
            match value {
                Some(value) => part.put(path, Value::plain(value), &found.origin()),
                None => part.notes.push(Note::dropped(found.place.line, format!("{}: no such value", found.shown()))),
            }
        }
    }
    if part.has(&["outlierDetection", "failTimeout"]) {
        part.settings.put_new(
            &["outlierDetection", "maxFails"],
            Value::plain(1),
            &Origin::new(0, "max_fails where it is not written"),
        );
    } else if let Some(fails) = part.settings.entry("outlierDetection").map(|entry| entry.origin.line) {
        part.notes.push(Note::changed(
            fails,
            "max_fails without fail_duration: Caddy takes nobody out then; here an endpoint is out for 10s",
        ));
    }
    for transport in block.named("transport") {
        let inner = Block::new(transport.mark().children());
        of_transport(&inner, &mut part);
    }
    Some(part)
}

/// Settings of the cluster by their names, and whether each is a time.
const CLUSTER: &[(&str, &[&str], bool)] = &[
    ("max_fails", &["outlierDetection", "maxFails"], false),
    ("fail_duration", &["outlierDetection", "failTimeout"], true),
    ("unhealthy_request_count", &["circuitBreaker", "perEndpoint", "maxRequests"], false),
];

fn balance(block: &Block<'_>, part: &mut Part) {
    let Some(policy) = block.last("lb_policy") else {
        let origin = Origin::new(0, "what Caddy does where no lb_policy is written");
        return part.put(&["loadBalancer"], Value::plain("random"), &origin);
    };
    let hash = |key: Value| Value::Map(Section::of("hash", key));
    let by = |kind: &str, name: &str| Value::Map(Section::of(kind, Value::text(name)));
    let value = match policy.argument(0) {
        "least_conn" => Value::plain("least-connection"),
        "round_robin" | "weighted_round_robin" => Value::plain("round-robin"),
        "ip_hash" | "client_ip_hash" => hash(Value::plain("clientIp")),
        "header" => hash(by("header", policy.argument(1))),
        "cookie" => hash(by("cookie", if policy.argument(1).is_empty() { "lb" } else { policy.argument(1) })),
        other => {
            if !other.starts_with("random") {
                let text = format!("{}: chosen at random here", policy.shown());
                part.notes.push(Note::changed(policy.place.line, text));
            }
            Value::plain("random")
        }
    };
    part.put(&["loadBalancer"], value, &policy.origin());
}

fn health(block: &Block<'_>, part: &mut Part) {
    for (name, key) in
        [("health_uri", "path"), ("health_path", "path"), ("health_method", "method"), ("health_port", "port")]
    {
        if let Some(found) = block.last(name) {
            let value = if key == "port" { Value::plain(found.argument(0)) } else { Value::text(found.argument(0)) };
            part.put(&["healthCheck", key], value, &found.origin());
        }
    }
    for (name, key) in [("health_interval", "interval"), ("health_timeout", "timeout")] {
        if let Some(found) = block.last(name)
            && let Some(time) = words::time(found.argument(0), 1_000)
        {
            part.put(&["healthCheck", key], Value::plain(time), &found.origin());
        }
    }
    if let Some(status) = block.last("health_status") {
        let range = match status.argument(0).strip_suffix("xx") {
            Some(digit) => format!("{digit}00-{digit}99"),
            None => status.argument(0).to_owned(),
        };
        part.put(&["healthCheck", "expectedStatuses"], Value::text(range), &status.origin());
    }
    for (name, key) in [("health_passes", "healthyThreshold"), ("health_fails", "unhealthyThreshold")] {
        if let Some(found) = block.last(name) {
            part.put(&["healthCheck", key], Value::plain(found.argument(0)), &found.origin());
        }
    }
}

fn of_transport(block: &Block<'_>, part: &mut Part) {
    for (name, path) in [("dial_timeout", "connectTimeout"), ("tls_timeout", "handshakeTimeout")] {
        if let Some(found) = block.last(name)
            && let Some(time) = words::time(found.argument(0), 1_000)
        {
            part.put(&[path], Value::plain(time), &found.origin());
        }
    }
    if let Some(found) = block.last("keepalive")
        && let Some(time) = words::time(found.argument(0), 1_000)
    {
        part.put(&["keepalive", "idleTimeout"], Value::plain(time), &found.origin());
    }
    if let Some(found) = block.last("keepalive_idle_conns_per_host").or_else(|| block.last("max_conns_per_host")) {
        part.put(&["keepalive", "maxIdle"], Value::plain(found.argument(0)), &found.origin());
    }
    if let Some(tls) = block.last("tls") {
        part.settings.put_new(&["tls"], Value::Map(Section::default()), &tls.origin());
    }
    if let Some(insecure) = block.last("tls_insecure_skip_verify") {
        let text = "tls_insecure_skip_verify: certificates are verified here; name the authority in `tls.caFile`";
        part.notes.push(Note::danger(insecure.place.line, text));
        part.settings.put_new(&["tls"], Value::Map(Section::default()), &insecure.origin());
    }
    for (name, key) in
        [("tls_server_name", "serverName"), ("tls_trusted_ca_certs", "caFile"), ("tls_trust_pool", "caFile")]
    {
        if let Some(found) = block.last(name) {
            let file = found.arguments.last().map_or("", String::as_str);
            part.put(&["tls", key], Value::text(file), &found.origin());
        }
    }
    if let Some(pair) = block.last("tls_client_auth").filter(|pair| pair.arguments.len() == 2) {
        part.put(&["tls", "certFile"], Value::text(pair.argument(0)), &pair.origin());
        part.put(&["tls", "keyFile"], Value::text(pair.argument(1)), &pair.origin());
    }
    if let Some(versions) = block.last("versions") {
        let protocol = match versions.argument(0) {
            "h2c" => "h2c",
            "2" => "h2",
            "1.1" if versions.arguments.len() == 1 => "http/1.1",
            _ => "auto",
        };
        part.put(&["protocol"], Value::plain(protocol), &versions.origin());
    }
}

fn of_route(block: &Block<'_>, route: &mut Part) {
    for up in block.named("header_up") {
        let name = up.mark().argument(0).to_ascii_lowercase();
        let line = up.place.line;
        match (name.as_str(), up.argument(1)) {
            ("host", "{host}" | "{http.request.host}") => {
                route.put(&["upstreamHost"], Value::plain("preserve"), &up.origin());
            }
            ("host", value) if value.contains("upstream_hostport") => {
                route.put(&["upstreamHost"], Value::plain("endpoint"), &up.origin());
            }
            ("host", value) => put(&["upstreamHost"], value, &up.origin(), route),
            ("x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host" | "x-real-ip", _) => {
                route
                    .notes
                    .push(Note::changed(line, format!("{}: always sent, there is nothing to write", up.shown())));
            }
            _ => field(&up.arguments, "requestHeaders", &up.origin(), route),
        }
    }
    for down in block.named("header_down") {
        field(&down.mark().arguments, "responseHeaders", &down.origin(), route);
    }
    for transport in block.named("transport") {
        let inner = Block::new(transport.children());
        if let Some(found) = inner.last("response_header_timeout")
            && let Some(time) = words::time(found.argument(0), 1_000)
        {
            route.put(&["responseHeadTimeout"], Value::plain(time), &found.origin());
        }
    }
    if let Some(stream) = block.last("stream_timeout")
        && let Some(time) = words::time(stream.argument(0), 1_000)
    {
        route.put(&["streaming", "maxDuration"], Value::plain(time), &stream.origin());
    }
    if let Some(retries) = block.last("lb_retries") {
        route.put(&["retries", "attempts"], Value::plain(retries.argument(0)), &retries.origin());
        let origin = Origin::new(0, "what Caddy tries again");
        route.put(&["retries", "retryOn"], Value::text("connect-failure"), &origin);
    }
    if let Some(duration) = block.last("lb_try_duration") {
        let text = format!("{}: `retries.attempts` counts tries here, and `timeout` ends them", duration.shown());
        route.notes.push(Note::changed(duration.place.line, text));
    }
}
