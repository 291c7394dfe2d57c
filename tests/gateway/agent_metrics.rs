//! What is counted of agents: tasks, streams, and the names under which other systems look for all of it.

use serde_json::json;

use crate::support::{
    Agent, Backend, EventStream, Gw, Sse, call, chunk, empty, eventually, message, post, refusing, request, says,
    with_field,
};

/// The labels of a series that it must have, and how often it was counted.
type Expected<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

async fn assert_counted(gw: &Gw, expected: &[Expected<'_>]) {
    for (name, labels, value) in expected {
        assert_eq!(gw.metric(name, labels).await, *value, "{name} {labels:?}");
    }
}

#[tokio::test]
async fn a_message_that_names_a_task_is_none() {
    let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"message":{"messageId":"a","role":"ROLE_AGENT","taskId":"t",
        "contextId":"c","parts":[{"text":"hello"}]}}}"#;
    let agent = Backend::replying(200).await.header("content-type", "application/json").body(answer);
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    assert_eq!(says(&gw.send(call("SendMessage", &message(&json!({})))).await)["result"]["message"]["taskId"], "t");
    assert_eq!(gw.records(1).await[0]["task"], "t");
    // The table is looked through once a second.
    eventually("the ids are counted", || async { gw.metric("attache_affinity_ids", &[]).await == 2.0 }).await;
    assert_counted(
        &gw,
        &[
            ("a2a_requests_total", &[("outcome", "ok")], 1.0),
            ("attache_a2a_tasks_begun_total", &[("route", "all")], 0.0),
            ("a2a_active_tasks", &[("cluster", "all")], 0.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn tasks_are_counted_when_they_begin_and_once_when_they_end() {
    let agent = Agent::new("one").await;
    let gw = Gw::with("workers: 2\nroutes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    let begun = says(&gw.send(call("SendMessage", &message(&json!({})))).await)["result"]["task"]["id"].clone();
    let finish = json!({ "parts": [{ "text": "finish" }] });
    // Over with the call that began it, in another generation.
    let at_once = says(&gw.send(call("message/send", &message(&finish))).await)["result"]["id"].clone();
    for task in [&begun, &at_once, &begun, &at_once] {
        assert!(says(&gw.send(call("GetTask", &json!({ "id": task }))).await)["error"].is_null());
    }
    gw.records(6).await;
    assert_counted(
        &gw,
        &[
            ("attache_a2a_tasks_begun_total", &[("route", "all")], 2.0),
            ("attache_a2a_tasks_ended_total", &[("route", "all"), ("state", "completed")], 1.0),
            ("a2a_tasks_total", &[], 2.0),
        ],
    )
    .await;
    eventually("one goes on", || async { gw.metric("active_workflows", &[]).await == 1.0 }).await;
    let mut next = finish;
    next["taskId"] = begun.clone();
    gw.send(call("SendMessage", &message(&next))).await;
    for _ in 0..3 {
        gw.send(call("CancelTask", &json!({ "id": begun }))).await;
    }
    gw.send(call("GetTask", &json!({ "id": "nobody's" }))).await;
    gw.records(11).await;
    assert_counted(
        &gw,
        &[
            ("a2a_tasks_total", &[], 2.0),
            ("workflow_executions_total", &[("status", "completed")], 2.0),
            ("workflow_executions_total", &[], 2.0),
            ("attache_a2a_task_duration_seconds_count", &[("state", "completed")], 2.0),
            ("workflow_duration_seconds_count", &[], 2.0),
        ],
    )
    .await;
    eventually("none goes on", || async { gw.metric("active_workflows", &[]).await == 0.0 }).await;
}

#[tokio::test]
async fn a_task_that_nobody_follows_is_counted_where_it_ends_with_its_call() {
    let agent = Agent::new("one").await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'], a2a: { affinity: off } } }", &[&agent]).await;
    for text in ["finish", "hello"] {
        gw.send(call("SendMessage", &message(&json!({ "parts": [{ "text": text }] })))).await;
    }
    for _ in 0..3 {
        gw.send(call("GetTask", &json!({ "id": "one-1" }))).await;
    }
    gw.records(5).await;
    assert_counted(&gw, &[("a2a_tasks_total", &[], 2.0), ("workflow_executions_total", &[], 1.0)]).await;
}

const WORKING: &str =
    r#"{"jsonrpc":"2.0","id":"call-7","result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}"#;
const DONE: &str = r#"{"jsonrpc":"2.0","id":"call-7","result":{"statusUpdate":{"taskId":"t","status":{"state":"TASK_STATE_FAILED"}}}}"#;

/// How the stream of a call ends.
async fn ended(stream: EventStream, how: &str) {
    match how {
        "at its end" => {
            assert!(stream.event(DONE).await);
            stream.end();
        }
        "early" => stream.end(),
        _ => stream.abort().await,
    }
}

#[tokio::test]
async fn streams_are_counted_while_they_are_open_and_by_how_they_end() {
    let agent = Sse::new().await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    let labels = [("route", "all"), ("method", "SendStreamingMessage"), ("transport", "jsonrpc")];
    let mut client = gw.h1().await;
    for (turn, (how, truncated)) in [("at its end", 0.0), ("early", 1.0), ("broken off", 2.0)].into_iter().enumerate() {
        let mut answer = client.send(call("SendStreamingMessage", &message(&json!({})))).await.unwrap();
        let stream = agent.stream().await;
        assert_counted(&gw, &[("attache_a2a_streams_open", &labels, 1.0)]).await;
        assert!(stream.event(WORKING).await);
        assert!(chunk(answer.body_mut()).await.is_some_and(|event| event.is_ok()));
        ended(stream, how).await;
        while let Some(Ok(_)) = chunk(answer.body_mut()).await {}
        client = gw.h1().await;
        let records = gw.records(turn + 1).await;
        assert!(records[turn]["first_event_ms"].as_f64().is_some_and(|time| time > 0.0), "{}", records[turn]);
        assert_eq!(records[turn]["task"], "t", "{how}");
        let counted = turn as f64 + 1.0;
        assert_counted(
            &gw,
            &[
                ("attache_a2a_streams_open", &labels, 0.0),
                ("attache_a2a_streams_truncated_total", &labels, truncated),
                ("attache_a2a_first_event_seconds_count", &labels, counted),
                ("a2a_message_latency_seconds_count", &[("message_type", "SendStreamingMessage")], counted),
                ("a2a_response_time_seconds_count", &[], counted),
            ],
        )
        .await;
    }
    assert_counted(&gw, &[("workflow_executions_total", &[("status", "failed")], 1.0)]).await;
    // A stream of something else is none of a call.
    let other = client.send(request("GET", "/events", empty())).await.unwrap();
    let stream = agent.stream().await;
    assert_counted(&gw, &[("attache_streams_open", &[], 1.0), ("attache_a2a_streams_open", &[], 0.0)]).await;
    drop((other, stream));
}

/// What rules, dashboards and autoscalers for agents ask for, with the labels that they select by.
const ASKED: &[(&str, &[(&str, &str)])] = &[
    ("http_requests_total", &[("code", "502")]),
    ("http_requests_total", &[("method", "POST"), ("status_code", "200")]),
    ("http_request_duration_seconds_bucket", &[("le", "+Inf")]),
    ("errors_total", &[("reason", "connect_failed")]),
    ("memory_usage_bytes", &[]),
    ("cpu_usage_percent", &[]),
    ("active_workflows", &[]),
    ("workflow_executions_total", &[("status", "completed")]),
    ("workflow_duration_seconds_bucket", &[("le", "+Inf")]),
    ("agent_discovery_requests_total", &[("status", "ok")]),
    ("a2a_requests_total", &[("method", "SendMessage")]),
    ("a2a_request_duration_seconds_bucket", &[("le", "+Inf")]),
    ("a2a_messages_total", &[("method", "SendMessage"), ("status", "ok")]),
    ("a2a_messages_total", &[("status", "failed")]),
    ("a2a_messages_sent_total", &[("message_type", "SendMessage"), ("recipient", "all")]),
    ("a2a_messages_received_total", &[("message_type", "SendMessage")]),
    ("a2a_message_latency_seconds_bucket", &[("message_type", "SendMessage"), ("le", "+Inf")]),
    ("a2a_response_time_seconds_bucket", &[("le", "+Inf")]),
    ("a2a_tasks_total", &[]),
    ("a2a_active_tasks", &[]),
    ("a2a_agent_health", &[("agent_id", "agents")]),
    ("a2a_agent_availability", &[("agent_id", "agents")]),
    ("a2a_system_health", &[]),
    ("a2a_memory_usage_bytes", &[]),
    ("a2a_cpu_usage_percent", &[]),
];

/// Whether a line of a scrape is of a series with these labels, among others.
fn is_of(line: &str, name: &str, labels: &[(&str, &str)]) -> bool {
    let rest = line.strip_prefix(name).filter(|rest| rest.starts_with(['{', ' ']));
    rest.is_some_and(|rest| labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\""))))
}

#[tokio::test]
async fn rules_and_dashboards_for_agents_find_their_names() {
    let (agent, closed) = (Agent::new("one").await, refusing());
    let card = r#"{"name":"a","url":"http://elsewhere.example/"}"#;
    let cards = Backend::replying(200).await.header("content-type", "application/json").body(card);
    let gw = Gw::with(
        "workers: 1\nroutes:\n  all: { cluster: agents }\n  dead: { match: { path: { prefix: /dead } }, endpoints: ['{1}'] }\n  \
         cards: { match: { path: { prefix: /.well-known } }, endpoints: ['{2}'] }\n\
         clusters: { agents: { endpoints: ['{0}'], healthCheck: { path: /tasks, interval: 1h } } }",
        &[&agent, &closed, &cards],
    )
    .await;
    let finish = message(&json!({ "parts": [{ "text": "finish" }] }));
    assert_eq!(gw.send(call("SendMessage", &finish)).await.status, 200);
    assert_eq!(gw.send(call("SendMessage", &message(&json!({})))).await.status, 200);
    assert_eq!(
        gw.send(with_field("content-type", "application/json", post("/dead/message:send", "{}"))).await.status,
        502
    );
    assert_eq!(gw.get("/.well-known/agent-card.json").await.status, 200);
    gw.records(4).await;
    let missing = async || {
        let scrape = gw.metrics().await;
        let is_there = |(name, labels): &&(&str, &[_])| scrape.lines().any(|line| is_of(line, name, labels));
        ASKED.iter().filter(|asked| !is_there(asked)).map(|asked| asked.0).collect::<Vec<_>>()
    };
    eventually("every name is there", || async {
        let missing = missing().await;
        if !missing.is_empty() {
            eprintln!("still missing: {missing:?}");
        }
        missing.is_empty()
    })
    .await;
    // As the rules put it: a share of errors, work that piles up, agents that are away.
    assert_counted(
        &gw,
        &[
            ("http_requests_total", &[("code", "502")], 1.0),
            ("active_workflows", &[], 1.0),
            ("a2a_requests_total", &[("outcome", "unreadable")], 0.0),
            ("a2a_agent_health", &[("agent_id", "agents")], 1.0),
            ("a2a_agent_availability", &[("agent_id", "agents")], 100.0),
        ],
    )
    .await;
    let scrape = gw.metrics().await;
    for (name, reason) in attache::observe::aliases::ABSENT {
        assert!(!scrape.contains(&format!("\n{name}")), "{name} is there, and was said to be absent: {reason}");
    }
}
