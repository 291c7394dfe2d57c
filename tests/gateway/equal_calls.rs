//! Equal calls share one: messages that are sent again, and questions at the same moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::{Backend, Body, Gw, Reply, channel, chunk, eventually, full, get, post, says, soon, with_field};

/// An agent that answers the n-th call with the task `n`, once it is let; `long` adds to the answer.
struct Agent {
    backend: Backend,
    gate: Arc<Semaphore>,
}

impl Agent {
    async fn new(status: u16, long: usize) -> Self {
        let (gate, calls) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let shared = Arc::clone(&gate);
        let backend = Backend::handling(move |request: Request<hyper::body::Incoming>| {
            let (gate, turn) = (Arc::clone(&shared), calls.fetch_add(1, Ordering::SeqCst) + 1);
            async move {
                let is_rest = request.uri().path() != "/";
                let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
                gate.acquire().await.unwrap().forget();
                let id = serde_json::from_slice::<Value>(&body).map_or(Value::Null, |call| call["id"].clone());
                let task = json!({ "id": format!("t{turn}"), "contextId": "c", "x": "x".repeat(long),
                    "status": { "state": "TASK_STATE_WORKING" } });
                let answer = json!({ "jsonrpc": "2.0", "id": id, "result": { "task": task } });
                let answer = if is_rest { json!({ "task": task }) } else { answer };
                let response = Response::builder().status(status).header("content-type", "application/json");
                response.header("x-turn", turn).body(full(answer.to_string())).unwrap()
            }
        });
        Self { backend: backend.await, gate }
    }
}

async fn gateway(agent: &Agent, a2a: &str) -> Gw {
    // A number of workers, since equal calls may meet different ones.
    let settings = format!("workers: 3\nroutes: {{ all: {{ endpoints: ['{{0}}'], a2a: {a2a} }} }}");
    Gw::with(&settings, &[&agent.backend]).await
}

fn json(path: &str, text: String) -> Request<Body> {
    with_field("content-type", "application/json", post(path, text))
}

/// A message under this id of JSON-RPC.
fn message(id: &str, message: &str, text: &str) -> Request<Body> {
    let params = json!({ "message": { "messageId": message, "parts": [{ "text": text }] } });
    json("/", format!(r#"{{"method":"SendMessage","params":{params},"id":{id},"jsonrpc":"2.0"}}"#))
}

fn question(id: &str, task: &str) -> Request<Body> {
    json("/", format!(r#"{{"method":"GetTask","params":{{"id":"{task}"}},"id":{id},"jsonrpc":"2.0"}}"#))
}

/// Sends it on a connection of its own.
async fn started(gw: &Gw, request: Request<Body>) -> JoinHandle<Reply> {
    let mut client = gw.h1().await;
    tokio::spawn(async move { client.reply(request).await })
}

async fn counted(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_a2a_shared_calls_total", &[("route", "all"), ("result", result)]).await
}

#[tokio::test]
async fn a_message_that_is_sent_again_joins_the_first_and_later_gets_its_answer() {
    let agent = Agent::new(200, 0).await;
    let gw = gateway(&agent, "{ singleFlight: 60s }").await;
    let first = started(&gw, message("1", "m", "hello")).await;
    eventually("the first is at the agent", || async { agent.backend.hits() == 1 }).await;
    let traced = |request| with_field("x-request-id", "another", with_field("traceparent", "00-1-2-01", request));
    let second = started(&gw, traced(message("\"two\"", "m", "hello"))).await;
    let third = started(&gw, message("3", "m", "hello")).await;
    agent.gate.add_permits(100);
    for (reply, id) in [(first, json!(1)), (second, json!("two")), (third, json!(3))] {
        let reply = reply.await.unwrap();
        assert_eq!((reply.status, reply.header("x-turn")), (200, "1"));
        assert_eq!((&says(&reply)["id"], &says(&reply)["result"]["task"]["id"]), (&id, &json!("t1")));
        assert_ne!(reply.header("x-request-id"), "", "each has a name of its own");
    }
    let later = gw.send(message("4", "m", "hello")).await;
    assert_eq!((&says(&later)["id"], &says(&later)["result"]["task"]["id"]), (&json!(4), &json!("t1")));
    assert_eq!((agent.backend.hits(), counted(&gw, "joined").await), (1, 3.0));
    for (turn, other) in [
        message("1", "m", "another text"),
        message("1", "another message", "hello"),
        with_field("authorization", "Bearer b", message("1", "m", "hello")),
        with_field("x-key-of-someone", "b", message("1", "m", "hello")),
        json("/rest/message:send", json!({ "message": { "messageId": "m" } }).to_string()),
        message("1", "", "hello"),
        message("1", "", "hello"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(gw.send(other).await.header("x-turn"), (turn + 2).to_string(), "another call");
    }
    let again = gw.send(json("/rest/message:send", json!({ "message": { "messageId": "m" } }).to_string())).await;
    assert_eq!((again.header("x-turn"), &says(&again)["task"]["id"]), ("6", &json!("t6")), "over REST too");
    let records = gw.records(12).await;
    assert!(records.iter().all(|record| record["operation"] == "SendMessage" && record["status"] == 200));
    assert_eq!(gw.metric("a2a_requests_total", &[("method", "SendMessage"), ("outcome", "ok")]).await, 12.0);
}

#[tokio::test]
async fn the_first_goes_on_for_the_others_when_its_client_leaves() {
    let agent = Agent::new(200, 0).await;
    let gw = gateway(&agent, "{ singleFlight: 60s }").await;
    for turn in 0..2 {
        let mut client = if turn == 0 { gw.h1().await } else { gw.h2().await };
        let name = format!("m{turn}");
        let first = message("1", &name, "hello");
        let waits = tokio::spawn(async move {
            let _never = client.send_patiently(first).await;
        });
        eventually("it is at the agent", || async { agent.backend.hits() == turn + 1 }).await;
        let connections = || gw.metric("attache_downstream_connections", &[("listener", "http")]);
        eventually("the gateway counts the one who will leave", || async { connections().await == 1.0 }).await;
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        eventually("the gateway has seen it leave", || async { connections().await == 0.0 }).await;
        let again = started(&gw, message("2", &name, "hello")).await;
        agent.gate.add_permits(1);
        let reply = again.await.unwrap();
        assert_eq!(says(&reply)["result"]["task"]["id"], format!("t{}", turn + 1), "the one that was begun");
        assert_eq!(agent.backend.hits(), turn + 1);
    }
}

#[tokio::test]
async fn a_client_that_left_has_no_place_of_the_call_that_goes_on() {
    let agent = Agent::new(200, 0).await;
    for (limit, a2a) in [
        ("maxConcurrentPerClient: 1, ", "{ singleFlight: 60s }"),
        ("", "{ singleFlight: 60s, methods: { SendMessage: { maxConcurrentPerClient: 1 } } }"),
    ] {
        let before = agent.backend.hits();
        let settings = format!("routes: {{ all: {{ endpoints: ['{{0}}'], {limit}a2a: {a2a} }} }}");
        let gw = Gw::with(&settings, &[&agent.backend]).await;
        let mut client = gw.h1().await;
        let waits = tokio::spawn(async move {
            let _never = client.send_patiently(message("1", "first", "hello")).await;
        });
        eventually("it is at the agent", || async { agent.backend.hits() == before + 1 }).await;
        assert_eq!(gw.send(message("2", "second", "hello")).await.status, 429, "the one place is taken");
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        let is_beside = || agent.backend.hits() == before + 2;
        let second = soon("another call of it is at the agent beside the first", || async {
            let sent = started(&gw, message("3", "second", "hello")).await;
            eventually("it is there or refused", || async { is_beside() || sent.is_finished() }).await;
            is_beside().then_some(sent)
        })
        .await;
        assert_eq!(gw.send(message("4", "third", "hello")).await.status, 429, "one that is there holds its place");
        agent.gate.add_permits(2);
        assert_eq!(second.await.unwrap().status, 200, "{limit}{a2a}");
        agent.gate.add_permits(1);
        assert_eq!(gw.send(message("5", "third", "hello")).await.status, 200, "{limit}{a2a}");
    }
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_for_those_who_wait() {
    let agent = Agent::new(503, 0).await;
    let gw = gateway(&agent, "{ singleFlight: 60s }").await;
    let first = started(&gw, message("1", "m", "hello")).await;
    eventually("the first is at the agent", || async { agent.backend.hits() == 1 }).await;
    let second = started(&gw, message("2", "m", "hello")).await;
    eventually("the second is here", || async {
        gw.metric("attache_requests_in_flight", &[("route", "all")]).await == 2.0
    })
    .await;
    agent.gate.add_permits(100);
    for reply in [first, second] {
        let reply = reply.await.unwrap();
        assert_eq!((reply.status, reply.header("x-turn")), (503, "1"));
    }
    assert_eq!(gw.send(message("3", "m", "hello")).await.header("x-turn"), "2", "a failure is not kept");
}

#[tokio::test]
async fn a_failure_that_is_no_json_is_not_kept_either() {
    let agent = Backend::replying(503).await.body("busy");
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], a2a: { singleFlight: 60s } } }", &[&agent]).await;
    let stream = r#"{"method":"SendStreamingMessage","params":{"message":{"messageId":"s"}},"id":1,"jsonrpc":"2.0"}"#;
    for turn in 1..3 {
        assert_eq!(gw.send(message("1", "m", "hello")).await.status, 503);
        assert_eq!(gw.send(json("/", stream.to_owned())).await.status, 503);
        assert_eq!(agent.hits(), 2 * turn);
    }
}

#[tokio::test]
async fn a_message_whose_first_call_fails_is_sent_by_the_next() {
    let gone = crate::support::refusing();
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], a2a: { singleFlight: 60s } } }", &[&gone]).await;
    for _ in 0..2 {
        let reply = gw.send(message("7", "m", "hello")).await;
        assert_eq!((reply.status, reply.reason(), &says(&reply)["id"]), (502, "connect_failed", &json!(7)));
    }
    assert_eq!(counted(&gw, "joined").await, 0.0);
}

#[tokio::test]
async fn a_long_answer_is_for_its_caller_alone() {
    let agent = Agent::new(200, 300 << 10).await;
    agent.gate.add_permits(100);
    let gw = gateway(&agent, "{ singleFlight: 60s, pollDamping: 60s }").await;
    let first = gw.send(message("1", "m", "hello")).await;
    assert_eq!(says(&first)["result"]["task"]["x"].as_str().unwrap().len(), 300 << 10);
    let again = gw.send(message("2", "m", "hello")).await;
    assert_eq!((again.status, again.reason(), &says(&again)["id"]), (409, "duplicate_call", &json!(2)));
    assert_eq!((agent.backend.hits(), counted(&gw, "refused").await), (1, 1.0));
    for turn in 2..4 {
        let reply = gw.send(question("1", "t")).await;
        assert_eq!(
            (reply.status, reply.header("x-turn")),
            (200, turn.to_string().as_str()),
            "a question is asked again"
        );
    }
}

#[tokio::test]
async fn a_stream_is_for_its_caller_alone_until_it_breaks() {
    let (feed, body) = channel();
    let bodies = std::sync::Mutex::new(vec![body]);
    let agent = Backend::handling(move |_| {
        let body = bodies.lock().unwrap().pop().unwrap_or_else(|| full("data: {}\n\n"));
        async move { Response::builder().header("content-type", "text/event-stream").body(body).unwrap() }
    })
    .await;
    let gw = Gw::with("routes: { all: { endpoints: ['{0}'], a2a: { singleFlight: 60s } } }", &[&agent]).await;
    let stream = |name: &str| {
        let params = json!({ "message": { "messageId": name } });
        json("/", format!(r#"{{"method":"SendStreamingMessage","params":{params},"id":1,"jsonrpc":"2.0"}}"#))
    };
    let mut client = gw.h1().await;
    let mut events = client.send(stream("m")).await.unwrap().into_body();
    assert!(feed.send("data: {}\n\n").await);
    assert!(chunk(&mut events).await.unwrap().is_ok(), "events pass as they come");
    assert_eq!(gw.send(stream("m")).await.reason(), "duplicate_call");
    drop(events);
    client.leave();
    feed.closed().await;
    eventually("it may be sent again", || async { gw.send(stream("m")).await.status == 200 }).await;
    assert_eq!(gw.send(stream("m")).await.status, 409, "that one came to its end");
}

#[tokio::test]
async fn questions_at_the_same_moment_are_one() {
    let agent = Agent::new(200, 0).await;
    let gw = gateway(&agent, "{ pollDamping: 60s }").await;
    let first = started(&gw, question("1", "t")).await;
    eventually("the first is at the agent", || async { agent.backend.hits() == 1 }).await;
    let others = [started(&gw, question("2", "t")).await, started(&gw, question("3", "t")).await];
    agent.gate.add_permits(100);
    let [second, third] = others;
    for (reply, id) in [(first, 1), (second, 2), (third, 3)] {
        let reply = reply.await.unwrap();
        assert_eq!((&says(&reply)["id"], &says(&reply)["result"]["task"]["id"]), (&json!(id), &json!("t1")));
    }
    for (turn, other) in [
        question("1", "another"),
        with_field("authorization", "Bearer b", question("1", "t")),
        with_field("a2a-version", "1.0", get("/tasks/t")),
        message("1", "m", "hello"),
        message("1", "m", "hello"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(gw.send(other).await.header("x-turn"), (turn + 2).to_string());
    }
    let rest = gw.send(with_field("a2a-version", "1.0", get("/tasks/t"))).await;
    assert_eq!(rest.header("x-turn"), "4", "over REST too");
    assert_eq!((agent.backend.hits(), counted(&gw, "joined").await), (6, 3.0));
}

#[tokio::test]
async fn a_question_is_asked_anew_after_its_moment() {
    let agent = Agent::new(200, 0).await;
    agent.gate.add_permits(1000);
    let gw = gateway(&agent, "{ pollDamping: 1ms }").await;
    eventually("the agent is asked again", || async {
        gw.send(question("1", "t")).await;
        agent.backend.hits() >= 3
    })
    .await;
}

#[tokio::test]
async fn what_is_kept_goes_on_over_a_reload_and_nothing_is_shared_by_default() {
    let agent = Agent::new(200, 0).await;
    agent.gate.add_permits(100);
    let mut gw = gateway(&agent, "{ singleFlight: 60s }").await;
    let send = || message("1", "m", "hello");
    assert_eq!(gw.send(send()).await.header("x-turn"), "1");
    let with = |a2a: &str| format!("workers: 3\nroutes: {{ all: {{ endpoints: ['{{0}}'], a2a: {a2a} }} }}");
    gw.reload(&with("{ singleFlight: 30s }"), &[&agent.backend]).await.unwrap();
    assert_eq!(gw.send(send()).await.header("x-turn"), "1");
    gw.reload(&with("{}"), &[&agent.backend]).await.unwrap();
    for turn in ["2", "3"] {
        assert_eq!(gw.send(send()).await.header("x-turn"), turn);
    }
}
