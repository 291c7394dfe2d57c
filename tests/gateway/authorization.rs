//! Who may do what: what the rules of a route do not let pass reaches no agent, and is refused in its protocol.

use http::Request;
use serde_json::json;

use crate::support::{Backend, Body, Gw, Speak, call, empty, eventually, get, grpc, post, request, says, with_field};

const SPEAK: Speak = Speak { http2: true, tls: None, narrow: None, max_streams: None };

async fn agent() -> Backend {
    let answer = r#"{"jsonrpc":"2.0","id":7,"result":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}"#;
    Backend::replying_as(SPEAK, 200).await.header("content-type", "application/json").body(answer)
}

/// A gateway before `agent`, with these rules, that believes what clients say of their addresses.
async fn before(agent: &Backend, rules: &str) -> Gw {
    let text = format!(
        "workers: 1\nclientIp: {{ trustedProxies: 127.0.0.0/8 }}\ntenants: {{ header: x-tenant }}\n\
         routes: {{ all: {{ cluster: agents, authorization: {rules} }} }}\n\
         clusters: {{ agents: {{ endpoints: ['{{0}}'], protocol: h2c }} }}"
    );
    Gw::with(&text, &[agent]).await
}

fn from(client: &str, request: Request<Body>) -> Request<Body> {
    with_field("x-forwarded-for", client, request)
}

fn json(path: &str, text: impl Into<String>) -> Request<Body> {
    with_field("content-type", "application/json", post(path, text.into()))
}

async fn decisions(gw: &Gw, rule: &str, result: &str) -> f64 {
    let labels = [("route", "all"), ("rule", rule), ("result", result)];
    gw.metric("attache_authorization_total", &labels).await
}

#[tokio::test]
async fn a_request_passes_where_a_rule_allows_it_and_none_denies_it() {
    let agent = agent().await;
    let rules = "{ rules: [{ name: near, clientIps: 192.0.2.0/24, methods: [GET, POST] }, \
        { name: closed, action: deny, paths: { prefix: /closed } }, \
        { clientIps: 203.0.113.0/24, paths: { exact: /one } }] }";
    let gw = before(&agent, rules).await;
    for (client, method, path, status, rule) in [
        ("192.0.2.1", "GET", "/a", 200, "near"),
        ("192.0.2.1", "DELETE", "/a", 403, "-"),
        ("192.0.2.1", "GET", "/closed/a", 403, "closed"),
        ("192.0.2.1", "GET", "/closedness", 200, "near"),
        ("203.0.113.1", "DELETE", "/one", 200, "2"),
        ("203.0.113.1", "GET", "/one/", 403, "-"),
        ("198.51.100.1", "GET", "/a", 403, "-"),
    ] {
        let hits = agent.hits();
        let reply = gw.send(from(client, request(method, path, empty()))).await;
        let reason = if status == 403 { "forbidden" } else { "" };
        assert_eq!((reply.status, reply.reason()), (status, reason), "{client} {method} {path} {rule}");
        assert_eq!(agent.hits() > hits, status == 200, "{client} {method} {path}");
    }
    assert_eq!(decisions(&gw, "near", "allowed").await, 2.0);
    assert_eq!(decisions(&gw, "-", "denied").await, 3.0);
    assert_eq!(decisions(&gw, "closed", "denied").await, 1.0);
    assert_eq!(decisions(&gw, "2", "allowed").await, 1.0);
    let records = gw.records(7).await;
    let refused: Vec<_> = records.iter().filter(|record| record["status"] == 403).collect();
    assert!(refused.iter().all(|record| record["flags"] == "UAEX" && record["route"] == "all"), "{refused:#?}");
    assert_eq!(records.iter().filter(|record| record["rule"] == "near").count(), 2);
    assert_eq!(gw.metric("attache_errors_total", &[("route", "all"), ("reason", "forbidden")]).await, 4.0);
}

#[tokio::test]
async fn a_refusal_is_said_in_the_protocol_of_its_caller() {
    let agent = agent().await;
    let gw = before(&agent, "{ rules: [{ clientIps: 192.0.2.0/24 }] }").await;
    let refused = gw.send(call("SendMessage", &json!({ "message": {} }))).await;
    let said = says(&refused);
    assert_eq!((refused.status, refused.reason()), (403, "forbidden"));
    assert_eq!((&said["id"], &said["error"]["code"]), (&json!("call-7"), &json!(-32603)));
    assert_eq!(said["error"]["data"][0]["reason"], "forbidden");
    let refused = gw.send(json("/message:send", "{}")).await;
    assert_eq!((refused.status, &says(&refused)["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
    let refused = gw.h2().await.reply(grpc("SendMessage", b"")).await;
    assert_eq!((refused.status, refused.header("grpc-status"), refused.reason()), (200, "7", "forbidden"));
    assert_eq!(agent.hits(), 0);
}

#[tokio::test]
async fn operations_are_known_in_every_generation_and_binding() {
    let agent = agent().await;
    for (rules, name) in [
        ("{ rules: [{ name: read, operations: [GetTask, GetAgentCard] }] }", "-"),
        ("{ rules: [{ name: read, notOperations: [SendMessage, SendStreamingMessage] }] }", "-"),
        ("{ rules: [{ name: send, action: deny, operations: [SendMessage, SendStreamingMessage] }] }", "send"),
    ] {
        let gw = before(&agent, rules).await;
        let hits = agent.hits();
        for method in ["SendMessage", "message/send", "tasks/send", "message/stream"] {
            let refused = gw.send(call(method, &json!({ "id": "t" }))).await;
            assert_eq!((refused.status, refused.reason()), (403, "forbidden"), "{rules} {method}");
            assert_eq!(says(&refused)["id"], "call-7");
        }
        for path in ["/message:send", "/v1/message:send", "/Message:Send"] {
            assert_eq!(gw.send(json(path, "{}")).await.reason(), "forbidden", "{rules} {path}");
        }
        assert_eq!(gw.h2().await.reply(grpc("SendMessage", b"")).await.header("grpc-status"), "7", "{rules}");
        assert_eq!(agent.hits(), hits, "nothing of it reached the agent");
        assert_eq!(decisions(&gw, name, "denied").await, 8.0, "{rules}");
        for passed in [call("GetTask", &json!({ "id": "t" })), call("tasks/get", &json!({ "id": "t" }))] {
            assert_eq!(gw.send(passed).await.status, 200, "{rules}");
        }
        assert_eq!(gw.get("/tasks/t").await.status, 200, "{rules}");
        assert_eq!(gw.get("/.well-known/agent-card.json").await.status, 200, "{rules}");
    }
    let gw = before(&agent, "{ rules: [{ operations: GetTask }] }").await;
    for path in ["/plain", "/.well-known/agent-card.json"] {
        assert_eq!(gw.get(path).await.reason(), "forbidden", "what is no such call is not allowed: {path}");
    }
}

#[tokio::test]
async fn no_call_passes_unread_where_a_rule_is_about_operations_or_tenants() {
    let agent = agent().await;
    let send = r#""method":"SendMessage","params":{},"id":7,"jsonrpc":"2.0""#;
    // A rule about operations knows what a list asks for, and says so before the guard of lists does.
    for (rules, of_a_list) in [
        ("{ rules: [{ action: deny, operations: SendMessage }] }", (403, "forbidden")),
        ("{ rules: [{ action: deny, tenants: north }] }", (400, "batch")),
    ] {
        let gw = before(&agent, rules).await;
        let compressed = with_field("content-encoding", "gzip", json("/", format!("{{{send}}}")));
        let padded = json("/", format!(r#"{{"x":"{}",{send}}}"#, "x".repeat(1 << 20)));
        for (name, request, expected) in [
            ("a number that only some read", json("/", format!(r#"{{"x":NaN,{send}}}"#)), (400, "unread_call")),
            ("compressed", compressed, (400, "unread_call")),
            ("padded", padded, (413, "body_too_large")),
            ("a list", json("/", format!("[{{{send}}}]")), of_a_list),
            ("two methods", json("/", format!(r#"{{"method":"GetTask",{send}}}"#)), (400, "ambiguous_call")),
        ] {
            assert_eq!(gw.send(request).await.outcome(), expected, "{rules} {name}");
            assert_eq!(agent.hits(), 0, "{rules} {name}");
        }
    }
}

#[tokio::test]
async fn a_tenant_is_asked_for_in_header_and_call() {
    let agent = agent().await;
    let allow = before(&agent, "{ rules: [{ tenants: 'north*' }] }").await;
    let deny = before(&agent, "{ rules: [{ action: deny, tenants: 'north*' }] }").await;
    for (header, tenant, allowed, denied) in [
        (None, Some("north-1"), true, true),
        (None, Some("south"), false, false),
        (Some("north"), Some("north-2"), true, true),
        (Some("north"), Some("south"), false, true),
        (Some("south"), Some("north"), false, true),
        (Some("north"), None, true, true),
        (None, None, false, false),
    ] {
        let request = || {
            let request = match tenant {
                Some(tenant) => call("GetTask", &json!({ "id": "t", "tenant": tenant })),
                None => request("GET", "/plain", empty()),
            };
            header.into_iter().fold(request, |request, header| with_field("x-tenant", header, request))
        };
        assert_eq!(allow.send(request()).await.status == 200, allowed, "{header:?} {tenant:?}");
        assert_eq!(deny.send(request()).await.status == 403, denied, "{header:?} {tenant:?}");
    }
}

#[tokio::test]
async fn a_policy_in_shadow_counts_and_refuses_nothing() {
    let agent = agent().await;
    let rules = "[{ rules: [{ name: all }] }, { mode: shadow, rules: [{ name: none, action: deny, methods: GET }, \
        { name: read, operations: GetTask }] }]";
    let gw = before(&agent, rules).await;
    assert_eq!(gw.get("/plain").await.status, 200);
    assert_eq!(gw.send(call("GetTask", &json!({ "id": "t" }))).await.status, 200);
    assert_eq!(gw.send(call("CancelTask", &json!({ "id": "t" }))).await.status, 200);
    let padded = format!(r#"{{"x":"{}"}}"#, "x".repeat(1 << 20));
    assert_eq!(gw.send(json("/", padded)).await.status, 200, "it need not know what it only counts");
    assert_eq!(decisions(&gw, "all", "allowed").await, 4.0);
    assert_eq!(decisions(&gw, "1/none", "shadow_denied").await, 1.0);
    assert_eq!(decisions(&gw, "1/read", "shadow_allowed").await, 1.0);
    assert_eq!(decisions(&gw, "-", "shadow_denied").await, 2.0);
}

#[tokio::test]
async fn rules_hold_for_what_the_gateway_answers_itself_and_come_from_defaults() {
    let agent = agent().await;
    let gw = Gw::with(
        "workers: 1\nauthorizationPolicies: { nobody: { rules: [{ clientIps: 192.0.2.0/24 }] } }\n\
         defaults: { route: { authorization: nobody } }\nroutes:\n  all: { endpoints: ['{0}'] }\n  \
         said: { match: { path: { exact: /said } }, respond: {} }\n  \
         led: { match: { path: { exact: /led } }, redirect: { path: /x } }\n  \
         open: { match: { path: { exact: /open } }, respond: {}, authorization: off }\n  \
         own: { match: { path: { exact: /own } }, respond: {}, authorization: { rules: [{ methods: GET }] } }",
        &[&agent],
    )
    .await;
    for (path, status) in [("/", 403), ("/said", 403), ("/led", 403), ("/open", 200), ("/own", 200)] {
        assert_eq!(gw.get(path).await.status, status, "{path}");
    }
    assert_eq!(gw.metric("attache_authorization_total", &[("route", "own"), ("rule", "0")]).await, 1.0);
    assert_eq!(gw.metric("attache_authorization_total", &[("rule", "-"), ("result", "denied")]).await, 3.0);
    assert_eq!(agent.hits(), 0);
}

#[tokio::test]
async fn a_reload_changes_the_rules_for_the_next_request() {
    let agent = Backend::replying(200).await;
    let text =
        |rules: &str| format!("workers: 1\nroutes: {{ all: {{ endpoints: ['{{0}}'], authorization: {rules} }} }}");
    let mut gw = Gw::with(&text("{ rules: [{ name: reads, methods: GET }] }"), &[&agent]).await;
    let mut client = gw.h1().await;
    assert_eq!(client.reply(get("/")).await.status, 200);
    assert_eq!(decisions(&gw, "reads", "allowed").await, 1.0);
    gw.reload(&text("{ rules: [{ name: writes, methods: PUT }] }"), &[&agent]).await.unwrap();
    assert_eq!(client.reply(get("/")).await.status, 403, "on the same connection");
    eventually("the series of a rule goes with it", || async { !gw.metrics().await.contains("rule=\"reads\"") }).await;
    assert_eq!(decisions(&gw, "-", "denied").await, 1.0, "and no other");
    gw.reload(&text("off"), &[&agent]).await.unwrap();
    assert_eq!(client.reply(get("/")).await.status, 200);
    let record = gw.records(3).await;
    assert!(record[2].get("rule").is_none(), "{record:#?}");
}
