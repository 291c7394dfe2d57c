//! What probes are told when agents are down.

use serde_json::Value;

use crate::support::{Backend, Gw, eventually, post, refusing};

async fn check(gw: &Gw, name: &str) -> Value {
    let report: Value = serde_json::from_str(gw.admin("/health").await.text()).unwrap();
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.cloned().unwrap_or_else(|| panic!("no {name} in {report}"))
}

/// Three agents at whose place nobody listens.
const DEAD: &str = "
    workers: 1
    routes: { all: { cluster: agents } }
    clusters: { agents: { endpoints: ['{0}', '{1}', '{2}'], loadBalancer: round-robin } }
";

#[tokio::test]
async fn a_cluster_of_which_nobody_answers_is_not_called_usable() {
    let dead = [refusing(), refusing(), refusing()];
    let places: [&dyn crate::support::Place; 3] = [&dead[0], &dead[1], &dead[2]];
    for (more, ready) in [("", 200), ("readiness: { requires: [clusters] }", 503)] {
        let gw = Gw::with(&format!("{DEAD}\n    {more}"), &places).await;
        assert_eq!(gw.admin("/ready").await.status, 200, "nothing is known yet");
        for _ in 0..20 {
            assert_eq!(gw.send(post("/", "x")).await.status, 502);
        }
        assert_eq!(gw.admin("/ready").await.status, ready, "{more}");
        let check = check(&gw, "cluster agents").await;
        let detail = check["detail"].as_str().unwrap();
        assert!(detail.starts_with("3 endpoints, 0 usable"), "{detail}");
        eventually("the metric says so too", || async {
            gw.metric("attache_endpoints_usable", &[("cluster", "agents")]).await == 0.0
        })
        .await;
    }
}

#[tokio::test]
async fn one_answer_is_enough_to_be_ready_again() {
    // Down as long as it says so, up with the first other answer.
    let backend = Backend::replying(503).await.then(503).then(503).then(503).then(503).then(200);
    let template = "
        workers: 1
        readiness: { requires: clusters }
        routes: { all: { endpoints: ['{0}'] } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for (status, ready) in [(503, 200), (503, 200), (503, 200), (503, 200), (503, 503), (200, 200)] {
        assert_eq!(gw.send(post("/", "x")).await.status, status);
        assert_eq!(gw.admin("/ready").await.status, ready);
    }
}

#[tokio::test]
async fn where_checks_look_they_decide() {
    let backend = Backend::replying(503).await;
    let template = "
        readiness: { requires: [clusters] }
        routes: { all: { cluster: one } }
        clusters: { one: { endpoints: ['{0}'], healthCheck: { type: tcp } } }
    ";
    let gw = Gw::with(template, &[&backend]).await;
    for _ in 0..8 {
        assert_eq!(gw.send(post("/", "x")).await.status, 503);
    }
    assert_eq!(gw.admin("/ready").await.status, 200);
}

#[tokio::test]
async fn a_cluster_without_addresses_is_not_ready_where_clusters_are_required() {
    let template = "
        dns: { servers: ['127.0.0.1:1'] }
        readiness: { requires: [clusters] }
        routes: { all: { endpoints: ['nobody.invalid.:80'] } }
    ";
    let gw = Gw::with(template, &[]).await;
    assert_eq!(gw.admin("/ready").await.status, 503);
}
