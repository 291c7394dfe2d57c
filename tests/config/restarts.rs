//! What cannot change while the gateway runs.

use attache::config::needs_restart;

use crate::loaded;

#[test]
fn what_needs_a_restart_is_named() {
    let config = |more: &str| {
        let base = "listeners: { a: { address: '127.0.0.1:80' } }\nroutes: { a: { respond: {} } }\n";
        loaded(&format!("{base}{more}")).config
    };
    for (before, after, expected) in [
        ("", "", &[][..]),
        ("", "metrics: { address: '127.0.0.1:9090' }", &[]),
        ("", "admin: { address: off }", &[]),
        ("", "workers: 2", &["workers"]),
        ("", "metrics: { address: off }", &["metrics.address"]),
        ("", "metrics: { latencyBuckets: [1] }", &["metrics.latencyBuckets"]),
        ("", "accessLog: { output: stderr, format: text }", &["accessLog.format", "accessLog.output"]),
        ("", "logging: { format: json }", &["logging.format"]),
        ("admin: {}", "admin: { address: '127.0.0.1:1' }", &["admin.address"]),
        ("admin: {}", "", &["admin.address"]),
    ] {
        let mut found = needs_restart(&config(before), &config(after));
        found.sort_unstable();
        assert_eq!(found, expected, "{before} -> {after}");
    }
}
