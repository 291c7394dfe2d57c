//! What an agent's answer says, read while it passes: which endpoint holds which task from now on, and how the call
//! ended for the protocol inside. Nothing is delayed and nothing is encoded again.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use tokio::time::Instant;

use super::call::Call;
use super::facts::Makes;
use super::told::Told;
use crate::a2a::{Answer, AnswerReader, Binding, Event, EventReader, GrpcAnswerReader, Kind, Phase};
use crate::body::Events;
use crate::cluster::{Affinity, Held, HeldKind, Progress, Retention, Scope};
use crate::outcome::AgentFault;
use crate::upstream::WorkerEndpoint;

/// Reads one answer.
#[derive(Debug)]
pub(super) struct AnswerScan {
    reader: Reader,
    /// Whether what came could not be read; nothing more is.
    is_unreadable: bool,
    notes: Notes,
}

/// What was understood of an answer.
#[derive(Debug)]
struct Notes {
    keeper: Keeper,
    told: Told,
    /// How far the task of a stream was when it was last told of; `None` before the first event.
    phase: Option<Phase>,
    /// The failure that the events told of last.
    fault: Option<AgentFault>,
}

#[derive(Debug)]
enum Reader {
    Unary(AnswerReader),
    Events(EventReader),
    Grpc(GrpcAnswerReader),
}

/// Between what a stream stands, so that something can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Between {
    /// Events of `text/event-stream`.
    Events,
    /// Messages of gRPC.
    Messages,
}

/// Remembers who holds what.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) table: Arc<Affinity>,
    pub(super) scope: Scope,
    pub(super) owner: Rc<WorkerEndpoint>,
    /// `None` where the route does not follow tasks.
    pub(super) retention: Option<Retention>,
    pub(super) is_agent: Arc<AtomicBool>,
    /// Who made what the answer tells of, where it is new.
    pub(super) makes: Option<Makes>,
    /// How far the task was when it was written down last, and when that was.
    pub(super) last: Option<(Phase, Instant)>,
    /// When the call was made, where it may begin a task.
    pub(super) began: Option<Instant>,
}

impl AnswerScan {
    /// Reads the answer to `call` that has this head; `None` when there is nothing to read.
    pub(super) fn of(
        call: &Call,
        status: StatusCode,
        fields: &HeaderMap,
        events: Option<Events>,
        keeper: Keeper,
    ) -> Option<Self> {
        let operation = call.operation?;
        // Compressed answers are the client's alone.
        if fields.contains_key(header::CONTENT_ENCODING) {
            return None;
        }
        let json = || AnswerReader::of(call.binding);
        let reader = match (events, call.binding) {
            (Some(Events::Messages), Binding::Grpc) => Reader::Grpc(GrpcAnswerReader::new(operation)),
            (Some(Events::Lines), Binding::JsonRpc | Binding::Rest) => Reader::Events(EventReader::new(json())),
            (None, Binding::JsonRpc | Binding::Rest) if is_json(fields) => Reader::Unary(json()),
            _ => return None,
        };
        let is_read = status.is_success() || call.binding == Binding::JsonRpc;
        let notes = Notes { keeper, told: Told::default(), phase: None, fault: None };
        is_read.then_some(Self { reader, is_unreadable: false, notes })
    }

    /// Bytes of the answer pass.
    pub(super) fn passes(&mut self, bytes: &Bytes) {
        if self.is_unreadable {
            return;
        }
        let mut rest: &[u8] = bytes;
        match &mut self.reader {
            Reader::Unary(reader) => self.is_unreadable = reader.feed(rest).is_err(),
            Reader::Events(reader) => {
                let mut is_noted = false;
                while let Some((_, after)) = reader.read(rest).and_then(|end| rest.split_at_checked(end)) {
                    rest = after;
                    // The same said again at the same moment is no news.
                    if std::mem::replace(&mut is_noted, true) && reader.is_alike() {
                        continue;
                    }
                    self.notes.event(&reader.event());
                }
            }
            Reader::Grpc(reader) => {
                while let Some((_, after)) = reader.read(rest).and_then(|end| rest.split_at_checked(end)) {
                    rest = after;
                    if let Some(answer) = reader.answer() {
                        self.notes.message(answer);
                    }
                }
            }
        }
    }

    /// Between what something can be put in after what has passed; `None` in the middle of something, and in an answer
    /// that is no stream.
    pub(super) fn between(&self) -> Option<Between> {
        match &self.reader {
            Reader::Unary(_) => None,
            Reader::Events(reader) => reader.is_between().then_some(Between::Events),
            Reader::Grpc(reader) => reader.is_between().then_some(Between::Messages),
        }
    }

    /// Whether the stream has more to tell: its task is known not to be over. A stream whose agent ended it politely
    /// may wait for the client.
    pub(super) fn is_unfinished(&self, is_polite: bool) -> bool {
        let goes_on = match self.notes.phase {
            Some(Phase::Working) => true,
            Some(Phase::Interrupted) => !is_polite,
            Some(Phase::Terminal) | None => false,
        };
        goes_on && self.between().is_some()
    }

    /// What follows comes from this endpoint, which holds what it tells of.
    pub(super) fn moves_to(&mut self, worker_endpoint: &Rc<WorkerEndpoint>) {
        self.notes.keeper.owner = Rc::clone(worker_endpoint);
        self.notes.keeper.last = None;
    }

    /// Whether it is a stream of events.
    pub(super) fn is_event_stream(&self) -> bool {
        matches!(self.reader, Reader::Events(_))
    }

    /// The answer has come to its end; `is_stream`: the operation is answered by a stream.
    pub(super) fn end(&mut self, is_stream: bool) -> &Told {
        let notes = &mut self.notes;
        notes.told.fault = match &mut self.reader {
            Reader::Unary(_) if self.is_unreadable => Some(AgentFault::Unreadable),
            Reader::Unary(reader) => match reader.finish() {
                Ok(answer) => {
                    notes.keeper.keep(answer, &mut notes.told);
                    fault_of(answer)
                }
                Err(_) => Some(AgentFault::Unreadable),
            },
            Reader::Events(reader) => {
                if reader.finish() {
                    notes.event(&reader.event());
                }
                let is_whole = reader.is_between() && notes.phase != Some(Phase::Working);
                notes.fault.or(if is_whole { None } else { Some(AgentFault::Truncated) })
            }
            Reader::Grpc(_) => (is_stream && notes.phase == Some(Phase::Working)).then_some(AgentFault::Truncated),
        };
        &self.notes.told
    }

    /// What the answer has told so far.
    pub(super) const fn told(&self) -> &Told {
        &self.notes.told
    }
}

impl Notes {
    /// Takes in an event.
    fn event(&mut self, event: &Event<'_>) {
        if let Some(answer) = event.answer {
            self.fault = fault_of(answer).or(self.fault);
            self.message(answer);
        } else if event.has_data {
            self.fault = self.fault.or(Some(AgentFault::Unreadable));
        }
    }

    /// Takes in what a stream tells next.
    fn message(&mut self, answer: &Answer) {
        self.told.first_event.get_or_insert_with(Instant::now);
        self.phase = Some(phase_of(answer, self.phase));
        self.keeper.keep(answer, &mut self.told);
    }
}

impl Keeper {
    /// Writes down what an answer says, where it is new.
    pub(super) fn keep(&mut self, answer: &Answer, told: &mut Told) {
        if answer.kind() == Kind::Tasks {
            let now = Instant::now();
            for task in answer.tasks() {
                self.learn(HeldKind::Task, task, Progress::Unknown, now);
            }
            return;
        }
        let Some(phase) = phase_told(answer) else { return };
        let now = Instant::now();
        // Said again now and then, so that a stream keeps its own task known.
        let often = self.retention.map_or(Duration::MAX, |retention| retention.active / 16);
        if self.last.is_some_and(|(last, at)| last == phase && now.saturating_duration_since(at) < often) {
            return;
        }
        self.last = Some((phase, now));
        // A message names a task, and is none.
        let is_task = answer.kind() != Kind::Message;
        let progress = match phase {
            _ if !is_task => Progress::Unknown,
            Phase::Terminal => Progress::Ended,
            Phase::Working | Phase::Interrupted => Progress::Active,
        };
        if let Some(task) = answer.task() {
            told.task.get_or_insert_with(|| task.into());
            told.has_task |= is_task;
            let took = self.learn(HeldKind::Task, task, progress, now);
            // Where the route follows no tasks, only what ends with the call that began it is known to end once.
            let took = took.or_else(|| {
                let is_known = self.retention.is_some() || phase != Phase::Terminal;
                self.began.filter(|_| !is_known).map(|began| began.elapsed())
            });
            told.ended = told.ended.or_else(|| answer.state().zip(took));
        }
        if let Some(context) = answer.context() {
            self.learn(HeldKind::Context, context, Progress::Active, now);
        }
    }

    /// Who holds it; how long it went on, if it is a task of whose end this is the first news.
    pub(super) fn learn(&self, kind: HeldKind, id: &str, progress: Progress, now: Instant) -> Option<Duration> {
        if !self.is_agent.load(Relaxed) {
            self.is_agent.store(true, Relaxed);
        }
        let retention = self.retention?;
        let key = self.table.key(self.scope, kind, id.as_bytes());
        let endpoint = self.owner.endpoint();
        if progress == Progress::Unknown {
            self.table.hear_of(key, kind, endpoint.id, retention, now);
            return None;
        }
        if kind == HeldKind::Task && progress == Progress::Active {
            endpoint.holds_task(now);
        }
        let makes = self.makes.filter(|makes| kind != HeldKind::Context || makes.context);
        let held = Held { kind, owner: endpoint.id, progress, maker: makes.map(|makes| makes.maker) };
        self.table.learn(key, held, self.began, retention, now)
    }
}

/// How far the task is that an answer tells of; `None` when it tells of none.
fn phase_told(answer: &Answer) -> Option<Phase> {
    match answer.kind() {
        Kind::Task | Kind::StatusUpdate => Some(answer.state().map_or(Phase::Working, |state| state.phase())),
        Kind::Message | Kind::ArtifactUpdate => answer.task().or_else(|| answer.context()).map(|_| Phase::Working),
        Kind::Tasks | Kind::Error | Kind::Other => None,
    }
}

/// How far a stream is with this event: whether it may end after it.
fn phase_of(answer: &Answer, before: Option<Phase>) -> Phase {
    match answer.kind() {
        Kind::Message | Kind::Error => Phase::Terminal,
        Kind::StatusUpdate if answer.is_final() => Phase::Terminal,
        Kind::Task | Kind::StatusUpdate => answer.state().map_or(Phase::Working, |state| state.phase()),
        Kind::ArtifactUpdate => before.unwrap_or(Phase::Working),
        // What this gateway does not know may be all there is.
        Kind::Tasks | Kind::Other => before.unwrap_or(Phase::Terminal),
    }
}

/// The failure that an answer tells of.
fn fault_of(answer: &Answer) -> Option<AgentFault> {
    let error = answer.error()?;
    let code = error.code.and_then(|code| i32::try_from(code).ok()).unwrap_or_default();
    Some(if code == INTERNAL { AgentFault::Internal } else { AgentFault::Error(code) })
}

fn is_json(fields: &HeaderMap) -> bool {
    let Some(value) = fields.get(header::CONTENT_TYPE) else { return false };
    let essence = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json") || essence.eq_ignore_ascii_case(b"application/a2a+json")
}

/// JSON-RPC's code for a failure of the agent itself.
const INTERNAL: i32 = -32603;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_answer_costs_in_memory_is_small() {
        // The allocator is slow with what is larger than a kilobyte.
        assert!(size_of::<AnswerScan>() <= 1024, "{}", size_of::<AnswerScan>());
        assert!(size_of::<Call>() <= 512, "{}", size_of::<Call>());
    }
}
