//! What someone probably meant: the nearest known name, or ours for another proxy's word.

mod circuit;
mod edge;
mod ejection;
mod fault;
mod health;
mod mesh;
mod neighbours;
mod public;
mod retries;
mod shape;

use super::raw::limits;
use neighbours::NEIGHBOURS;
pub(super) use shape::long_form;

/// The candidate nearest to `name`, when it is near enough to be a slip.
pub(super) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(name);
    if folded.is_empty() || folded.len() > 80 {
        return None;
    }
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    // `h3` is not a slip for `h1`, nor `1.1` for `1.2`.
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let slip = |candidate: &&str| fold(candidate) == folded || letters(&fold(candidate)) != letters(&folded);
    let nearest = candidates
        .into_iter()
        .filter(slip)
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .min_by_key(|(d, _)| *d)?;
    (nearest.0 <= allowed).then_some(nearest.1)
}

/// Advice for an unknown field, in a mapping of kind `within` that knows `expected`.
pub(super) fn unknown_field(field: &str, within: &str, expected: &[&str]) -> Advice {
    if LATER.iter().any(|(kind, keys)| *kind == within && keys.contains(&field)) {
        return Advice::Later;
    }
    let folded = fold(field);
    let foreign = |(words, ours, _): &&(&[&str], &str, &str)| {
        words.iter().any(|word| fold(word) == folded) && (ours.is_empty() || expected.contains(ours))
    };
    let mut every = mesh::FOREIGN
        .iter()
        .chain(edge::FOREIGN)
        .chain(FOREIGN)
        .chain(circuit::FOREIGN)
        .chain(ejection::FOREIGN)
        .chain(fault::FOREIGN)
        .chain(health::FOREIGN)
        .chain(limits::FOREIGN)
        .chain(public::FOREIGN)
        .chain(retries::FOREIGN);
    if let Some((_, _, advice)) = every.find(foreign) {
        return Advice::Hint((*advice).to_owned());
    }
    if let Some(name) = closest(field, expected.iter().copied()) {
        return Advice::Hint(format!("did you mean `{name}`?"));
    }
    for (kind, keys, place) in NEIGHBOURS {
        if *kind == within
            && let Some(name) = closest(field, keys.iter().copied())
        {
            return Advice::Hint(format!("`{name}` belongs in {place}"));
        }
    }
    match expected {
        [] => Advice::Hint("nothing is expected here".to_owned()),
        [..] if expected.len() <= 6 => Advice::Hint(format!("one of `{}`", expected.join("`, `"))),
        [..] => Advice::None,
    }
}

/// What can be said about an unknown field.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Advice {
    None,
    Hint(String),
    /// A word of the language that this version does not have.
    Later,
}

/// Words of the language that this version does not have, by the kind of mapping they belong to.
const LATER: &[(&str, &[&str])] = &[
    ("Root", &["authProviders", "tracing"]),
    ("Route", &["auth", "cors", "a2a", "compression", "authorization"]),
    ("Admin", &["dashboard"]),
    ("AccessLog", &["redactHeaders", "sample"]),
];

/// Other proxies' words; the first word of ours that must be known where the hint is given (empty: anywhere); the hint.
pub(super) type Foreign = (&'static [&'static str], &'static str, &'static str);

const FOREIGN: &[Foreign] = &[
    (&["upstreams", "upstream", "backends", "destinationRules", "services"], "clusters", "that is `clusters` here"),
    (&["servers", "frontends", "entryPoints", "gateways"], "listeners", "that is `listeners` here"),
    (
        &["virtualHosts", "virtualServices", "locations", "httpRoutes", "rules"],
        "routes",
        "that is `routes` here, with `hosts` in each",
    ),
    (
        &["global", "spec", "http"],
        "listeners",
        "the sections stand at the top level: `listeners`, `routes`, `clusters`",
    ),
    (
        &["apiVersion", "kind", "metadata"],
        "listeners",
        "this is a configuration of its own, not a Kubernetes object; `version: 1`",
    ),
    (
        &[
            "proxy_pass",
            "destination",
            "backend",
            "backendRefs",
            "service",
            "upstream",
            "default_backend",
            "use_backend",
        ],
        "cluster",
        "that is `cluster: name` here",
    ),
    (&["host", "domains", "server_name", "hostnames", "serverNames"], "hosts", "that is `hosts: [..]` here"),
    (
        &["location", "path", "uri", "prefix", "matches", "pathPrefix"],
        "match",
        "that is `match: { path: { prefix: /x } }` here",
    ),
    (&["return", "directResponse", "direct_response"], "respond", "that is `respond: { status: 200, body: ok }` here"),
    (&["gateways", "entryPoints", "parentRefs"], "listeners", "that is `listeners: [..]` here"),
    (
        &["headers", "setHeaders", "add_header", "proxy_set_header"],
        "requestHeaders",
        "that is `requestHeaders` or `responseHeaders` here, with `set`, `add`, `remove`",
    ),
    (&["proxy_read_timeout", "timeoutServer"], "responseHeadTimeout", "that is `responseHeadTimeout` here"),
    (
        &["proxy_connect_timeout", "timeoutConnect"],
        "responseHeadTimeout",
        "that is `connectTimeout` of the cluster here",
    ),
    (&["client_max_body_size", "maxRequestBytes"], "maxBodyBytes", "that is `maxBodyBytes` here"),
    (
        &["lb_policy", "lbPolicy", "balance", "policy", "least_conn", "leastConn", "ip_hash", "consistentHash"],
        "loadBalancer",
        "that is `loadBalancer: least-connection` here",
    ),
    (
        &["hosts", "servers", "server", "addresses", "targets", "loadAssignment", "load_assignment", "members"],
        "endpoints",
        "that is `endpoints: [\"10.0.0.1:8080\"]` here",
    ),
    (&["proxy_connect_timeout", "timeoutConnect"], "connectTimeout", "that is `connectTimeout` here"),
    (
        &["so_keepalive", "proxy_socket_keepalive", "tcpka", "clitcpka", "srvtcpka", "tcpUserTimeout", "tcp_ut"],
        "tcpKeepalive",
        "that is `tcpKeepalive: { time: 15s, interval: 15s, probes: 3 }` here",
    ),
    (
        &["connectionKeepalive", "h2Keepalive", "http2Keepalive"],
        "http2",
        "that is `http2: { keepalive: { interval: 5m, timeout: 20s } }` here",
    ),
    (
        &["maxIdleConnections", "keepalive_timeout", "idleTimeout"],
        "keepalive",
        "that is `keepalive: { idleTimeout: 60s }` here",
    ),
    (
        &["credentialName", "ssl_certificate", "certificate", "cert", "crt", "serverCertificate", "tlsCertificates"],
        "certificates",
        "that is `certificates: [{ certFile: .., keyFile: .. }]` here",
    ),
    (
        &["cert", "certificate", "crt", "ssl_certificate", "certificateChain", "clientCertificate"],
        "certFile",
        "that is `certFile` here",
    ),
    (&["key", "privateKey", "ssl_certificate_key", "private_key"], "keyFile", "that is `keyFile` here"),
    (&["ca", "caCertificates", "ca_file", "trustedCa", "ssl_client_certificate"], "caFile", "that is `caFile` here"),
    (&["sni"], "serverName", "that is `serverName` here"),
    (&["listen", "bind", "port"], "address", "that is `address: \"0.0.0.0:8080\"` here"),
    (&["ssl", "https"], "tls", "that is `tls` here"),
    (&["alpn", "http2"], "protocols", "that is `protocols: [h2, http/1.1]` here"),
    (&["body_idle", "client_body_timeout"], "bodyIdleTimeout", "that is `bodyIdleTimeout` here"),
    (&["code", "httpStatus", "status_code", "redirectCode", "responseCode"], "status", "that is `status` here"),
    (&["authority"], "host", "that is `host` here"),
    (&["uri"], "path", "that is `path` or `prefix` here"),
    (&["startsWith", "pathPrefix"], "prefix", "that is `prefix` here"),
    (&["safeRegex", "safe_regex", "pattern"], "regex", "that is `regex` here"),
    (&["queryParams", "queryParameters"], "query", "that is `query` here"),
    (&["ip", "url", "socketAddress"], "address", "that is `address: \"10.0.0.1:8080\"` here"),
    (&["file", "path", "access_log"], "output", "that is `output` here: `stdout`, `stderr`, `off` or a path"),
    (&["httpHeaderName", "headerName"], "header", "that is `header` here"),
    (&["httpCookie"], "cookie", "that is `cookie: name` here"),
    (&["useSourceIp", "sourceIp"], "clientIp", "that is `hash: clientIp` here"),
    (&["buckets"], "latencyBuckets", "that is `latencyBuckets` here"),
    (&["terminationDrainDuration", "gracePeriod", "timeout"], "drainTimeout", "that is `drainTimeout` here"),
];

fn fold(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// Edit distance with neighbours swapped counting once (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&last, j) + usize::from(from != to)).min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(to) && b.get(j - 1) == Some(from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_strangers_are_not() {
        let names = ["loadBalancer", "endpoints", "protocol", "tls", "connectTimeout"];
        for (slip, meant) in [
            ("lodBalancer", Some("loadBalancer")),
            ("load_balancer", Some("loadBalancer")),
            ("enpdoints", Some("endpoints")),
            ("tsl", Some("tls")),
            ("connectionTimeout", Some("connectTimeout")),
            ("tls1", None),
            ("banana", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(slip, names), meant, "{slip}");
        }
    }

    #[test]
    fn other_words_get_ours() {
        let Advice::Hint(hint) = unknown_field("lb_policy", "Cluster", &["loadBalancer", "endpoints"]) else {
            panic!("a hint")
        };
        assert!(hint.contains("loadBalancer"), "{hint}");
        assert_eq!(unknown_field("cors", "Route", &["timeout"]), Advice::Later);
        assert_eq!(unknown_field("mirror", "Cluster", &["timeout"]), Advice::Hint("one of `timeout`".into()));
    }
}
