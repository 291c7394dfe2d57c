//! Tasks of A2A behind several replicas that share nothing: every later call reaches the replica that holds the task.

use serde_json::{Value, json};

use crate::support::{Agent, Backend, Gw, Place, call, eventually, message, post, says, with_field};

const THREE: &str = "workers: 2\nroutes: { all: { endpoints: ['{0}', '{1}', '{2}'] } }";

/// The id of a new task.
async fn begin(gw: &Gw, method: &str) -> String {
    let answer = says(&gw.send(call(method, &message(&json!({})))).await);
    let task = answer["result"].get("task").unwrap_or_else(|| &answer["result"]);
    task["id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn every_call_about_a_task_reaches_the_replica_that_holds_it() {
    for (send, get, cancel) in [("SendMessage", "GetTask", "CancelTask"), ("message/send", "tasks/get", "tasks/cancel")]
    {
        let agents = Agent::three().await;
        let gw = Gw::with(THREE, &[&agents[0], &agents[1], &agents[2]]).await;
        let mut tasks = Vec::new();
        for _ in 0..30 {
            tasks.push(begin(&gw, send).await);
        }
        assert!(agents.iter().all(|agent| agent.tasks() >= 1), "new work is spread");
        for task in &tasks {
            let got = says(&gw.send(call(get, &json!({ "id": task }))).await);
            assert_eq!(got["result"]["id"], **task, "{got}");
            let continued = says(&gw.send(call(send, &message(&json!({ "taskId": task })))).await);
            assert!(continued["error"].is_null(), "{continued}");
            let canceled = says(&gw.send(call(cancel, &json!({ "id": task }))).await);
            assert!(canceled["error"].is_null(), "{canceled}");
        }
        let made: usize = agents.iter().map(Agent::tasks).sum();
        assert_eq!(made, 30);
        assert_eq!(gw.metric("a2a_requests_total", &[("outcome", "error")]).await, 0.0);
    }
}

#[tokio::test]
async fn a_context_stays_where_it_began_and_a_stream_tells_of_its_task() {
    let agents = Agent::three().await;
    let gw = Gw::with(THREE, &[&agents[0], &agents[1], &agents[2]]).await;
    for round in 0..10 {
        let stream = gw.send(call("SendStreamingMessage", &message(&json!({})))).await;
        let first = stream.text().lines().next().unwrap().trim_start_matches("data: ");
        let task = serde_json::from_str::<Value>(first).unwrap()["result"]["task"].clone();
        let context = json!({ "contextId": task["contextId"] });
        let next = says(&gw.send(call("SendMessage", &message(&context))).await);
        let prefix = |id: &Value| id.as_str().unwrap().split('-').next().unwrap().to_owned();
        assert_eq!(prefix(&next["result"]["task"]["id"]), prefix(&task["id"]), "round {round}");
        let again = gw.send(call("SubscribeToTask", &json!({ "id": task["id"] }))).await;
        assert!(again.text().contains("statusUpdate"), "{}", again.text());
    }
}

#[tokio::test]
async fn a_task_is_found_over_another_binding() {
    let agents = Agent::three().await;
    let gw = Gw::with(THREE, &[&agents[0], &agents[1], &agents[2]]).await;
    for _ in 0..10 {
        let task = begin(&gw, "SendMessage").await;
        assert_eq!(gw.get(&format!("/tasks/{task}")).await.status, 200);
        let canceled =
            gw.send(with_field("content-type", "application/json", post(&format!("/tasks/{task}:cancel"), "{}")));
        assert_eq!(canceled.await.status, 200);
    }
}

#[tokio::test]
async fn affinity_lives_over_a_reload() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let mut gw = Gw::with(THREE, &places).await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        tasks.push(begin(&gw, "SendMessage").await);
    }
    gw.reload(&format!("{THREE}\nlogging: {{ level: warn }}"), &places).await.unwrap();
    for task in tasks {
        let got = says(&gw.send(call("GetTask", &json!({ "id": task }))).await);
        assert_eq!(got["result"]["id"], *task, "{got}");
    }
}

#[tokio::test]
async fn tasks_that_go_on_are_counted() {
    let agents = Agent::three().await;
    let places: [&dyn Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let mut gw = Gw::with(THREE, &places).await;
    let counted = async |gw: &Gw, expected: [usize; 3]| {
        for (agent, expected) in agents.iter().zip(expected) {
            let labels = [("cluster", "all"), ("endpoint", &*agent.place())];
            let counts = async || gw.metric("attache_endpoint_active_tasks", &labels).await == expected as f64;
            eventually("the tasks of an endpoint are counted", counts).await;
        }
        let sum = expected.iter().sum::<usize>() as f64;
        eventually("the tasks of a cluster are counted", async || {
            gw.metric("a2a_active_tasks", &[("cluster", "all")]).await == sum
        })
        .await;
    };
    assert!(!gw.metrics().await.contains("\na2a_active_tasks"), "what has no agents is not shown");
    let mut tasks = Vec::new();
    for _ in 0..9 {
        tasks.push(begin(&gw, "SendMessage").await);
    }
    counted(&gw, agents.each_ref().map(Agent::tasks)).await;
    // A task and its context each.
    eventually("ids are counted", async || gw.metric("attache_affinity_ids", &[]).await == 18.0).await;
    gw.reload(&format!("{THREE}\nlogging: {{ level: warn }}"), &places).await.unwrap();
    for task in &tasks {
        gw.send(call("CancelTask", &json!({ "id": task }))).await;
    }
    counted(&gw, [0; 3]).await;
    // A list names tasks that are over too, and does not say so.
    let list = says(&gw.send(call("ListTasks", &json!({ "contextId": format!("context-{}", tasks[0]) }))).await);
    assert_eq!(list["result"]["tasks"][0]["id"], *tasks[0], "{list}");
    begin(&gw, "SendMessage").await;
    eventually("a new one is counted", async || gw.metric("attache_affinity_ids", &[]).await == 20.0).await;
    assert_eq!(gw.metric("a2a_active_tasks", &[]).await, 1.0);
}

#[tokio::test]
async fn a_conversation_keeps_its_version_in_a_canary() {
    let (stable, canary) = (Agent::new("stable").await, Agent::new("canary").await);
    let gw = Gw::with(
        "workers: 1\nroutes: { all: { split: { clusters: [{ cluster: stable, weight: 50 }, { cluster: canary, weight: 50 }] } } }\n\
         clusters: { stable: { endpoints: ['{0}'] }, canary: { endpoints: ['{1}'] } }",
        &[&stable, &canary],
    )
    .await;
    let mut tasks = Vec::new();
    for _ in 0..10 {
        tasks.push(begin(&gw, "SendMessage").await);
    }
    assert_eq!((stable.tasks(), canary.tasks()), (5, 5));
    for task in tasks {
        let got = says(&gw.send(call("GetTask", &json!({ "id": task }))).await);
        assert_eq!(got["result"]["id"], *task, "{got}");
    }
}

#[tokio::test]
async fn a_session_of_mcp_stays_with_its_server() {
    let server = |name: &'static str| {
        Backend::handling(move |request| async move {
            let known = request.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            let status = if known.as_ref().is_none_or(|id| id.starts_with(name)) { 200 } else { 404 };
            let session = format!("{name}-1");
            let answer = http::Response::builder().status(status).header("mcp-session-id", session);
            answer.body(crate::support::empty()).unwrap()
        })
    };
    let (one, two) = (server("one").await, server("two").await);
    let gw = Gw::with("routes: { all: { endpoints: ['{0}', '{1}'] } }", &[&one, &two]).await;
    for _ in 0..10 {
        let first = gw.send(post("/mcp", "{}")).await;
        let session = first.header("mcp-session-id").to_owned();
        for _ in 0..3 {
            let next = gw.send(with_field("mcp-session-id", &session, post("/mcp", "{}"))).await;
            assert_eq!(next.status, 200);
        }
    }
}

#[tokio::test]
async fn the_record_of_a_call_says_what_it_was() {
    let agents = Agent::three().await;
    let one_log = THREE.replace("workers: 2", "workers: 1");
    let gw = Gw::with(&one_log, &[&agents[0], &agents[1], &agents[2]]).await;
    let task = begin(&gw, "message/send").await;
    gw.send(call("GetTask", &json!({ "id": "nobody's" }))).await;
    gw.send(call("tools/list", &json!({}))).await;
    let records = gw.records(3).await;
    let part =
        |index: usize, names: &[&str]| names.iter().map(|name| records[index][*name].clone()).collect::<Vec<_>>();
    let names = ["operation", "a2a_transport", "a2a_version", "task", "a2a_outcome", "a2a_error"];
    let null = Value::Null;
    assert_eq!(
        part(0, &names),
        [json!("SendMessage"), json!("jsonrpc"), json!("0.3"), json!(task), null.clone(), null.clone()]
    );
    let unknown = [json!("GetTask"), json!("jsonrpc"), json!("1.0"), json!("nobody's"), json!("error"), json!(-32001)];
    assert_eq!(part(1, &names), unknown);
    assert!(part(2, &names).iter().all(Value::is_null), "what is no call of A2A is none");
    for (method, outcome, expected) in [("SendMessage", "ok", 1.0), ("GetTask", "error", 1.0), ("GetTask", "ok", 0.0)] {
        let labels = [("method", method), ("outcome", outcome), ("transport", "jsonrpc")];
        assert_eq!(gw.metric("a2a_requests_total", &labels).await, expected, "{method} {outcome}");
    }
}

#[tokio::test]
async fn a_refusal_speaks_the_protocol_of_the_caller() {
    let closed = Backend::replying(200).await;
    let place = closed.place();
    drop(closed);
    let gw = Gw::with(&format!("routes: {{ all: {{ endpoints: ['{place}'] }} }}"), &[]).await;
    let refused = gw.send(call("SendMessage", &message(&json!({})))).await;
    assert_eq!((refused.status, refused.header("content-type")), (502, "application/json"));
    let said = says(&refused);
    assert_eq!(
        (&said["id"], &said["jsonrpc"], &said["error"]["code"]),
        (&json!("call-7"), &json!("2.0"), &json!(-32603))
    );
    assert_eq!(said["error"]["data"][0]["reason"], "connect_failed");
    let rest = gw.send(with_field("content-type", "application/json", post("/message:send", "{}"))).await;
    let said = says(&rest);
    assert_eq!((&said["error"]["code"], &said["error"]["status"]), (&json!(502), &json!("UNAVAILABLE")));
    assert_eq!(said["error"]["details"][0]["domain"], "attache");
}

#[tokio::test]
async fn a_refusal_before_the_body_was_looked_at_knows_the_id_all_the_same() {
    let agent = Agent::new("one").await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], match: { path: { prefix: /a } }, \
         rateLimit: { key: clientIp, rate: 1/hour } } }",
        &[&agent],
    )
    .await;
    let at = |path: &str| {
        let text = r#"{"method":"GetTask","params":{"id":"t"},"id":4,"jsonrpc":"2.0"}"#;
        with_field("content-type", "application/json", post(path, text))
    };
    assert_eq!(says(&gw.send(at("/a")).await)["error"]["code"], -32001);
    for (path, status, reason) in [("/a", 429, "rate_limited"), ("/b", 404, "no_route")] {
        let refused = gw.send(at(path)).await;
        assert_eq!(refused.status, status);
        let said = says(&refused);
        assert_eq!((&said["id"], &said["error"]["data"][0]["reason"]), (&json!(4), &json!(reason)), "{said}");
    }
    let plain = gw.send(with_field("content-type", "application/json", post("/a", r#"{"id":4}"#))).await;
    assert_eq!(
        (plain.status, &says(&plain)["error"]["code"]),
        (429, &json!(429)),
        "what is no call gets the usual answer"
    );
}

#[tokio::test]
async fn work_is_sent_once_and_a_read_again() {
    // It takes the request and goes away without an answer.
    let refusing = crate::support::RawBackend::script(|mut connection| async move {
        connection.read_message().await;
        drop(connection);
    })
    .await;
    let gw = Gw::with(
        "routes: { all: { endpoints: ['{0}'], \
         retries: { attempts: 2, retryOn: 'reset,5xx', nonIdempotent: 'reset,5xx', backoff: { base: 1ms, max: 1ms } } } }",
        &[&refusing],
    )
    .await;
    let before = refusing.connections();
    assert_eq!(gw.send(call("SendMessage", &message(&json!({})))).await.status, 502);
    assert_eq!(refusing.connections() - before, 1, "nobody knows whether the agent works on it");
    assert_eq!(gw.send(call("GetTask", &json!({ "id": "t" }))).await.status, 502);
    assert_eq!(refusing.connections() - before, 4, "a read does no harm");
}

#[tokio::test]
async fn a_stream_that_ends_before_its_task_counts_as_failed() {
    let agent = Backend::handling(|_| async {
        let event = r#"{"jsonrpc":"2.0","id":"call-7","result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_WORKING"}}}}"#;
        let answer = http::Response::builder().header("content-type", "text/event-stream");
        answer.body(crate::support::full(format!("data: {event}\n\n"))).unwrap()
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    assert_eq!(gw.send(call("SubscribeToTask", &json!({ "id": "t" }))).await.status, 200);
    let record = gw.record().await;
    assert_eq!((&record["a2a_outcome"], &record["task"]), (&json!("truncated"), &json!("t")));
    let labels = [("method", "SubscribeToTask"), ("outcome", "truncated")];
    assert_eq!(gw.metric("a2a_requests_total", &labels).await, 1.0);
}

#[tokio::test]
async fn a_long_body_passes_unread_or_is_refused() {
    let agent = Agent::new("one").await;
    let long = json!({ "message": { "messageId": "m", "parts": [{ "text": "x".repeat(5_000) }] } });
    for (choice, status, error) in [("pass", 200, Value::Null), ("refuse", 413, json!(-32603))] {
        let gw = Gw::with(
            &format!(
                "routes: {{ all: {{ endpoints: ['{{0}}'], a2a: {{ maxBodyBytes: 4KiB, largeBodies: {choice} }} }} }}"
            ),
            &[&agent],
        )
        .await;
        let answer = gw.send(call("SendMessage", &long)).await;
        assert_eq!((answer.status, &says(&answer)["error"]["code"]), (status, &error), "{choice}");
        let expected = f64::from(u8::from(status == 200));
        assert_eq!(gw.metric("attache_a2a_unread_bodies_total", &[("reason", "too_long")]).await, expected);
    }
}

#[tokio::test]
async fn a_body_that_is_offered_is_asked_for_only_where_it_is_wanted() {
    let agent = Agent::new("one").await;
    let gw = Gw::with(
        "workers: 1\nroutes: { all: { endpoints: ['{0}'], rateLimit: { key: clientIp, rate: 1/hour } } }",
        &[&agent],
    )
    .await;
    let body = r#"{"method":"GetTask","params":{"id":"t"},"id":4,"jsonrpc":"2.0"}"#;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
        body.len()
    );
    let mut client = gw.raw().await;
    client.write(&head).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 100"));
    client.write(body).await;
    let (_, answer) = client.read_message().await;
    assert!(answer.contains("task not found"), "{answer}");
    assert_eq!(gw.record().await["operation"], "GetTask");
    let mut client = gw.raw().await;
    client.write(&head).await;
    assert!(client.read_head().await.starts_with("HTTP/1.1 429"), "nobody asks for the body");
}
