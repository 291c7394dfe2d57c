//! What an agent's answer or one event of a stream says: a task, a message, what became of a task, or an error (A2A 1.0
//! sections 3.2, 5.4, 9.5 and 11; 0.3 sections 6 to 8). The answer is only looked at as it passes.

use super::json::{Capture, Fault, Place, Reader, Skipped, Tokenizer, Value};
use super::operation::Binding;
use super::task::TaskState;
use super::texts::{Span, Texts};

/// Reads answers in pieces cut anywhere, one after the other.
#[derive(Debug)]
pub struct AnswerReader {
    tokenizer: Tokenizer<Spot>,
    answer: Answer,
}

impl AnswerReader {
    /// For answers of JSON-RPC.
    #[must_use]
    pub fn json_rpc() -> Self {
        Self { tokenizer: Tokenizer::default(), answer: Answer::new(Spot::Envelope) }
    }

    /// For answers of the REST binding, which are what JSON-RPC has as its result, or an error.
    #[must_use]
    pub fn rest() -> Self {
        Self { tokenizer: Tokenizer::default(), answer: Answer::new(Spot::Payload) }
    }

    /// For answers in this binding; those of gRPC are read by [`GrpcAnswerReader`](super::GrpcAnswerReader).
    #[must_use]
    pub fn of(binding: Binding) -> Self {
        match binding {
            Binding::JsonRpc => Self::json_rpc(),
            Binding::Rest | Binding::Grpc => Self::rest(),
        }
    }

    /// Takes the next bytes. After a fault every call gives the same one, until [`AnswerReader::restart`].
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.tokenizer.feed(bytes, &mut self.answer)
    }

    /// The same, and `skips` is told of what nobody reads, and how many bytes before the end of these it begins.
    pub(super) fn feed_and_tell(&mut self, bytes: &[u8], skips: impl FnMut(Skipped, usize)) -> Result<(), Fault> {
        self.tokenizer.feed(bytes, &mut Watched { answer: &mut self.answer, skips })
    }

    /// What has been read so far.
    #[must_use]
    pub const fn so_far(&self) -> &Answer {
        &self.answer
    }

    /// The answer is whole.
    pub fn finish(&mut self) -> Result<&Answer, Fault> {
        self.tokenizer.finish(&mut self.answer)?;
        Ok(&self.answer)
    }

    /// Begins another answer.
    pub fn restart(&mut self) {
        self.tokenizer.restart();
        self.answer.clear();
    }
}

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A task as it is now.
    Task,
    /// A message, and no task.
    Message,
    /// A task has another state.
    StatusUpdate,
    /// A task has made something.
    ArtifactUpdate,
    /// A list of tasks.
    Tasks,
    /// An error.
    Error,
    /// Something else: a webhook, a card, nothing.
    Other,
}

/// What an error says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentError<'a> {
    /// The code of JSON-RPC, or the HTTP status as the body repeats it.
    pub code: Option<i64>,
    /// The word of the status, in REST.
    pub status: Option<&'a str>,
    /// The reason in its details, for example `TASK_NOT_FOUND`.
    pub reason: Option<&'a str>,
}

/// What an answer says.
#[derive(Debug)]
pub struct Answer {
    root: Spot,
    texts: Texts,
    found: [Option<Span>; Spot::COUNT],
    /// The member that holds the rest, or the word under `kind`.
    kind: Option<Kind>,
    state: Option<TaskState>,
    code: Option<i64>,
    listed: Vec<Span>,
    is_final: Option<bool>,
    has_status: bool,
    has_artifact: bool,
    has_error: bool,
    is_list: bool,
    is_ambiguous: bool,
    is_incomplete: bool,
}

impl Answer {
    /// How many tasks of a list are kept: the largest page of A2A 1.0 section 3.1.4.
    pub const MAX_TASKS: usize = 100;

    pub(super) fn new(root: Spot) -> Self {
        Self {
            root,
            texts: Texts::default(),
            found: [None; Spot::COUNT],
            kind: None,
            state: None,
            code: None,
            listed: Vec::new(),
            is_final: None,
            has_status: false,
            has_artifact: false,
            has_error: false,
            is_list: false,
            is_ambiguous: false,
            is_incomplete: false,
        }
    }

    pub(super) fn clear(&mut self) {
        let (mut texts, mut listed) = (std::mem::take(&mut self.texts), std::mem::take(&mut self.listed));
        texts.clear();
        listed.clear();
        *self = Self { texts, listed, ..Self::new(self.root) };
    }

    /// What it is. Older generations and single tasks are told by their members.
    #[must_use]
    pub fn kind(&self) -> Kind {
        let has = |spot| self.text(spot).is_some();
        match self.kind {
            _ if self.has_error => Kind::Error,
            Some(kind) => kind,
            None if self.is_list => Kind::Tasks,
            None if has(Spot::Id) && self.is_final.is_some() => Kind::StatusUpdate,
            None if has(Spot::Id) && self.has_status => Kind::Task,
            None if has(Spot::Id) && self.has_artifact => Kind::ArtifactUpdate,
            None if has(Spot::MessageId) => Kind::Message,
            None => Kind::Other,
        }
    }

    /// The task it is about.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        let id = match self.kind() {
            Kind::Task => self.text(Spot::Id),
            Kind::Message => self.text(Spot::TaskId),
            // Events of 0.1 have it under `id`.
            Kind::StatusUpdate | Kind::ArtifactUpdate => self.text(Spot::TaskId).or_else(|| self.text(Spot::Id)),
            Kind::Tasks | Kind::Error | Kind::Other => None,
        };
        id.filter(|id| !id.is_empty())
    }

    /// The context it belongs to; the session in 0.1.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        match self.kind() {
            Kind::Task | Kind::Message | Kind::StatusUpdate | Kind::ArtifactUpdate => {
                self.text(Spot::ContextId).filter(|id| !id.is_empty())
            }
            Kind::Tasks | Kind::Error | Kind::Other => None,
        }
    }

    /// The state of the task, as far as it says one.
    #[must_use]
    pub const fn state(&self) -> Option<TaskState> {
        self.state
    }

    /// Whether an older agent says that this event is the last of its stream.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.is_final == Some(true)
    }

    /// The error, if it is one.
    #[must_use]
    pub fn error(&self) -> Option<AgentError<'_>> {
        let (status, reason) = (self.text(Spot::ErrorStatus), self.text(Spot::Reason));
        self.has_error.then_some(AgentError { code: self.code, status, reason })
    }

    /// The tasks of a list, at most [`Answer::MAX_TASKS`].
    pub fn tasks(&self) -> impl Iterator<Item = &str> {
        self.listed.iter().filter_map(|span| self.texts.get(*span))
    }

    /// Whether a member came twice, so that a client may read it differently.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// Whether an id was too long or a task too many to be kept.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.is_incomplete
    }

    fn text(&self, spot: Spot) -> Option<&str> {
        self.texts.get(self.found.get(spot as usize).copied().flatten()?)
    }

    fn keep(&mut self, spot: Spot, text: &str) {
        match spot {
            Spot::State => self.state = self.state.or_else(|| TaskState::from_word(text)),
            Spot::KindName => self.kind = self.kind.or_else(|| kind_of(text)),
            Spot::ListedId if self.listed.len() < Self::MAX_TASKS => self.listed.extend(self.texts.push(&[text])),
            Spot::ListedId => self.is_incomplete = true,
            spot => {
                if let Some(found @ None) = self.found.get_mut(spot as usize) {
                    *found = self.texts.push(&[text]);
                }
            }
        }
    }

    /// As [`Reader::value`] of a state that is a number.
    pub(super) fn keep_state(&mut self, number: u64) {
        self.state = TaskState::from_number(number);
    }

    /// An object, an array or a mere presence.
    fn note(&mut self, at: Spot) {
        let kind = match at {
            Spot::Task => Kind::Task,
            Spot::Message => Kind::Message,
            Spot::StatusUpdate => Kind::StatusUpdate,
            Spot::ArtifactUpdate => Kind::ArtifactUpdate,
            Spot::Error => return self.has_error = true,
            Spot::Tasks => return self.is_list = true,
            Spot::Status => return self.has_status = true,
            Spot::Artifact => return self.has_artifact = true,
            _ => return,
        };
        self.kind = self.kind.or(Some(kind));
    }
}

fn kind_of(word: &str) -> Option<Kind> {
    Some(match word {
        "task" => Kind::Task,
        "message" => Kind::Message,
        "status-update" => Kind::StatusUpdate,
        "artifact-update" => Kind::ArtifactUpdate,
        _ => return None,
    })
}

impl Reader for Answer {
    type Place = Spot;

    fn root(&self) -> Spot {
        self.root
    }

    fn member(&self, at: Spot, key: &[u8]) -> Option<Spot> {
        use Spot::{ArtifactUpdate, Message, Payload, StatusUpdate, Task};
        Some(match (at, key) {
            (Spot::Envelope, b"result") => Payload,
            (Spot::Envelope, b"error") => Spot::Error,
            (Payload, b"error") if self.root == Payload => Spot::Error,
            (Payload, b"task") => Task,
            // The second is the name in the protocol buffers of 0.3.
            (Payload, b"message" | b"msg") => Message,
            (Payload, b"statusupdate") => StatusUpdate,
            (Payload, b"artifactupdate") => ArtifactUpdate,
            (Payload, b"tasks") => Spot::Tasks,
            (Payload, b"kind") => Spot::KindName,
            (Payload, b"artifact") => Spot::Artifact,
            (Payload | Task, b"id") => Spot::Id,
            (Payload | Message | StatusUpdate | ArtifactUpdate, b"taskid") => Spot::TaskId,
            (Payload, b"sessionid") | (Payload | Task | Message | StatusUpdate | ArtifactUpdate, b"contextid") => {
                Spot::ContextId
            }
            (Payload | Message, b"messageid") => Spot::MessageId,
            (Payload | Task | StatusUpdate, b"status") => Spot::Status,
            (Payload | StatusUpdate, b"final") => Spot::Final,
            (Spot::Status, b"state") => Spot::State,
            (Spot::ListedTask, b"id") => Spot::ListedId,
            (Spot::Error, b"code") => Spot::Code,
            (Spot::Error, b"status") => Spot::ErrorStatus,
            (Spot::Error, b"data" | b"details") => Spot::Details,
            (Spot::Detail, b"reason") => Spot::Reason,
            _ => return None,
        })
    }

    fn element(&self, at: Spot) -> Option<Spot> {
        match at {
            Spot::Tasks => Some(Spot::ListedTask),
            Spot::Details => Some(Spot::Detail),
            _ => None,
        }
    }

    fn capture(&self, at: Spot) -> Capture {
        if at.is_text() { Capture::Text } else { Capture::Kind }
    }

    fn value(&mut self, at: Spot, value: Value<'_>) {
        match (at, value) {
            (Spot::State, Value::Number(number)) => {
                self.state = number.parse().ok().and_then(TaskState::from_number);
            }
            (at, Value::Text(text)) if at.is_text() => self.keep(at, text),
            (at, Value::Long) if at.is_text() => self.is_incomplete = true,
            (Spot::Code, Value::Number(number)) => self.code = number.parse().ok(),
            (Spot::Final, Value::Bool(is_final)) => self.is_final = Some(is_final),
            (at, Value::Object | Value::Array) => self.note(at),
            _ => {}
        }
    }

    fn repeated(&mut self) {
        self.is_ambiguous = true;
    }
}

/// An answer whose reader is told of what is skipped.
struct Watched<'a, S> {
    answer: &'a mut Answer,
    skips: S,
}

impl<S: FnMut(Skipped, usize)> Reader for Watched<'_, S> {
    type Place = Spot;

    fn root(&self) -> Spot {
        self.answer.root()
    }

    fn member(&self, at: Spot, key: &[u8]) -> Option<Spot> {
        self.answer.member(at, key)
    }

    fn element(&self, at: Spot) -> Option<Spot> {
        self.answer.element(at)
    }

    fn capture(&self, at: Spot) -> Capture {
        self.answer.capture(at)
    }

    fn value(&mut self, at: Spot, value: Value<'_>) {
        self.answer.value(at, value);
    }

    fn skips(&mut self, kind: Skipped, left: usize) {
        (self.skips)(kind, left);
    }

    fn repeated(&mut self) {
        self.answer.repeated();
    }
}

/// Places in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Id,
    TaskId,
    ContextId,
    MessageId,
    ErrorStatus,
    Reason,
    State,
    KindName,
    ListedId,
    // What follows is no text.
    Code,
    Final,
    Envelope,
    Payload,
    Task,
    Message,
    StatusUpdate,
    ArtifactUpdate,
    Artifact,
    Status,
    Tasks,
    ListedTask,
    Error,
    Details,
    Detail,
}

impl Spot {
    /// How many of them have a text that is kept once.
    const COUNT: usize = Self::State as usize;

    /// Whether it is a text.
    pub(super) const fn is_text(self) -> bool {
        (self as usize) < Self::Code as usize
    }
}

impl Place for Spot {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

#[cfg(test)]
mod tests;
