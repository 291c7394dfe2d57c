//! Mistakes in configurations and what is said about them.

use std::time::{Duration, SystemTime};

use attache::config::{Environment, Report, load, parse};

fn env() -> Environment {
    Environment::empty(SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000))
}

fn problems(text: &str) -> Report {
    match parse(text, "gateway.yaml", &env()) {
        Ok(loaded) => loaded.warnings,
        Err(report) => report,
    }
}

#[test]
fn the_minimal_configuration_loads() {
    let text = "listeners:\n  http: { address: \"0.0.0.0:8080\" }\nroutes:\n  echo: { endpoints: [\"127.0.0.1:9999\"] }\n";
    let loaded = parse(text, "minimal.yaml", &env()).expect("it is legal");
    assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    assert_eq!(loaded.config.clusters.len(), 1);
}
#[test]
fn sample() {
    let text = r#"
listeners:
  http: { address: "0.0.0.0:8080", protcols: [h2] }
  b: { address: 8080 }
  https: { address: "0.0.0.0:8080", tls: { certificates: [ { certFile: a.crt, keyFile: a.key } ] } }
defaults: { route: { timeout: 5, upstreams: 2, retries: 1 } }
routes:
  echo: { endpoints: ["127.0.0.1:9999"], match: { path: /x } }
  two: { cluster: ehco, timeout: 30, requestHeaders: { set: { authorization: "Bearer secret\u0007", host: x } } }
  three:
    match: [ { path: { prefx: /a } }, { path: { prefix: a } } ]
    lodBalancer: x
    streaming: { idleTimeout: 0s, maxDuration: off }
clusters:
  c: { endpoints: ["http://x:1", "b:80", "b:80", {weight: 2}], loadBalancer: LEAST_CON, circuitBreaker: {} }
  c: 1
"#;
    println!("{}", problems(text).human(false));
}
