//! Guards of calls: what a route does not let agents be asked reaches none, and is refused in the caller's protocol.

use http::Request;
use serde_json::{Value, json};

use crate::support::{Backend, Body, Gw, Speak, call, grpc, post, says, with_field};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

async fn agent() -> Backend {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}"#;
    Backend::replying(200).await.header("content-type", "application/json").body(answer)
}

/// A gateway before `agent`, with these settings.
async fn before(agent: &Backend, settings: &str) -> Gw {
    Gw::with(&format!("workers: 1\nroutes: {{ all: {{ endpoints: ['{{0}}'], a2a: {settings} }} }}"), &[agent]).await
}

fn json(path: &str, text: impl Into<String>) -> Request<Body> {
    with_field("content-type", "application/json", post(path, text.into()))
}

async fn refusals(gw: &Gw, reason: &str) -> f64 {
    gw.metric("attache_a2a_refused_total", &[("route", "all"), ("reason", reason)]).await
}

#[tokio::test]
async fn methods_are_allowed_or_denied_in_every_generation_and_binding() {
    let agent = agent().await;
    for settings in [
        "{ methods: { deny: [SendMessage, tasks/resubscribe] } }",
        "{ methods: { allow: [message/stream, GetTask, ListTasks] } }",
    ] {
        let gw = before(&agent, settings).await;
        let before = agent.hits();
        for method in ["SendMessage", "message/send", "tasks/send", "SubscribeToTask", "tasks/resubscribe"] {
            let refused = gw.send(call(method, &json!({ "id": "t" }))).await;
            assert_eq!((refused.status, refused.reason()), (403, "method_denied"), "{settings} {method}");
            let said = says(&refused);
            assert_eq!((&said["id"], &said["error"]["code"]), (&json!("call-7"), &json!(-32603)));
            assert_eq!(said["error"]["data"][0]["reason"], "method_denied");
        }
        for path in ["/message:send", "/v1/message:send"] {
            let refused = gw.send(json(path, "{}")).await;
            assert_eq!((refused.status, refused.reason()), (403, "method_denied"), "{settings} {path}");
            assert_eq!(says(&refused)["error"]["status"], "PERMISSION_DENIED");
        }
        assert_eq!(gw.get("/tasks/t:subscribe").await.reason(), "method_denied");
        let refused = gw.h2().await.reply(grpc("SendMessage", b"")).await;
        assert_eq!((refused.status, refused.header("grpc-status")), (200, "7"), "{settings}");
        assert_eq!(agent.hits(), before, "nothing of it reached the agent");
        assert_eq!(refusals(&gw, "method_denied").await, 9.0);
        for method in ["SendStreamingMessage", "message/stream", "GetTask", "tasks/get"] {
            assert_eq!(gw.send(call(method, &json!({ "id": "t" }))).await.status, 200, "{settings} {method}");
        }
        assert_eq!(gw.get("/tasks/t").await.status, 200, "{settings}");
        assert_eq!(gw.get("/plain").await.status, 200, "what is no call passes");
        assert_eq!(refusals(&gw, "method_denied").await, 9.0);
    }
}

#[tokio::test]
async fn a_list_of_what_is_allowed_is_closed_and_one_of_what_is_denied_is_open() {
    let agent = agent().await;
    for (settings, status) in [("{ methods: { allow: GetTask } }", 403), ("{ methods: { deny: GetTask } }", 200)] {
        let gw = before(&agent, settings).await;
        for method in ["tools/list", "sendMessage", "agent/new"] {
            assert_eq!(gw.send(call(method, &json!({}))).await.status, status, "{settings} {method}");
        }
        let card = gw.get("/.well-known/agent-card.json").await;
        assert_eq!(card.status, 200, "{settings}: the card is always served");
    }
}

#[tokio::test]
async fn no_call_passes_unread_where_a_guard_was_chosen() {
    let agent = agent().await;
    let gw = before(&agent, "{ methods: { deny: SendMessage }, maxBodyBytes: 2KiB }").await;
    let send = r#""method":"SendMessage","params":{},"id":7,"jsonrpc":"2.0""#;
    let plain = |text: String| with_field("content-type", "text/plain", post("/", text));
    let padded = format!(r#"{{"x":"{}",{send}}}"#, "x".repeat(4096));
    for (name, request, status, reason) in [
        ("a member that is none of JSON-RPC", json("/", format!(r#"{{"x":1,{send}}}"#)), 403, "method_denied"),
        ("another media type", plain(format!("{{{send}}}")), 403, "method_denied"),
        ("a number that only some read", json("/", format!(r#"{{"x":NaN,{send}}}"#)), 400, "unread_call"),
        ("compressed", with_field("content-encoding", "gzip", json("/", format!("{{{send}}}"))), 400, "unread_call"),
        ("padded", json("/", padded.clone()), 413, "body_too_large"),
        ("a client of MCP", with_field("mcp-session-id", "1", json("/", format!("{{{send}}}"))), 403, "method_denied"),
    ] {
        let hits = agent.hits();
        let refused = gw.send(request).await;
        assert_eq!((refused.status, refused.reason()), (status, reason), "{name}");
        assert_eq!(agent.hits(), hits, "{name}");
    }
    assert_eq!(refusals(&gw, "unread_call").await, 2.0);
    let open = before(&agent, "{ maxBodyBytes: 2KiB }").await;
    for request in [json("/", padded), json("/", "no JSON"), json("/", r#"{"x":NaN}"#), json("/", "[1,2,3]")] {
        assert_eq!(open.send(request).await.status, 200, "without one it is the agent's to refuse");
    }
}

/// What gives an agent the URL, in every generation and binding.
fn with_push_url(url: &str) -> Vec<(&'static str, Request<Body>)> {
    let config = json!({ "token": "x", "url": url });
    let message = json!({ "messageId": "m", "parts": [{ "text": "hello" }] });
    let send = |key: &str| json!({ "message": message, "configuration": { key: config } });
    vec![
        ("1.0 send", call("SendMessage", &send("taskPushNotificationConfig"))),
        ("0.3 send", call("message/send", &send("pushNotificationConfig"))),
        ("0.3 stream", call("message/stream", &send("pushNotificationConfig"))),
        ("0.1 send", call("tasks/send", &json!({ "id": "t", "message": message, "pushNotification": config }))),
        ("1.0 set", call("CreateTaskPushNotificationConfig", &json!({ "taskId": "t", "url": url }))),
        (
            "0.3 set",
            call("tasks/pushNotificationConfig/set", &json!({ "taskId": "t", "pushNotificationConfig": config })),
        ),
        ("0.1 set", call("tasks/pushNotification/set", &json!({ "id": "t", "pushNotificationConfig": config }))),
        ("REST send", json("/message:send", send("taskPushNotificationConfig").to_string())),
        ("0.3 REST send", json("/v1/message:send", send("push_notification_config").to_string())),
        (
            "REST set",
            with_field(
                "a2a-version",
                "1.0",
                json("/tasks/t/pushNotificationConfigs", json!({ "url": url }).to_string()),
            ),
        ),
    ]
}

#[tokio::test]
async fn webhooks_lead_to_public_hosts_by_default() {
    let agent = agent().await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    let mut refused_calls = 0.0;
    for url in
        ["https://127.0.0.1:9/x", "https://0x7f.1/", "http://hooks.example.com/", "https://metadata.google.internal/"]
    {
        for (name, request) in with_push_url(url) {
            let hits = agent.hits();
            let refused = gw.send(request).await;
            assert_eq!((refused.status, refused.reason()), (400, "push_url_refused"), "{name} {url}");
            assert_eq!(agent.hits(), hits, "{name} {url}");
            refused_calls += 1.0;
        }
    }
    assert_eq!(refusals(&gw, "push_url_refused").await, refused_calls);
    let record = &gw.records(40).await[0];
    assert_eq!((&record["reason"], &record["operation"]), (&json!("push_url_refused"), &json!("SendMessage")));
    for (name, request) in with_push_url("https://hooks.example.com/x") {
        assert_eq!(gw.send(request).await.status, 200, "{name}");
    }
    assert_eq!(refusals(&gw, "push_url_refused").await, refused_calls);
    let off = before(&agent, "{ pushUrls: off }").await;
    let named = before(&agent, "{ pushUrls: { allow: [127.0.0.1, '*.example.com'], http: true } }").await;
    for (name, request) in with_push_url("http://127.0.0.1:9/x") {
        assert_eq!(off.send(request).await.status, 200, "{name}");
    }
    for (url, status) in [("http://127.0.0.1:9/x", 200), ("https://a.example.com/", 200), ("https://a.example/", 400)] {
        for (name, request) in with_push_url(url) {
            assert_eq!(named.send(request).await.status, status, "{name} {url}");
        }
    }
}

#[tokio::test]
async fn webhooks_of_grpc_are_guarded_too() {
    let agent = Backend::replying_as(SPEAK, 200).await;
    let gw = Gw::with(
        "routes: { all: { cluster: one } }\nclusters: { one: { endpoints: ['{0}'], protocol: h2c } }",
        &[&agent],
    )
    .await;
    let set = |url: &str| {
        let length = u8::try_from(url.len()).unwrap();
        grpc("CreateTaskPushNotificationConfig", &[&[0x22, length][..], url.as_bytes()].concat())
    };
    let mut client = gw.h2().await;
    let refused = client.reply(set("https://[::ffff:127.0.0.1]/")).await;
    assert_eq!((refused.status, refused.header("grpc-status"), refused.reason()), (200, "3", "push_url_refused"));
    assert_eq!(agent.hits(), 0);
    client.reply(set("https://hooks.example.com/")).await;
    assert_eq!(agent.hits(), 1);
}

#[tokio::test]
async fn files_are_guarded_where_that_was_chosen() {
    let agent = agent().await;
    let old = |url: &str| json!({ "message": { "parts": [{ "kind": "file", "file": { "uri": url } }] } });
    let new = |url: &str| json!({ "message": { "parts": [{ "text": "see" }, { "url": url }] } });
    let usual = before(&agent, "{}").await;
    let chosen = before(&agent, "{ fileUrls: {} }").await;
    for (url, is_allowed) in
        [("https://10.0.0.1/a", false), ("ftp://files.example/a", false), ("https://a.example/a", true)]
    {
        for (method, params) in [("SendMessage", new(url)), ("message/send", old(url))] {
            assert_eq!(usual.send(call(method, &params)).await.status, 200, "{url}");
            let reply = chosen.send(call(method, &params)).await;
            let expected = if is_allowed { (200, "") } else { (400, "file_url_refused") };
            let reason = reply.headers.get("x-attache-reason").map_or("", |word| word.to_str().unwrap());
            assert_eq!((reply.status, reason), expected, "{method} {url}");
        }
    }
    let long = new(&format!("https://a.example/{}", "x".repeat(600)));
    assert_eq!(usual.send(call("SendMessage", &long)).await.status, 200, "nobody has to know it");
    let refused = chosen.send(call("SendMessage", &long)).await;
    assert_eq!((refused.status, refused.reason()), (400, "incomplete_call"));
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_reaches_no_agent() {
    let agent = agent().await;
    let gw = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    for (text, id, reason) in [
        (r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"t"}}]"#, Value::Null, "batch"),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"},{"id":2,"method":"message/send"}]"#, Value::Null, "batch"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{"id":"a","id":"b"}}"#, json!(1), "ambiguous_call"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"GetTask","method":"SendMessage"}"#, json!(1), "ambiguous_call"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"x","method":"SendMessage"}"#, json!(1), "ambiguous_call"),
    ] {
        let refused = gw.send(json("/", text)).await;
        assert_eq!((refused.status, refused.reason()), (400, reason), "{text}");
        assert_eq!(says(&refused)["id"], id, "{text}");
    }
    let twice = r#"{"message":{"taskId":"a","task_id":"b"}}"#;
    assert_eq!(gw.send(json("/message:send", twice)).await.reason(), "ambiguous_call");
    assert_eq!(agent.hits(), 0);
    assert_eq!((refusals(&gw, "batch").await, refusals(&gw, "ambiguous_call").await), (2.0, 4.0));
    for text in [r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#, r#"{"id":1,"id":2}"#, "[1]", "no JSON", ""] {
        assert_eq!(gw.send(json("/", text)).await.status, 200, "no call of A2A: {text}");
    }
    let off = before(&agent, "off").await;
    let batch = r#"[{"jsonrpc":"2.0","id":1,"method":"GetTask"}]"#;
    assert_eq!(off.send(json("/", batch)).await.status, 200);
}

#[tokio::test]
async fn a_call_of_json_rpc_under_a_path_of_rest_is_one_where_the_agent_gets_another_path() {
    let agent = agent().await;
    let guarded = "a2a: { methods: { deny: [CancelTask] } }";
    for (matched, rewrite, is_json_rpc) in [
        ("{ exact: '/message:send' }", "{ path: /rpc }", true),
        ("{ prefix: '/message:send' }", "{ prefix: /rpc }", true),
        ("{ exact: '/message:send' }", "{ prefix: /rpc }", true),
        ("{ prefix: /a }", "{ regex: { pattern: '^/a/.*$', replacement: /rpc } }", true),
        ("{ prefix: /a }", "{ regex: { pattern: '^/a/', replacement: / } }", false),
        ("{ prefix: /a }", "{ prefix: / }", false),
        ("{ prefix: /a }", "{ path: '/v1/message:send' }", false),
    ] {
        let route = format!("match: {{ path: {matched} }}, rewrite: {rewrite}, endpoints: ['{{0}}'], {guarded}");
        let gw = Gw::with(&format!("workers: 1\nroutes: {{ all: {{ {route} }} }}"), &[&agent]).await;
        let path = if matched.contains("/a") { "/a/message:send" } else { "/message:send" };
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": "CancelTask", "params": { "id": "t" } });
        let reply = gw.send(json(path, body.to_string())).await;
        if is_json_rpc {
            assert_eq!((reply.status, reply.reason()), (403, "method_denied"), "{matched} {rewrite}");
            assert_eq!(says(&reply)["id"], 7, "in the caller's protocol");
        } else {
            assert_ne!(reply.reason(), "method_denied", "{matched} {rewrite}");
        }
        let record = gw.records(1).await.remove(0);
        assert_eq!(record["operation"], if is_json_rpc { "CancelTask" } else { "SendMessage" }, "{matched} {rewrite}");
    }
}

#[tokio::test]
async fn a_path_in_other_letters_is_the_call_for_which_some_agents_take_it() {
    let agent = agent().await;
    let gw = before(&agent, "{ methods: { deny: [SendMessage, CancelTask, GetTask, ListTasks] } }").await;
    for path in
        ["/Message:Send", "/MESSAGE:SEND/", "/V1/message:SEND", "/message%3asenD", "/Tasks/X:CANCEL", "/TASKS/x:cancel"]
    {
        let refused = gw.send(json(path, "{}")).await;
        assert_eq!((refused.status, refused.reason()), (403, "method_denied"), "{path}");
        assert_eq!(says(&refused)["error"]["status"], "PERMISSION_DENIED", "{path}");
    }
    for path in ["/Tasks/x", "/v1/TASKS", "/Tasks/", "/TASKS/x/"] {
        assert_eq!(gw.get(path).await.reason(), "method_denied", "{path}");
    }
    let push = json!({ "taskId": "T", "url": "https://10.0.0.1/" }).to_string();
    let refused = gw.send(json("/tasks/T/PushNotificationconfigs", push)).await;
    assert_eq!(refused.reason(), "push_url_refused");
    assert_eq!(agent.hits(), 0);
    assert_eq!(gw.get("/Taskslist/x").await.status, 200, "another word is another path");
    assert_eq!(agent.request().uri.path(), "/Taskslist/x");
}

#[tokio::test]
async fn where_no_guard_was_chosen_a_path_in_other_letters_is_any_path() {
    let agent = Backend::replying(404).await;
    let gw = before(&agent, "{}").await;
    let reply = gw.send(json("/Message:Send", "{}")).await;
    assert_eq!((reply.status, agent.request().uri.path()), (404, "/Message:Send"), "it is passed on as it is");
}
