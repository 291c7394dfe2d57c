//! Failures that agents report inside good answers: when they are held against an endpoint, and when they may be the
//! fault of one input.

use std::net::SocketAddr;

use http::{Request, Response};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::support::{Backend, Body, Client, Gw, eventually, full, get, grpc, post, with_field};

/// An agent that answers every call with these bytes.
async fn saying(content_type: &'static str, text: &'static str) -> Backend {
    Backend::handling(move |_| async move {
        Response::builder().header("content-type", content_type).body(full(text)).unwrap()
    })
    .await
}

const INTERNAL: &str = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"oops"}}"#;
const FINE: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{"state":"working"}}}}"#;

fn call(method: &str) -> Request<Body> {
    let params = json!({ "id": "t", "message": { "messageId": "m", "role": "ROLE_USER", "parts": [] } });
    let text = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    with_field("content-type", "application/json", post("/", text))
}

fn in_turn(rest: &str) -> String {
    format!(
        "workers: 1\nroutes: {{ all: {{ cluster: all, a2a: {{ affinity: off }} }} }}\n\
         clusters: {{ all: {{ endpoints: ['{{0}}', '{{1}}'], loadBalancer: round-robin, slowStart: off, {rest} }} }}"
    )
}

/// A client with this address.
async fn from(last: u8, to: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, last], 0).into()).unwrap();
    Client::over(socket.connect(to).await.unwrap(), false).await
}

/// How often the first of two agents is asked when these clients call in turn, 30 times in all.
async fn asked(bad: &Backend, clients: &[u8]) -> usize {
    let good = saying("application/json", FINE).await;
    let gw = Gw::with(&in_turn("outlierDetection: { consecutive5xxErrors: 3 }"), &[bad, &good]).await;
    let before = bad.hits();
    for client in clients.iter().cycle().take(30) {
        assert_eq!(from(*client, gw.address()).await.reply(call("GetTask")).await.status, 200);
    }
    bad.hits() - before
}

#[tokio::test]
async fn an_input_of_one_client_ejects_nobody_and_failures_of_three_clients_do() {
    for text in [INTERNAL, "no JSON"] {
        let bad = saying("application/json", text).await;
        assert_eq!(asked(&bad, &[2]).await, 15, "one client, {text}");
        assert_eq!(asked(&bad, &[2, 2, 3, 3]).await, 15, "two clients, {text}");
        // Each client calls twice, so that each meets the bad one.
        assert_eq!(asked(&bad, &[2, 2, 3, 3, 4, 4]).await, 3, "three clients, {text}");
    }
    let unsupported = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32004,"message":"not here"}}"#;
    let fine = saying("application/json", unsupported).await;
    assert_eq!(asked(&fine, &[2, 2, 3, 3, 4, 4]).await, 15, "errors of calls are no failures");
}

#[tokio::test]
async fn where_rates_are_compared_one_client_is_enough() {
    let (bad, good) = (saying("application/json", INTERNAL).await, saying("application/json", FINE).await);
    let rates = "outlierDetection: { interval: 200ms, consecutive5xxErrors: 0, baseEjectionTime: 60s, \
                 failurePercentage: { threshold: 85, minHosts: 2, minRequests: 3 } }";
    let gw = Gw::with(&in_turn(rates), &[&bad, &good]).await;
    eventually("the failing one is out", || async {
        for _ in 0..10 {
            gw.send(call("GetTask")).await;
        }
        gw.metric("attache_ejections_total", &[("cause", "failure_percentage")]).await == 1.0
    })
    .await;
    let before = bad.hits();
    for _ in 0..10 {
        gw.send(call("GetTask")).await;
    }
    assert_eq!(bad.hits(), before);
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_a_failure_of_the_agent() {
    let task = r#"data: {"jsonrpc":"2.0","id":1,"result":{"task":{"id":"t","status":{"state":"completed"}}}}"#;
    for (text, expected) in [
        (format!("{task}\n\n"), Value::Null),
        (format!("data: {{broken\n\n{task}\n\n"), json!("unreadable")),
        (format!(": nothing\n\ndata:\n\n{task}\n\n"), Value::Null),
    ] {
        let text: &'static str = text.leak();
        let agent = saying("text/event-stream", text).await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
        let reply = gw.send(call("SubscribeToTask")).await;
        assert_eq!(reply.text(), text, "it passes as it is");
        let found = gw.record().await["a2a_outcome"].clone();
        assert_eq!(if found == "ok" { Value::Null } else { found }, expected, "{text}");
    }
}

#[tokio::test]
async fn events_that_differ_in_their_texts_alone_hide_no_other() {
    let event = |state: &str, text: &str| {
        let status = format!(r#"{{"state":"{state}","message":{{"parts":[{{"text":"{text}"}}]}}}}"#);
        let update = format!(r#"{{"statusUpdate":{{"taskId":"t","status":{status}}}}}"#);
        format!("data: {{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{update}}}\n\n")
    };
    let working = |text: &str| event("TASK_STATE_WORKING", text);
    let quoted = r#"\"},\"status\":{\"state\":\"TASK_STATE_COMPLETED\"}"#;
    let steps = [working("one"), working("two"), working(""), working(quoted), working("five")].concat();
    for (last, expected) in [
        (String::new(), json!("truncated")),
        (working("TASK_STATE_COMPLETED"), json!("truncated")),
        (event("TASK_STATE_COMPLETED", "six"), Value::Null),
        (event("TASK_STATE_COMPLETED", "six").repeat(3), Value::Null),
        (event("TASK_STATE_COMPLETED", "six") + &working("seven"), json!("truncated")),
        (working("\t") + &event("TASK_STATE_COMPLETED", ""), json!("unreadable")),
    ] {
        let text: &'static str = format!("{steps}{last}").leak();
        let agent = saying("text/event-stream", text).await;
        let gw = Gw::with("routes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
        assert_eq!(gw.send(call("SubscribeToTask")).await.text(), text, "it passes as it is");
        assert_eq!(gw.record().await["a2a_outcome"], expected, "{last}");
    }
}

#[tokio::test]
async fn an_injected_error_is_what_an_agent_would_say_in_the_callers_protocol() {
    let agent = saying("application/json", FINE).await;
    let template = "routes: { all: { endpoints: ['{0}'], fault: { abort: { percentage: 100%, a2aError: -32001 } } } }";
    let gw = Gw::with(template, &[&agent]).await;
    let mut client = gw.h1().await;
    let json_rpc = client.reply(call("GetTask")).await;
    assert_eq!((json_rpc.status, json_rpc.header("x-attache-fault")), (200, "abort"));
    let said: Value = serde_json::from_str(json_rpc.text()).unwrap();
    assert_eq!((&said["id"], &said["error"]["code"]), (&json!(1), &json!(-32001)));
    let details = &said["error"]["data"][0];
    assert_eq!((&details["reason"], &details["domain"]), (&json!("TASK_NOT_FOUND"), &json!("a2a-protocol.org")));
    let rest = client.reply(with_field("a2a-version", "1.0", get("/tasks/t"))).await;
    let said: Value = serde_json::from_str(rest.text()).unwrap();
    assert_eq!((rest.status, &said["error"]["status"]), (404, &json!("NOT_FOUND")));
    assert_eq!(said["error"]["details"][0]["reason"], "TASK_NOT_FOUND");
    let grpc = gw.h2().await.reply(grpc("GetTask", b"\x12\x01t")).await;
    assert_eq!((grpc.status, grpc.header("grpc-status")), (200, "5"));
    assert_eq!(agent.hits(), 0, "no agent hears of it");
    // What is no call is none of its business.
    assert_eq!(client.reply(get("/elsewhere")).await.header("x-attache-fault"), "");
    assert_eq!(agent.hits(), 1);
    assert_eq!(gw.metric("attache_faults_total", &[("kind", "abort")]).await, 3.0);
    let statuses: Vec<_> = gw.records(4).await.iter().map(|record| record["status"].clone()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 404).count(), 2, "{statuses:?}");
}
