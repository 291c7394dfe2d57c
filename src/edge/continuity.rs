//! Goes on with the stream of an agent that broke off before its task was over: the gateway subscribes to the task
//! again, at the endpoint that holds it and with the caller's fields. The first event is the task as it is then, which
//! brings the client up to date; what came in between is lost, and said to be.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header};
use tokio::time::{Instant, sleep, timeout_at};

use super::call::Call;
use super::facts::{is_event_stream, is_grpc};
use crate::a2a::{Binding, Question, path_segment};
use crate::cluster::Kind;
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::outcome::{Application, Outcome};
use crate::upstream::{AskPlan, Asked, WorkerEndpoint, ask};

/// What is needed to subscribe again. Taken from the request before an endpoint gets it, which only routes do that want
/// it.
#[derive(Debug)]
pub(super) struct Continuity {
    /// The head of the subscription; where its target names the task, [`MARK`] stands.
    head: Parts,
    host: UpstreamHost,
    /// Tries that are left.
    left: usize,
    /// When the stream went on last.
    since: Option<Instant>,
    asking: Option<Asking>,
}

/// A subscription under way. Dropped, it is cancelled.
struct Asking {
    /// Why the stream broke off.
    broke: Error,
    answer: Pin<Box<dyn Future<Output = Answer>>>,
}

/// Tries that are left, and the new stream or the word for why there is none.
type Answer = (usize, Result<Asked, &'static str>);

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("broke", &self.broke).finish_non_exhaustive()
    }
}

/// Who is asked, and how.
#[derive(Debug)]
pub(super) struct Again<'a> {
    pub(super) call: &'a Call,
    /// The task whose events are wanted.
    pub(super) task: &'a str,
    /// The endpoint that holds it.
    pub(super) worker_endpoint: Rc<WorkerEndpoint>,
    pub(super) rng: fastrand::Rng,
}

impl Continuity {
    /// For calls whose stream is to go on. Where the target of `head` names the task, [`MARK`] stands.
    pub(super) fn new(head: Parts, host: UpstreamHost) -> Self {
        Self { head: detached(head), host, left: TRIES, since: None, asking: None }
    }

    /// Whether it is being tried.
    pub(super) const fn is_asking(&self) -> bool {
        self.asking.is_some()
    }

    /// Whether it may be tried.
    pub(super) fn has_tries(&self) -> bool {
        self.left > 0 || self.has_lasted()
    }

    fn has_lasted(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() >= PATIENCE)
    }

    /// Subscribes again, after the stream has broken off.
    ///
    /// # Errors
    /// Why it broke off, where nobody can be asked.
    pub(super) fn begin(&mut self, again: Again<'_>, broke: Error) -> Result<(), Error> {
        let Some((head, body)) = self.request(&again) else { return Err(broke) };
        if self.has_lasted() {
            self.left = TRIES;
        }
        let subscription = Subscription {
            head,
            body,
            host: self.host.clone(),
            worker_endpoint: again.worker_endpoint,
            is_grpc: again.call.binding == Binding::Grpc,
        };
        let answer = Box::pin(subscription.run(self.left, again.rng));
        self.asking = Some(Asking { broke, answer });
        Ok(())
    }

    fn request(&self, again: &Again<'_>) -> Option<(Parts, Bytes)> {
        let (call, task) = (again.call, again.task);
        let question = Question::events(call.binding, call.generation, task, &call.ids(), call.id());
        let (mut head, body) = (self.head.clone(), Bytes::from(question.body()));
        if call.binding == Binding::Rest {
            let target = head.uri.path_and_query().filter(|target| target.as_str().contains(MARK))?;
            head.uri = target.as_str().replace(MARK, &path_segment(task)).parse::<Uri>().ok()?;
        } else {
            head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Some((head, body))
    }

    /// The stream that goes on, or the word for why it does not and why the one before broke off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Asked, (&'static str, Error)>> {
        let Some(asking) = &mut self.asking else { return Poll::Pending };
        let (left, answer) = ready!(asking.answer.as_mut().poll(cx));
        let broke = self.asking.take().map_or(Error::Internal, |asking| asking.broke);
        self.left = if answer.is_ok() { left } else { 0 };
        self.since = answer.is_ok().then(Instant::now);
        Poll::Ready(answer.map_err(|word| (word, broke)))
    }
}

/// The values of fields are slices of the buffer that the request was read into, which a stream must not keep.
fn detached(mut head: Parts) -> Parts {
    for value in head.headers.values_mut() {
        if let Ok(mut copy) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    head
}

/// Everything a subscription takes along.
struct Subscription {
    head: Parts,
    body: Bytes,
    host: UpstreamHost,
    worker_endpoint: Rc<WorkerEndpoint>,
    is_grpc: bool,
}

impl Subscription {
    /// Tries so often, with growing pauses.
    async fn run(self, mut left: usize, mut rng: fastrand::Rng) -> Answer {
        let end = Instant::now() + PATIENCE;
        while let Some(pause) = PAUSES.get(TRIES.saturating_sub(left)).filter(|_| left > 0) {
            left -= 1;
            // Many streams may have broken off at the same time.
            sleep(pause.mul_f64(0.5 + rng.f64() / 2.0)).await;
            let deadline = end.min(Instant::now() + ONE_TRY);
            let plan = AskPlan {
                head: &self.head,
                body: &self.body,
                host: &self.host,
                grpc: self.is_grpc,
                deadline,
                kind: Kind::Stream,
            };
            let asked = timeout_at(deadline, ask(&plan, Rc::clone(&self.worker_endpoint))).await;
            let Ok(Ok(asked)) = asked else { continue };
            match self.what_says(&asked.response) {
                Said::Yes => return (left, Ok(asked)),
                Said::No => return (left, Err("refused")),
                Said::NotNow => {}
            }
        }
        (left, Err("failed"))
    }

    /// What an answer says about the stream that is asked for.
    fn what_says<B>(&self, response: &Response<B>) -> Said {
        let (status, fields) = (response.status(), response.headers());
        if self.is_grpc {
            let said = Application::of_head(fields);
            return match Outcome::answered(status, said).presence() {
                _ if said == Application::Silent => {
                    let is_stream = status == StatusCode::OK && is_grpc(fields.get(header::CONTENT_TYPE));
                    if is_stream { Said::Yes } else { Said::NotNow }
                }
                Some(false) => Said::NotNow,
                Some(true) | None => Said::No,
            };
        }
        if status.is_server_error() {
            return Said::NotNow;
        }
        let is_stream = status == StatusCode::OK && is_plain_stream(fields);
        if is_stream { Said::Yes } else { Said::No }
    }
}

enum Said {
    Yes,
    No,
    NotNow,
}

fn is_plain_stream(fields: &HeaderMap) -> bool {
    is_event_stream(fields.get(header::CONTENT_TYPE)) && !fields.contains_key(header::CONTENT_ENCODING)
}

/// Stands for the task in a target that is made before the task is known.
pub(super) const MARK: &str = "attache-task-of-this-stream";
/// Pauses before the tries.
const PAUSES: [Duration; TRIES] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];
/// Tries for a stream, until it has gone on for [`PATIENCE`].
const TRIES: usize = 3;
/// For one try to its response head, which comes with the first event.
const ONE_TRY: Duration = Duration::from_secs(10);
/// For all tries.
const PATIENCE: Duration = Duration::from_secs(30);
