//! Questions of the gateway itself: does this agent hold that task, or that context? They are asked the way the client
//! asks: in its binding, generation and tenant (A2A 1.0 sections 3.1.3, 3.1.4 and 9 to 11; 0.3 section 7.3).

use std::borrow::Cow;

use http::Method;
use serde_json::json;

use super::operation::{Binding, Generation, Operation};
use super::path::RestPath;
use super::request::Ids;
use super::wire::{framed, put_text};

/// What an agent is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A task.
    Task(&'a str),
    /// A task, with all that belongs to it.
    Whole(&'a str),
    /// A context, of which a task is wanted.
    Context(&'a str),
    /// The further events of a task.
    Events(&'a str),
}

/// Whether an agent holds something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// How it is carried.
    pub binding: Binding,
    /// In whose shape.
    pub generation: Generation,
    /// What it is about.
    pub subject: Subject<'a>,
    /// The tenant that the client names in its body.
    pub tenant: Option<&'a str>,
    /// The id of a JSON-RPC call whose answer the client gets, as it wrote it.
    pub id: Option<&'a str>,
}

impl<'a> Question<'a> {
    /// Who holds what such a call is about. `None` when it is about nothing that exists already, or agents of this
    /// generation cannot be asked.
    #[must_use]
    pub fn of(operation: Operation, binding: Binding, generation: Generation, ids: &Ids<'a>) -> Option<Self> {
        // Clients of 0.1 make the ids of new tasks.
        if operation.is_send() && generation == Generation::V0_1 {
            return None;
        }
        let is_current = generation == Generation::V1_0;
        let subject = match (ids.task, ids.context) {
            (Some(task), _) => Subject::Task(task),
            (None, Some(context)) if is_current => Subject::Context(context),
            (None, _) => return None,
        };
        Some(Self { binding, generation, subject, tenant: ids.tenant.filter(|_| is_current), id: None })
    }

    /// The further events of `task`, for a client whose call has these ids: `ids` of A2A, `id` of JSON-RPC.
    #[must_use]
    pub fn events(binding: Binding, generation: Generation, task: &'a str, ids: &Ids<'a>, id: Option<&'a str>) -> Self {
        let tenant = ids.tenant.filter(|_| generation == Generation::V1_0);
        Self { binding, generation, subject: Subject::Events(task), tenant, id }
    }

    /// The whole of `task`, for the same client.
    #[must_use]
    pub fn whole(binding: Binding, generation: Generation, task: &'a str, ids: &Ids<'a>) -> Self {
        Self { subject: Subject::Whole(task), ..Self::events(binding, generation, task, ids, None) }
    }

    /// The operation that asks.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self.subject {
            Subject::Task(_) | Subject::Whole(_) => Operation::GetTask,
            Subject::Context(_) => Operation::ListTasks,
            Subject::Events(_) => Operation::SubscribeToTask,
        }
    }

    /// The method of HTTP.
    #[must_use]
    pub const fn method(&self) -> Method {
        match (self.binding, self.subject) {
            // Both are served; clients post (A2A 1.0 section 11.3).
            (Binding::Rest, Subject::Task(_) | Subject::Whole(_) | Subject::Context(_)) => Method::GET,
            (Binding::Rest, Subject::Events(_)) | (Binding::JsonRpc | Binding::Grpc, _) => Method::POST,
        }
    }

    /// The path to ask, from method and path of the client's call.
    #[must_use]
    pub fn path<'p>(&self, method: &Method, path: &'p str) -> Option<Cow<'p, str>> {
        Some(match (self.binding, self.subject) {
            (Binding::JsonRpc, _) => Cow::Borrowed(path),
            (Binding::Grpc, _) => Cow::Owned(format!("{}/{}", path.rsplit_once('/')?.0, self.grpc_name())),
            (Binding::Rest, subject) => {
                let prefix = RestPath::read(method, path)?.prefix;
                Cow::Owned(match subject {
                    Subject::Context(_) => format!("{prefix}/tasks"),
                    Subject::Task(task) | Subject::Whole(task) => format!("{prefix}/tasks/{}", path_segment(task)),
                    Subject::Events(task) => format!("{prefix}/tasks/{}:subscribe", path_segment(task)),
                })
            }
        })
    }

    fn grpc_name(&self) -> &'static str {
        match (self.subject, self.generation) {
            (Subject::Events(_), Generation::V0_1 | Generation::V0_3) => "TaskSubscription",
            _ => self.operation().name(),
        }
    }

    /// The query to ask with: the client's, which may hold its key or version, without what narrows an answer.
    #[must_use]
    pub fn query(&self, query: Option<&str>) -> Option<String> {
        if self.binding != Binding::Rest {
            return query.map(ToOwned::to_owned);
        }
        let kept = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !narrows(pair));
        let mut pairs: Vec<Cow<'_, str>> = kept.map(Cow::Borrowed).collect();
        match self.subject {
            Subject::Events(_) | Subject::Whole(_) => return (!pairs.is_empty()).then(|| pairs.join("&")),
            Subject::Task(_) => {}
            Subject::Context(context) => {
                pairs.push(Cow::Owned(format!("contextId={}", path_segment(context))));
                pairs.push(Cow::Borrowed("pageSize=1"));
            }
        }
        pairs.push(Cow::Borrowed("historyLength=0"));
        Some(pairs.join("&"))
    }

    /// The body to ask with.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        match self.binding {
            Binding::Rest => Vec::new(),
            Binding::JsonRpc => self.json().into_bytes(),
            Binding::Grpc => framed(&self.message(), &[]),
        }
    }

    fn json(&self) -> String {
        let method = match (self.generation, self.subject) {
            (Generation::V1_0, Subject::Task(_) | Subject::Whole(_)) => "GetTask",
            (Generation::V0_1 | Generation::V0_3, Subject::Task(_) | Subject::Whole(_)) => "tasks/get",
            (_, Subject::Context(_)) => "ListTasks",
            (Generation::V1_0, Subject::Events(_)) => "SubscribeToTask",
            (Generation::V0_1 | Generation::V0_3, Subject::Events(_)) => "tasks/resubscribe",
        };
        let mut params = match self.subject {
            Subject::Task(task) => json!({ "id": task, "historyLength": 0 }),
            Subject::Context(context) => json!({ "contextId": context, "pageSize": 1, "historyLength": 0 }),
            Subject::Events(task) | Subject::Whole(task) => json!({ "id": task }),
        };
        if let (Some(tenant), Some(params)) = (self.tenant, params.as_object_mut()) {
            params.insert("tenant".to_owned(), tenant.into());
        }
        // Written by hand, because the id is the caller's in the caller's spelling.
        let id = self.id.unwrap_or(r#""attache""#);
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#)
    }

    fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        match (self.generation, self.subject) {
            (Generation::V1_0, Subject::Task(task)) => {
                put_text(&mut message, 1, self.tenant.unwrap_or_default());
                put_text(&mut message, 2, task);
                // History: none.
                message.extend([3 << 3, 0]);
            }
            (Generation::V1_0, Subject::Events(task) | Subject::Whole(task)) => {
                put_text(&mut message, 1, self.tenant.unwrap_or_default());
                put_text(&mut message, 2, task);
            }
            (_, Subject::Task(task) | Subject::Events(task) | Subject::Whole(task)) => {
                put_text(&mut message, 1, &format!("tasks/{task}"));
            }
            (_, Subject::Context(context)) => {
                put_text(&mut message, 1, self.tenant.unwrap_or_default());
                put_text(&mut message, 2, context);
                // A page of one, and no history.
                message.extend([4 << 3, 1, 6 << 3, 0]);
            }
        }
        message
    }
}

/// Whether a pair of a query says which tasks, or how much of them.
fn narrows(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    NARROWING.iter().any(|narrowing| name.eq_ignore_ascii_case(narrowing))
}

/// A text as one segment of a path, or a value of a query.
#[must_use]
pub fn path_segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(['%', digit(byte >> 4), digit(byte & 0xf)]);
        }
    }
    encoded
}

/// The digit of a number below 16.
fn digit(number: u8) -> char {
    char::from_digit(number.into(), 16).unwrap_or_default().to_ascii_uppercase()
}

/// Parameters of lists and of answers.
const NARROWING: [&str; 7] =
    ["contextId", "status", "pageSize", "pageToken", "historyLength", "includeArtifacts", "statusTimestampAfter"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::{Body, GrpcRequestReader};

    const TASK: Ids<'static> =
        Ids { task: Some("t/1 \"ü\""), context: Some("c"), message: None, tenant: Some("acme"), config: None };
    const CONTEXT: Ids<'static> = Ids { task: None, ..TASK };
    const NOTHING: Ids<'static> = Ids { context: None, ..CONTEXT };

    fn question(binding: Binding, generation: Generation, ids: &Ids<'static>) -> Question<'static> {
        Question::of(Operation::CancelTask, binding, generation, ids).unwrap()
    }

    #[test]
    fn only_what_exists_already_can_be_asked_for() {
        use Generation::{V0_1, V0_3, V1_0};
        use Operation::{CancelTask, GetTask, SendMessage};
        for (operation, generation, ids, expected) in [
            (GetTask, V1_0, TASK, Some(GetTask)),
            (SendMessage, V1_0, TASK, Some(GetTask)),
            (SendMessage, V0_3, TASK, Some(GetTask)),
            (SendMessage, V0_1, TASK, None),
            (CancelTask, V0_1, TASK, Some(GetTask)),
            (SendMessage, V1_0, CONTEXT, Some(Operation::ListTasks)),
            (SendMessage, V0_3, CONTEXT, None),
            (SendMessage, V1_0, NOTHING, None),
        ] {
            let asked = Question::of(operation, Binding::JsonRpc, generation, &ids).map(|asked| asked.operation());
            assert_eq!(asked, expected, "{operation:?} {generation:?} {ids:?}");
        }
    }

    #[test]
    fn a_question_of_json_rpc_is_a_call_of_its_generation() {
        for (generation, ids, method, is_tenant) in [
            (Generation::V1_0, TASK, "GetTask", true),
            (Generation::V0_3, TASK, "tasks/get", false),
            (Generation::V0_1, TASK, "tasks/get", false),
            (Generation::V1_0, CONTEXT, "ListTasks", true),
        ] {
            let asked = question(Binding::JsonRpc, generation, &ids);
            let body = Body::read(&asked.body()).unwrap();
            assert!(body.is_json_rpc() && !body.is_foreign() && !body.is_ambiguous());
            assert_eq!(body.method(), Some(method));
            let (operation, read) = body.operation().unwrap();
            let read = body.ids(operation, read);
            assert_eq!((read.task, read.tenant), (ids.task, ids.tenant.filter(|_| is_tenant)));
            assert_eq!(read.context, ids.context.filter(|_| ids.task.is_none()));
            assert_eq!(asked.path(&Method::POST, "/rpc").as_deref(), Some("/rpc"));
            assert_eq!(asked.query(Some("key=k")).as_deref(), Some("key=k"));
        }
    }

    #[test]
    fn a_question_of_grpc_is_a_message_of_its_package() {
        let long = "x".repeat(300);
        for (generation, ids, path) in [
            (Generation::V1_0, TASK, "/lf.a2a.v1.A2AService/GetTask"),
            (Generation::V0_3, Ids { context: None, ..TASK }, "/a2a.v1.A2AService/GetTask"),
            (Generation::V1_0, CONTEXT, "/lf.a2a.v1.A2AService/ListTasks"),
            (Generation::V1_0, Ids { task: Some(&long), ..TASK }, "/lf.a2a.v1.A2AService/GetTask"),
        ] {
            let asked = Question::of(Operation::CancelTask, Binding::Grpc, generation, &ids).unwrap();
            let called = path.replace("GetTask", "CancelTask").replace("ListTasks", "SendMessage");
            assert_eq!(asked.path(&Method::POST, &called).as_deref(), Some(path));
            let mut reader = GrpcRequestReader::new(asked.operation(), generation);
            assert!(reader.read(&asked.body()), "the message is whole");
            let body = reader.body().unwrap();
            let read = body.ids(asked.operation(), generation);
            let is_current = generation == Generation::V1_0;
            assert_eq!((read.task, read.tenant), (ids.task, ids.tenant.filter(|_| is_current)));
            assert_eq!(read.context, ids.context.filter(|_| ids.task.is_none()));
        }
    }

    #[test]
    fn a_question_of_rest_is_below_the_same_path() {
        let task = question(Binding::Rest, Generation::V1_0, &Ids { task: Some("t/1 ü"), ..TASK });
        let context = question(Binding::Rest, Generation::V1_0, &Ids { context: Some("c&d"), ..CONTEXT });
        for (asked, method, path, expected) in [
            (task, Method::POST, "/a/acme/tasks/t:cancel", Some("/a/acme/tasks/t%2F1%20%C3%BC")),
            (task, Method::POST, "/v1/message:send", Some("/v1/tasks/t%2F1%20%C3%BC")),
            (task, Method::GET, "/tasks/t/pushNotificationConfigs", Some("/tasks/t%2F1%20%C3%BC")),
            (task, Method::GET, "/elsewhere", None),
            (context, Method::POST, "/acme/message:stream", Some("/acme/tasks")),
            (context, Method::GET, "/tasks", Some("/tasks")),
        ] {
            assert_eq!(asked.path(&method, path).as_deref(), expected, "{path}");
            assert_eq!((asked.method(), asked.body()), (Method::GET, Vec::new()));
        }
        let client = "key=k&HistoryLength=9&status=working&A2A-Version=1.0&contextId=other";
        for (asked, query, expected) in [
            (task, None, "historyLength=0"),
            (task, Some(client), "key=k&A2A-Version=1.0&historyLength=0"),
            (context, Some(client), "key=k&A2A-Version=1.0&contextId=c%26d&pageSize=1&historyLength=0"),
        ] {
            assert_eq!(asked.query(query).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_whole_task_is_asked_for_without_what_narrows_it() {
        let ids = Ids { task: Some("t/1"), tenant: Some("acme"), ..Ids::default() };
        let asked = Question::whole(Binding::Rest, Generation::V1_0, "t/1", &ids);
        assert_eq!(asked.path(&Method::POST, "/acme/message:stream").as_deref(), Some("/acme/tasks/t%2F1"));
        assert_eq!((asked.method(), asked.operation()), (Method::GET, Operation::GetTask));
        assert_eq!(asked.query(Some("key=k&historyLength=3")).as_deref(), Some("key=k"));
        for (generation, expected) in [
            (Generation::V1_0, r#""method":"GetTask","params":{"id":"t/1","tenant":"acme"}}"#),
            (Generation::V0_3, r#""method":"tasks/get","params":{"id":"t/1"}}"#),
        ] {
            let asked = Question::whole(Binding::JsonRpc, generation, "t/1", &ids);
            assert!(String::from_utf8(asked.body()).unwrap().ends_with(expected));
            let asked = Question::whole(Binding::Grpc, generation, "t/1", &ids);
            let mut reader = GrpcRequestReader::new(Operation::GetTask, generation);
            assert!(reader.read(&asked.body()), "the message is whole");
            assert_eq!(reader.body().unwrap().ids(Operation::GetTask, generation).task, Some("t/1"));
        }
    }

    #[test]
    fn further_events_are_asked_for_in_the_callers_words() {
        let ids = Ids { task: Some("t/1"), tenant: Some("acme"), ..Ids::default() };
        for (binding, generation, path, expected, body) in [
            (Binding::JsonRpc, Generation::V1_0, "/rpc", "/rpc", Some(("SubscribeToTask", true))),
            (Binding::JsonRpc, Generation::V0_3, "/", "/", Some(("tasks/resubscribe", false))),
            (Binding::Rest, Generation::V1_0, "/acme/message:stream", "/acme/tasks/t%2F1:subscribe", None),
            (Binding::Rest, Generation::V0_3, "/v1/tasks/x:subscribe", "/v1/tasks/t%2F1:subscribe", None),
        ] {
            let asked = Question::events(binding, generation, "t/1", &ids, Some("7.50"));
            assert_eq!(asked.path(&Method::POST, path).as_deref(), Some(expected));
            assert_eq!((asked.method(), asked.operation()), (Method::POST, Operation::SubscribeToTask));
            let Some((method, is_tenant)) = body else {
                assert!(asked.body().is_empty());
                assert_eq!(asked.query(None), None);
                assert_eq!(asked.query(Some("key=k&historyLength=3")).as_deref(), Some("key=k"));
                continue;
            };
            let body = Body::read(&asked.body()).unwrap();
            assert_eq!((body.method(), body.id()), (Some(method), Some("7.50")));
            let read = body.ids(Operation::SubscribeToTask, generation);
            assert_eq!((read.task, read.tenant), (Some("t/1"), Some("acme").filter(|_| is_tenant)));
        }
        for (generation, called, path) in [
            (Generation::V1_0, "/lf.a2a.v1.A2AService/SendStreamingMessage", "/lf.a2a.v1.A2AService/SubscribeToTask"),
            (Generation::V0_3, "/a2a.v1.A2AService/SendStreamingMessage", "/a2a.v1.A2AService/TaskSubscription"),
        ] {
            let asked = Question::events(Binding::Grpc, generation, "t/1", &ids, None);
            assert_eq!(asked.path(&Method::POST, called).as_deref(), Some(path));
            let mut reader = GrpcRequestReader::new(Operation::SubscribeToTask, generation);
            assert!(reader.read(&asked.body()), "the message is whole");
            let body = reader.body().unwrap();
            assert_eq!(body.ids(Operation::SubscribeToTask, generation).task, Some("t/1"));
        }
    }
}
