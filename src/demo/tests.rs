//! The demo agents over real connections: shapes of both generations, the order of a stream, and the flaky one's
//! failures.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use super::*;

async fn agent(personality: Personality) -> Agent {
    Agent::start(personality, "127.0.0.1:0".parse().unwrap(), None).await.unwrap()
}

async fn exchange(agent: &Agent, method: Method, path: &str, body: &Value) -> hyper::Result<Response<Incoming>> {
    let stream = TcpStream::connect(agent.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(path).header("host", "agent");
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    sender.send_request(request.body(Full::new(body)).unwrap()).await
}

async fn ask(agent: &Agent, method: Method, path: &str, body: &Value) -> (StatusCode, String) {
    let response = exchange(agent, method, path, body).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn rpc(agent: &Agent, method: &str, params: Value) -> Value {
    let body = json!({ "jsonrpc": "2.0", "id": "x", "method": method, "params": params });
    let (status, text) = ask(agent, Method::POST, "/", &body).await;
    assert_eq!(status, StatusCode::OK, "JSON-RPC always answers 200: {text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["id"], "x", "the id is echoed");
    answer
}

fn events(text: &str) -> Vec<Value> {
    text.split("\n\n").filter_map(|block| serde_json::from_str(block.strip_prefix("data: ")?).ok()).collect()
}

fn hello() -> Value {
    json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } })
}

#[tokio::test]
async fn send_answers_a_finished_task_in_both_generations() {
    let agent = agent(Personality::Fast).await;
    let new = rpc(&agent, "SendMessage", hello()).await;
    assert_eq!(new["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert_eq!(new["result"]["task"]["artifacts"][0]["parts"][0]["text"], "fast 1.0.0 heard: hello");
    let old = rpc(&agent, "message/send", hello()).await;
    assert_eq!((&old["result"]["kind"], &old["result"]["status"]["state"]), (&json!("task"), &json!("completed")));
    let id = new["result"]["task"]["id"].clone();
    assert_eq!(rpc(&agent, "GetTask", json!({ "id": id })).await["result"]["id"], id, "get answers the bare task");
    assert_eq!(rpc(&agent, "ListTasks", json!({})).await["result"]["totalSize"], 2);
}

#[tokio::test]
async fn a_stream_is_task_working_pieces_completed() {
    let agent = agent(Personality::Second).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "message/stream", "params": hello() });
    let (_, text) = ask(&agent, Method::POST, "/", &body).await;
    let kinds: Vec<_> = events(&text).iter().map(|event| event["result"]["kind"].clone()).collect();
    assert_eq!(kinds.first(), Some(&json!("task")), "{text}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "artifact-update").count(), 2, "{text}");
    let last = events(&text).pop().unwrap();
    assert_eq!((&last["result"]["final"], &last["id"]), (&json!(true), &json!(1)));

    let (status, text) = ask(&agent, Method::POST, "/message:stream", &hello()).await;
    assert_eq!(status, StatusCode::OK);
    let events = events(&text);
    assert!(events[0].get("task").is_some(), "REST events have no envelope: {text}");
    assert_eq!(events.last().unwrap()["statusUpdate"]["status"]["state"], "TASK_STATE_COMPLETED");
    assert!(text.contains("second 2.0.0"), "it says which version answered");
}

#[tokio::test]
async fn a_slow_task_is_followed_and_cancelled() {
    let agent = agent(Personality::Slow).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": hello() });
    let mut stream = exchange(&agent, Method::POST, "/", &body).await.unwrap().into_body();
    let first = stream.frame().await.unwrap().unwrap().into_data().unwrap();
    let id = events(std::str::from_utf8(&first).unwrap())[0]["result"]["task"]["id"].clone();
    let id = id.as_str().unwrap();

    let path = format!("/tasks/{id}:subscribe");
    let follower = exchange(&agent, Method::POST, &path, &Value::Null).await.unwrap();
    let cancelled = rpc(&agent, "CancelTask", json!({ "id": id })).await;
    assert_eq!(cancelled["result"]["status"]["state"], "TASK_STATE_CANCELED");
    let text = follower.into_body().collect().await.unwrap().to_bytes();
    let last = events(std::str::from_utf8(&text).unwrap()).pop().unwrap();
    assert_eq!(last["statusUpdate"]["status"]["state"], "TASK_STATE_CANCELED", "the follower sees the end");
    stream.collect().await.unwrap();

    let again = rpc(&agent, "CancelTask", json!({ "id": id })).await;
    assert_eq!(again["error"]["code"], -32002, "a second cancel has nothing to end");
    let late = rpc(&agent, "tasks/resubscribe", json!({ "id": id })).await;
    assert_eq!(late["error"]["code"], -32004, "a finished task cannot be followed");
}

#[tokio::test]
async fn a_replica_takes_its_tasks_with_it() {
    let first = agent(Personality::Team(Replica::One)).await;
    let params = json!({ "message": hello()["message"], "configuration": { "returnImmediately": true } });
    let made = rpc(&first, "SendMessage", params).await;
    let id = made["result"]["task"]["id"].as_str().expect("a task").to_owned();
    assert!(first.holds(&id), "{made}");
    let state = rpc(&first, "GetTask", json!({ "id": id })).await["result"]["status"]["state"].clone();
    assert!(state == "TASK_STATE_WORKING" || state == "TASK_STATE_SUBMITTED", "it works for a minute: {state}");

    let address = first.address();
    first.kill().await;
    TcpStream::connect(address).await.unwrap_err();
    let again = Agent::start(Personality::Team(Replica::One), address, None).await.expect("its address is free");
    assert!(!again.holds(&id));
    assert_eq!(rpc(&again, "GetTask", json!({ "id": id })).await["error"]["code"], -32001);
}

#[tokio::test]
async fn errors_keep_their_binding() {
    let agent = agent(Personality::Fast).await;
    let unknown = rpc(&agent, "GetTask", json!({ "id": "none" })).await;
    assert_eq!(unknown["error"]["code"], -32001);
    let (status, text) = ask(&agent, Method::GET, "/tasks/none", &Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(text.contains("TASK_NOT_FOUND"), "{text}");
}

#[tokio::test]
async fn every_third_call_of_the_flaky_agent_fails_in_turn() {
    let agent = agent(Personality::Flaky).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": hello() });
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(exchange(&agent, Method::POST, "/", &body).await.map_or(0, |response| response.status().as_u16()));
    }
    assert_eq!(seen, [200, 200, 503, 200, 200, 0], "0 is a closed connection");
    let (status, _) = ask(&agent, Method::GET, "/health", &Value::Null).await;
    assert_eq!(status, StatusCode::OK, "health is not a call");
}

#[tokio::test]
async fn http2_with_prior_knowledge_shares_the_port() {
    let agent = agent(Personality::Fast).await;
    let stream = TcpStream::connect(agent.address()).await.unwrap();
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::builder().uri("http://agent/.well-known/agent-card.json").body(Full::<Bytes>::default());
    let response = sender.send_request(request.unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-demo-agent"], "fast");
    let card: Value = serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!(card["url"], format!("http://{}/", agent.address()));
}
