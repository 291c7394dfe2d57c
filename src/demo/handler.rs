//! How a demo agent answers a request: card, health, or a call on its tasks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::answer::{self, Body};
use super::call::{self, Operation, Style};
use super::store::Store;
use super::task::{Event, State, Task};
use super::wire::{self, Fault};
use super::{Personality, card};

/// One agent's behaviour and tasks.
#[derive(Debug)]
pub(super) struct Handler {
    personality: Personality,
    card: Value,
    tasks: Store,
    calls: AtomicU64,
}

/// The agent closes the connection instead of answering.
#[derive(Debug, thiserror::Error)]
#[error("the agent hangs up")]
pub(super) struct HangUp;

/// A failure the flaky agent plays.
enum Mishap {
    Unavailable,
    HangUp,
}

impl Handler {
    /// An agent without tasks, whose card names `url`.
    pub(super) fn new(personality: Personality, url: &str) -> Self {
        let card = card::card(personality, url);
        Self { personality, card, tasks: Store::new(MAX_TASKS), calls: AtomicU64::new(0) }
    }

    /// Answers one request. Dropping the future gives up the answer, not the task it started.
    pub(super) async fn handle<B>(&self, request: Request<B>) -> Result<Response<Body>, HangUp>
    where
        B: http_body::Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let mut response = match (&head.method, path) {
            (&Method::GET | &Method::HEAD, "/.well-known/agent-card.json") => self.card_answer(),
            (&Method::GET | &Method::HEAD, "/health") => {
                answer::document(StatusCode::OK, answer::JSON, &json!({ "status": "ok" }))
            }
            (method, path) => match self.mishap() {
                Some(Mishap::HangUp) => return Err(HangUp),
                Some(Mishap::Unavailable) => {
                    let error =
                        json!({ "error": { "code": 503, "status": "UNAVAILABLE", "message": "flaky by design" } });
                    answer::document(StatusCode::SERVICE_UNAVAILABLE, answer::JSON, &error)
                }
                None => {
                    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
                        return Err(HangUp);
                    };
                    let version = head.headers.get("a2a-version").and_then(|value| value.to_str().ok());
                    match call::read(method, path, version, &body.to_bytes()) {
                        Ok((style, operation)) => self.perform(style, operation).await,
                        Err(refusal) => answer::fault(&refusal.style, refusal.fault),
                    }
                }
            },
        };
        response.headers_mut().insert("x-demo-agent", HeaderValue::from_static(self.personality.name()));
        Ok(response)
    }

    /// Whether there is such a task.
    pub(super) fn holds(&self, task: &str) -> bool {
        self.tasks.find(task).is_some()
    }

    fn card_answer(&self) -> Response<Body> {
        let mut response = answer::document(StatusCode::OK, answer::JSON, &self.card);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        response
    }

    /// The flaky agent fails every third call, in turn with a 503 and a closed connection.
    fn mishap(&self) -> Option<Mishap> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if self.personality != Personality::Flaky || !call.is_multiple_of(3) {
            return None;
        }
        Some(if call.is_multiple_of(2) { Mishap::HangUp } else { Mishap::Unavailable })
    }

    async fn perform(&self, style: Style, operation: Operation) -> Response<Body> {
        match operation {
            Operation::Send { message, at_once } => {
                let task = self.begin(message);
                let now = if at_once { task.snapshot() } else { task.finished().await };
                answer::result(&style, wire::sent(&task, &now, style.generation))
            }
            Operation::Stream(message) => answer::stream(style, self.begin(message)),
            Operation::Get(id) => match self.tasks.find(&id) {
                Some(task) => answer::result(&style, wire::task(&task, &task.snapshot(), style.generation)),
                None => answer::fault(&style, Fault::TaskNotFound),
            },
            Operation::List(context) => self.list(&style, context.as_deref()),
            Operation::Cancel(id) => self.cancel(&style, &id),
            Operation::Subscribe(id) => match self.tasks.find(&id) {
                Some(task) if task.snapshot().state.is_terminal() => answer::fault(&style, Fault::Unsupported),
                Some(task) => answer::stream(style, task),
                None => answer::fault(&style, Fault::TaskNotFound),
            },
        }
    }

    fn list(&self, style: &Style, context: Option<&str>) -> Response<Body> {
        let tasks = self.tasks.newest(context, PAGE);
        let tasks: Vec<Value> = tasks.iter().map(|task| wire::task(task, &task.snapshot(), style.generation)).collect();
        let size = tasks.len();
        let page = json!({ "tasks": tasks, "nextPageToken": "", "pageSize": PAGE, "totalSize": size });
        answer::result(style, page)
    }

    fn cancel(&self, style: &Style, id: &str) -> Response<Body> {
        let Some(task) = self.tasks.find(id) else {
            return answer::fault(style, Fault::TaskNotFound);
        };
        if !task.push(Event::Status(State::Canceled)) {
            return answer::fault(style, Fault::TaskNotCancelable);
        }
        answer::result(style, wire::task(&task, &task.snapshot(), style.generation))
    }

    /// Starts a task. It goes on when the caller leaves, as the protocol wants it.
    fn begin(&self, message: Value) -> Arc<Task> {
        let context = message.get("contextId").and_then(Value::as_str).map(str::to_owned);
        let context = context.unwrap_or_else(new_id);
        let task = Arc::new(Task::new(new_id(), context, message));
        self.tasks.insert(Arc::clone(&task));
        tokio::spawn(work(self.personality, Arc::clone(&task)));
        task
    }
}

/// Does a task: piece by piece at the agent's pace, until it is done or cancelled. Bounded by the number of pieces.
async fn work(personality: Personality, task: Arc<Task>) {
    task.push(Event::Status(State::Working));
    let pieces = reply(personality, &wire::text_of(&task.message));
    let count = pieces.len();
    for (index, text) in pieces.into_iter().enumerate() {
        tokio::time::sleep(personality.pace()).await;
        if !task.push(Event::Piece { text, append: index > 0, last: index + 1 == count }) {
            return;
        }
    }
    task.push(Event::Status(State::Completed));
}

/// The pieces of an answer; together they say who heard what.
fn reply(personality: Personality, heard: &str) -> Vec<String> {
    let heard: String = heard.chars().take(MAX_ECHO).collect();
    let mut pieces = vec![format!("{} {} heard: ", personality.name(), personality.version())];
    let between = personality.pieces().saturating_sub(2);
    pieces.extend((1..=between).map(|number| format!("[{number}] ")));
    pieces.push(heard);
    pieces
}

fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// Tasks kept per agent.
const MAX_TASKS: usize = 1_000;
/// Tasks in one list answer.
const PAGE: usize = 50;
/// Largest request body taken.
const MAX_BODY: usize = 1024 * 1024;
/// Characters of a message that are echoed.
const MAX_ECHO: usize = 500;
