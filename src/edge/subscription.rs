//! Subscribes again to the task of a stream that broke off: at the endpoint that held it, and where that does not
//! answer or does not know the task any more, at another of its version that does, because some agents share their
//! tasks. A task that ended meanwhile lets nobody subscribe; it is fetched, and the stream ends with what it came to.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};

use super::collect;
use super::facts::{is_event_stream, is_grpc};
use crate::a2a::{
    Answer, AnswerReader, Binding, EventReader, EventShape, Generation, GrpcAnswerReader, Kind, Operation, Phase,
};
use crate::body::{Come, FaultBody};
use crate::cluster::{self, InFlight};
use crate::config::model::UpstreamHost;
use crate::outcome::{self, Application, GRPC_STATUS};
use crate::pool::ResponseBody;
use crate::upstream::{AskPlan, Asked, WorkerEndpoint, ask};

/// Everything a subscription takes along.
#[derive(Debug)]
pub(super) struct Subscription {
    /// The question for further events.
    pub(super) events: Asking,
    /// The question for the whole task.
    pub(super) whole: Asking,
    pub(super) host: UpstreamHost,
    /// The endpoint that held the task.
    pub(super) own: Rc<WorkerEndpoint>,
    /// The others of its version.
    pub(super) others: Vec<Rc<WorkerEndpoint>>,
    /// Places for questions to the others, over all workers: an endpoint that fails breaks many streams at once.
    pub(super) places: Arc<Semaphore>,
    pub(super) binding: Binding,
    pub(super) generation: Generation,
    /// The id of the caller's JSON-RPC call.
    pub(super) id: Option<Box<str>>,
    pub(super) task: Box<str>,
}

/// A question as endpoints shall see it.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) head: Parts,
    pub(super) body: Bytes,
}

/// What the client's stream goes on with.
#[derive(Debug)]
pub(super) struct Resumed {
    pub(super) body: FaultBody<ResponseBody>,
    pub(super) in_flight: InFlight<Rc<WorkerEndpoint>>,
    /// What it is counted as.
    pub(super) word: &'static str,
}

/// Tries that are left, and what the stream goes on with or the word for why it does not.
pub(super) type Outcome = (usize, Result<Resumed, &'static str>);

/// What came of one endpoint.
enum Came {
    Resumed(Box<Resumed>),
    /// It has the task, which goes on, and lets nobody subscribe.
    Refused,
    /// It does not have the task.
    Unknown,
    /// It does not answer.
    Silent,
}

/// What an endpoint says of the whole task.
enum Whole {
    Ended(Box<Resumed>),
    GoesOn,
    Unknown,
    Silent,
}

impl Subscription {
    /// Tries so often, with growing pauses.
    pub(super) async fn run(self, mut left: usize, mut rng: fastrand::Rng) -> Outcome {
        let end = Instant::now() + PATIENCE;
        while let Some(pause) = PAUSES.get(TRIES.saturating_sub(left)).filter(|_| left > 0) {
            left -= 1;
            // Many streams may have broken off at the same time.
            sleep(pause.mul_f64(0.5 + rng.f64() / 2.0)).await;
            let own = self.at(&self.own, end).await;
            let is_lost = matches!(own, Came::Unknown);
            let came = match own {
                Came::Unknown | Came::Silent => self.elsewhere(end).await,
                found => found,
            };
            match came {
                Came::Resumed(resumed) => return (left, Ok(*resumed)),
                Came::Refused => return (left, Err("refused")),
                Came::Unknown if is_lost => return (left, Err("refused")),
                Came::Unknown | Came::Silent => {}
            }
        }
        (left, Err("failed"))
    }

    /// Subscribes at one endpoint.
    async fn at(&self, endpoint: &Rc<WorkerEndpoint>, end: Instant) -> Came {
        let deadline = end.min(Instant::now() + ONE_TRY);
        let Some(asked) = self.ask(&self.events, endpoint, deadline, cluster::Kind::Stream).await else {
            return Came::Silent;
        };
        let refused = match what_says(&asked.response, self.binding) {
            Said::Yes => match self.first_of(asked, end.min(Instant::now() + FIRST_EVENT)).await {
                Some(came) => return came,
                None => true,
            },
            Said::No => true,
            Said::NotNow => false,
        };
        if !refused {
            return Came::Silent;
        }
        match self.whole_at(endpoint, deadline).await {
            Whole::Ended(resumed) => Came::Resumed(resumed),
            Whole::GoesOn => Came::Refused,
            Whole::Unknown | Whole::Silent => Came::Unknown,
        }
    }

    /// At the first of the other endpoints that has the task.
    async fn elsewhere(&self, end: Instant) -> Came {
        let Ok(Ok(place)) = timeout_at(end, self.places.acquire()).await else { return Came::Silent };
        let deadline = end.min(Instant::now() + ELSEWHERE);
        let look = |endpoint| async move { (endpoint, self.whole_at(endpoint, deadline).await) };
        let mut asked: FuturesUnordered<_> = self.others.iter().map(look).collect();
        let holder = loop {
            match asked.next().await {
                Some((_, Whole::Ended(resumed))) => return Came::Resumed(resumed),
                Some((endpoint, Whole::GoesOn)) => break endpoint,
                Some((_, Whole::Unknown | Whole::Silent)) => {}
                None => return Came::Unknown,
            }
        };
        drop(asked);
        drop(place);
        self.at(holder, end).await
    }

    async fn ask(
        &self,
        asking: &Asking,
        endpoint: &Rc<WorkerEndpoint>,
        deadline: Instant,
        kind: cluster::Kind,
    ) -> Option<Asked> {
        let plan = AskPlan {
            head: &asking.head,
            body: &asking.body,
            host: &self.host,
            grpc: self.binding == Binding::Grpc,
            deadline,
            kind,
        };
        timeout_at(deadline, ask(&plan, Rc::clone(endpoint))).await.ok()?.ok()
    }

    /// The stream from its first event on; `None` where that is an error: agents of 0.3 refuse in a stream. One that
    /// says nothing for a while goes on.
    async fn first_of(&self, asked: Asked, until: Instant) -> Option<Came> {
        let mut body = asked.response.into_body();
        let mut come = Come::default();
        if self.binding != Binding::Grpc {
            let mut reader = EventReader::new(AnswerReader::of(self.binding));
            let mut data = BytesMut::new();
            while data.len() < MAX_FIRST_EVENT {
                let frame = match timeout_at(until, poll_fn(|cx| Pin::new(&mut body).poll_frame(cx))).await {
                    Ok(Some(Ok(frame))) => frame,
                    Ok(Some(Err(_broken))) => return Some(Came::Silent),
                    Ok(None) | Err(_) => break,
                };
                let Ok(piece) = frame.into_data() else { break };
                data.extend_from_slice(&piece);
                match first_kind(&mut reader, &piece) {
                    Some(Kind::Error) => return None,
                    Some(_) => break,
                    None => {}
                }
            }
            come.data = data.freeze();
        }
        let body = FaultBody::begun(come, body);
        Some(Came::Resumed(Box::new(Resumed { body, in_flight: asked.in_flight, word: "continued" })))
    }

    /// Asks one endpoint for the whole task.
    async fn whole_at(&self, endpoint: &Rc<WorkerEndpoint>, deadline: Instant) -> Whole {
        let Some(asked) = self.ask(&self.whole, endpoint, deadline, cluster::Kind::Request).await else {
            return Whole::Silent;
        };
        if asked.response.status().is_server_error() {
            return Whole::Silent;
        }
        let mut body = asked.response.into_body();
        let Ok(Some(answer)) = collect::whole(&mut body, MAX_WHOLE, deadline).await else { return Whole::Silent };
        match self.phase_in(&answer) {
            None => return Whole::Unknown,
            Some(Phase::Working | Phase::Interrupted) => return Whole::GoesOn,
            Some(Phase::Terminal) => {}
        }
        let shape = EventShape { binding: self.binding, generation: self.generation, id: self.id.as_deref() };
        let Some(events) = shape.final_events(&answer) else { return Whole::GoesOn };
        let trailers = (self.binding == Binding::Grpc)
            .then(|| HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]));
        let come = Come { data: events.into(), trailers };
        let body = FaultBody::begun(come, body);
        Whole::Ended(Box::new(Resumed { body, in_flight: asked.in_flight, word: "ended" }))
    }

    /// How far the task is, where the answer tells of it.
    fn phase_in(&self, answer: &[u8]) -> Option<Phase> {
        if self.binding == Binding::Grpc {
            let mut reader = GrpcAnswerReader::new(Operation::GetTask);
            reader.read(answer)?;
            return self.phase_of(reader.answer()?);
        }
        let mut reader = AnswerReader::of(self.binding);
        reader.feed(answer).ok()?;
        self.phase_of(reader.finish().ok()?)
    }

    fn phase_of(&self, answer: &Answer) -> Option<Phase> {
        let is_it = answer.kind() == Kind::Task && answer.task() == Some(&*self.task);
        is_it.then(|| answer.state().map_or(Phase::Working, |state| state.phase()))
    }
}

/// What the first event in these bytes is, once it is whole.
fn first_kind(reader: &mut EventReader, piece: &[u8]) -> Option<Kind> {
    let mut rest = piece;
    while let Some((_, after)) = reader.read(rest).and_then(|end| rest.split_at_checked(end)) {
        rest = after;
        if let Some(answer) = reader.event().answer {
            return Some(answer.kind());
        }
    }
    None
}

enum Said {
    Yes,
    No,
    NotNow,
}

/// What an answer says about the stream that is asked for.
fn what_says<B>(response: &Response<B>, binding: Binding) -> Said {
    let (status, fields) = (response.status(), response.headers());
    if binding == Binding::Grpc {
        let said = Application::of_head(fields);
        return match outcome::Outcome::answered(status, said).presence() {
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

fn is_plain_stream(fields: &HeaderMap) -> bool {
    is_event_stream(fields.get(header::CONTENT_TYPE)) && !fields.contains_key(header::CONTENT_ENCODING)
}

/// Pauses before the tries.
const PAUSES: [Duration; TRIES] = [Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];
/// Tries for a stream, until it has gone on for [`PATIENCE`].
pub(super) const TRIES: usize = 3;
/// For one try to its response head, which comes with the first event.
const ONE_TRY: Duration = Duration::from_secs(10);
/// For all tries.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// For the question who else has the task.
const ELSEWHERE: Duration = Duration::from_secs(2);
/// How long the first event of a stream is waited for, to see whether it is a refusal.
const FIRST_EVENT: Duration = Duration::from_secs(1);
/// Bytes that are held back for that.
const MAX_FIRST_EVENT: usize = 1 << 20;
/// Bytes of a task that is over. Some clients take no longer event.
const MAX_WHOLE: usize = 4 << 20;
