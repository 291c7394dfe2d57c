//! An agent of A2A with a store of its own, as the SDKs have it: a task that another replica made is unknown here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{Backend, Body, Place, Reply, Speak, full, grpc_agent, post, with_field};

/// The replica.
#[derive(Debug)]
pub(crate) struct Agent {
    backend: Backend,
    /// Where it takes gRPC calls, if anywhere.
    grpc: Option<Backend>,
    store: Arc<Store>,
}

/// What it has and what it was asked, whichever binding that came by.
#[derive(Debug)]
pub(super) struct Store {
    name: &'static str,
    /// Task to context, and whether it is over.
    tasks: Mutex<BTreeMap<String, (String, bool)>>,
    /// Operations served, as `method task`.
    served: Mutex<Vec<String>>,
    /// Heads of the requests.
    heads: Mutex<Vec<(Uri, HeaderMap)>>,
}

impl Agent {
    /// A replica whose tasks are called `{name}-1`, `{name}-2` and so on.
    pub(crate) async fn new(name: &'static str) -> Self {
        let store =
            Arc::new(Store { name, tasks: Mutex::default(), served: Mutex::default(), heads: Mutex::default() });
        let shared = Arc::clone(&store);
        let backend = Backend::handling(move |request| {
            let store = Arc::clone(&shared);
            async move { store.answer(request).await }
        })
        .await;
        Self { backend, grpc: None, store }
    }

    /// One that takes gRPC calls at a second port.
    pub(crate) async fn with_grpc(name: &'static str) -> Self {
        let agent = Self::new(name).await;
        let speak = Speak { http2: true, ..Speak::default() };
        let grpc = grpc_agent::serve(Arc::clone(&agent.store), speak).await;
        Self { grpc: Some(grpc), ..agent }
    }

    /// Its port for gRPC.
    pub(crate) fn grpc(&self) -> &Backend {
        self.grpc.as_ref().expect("it has a binding for gRPC")
    }

    pub(crate) async fn three() -> [Self; 3] {
        [Self::new("one").await, Self::new("two").await, Self::new("three").await]
    }

    /// Tasks it has made.
    pub(crate) fn tasks(&self) -> usize {
        self.store.tasks.lock().unwrap().len()
    }

    /// How often it was asked for that operation on that task.
    pub(crate) fn served(&self, method: &str, task: &str) -> usize {
        let wanted = format!("{method} {task}");
        self.store.served.lock().unwrap().iter().filter(|served| **served == wanted).count()
    }

    /// Targets and fields of the requests so far.
    pub(crate) fn heads(&self) -> Vec<(Uri, HeaderMap)> {
        self.store.heads.lock().unwrap().clone()
    }
}

impl Place for Agent {
    fn place(&self) -> String {
        self.backend.place()
    }
}

impl Store {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let query = request.uri().query().unwrap_or_default().to_owned();
        self.note(&request);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let task = path.split_once("/tasks/").map(|(_, id)| id.to_owned());
        match (method.as_str(), task) {
            ("GET", None) if path.ends_with("/tasks") => {
                let context = query.split('&').find_map(|pair| pair.strip_prefix("contextId="));
                rest(Ok(self.list("ListTasks", context.unwrap_or_default())))
            }
            ("GET" | "POST", Some(id)) if id.ends_with(":subscribe") => {
                rest(self.get("SubscribeToTask", id.trim_end_matches(":subscribe")))
            }
            ("GET", Some(id)) => rest(self.get("GetTask", &id)),
            ("POST", Some(id)) if id.ends_with(":cancel") => {
                rest(self.cancel("CancelTask", id.trim_end_matches(":cancel")))
            }
            ("POST", _) if path.ends_with("/message:send") => rest(self.send("SendMessage", &body, true)),
            _ => self.json_rpc(&body),
        }
    }

    /// Notes the head of a request.
    pub(super) fn note(&self, request: &Request<Incoming>) {
        self.heads.lock().unwrap().push((request.uri().clone(), request.headers().clone()));
    }

    fn json_rpc(&self, call: &Value) -> Response<Body> {
        let (method, params) = (call["method"].as_str().unwrap_or_default(), &call["params"]);
        let id = params["id"].as_str().unwrap_or_default();
        let is_current = !method.contains('/');
        let result = match method {
            "SendMessage" | "message/send" => self.send(method, params, is_current),
            "GetTask" | "tasks/get" => self.get(method, id),
            "ListTasks" => Ok(self.list(method, params["contextId"].as_str().unwrap_or_default())),
            "CancelTask" | "tasks/cancel" => self.cancel(method, id),
            "SendStreamingMessage" | "message/stream" => {
                return self.stream(&call["id"], self.send(method, params, is_current), is_current);
            }
            "SubscribeToTask" | "tasks/resubscribe" => {
                let task = self.get(method, id);
                return self.stream(&call["id"], task.map(|task| json!({ "task": task })), is_current);
            }
            "Crash" => Err((-32603, "internal")),
            _ => Err((-32601, "no such method")),
        };
        let answer = match result {
            Ok(result) => json!({ "result": result, "jsonrpc": "2.0", "id": call["id"] }),
            Err((code, message)) => error(&call["id"], code, message),
        };
        reply(200, &answer)
    }

    pub(super) fn send(&self, method: &str, params: &Value, is_current: bool) -> Result<Value, (i64, &'static str)> {
        let message = &params["message"];
        let mut tasks = self.tasks.lock().unwrap();
        let id = match message["taskId"].as_str() {
            Some(id) if tasks.contains_key(id) => id.to_owned(),
            Some(_) => return Err(NOT_FOUND),
            None => format!("{}-{}", self.name, tasks.len() + 1),
        };
        let context = message["contextId"].as_str().map_or_else(|| format!("context-{id}"), ToOwned::to_owned);
        let is_over = message["parts"][0]["text"] == "finish";
        tasks.insert(id.clone(), (context, is_over));
        drop(tasks);
        self.served.lock().unwrap().push(format!("{method} {id}"));
        let task = self.task(&id).unwrap();
        Ok(if is_current { json!({ "task": task }) } else { task })
    }

    pub(super) fn get(&self, method: &str, id: &str) -> Result<Value, (i64, &'static str)> {
        self.served.lock().unwrap().push(format!("{method} {id}"));
        self.task(id).ok_or(NOT_FOUND)
    }

    /// The tasks of a context.
    fn list(&self, method: &str, context: &str) -> Value {
        self.served.lock().unwrap().push(format!("{method} {context}"));
        let ids: Vec<String> =
            self.tasks.lock().unwrap().iter().filter(|task| task.1.0 == context).map(|task| task.0.clone()).collect();
        let tasks: Vec<Value> = ids.iter().filter_map(|id| self.task(id)).collect();
        json!({ "tasks": tasks, "nextPageToken": "", "pageSize": 1, "totalSize": tasks.len() })
    }

    pub(super) fn cancel(&self, method: &str, id: &str) -> Result<Value, (i64, &'static str)> {
        self.served.lock().unwrap().push(format!("{method} {id}"));
        self.tasks.lock().unwrap().get_mut(id).ok_or(NOT_FOUND)?.1 = true;
        self.task(id).ok_or(NOT_FOUND)
    }

    fn task(&self, id: &str) -> Option<Value> {
        let (context, is_over) = self.tasks.lock().unwrap().get(id)?.clone();
        let state = if is_over { "TASK_STATE_COMPLETED" } else { "TASK_STATE_WORKING" };
        Some(json!({ "id": id, "contextId": context, "kind": "task", "status": { "state": state } }))
    }

    /// The task, and its end.
    fn stream(&self, call: &Value, task: Result<Value, (i64, &'static str)>, is_current: bool) -> Response<Body> {
        let result = match task {
            Ok(result) => result,
            Err((code, message)) => return reply(200, &error(call, code, message)),
        };
        let id = if is_current { &result["task"]["id"] } else { &result["id"] };
        let update = json!({ "taskId": id, "kind": "status-update", "final": true,
            "status": { "state": "TASK_STATE_COMPLETED" } });
        let update = if is_current { json!({ "statusUpdate": update }) } else { update };
        let event =
            |result: &Value| format!("data: {}\r\n\r\n", json!({ "jsonrpc": "2.0", "id": call, "result": result }));
        let text = event(&result) + &event(&update);
        Response::builder().header("content-type", "text/event-stream").body(full(text)).unwrap()
    }
}

fn error(id: &Value, code: i64, message: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
}

fn rest(result: Result<Value, (i64, &'static str)>) -> Response<Body> {
    match result {
        Ok(result) => reply(200, &result),
        Err((_, message)) => {
            reply(404, &json!({ "error": { "code": 404, "status": "NOT_FOUND", "message": message } }))
        }
    }
}

fn reply(status: u16, answer: &Value) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(full(answer.to_string())).unwrap()
}

/// A call by JSON-RPC, in the order of the Python SDK: the id comes last.
pub(crate) fn call(method: &str, params: &Value) -> Request<Body> {
    let text = format!(r#"{{"method":"{method}","params":{params},"id":"call-7","jsonrpc":"2.0"}}"#);
    with_field("content-type", "application/json", post("/", text))
}

/// What an answer says.
pub(crate) fn says(reply: &Reply) -> Value {
    serde_json::from_str(reply.text()).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

/// The parameters of a call that sends a message; `rest` is in the message too.
pub(crate) fn message(rest: &Value) -> Value {
    let mut message = json!({ "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] });
    message.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({ "message": message })
}

const NOT_FOUND: (i64, &str) = (-32001, "task not found");
