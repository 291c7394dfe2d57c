//! What the body of a request says: the envelope of a JSON-RPC call, and in it or without it the ids and addresses of
//! an operation (A2A 1.0 sections 3, 9.4 and 11; 0.3 section 7). The keys may come in any order, so ids of every shape
//! are kept and chosen once the method is known.

use super::json::{Capture, Fault, Place, Reader, Tokenizer, Value};
use super::operation::{Generation, Operation};
use super::texts::{Span, Texts};

/// Reads a body in pieces cut anywhere.
#[derive(Debug)]
pub struct BodyReader {
    tokenizer: Tokenizer<Spot>,
    body: Body,
}

impl BodyReader {
    /// For the body of a JSON-RPC call.
    #[must_use]
    pub fn json_rpc() -> Self {
        Self::new(Spot::Envelope)
    }

    /// For the body of a REST call, which is what the envelope of JSON-RPC holds.
    #[must_use]
    pub fn rest() -> Self {
        Self::new(Spot::Params)
    }

    fn new(root: Spot) -> Self {
        Self { tokenizer: Tokenizer::default(), body: Body::new(root) }
    }

    /// Takes the next bytes. After a fault every call gives the same one.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.tokenizer.feed(bytes, &mut self.body)
    }

    /// What is known of a body that has not come whole: the method and the id, when they stand early in it.
    #[must_use]
    pub const fn so_far(&self) -> &Body {
        &self.body
    }

    /// What is known of a body that will not come whole.
    #[must_use]
    pub fn abandon(self) -> Body {
        self.body
    }

    /// The body is whole.
    pub fn finish(mut self) -> Result<Body, Fault> {
        self.tokenizer.finish(&mut self.body)?;
        Ok(self.body)
    }
}

/// What a body says.
#[derive(Debug)]
pub struct Body {
    root: Spot,
    texts: Texts,
    /// Where the text of each place lies.
    found: [Option<Span>; Spot::COUNT],
    push_urls: Urls,
    file_urls: Urls,
    is_batch: bool,
    is_ambiguous: bool,
    is_incomplete: bool,
    is_foreign: bool,
    /// Whether a member of the envelope, or of the parameters, has a value of another kind than it should.
    has_odd_envelope: bool,
    has_odd_params: bool,
}

/// What keeps a body from being a call as JSON-RPC 2.0 and A2A describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misshapen {
    /// The version, the method or the id.
    Envelope,
    /// The parameters, or an id in them.
    Params,
}

/// Ids of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    /// The task it is about; in a send only when it continues one.
    pub task: Option<&'a str>,
    /// The context it belongs to.
    pub context: Option<&'a str>,
    /// The message that is sent.
    pub message: Option<&'a str>,
    /// The tenant.
    pub tenant: Option<&'a str>,
    /// The webhook.
    pub config: Option<&'a str>,
}

impl Body {
    /// Reads a body that has come whole, as JSON-RPC.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = BodyReader::json_rpc();
        reader.feed(bytes)?;
        reader.finish()
    }

    pub(super) fn new(root: Spot) -> Self {
        Self {
            root,
            texts: Texts::default(),
            found: [None; Spot::COUNT],
            push_urls: Urls::default(),
            file_urls: Urls::default(),
            is_batch: false,
            is_ambiguous: false,
            is_incomplete: false,
            is_foreign: false,
            has_odd_envelope: false,
            has_odd_params: false,
        }
    }

    /// Whether it says that it is a call of JSON-RPC 2.0.
    #[must_use]
    pub fn is_json_rpc(&self) -> bool {
        self.text(Spot::Version) == Some("2.0")
    }

    /// What is wrong with its shape, as far as that was looked at. A body without a method is no call at all.
    #[must_use]
    pub fn misshapen(&self) -> Option<Misshapen> {
        let is_call = self.root == Spot::Envelope && self.method().is_some();
        if self.has_odd_envelope || is_call && !self.is_json_rpc() {
            return Some(Misshapen::Envelope);
        }
        (self.has_odd_params && (is_call || self.root == Spot::Params)).then_some(Misshapen::Params)
    }

    /// Whether it has a member that no call of JSON-RPC has: it is something else, and need not be read to its end.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Whether it is a list of calls, which A2A does not have (0.3 section 3.2.1). Its method is the first that is one
    /// of A2A; the rest that is read is of no use.
    #[must_use]
    pub const fn is_batch(&self) -> bool {
        self.is_batch
    }

    /// Whether something in it comes twice, so that this gateway and an agent may read it differently.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        self.is_ambiguous
    }

    /// Whether an id or an address in it is longer than what is kept, or there are more addresses than are kept. A
    /// guard then does not know everything.
    #[must_use]
    pub const fn is_incomplete(&self) -> bool {
        self.is_incomplete || self.push_urls.is_cut || self.file_urls.is_cut
    }

    /// Whether [`Body::push_urls`] does not give all of them.
    #[must_use]
    pub const fn lacks_push_urls(&self) -> bool {
        self.push_urls.is_cut
    }

    /// Whether [`Body::file_urls`] does not give all of them.
    #[must_use]
    pub const fn lacks_file_urls(&self) -> bool {
        self.file_urls.is_cut
    }

    /// The method of JSON-RPC.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.text(Spot::Method)
    }

    /// What the method means. `None` when it is not one of A2A.
    #[must_use]
    pub fn operation(&self) -> Option<(Operation, Generation)> {
        Operation::from_json_rpc(self.method()?)
    }

    /// The id of JSON-RPC as it was written, in quotes where it is a string, and `null` where it is that. `None` when
    /// there is none, or it is of no legal kind, or there are several calls.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.text(Spot::CallId).filter(|_| !self.is_batch)
    }

    /// The ids of that operation in the shape of that generation.
    #[must_use]
    pub fn ids(&self, operation: Operation, generation: Generation) -> Ids<'_> {
        let is_first = generation == Generation::V0_1;
        let is_current = generation == Generation::V1_0;
        let (task, context, message, config) = match operation {
            Operation::SendMessage | Operation::SendStreamingMessage if is_first => {
                (Some(Spot::ParamsId), Some(Spot::Session), None, None)
            }
            Operation::SendMessage | Operation::SendStreamingMessage => {
                (Some(Spot::MessageTask), Some(Spot::MessageContext), Some(Spot::MessageId), None)
            }
            Operation::GetTask | Operation::CancelTask | Operation::SubscribeToTask => {
                (Some(Spot::ParamsId), None, None, None)
            }
            Operation::ListTasks => (None, Some(Spot::ParamsContext), None, None),
            Operation::CreateTaskPushNotificationConfig => {
                (Some(if is_first { Spot::ParamsId } else { Spot::ParamsTask }), None, None, None)
            }
            Operation::ListTaskPushNotificationConfigs => {
                (Some(if is_current { Spot::ParamsTask } else { Spot::ParamsId }), None, None, None)
            }
            // Here `id` is the task in older generations and the webhook in 1.0.
            Operation::GetTaskPushNotificationConfig | Operation::DeleteTaskPushNotificationConfig => {
                let current = (Some(Spot::ParamsTask), None, None, Some(Spot::ParamsId));
                if is_current { current } else { (Some(Spot::ParamsId), None, None, Some(Spot::ConfigId)) }
            }
            Operation::GetExtendedAgentCard | Operation::GetAgentCard => (None, None, None, None),
        };
        let text = |spot: Option<Spot>| spot.and_then(|spot| self.text(spot)).filter(|text| !text.is_empty());
        Ids {
            task: text(task),
            context: text(context),
            message: text(message),
            tenant: text(is_current.then_some(Spot::Tenant)),
            config: text(config),
        }
    }

    /// Addresses that the agent is asked to post events to, in any generation's shape.
    pub fn push_urls(&self) -> impl Iterator<Item = &str> {
        self.push_urls.iter(&self.texts)
    }

    /// Addresses of files that the agent may fetch.
    pub fn file_urls(&self) -> impl Iterator<Item = &str> {
        self.file_urls.iter(&self.texts)
    }

    fn text(&self, spot: Spot) -> Option<&str> {
        let span = self.found.get(spot as usize).copied().flatten()?;
        self.texts.get(span)
    }

    /// Keeps the text of a place, the first that comes.
    pub(super) fn keep(&mut self, spot: Spot, parts: &[&str]) {
        match spot {
            Spot::PushUrl => self.push_urls.push(&mut self.texts, parts),
            Spot::FileUrl => self.file_urls.push(&mut self.texts, parts),
            spot => {
                if let Some(found @ None) = self.found.get_mut(spot as usize) {
                    *found = self.texts.push(parts);
                }
            }
        }
    }

    /// The text of a place was too long to be kept.
    pub(super) fn miss(&mut self, spot: Spot) {
        match spot {
            Spot::PushUrl => self.push_urls.is_cut = true,
            Spot::FileUrl => self.file_urls.is_cut = true,
            _ => self.is_incomplete = true,
        }
    }

    fn forget(&mut self, spot: Spot) {
        if let Some(found) = self.found.get_mut(spot as usize) {
            *found = None;
        }
    }

    /// The method of a call. Of several calls the first one counts that is one of A2A.
    fn keep_method(&mut self, text: &str) {
        // One that comes after another counts where it is of A2A: some agents take the last.
        if self.operation().is_none() && Operation::from_json_rpc(text).is_some() {
            self.forget(Spot::Method);
        }
        self.keep(Spot::Method, &[text]);
    }
}

impl Reader for Body {
    type Place = Spot;

    fn root(&self) -> Spot {
        self.root
    }

    fn member(&self, at: Spot, key: &[u8]) -> Option<Spot> {
        Some(match (at, key) {
            (Spot::Envelope, b"jsonrpc") => Spot::Version,
            (Spot::Envelope, b"method") => Spot::Method,
            (Spot::Envelope, b"id") => Spot::CallId,
            (Spot::Envelope, b"params") => Spot::Params,
            (Spot::Params, b"id") => Spot::ParamsId,
            (Spot::Params, b"taskid") => Spot::ParamsTask,
            (Spot::Params, b"sessionid") => Spot::Session,
            (Spot::Params, b"contextid") => Spot::ParamsContext,
            (Spot::Params, b"tenant") => Spot::Tenant,
            (Spot::Params, b"pushnotificationconfigid") => Spot::ConfigId,
            // The second is the name in the protocol buffers of 0.3.
            (Spot::Params, b"message" | b"request") => Spot::Message,
            (Spot::Params, b"configuration") => Spot::Configuration,
            (Spot::Message, b"messageid") => Spot::MessageId,
            (Spot::Message, b"taskid") => Spot::MessageTask,
            (Spot::Message, b"contextid") => Spot::MessageContext,
            (Spot::Message, b"parts" | b"content") => Spot::Parts,
            (Spot::Part, b"file") => Spot::File,
            (Spot::Part, b"url") | (Spot::File, b"uri" | b"filewithuri" | b"url") => Spot::FileUrl,
            (Spot::Params | Spot::PushConfig, b"url") => Spot::PushUrl,
            (
                Spot::Params | Spot::Configuration | Spot::PushConfig,
                b"pushnotificationconfig" | b"taskpushnotificationconfig" | b"pushnotification" | b"config",
            ) => Spot::PushConfig,
            _ => return None,
        })
    }

    fn element(&self, at: Spot) -> Option<Spot> {
        match at {
            Spot::Parts => Some(Spot::Part),
            // The calls of a list.
            Spot::Envelope => Some(Spot::Envelope),
            _ => None,
        }
    }

    fn capture(&self, at: Spot) -> Capture {
        match at {
            Spot::CallId => Capture::Raw,
            at if at.is_text() => Capture::Text,
            _ => Capture::Kind,
        }
    }

    fn value(&mut self, at: Spot, value: Value<'_>) {
        match (at, value) {
            (Spot::CallId, Value::Text(text)) => self.keep(at, &["\"", text, "\""]),
            (Spot::CallId, Value::Number(text)) => self.keep(at, &[text]),
            (Spot::CallId, Value::Null) => self.keep(at, &["null"]),
            (Spot::Envelope, Value::Array) => self.is_batch = true,
            (Spot::Method, Value::Text(text)) => self.keep_method(text),
            (at, Value::Text(text)) if at.is_text() => self.keep(at, &[text]),
            (at, Value::Long) if at.is_text() => self.miss(at),
            // A parameter that is null counts as absent, as protocol buffers have it.
            (Spot::Envelope | Spot::Params | Spot::Message, Value::Object) | (_, Value::Null) => {}
            (Spot::Method | Spot::CallId, _) => self.has_odd_envelope = true,
            (Spot::Params | Spot::Message, _) => self.has_odd_params = true,
            (at, _) if at.is_text() && at != Spot::Version => self.has_odd_params = true,
            _ => {}
        }
    }

    fn passed_over(&mut self, at: Spot) {
        self.is_foreign |= at == Spot::Envelope;
    }

    fn repeated(&mut self) {
        self.is_ambiguous = true;
    }
}

/// Places in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spot {
    Version,
    Method,
    CallId,
    ParamsId,
    ParamsTask,
    Session,
    ParamsContext,
    Tenant,
    ConfigId,
    MessageId,
    MessageTask,
    MessageContext,
    FileUrl,
    PushUrl,
    /// A task, and perhaps one of its webhooks, as protocol buffers of 0.x name them.
    Name,
    // What follows holds others.
    Envelope,
    Params,
    Message,
    Parts,
    Part,
    File,
    Configuration,
    /// What says of which task a webhook is; in JSON the webhook as well.
    PushConfig,
    /// A webhook, in protocol buffers.
    Webhook,
}

impl Spot {
    /// How many of them have a text that is kept once.
    const COUNT: usize = Self::FileUrl as usize;

    /// Whether its text is kept.
    pub(super) const fn is_text(self) -> bool {
        (self as usize) < Self::Envelope as usize
    }
}

impl Place for Spot {
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Addresses, as many as are kept.
#[derive(Debug, Default)]
struct Urls {
    spans: Vec<Span>,
    /// Whether one was too long, or one too many.
    is_cut: bool,
}

impl Urls {
    const MAX: usize = 16;

    fn push(&mut self, texts: &mut Texts, parts: &[&str]) {
        let span = if self.spans.len() < Self::MAX { texts.push(parts) } else { None };
        self.spans.extend(span);
        self.is_cut |= span.is_none();
    }

    fn iter<'a>(&'a self, texts: &'a Texts) -> impl Iterator<Item = &'a str> {
        self.spans.iter().filter_map(|span| texts.get(*span))
    }
}

#[cfg(test)]
mod tests;
