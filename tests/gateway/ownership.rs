//! Tasks belong to who made them: for everybody else there are none.

use http::Request;
use serde_json::{Value, json};

use crate::support::{Agent, Backend, Body, Gw, TextFile, get, grpc, post, says, with_field};

const OWNED: &str = "workers: 2\nroutes: { all: { endpoints: ['{0}', '{1}', '{2}'], \
                     a2a: { ownership: { by: 'header:x-user' } } } }";

fn call(user: &str, method: &str, params: &Value) -> Request<Body> {
    let text = format!(r#"{{"method":"{method}","params":{params},"id":7,"jsonrpc":"2.0"}}"#);
    with_field("x-user", user, with_field("content-type", "application/json", post("/", text)))
}

fn rest(user: &str, path: &str) -> Request<Body> {
    with_field("x-user", user, with_field("a2a-version", "1.0", get(path)))
}

fn message(more: &Value) -> Value {
    let mut message = json!({ "messageId": "m", "parts": [{ "text": "hello" }] });
    message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "message": message })
}

/// A new task of a user, and its context.
async fn begin(gw: &Gw, user: &str) -> (String, String) {
    let said = says(&gw.send(call(user, "SendMessage", &message(&json!({})))).await);
    let task = &said["result"]["task"];
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
    (text(&task["id"]), text(&task["contextId"]))
}

/// The code of the error in an answer of JSON-RPC; 0 for none.
async fn code(gw: &Gw, request: Request<Body>) -> i64 {
    let reply = gw.send(request).await;
    let code = says(&reply)["error"]["code"].as_i64().unwrap_or_default();
    assert!(code != -32001 || reply.status == 200 && reply.reason().is_empty(), "as an agent says it: {reply:?}");
    code
}

async fn refusals(gw: &Gw, reason: &str) -> f64 {
    gw.metric("attache_a2a_refused_total", &[("route", "all"), ("reason", reason)]).await
}

#[tokio::test]
async fn a_task_is_there_for_who_made_it_and_for_nobody_else() {
    let agents = Agent::three().await;
    let mut gw = Gw::with(OWNED, &[&agents[0], &agents[1], &agents[2]]).await;
    for turn in 0..6 {
        if turn == 3 {
            let other = OWNED.replace("by:", "unknown: refuse, by:");
            gw.reload(&other, &[&agents[0], &agents[1], &agents[2]]).await.unwrap();
        }
        let (task, context) = begin(&gw, "ann").await;
        let about = json!({ "id": task });
        let before: usize = agents.iter().map(|agent| agent.heads().len()).sum();
        for (method, params) in [
            ("GetTask", about.clone()),
            ("tasks/get", about.clone()),
            ("CancelTask", about.clone()),
            ("SubscribeToTask", about.clone()),
            ("CreateTaskPushNotificationConfig", json!({ "taskId": task, "url": "https://a.example/" })),
            ("SendMessage", message(&json!({ "taskId": task }))),
            ("SendMessage", message(&json!({ "contextId": context }))),
            ("message/stream", message(&json!({ "taskId": task, "contextId": context }))),
        ] {
            assert_eq!(code(&gw, call("bob", method, &params)).await, -32001, "{method} {params}");
        }
        assert_eq!(code(&gw, call("bob", "GetTask", &json!({ "id": "none-such" }))).await, -32001, "the same");
        let hidden = gw.send(rest("bob", &format!("/tasks/{task}"))).await;
        let error = &says(&hidden)["error"];
        assert_eq!((hidden.status, hidden.reason(), &error["status"]), (404, "", &json!("NOT_FOUND")));
        assert_eq!(error["details"][0]["reason"], "TASK_NOT_FOUND");
        let anonymous = with_field(
            "content-type",
            "application/json",
            post("/", r#"{"jsonrpc":"2.0","method":"GetTask","id":1,"params":{"id":"TASK"}}"#.replace("TASK", &task)),
        );
        assert_eq!(code(&gw, anonymous).await, -32001, "nobody is not ann");
        let after: usize = agents.iter().map(|agent| agent.heads().len()).sum();
        assert_eq!(after, before, "no agent heard of it");
        for (method, params) in [
            ("GetTask", about.clone()),
            ("SendMessage", message(&json!({ "taskId": task, "contextId": context }))),
            ("SendMessage", message(&json!({ "contextId": context }))),
            ("ListTasks", json!({ "contextId": context })),
            ("CancelTask", about.clone()),
        ] {
            assert_eq!(code(&gw, call("ann", method, &params)).await, 0, "{method} {params}");
        }
        assert_eq!(gw.send(rest("ann", &format!("/tasks/{task}"))).await.status, 200);
    }
    assert_eq!(refusals(&gw, "not_owner").await, 6.0 * 11.0);
}

#[tokio::test]
async fn only_tasks_of_an_own_context_are_listed() {
    let agents = Agent::three().await;
    let gw = Gw::with(OWNED, &[&agents[0], &agents[1], &agents[2]]).await;
    let (_, context) = begin(&gw, "ann").await;
    for refused in [
        call("ann", "ListTasks", &json!({})),
        call("bob", "ListTasks", &json!({ "contextId": context })),
        rest("bob", &format!("/tasks?contextId={context}")),
        rest("ann", "/tasks"),
    ] {
        let reply = gw.send(refused).await;
        assert_eq!((reply.status, reply.reason()), (403, "list_refused"));
    }
    assert_eq!(gw.send(rest("ann", &format!("/tasks?contextId={context}"))).await.status, 200);
    assert_eq!(refusals(&gw, "list_refused").await, 4.0);
}

#[tokio::test]
async fn a_task_without_a_known_maker_is_hidden_or_shown_as_the_route_says() {
    let agents = Agent::three().await;
    let places: [&dyn crate::support::Place; 3] = [&agents[0], &agents[1], &agents[2]];
    let before = Gw::with(OWNED, &places).await;
    let (task, context) = begin(&before, "ann").await;
    let (strict, lax) =
        (Gw::with(OWNED, &places).await, Gw::with(&OWNED.replace("by:", "unknown: allow, by:"), &places).await);
    for params in [message(&json!({ "taskId": task })), message(&json!({ "contextId": context }))] {
        assert_eq!(code(&strict, call("ann", "SendMessage", &params)).await, -32001, "another gateway made it");
        assert_eq!(code(&lax, call("bob", "SendMessage", &params)).await, 0, "{params}");
    }
    for user in ["ann", "bob"] {
        assert_eq!(
            code(&lax, call(user, "GetTask", &json!({ "id": task }))).await,
            0,
            "who asks first does not own it"
        );
    }
    let (own, _) = begin(&lax, "ann").await;
    assert_eq!(code(&lax, call("bob", "GetTask", &json!({ "id": own }))).await, -32001);
}

#[tokio::test]
async fn ids_that_cannot_be_known_reach_no_agent() {
    let agent = Backend::replying(200).await;
    let template = "routes: { all: { endpoints: ['{0}'], a2a: { ownership: {} } } }";
    let gw = Gw::with(template, &[&agent]).await;
    for (request, reason) in [
        (call("ann", "GetTask", &json!({ "id": "x".repeat(600) })), "incomplete_call"),
        (call("ann", "GetTask", &json!({ "id": 7 })), "invalid_params"),
        (call("ann", "GetTask", &json!({})), ""),
        (with_field("content-encoding", "gzip", call("ann", "GetTask", &json!({ "id": "t" }))), "unread_call"),
    ] {
        assert_eq!(gw.send(request).await.reason(), reason);
    }
    let reply = gw.h2().await.reply(grpc("GetTask", b"\x12\x01t")).await;
    assert_eq!((reply.status, reply.header("grpc-status"), reply.reason()), (200, "5", ""));
    assert_eq!(agent.hits(), 0);
    assert_eq!(gw.get("/.well-known/agent-card.json").await.status, 200);
    assert_eq!(gw.get("/plain").await.status, 200);
    let send = with_field("accept-encoding", "gzip", call("ann", "SendMessage", &message(&json!({}))));
    assert_eq!(gw.send(send).await.status, 200);
    assert_eq!(agent.requests().last().unwrap().header("accept-encoding"), "identity", "what is made is to be read");
}

/// The principal is who made a task, with the provider that knows it: an ann of another provider is somebody else.
#[tokio::test]
async fn a_task_belongs_to_the_principal_that_made_it() {
    let agents = Agent::three().await;
    let ours = TextFile::keys(&[("a", "ann"), ("a2", "ann"), ("b", "bob")]);
    let theirs = TextFile::keys(&[("other", "ann")]);
    let gw = Gw::with(
        "workers: 2\nauthProviders: { ours: { apiKey: { keysFile: '{1}' } }, theirs: { apiKey: { keysFile: '{2}' } } }\n\
         routes: { all: { endpoints: ['{0}'], auth: [ours, theirs], a2a: { ownership: { by: principal } } } }",
        &[&agents[0], &ours, &theirs],
    )
    .await;
    let with_key = |key: &str, request: Request<Body>| with_field("x-api-key", key, request);
    let said = says(&gw.send(with_key("a", call("-", "SendMessage", &message(&json!({}))))).await);
    let task = said["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned();
    for (key, expected) in [("a", 0), ("a2", 0), ("b", -32001), ("other", -32001)] {
        let request = with_key(key, call("-", "GetTask", &json!({ "id": task })));
        assert_eq!(code(&gw, request).await, expected, "{key}");
    }
}
