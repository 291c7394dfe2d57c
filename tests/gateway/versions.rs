//! Which generations of A2A a route takes, and calls that only nearly are calls.

use http::Request;
use serde_json::json;

use crate::support::{Backend, Body, Gw, grpc_at, post, says, with_field};

const ONLY: &str = "workers: 1\nroutes: { all: { endpoints: ['{0}'], a2a: { versions: [1.0] } } }";

fn text(path: &str, text: impl Into<String>) -> Request<Body> {
    with_field("content-type", "application/json", post(path, text.into()))
}

fn call(method: &str) -> Request<Body> {
    text("/", format!(r#"{{"method":"{method}","params":{{"id":"t"}},"id":"x","jsonrpc":"2.0"}}"#))
}

#[tokio::test]
async fn other_generations_get_the_error_that_the_protocol_has_for_it() {
    let agent = Backend::replying(200).await;
    let gw = Gw::with(ONLY, &[&agent]).await;
    for refused in [
        call("message/send"),
        call("tasks/send"),
        with_field("a2a-version", "0.3", call("SendMessage")),
        with_field("a2a-version", "2.0", call("SendMessage")),
    ] {
        let reply = gw.send(refused).await;
        assert_eq!((reply.status, reply.reason()), (200, "version_refused"));
        let said = says(&reply);
        assert_eq!((&said["id"], &said["error"]["code"]), (&json!("x"), &json!(-32009)));
        let info = &said["error"]["data"][0];
        assert_eq!((&info["reason"], &info["domain"]), (&json!("VERSION_NOT_SUPPORTED"), &json!("a2a-protocol.org")));
    }
    let reply = gw.send(text("/v1/message:send", "{}")).await;
    assert_eq!((reply.status, &says(&reply)["error"]["status"]), (400, &json!("FAILED_PRECONDITION")));
    let reply = gw.h2().await.reply(grpc_at("/a2a.v1.A2AService/GetTask", b"")).await;
    assert_eq!((reply.status, reply.header("grpc-status"), reply.reason()), (200, "9", "version_refused"));
    assert_eq!(agent.hits(), 0);
    let counted = gw.metric("attache_a2a_refused_total", &[("reason", "version_refused")]);
    assert_eq!(counted.await, 6.0);
    let record = &gw.records(6).await[0];
    assert_eq!((&record["status"], &record["reason"]), (&json!(200), &json!("version_refused")));
    for passed in [
        call("SendMessage"),
        with_field("a2a-version", "1.0.1", call("GetTask")),
        text("/message:send", "{}"),
        call("tools/list"),
        crate::support::get("/.well-known/agent-card.json"),
        crate::support::get("/plain"),
    ] {
        let reply = gw.send(passed).await;
        assert_eq!((reply.status, reply.reason()), (200, ""));
    }
    let unread = gw.send(with_field("content-encoding", "gzip", call("message/send"))).await;
    assert_eq!(unread.reason(), "unread_call", "nothing passes unread");
}

#[tokio::test]
async fn what_only_nearly_is_a_call_is_refused_where_a_guard_was_chosen() {
    let agent = Backend::replying(200).await;
    let guarded = Gw::with(ONLY, &[&agent]).await;
    let usual = Gw::with("workers: 1\nroutes: { all: { endpoints: ['{0}'] } }", &[&agent]).await;
    for (body, code, reason) in [
        (r#"{"jsonrpc":"1.0","method":"GetTask","params":{"id":"t"},"id":1}"#, -32600, "invalid_call"),
        (r#"{"method":"GetTask","params":{"id":"t"},"id":1}"#, -32600, "invalid_call"),
        (r#"{"jsonrpc":2.0,"method":"GetTask","params":{"id":"t"},"id":1}"#, -32600, "invalid_call"),
        (r#"{"jsonrpc":"2.0","method":7,"params":{"id":"t"},"id":1}"#, -32600, "invalid_call"),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":"t"},"id":[1]}"#, -32600, "invalid_call"),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":["t"],"id":1}"#, -32602, "invalid_params"),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":"t","id":1}"#, -32602, "invalid_params"),
        (r#"{"jsonrpc":"2.0","method":"GetTask","params":{"id":7},"id":1}"#, -32602, "invalid_params"),
        (
            r#"{"jsonrpc":"2.0","method":"SendMessage","params":{"message":{"taskId":{}}},"id":1}"#,
            -32602,
            "invalid_params",
        ),
        (r#"{"jsonrpc":"2.0","method":"SendMessage","params":{"message":[]},"id":1}"#, -32602, "invalid_params"),
    ] {
        let reply = guarded.send(text("/", body)).await;
        assert_eq!((reply.status, reply.reason()), (400, reason), "{body}");
        let said = says(&reply);
        assert_eq!(said["error"]["code"], code, "{body}");
        assert_eq!(said["id"], if body.contains("[1]") { json!(null) } else { json!(1) }, "{body}");
        assert_eq!(
            usual.send(text("/", body)).await.status,
            200,
            "without a guard it is the agent's to refuse: {body}"
        );
    }
    let odd = guarded.send(text("/message:send", r#"{"message":{"contextId":7}}"#)).await;
    assert_eq!((odd.status, odd.reason()), (400, "invalid_params"));
    for body in [
        r#"{"jsonrpc":"2.0","method":"SendMessage","params":{"message":{"taskId":null}},"id":1}"#,
        r#"{"jsonrpc":"2.0","method":"GetExtendedAgentCard","id":null}"#,
        r#"{"jsonrpc":"2.0","method":"ListTasks","params":{}}"#,
        r#"{"hello":["world"]}"#,
        "[1]",
    ] {
        assert_eq!(guarded.send(text("/", body)).await.status, 200, "{body}");
    }
}
