//! `config show --defaults` shows every default that the schema speaks of, and every key of a route or a cluster can
//! stand under `defaults`. Whether the schema fits what the program
//! accepts is judged by a validator that is not ours: `tests/interop/schema_checks.py`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

use std::fs;
use std::time::SystemTime;

use attache::config::{self, Environment};
use serde_json::Value;

/// A configuration with every section and policy, each as short as it can be, and with two alternatives where there are
/// such.
const WHOLE: &str = "
listeners:
  web: { address: '127.0.0.1:8080', proxyProtocol: { trusted: [10.0.0.0/8] }, http2: { keepalive: {} } }
  plain: { address: '127.0.0.1:8081', httpsRedirect: { listener: tls } }
  tls: { address: '127.0.0.1:8443', tls: { certificates: [{ certFile: gateway.crt, keyFile: gateway.key }] } }
routes:
  bare: { cluster: one, match: { path: { exact: /0 } } }
  full:
    match: { path: { exact: /1 } }
    cluster: one
    retries: {}
    rateLimit: [{ rate: 1/s }]
    fault:
      delay: { percentage: 1%, fixedDelay: 1s }
      abort: { percentage: 1%, httpStatus: 503 }
      stream: { percentage: 1%, cutAfterEvents: 2 }
      byHeader: { clients: [10.0.0.0/8] }
      until: 2030-01-01T00:00:00Z
    mirror: { cluster: two }
    cors: { allowOrigins: '*' }
    csrf: {}
  split:
    match: { path: { exact: /2 } }
    split: { clusters: [{ cluster: one, weight: 90 }, { cluster: two, weight: 10 }] }
    rollout:
      canary: two
      steps: [{ setWeight: 5 }, { pause: 5m }]
      analysis: { metrics: [{ name: success-rate, successCondition: '>= 0.9' }] }
  answer: { match: { path: { exact: /3 } }, respond: {} }
rateLimits: { one: { rate: 1/s } }
clusters:
  bare: { endpoints: ['a:80'] }
  one:
    endpoints: ['b:80', { address: 'c:80', grpc: 81 }, 'd:80', 'e:80', 'f:80', 'g:80']
    tls: {}
    healthCheck: { path: /h }
    circuitBreaker: { maxRequests: 10, maxPendingRequests: 2, halfOpen: {} }
    outlierDetection: { successRate: {}, failurePercentage: {} }
  two: { endpoints: ['x:80', 'y:80'], healthCheck: { type: agent-card }, outlierDetection: { maxFails: 3 } }
admin: {}
";

/// Keys that are not shown where they mean nothing beside what WHOLE says.
const NOT_SHOWN: &[&str] = &[
    "circuitBreaker.pendingTimeout",
    "outlierDetection.failTimeout",
    "outlierDetection.minHealthPercent",
    "outlierDetection.consecutiveErrors",
    "clusters.<name>.handshakeTimeout",
    "healthCheck.method",
    "healthCheck.expectedStatuses",
    "healthCheck.service",
    "routes.<name>.fault",
    "routes.<name>.mapLocation",
    "routes.<name>.mirror",
    "routes.<name>.responseHeadTimeout",
    "routes.<name>.retries",
    "routes.<name>.streaming",
    "routes.<name>.timeout",
    "routes.<name>.upstreamHost",
    "routes.<name>.websocket",
    // Only the outcome of these is shown: the whole policy is off, or a listener is none.
    ".defaults",
];

#[test]
fn every_default_is_shown() {
    let (_root, env) = surroundings();
    let before = config::parse(WHOLE, "whole.yaml", &env).unwrap_or_else(|report| panic!("{report}"));
    let text = config::show_text(WHOLE, "whole.yaml", &env, true).expect("legal");
    let after = config::parse(&text, "shown.yaml", &env).unwrap_or_else(|report| panic!("{text}\n{report}"));
    assert_eq!(after.warnings.warnings(), before.warnings.warnings(), "{text}\n{}", after.warnings);
    let (mut after, before) = (after.config, before.config);
    after.hash.clone_from(&before.hash);
    after.effective.clone_from(&before.effective);
    assert_eq!(format!("{after:#?}"), format!("{before:#?}"), "{text}");

    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let mut walk =
        Walk { definitions: &schema["definitions"], missing: Vec::new(), wrong: Vec::new(), met: Vec::new() };
    let shown = yaml(&uncommented(&text));
    walk.value(&schema, &shown, &yaml(WHOLE), "");
    let unexplained: Vec<_> = walk
        .missing
        .iter()
        .filter(|path| !walk.met.contains(path))
        .filter(|path| !NOT_SHOWN.iter().any(|key| path.ends_with(key)))
        .collect();
    assert!(unexplained.is_empty(), "{text}\n{unexplained:#?}");
    assert!(walk.wrong.is_empty(), "other than the schema says: {:#?}", walk.wrong);
    assert!(walk.met.len() >= 250, "only {} keys were met", walk.met.len());
    for words in [
        "# workers: the cores",
        "# retries: one more try",
        "# responseHeadTimeout: 30s for",
        "# maxBodyBytes: the list",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}

/// A directory with a certificate, and what a configuration in it sees.
fn surroundings() -> (tempfile::TempDir, Environment) {
    let root = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(root.path().join("gateway.crt"), made.cert.pem()).expect("written");
    fs::write(root.path().join("gateway.key"), made.signing_key.serialize_pem()).expect("written");
    fs::write(root.path().join("networks"), "192.0.2.0/24\n").expect("written");
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    fs::write(root.path().join("cards.key"), key.serialize_pem()).expect("written");
    fs::write(root.path().join("clients.keys"), format!("ann:{}\n", "0a".repeat(32))).expect("written");
    let env = Environment::empty(SystemTime::now()).with_root(root.path());
    (root, env)
}

fn yaml(text: &str) -> Value {
    let value: serde_yaml::Value = serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    serde_json::to_value(value).expect("names are texts")
}

/// The text with defaults in words as values.
fn uncommented(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let next = lines.get(index + 1).copied().unwrap_or_default();
        let holds_comments = next.trim_start().starts_with("# ") && next.len() - next.trim_start().len() > indent;
        match line.trim_start().strip_prefix("# ").and_then(|words| words.split_once(": ")) {
            Some((key, words)) => out += &format!("{}{key}: {words:?}\n", " ".repeat(indent)),
            None if holds_comments => out += &format!("{}\n", line.strip_suffix(" {}").unwrap_or(line)),
            None => out += &format!("{line}\n"),
        }
    }
    out
}

/// Goes through the schema along a configuration as it is shown, and as it was written.
struct Walk<'s> {
    definitions: &'s Value,
    /// Keys with a default that are not there.
    missing: Vec<String>,
    /// Defaults that are not the schema's.
    wrong: Vec<String>,
    met: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, shown: &Value, written: &Value, path: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().expect("a name");
            return self.value(&self.definitions[name].clone(), shown, written, path);
        }
        for one in schema["anyOf"].as_array().into_iter().flatten() {
            self.value(one, shown, written, path);
        }
        if let (Some(items), Some(values)) = (schema.get("items"), shown.as_array()) {
            for (index, value) in values.iter().enumerate() {
                self.value(items, value, &written[index], &format!("{path}[]"));
            }
        }
        let Some(entries) = shown.as_object() else {
            return;
        };
        if let Some(each @ Value::Object(_)) = schema.get("additionalProperties") {
            for (name, value) in entries {
                self.value(each, value, &written[name.as_str()], &format!("{path}.<name>"));
            }
        }
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            let described = inner["description"].as_str().unwrap_or_default();
            let (default, was) = (&inner["default"], &written[key.as_str()]);
            match entries.get(key) {
                Some(value) => {
                    // What is in a mapping is looked at key by key.
                    // Without a block of its own, detection counts fewer kinds of failures.
                    let other = path.ends_with("outlierDetection.consecutiveGatewayErrors");
                    if was.is_null() && !default.is_null() && !default.is_object() && value != default && !other {
                        self.wrong.push(format!("{path}: {value}, not {default}"));
                    }
                    self.value(inner, value, was, &path);
                    self.met.push(path);
                }
                // A section that would say nothing is left out.
                None if default.as_object().is_some_and(serde_json::Map::is_empty) => {}
                None if described.contains("Default: ") || !default.is_null() => self.missing.push(path),
                None => {}
            }
        }
    }
}

/// Routes and clusters in which every key stands somewhere, by section.
const COMPLETE: &[(&str, &str)] = &[
    (
        "routes",
        "{ listeners: web, hosts: a.example, publicUrl: 'https://a.example', cluster: one, mapLocation: false,
           match: { path: { prefix: /a } }, rewrite: { prefix: /b }, upstreamHost: endpoint, timeout: 40s,
           requestHeaders: { remove: [x-a], set: { x-b: c }, tell: { x-t: tenant }, add: { x-d: e } },
           responseHeaders: { preset: secure, remove: [x-a], set: { x-b: c }, add: { x-d: e } },
           responseHeadTimeout: 7s, streaming: { idleTimeout: 7m, maxDuration: 8m }, websocket: true,
           retries: { attempts: 1, perTryTimeout: 7s, retryOn: [reset, 503], nonIdempotent: connect-failure,
             retriableHeaders: x-again, backoff: { base: 7ms, max: 8s }, budget: { percent: 7%, minConcurrent: 8 },
             maxReplayBytes: 7KiB, hedging: true },
           maxBodyBytes: 7KiB, rateLimit: shared, maxConcurrentPerClient: 7, accessLog: false,
           tracing: { sampling: 7% },
           screening: { mode: enforce, sets: ssrf, except: odd-scheme, parts: path, headers: x-h,
             patterns: [{ name: a, regex: b, parts: query }] },
           fault: { delay: { percentage: 7%, fixedDelay: 7s, whenHeader: { x-f: g } },
             abort: { percentage: 7%, httpStatus: 503, whenHeader: { x-f: g } },
             stream: { percentage: 7%, cutAfterEvents: 7, delayBetweenEvents: 7s, whenHeader: { x-f: g } },
             byHeader: { clients: 10.0.0.0/8, whenHeader: { x-f: g }, percentage: 7%, maxDelay: 7s },
             maxActive: 7, until: 2030-01-01T00:00:00Z },
           a2a: { agentCard: { publicUrl: 'https://b.example', cacheTtl: 7m, signedCards: resign,
             signing: { keyFile: cards.key, keyId: a, jwks: false }, securitySchemes: providers },
             affinity: { by: [taskId, { header: x-session }], ttl: 7m, endedTtl: 7s, onLoss: fail, lookup: false },
             maxBodyBytes: 7KiB, largeBodies: refuse, keepAlive: 7s, continuity: true,
             versions: [1.0, 0.3], singleFlight: 7s, pollDamping: 70ms,
             ownership: { by: 'header:x-user', unknown: allow },
             methods: { allow: [SendMessage], GetTask: { rateLimit: shared, maxConcurrentPerClient: 7, maxConcurrent: 8,
               timeout: 7s, deny: true } }, pushUrls: { allow: b.example, private: true, http: true },
             fileUrls: { allow: b.example, private: true, http: true } },
           cors: { allowOrigins: 'https://a.example', allowMethods: PUT, allowHeaders: x-a, exposeHeaders: x-b,
             allowCredentials: true, maxAge: 7s, allowPrivateNetwork: true },
           csrf: { allowOrigins: 'https://a.example', cookiesNeedOrigin: true, mode: shadow },
           ipAccess: { allow: 10.0.0.0/8, allowFile: networks, deny: 10.1.0.0/16, denyFile: networks, mode: shadow },
           mirror: { cluster: two, percentage: 7%, methods: [POST], unsafe: true, maxBodyBytes: 7KiB, maxActive: 7,
             timeout: 7s } }",
    ),
    ("routes", "{ cluster: one, fault: { abort: { percentage: 7%, grpcStatus: UNAVAILABLE } } }"),
    ("routes", "{ cluster: one, fault: { abort: { percentage: 7%, a2aError: TaskNotFound } } }"),
    ("routes", "{ cluster: one, a2a: { methods: { deny: [SendMessage] } } }"),
    ("routes", "{ cluster: one, cors: { allowOrigins: [{ exact: 'https://a.example' }, { regex: 'https://b' }] } }"),
    ("routes", "{ cluster: one, csrf: { allowOrigins: [{ exact: 'https://a.example' }, { regex: 'https://b' }] } }"),
    (
        "routes",
        "{ cluster: one, auth: { anyOf: [keys, mesh], except: [cards, { path: { exact: /a }, methods: GET }],
             optional: true, credentials: pass, realm: a, identityHeaders: { principal: x-p, provider: x-q, roles: x-r,
               spiffe: x-s } } }",
    ),
    ("routes", "{ cluster: one, auth: { allOf: [keys, mesh] } }"),
    (
        "routes",
        "{ cluster: one, auth: keys,
           authorization: [{ mode: shadow, rules: [{ name: a, action: deny, principals: ann, notPrincipals: bob,
             roles: admin, notRoles: guest, claims: { realm.roles: a }, notClaims: { scope: b }, spiffe: a.b/c,
             notSpiffe: a.b/d, namespaces: a, notNamespaces: b, clientIps: 10.0.0.0/8, notClientIps: 10.1.0.0/16,
             tenants: a, notTenants: b, methods: GET, notMethods: PUT, paths: { prefix: /a }, notPaths: { exact: /a/b },
             operations: GetTask, notOperations: SendMessage }] }] }",
    ),
    (
        "routes",
        "{ split: { clusters: [{ cluster: one, weight: 90 }, { cluster: two, weight: 10 }], chosenBy: { header: x-v } },
           rollout: { canary: two, sticky: clientIp, steps: [{ setWeight: 5 }, { pause: 5m }, { setWeight: 100 }],
             onFailure: pause, losing: cut, startAt: 2030-01-01T00:00:00Z,
             analysis: { startingStep: 1, interval: 7s, count: 7, failureLimit: 7, minRequests: 7,
               metrics: [{ name: success-rate, successCondition: '>= 0.9' }] } } }",
    ),
    ("routes", "{ split: { clusters: [{ cluster: one, weight: 9 }, { cluster: two, weight: 1 }], sticky: clientIp } }"),
    ("routes", "{ redirect: { status: 301, host: b.example } }"),
    ("routes", "{ respond: { status: 201, body: a, contentType: text/html } }"),
    (
        "clusters",
        "{ endpoints: ['a:80', 'b:80', 'c:80'], drainTasks: 1m, loadBalancer: random, protocol: h2,
           tls: { caFile: gateway.crt,
             serverName: a.example, subjectAltNames: b.example, certFile: gateway.crt, keyFile: gateway.key },
           connectTimeout: 7s, handshakeTimeout: 7s, keepalive: { idleTimeout: 7s, maxIdle: 7 },
           tcpKeepalive: { time: 7s, interval: 7s, probes: 7 }, http2: { keepalive: { interval: 7m, timeout: 7s } },
           healthCheck: { type: http, path: /h, method: HEAD, expectedStatuses: 204, host: a.example,
             headers: { x-a: b }, interval: 9s, timeout: 7s, healthyThreshold: 7, unhealthyThreshold: 7, port: 7,
             endsEjection: true },
           circuitBreaker: { maxConnections: 7, maxPendingRequests: 7, pendingTimeout: 7s, maxRequests: 7,
             maxStreams: 7, maxRetries: 7, maxRequestsPerConnection: 7,
             perEndpoint: { maxConnections: 6, maxRequests: 6, maxStreams: 6 },
             halfOpen: { failureThreshold: 7, recoveryTimeout: 7s, rampUp: 7s } },
           adaptiveConcurrency: { initial: 7, min: 3, max: 9, tolerance: 3, window: 7s },
           outlierDetection: { consecutive5xxErrors: 7, consecutiveGatewayErrors: 7, maxFails: 7, failTimeout: 7s,
             successRate: { minHosts: 3, minRequests: 7, stdevFactor: 1.5 },
             failurePercentage: { threshold: 70%, minHosts: 3, minRequests: 7 }, count500: false, interval: 7s,
             baseEjectionTime: 7s, maxEjectionTime: 7m, maxEjectionPercent: 70%, restOnRetryAfter: true },
           panic: { threshold: 7%, action: fail }, slowStart: 7s, zones: ignore }",
    ),
    ("clusters", "{ discovery: { dns: 'a:80', refresh: 7s }, protocol: h2c, healthCheck: { type: grpc, service: a } }"),
    ("clusters", "{ endpoints: ['a:80'], outlierDetection: { consecutiveErrors: 7, minHealthPercent: 7% } }"),
];

/// Merged only as a whole: two of them would contradict each other.
const WHOLES: &[&str] = &[
    "match", "loadBalancer", "rewrite", "redirect", "respond", "discovery", "labels", "rateLimit", "methods", "auth",
    "authorization",
];

/// Keys that a route or a cluster has to have for itself.
const OWN: &[&str] = &["routes.endpoints"];

#[test]
fn every_key_of_a_route_or_cluster_can_be_a_default() {
    let (_root, env) = surroundings();
    let mut honoured = Vec::new();
    for (section, text) in COMPLETE {
        let whole = yaml(text);
        let meant = meaning(section, &whole, None, &env);
        let mut paths = Vec::new();
        paths_in(&whole, &mut Vec::new(), &mut paths);
        for path in paths {
            let (mut rest, mut default) = (whole.clone(), Value::Object(serde_json::Map::new()));
            let value = take(&mut rest, &path);
            // What a list holds is given with it.
            let held = value.as_array().map_or_else(|| std::slice::from_ref(&value), Vec::as_slice);
            let inside = held.iter().filter_map(Value::as_object).flatten();
            honoured.extend(inside.map(|(key, _)| format!("{section}.{}.{key}", path.join("."))));
            put(&mut default, &path, value);
            assert_eq!(meaning(section, &rest, Some(&default), &env), meant, "{section}.{}", path.join("."));
            (1..=path.len()).for_each(|end| honoured.push(format!("{section}.{}", path[..end].join("."))));
        }
    }
    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let mut every = Vec::new();
    for (section, kind) in [("routes", "Route"), ("clusters", "Cluster")] {
        keys_of(&schema["definitions"], &schema["definitions"][kind], section, &mut every);
    }
    let untested: Vec<_> = every.iter().filter(|key| !honoured.contains(key) && !OWN.contains(&key.as_str())).collect();
    assert!(untested.is_empty(), "{untested:#?}");
    assert!(every.len() > 140, "{every:#?}");
}

/// What a configuration means that has this route or cluster, and this default for all of them.
fn meaning(section: &str, own: &Value, default: Option<&Value>, env: &Environment) -> String {
    let mut all = yaml(
        "{ listeners: { web: { address: '127.0.0.1:1' } }, rateLimits: { shared: { rate: 1/s } },
           authProviders: { keys: { apiKey: { keysFile: clients.keys } }, mesh: { clientCertificate: {} } },
           routes: {}, clusters: {} }",
    );
    let kind = section.trim_end_matches('s');
    if section == "routes" {
        all["clusters"] = yaml("{ one: { endpoints: ['a:80'] }, two: { endpoints: ['b:80'] } }");
    } else {
        all["routes"]["r"] = yaml("{ cluster: it }");
    }
    all[section]["it"] = own.clone();
    if let Some(default) = default {
        all["defaults"][kind] = default.clone();
    }
    // In `routes` there is only this one, so that the default is for nobody else.
    let text = all.to_string();
    let loaded = config::parse(&text, "a.yaml", env).unwrap_or_else(|report| panic!("{text}\n{report}"));
    let mut config = loaded.config;
    config.hash = String::new();
    config.effective = std::sync::Arc::default();
    format!("{config:#?}")
}

/// Paths to every value that can be given alone.
fn paths_in(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    for (key, inner) in value.as_object().into_iter().flatten() {
        path.push(key.clone());
        let named = ["whenHeader", "headers", "set", "add", "chosenBy", "sticky"].contains(&key.as_str());
        match inner {
            // A check without a type is one of HTTP, to which another type's keys mean nothing.
            Value::Object(_) if key == "healthCheck" && inner["type"] != "http" => found.push(path.clone()),
            Value::Object(_) if !named && !WHOLES.contains(&key.as_str()) => paths_in(inner, path, found),
            _ => found.push(path.clone()),
        }
        path.pop();
    }
}

fn take(value: &mut Value, path: &[String]) -> Value {
    let (last, before) = path.split_last().expect("a path");
    let place = before.iter().fold(value, |value, key| &mut value[key.as_str()]);
    place.as_object_mut().expect("a mapping").remove(last).expect("it is there")
}

fn put(value: &mut Value, path: &[String], inner: Value) {
    let (last, before) = path.split_last().expect("a path");
    let place = before.iter().fold(value, |value, key| &mut value[key.as_str()]);
    place[last.as_str()] = inner;
}

/// Every key that can be given alone in a mapping of this kind.
fn keys_of(definitions: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.rsplit('/').next().expect("a name");
        return keys_of(definitions, &definitions[name], path, found);
    }
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        keys_of(definitions, one, path, found);
    }
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{key}");
        // The other form of a percentage.
        if key == "value" {
            continue;
        }
        if !WHOLES.contains(&key.as_str()) && !["sticky", "chosenBy", "endpoints"].contains(&key.as_str()) {
            keys_of(definitions, inner, &path, found);
        }
        found.push(path);
    }
}
