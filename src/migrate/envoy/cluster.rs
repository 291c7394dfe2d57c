//! Clusters.

use super::{World, typed};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Item, Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::tree;

pub(super) fn translate(cluster: &Foreign, world: &mut World<'_>) -> Result<(), TooLarge> {
    let called = cluster.text_at(&["name"]).unwrap_or("cluster").to_owned();
    let name = world.draft.name(Kind::Cluster, &called);
    let mut part = Part::new(name.clone(), Origin::new(cluster.line, format!("name: {called}")));
    let kind = cluster.get("type");
    let kind_text = kind.and_then(Foreign::text).unwrap_or("STATIC").to_owned();
    endpoints(cluster, &kind_text, &mut part);
    if !part.has(&["endpoints"]) && !part.has(&["discovery"]) {
        cluster.all_seen();
        let text = format!("cluster {called}: {kind_text} without endpoints in the file: there is no xDS here");
        world.draft.note(Note::dropped(cluster.line, text));
        return Ok(());
    }
    tree::take(cluster, TABLE, &mut part);
    part.settings.put_new(
        &["connectTimeout"],
        Value::plain("5s"),
        &Origin::new(0, "what Envoy does where nothing is written"),
    );
    balance(cluster, &mut part);
    for threshold in cluster.items_at(&["circuit_breakers", "thresholds"]) {
        if threshold.text_at(&["priority"]).is_none_or(|priority| priority == "DEFAULT") {
            tree::take(threshold, THRESHOLDS, &mut part);
        }
    }
    if let Some(outlier) = cluster.get("outlier_detection") {
        tree::take(outlier, OUTLIERS, &mut part);
    }
    for (index, check) in cluster.items_at(&["health_checks"]).iter().enumerate() {
        if index == 0 {
            health(check, &mut part);
        } else {
            check.all_seen();
            part.notes.push(Note::dropped(check.line, "health_checks: a cluster has one check"));
        }
    }
    if let Some(tls) = cluster.get("transport_socket").and_then(|socket| typed(socket, "UpstreamTlsContext")) {
        of_tls(tls, &mut part);
    }
    protocol(cluster, &mut part);
    world.clusters.insert(called, name);
    world.draft.add(Kind::Cluster, part)
}

const TABLE: tree::Table<'static> = &[
    (&["connectTimeout"], &["connect_timeout"], tree::time),
    (&["circuitBreaker", "maxRequestsPerConnection"], &["max_requests_per_connection"], tree::plain),
    (&["slowStart"], &["slow_start_config", "slow_start_window"], tree::time),
    (&["slowStart"], &["least_request_lb_config", "slow_start_config", "slow_start_window"], tree::time),
];

const THRESHOLDS: tree::Table<'static> = &[
    (&["circuitBreaker", "maxConnections"], &["max_connections"], tree::plain),
    (&["circuitBreaker", "maxPendingRequests"], &["max_pending_requests"], tree::plain),
    (&["circuitBreaker", "maxRequests"], &["max_requests"], tree::plain),
    (&["circuitBreaker", "maxRetries"], &["max_retries"], tree::plain),
];

const OUTLIERS: tree::Table<'static> = &[
    (&["outlierDetection", "consecutive5xxErrors"], &["consecutive_5xx"], tree::plain),
    (&["outlierDetection", "consecutiveGatewayErrors"], &["consecutive_gateway_failure"], tree::plain),
    (&["outlierDetection", "interval"], &["interval"], tree::time),
    (&["outlierDetection", "baseEjectionTime"], &["base_ejection_time"], tree::time),
    (&["outlierDetection", "maxEjectionTime"], &["max_ejection_time"], tree::time),
    (&["outlierDetection", "maxEjectionPercent"], &["max_ejection_percent"], tree::plain),
];

fn endpoints(cluster: &Foreign, kind: &str, part: &mut Part) {
    let groups = cluster.items_at(&["load_assignment", "endpoints"]);
    let _name = cluster.text_at(&["load_assignment", "cluster_name"]);
    let mut found: Vec<(Section, usize)> = Vec::new();
    for group in groups {
        let priority = group.text_at(&["priority"]).filter(|priority| *priority != "0");
        let zone = group.text_at(&["locality", "zone"]);
        for one in group.items_at(&["lb_endpoints"]) {
            let Some(socket) = one.at(&["endpoint", "address", "socket_address"]) else { continue };
            let (Some(host), Some(port)) = (socket.text_at(&["address"]), socket.text_at(&["port_value"])) else {
                continue;
            };
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let mut section = Section::of("address", Value::text(format!("{host}:{port}")));
            let _protocol = socket.text_at(&["protocol"]);
            if let Some(weight) = one.text_at(&["load_balancing_weight"]) {
                section = section.with("weight", Value::plain(weight));
            }
            if let Some(priority) = priority {
                section = section.with("priority", Value::plain(priority));
            }
            if let Some(zone) = zone {
                section.put(&["labels", "zone"], Value::text(zone), &Origin::default());
            }
            found.push((section, one.line));
        }
    }
    let address = |section: &Section| section.get(&["address"]).cloned().unwrap_or_else(|| Value::text(""));
    if let ([(only, line)], true) = (found.as_slice(), kind.ends_with("DNS")) {
        return part.put(
            &["discovery", "dns"],
            address(only),
            &Origin::new(*line, format!("type: {kind}, load_assignment")),
        );
    }
    for (section, line) in found {
        let value = if section.entries.len() == 1 { address(&section) } else { Value::Map(section) };
        part.settings.push(&["endpoints"], value, &Origin::new(line, "lb_endpoints"));
    }
}

fn balance(cluster: &Foreign, part: &mut Part) {
    let policy = cluster.get("lb_policy");
    let text = policy.and_then(Foreign::text).unwrap_or("ROUND_ROBIN");
    let value = match text {
        "ROUND_ROBIN" => Value::plain("round-robin"),
        "RANDOM" => Value::plain("random"),
        "RING_HASH" | "MAGLEV" => {
            let note = format!("lb_policy: {text}: by the client's address here; `hash_policy` says by what there");
            part.notes.push(Note::changed(cluster.line, note));
            Value::Map(Section::of("hash", Value::plain("clientIp")))
        }
        _ => Value::plain("least-connection"),
    };
    let origin = policy.map_or_else(
        || Origin::new(0, "what Envoy does where nothing is written"),
        |policy| tree::origin(policy, "lb_policy"),
    );
    part.put(&["loadBalancer"], value, &origin);
}

fn health(check: &Foreign, part: &mut Part) {
    tree::take(
        check,
        &[
            (&["healthCheck", "path"], &["http_health_check", "path"], tree::word),
            (&["healthCheck", "host"], &["http_health_check", "host"], tree::word),
            (&["healthCheck", "service"], &["grpc_health_check", "service_name"], tree::word),
            (&["healthCheck", "interval"], &["interval"], tree::time),
            (&["healthCheck", "timeout"], &["timeout"], tree::time),
            (&["healthCheck", "unhealthyThreshold"], &["unhealthy_threshold"], tree::plain),
            (&["healthCheck", "healthyThreshold"], &["healthy_threshold"], tree::plain),
        ],
        part,
    );
    for (theirs, ours) in [("tcp_health_check", "tcp"), ("grpc_health_check", "grpc")] {
        if let Some(kind) = check.get(theirs) {
            part.put(&["healthCheck", "type"], Value::plain(ours), &Origin::new(kind.line, theirs));
        }
    }
    let statuses = check.items_at(&["http_health_check", "expected_statuses"]);
    let range = |one: &Foreign| {
        let (start, end) = (one.text_at(&["start"])?.parse::<u16>().ok()?, one.text_at(&["end"])?.parse::<u16>().ok()?);
        Some(Item::of(Value::text(format!("{start}-{}", end.saturating_sub(1)))))
    };
    let ranges: Vec<Item> = statuses.iter().filter_map(range).collect();
    if !ranges.is_empty() {
        part.put(
            &["healthCheck", "expectedStatuses"],
            Value::List(ranges),
            &Origin::new(check.line, "expected_statuses"),
        );
    }
}

fn of_tls(tls: &Foreign, part: &mut Part) {
    part.put(&["tls"], Value::Map(Section::default()), &Origin::new(tls.line, "UpstreamTlsContext"));
    tree::take(
        tls,
        &[
            (&["tls", "serverName"], &["sni"], tree::word),
            (&["tls", "caFile"], &["common_tls_context", "validation_context", "trusted_ca", "filename"], tree::word),
        ],
        part,
    );
    if let Some(pair) = tls.items_at(&["common_tls_context", "tls_certificates"]).first() {
        tree::take(
            pair,
            &[
                (&["tls", "certFile"], &["certificate_chain", "filename"], tree::word),
                (&["tls", "keyFile"], &["private_key", "filename"], tree::word),
            ],
            part,
        );
    }
    if !part.has(&["tls", "caFile"]) {
        let text = "UpstreamTlsContext without validation_context: Envoy verifies no certificate; here the system's authorities do";
        part.notes.push(Note::danger(tls.line, text));
    }
}

/// HTTP/2 towards the endpoints.
fn protocol(cluster: &Foreign, part: &mut Part) {
    let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = cluster.at(&["typed_extension_protocol_options", key]);
    let is_h2 = options.and_then(|options| options.at(&["explicit_http_config", "http2_protocol_options"])).is_some()
        || cluster.get("http2_protocol_options").is_some();
    if let Some(options) = options {
        options.all_seen();
    }
    if is_h2 {
        let protocol = if part.has(&["tls"]) { "h2" } else { "h2c" };
        part.put(&["protocol"], Value::plain(protocol), &Origin::new(cluster.line, "http2_protocol_options"));
    }
}
