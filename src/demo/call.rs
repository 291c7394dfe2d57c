//! From an HTTP request to the operation it asks for: JSON-RPC of both generations at any path, REST of 1.0 at its own.
//! Pure functions on method, path, version header and body.

use http::Method;
use serde_json::Value;

use super::wire::{Fault, Generation};

/// How the caller speaks and wants to be answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Style {
    /// Generation of the answer's JSON.
    pub(super) generation: Generation,
    /// Envelope of the answer.
    pub(super) binding: Binding,
}

/// Envelope of an answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Binding {
    /// JSON-RPC, echoing this id.
    Rpc(Value),
    /// HTTP+JSON.
    Rest,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    /// Do this and answer when it is done, or at once.
    Send {
        /// What to do.
        message: Value,
        /// Whether the caller waits for no more than the task.
        at_once: bool,
    },
    /// Do this and stream what happens.
    Stream(Value),
    /// A task as it is.
    Get(String),
    /// The newest tasks, of one context when given.
    List(Option<String>),
    /// End a task.
    Cancel(String),
    /// Stream what still happens to a task.
    Subscribe(String),
}

/// A request the agent cannot take, and how to say so.
#[derive(Debug, PartialEq)]
pub(super) struct Refusal {
    /// How to answer.
    pub(super) style: Style,
    /// What is wrong.
    pub(super) fault: Fault,
}

/// Reads one request. `version` is the `A2A-Version` field.
pub(super) fn read(
    method: &Method,
    path: &str,
    version: Option<&str>,
    body: &[u8],
) -> Result<(Style, Operation), Refusal> {
    if method == Method::POST && !path.contains("/message:") && !path.contains("/tasks/") {
        return read_rpc(version, body);
    }
    let style = Style { generation: Generation::V10, binding: Binding::Rest };
    if matches!(spoken(version), Err(()) | Ok(Some(Generation::V03))) {
        return Err(Refusal { style, fault: Fault::VersionNotSupported });
    }
    match read_rest(method, path, body) {
        Ok(operation) => Ok((style, operation)),
        Err(fault) => Err(Refusal { style, fault }),
    }
}

fn read_rpc(version: Option<&str>, body: &[u8]) -> Result<(Style, Operation), Refusal> {
    let spoken = spoken(version);
    let fallback = spoken.ok().flatten().unwrap_or(Generation::V03);
    let refuse =
        |id: Value, generation, fault| Refusal { style: Style { generation, binding: Binding::Rpc(id) }, fault };

    let request: Value =
        serde_json::from_slice(body).map_err(|_not_json| refuse(Value::Null, fallback, Fault::Parse))?;
    let id = request.get("id").cloned().unwrap_or(Value::Null);
    if spoken.is_err() {
        return Err(refuse(id, fallback, Fault::VersionNotSupported));
    }
    let is_rpc = request.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
    let Some(method) = request.get("method").and_then(Value::as_str).filter(|_| is_rpc) else {
        return Err(refuse(id, fallback, Fault::InvalidRequest));
    };
    // The spelling tells the generations apart more reliably than the header, which people forget in a first `curl`.
    let generation = if method.contains('/') { Generation::V03 } else { Generation::V10 };
    let params = request.get("params").unwrap_or(&Value::Null);
    match rpc_operation(method, params) {
        Ok(operation) => Ok((Style { generation, binding: Binding::Rpc(id) }, operation)),
        Err(fault) => Err(refuse(id, generation, fault)),
    }
}

fn rpc_operation(method: &str, params: &Value) -> Result<Operation, Fault> {
    match method {
        "SendMessage" | "message/send" => send(params),
        "SendStreamingMessage" | "message/stream" => message(params).map(Operation::Stream),
        "GetTask" | "tasks/get" => task_id(params).map(Operation::Get),
        "ListTasks" => Ok(Operation::List(params.get("contextId").and_then(Value::as_str).map(str::to_owned))),
        "CancelTask" | "tasks/cancel" => task_id(params).map(Operation::Cancel),
        "SubscribeToTask" | "tasks/resubscribe" => task_id(params).map(Operation::Subscribe),
        "GetExtendedAgentCard" | "agent/getAuthenticatedExtendedCard" => Err(Fault::NoExtendedCard),
        other if other.contains("ushNotificationConfig") => Err(Fault::PushNotSupported),
        _ => Err(Fault::MethodNotFound),
    }
}

fn read_rest(method: &Method, path: &str, body: &[u8]) -> Result<Operation, Fault> {
    if method == Method::POST && (path.ends_with("/message:send") || path.ends_with("/message:stream")) {
        let params: Value = serde_json::from_slice(body).map_err(|_not_json| Fault::Parse)?;
        let is_stream = path.ends_with(":stream");
        return if is_stream { message(&params).map(Operation::Stream) } else { send(&params) };
    }
    if method == Method::GET && path.ends_with("/extendedAgentCard") {
        return Err(Fault::NoExtendedCard);
    }
    if method == Method::GET && path.ends_with("/tasks") {
        return Ok(Operation::List(None));
    }
    let Some((_, rest)) = path.split_once("/tasks/") else {
        return Err(Fault::MethodNotFound);
    };
    if rest.contains("/pushNotificationConfigs") {
        return Err(Fault::PushNotSupported);
    }
    match (method, rest.rsplit_once(':')) {
        (&Method::POST, Some((id, "cancel"))) => Ok(Operation::Cancel(id.to_owned())),
        (&Method::GET | &Method::POST, Some((id, "subscribe"))) => Ok(Operation::Subscribe(id.to_owned())),
        (&Method::GET, _) => Ok(Operation::Get(rest.to_owned())),
        _ => Err(Fault::MethodNotFound),
    }
}

fn send(params: &Value) -> Result<Operation, Fault> {
    let flag = |name: &str| params.get("configuration")?.get(name)?.as_bool();
    let at_once = flag("returnImmediately") == Some(true) || flag("blocking") == Some(false);
    Ok(Operation::Send { message: message(params)?, at_once })
}

fn message(params: &Value) -> Result<Value, Fault> {
    let message = params.get("message").ok_or(Fault::InvalidParams)?;
    let has_parts = message.get("parts").is_some_and(Value::is_array);
    if has_parts { Ok(message.clone()) } else { Err(Fault::InvalidParams) }
}

fn task_id(params: &Value) -> Result<String, Fault> {
    params.get("id").and_then(Value::as_str).map(str::to_owned).ok_or(Fault::InvalidParams)
}

/// The generation `A2A-Version` names, by major and minor number; nothing when it is not there.
fn spoken(version: Option<&str>) -> Result<Option<Generation>, ()> {
    let Some(version) = version.map(str::trim).filter(|version| !version.is_empty()) else {
        return Ok(None);
    };
    let mut numbers = version.split('.');
    match (numbers.next(), numbers.next()) {
        (Some("1"), Some("0") | None) => Ok(Some(Generation::V10)),
        (Some("0"), Some("3")) => Ok(Some(Generation::V03)),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn rpc(method: &str, params: &Value) -> Result<(Style, Operation), Refusal> {
        let body = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        read(&Method::POST, "/", None, body.to_string().as_bytes())
    }

    #[test]
    fn the_spelling_decides_the_generation() {
        let params = json!({ "message": { "parts": [{ "text": "hi" }] } });
        for (method, generation) in [("SendMessage", Generation::V10), ("message/send", Generation::V03)] {
            let (style, operation) = rpc(method, &params).unwrap();
            assert_eq!(style, Style { generation, binding: Binding::Rpc(json!(7)) }, "{method}");
            assert!(matches!(operation, Operation::Send { at_once: false, .. }), "{method}");
        }
    }

    #[test]
    fn a_caller_may_ask_for_no_more_than_the_task() {
        for (configuration, wanted) in [
            (json!({ "returnImmediately": true }), true),
            (json!({ "blocking": false }), true),
            (json!({ "returnImmediately": false }), false),
            (json!({ "blocking": true }), false),
            (json!({}), false),
        ] {
            let params = json!({ "message": { "parts": [] }, "configuration": configuration });
            let (_, operation) = rpc("SendMessage", &params).unwrap();
            assert!(matches!(operation, Operation::Send { at_once, .. } if at_once == wanted), "{params}");
        }
    }

    #[test]
    fn rest_paths_are_read_with_their_verbs() {
        let cases = [
            (Method::GET, "/tasks/a%20b", Operation::Get("a%20b".into())),
            (Method::POST, "/tasks/x:cancel", Operation::Cancel("x".into())),
            (Method::POST, "/tasks/x:subscribe", Operation::Subscribe("x".into())),
            (Method::GET, "/tasks/x:subscribe", Operation::Subscribe("x".into())),
            (Method::GET, "/tasks", Operation::List(None)),
        ];
        for (method, path, wanted) in cases {
            let (style, operation) = read(&method, path, Some("1.0"), b"").unwrap();
            assert_eq!((style.binding, operation), (Binding::Rest, wanted), "{method} {path}");
        }
    }

    #[test]
    fn what_cannot_be_served_says_so() {
        let cases = [
            ("Nonsense", json!({}), Fault::MethodNotFound),
            ("SendMessage", json!({}), Fault::InvalidParams),
            ("GetTask", json!({ "id": 5 }), Fault::InvalidParams),
            ("CreateTaskPushNotificationConfig", json!({}), Fault::PushNotSupported),
            ("tasks/pushNotificationConfig/set", json!({}), Fault::PushNotSupported),
            ("GetExtendedAgentCard", json!({}), Fault::NoExtendedCard),
        ];
        for (method, params, fault) in cases {
            assert_eq!(rpc(method, &params).unwrap_err().fault, fault, "{method}");
        }
        let broken = read(&Method::POST, "/", None, b"{").unwrap_err();
        assert_eq!((broken.fault, broken.style.binding), (Fault::Parse, Binding::Rpc(Value::Null)));
        let version = read(&Method::POST, "/", Some("9.1"), br#"{"jsonrpc":"2.0","id":1,"method":"GetTask"}"#);
        assert_eq!(version.unwrap_err().fault, Fault::VersionNotSupported);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(path in "/[ -~]{0,40}", version in "[ -~]{0,8}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for method in [Method::GET, Method::POST] {
                drop(read(&method, &path, Some(&version), &body));
            }
        }
    }
}
