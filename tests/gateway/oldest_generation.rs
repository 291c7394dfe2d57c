//! A2A 0.1, for which no SDK is published any more: clients make the ids of tasks, and a stream ends with an event that
//! says so. Agents and clients are plain ones, three replicas with tasks of their own.

use std::collections::BTreeMap;
use std::sync::Mutex;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::{Backend, Body, Gw, call, full, says};

/// Tasks of one replica: their states, and where events are to be posted.
type Tasks = Mutex<BTreeMap<String, (&'static str, Value)>>;

async fn agent(name: &'static str) -> Backend {
    let tasks = std::sync::Arc::new(Tasks::default());
    Backend::handling(move |request: Request<Incoming>| {
        let tasks = std::sync::Arc::clone(&tasks);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            answer(name, &tasks, &serde_json::from_slice(&body).unwrap())
        }
    })
    .await
}

fn answer(name: &str, tasks: &Tasks, call: &Value) -> Response<Body> {
    let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
    let id = params["id"].as_str().unwrap().to_owned();
    let mut tasks = tasks.lock().unwrap();
    if matches!(method, "tasks/send" | "tasks/sendSubscribe") {
        tasks.entry(id.clone()).or_insert(("working", Value::Null));
    }
    let said = |answer: &Value| json!({ "jsonrpc": "2.0", "id": call["id"], "result": answer });
    let failed = |code: i64| json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": code, "message": "no" } });
    let reply = |content_type: &str, text: String| {
        Response::builder().header("content-type", content_type).body(full(text)).unwrap()
    };
    let Some((state, push)) = tasks.get_mut(&id) else {
        return reply("application/json", failed(-32001).to_string());
    };
    let shown = |state: &str| json!({ "id": id, "status": { "state": state }, "metadata": { "by": name } });
    let answer = match method {
        "tasks/cancel" if *state == "canceled" => failed(-32002),
        "tasks/cancel" => {
            *state = "canceled";
            said(&shown(state))
        }
        "tasks/pushNotification/set" => {
            *push = params["pushNotificationConfig"].clone();
            said(params)
        }
        "tasks/pushNotification/get" => said(&json!({ "id": id, "pushNotificationConfig": push })),
        "tasks/sendSubscribe" | "tasks/resubscribe" => {
            let event = |event: Value| format!("data: {}\n\n", said(&event));
            let artifact = json!({ "id": id, "artifact": { "index": 0, "parts": [{ "type": "text", "text": name }] } });
            let mut last = shown("input-required");
            last["final"] = json!(true);
            return reply("text/event-stream", event(shown("working")) + &event(artifact) + &event(last));
        }
        _ => said(&shown(state)),
    };
    reply("application/json", answer.to_string())
}

fn message(task: &str) -> Value {
    json!({ "id": task, "sessionId": "s", "message": { "role": "user", "parts": [{ "type": "text", "text": "hello" }] } })
}

#[tokio::test]
async fn every_call_of_the_oldest_generation_reaches_the_replica_that_holds_the_task() {
    let agents = [agent("one").await, agent("two").await, agent("three").await];
    let template = "workers: 1\nroutes: { all: { endpoints: ['{0}', '{1}', '{2}'] } }";
    let gw = Gw::with(template, &[&agents[0], &agents[1], &agents[2]]).await;
    let mut makers = std::collections::BTreeSet::new();
    for turn in 0..9 {
        let task = format!("made-by-the-client-{turn}");
        let ask = async |method: &str, params: Value| says(&gw.send(call(method, &params)).await);
        let maker = if turn % 3 == 0 {
            let stream = gw.send(call("tasks/sendSubscribe", &message(&task))).await;
            let events: Vec<&str> = stream.text().split("\n\n").filter(|event| !event.is_empty()).collect();
            assert_eq!(events.len(), 3, "{}", stream.text());
            let last: Value = serde_json::from_str(events[2].strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!((&last["id"], &last["result"]["final"]), (&json!("call-7"), &json!(true)));
            last["result"]["metadata"]["by"].clone()
        } else {
            ask("tasks/send", message(&task)).await["result"]["metadata"]["by"].clone()
        };
        makers.insert(maker.to_string());
        let named = json!({ "id": task });
        let got = ask("tasks/get", named.clone()).await;
        let whole = json!({ "id": task, "status": { "state": "working" }, "metadata": { "by": maker } });
        assert_eq!(got, json!({ "jsonrpc": "2.0", "id": "call-7", "result": whole }));
        assert_eq!(ask("tasks/send", message(&task)).await["result"]["metadata"]["by"], maker, "it goes on there");
        let push = json!({ "id": task, "pushNotificationConfig": { "url": "https://hooks.example/" } });
        assert_eq!(ask("tasks/pushNotification/set", push.clone()).await["result"], push);
        assert_eq!(ask("tasks/pushNotification/get", named.clone()).await["result"], push);
        let again = gw.send(call("tasks/resubscribe", &named)).await;
        assert!(again.text().contains(r#""final":true"#), "{}", again.text());
        assert_eq!(ask("tasks/cancel", named.clone()).await["result"]["status"]["state"], "canceled");
        assert_eq!(ask("tasks/cancel", named).await["error"]["code"], -32002, "the agent's own error");
    }
    assert!(makers.len() > 1, "new work is spread: {makers:?}");
    let nothing = says(&gw.send(call("tasks/get", &json!({ "id": "nobody-made-it" }))).await);
    assert_eq!(nothing["error"]["code"], -32001);
    let sent = [("method", "SendMessage"), ("version", "0.1"), ("outcome", "ok")];
    assert_eq!(gw.metric("a2a_requests_total", &sent).await, 15.0);
}

#[tokio::test]
async fn what_the_oldest_generation_may_not_do_is_refused_in_its_protocol() {
    let agent = agent("one").await;
    let gw =
        Gw::with("routes: { all: { endpoints: ['{0}'], a2a: { methods: { deny: CancelTask } } } }", &[&agent]).await;
    let push = json!({ "pushNotification": { "url": "http://10.0.0.1/" }, "id": "t" });
    for (method, params, reason) in [
        ("tasks/cancel", json!({ "id": "t" }), "method_denied"),
        ("tasks/send", push, "push_url_refused"),
        ("tasks/send", json!({ "id": 7 }), "invalid_params"),
    ] {
        let refused = gw.send(call(method, &params)).await;
        let said = says(&refused);
        assert_eq!(
            (refused.reason(), &said["id"], &said["jsonrpc"]),
            (reason, &json!("call-7"), &json!("2.0")),
            "{said}"
        );
    }
    assert_eq!(agent.hits(), 0);
}
