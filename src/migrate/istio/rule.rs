//! DestinationRule: what holds for a cluster.

use super::{World, full_name};
use crate::config::foreign::Foreign;
use crate::migrate::model::{Kind, Origin, Part, Section, TooLarge, Value};
use crate::migrate::note::Note;
use crate::migrate::tree;

/// The cluster of a host, subset and port, made where there is none.
pub(super) fn cluster(
    host: &str,
    subset: &str,
    port: &str,
    line: usize,
    world: &mut World<'_, '_>,
) -> Result<String, TooLarge> {
    let key = (host.to_owned(), subset.to_owned(), port.to_owned());
    if let Some(name) = world.clusters.get(&key) {
        return Ok(name.clone());
    }
    let short = host.split_once(".svc.").map_or(host, |(name, _)| name.split('.').next().unwrap_or(name));
    let wanted = if subset.is_empty() { short.to_owned() } else { format!("{short}-{subset}") };
    let name = world.draft.name(Kind::Cluster, &wanted);
    let mut part = Part::new(name.clone(), Origin::new(line, format!("host: {host}")));
    part.put(&["discovery", "dns"], Value::text(format!("{host}:{port}")), &Origin::new(line, "destination"));
    let text = format!(
        "destination {host}: make its Service headless (`clusterIP: None`), so that each Pod is an endpoint, and write the port of \
         the Pods"
    );
    part.notes.push(Note::changed(line, text));
    if let Some(rule) = world.rules.get(host).copied() {
        of_rule(rule, subset, &mut part);
    }
    world.draft.add(Kind::Cluster, part)?;
    world.clusters.insert(key, name.clone());
    Ok(name)
}

/// A rule that no route leads to is a cluster all the same.
pub(super) fn unused(rule: &Foreign, world: &mut World<'_, '_>) -> Result<(), TooLarge> {
    let host = full_name(rule.text_at(&["spec", "host"]).unwrap_or_default(), rule);
    if !world.clusters.keys().any(|(known, ..)| *known == host) && !host.contains('*') {
        cluster(&host, "", "80", rule.line, world)?;
    }
    Ok(())
}

fn of_rule(rule: &Foreign, subset: &str, part: &mut Part) {
    if let Some(policy) = rule.at(&["spec", "trafficPolicy"]) {
        of_policy(policy, part);
    }
    for one in rule.items_at(&["spec", "subsets"]) {
        if one.text_at(&["name"]) != Some(subset) {
            continue;
        }
        if let Some(labels) = one.get("labels") {
            labels.all_seen();
            let text = format!(
                "subset {subset}: give the Pods with these labels a Service of their own, and name it in `discovery`"
            );
            part.notes.push(Note::changed(labels.line, text));
        }
        if let Some(policy) = one.get("trafficPolicy") {
            of_policy(policy, part);
        }
    }
}

fn of_policy(policy: &Foreign, part: &mut Part) {
    tree::take(policy, TABLE, part);
    if let Some(balancer) = policy.get("loadBalancer") {
        balance(balancer, part);
    }
    if let Some(circuit) = policy.get("circuitBreaker") {
        let text = "circuitBreaker: Istio knows no such key in a trafficPolicy and refuses or ignores it; it is `outlierDetection` \
                    that is meant";
        part.notes.push(Note::danger(circuit.line, text));
        outliers(circuit, part);
    }
    if let Some(outlier) = policy.get("outlierDetection") {
        outliers(outlier, part);
    }
    if let Some(tls) = policy.get("tls") {
        of_tls(tls, part);
    }
}

const TABLE: tree::Table<'static> = &[
    (&["circuitBreaker", "maxConnections"], &["connectionPool", "tcp", "maxConnections"], tree::plain),
    (&["connectTimeout"], &["connectionPool", "tcp", "connectTimeout"], tree::time),
    (&["tcpKeepalive", "time"], &["connectionPool", "tcp", "tcpKeepalive", "time"], tree::time),
    (&["tcpKeepalive", "interval"], &["connectionPool", "tcp", "tcpKeepalive", "interval"], tree::time),
    (&["tcpKeepalive", "probes"], &["connectionPool", "tcp", "tcpKeepalive", "probes"], tree::plain),
    (&["circuitBreaker", "maxPendingRequests"], &["connectionPool", "http", "http1MaxPendingRequests"], tree::plain),
    (&["circuitBreaker", "maxRequests"], &["connectionPool", "http", "http2MaxRequests"], tree::plain),
    (
        &["circuitBreaker", "maxRequestsPerConnection"],
        &["connectionPool", "http", "maxRequestsPerConnection"],
        tree::plain,
    ),
    (&["circuitBreaker", "maxRetries"], &["connectionPool", "http", "maxRetries"], tree::plain),
    (&["keepalive", "idleTimeout"], &["connectionPool", "http", "idleTimeout"], tree::time),
    (&["slowStart"], &["loadBalancer", "warmupDurationSecs"], tree::time),
];

fn outliers(outlier: &Foreign, part: &mut Part) {
    tree::take(outlier, OUTLIERS, part);
}

const OUTLIERS: tree::Table<'static> = &[
    (&["outlierDetection", "consecutiveErrors"], &["consecutiveErrors"], tree::plain),
    (&["outlierDetection", "consecutive5xxErrors"], &["consecutive5xxErrors"], tree::plain),
    (&["outlierDetection", "consecutiveGatewayErrors"], &["consecutiveGatewayErrors"], tree::plain),
    (&["outlierDetection", "interval"], &["interval"], tree::time),
    (&["outlierDetection", "baseEjectionTime"], &["baseEjectionTime"], tree::time),
    (&["outlierDetection", "maxEjectionPercent"], &["maxEjectionPercent"], tree::plain),
    (&["outlierDetection", "minHealthPercent"], &["minHealthPercent"], tree::plain),
];

fn balance(balancer: &Foreign, part: &mut Part) {
    if let Some(simple) = balancer.get("simple") {
        let policy = match simple.text().unwrap_or_default() {
            "ROUND_ROBIN" => "round-robin",
            "RANDOM" => "random",
            _ => "least-connection",
        };
        part.put(&["loadBalancer"], Value::plain(policy), &tree::origin(simple, "loadBalancer.simple"));
    }
    let Some(hash) = balancer.get("consistentHash") else { return };
    let header = hash.text_at(&["httpHeaderName"]).map(|name| ("header", name.to_owned()));
    let cookie = || hash.text_at(&["httpCookie", "name"]).map(|name| ("cookie", name.to_owned()));
    let key = match header.or_else(cookie) {
        Some((kind, name)) => Value::Map(Section::of(kind, Value::text(name))),
        None => Value::plain("clientIp"),
    };
    if hash.text_at(&["useSourceIp"]).is_none() && key == Value::plain("clientIp") {
        part.notes.push(Note::changed(hash.line, "consistentHash: by the client's address here"));
    }
    part.put(&["loadBalancer"], Value::Map(Section::of("hash", key)), &Origin::new(hash.line, "consistentHash"));
}

fn of_tls(tls: &Foreign, part: &mut Part) {
    let mode = tls.text_at(&["mode"]).unwrap_or_default().to_owned();
    if mode == "DISABLE" || mode.is_empty() {
        return;
    }
    part.put(&["tls"], Value::Map(Section::default()), &Origin::new(tls.line, format!("tls.mode: {mode}")));
    tree::take(
        tls,
        &[
            (&["tls", "caFile"], &["caCertificates"], tree::word),
            (&["tls", "certFile"], &["clientCertificate"], tree::word),
            (&["tls", "keyFile"], &["privateKey"], tree::word),
            (&["tls", "serverName"], &["sni"], tree::word),
        ],
        part,
    );
    let names = tls.texts_at(&["subjectAltNames"]);
    if !names.is_empty() {
        part.put(&["tls", "subjectAltNames"], Value::texts(names), &Origin::new(tls.line, "tls.subjectAltNames"));
    }
    if mode == "ISTIO_MUTUAL" || tls.get("credentialName").is_some() {
        for (key, file) in
            [("certFile", "certs/mesh.crt"), ("keyFile", "certs/mesh.key"), ("caFile", "certs/mesh-ca.crt")]
        {
            part.settings.put_new(&["tls", key], Value::text(file), &Origin::new(0, "choose"));
        }
        let text =
            format!("tls.mode: {mode}: put certificate, key and authority where `tls` of the cluster names them");
        part.notes.push(Note::changed(tls.line, text));
    }
}
