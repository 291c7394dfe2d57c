//! Goes on with the stream of an agent that broke off before its task was over: the gateway subscribes to the task
//! again, with the caller's fields. The first event is the task as it is then, which brings the client up to date; what
//! came in between is lost, and said to be.

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Uri, header};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::call::Call;
use super::subscription::{Asking, Outcome, PATIENCE, Resumed, Subscription, TRIES};
use crate::a2a::{Binding, Question, path_segment};
use crate::config::model::UpstreamHost;
use crate::error::Error;
use crate::upstream::WorkerEndpoint;

/// What is needed to subscribe again. Taken from the request before an endpoint gets it, which only routes do that want
/// it.
#[derive(Debug)]
pub(super) struct Continuity {
    heads: Heads,
    host: UpstreamHost,
    /// The name of the cluster that the call went to: the stream may outlive its configuration.
    cluster: Box<str>,
    /// Tries that are left.
    left: usize,
    /// When the stream went on last.
    since: Option<Instant>,
    asking: Option<Running>,
}

/// The heads of the questions for further events and for the whole task. Where a target names the task, [`MARK`]
/// stands.
#[derive(Debug)]
pub(super) struct Heads {
    pub(super) events: Parts,
    pub(super) whole: Parts,
}

/// A subscription under way. Dropped, it is cancelled.
struct Running {
    /// Why the stream broke off.
    broke: Error,
    answer: Pin<Box<dyn Future<Output = Outcome>>>,
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("broke", &self.broke).finish_non_exhaustive()
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
    /// The others of its version, which may have it too.
    pub(super) others: Vec<Rc<WorkerEndpoint>>,
    /// Places for questions to the others.
    pub(super) places: Arc<Semaphore>,
    pub(super) rng: fastrand::Rng,
}

impl Continuity {
    /// For calls whose stream is to go on.
    pub(super) fn new(heads: Heads, host: UpstreamHost, cluster: Box<str>) -> Self {
        let heads = Heads { events: detached(heads.events), whole: detached(heads.whole) };
        Self { heads, host, cluster, left: TRIES, since: None, asking: None }
    }

    /// The name of the cluster that the call went to.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
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
        let (call, task) = (again.call, again.task);
        let ids = call.ids();
        let events = Question::events(call.binding, call.generation, task, &ids, call.id());
        let whole = Question::whole(call.binding, call.generation, task, &ids);
        let asking = (request(&self.heads.events, &events, task), request(&self.heads.whole, &whole, task));
        let (Some(events), Some(whole)) = asking else { return Err(broke) };
        if self.has_lasted() {
            self.left = TRIES;
        }
        let subscription = Subscription {
            events,
            whole,
            host: self.host.clone(),
            own: again.worker_endpoint,
            others: again.others,
            places: again.places,
            binding: call.binding,
            generation: call.generation,
            id: call.id().map(Box::from),
            task: task.into(),
        };
        let answer = Box::pin(subscription.run(self.left, again.rng));
        self.asking = Some(Running { broke, answer });
        Ok(())
    }

    /// The stream that goes on, or the word for why it does not and why the one before broke off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Resumed, (&'static str, Error)>> {
        let Some(asking) = &mut self.asking else { return Poll::Pending };
        let (left, answer) = ready!(asking.answer.as_mut().poll(cx));
        let broke = self.asking.take().map_or(Error::Internal, |asking| asking.broke);
        self.left = if answer.is_ok() { left } else { 0 };
        self.since = answer.is_ok().then(Instant::now);
        Poll::Ready(answer.map_err(|word| (word, broke)))
    }
}

/// A question with the task in the places of [`MARK`].
fn request(head: &Parts, question: &Question<'_>, task: &str) -> Option<Asking> {
    let (mut head, body) = (head.clone(), Bytes::from(question.body()));
    if question.binding == Binding::Rest {
        let target = head.uri.path_and_query().filter(|target| target.as_str().contains(MARK))?;
        head.uri = target.as_str().replace(MARK, &path_segment(task)).parse::<Uri>().ok()?;
    } else {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Some(Asking { head, body })
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

/// Stands for the task in a target that is made before the task is known.
pub(super) const MARK: &str = "attache-task-of-this-stream";
