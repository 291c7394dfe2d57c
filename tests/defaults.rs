//! `config show --defaults` shows every default that the schema speaks of. Whether the schema fits what the program
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
    ("another word for a key that is shown", &["minHealthPercent", "consecutiveErrors", "method", "endpoints"]),
];

#[test]
fn every_default_is_shown() {
    let root = tempfile::tempdir().expect("a directory");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    fs::write(root.path().join("gateway.crt"), made.cert.pem()).expect("written");
    fs::write(root.path().join("gateway.key"), made.signing_key.serialize_pem()).expect("written");
    let env = Environment::empty(SystemTime::now()).with_root(root.path());
    let before = config::parse(WHOLE, "whole.yaml", &env).unwrap_or_else(|report| panic!("{report}"));
    let text = config::show_text(WHOLE, "whole.yaml", &env, true).expect("legal");
    let after = config::parse(&text, "shown.yaml", &env).unwrap_or_else(|report| panic!("{text}\n{report}"));
    assert_eq!(after.warnings.warnings(), before.warnings.warnings(), "{text}\n{}", after.warnings);
    let (mut after, before) = (after.config, before.config);
    after.hash.clone_from(&before.hash);
    after.effective.clone_from(&before.effective);
    assert_eq!(format!("{after:#?}"), format!("{before:#?}"), "{text}");
    let schema: Value = serde_json::from_str(&config::schema()).expect("JSON");
    let mut walk = Walk { definitions: &schema["definitions"], missing: Vec::new(), met: Vec::new() };
    let shown: serde_yaml::Value = serde_yaml::from_str(&text).expect("YAML");
    let shown = serde_json::to_value(shown).expect("names are texts");
    walk.value(&schema, &shown, "");
    let unexplained: Vec<_> = walk
        .missing
        .iter()
        .filter(|path| !walk.met.contains(path))
        .filter(|path| !NOT_SHOWN.iter().any(|(_, keys)| keys.iter().any(|key| path.ends_with(&format!(".{key}")))))
        .collect();
    assert!(unexplained.is_empty(), "{text}\n{unexplained:#?}");
    // Where no block is written, the walk does not look into it.
    for path in [".listeners.<name>.http2.keepalive", ".clusters.<name>.http2.keepalive", ".readiness.requires"] {
        assert!(walk.met.iter().any(|met| met == path), "{path}\n{text}");
    }
    for value in [&shown["listeners"]["plain"]["http2"]["keepalive"], &shown["clusters"]["bare"]["http2"]["keepalive"]]
    {
        assert_eq!(value, "off", "{text}");
    }
    assert!(walk.met.len() >= 120, "only {} keys were met", walk.met.len());
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
                None if described.contains("Default: ") || inner.get("default").is_some() => self.missing.push(path),
                None => {}
            }
        }
    }
}
