//! What `mod.rs` does, held to its promises.

use super::*;
use crate::config::{self, Environment};

fn config(rest: &str) -> Config {
    let text = format!("workers: 1\nmetrics: {{ address: '127.0.0.1:0' }}\naccessLog: {{ output: off }}\n{rest}");
    let loaded = config::parse(&text, "test.yaml", &Environment::process());
    loaded.unwrap().config
}

#[tokio::test]
async fn a_reload_that_fails_on_a_worker_changes_nothing() {
    let before = "
listeners: { http: { address: '127.0.0.1:0' } }
routes: { all: { respond: { status: 204 } } }
";
    let after = "
listeners: { http: { address: '127.0.0.1:0' }, more: { address: '127.0.0.1:0' } }
routes: { other: { respond: { status: 204 } } }
";
    let mut gateway = Gateway::start(config(before)).await.unwrap();
    let addresses = gateway.addresses();
    let generation = gateway.hub.generation();
    gateway.workers.add_dead();
    let error = gateway.reload(config(after)).await.unwrap_err();
    assert!(matches!(error, Error::Worker(_)), "{error:?}");
    assert_eq!(gateway.addresses(), addresses);
    assert_eq!(gateway.hub.generation(), generation);
    assert_eq!(gateway.config().routes[0].name, "all");
}

#[tokio::test]
async fn a_gateway_that_lost_a_worker_is_not_ready() {
    let text = "routes: { all: { respond: { status: 204 } } }\nlisteners: { http: { address: '127.0.0.1:0' } }";
    let gateway = Gateway::start(config(text)).await.unwrap();
    assert!(gateway.health.report().ready);
    gateway.lost().cancel();
    let report = gateway.health.report();
    assert!(!report.ready && report.status == "failing", "{report:?}");
}
