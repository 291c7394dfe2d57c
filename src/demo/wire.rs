//! The two generations of A2A JSON the demo agents speak: 1.0 (ProtoJSON names, no `kind`) and 0.3 (`kind`, `final`).
//! Pure functions from a task to JSON.

use serde_json::{Value, json};

use super::task::{Event, Snapshot, State, Task};

/// A generation of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generation {
    /// A2A 0.3.
    V03,
    /// A2A 1.0.
    V10,
}

/// An error an agent answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The body is not JSON.
    Parse,
    /// The body is not a JSON-RPC request.
    InvalidRequest,
    /// No such method.
    MethodNotFound,
    /// The parameters lack something.
    InvalidParams,
    /// No task has this id.
    TaskNotFound,
    /// The task is over.
    TaskNotCancelable,
    /// The agent sends no push notifications.
    PushNotSupported,
    /// The operation makes no sense now, as subscribing to a finished task.
    Unsupported,
    /// There is no extended card.
    NoExtendedCard,
    /// `A2A-Version` names a version not spoken here.
    VersionNotSupported,
}

impl Fault {
    fn code(self) -> i32 {
        match self {
            Self::Parse => -32700,
            Self::InvalidRequest => -32600,
            Self::MethodNotFound => -32601,
            Self::InvalidParams => -32602,
            Self::TaskNotFound => -32001,
            Self::TaskNotCancelable => -32002,
            Self::PushNotSupported => -32003,
            Self::Unsupported => -32004,
            Self::NoExtendedCard => -32007,
            Self::VersionNotSupported => -32009,
        }
    }

    /// HTTP status of the REST form and its name; JSON-RPC always answers 200.
    pub(super) fn status(self) -> (u16, &'static str) {
        match self {
            Self::Parse | Self::InvalidRequest | Self::InvalidParams => (400, "INVALID_ARGUMENT"),
            Self::MethodNotFound | Self::TaskNotFound => (404, "NOT_FOUND"),
            Self::TaskNotCancelable
            | Self::PushNotSupported
            | Self::Unsupported
            | Self::NoExtendedCard
            | Self::VersionNotSupported => (400, "FAILED_PRECONDITION"),
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Parse => "PARSE_ERROR",
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::MethodNotFound => "METHOD_NOT_FOUND",
            Self::InvalidParams => "INVALID_PARAMS",
            Self::TaskNotFound => "TASK_NOT_FOUND",
            Self::TaskNotCancelable => "TASK_NOT_CANCELABLE",
            Self::PushNotSupported => "PUSH_NOTIFICATION_NOT_SUPPORTED",
            Self::Unsupported => "UNSUPPORTED_OPERATION",
            Self::NoExtendedCard => "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
            Self::VersionNotSupported => "VERSION_NOT_SUPPORTED",
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Parse => "the body is not valid JSON",
            Self::InvalidRequest => "not a JSON-RPC 2.0 request",
            Self::MethodNotFound => "no such method",
            Self::InvalidParams => "parameters are missing or wrong",
            Self::TaskNotFound => "no task has this id",
            Self::TaskNotCancelable => "the task is already over",
            Self::PushNotSupported => "this agent sends no push notifications",
            Self::Unsupported => "the task is over, there is nothing to follow",
            Self::NoExtendedCard => "this agent has no extended card",
            Self::VersionNotSupported => "this agent speaks A2A 1.0 and 0.3",
        }
    }

    /// The `error` member of a JSON-RPC answer.
    pub(super) fn rpc(self, generation: Generation) -> Value {
        let (code, message) = (self.code(), self.text());
        match generation {
            Generation::V10 => json!({ "code": code, "message": message, "data": [self.info()] }),
            Generation::V03 => json!({ "code": code, "message": message }),
        }
    }

    /// The body of a REST answer.
    pub(super) fn rest(self) -> Value {
        let (status, name) = self.status();
        let details = [self.info()];
        json!({ "error": { "code": status, "status": name, "message": self.text(), "details": details } })
    }

    fn info(self) -> Value {
        let kind = "type.googleapis.com/google.rpc.ErrorInfo";
        json!({ "@type": kind, "reason": self.reason(), "domain": "a2a-protocol.org" })
    }
}

/// A whole task, as get and cancel answer it.
pub(super) fn task(task: &Task, now: &Snapshot, generation: Generation) -> Value {
    let mut value = json!({
        "id": task.id,
        "contextId": task.context,
        "status": { "state": state(now.state, generation) },
        "history": [message(task, generation)],
    });
    let Some(fields) = value.as_object_mut() else {
        return value;
    };
    if !now.text.is_empty() {
        fields.insert("artifacts".into(), json!([artifact(&now.text, generation)]));
    }
    if generation == Generation::V03 {
        fields.insert("kind".into(), "task".into());
    }
    value
}

/// A whole task, as send answers it and as a stream begins.
pub(super) fn sent(subject: &Task, now: &Snapshot, generation: Generation) -> Value {
    let value = task(subject, now, generation);
    match generation {
        Generation::V10 => json!({ "task": value }),
        Generation::V03 => value,
    }
}

/// One event of a stream.
pub(super) fn event(task: &Task, event: &Event, generation: Generation) -> Value {
    match (event, generation) {
        (Event::Status(to), Generation::V10) => json!({ "statusUpdate": {
            "taskId": task.id, "contextId": task.context, "status": { "state": state(*to, generation) },
        } }),
        (Event::Status(to), Generation::V03) => json!({
            "kind": "status-update", "taskId": task.id, "contextId": task.context,
            "status": { "state": state(*to, generation) }, "final": to.is_terminal(),
        }),
        (Event::Piece { text, append, last }, Generation::V10) => json!({ "artifactUpdate": {
            "taskId": task.id, "contextId": task.context, "artifact": artifact(text, generation),
            "append": append, "lastChunk": last,
        } }),
        (Event::Piece { text, append, last }, Generation::V03) => json!({
            "kind": "artifact-update", "taskId": task.id, "contextId": task.context,
            "artifact": artifact(text, generation), "append": append, "lastChunk": last,
        }),
    }
}

/// The text a message carries: all its text parts, of either generation.
pub(super) fn text_of(message: &Value) -> String {
    let parts = message.get("parts").and_then(Value::as_array);
    let texts = parts.into_iter().flatten().filter_map(|part| part.get("text")?.as_str());
    texts.collect::<Vec<_>>().join(" ")
}

fn state(state: State, generation: Generation) -> &'static str {
    match (state, generation) {
        (State::Submitted, Generation::V10) => "TASK_STATE_SUBMITTED",
        (State::Working, Generation::V10) => "TASK_STATE_WORKING",
        (State::Completed, Generation::V10) => "TASK_STATE_COMPLETED",
        (State::Canceled, Generation::V10) => "TASK_STATE_CANCELED",
        (State::Submitted, Generation::V03) => "submitted",
        (State::Working, Generation::V03) => "working",
        (State::Completed, Generation::V03) => "completed",
        (State::Canceled, Generation::V03) => "canceled",
    }
}

fn artifact(text: &str, generation: Generation) -> Value {
    json!({ "artifactId": "reply", "name": "reply", "parts": [part(text, generation)] })
}

fn part(text: &str, generation: Generation) -> Value {
    match generation {
        Generation::V10 => json!({ "text": text }),
        Generation::V03 => json!({ "kind": "text", "text": text }),
    }
}

fn message(task: &Task, generation: Generation) -> Value {
    let text = text_of(&task.message);
    let id = task.message.get("messageId").and_then(Value::as_str).unwrap_or_default();
    match generation {
        Generation::V10 => json!({
            "messageId": id, "role": "ROLE_USER", "taskId": task.id, "contextId": task.context,
            "parts": [part(&text, generation)],
        }),
        Generation::V03 => json!({
            "kind": "message", "messageId": id, "role": "user", "taskId": task.id, "contextId": task.context,
            "parts": [part(&text, generation)],
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Task {
        Task::new("t-1".into(), "c-1".into(), json!({ "messageId": "m-1", "parts": [{ "text": "hello" }] }))
    }

    #[test]
    fn only_the_older_generation_has_kind_and_final() {
        let subject = example();
        let end = Event::Status(State::Completed);
        let old = event(&subject, &end, Generation::V03);
        assert_eq!((&old["kind"], &old["final"]), (&json!("status-update"), &json!(true)));
        let new = event(&subject, &end, Generation::V10);
        assert_eq!(new["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
        assert!(new["statusUpdate"].get("final").is_none(), "1.0 has no end marker");
    }

    #[test]
    fn send_wraps_the_task_only_in_the_newer_generation() {
        let subject = example();
        let now = subject.snapshot();
        assert_eq!(sent(&subject, &now, Generation::V10)["task"]["id"], "t-1");
        let old = sent(&subject, &now, Generation::V03);
        assert_eq!((&old["kind"], &old["id"]), (&json!("task"), &json!("t-1")));
        assert_eq!(task(&subject, &now, Generation::V10)["id"], "t-1", "get answers the bare task");
    }

    #[test]
    fn error_details_come_with_the_newer_generation_only() {
        assert_eq!(Fault::TaskNotFound.rpc(Generation::V10)["data"][0]["reason"], "TASK_NOT_FOUND");
        assert!(Fault::TaskNotFound.rpc(Generation::V03).get("data").is_none(), "0.3 has no ErrorInfo");
        assert_eq!(Fault::TaskNotFound.rest()["error"]["status"], "NOT_FOUND");
    }

    #[test]
    fn text_comes_from_text_parts_only() {
        let message = json!({ "parts": [{ "kind": "text", "text": "a" }, { "data": {} }, { "text": "b" }] });
        assert_eq!(text_of(&message), "a b");
        assert_eq!(text_of(&json!({ "parts": "odd" })), "");
    }
}
