//! The last events of a stream whose task ended while nobody listened, made of the agent's answer to `GetTask`: the
//! task as it is, and in older generations the event that ends a stream (A2A 1.0 section 3.1.2; 0.3 section 7.2; 0.1
//! `tasks/sendSubscribe`).

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::operation::{Binding, Generation};
use super::wire::{self, Framed};

/// How the events of a stream look for its client.
#[derive(Clone, Copy, Debug)]
pub struct EventShape<'a> {
    /// How they are carried.
    pub binding: Binding,
    /// Whose shape they have.
    pub generation: Generation,
    /// The id of a JSON-RPC call, as the client wrote it.
    pub id: Option<&'a str>,
}

impl EventShape<'_> {
    /// The events that end the stream. `answer` is the whole answer to `GetTask`, and tells of a task that is over;
    /// `None` where no events can be made of it.
    #[must_use]
    pub fn final_events(&self, answer: &[u8]) -> Option<Vec<u8>> {
        match self.binding {
            Binding::Grpc => message(answer),
            Binding::JsonRpc => {
                let answer: RpcAnswer<'_> = serde_json::from_slice(answer).ok()?;
                self.events(answer.result.get())
            }
            Binding::Rest => {
                let task: &RawValue = serde_json::from_slice(answer).ok()?;
                self.events(task.get())
            }
        }
    }

    fn events(&self, task: &str) -> Option<Vec<u8>> {
        let fields: Map<String, Value> = serde_json::from_str(task).ok()?;
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        let (id, context, status) = (field("id"), field("contextId"), field("status"));
        let (task, is_rest) = (task.to_owned(), self.binding == Binding::Rest);
        let events = match (self.generation, is_rest) {
            (Generation::V1_0, _) => vec![format!(r#"{{"task":{task}}}"#)],
            (Generation::V0_3, false) => {
                let end = json!({
                    "kind": "status-update", "taskId": id, "contextId": context, "status": status, "final": true,
                });
                vec![task, end.to_string()]
            }
            (Generation::V0_3, true) => {
                let end = json!({ "taskId": id, "contextId": context, "status": status, "final": true });
                vec![format!(r#"{{"task":{task}}}"#), json!({ "statusUpdate": end }).to_string()]
            }
            // It has no event for a whole task.
            (Generation::V0_1, _) => {
                let artifacts = fields.get("artifacts").and_then(Value::as_array).cloned().unwrap_or_default();
                let made = artifacts.iter().map(|artifact| json!({ "id": id, "artifact": artifact }).to_string());
                let end = json!({ "id": id, "status": status, "final": true }).to_string();
                made.chain([end]).collect()
            }
        };
        Some(events.iter().flat_map(|event| self.event(event).into_bytes()).collect())
    }

    fn event(&self, result: &str) -> String {
        let data = match (self.binding, self.id) {
            (Binding::JsonRpc, Some(id)) => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#),
            _ => result.to_owned(),
        };
        // A line break between two tokens of JSON would end the line; inside a text it is written out.
        let data = data.replace(['\r', '\n'], " ");
        format!("data: {data}\n\n")
    }
}

#[derive(Deserialize)]
struct RpcAnswer<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
}

/// `Task` as the first field of `StreamResponse`, framed.
fn message(answer: &[u8]) -> Option<Vec<u8>> {
    let Framed::Whole(task, b"") = wire::in_frame(answer) else { return None };
    let mut message = Vec::with_capacity(task.len() + 8);
    wire::put(&mut message, &[1 << 3 | 2], task);
    Some(wire::framed(&message, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(events: &[u8]) -> Vec<Value> {
        let text = std::str::from_utf8(events).unwrap();
        let blocks = text.split("\n\n").filter(|block| !block.is_empty());
        blocks.map(|block| serde_json::from_str(block.strip_prefix("data: ").unwrap()).unwrap()).collect()
    }

    #[test]
    fn events_are_in_the_callers_shape() {
        use Binding::{JsonRpc, Rest};
        use Generation::{V0_1, V0_3, V1_0};
        let task =
            json!({ "id": "t", "contextId": "c", "status": { "state": "completed" }, "artifacts": [{ "index": 0 }] });
        let ids = json!({ "taskId": "t", "contextId": "c", "status": { "state": "completed" }, "final": true });
        let mut end = ids.clone();
        end["kind"] = json!("status-update");
        let oldest = json!({ "id": "t", "status": { "state": "completed" }, "final": true });
        for (binding, generation, expected) in [
            (JsonRpc, V1_0, vec![json!({ "task": task })]),
            (JsonRpc, V0_3, vec![task.clone(), end]),
            (JsonRpc, V0_1, vec![json!({ "id": "t", "artifact": { "index": 0 } }), oldest]),
            (Rest, V1_0, vec![json!({ "task": task })]),
            (Rest, V0_3, vec![json!({ "task": task }), json!({ "statusUpdate": ids })]),
        ] {
            let answer = match binding {
                JsonRpc => json!({ "jsonrpc": "2.0", "id": "other", "result": task }),
                _ => task.clone(),
            };
            // As an agent may write it.
            let answer = serde_json::to_string_pretty(&answer).unwrap();
            let shape = EventShape { binding, generation, id: Some("7.50") };
            let events = shape.final_events(answer.as_bytes()).unwrap();
            let results = data(&events).into_iter().map(|mut event| {
                if binding == JsonRpc {
                    assert_eq!(event["id"].to_string(), "7.5");
                    event["result"].take()
                } else {
                    event
                }
            });
            assert_eq!(results.collect::<Vec<_>>(), expected, "{binding:?} {generation:?}");
        }
    }

    #[test]
    fn a_message_of_grpc_is_wrapped() {
        let shape = EventShape { binding: Binding::Grpc, generation: Generation::V1_0, id: None };
        assert_eq!(shape.final_events(b"\0\0\0\0\x03\x0a\x01t").unwrap(), b"\0\0\0\0\x05\x0a\x03\x0a\x01t");
        for broken in [&b""[..], b"\0\0\0\0\x04\x0a\x01t", b"\x01\0\0\0\x03\x0a\x01t", b"\0\0"] {
            assert_eq!(shape.final_events(broken), None);
        }
    }

    #[test]
    fn of_what_is_no_task_no_events_are_made() {
        for binding in [Binding::JsonRpc, Binding::Rest] {
            let shape = EventShape { binding, generation: Generation::V1_0, id: Some("1") };
            for answer in [&b""[..], b"[]", b"{\"result\":", b"7"] {
                assert_eq!(shape.final_events(answer), None);
            }
        }
    }
}
