//! The schema, held against what the program accepts by a validator that is not ours: editors must not mark what works.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says why and stops"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use attache::config::{self, Environment};
use jsonschema::Validator;
use serde_json::Value;

fn validator() -> Validator {
    let schema = serde_json::from_str(&config::schema()).expect("JSON");
    jsonschema::validator_for(&schema).expect("a schema")
}

/// What an editor sees: YAML 1.2 with its aliases, without what the program puts in.
fn seen(text: &str) -> Value {
    let mut yaml: serde_yaml::Value = serde_yaml::from_str(text).expect("YAML");
    yaml.apply_merge().expect("merge keys");
    serde_json::to_value(yaml).expect("names are texts")
}

fn complaints(validator: &Validator, text: &str) -> Vec<String> {
    let value = seen(text);
    let errors = validator.iter_errors(&value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

fn yaml_below(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            yaml_below(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
}

#[test]
fn every_configuration_of_the_repository_fits_the_schema() {
    let validator = validator();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    yaml_below(&root.join("config"), &mut files);
    assert!(files.len() >= 28, "{} files", files.len());
    files.push(root.join("deploy/compose/gateway.yaml"));
    files.push(root.join("deploy/image/gateway.yaml"));
    let wrong = files.iter().flat_map(|file| {
        let text = fs::read_to_string(file).expect("a file");
        let complaints = complaints(&validator, &text).into_iter();
        complaints.map(|complaint| format!("{}: {complaint}", file.display()))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_examples_of_the_documents_fit_the_schema() {
    let validator = validator();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut seen = 0;
    for entry in fs::read_dir(docs).expect("a directory") {
        let path = entry.expect("an entry").path();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for block in text.split("```yaml\n").skip(1) {
            let block = block.split("```").next().unwrap_or_default();
            // Some pages show a section alone, or two versions of one.
            let whole = serde_yaml::from_str::<serde_yaml::Value>(block).is_ok_and(|block| {
                ["listeners", "routes", "clusters"]
                    .iter()
                    .any(|section| block.get(section).is_some())
            });
            if whole {
                let wrong = complaints(&validator, block);
                assert!(wrong.is_empty(), "{}: {wrong:?}\n{block}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 6, "only {seen} examples were found");
}

/// One configuration around a route's and a cluster's keys, and more at the top.
fn around(route: &str, cluster: &str, top: &str) -> String {
    format!(
        "listeners: {{ http: {{ address: '127.0.0.1:8080' }} }}\nroutes: {{ a: {{ cluster: c, {route} }} }}\n\
         clusters: {{ c: {{ endpoints: ['b:80', 'c:80'], {cluster} }} }}\n{top}\n"
    )
}

#[test]
fn what_the_program_accepts_the_schema_accepts() {
    let validator = validator();
    let env = Environment::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
        .with_variable("NUMBER", "7")
        .with_variable("WORD", "random")
        .with_variable("YES", "true")
        .with_variable("OFF", "off")
        .with_variable("TIME", "3s")
        .with_variable("VERB", "GET")
        .with_variable("PATH", "/x");
    for (route, cluster, top) in [
        ("", "loadBalancer: LEAST_CONN", ""),
        ("", "loadBalancer: least_conn", ""),
        ("", "loadBalancer: roundrobin", ""),
        ("", "loadBalancer: ROUND_ROBIN", ""),
        ("", "loadBalancer: '${WORD}'", ""),
        ("", "loadBalancer: { hash: SourceIp }", ""),
        ("", "protocol: HTTP/1.1", ""),
        ("", "protocol: HTTP2", ""),
        (
            "",
            "outlierDetection: { consecutiveErrors: 5, interval: 10s }",
            "",
        ),
        (
            "",
            "outlierDetection: { consecutiveGatewayErrors: 5, maxEjectionPercent: 50, minHealthPercent: 30 }",
            "",
        ),
        (
            "",
            "outlierDetection: { consecutive5xxErrors: '${NUMBER}', successRate: Off }",
            "",
        ),
        ("", "outlierDetection: '${OFF}'", ""),
        ("", "outlierDetection: { maxFails: \"3\" }", ""),
        ("", "panic: { threshold: 40, action: FAIL_TRAFFIC }", ""),
        ("", "zones: prefer_local", ""),
        (
            "",
            "healthCheck: { type: HTTP-GET, path: /x, expectedStatuses: [200, '300 - 399', 404] }",
            "",
        ),
        (
            "",
            "healthCheck: { type: tcp, healthyThreshold: '${NUMBER}' }",
            "",
        ),
        ("", "circuitBreaker: { maxConnections: '${NUMBER}' }", ""),
        ("timeout: OFF", "", ""),
        ("timeout: '${TIME}'", "", ""),
        ("websocket: '${YES}'", "", ""),
        (
            "match: { path: { prefix: '${PATH}' }, methods: ['${VERB}', M-SEARCH] }",
            "",
            "",
        ),
        (
            "match: { headers: { x-number: 1, x-yes: true, x-text: { exact: 1.5 } } }",
            "",
            "",
        ),
        (
            "requestHeaders: { set: { x-version: 1.20, x-on: true } }",
            "",
            "",
        ),
        ("retries: { retryOn: [5xx, 503], budget: OFF }", "", ""),
        ("rateLimit: { key: client_ip, rate: 10 / second }", "", ""),
        (
            "rateLimit: { key: [ip, 'Header:x-api-key', Global], rate: 10R/SECOND, mode: DRY_RUN }",
            "",
            "",
        ),
        (
            "fault: { until: '2030-01-01 00:00:00Z', delay: { percentage: 10 %, fixedDelay: 1s } }",
            "",
            "",
        ),
        (
            "fault: { abort: { percentage: { value: 0.1 }, grpcStatus: 14 }, until: '2030-01-01T00:00:00Z' }",
            "",
            "",
        ),
        ("", "", "logging: { format: JSON, level: '${WORD}' }"),
        ("", "", "accessLog: { format: Text, output: OFF }"),
        ("", "", "workers: '${NUMBER}'"),
        ("", "", "reload: { watch: '${YES}', poll: Off }"),
        ("", "", "zone: 7"),
        ("", "", "admin: { writes: OFF }"),
        ("", "", "metrics:"),
    ] {
        let text = around(route, cluster, top);
        if let Err(report) = config::parse(&text, "a.yaml", &env) {
            panic!("{report}");
        }
        let wrong = complaints(&validator, &text);
        assert!(wrong.is_empty(), "{text}{}", wrong.join("\n"));
    }
    let tls = "listeners: { a: { address: '127.0.0.1:1', tls: { minVersion: 1.2, unknownSni: REJECT, clientAuth: { mode: mutual } } } }";
    assert!(
        complaints(&validator, tls).is_empty(),
        "a version is a number in YAML"
    );
}

#[test]
fn what_is_a_slip_the_schema_refuses() {
    let validator = validator();
    let env = Environment::empty(SystemTime::UNIX_EPOCH);
    for (route, cluster, top) in [
        ("timout: 3s", "", ""),
        ("timeout: 30", "", ""),
        ("timeout: 1.5s", "", ""),
        ("websocket: maybe", "", ""),
        ("match: { methods: [get] }", "", ""),
        ("match: { path: { prefix: x } }", "", ""),
        ("retries: { attempts: 0 }", "", ""),
        ("rateLimit: { key: nobody, rate: 1/s }", "", ""),
        ("rateLimit: { key: header, rate: 1/s }", "", ""),
        ("rateLimit: { rate: 10 }", "", ""),
        ("", "loadBalancer: leest-conn", ""),
        ("", "loadBalancer: { hash: contextId }", ""),
        ("", "protocol: h5", ""),
        ("", "outlierDetection: { consecutiveError: 5 }", ""),
        ("", "outlierDetection: on", ""),
        ("", "healthCheck: { healthyThreshold: many }", ""),
        ("", "", "workers: 0"),
        ("", "", "logging: { format: xml }"),
        ("", "", "nonsense: 1"),
    ] {
        let text = around(route, cluster, top);
        assert!(config::parse(&text, "a.yaml", &env).is_err(), "{text}");
        assert!(!complaints(&validator, &text).is_empty(), "{text}");
    }
}

/// A configuration with every section and policy, each as short as it can be, and with two alternatives where there are such.
const WHOLE: &str = "
listeners:
  web: { address: '127.0.0.1:8080', proxyProtocol: { trusted: [10.0.0.0/8] } }
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
    endpoints: ['b:80', { address: 'c:80' }, 'd:80', 'e:80', 'f:80', 'g:80']
    tls: {}
    healthCheck: { path: /h }
    circuitBreaker: { maxRequests: 10, maxPendingRequests: 2, halfOpen: {} }
    outlierDetection: { successRate: {}, failurePercentage: {} }
  two: { endpoints: ['x:80', 'y:80'], healthCheck: { type: agent-card }, outlierDetection: { maxFails: 3 }, circuitBreaker: { maxRequests: 5 } }
admin: {}
";

/// Keys with a default that is not shown, by the reason.
const NOT_SHOWN: &[(&str, &[&str])] = &[
    (
        "what is everything, nothing or no ceiling has no word of its own",
        &[
            "hosts",
            "listeners",
            "methods",
            "whenHeader",
            "rateLimit",
            "caFile",
            "serverName",
            "tokenFile",
            "lastGoodFile",
            "sticky",
            "chosenBy",
            "cutAfterEvents",
            "delayBetweenEvents",
            "maxConnections",
            "maxRequests",
            "maxRequestsPerConnection",
            "maxRetries",
            "maxStreams",
            "service",
            "until",
            "byHeader",
            "cost",
            "loadBalancer.hash",
            "file",
        ],
    ),
    (
        "what depends on the machine, the request, the endpoint or an answer",
        &[
            "workers",
            "zone",
            "publicUrl",
            "responseHeadTimeout",
            "maxBodyBytes",
            "status",
            "refresh",
            "port",
            "host",
            "startAt",
            "contentType",
            "burst",
            "nonIdempotent",
            "retries",
        ],
    ),
    (
        "what only means something beside another key",
        &[
            "pendingTimeout",
            "failTimeout",
            "handshakeTimeout",
            "endpoints[].priority",
            "endpoints[].weight",
            "match[].path",
        ],
    ),
    (
        "another word for a key that is shown",
        &[
            "minHealthPercent",
            "consecutiveErrors",
            "method",
            "endpoints",
        ],
    ),
];

#[test]
fn every_default_is_shown() {
    let root = tempfile::tempdir().expect("a directory");
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(root.path().join("gateway.crt"), made.cert.pem()).expect("written");
    fs::write(
        root.path().join("gateway.key"),
        made.signing_key.serialize_pem(),
    )
    .expect("written");
    let env = Environment::empty(SystemTime::now()).with_root(root.path());
    let before =
        config::parse(WHOLE, "whole.yaml", &env).unwrap_or_else(|report| panic!("{report}"));
    let text = config::show_text(WHOLE, "whole.yaml", &env, true).expect("legal");
    let after = config::parse(&text, "shown.yaml", &env)
        .unwrap_or_else(|report| panic!("{text}\n{report}"));
    assert_eq!(
        after.warnings.warnings(),
        before.warnings.warnings(),
        "{text}\n{}",
        after.warnings
    );
    let (mut after, before) = (after.config, before.config);
    after.hash.clone_from(&before.hash);
    after.effective.clone_from(&before.effective);
    assert_eq!(format!("{after:#?}"), format!("{before:#?}"), "{text}");
    let wrong = complaints(&validator(), &text);
    assert!(wrong.is_empty(), "{text}\n{}", wrong.join("\n"));

    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let mut walk = Walk {
        definitions: &schema["definitions"],
        missing: Vec::new(),
        met: Vec::new(),
    };
    walk.value(&schema, &seen(&text), "");
    let unexplained: Vec<_> = walk
        .missing
        .iter()
        .filter(|path| {
            !NOT_SHOWN
                .iter()
                .any(|(_, keys)| keys.iter().any(|key| path.ends_with(&format!(".{key}"))))
        })
        .collect();
    assert!(unexplained.is_empty(), "{text}\n{unexplained:#?}");
    assert!(
        walk.met.len() >= 120,
        "only {} keys were met",
        walk.met.len()
    );
}

/// Goes through the schema along a configuration.
struct Walk<'s> {
    definitions: &'s Value,
    /// Keys with a default that are not there.
    missing: Vec<String>,
    met: Vec<String>,
}

impl Walk<'_> {
    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        if let Some(name) = schema["$ref"].as_str() {
            let name = name.rsplit('/').next().expect("a name");
            return self.value(&self.definitions[name].clone(), value, path);
        }
        for one in schema["anyOf"].as_array().into_iter().flatten() {
            self.value(one, value, path);
        }
        if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
            for value in values {
                self.value(items, value, &format!("{path}[]"));
            }
        }
        let Some(entries) = value.as_object() else {
            return;
        };
        if let Some(each @ Value::Object(_)) = schema.get("additionalProperties") {
            for value in entries.values() {
                self.value(each, value, &format!("{path}.<name>"));
            }
        }
        for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{key}");
            let described = inner["description"].as_str().unwrap_or_default();
            match entries.get(key) {
                Some(value) => {
                    self.value(inner, value, &path);
                    self.met.push(path);
                }
                None if described.contains("Default: ") => self.missing.push(path),
                None => {}
            }
        }
    }
}
