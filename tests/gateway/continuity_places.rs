//! Many streams that break off at the same time ask other endpoints for their tasks only so many at a time.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::support::{Backend, Body, BodySender, Gw, channel, chunk, eventually, full, post, with_field, within};

const STREAMS: usize = 24;
const PLACES: usize = 16;
const KEPT: &str = "workers: 1\nroutes: { all: { endpoints: ['{0}', '{1}'], a2a: { continuity: true } } }";

/// What both agents have to do.
#[derive(Debug)]
struct Work {
    /// Streams that they have begun.
    streams: Mutex<Vec<BodySender>>,
    asked: AtomicUsize,
    open: AtomicUsize,
    most: AtomicUsize,
    /// One permit for each question that may be answered.
    answers: Semaphore,
}

/// One question that is being answered.
struct Question<'w>(&'w Work);

impl<'w> Question<'w> {
    fn new(work: &'w Work) -> Self {
        work.asked.fetch_add(1, SeqCst);
        work.most.fetch_max(work.open.fetch_add(1, SeqCst) + 1, SeqCst);
        Self(work)
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
    }
}

impl Work {
    fn new() -> Self {
        let (asked, open, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { streams: Mutex::default(), asked, open, most, answers: Semaphore::new(0) }
    }

    async fn answer(&self, call: &Value) -> Response<Body> {
        let json = |text: Value| {
            Response::builder().header("content-type", "application/json").body(full(text.to_string())).unwrap()
        };
        match call["method"].as_str() {
            Some("SendStreamingMessage") => {
                let (sender, body) = channel();
                sender.send(event()).await;
                self.streams.lock().unwrap().push(sender);
                Response::builder().header("content-type", "text/event-stream").body(body).unwrap()
            }
            Some("GetTask") => {
                let _open = Question::new(self);
                within("it may be answered", self.answers.acquire()).await.unwrap().forget();
                json(json!({ "jsonrpc": "2.0", "id": call["id"], "error": { "code": -32001, "message": "unknown" } }))
            }
            _ => Response::builder().status(503).body(full("")).unwrap(),
        }
    }
}

fn event() -> String {
    let task = json!({ "id": "t-1", "contextId": "c", "status": { "state": "TASK_STATE_WORKING" } });
    format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": 1, "result": { "task": task } }))
}

async fn agent(work: &Arc<Work>) -> Backend {
    let work = Arc::clone(work);
    Backend::handling(move |request| {
        let work = Arc::clone(&work);
        async move {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            work.answer(&serde_json::from_slice(&body).unwrap_or_default()).await
        }
    })
    .await
}

#[tokio::test]
async fn so_many_questions_to_other_endpoints_are_asked_at_a_time() {
    let work = Arc::new(Work::new());
    let (one, other) = (agent(&work).await, agent(&work).await);
    let gw = Gw::with(KEPT, &[&one, &other]).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS {
        let mut client = gw.h1().await;
        let params = json!({ "message": { "messageId": "m", "role": "ROLE_USER", "parts": [{ "text": "hello" }] } });
        let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendStreamingMessage", "params": params });
        let call = with_field("content-type", "application/json", post("/", call.to_string()));
        let mut body = client.send(call).await.unwrap().into_body();
        assert_eq!(chunk(&mut body).await.unwrap().unwrap(), event());
        open.push((client, body));
    }
    let streams = std::mem::take(&mut *work.streams.lock().unwrap());
    assert_eq!(streams.len(), STREAMS);
    for stream in streams {
        drop(stream);
    }
    eventually("as many ask as may", async || work.asked.load(SeqCst) >= PLACES).await;
    // The one worker has had a turn for every stream; none of those without a place has asked.
    for _ in 0..STREAMS {
        assert_eq!(gw.send(post("/", "no call")).await.status, 503);
    }
    assert_eq!(work.asked.load(SeqCst), PLACES);
    for answered in 1..=STREAMS {
        work.answers.add_permits(1);
        let asked = STREAMS.min(PLACES + answered);
        eventually("a place is given on", async || work.asked.load(SeqCst) >= asked).await;
        assert_eq!(work.asked.load(SeqCst), asked, "and to one only");
    }
    for (_client, body) in &mut open {
        // Nobody has the task: every stream ends.
        within("the stream ends", async { while let Some(Ok(_)) = body.frame().await {} }).await;
    }
    assert_eq!(work.most.load(SeqCst), PLACES, "of {} questions", work.asked.load(SeqCst));
}
