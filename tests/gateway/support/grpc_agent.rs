//! The binding for gRPC of an agent of A2A 1.0, at a port of its own, and calls to it. Messages are written by hand:
//! fields of text and messages, each shorter than 128 bytes.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::agent::Store;
use super::{Backend, Body, Client, Reply, Speak, post, with_field, with_trailers};

/// Serves what is in `store`.
pub(super) async fn serve(store: Arc<Store>, speak: Speak) -> Backend {
    Backend::handling_as(speak, move |request| {
        let store = Arc::clone(&store);
        async move { answer(&store, request).await }
    })
    .await
}

async fn answer(store: &Store, request: Request<Incoming>) -> Response<Body> {
    store.note(&request);
    let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let message = body.get(5..).unwrap_or_default();
    let id = text(find(message, 2));
    let (result, status) = match &*method {
        "Check" => (Ok(vec![8, 1]), "0"),
        "SendMessage" => {
            let task = find(find(message, 2), 3);
            let params = if task.is_empty() { json!({}) } else { json!({ "taskId": text(task) }) };
            let sent = store.send("SendMessage", &json!({ "message": params }), true);
            (sent.map(|sent| field(1, &task_message(&sent["task"]))), "0")
        }
        "CancelTask" => (store.cancel("CancelTask", &id).map(|task| task_message(&task)), "0"),
        _ => (store.get("GetTask", &id).map(|task| task_message(&task)), "0"),
    };
    let (message, status) = result.map_or_else(|_| (None, "5"), |message| (Some(message), status));
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
    let framed = message.map(|message| framed(&message)).unwrap_or_default();
    Response::builder().header("content-type", "application/grpc").body(with_trailers(framed, trailers)).unwrap()
}

fn task_message(task: &Value) -> Vec<u8> {
    let state = if task["status"]["state"] == "TASK_STATE_COMPLETED" { 3 } else { 2 };
    let id = |name: &str| task[name].as_str().unwrap().to_owned();
    [field(1, id("id").as_bytes()), field(2, id("contextId").as_bytes()), field(3, &[8, state])].concat()
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let length = u8::try_from(value.len()).unwrap();
    assert!(length < 128, "one byte of length");
    [&[number << 3 | 2, length], value].concat()
}

fn find(message: &[u8], number: u8) -> &[u8] {
    let mut rest = message;
    while let [key, length, after @ ..] = rest {
        let (value, next) = after.split_at(usize::from(*length));
        if *key == number << 3 | 2 {
            return value;
        }
        rest = next;
    }
    &[]
}

fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec()).unwrap()
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A call by gRPC to a method of A2A 1.0.
pub(crate) fn grpc(method: &str, message: &[u8]) -> Request<Body> {
    grpc_at(&format!("/lf.a2a.v1.A2AService/{method}"), message)
}

/// A call by gRPC to a method by its path.
pub(crate) fn grpc_at(path: &str, message: &[u8]) -> Request<Body> {
    with_field("te", "trailers", with_field("content-type", "application/grpc", post(path, framed(message))))
}

/// A call by gRPC of a task; without a task it sends a message that makes one.
pub(crate) fn grpc_call(method: &str, task: Option<&str>) -> Request<Body> {
    let message = match (method, task) {
        ("SendMessage", None) => field(2, &field(1, b"m")),
        ("SendMessage", Some(task)) => field(2, &[field(1, b"m"), field(3, task.as_bytes())].concat()),
        (_, task) => field(2, task.unwrap_or_default().as_bytes()),
    };
    grpc(method, &message)
}

/// Asks by gRPC: the id of the task in the answer, or the status.
pub(crate) async fn ask_by_grpc(client: &mut Client, method: &str, task: Option<&str>) -> Result<String, String> {
    let reply: Reply = client.reply(grpc_call(method, task)).await;
    let from = |fields: Option<&HeaderMap>| Some(fields?.get("grpc-status")?.to_str().unwrap().to_owned());
    let status = from(reply.trailers.as_ref()).or_else(|| from(Some(&reply.headers))).expect("a status");
    if status != "0" {
        return Err(status);
    }
    let message = reply.body.get(5..).unwrap();
    let task = if method == "SendMessage" { find(message, 1) } else { message };
    Ok(text(find(task, 1)))
}
