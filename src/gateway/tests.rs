//! What `mod.rs` does, held to its promises.

use futures_util::FutureExt as _;

use super::*;
use crate::admin::control::EndpointOrder;
use crate::cluster::EndpointVerb;
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

#[tokio::test]
async fn an_order_that_nobody_waits_for_any_more_is_not_carried_out() {
    let text = "
listeners: { http: { address: '127.0.0.1:0' } }
clusters: { pool: { endpoints: ['127.0.0.1:1', '127.0.0.1:2'] } }
routes: { all: { cluster: pool } }
";
    let mut gateway = Gateway::start(config(text)).await.unwrap();
    let control = gateway.control.clone();
    let drain = || {
        let verb = EndpointVerb::Drain { force: false };
        let (cluster, endpoint) = ("pool".to_owned(), "127.0.0.1:1".to_owned());
        control.operate(EndpointOrder { cluster, endpoint, verb, by: "ann".to_owned(), reason: String::new() })
    };
    assert!(drain().now_or_never().is_none(), "it waits, and who wants it leaves");
    let command = gateway.wanted().await;
    gateway.perform(command).await;
    let outcome = tokio::select! {
        outcome = drain() => outcome,
        () = gateway.perform_all() => panic!("it never ends"),
    };
    assert_eq!(outcome, Ok(Ok(vec![SocketAddr::from(([127, 0, 0, 1], 1))])), "it did not drain before");
}
