//! A stream that an agent breaks off before its task is over goes on, where its route says so.

use http::{HeaderMap, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::support::{
    Backend, Body, BodySender, Client, Gw, Live, Place, Speak, channel, chunk, full, grpc, post, with_field, within,
};

/// An agent whose answers the test gives one by one.
struct Scripted {
    backend: Backend,
    calls: Mutex<mpsc::Receiver<Asked>>,
}

/// One call that it got.
struct Asked {
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
    answer: oneshot::Sender<Response<Body>>,
}

impl Scripted {
    async fn new(speak: Speak) -> Self {
        let (sender, calls) = mpsc::channel(64);
        let backend = Backend::handling_as(speak, move |request: Request<Incoming>| {
            let sender = sender.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes().to_vec();
                let (answer, given) = oneshot::channel();
                sender.send(Asked { uri: head.uri, headers: head.headers, body, answer }).await.unwrap();
                given.await.unwrap()
            }
        })
        .await;
        Self { backend, calls: Mutex::new(calls) }
    }

    async fn call(&self) -> Asked {
        within("a call comes", async { self.calls.lock().await.recv().await }).await.unwrap()
    }
}

impl Place for Scripted {
    fn place(&self) -> String {
        self.backend.place()
    }
}

impl Asked {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// Answers with a stream.
    fn stream(self, content_type: &str) -> BodySender {
        let (sender, body) = channel();
        self.answer.send(Response::builder().header("content-type", content_type).body(body).unwrap()).unwrap();
        sender
    }

    fn events(self) -> BodySender {
        self.stream("text/event-stream")
    }

    fn say(self, status: u16, body: &Value) {
        let response = Response::builder().status(status).header("content-type", "application/json");
        self.answer.send(response.body(full(body.to_string())).unwrap()).unwrap();
    }
}

const KEPT: &str = "workers: 1\nroutes: { all: { endpoints: ['{0}'], a2a: { continuity: true } } }";

fn message() -> Value {
    json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } })
}

fn json_rpc(method: &str) -> Request<Body> {
    let text = json!({ "jsonrpc": "2.0", "id": "call-7", "method": method, "params": message() }).to_string();
    with_field("authorization", "Bearer secret", with_field("content-type", "application/json", post("/", text)))
}

/// An event of a stream of JSON-RPC.
fn event(state: &str) -> String {
    let task = json!({ "id": "t-1", "contextId": "c", "kind": "task", "status": { "state": state } });
    format!("data: {}\r\n\r\n", json!({ "jsonrpc": "2.0", "id": "call-7", "result": { "task": task } }))
}

const WORKING: &str = "TASK_STATE_WORKING";
const COMPLETED: &str = "TASK_STATE_COMPLETED";

/// A stream of which one event has arrived.
async fn begun(client: &mut Client, agent: &Scripted, asked: Request<Body>, first: &str) -> (Incoming, BodySender) {
    let (answer, stream) = tokio::join!(client.send(asked), async {
        let stream = agent.call().await.events();
        stream.send(first.to_owned()).await;
        stream
    });
    let mut body = answer.unwrap().into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), first);
    (body, stream)
}

async fn continued(gw: &Gw, result: &str) -> f64 {
    gw.metric("attache_a2a_streams_continued_total", &[("route", "all"), ("result", result)]).await
}

/// The client's next event.
async fn next(body: &mut Incoming) -> String {
    String::from_utf8(chunk(body).await.expect("it goes on").expect("it goes on").to_vec()).unwrap()
}

#[tokio::test]
async fn a_broken_stream_goes_on_with_the_callers_id_and_credentials() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    let mut count = 0;
    for (method, again) in [("SendStreamingMessage", "SubscribeToTask"), ("message/stream", "tasks/resubscribe")] {
        for is_polite in [false, true] {
            for mut client in [gw.h1().await, gw.h2().await] {
                let (mut body, stream) = begun(&mut client, &agent, json_rpc(method), &event(WORKING)).await;
                if is_polite {
                    drop(stream);
                } else {
                    stream.abort().await;
                }
                let asked = agent.call().await;
                let call = json!({ "jsonrpc": "2.0", "id": "call-7", "method": again, "params": { "id": "t-1" } });
                assert_eq!((asked.json(), &asked.headers["authorization"]), (call, &"Bearer secret".parse().unwrap()));
                assert_eq!(asked.headers["accept"], "text/event-stream");
                let stream = asked.events();
                for state in [WORKING, COMPLETED] {
                    stream.send(event(state)).await;
                    assert_eq!(next(&mut body).await, event(state));
                }
                drop(stream);
                let end = chunk(&mut body).await;
                assert!(end.is_none(), "it ends as it should: {end:?}");
                count += 1;
            }
        }
    }
    for record in gw.records(count).await {
        assert_eq!((&record["a2a_continued"], &record["reason"]), (&json!(1), &Value::Null), "{record}");
        assert!(record["upstream_error"].is_string(), "why it broke off is told: {record}");
    }
    assert_eq!(continued(&gw, "continued").await, 8.0);
    assert_eq!(gw.metric("a2a_requests_total", &[("outcome", "ok")]).await, 8.0);
    assert_eq!(gw.metric("attache_requests_in_flight", &[]).await, 0.0);
}

#[tokio::test]
async fn a_byte_order_mark_of_the_stream_that_goes_on_does_not_hide_its_first_event() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let asked = json_rpc("SendStreamingMessage");
        let (mut body, stream) = begun(&mut client, &agent, asked, &format!("\u{feff}{}", event(WORKING))).await;
        stream.abort().await;
        let stream = agent.call().await.events();
        stream.send(format!("\u{feff}{}", event(COMPLETED))).await;
        assert_eq!(next(&mut body).await, event(COMPLETED));
        drop(stream);
        let end = chunk(&mut body).await;
        assert!(end.is_none(), "the gateway knows that the task is over: {end:?}");
    }
    assert_eq!(continued(&gw, "continued").await, 2.0);
}

#[tokio::test]
async fn it_goes_on_over_rest() {
    let agent = Scripted::new(Speak::default()).await;
    let rewritten = KEPT.replace("endpoints:", "match: { path: { prefix: /x } }, rewrite: { prefix: /y }, endpoints:");
    let gw = Gw::with(&rewritten, &[&agent]).await;
    let task = |state: &str| {
        format!("data: {}\n\n", json!({ "task": { "id": "t/1", "contextId": "c", "status": { "state": state } } }))
    };
    let asked = with_field("content-type", "application/json", post("/x/message:stream?key=k", message().to_string()));
    let mut client = gw.h1().await;
    let (mut body, stream) = begun(&mut client, &agent, asked, &task(WORKING)).await;
    stream.abort().await;
    let again = agent.call().await;
    assert_eq!((again.uri.to_string().as_str(), again.body.len()), ("/y/tasks/t%2F1:subscribe?key=k", 0));
    let stream = again.events();
    stream.send(task(COMPLETED)).await;
    assert_eq!(next(&mut body).await, task(COMPLETED));
    drop(stream);
    assert!(chunk(&mut body).await.is_none());
}

#[tokio::test]
async fn it_goes_on_over_grpc() {
    let agent = Scripted::new(Speak { http2: true, ..Speak::default() }).await;
    let template = "routes: { all: { cluster: one, a2a: { continuity: true } } }\n\
                    clusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&agent]).await;
    // StreamResponse { task: { id: "t", status: { state } } } with WORKING and COMPLETED.
    let (working, completed) =
        (&b"\0\0\0\0\x09\x0a\x07\x0a\x01t\x1a\x02\x08\x02"[..], &b"\0\0\0\0\x09\x0a\x07\x0a\x01t\x1a\x02\x08\x03"[..]);
    let asked = grpc("SendStreamingMessage", b"");
    let mut client = gw.h2().await;
    let (answer, stream) = tokio::join!(client.send(asked), async {
        let stream = agent.call().await.stream("application/grpc");
        stream.send(working).await;
        stream
    });
    let mut body = answer.unwrap().into_body();
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), working);
    stream.abort().await;
    let again = agent.call().await;
    assert_eq!(again.uri.path(), "/lf.a2a.v1.A2AService/SubscribeToTask");
    assert_eq!(again.body, b"\0\0\0\0\x03\x12\x01t");
    let stream = again.stream("application/grpc");
    stream.send(completed).await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), completed);
    stream.trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])).await;
    drop(stream);
    let trailers = within("the trailers", body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(gw.record().await["a2a_continued"], 1);
}

#[tokio::test]
async fn an_agent_that_is_not_back_yet_is_asked_again() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    let mut client = gw.h1().await;
    let (mut body, stream) = begun(&mut client, &agent, json_rpc("SendStreamingMessage"), &event(WORKING)).await;
    stream.abort().await;
    agent.call().await.say(503, &json!({}));
    let stream = agent.call().await.events();
    stream.send(event(COMPLETED)).await;
    assert_eq!(next(&mut body).await, event(COMPLETED));
    drop(stream);
    assert!(chunk(&mut body).await.is_none());
    assert_eq!((continued(&gw, "continued").await, continued(&gw, "failed").await), (1.0, 0.0));
}

#[tokio::test]
async fn an_agent_that_has_lost_the_task_ends_the_stream_with_an_error() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (mut body, stream) = begun(&mut client, &agent, json_rpc("SendStreamingMessage"), &event(WORKING)).await;
        stream.abort().await;
        let lost = json!({ "jsonrpc": "2.0", "id": "call-7", "error": { "code": -32001, "message": "no such task" } });
        agent.call().await.say(200, &lost);
        let asked = agent.call().await;
        assert_eq!(asked.json()["method"], "GetTask", "it may be over");
        asked.say(200, &lost);
        let last = next(&mut body).await;
        assert!(last.starts_with("event: error\ndata: {") && last.contains("\"upstream_aborted\""), "{last}");
        assert!(last.contains(r#""id":"call-7""#), "{last}");
        let end = chunk(&mut body).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
    }
    assert_eq!(continued(&gw, "refused").await, 2.0);
    for record in gw.records(2).await {
        assert_eq!((&record["a2a_continued"], &record["reason"]), (&Value::Null, &json!("upstream_aborted")));
    }
}

#[tokio::test]
async fn a_stream_that_breaks_off_again_and_again_ends() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    let mut client = gw.h1().await;
    let (mut body, mut stream) = begun(&mut client, &agent, json_rpc("SendStreamingMessage"), &event(WORKING)).await;
    for _ in 0..3 {
        stream.abort().await;
        stream = agent.call().await.events();
        stream.send(event(WORKING)).await;
        assert_eq!(next(&mut body).await, event(WORKING));
    }
    stream.abort().await;
    assert!(next(&mut body).await.starts_with("event: error\n"));
    let end = chunk(&mut body).await;
    assert!(matches!(end, Some(Err(_))), "{end:?}");
    assert_eq!(gw.record().await["a2a_continued"], 3);
    assert_eq!(agent.backend.hits(), 4);
}

#[tokio::test]
async fn what_cannot_or_need_not_go_on_breaks_off() {
    let off = KEPT.replace("true", "false");
    for (template, sent) in [
        (off.as_str(), event(WORKING)),
        (KEPT, event(WORKING) + "data: half"),
        (KEPT, event(COMPLETED)),
        (KEPT, ": nothing yet\n\n".to_owned()),
    ] {
        let agent = Scripted::new(Speak::default()).await;
        let gw = Gw::with(template, &[&agent]).await;
        let mut client = gw.h1().await;
        let (mut body, stream) = begun(&mut client, &agent, json_rpc("SendStreamingMessage"), &sent).await;
        stream.abort().await;
        while let Some(Ok(_)) = chunk(&mut body).await {}
        assert_eq!(gw.record().await["reason"], "upstream_aborted", "{sent}");
        assert_eq!(agent.backend.hits(), 1, "{sent}");
        assert_eq!(continued(&gw, "continued").await, 0.0);
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_subscription() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    for mut client in [gw.h1().await, gw.h2().await] {
        let (body, stream) = begun(&mut client, &agent, json_rpc("SendStreamingMessage"), &event(WORKING)).await;
        stream.abort().await;
        let mut asked = agent.call().await;
        client.leave();
        drop(body);
        within("the call is cancelled", asked.answer.closed()).await;
    }
    for record in gw.records(2).await {
        assert_eq!(record["reason"], "client_gone", "{record}");
    }
    assert_eq!(gw.metric("attache_requests_in_flight", &[]).await, 0.0);
}

/// The answer to a question for the whole task.
fn whole(state: &str) -> Value {
    let artifacts = json!([{ "artifactId": "a", "index": 0, "parts": [{ "text": "done" }] }]);
    let task = json!({ "id": "t-1", "contextId": "c", "status": { "state": state }, "artifacts": artifacts });
    json!({ "jsonrpc": "2.0", "id": "attache", "result": task })
}

/// Everything that the client still gets, which has to end as it should.
async fn rest(body: &mut Incoming) -> String {
    let mut seen = Vec::new();
    while let Some(piece) = chunk(body).await {
        seen.extend(piece.expect("it ends as it should"));
    }
    String::from_utf8(seen).unwrap()
}

fn results(events: &str) -> Vec<Value> {
    let data = events.split("\n\n").filter_map(|event| event.strip_prefix("data: "));
    data.map(|data| {
        let mut event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["id"], "call-7");
        event["result"].take()
    })
    .collect()
}

#[tokio::test]
async fn a_task_that_ended_meanwhile_ends_the_stream_with_what_it_came_to() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    let refusal = json!({ "jsonrpc": "2.0", "id": "call-7", "error": { "code": -32004, "message": "it is over" } });
    for (method, fetched, state, in_stream) in [
        ("SendStreamingMessage", "GetTask", COMPLETED, false),
        ("message/stream", "tasks/get", "completed", false),
        // Agents of 0.3 refuse in a stream.
        ("message/stream", "tasks/get", "failed", true),
    ] {
        let mut client = gw.h1().await;
        let (mut body, stream) = begun(&mut client, &agent, json_rpc(method), &event(WORKING)).await;
        stream.abort().await;
        let subscription = agent.call().await;
        if in_stream {
            subscription.events().send(format!("data: {refusal}\r\n\r\n")).await;
        } else {
            subscription.say(200, &refusal);
        }
        let asked = agent.call().await;
        assert_eq!((&asked.json()["method"], &asked.json()["params"]), (&json!(fetched), &json!({ "id": "t-1" })));
        assert_eq!(asked.headers["authorization"], "Bearer secret");
        asked.say(200, &whole(state));
        let (seen, mut task) = (results(&rest(&mut body).await), whole(state));
        let task = task["result"].take();
        if fetched == "GetTask" {
            assert_eq!(seen, [json!({ "task": task })]);
        } else {
            assert_eq!(seen.len(), 2, "{seen:?}");
            assert_eq!(seen[0], task);
            assert_eq!((&seen[1]["status"]["state"], &seen[1]["final"]), (&json!(state), &json!(true)));
        }
    }
    assert_eq!((continued(&gw, "ended").await, continued(&gw, "continued").await), (3.0, 0.0));
    for record in gw.records(3).await {
        assert_eq!((&record["a2a_continued"], &record["reason"]), (&json!(1), &Value::Null), "{record}");
    }
}

#[tokio::test]
async fn the_end_of_a_task_is_told_over_rest_and_grpc() {
    let agent = Scripted::new(Speak::default()).await;
    let gw = Gw::with(KEPT, &[&agent]).await;
    let task = |state: &str| json!({ "id": "t/1", "contextId": "c", "status": { "state": state } });
    let event = |state: &str| format!("data: {}\n\n", json!({ "task": task(state) }));
    let asked = with_field("content-type", "application/json", post("/message:stream?key=k", message().to_string()));
    let mut client = gw.h1().await;
    let (mut body, stream) = begun(&mut client, &agent, asked, &event(WORKING)).await;
    stream.abort().await;
    agent.call().await.say(400, &json!({ "error": { "code": 400 } }));
    let fetched = agent.call().await;
    assert_eq!(fetched.uri, "/tasks/t%2F1?key=k");
    fetched.say(200, &task(COMPLETED));
    assert_eq!(rest(&mut body).await, event(COMPLETED));

    let agent = Scripted::new(Speak { http2: true, ..Speak::default() }).await;
    let template = "routes: { all: { cluster: one, a2a: { continuity: true } } }\n\
                    clusters: { one: { endpoints: ['{0}'], protocol: h2c } }";
    let gw = Gw::with(template, &[&agent]).await;
    let asked = grpc("SendStreamingMessage", b"");
    let mut client = gw.h2().await;
    let (answer, stream) = tokio::join!(client.send(asked), async {
        let stream = agent.call().await.stream("application/grpc");
        stream.send(&b"\0\0\0\0\x09\x0a\x07\x0a\x01t\x1a\x02\x08\x02"[..]).await;
        stream
    });
    let mut body = answer.unwrap().into_body();
    chunk(&mut body).await.unwrap().unwrap();
    stream.abort().await;
    let refused = Response::builder().header("content-type", "application/grpc").header("grpc-status", "9");
    agent.call().await.answer.send(refused.body(full("")).unwrap()).unwrap();
    let fetched = agent.call().await;
    assert_eq!(fetched.uri.path(), "/lf.a2a.v1.A2AService/GetTask");
    // Task { id: "t", status { state: COMPLETED } }.
    let stream = fetched.stream("application/grpc");
    stream.send(&b"\0\0\0\0\x07\x0a\x01t\x1a\x02\x08\x03"[..]).await;
    stream.trailers(HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())])).await;
    drop(stream);
    let last = chunk(&mut body).await.unwrap().unwrap();
    assert_eq!(last, &b"\0\0\0\0\x09\x0a\x07\x0a\x01t\x1a\x02\x08\x03"[..]);
    let trailers = within("the trailers", body.frame()).await.unwrap().unwrap().into_trailers().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}

/// A stream of which one event has arrived, and the agent that is left when the one it came from is gone.
async fn left_by_one_of(client: &mut Client, one: Scripted, other: Scripted) -> (Incoming, Scripted) {
    let (answer, (is_first, stream)) = tokio::join!(client.send(json_rpc("SendStreamingMessage")), async {
        let (is_first, asked) = tokio::select! { a = one.call() => (true, a), b = other.call() => (false, b) };
        let stream = asked.events();
        stream.send(event(WORKING)).await;
        (is_first, stream)
    });
    let mut body = answer.unwrap().into_body();
    assert_eq!(next(&mut body).await, event(WORKING));
    let (gone, left) = if is_first { (one, other) } else { (other, one) };
    drop(gone);
    drop(stream);
    (body, left)
}

#[tokio::test]
async fn operators_see_a_stream_where_it_goes_on() {
    let (one, other) = (Scripted::new(Speak::default()).await, Scripted::new(Speak::default()).await);
    let gw = Live::with(&format!(
        "listeners: {{ http: {{ address: '127.0.0.1:0' }} }}
routes: {{ all: {{ endpoints: ['{}', '{}'], a2a: {{ continuity: true }} }} }}\n",
        one.place(),
        other.place()
    ))
    .await;
    let mut client = Client::h1(gw.address("http").await).await;
    let (mut body, left) = left_by_one_of(&mut client, one, other).await;
    left.call().await.say(200, &whole(WORKING));
    let stream = left.call().await.events();
    stream.send(event(WORKING)).await;
    assert_eq!(next(&mut body).await, event(WORKING));
    let (status, shown) = gw.ask(Method::GET, "/streams").await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let shown = &shown["streams"][0];
    assert_eq!((status, &shown["endpoint"], &shown["events"]), (200, &json!(left.place()), &json!(2)), "{shown}");
    assert_eq!(shown["task"], "t-1", "{shown}");
}

#[tokio::test]
async fn where_the_endpoint_is_gone_another_one_that_has_the_task_goes_on() {
    for is_over in [false, true] {
        let (one, other) = (Scripted::new(Speak::default()).await, Scripted::new(Speak::default()).await);
        let gw = Gw::with(&KEPT.replace("['{0}']", "['{0}', '{1}']"), &[&one, &other]).await;
        let mut client = gw.h1().await;
        let (mut body, left) = left_by_one_of(&mut client, one, other).await;
        let asked = left.call().await;
        assert_eq!((&asked.json()["method"], &asked.json()["params"]), (&json!("GetTask"), &json!({ "id": "t-1" })));
        asked.say(200, &whole(if is_over { COMPLETED } else { WORKING }));
        if is_over {
            let mut task = whole(COMPLETED);
            assert_eq!(results(&rest(&mut body).await), [json!({ "task": task["result"].take() })]);
            continue;
        }
        let asked = left.call().await;
        assert_eq!(asked.json()["method"], "SubscribeToTask");
        let stream = asked.events();
        stream.send(event(COMPLETED)).await;
        drop(stream);
        assert_eq!(rest(&mut body).await, event(COMPLETED));
        // From now on that endpoint holds the task.
        let get = json!({ "jsonrpc": "2.0", "id": "call-7", "method": "GetTask", "params": { "id": "t-1" } });
        let get = with_field("content-type", "application/json", post("/", get.to_string()));
        let (reply, ()) = tokio::join!(client.reply(get), async { left.call().await.say(200, &whole(COMPLETED)) });
        assert_eq!(reply.status, 200);
        assert_eq!(gw.metric("attache_a2a_lookups_total", &[]).await, 0.0);
    }
}
