//! Events of agents in every shape that the wire has: what is sent is what arrives, and it is understood all the same.

use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::support::{Backend, Body, Client, EventStream, Gw, Sse, chunk, full, pass, post, with_field};

const TENDED: &str =
    "workers: 1\nroutes: { all: { endpoints: ['{0}'], timeout: 300ms, a2a: { keepAlive: 60s, continuity: true } } }";

fn call(id: &Value) -> Request<Body> {
    let params = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } });
    let text = json!({ "jsonrpc": "2.0", "method": "SendStreamingMessage", "params": params, "id": id }).to_string();
    with_field("content-type", "application/json", post("/", text))
}

fn task(id: &Value, state: &str, text: &str) -> String {
    let artifacts = json!([{ "artifactId": "a", "parts": [{ "text": text }] }]);
    let task = json!({ "id": "t-1", "contextId": "c", "artifacts": artifacts, "status": { "state": state } });
    json!({ "jsonrpc": "2.0", "id": id, "result": { "task": task } }).to_string()
}

const WORKING: &str = "TASK_STATE_WORKING";
const COMPLETED: &str = "TASK_STATE_COMPLETED";

async fn open(client: &mut Client, sse: &Sse, id: &Value) -> (Incoming, EventStream) {
    let (answer, stream) = tokio::join!(client.send(call(id)), sse.stream());
    (answer.unwrap().into_body(), stream)
}

/// The next so many bytes.
async fn read(body: &mut Incoming, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        bytes.extend(chunk(body).await.expect("the stream goes on").unwrap());
    }
    assert_eq!(bytes.len(), length, "nothing was put in");
    bytes
}

/// Holds the record of a stream that told of the task `t-1` and ended as it should.
fn went_well(record: &Value) {
    let said = (&record["task"], &record["a2a_outcome"], &record["reason"]);
    assert_eq!(said, (&json!("t-1"), &Value::Null, &Value::Null), "{record}");
}

#[tokio::test]
async fn events_divided_at_every_byte_arrive_at_once_in_every_framing() {
    let sse = Sse::new().await;
    let gw = Gw::with(TENDED, &[&sse]).await;
    for end in ["\n", "\r\n", "\r"] {
        for mut client in [gw.h1().await, gw.h2().await] {
            let (mut body, stream) = open(&mut client, &sse, &json!(1)).await;
            let events = [": hello", "data: [", "data: 1]"].join(end);
            let events = [&task(&json!(1), WORKING, "ä"), &task(&json!(1), COMPLETED, "")]
                .map(|data| format!("event: x{end}data: {data}{end}{end}"))
                .join(&format!("{events}{end}{end}"));
            for byte in events.bytes() {
                assert!(stream.body().send(vec![byte]).await);
                assert_eq!(read(&mut body, 1).await, [byte], "{end:?}");
            }
            stream.end();
            assert!(chunk(&mut body).await.is_none());
        }
    }
    for record in gw.records(6).await {
        went_well(&record);
    }
}

#[tokio::test]
async fn an_event_of_eight_mebibytes_passes_as_it_is() {
    let sse = Sse::new().await;
    let gw = Gw::with(TENDED, &[&sse]).await;
    let event = format!("data: {}\n\n", task(&json!(1), COMPLETED, &"x".repeat(8 << 20)));
    for mut client in [gw.h1().await, gw.h2().await] {
        let (mut body, stream) = open(&mut client, &sse, &json!(1)).await;
        let (_, arrived) = tokio::join!(stream.body().send(event.clone()), read(&mut body, event.len()));
        assert!(arrived == event.as_bytes(), "it is the same");
        stream.end();
        assert!(chunk(&mut body).await.is_none());
    }
    for record in gw.records(2).await {
        went_well(&record);
    }
}

#[tokio::test]
async fn a_first_event_that_is_slow_is_waited_for() {
    let sse = Sse::new().await;
    let gw = Gw::with(&TENDED.replace("60s", "1s"), &[&sse]).await;
    let event = format!("data: {}\n\n", task(&json!(1), COMPLETED, ""));
    // The agent's head comes before its first event, or with it.
    let (mut body, stream) = open(&mut gw.h1().await, &sse, &json!(1)).await;
    assert_eq!(chunk(&mut body).await.unwrap().unwrap(), ": keep-alive\n\n", "longer than `timeout`");
    stream.body().send(event.clone()).await;
    stream.end();
    let mut rest = Vec::new();
    while let Some(piece) = chunk(&mut body).await {
        rest.extend(piece.unwrap());
    }
    assert!(String::from_utf8(rest).unwrap().ends_with(&event));
    went_well(&gw.record().await);

    let agent = Backend::handling(|_| async {
        pass(Duration::from_millis(900)).await;
        let event = format!("data: {}\n\n", task(&json!(1), COMPLETED, ""));
        let answer = Response::builder().header("content-type", "text/event-stream");
        answer.body(full(event)).unwrap()
    })
    .await;
    let gw = Gw::with(TENDED, &[&agent]).await;
    assert_eq!(gw.send(call(&json!(1))).await.text(), event);
    went_well(&gw.record().await);
}

#[tokio::test]
async fn an_event_that_comes_twice_arrives_twice() {
    let sse = Sse::new().await;
    let gw = Gw::with(TENDED, &[&sse]).await;
    let (mut body, stream) = open(&mut gw.h1().await, &sse, &json!(1)).await;
    let event = format!("data: {}\n\n", task(&json!(1), COMPLETED, ""));
    stream.body().send(event.repeat(2)).await;
    assert_eq!(read(&mut body, 2 * event.len()).await, event.repeat(2).as_bytes());
    stream.end();
    assert!(chunk(&mut body).await.is_none());
    went_well(&gw.record().await);
}

/// JavaScript clients count their calls from 1, each for itself.
#[tokio::test]
async fn the_same_id_of_several_clients_is_several_calls() {
    let sse = Sse::new().await;
    let gw = Gw::with(&TENDED.replace(", continuity: true", ""), &[&sse]).await;
    let shared = gw.h2().await;
    let (mut one, mut two, mut other) = (shared.fork(), shared.fork(), gw.h1().await);
    let (mut first, first_stream) = open(&mut one, &sse, &json!(1)).await;
    let (mut second, second_stream) = open(&mut two, &sse, &json!(1)).await;
    let (mut third, third_stream) = open(&mut other, &sse, &json!("1")).await;
    let text = |text: &str| format!("data: {}\n\n", task(&json!(1), WORKING, text));
    for (body, stream, said) in [
        (&mut first, &first_stream, text("first")),
        (&mut second, &second_stream, text("second")),
        (&mut third, &third_stream, text("third")),
    ] {
        stream.body().send(said.clone()).await;
        assert_eq!(read(body, said.len()).await, said.as_bytes());
    }
    first_stream.abort().await;
    third_stream.abort().await;
    for (body, id) in [(&mut first, r#""id":1,"#), (&mut third, r#""id":"1","#)] {
        let last = String::from_utf8(chunk(body).await.unwrap().unwrap().to_vec()).unwrap();
        assert!(last.starts_with("event: error\n") && last.contains(id), "{last}");
        let end = chunk(body).await;
        assert!(matches!(end, Some(Err(_))), "{end:?}");
    }
    second_stream.body().send(text("on")).await;
    assert_eq!(read(&mut second, text("on").len()).await, text("on").as_bytes(), "the other goes on");
}
