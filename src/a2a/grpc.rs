//! Messages of A2A over gRPC, length-prefixed (A2A 1.0 section 10), in both packages: requests, answers and the events
//! of streams. What they say goes into the same [`Body`] and [`Answer`] as with JSON.

use super::answer::{self, Answer};
use super::json::{Fault, Reader as _, Value};
use super::operation::{Generation, Operation};
use super::protobuf::{Decoder, Fields, Shape};
use super::request::{self, Body};

/// Finds the messages in a body: a flag, four bytes of length, the message.
#[derive(Debug, Default)]
struct Prefix {
    /// Bytes of it that have come.
    come: u8,
    is_compressed: bool,
    length: u32,
}

impl Prefix {
    /// Takes the next byte; the length of the message when it is whole.
    fn push(&mut self, byte: u8) -> Result<Option<u32>, Fault> {
        match (self.come, byte) {
            (0, 0 | 1) => self.is_compressed = byte == 1,
            (0, _) => return Err(Fault::Malformed),
            _ => self.length = self.length << 8 | u32::from(byte),
        }
        self.come += 1;
        Ok((self.come == 5).then_some(self.length))
    }
}

/// Reads messages in pieces cut anywhere, and what they say into `V`.
#[derive(Debug)]
struct Messages<V: Fields> {
    prefix: Prefix,
    /// Bytes of the message that are to come; `None` while in a prefix.
    left: Option<u32>,
    decoder: Decoder<V::Place>,
    found: V,
    fault: Option<Fault>,
    /// Whether a prefix is none, so that nobody knows where messages end.
    is_broken: bool,
}

impl<V: Fields> Messages<V> {
    fn new(found: V) -> Self {
        Self { prefix: Prefix::default(), left: None, decoder: Decoder::new(), found, fault: None, is_broken: false }
    }

    /// The number of bytes up to the end of a message; `None` when it does not end in them.
    fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut rest = bytes;
        if self.is_broken {
            return None;
        }
        if self.left.is_none() {
            rest = self.begin(bytes)?;
        }
        let left = self.left?;
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let (taken, rest) = rest.split_at_checked(here)?;
        if self.fault.is_none() && !self.prefix.is_compressed {
            self.fault = self.decoder.feed(taken, &mut self.found).err();
        }
        let left = left.saturating_sub(u32::try_from(here).unwrap_or(u32::MAX));
        self.left = Some(left);
        if left > 0 {
            return None;
        }
        if self.fault.is_none() && !self.prefix.is_compressed {
            self.fault = self.decoder.finish().err();
        }
        self.left = None;
        Some(bytes.len() - rest.len())
    }

    /// Bytes of a prefix. Gives back those of its message; `None` when there are none yet.
    fn begin<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.prefix.come == 5 {
            self.prefix = Prefix::default();
        }
        let mut rest = bytes;
        while let [byte, tail @ ..] = rest {
            rest = tail;
            match self.prefix.push(*byte) {
                Ok(None) => {}
                Ok(Some(length)) => {
                    self.left = Some(length);
                    self.fault = None;
                    self.decoder.begin(u64::from(length), &self.found);
                    return Some(rest);
                }
                Err(_) => {
                    self.is_broken = true;
                    return None;
                }
            }
        }
        None
    }

    fn is_read(&self) -> bool {
        self.fault.is_none() && !self.prefix.is_compressed && !self.is_broken
    }
}

/// Reads the one message of a request.
#[derive(Debug)]
pub struct GrpcRequestReader {
    messages: Messages<Request>,
    is_whole: bool,
}

impl GrpcRequestReader {
    /// For a request whose path named this operation.
    #[must_use]
    pub fn new(operation: Operation, generation: Generation) -> Self {
        let body = Body::new(request::Spot::Params);
        let request = Request { body, operation, is_current: generation == Generation::V1_0 };
        Self { messages: Messages::new(request), is_whole: false }
    }

    /// Takes the next bytes; whether the message ended in them. A second message, which no operation has, is not read
    /// and makes the body ambiguous.
    pub fn read(&mut self, bytes: &[u8]) -> bool {
        let end = if self.is_whole { Some(0) } else { self.messages.read(bytes) };
        let Some(end) = end else { return false };
        if end < bytes.len() {
            self.messages.found.body.repeated();
        }
        !std::mem::replace(&mut self.is_whole, true)
    }

    /// What has been read, or `None` when the message is compressed or no message.
    #[must_use]
    pub fn body(self) -> Option<Body> {
        self.messages.is_read().then_some(self.messages.found.body)
    }
}

/// Reads the messages of an answer: one, or the events of a stream.
#[derive(Debug)]
pub struct GrpcAnswerReader {
    messages: Messages<Reply>,
    is_over: bool,
}

impl GrpcAnswerReader {
    /// For the answer to this operation.
    #[must_use]
    pub fn new(operation: Operation) -> Self {
        let reply = Reply { answer: Answer::new(answer::Spot::Payload), operation };
        Self { messages: Messages::new(reply), is_over: false }
    }

    /// The number of bytes up to the end of a message; `None` when it does not end in them. Then
    /// [`GrpcAnswerReader::answer`] says what it was, until the bytes after the end are passed to the next call.
    pub fn read(&mut self, bytes: &[u8]) -> Option<usize> {
        if std::mem::take(&mut self.is_over) {
            self.messages.found.answer.clear();
        }
        let end = self.messages.read(bytes)?;
        self.is_over = true;
        Some(end)
    }

    /// The message that came last, or `None` when it is compressed or no message.
    #[must_use]
    pub fn answer(&self) -> Option<&Answer> {
        self.messages.is_read().then_some(&self.messages.found.answer)
    }

    /// Whether nothing of a message has come since the last one ended.
    #[must_use]
    pub const fn is_between(&self) -> bool {
        let messages = &self.messages;
        messages.left.is_none() && matches!(messages.prefix.come, 0 | 5) && !messages.is_broken
    }
}

#[derive(Debug)]
struct Request {
    body: Body,
    operation: Operation,
    is_current: bool,
}

impl Request {
    /// A field of the whole message in 1.0.
    fn current(&self, number: u32) -> Option<request::Spot> {
        use request::Spot::{Configuration, Message, ParamsContext, ParamsId, ParamsTask, PushUrl, Tenant};
        // The fields from the first on.
        let fields: &[request::Spot] = match self.operation {
            Operation::SendMessage | Operation::SendStreamingMessage => &[Tenant, Message, Configuration],
            Operation::GetTask | Operation::CancelTask | Operation::SubscribeToTask => &[Tenant, ParamsId],
            Operation::ListTasks => &[Tenant, ParamsContext],
            Operation::CreateTaskPushNotificationConfig => &[Tenant, ParamsId, ParamsTask, PushUrl],
            Operation::GetTaskPushNotificationConfig | Operation::DeleteTaskPushNotificationConfig => {
                &[Tenant, ParamsTask, ParamsId]
            }
            Operation::ListTaskPushNotificationConfigs if number == 4 => return Some(Tenant),
            Operation::ListTaskPushNotificationConfigs => &[ParamsTask],
            Operation::GetExtendedAgentCard | Operation::GetAgentCard => &[Tenant],
        };
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        fields.get(index).copied()
    }

    /// A field of the whole message in 0.x.
    fn older(&self, number: u32) -> Option<request::Spot> {
        use request::Spot;
        let is_send = self.operation.is_send();
        Some(match (self.operation, number) {
            (_, 1) if is_send => Spot::Message,
            (_, 2) if is_send => Spot::Configuration,
            (Operation::CreateTaskPushNotificationConfig, 3) => Spot::PushConfig,
            (_, 1) => Spot::Name,
            _ => return None,
        })
    }
}

impl Fields for Request {
    type Place = request::Spot;

    fn root(&self) -> request::Spot {
        request::Spot::Params
    }

    fn field(&self, at: request::Spot, number: u32) -> Option<(request::Spot, Shape, bool)> {
        use request::Spot;
        let place = match (at, number) {
            (Spot::Params, number) if self.is_current => self.current(number)?,
            (Spot::Params, number) => self.older(number)?,
            (Spot::Message, 1) => Spot::MessageId,
            (Spot::Message, 2) => Spot::MessageContext,
            (Spot::Message, 3) => Spot::MessageTask,
            (Spot::Message, 5) => return Some((Spot::Part, Shape::Message, true)),
            (Spot::Part, 3) if self.is_current => Spot::FileUrl,
            (Spot::Part, 2) if !self.is_current => Spot::File,
            (Spot::File, 1) => Spot::FileUrl,
            (Spot::Configuration | Spot::PushConfig, 2) => Spot::Webhook,
            (Spot::Webhook, 4) if self.is_current => Spot::PushUrl,
            (Spot::Webhook, 2) if !self.is_current => Spot::PushUrl,
            _ => return None,
        };
        Some((place, if place.is_text() { Shape::Text } else { Shape::Message }, false))
    }

    fn message(&mut self, _at: request::Spot) {}

    fn text(&mut self, at: request::Spot, text: Option<&str>) {
        let Some(text) = text else { return self.body.miss(at) };
        if at != request::Spot::Name {
            return self.body.keep(at, &[text]);
        }
        // `tasks/{id}`, and `/pushNotificationConfigs/{id}` where it names a webhook.
        let Some(id) = text.strip_prefix("tasks/") else { return };
        let (task, config) = id.split_once("/pushNotificationConfigs").unwrap_or((id, ""));
        self.body.keep(request::Spot::ParamsId, &[task]);
        self.body.keep(request::Spot::ParamsTask, &[task]);
        if let Some(config) = config.strip_prefix('/') {
            self.body.keep(request::Spot::ConfigId, &[config]);
        }
    }

    fn number(&mut self, _at: request::Spot, _number: u64) {}

    fn repeated(&mut self) {
        self.body.repeated();
    }
}

#[derive(Debug)]
struct Reply {
    answer: Answer,
    operation: Operation,
}

impl Reply {
    /// A field of the whole message: the events of a stream, the answer to a send, a bare task or a list.
    fn outer(&self, number: u32) -> Option<answer::Spot> {
        use answer::Spot;
        match self.operation {
            Operation::SendMessage | Operation::SendStreamingMessage | Operation::SubscribeToTask => match number {
                1 => Some(Spot::Task),
                2 => Some(Spot::Message),
                3 => Some(Spot::StatusUpdate),
                4 => Some(Spot::ArtifactUpdate),
                _ => None,
            },
            Operation::GetTask | Operation::CancelTask => Self::of_task(number),
            Operation::ListTasks => (number == 1).then_some(Spot::ListedTask),
            _ => None,
        }
    }

    const fn of_task(number: u32) -> Option<answer::Spot> {
        match number {
            1 => Some(answer::Spot::Id),
            2 => Some(answer::Spot::ContextId),
            3 => Some(answer::Spot::Status),
            _ => None,
        }
    }
}

impl Fields for Reply {
    type Place = answer::Spot;

    fn root(&self) -> answer::Spot {
        answer::Spot::Payload
    }

    fn field(&self, at: answer::Spot, number: u32) -> Option<(answer::Spot, Shape, bool)> {
        use answer::Spot;
        let place = match (at, number) {
            (Spot::Payload, number) => self.outer(number)?,
            (Spot::Task, number) => Self::of_task(number)?,
            (Spot::Message, 1) => Spot::MessageId,
            (Spot::Message | Spot::StatusUpdate | Spot::ArtifactUpdate, 2) => Spot::ContextId,
            (Spot::Message, 3) | (Spot::StatusUpdate | Spot::ArtifactUpdate, 1) => Spot::TaskId,
            (Spot::StatusUpdate, 3) => Spot::Status,
            // Only 0.x has it; in 1.0 the field holds other data and another wire type.
            (Spot::StatusUpdate, 4) => Spot::Final,
            (Spot::Status, 1) => Spot::State,
            (Spot::ListedTask, 1) => Spot::ListedId,
            _ => return None,
        };
        let shape = match place {
            Spot::State | Spot::Final => Shape::Number,
            place if place.is_text() => Shape::Text,
            _ => Shape::Message,
        };
        Some((place, shape, place == Spot::ListedTask))
    }

    fn message(&mut self, at: answer::Spot) {
        self.answer.value(if at == answer::Spot::ListedTask { answer::Spot::Tasks } else { at }, Value::Object);
    }

    fn text(&mut self, at: answer::Spot, text: Option<&str>) {
        self.answer.value(at, text.map_or(Value::Long, Value::Text));
    }

    fn number(&mut self, at: answer::Spot, number: u64) {
        if at == answer::Spot::State {
            self.answer.keep_state(number);
        } else {
            self.answer.value(at, Value::Bool(number != 0));
        }
    }

    fn repeated(&mut self) {
        self.answer.repeated();
    }
}

#[cfg(test)]
mod tests;
