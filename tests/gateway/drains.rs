//! Endpoints that are taken out while tasks go on at them: calls about these tasks still reach them, for a time.

use serde_json::json;

use crate::support::{Agent, Gw, Place, call, eventually, message, says};

const THREE: &str = "workers: 2\nroutes: { all: { cluster: all, a2a: { affinity: { onLoss: fail } } } }\n\
                     clusters: { all: { endpoints: ['{0}', '{1}', '{2}'] } }";

/// A new task.
async fn begin(gw: &Gw) -> String {
    let answer = says(&gw.send(call("SendMessage", &message(&json!({})))).await);
    answer["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A handful of tasks.
async fn begin_some(gw: &Gw) -> Vec<String> {
    let mut tasks = Vec::new();
    for _ in 0..20 {
        tasks.push(begin(gw).await);
    }
    tasks
}

/// So many tasks for three agents that the first has some, however chance divides them.
async fn begin_everywhere(gw: &Gw) -> Vec<String> {
    let mut tasks = begin_some(gw).await;
    while !tasks.iter().any(|task| task.starts_with("one-")) {
        assert!(tasks.len() < 1000, "the first agent gets no work");
        tasks.push(begin(gw).await);
    }
    tasks
}

#[tokio::test]
async fn a_removed_endpoint_serves_its_tasks_until_they_have_ended() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let mut gw = Gw::with(THREE, &places).await;
    let tasks = begin_everywhere(&gw).await;
    let held = agents[0].tasks();
    assert!(held > 0);
    gw.reload(&THREE.replace("'{0}', ", ""), &places).await.unwrap();
    begin_some(&gw).await;
    assert_eq!(agents[0].tasks(), held, "it gets no new work");
    for task in &tasks {
        let got = says(&gw.send(call("GetTask", &json!({ "id": task }))).await);
        assert_eq!(got["result"]["id"], **task, "{got}");
        let more = says(&gw.send(call("SendMessage", &message(&json!({ "taskId": task })))).await);
        assert!(more["error"].is_null(), "{more}");
    }
    // Another reload while it drains.
    gw.reload(&format!("{}\nlogging: {{ level: warn }}", THREE.replace("'{0}', ", "")), &places).await.unwrap();
    let own: Vec<_> = tasks.iter().filter(|task| task.starts_with("one-")).collect();
    assert_eq!(own.len(), held);
    for task in &own {
        let canceled = says(&gw.send(call("CancelTask", &json!({ "id": task }))).await);
        assert!(canceled["error"].is_null(), "{canceled}");
    }
    let body = json!({ "id": own[0] });
    eventually("it is gone", async || gw.send(call("GetTask", &body)).await.status == 503).await;
    let before = agents[0].heads().len();
    for _ in 0..3 {
        assert_eq!(gw.send(call("GetTask", &body)).await.status, 503);
    }
    assert_eq!(agents[0].heads().len(), before);
    assert_eq!(gw.metric("attache_drained_tasks_cut_total", &[]).await, 0.0, "all had ended");
}

#[tokio::test]
async fn a_drain_ends_at_its_time_whatever_goes_on() {
    for change in ["removed", "weight 0"] {
        let agents = Agent::three().await;
        let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
        let mut gw = Gw::with(THREE, &places).await;
        let tasks = begin_everywhere(&gw).await;
        let held = agents[0].tasks();
        let counted = [("endpoint", &*agents[0].place())];
        eventually("they are counted", async || {
            gw.metric("attache_endpoint_active_tasks", &counted).await == held as f64
        })
        .await;
        let first = if change == "removed" { "" } else { "{ address: '{0}', weight: 0 }, " };
        let after = THREE.replace("'{0}', ", first).replace("{ endpoints", "{ drainTasks: 1s, endpoints");
        gw.reload(&after, &places).await.unwrap();
        let task = tasks.iter().find(|task| task.starts_with("one-")).unwrap();
        let body = json!({ "id": task });
        eventually("its time is over", async || gw.send(call("GetTask", &body)).await.status == 503).await;
        eventually("what was cut off is counted", async || {
            gw.metric("attache_drained_tasks_cut_total", &[("cluster", "all")]).await == held as f64
        })
        .await;
        for task in tasks.iter().filter(|task| !task.starts_with("one-")) {
            assert_eq!(gw.send(call("GetTask", &json!({ "id": task }))).await.status, 200, "{change}");
        }
        // Who asks is told by nobody: not even a lookup reaches it.
        let rebalanced = after.replace("onLoss: fail", "onLoss: rebalance");
        gw.reload(&rebalanced, &places).await.unwrap();
        let before = agents[0].heads().len();
        let answer = says(&gw.send(call("GetTask", &body)).await);
        assert_eq!(answer["error"]["code"], -32001, "{change}: {answer}");
        assert_eq!(agents[0].heads().len(), before, "{change}");
    }
}

#[tokio::test]
async fn without_a_time_for_tasks_an_endpoint_goes_at_once() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let mut gw = Gw::with(THREE, &places).await;
    let tasks = begin_everywhere(&gw).await;
    let task = tasks.iter().find(|task| task.starts_with("one-")).unwrap();
    let after = THREE.replace("'{0}', ", "").replace("{ endpoints", "{ drainTasks: off, endpoints");
    gw.reload(&after, &places).await.unwrap();
    assert_eq!(gw.send(call("GetTask", &json!({ "id": task }))).await.status, 503);
}
