//! How the body of a call is read before anybody has it: a bounded look, by what its head says it is.

use std::time::Duration;

use http::Request;

use super::call::Call;
use super::exchange::Exchange;
use crate::a2a::{Binding, Body, BodyReader, Generation, GrpcRequestReader, Operation};
use crate::body::{LookLimits, Looked};
use crate::error::{CallRefusal, Error};

/// How a body is to be read. What reads it is large, and made where it stays.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    JsonRpc {
        /// Whether it goes on when the body has shown to be no call of JSON-RPC as it should be.
        to_the_end: bool,
    },
    Rest,
    Grpc(Operation, Generation),
}

/// What reads a body.
enum Reader {
    Json { reader: BodyReader, to_the_end: bool },
    Grpc(GrpcRequestReader),
}

/// How to read the body of a call whose head names its operation, where it may say more.
pub(super) fn of_call(call: &Call) -> Option<Wanted> {
    let operation = call.operation?;
    match call.binding {
        Binding::Grpc => Some(Wanted::Grpc(operation, call.generation)),
        Binding::JsonRpc => Some(Wanted::JsonRpc { to_the_end: true }),
        Binding::Rest => says_more(operation).then_some(Wanted::Rest),
    }
}

/// Whether the body of a REST call names ids or addresses; others have everything in their paths.
fn says_more(operation: Operation) -> bool {
    operation.is_send() || operation == Operation::CreateTaskPushNotificationConfig
}

impl Reader {
    fn new(wanted: Wanted) -> Self {
        match wanted {
            Wanted::JsonRpc { to_the_end } => Self::Json { reader: BodyReader::json_rpc(), to_the_end },
            Wanted::Rest => Self::Json { reader: BodyReader::rest(), to_the_end: true },
            Wanted::Grpc(operation, generation) => Self::Grpc(GrpcRequestReader::new(operation, generation)),
        }
    }

    /// Takes a piece; whether it wants more.
    fn feed(&mut self, piece: &[u8]) -> bool {
        match self {
            Self::Json { reader, to_the_end } => {
                reader.feed(piece).is_ok() && (*to_the_end || !reader.so_far().is_foreign())
            }
            Self::Grpc(reader) => !reader.read(piece),
        }
    }

    fn finish(self) -> Option<Body> {
        match self {
            Self::Json { reader, .. } => reader.finish().ok(),
            Self::Grpc(reader) => reader.body(),
        }
    }
}

/// What came of a look.
#[derive(Debug)]
pub(super) enum Read {
    /// What the body says; `None` where it is none that can be read.
    Body(Option<Body>),
    /// It is longer than what may be looked at.
    TooLong,
    /// It was not read: the word for metrics, and what it is refused with where it has to be known.
    Not(&'static str, CallRefusal),
}

/// Looks at the body.
///
/// # Errors
/// When the body itself failed, or the client left.
pub(super) async fn look(exchange: &mut Exchange, limits: &LookLimits, wanted: Wanted) -> Result<Read, Error> {
    let Some(body) = exchange.message.as_mut().map(Request::body_mut) else {
        return Ok(Read::Body(None));
    };
    let mut reader = Reader::new(wanted);
    let looked = body.look(limits, |piece| reader.feed(piece)).await;
    if let Some(error) = exchange.request.upload.failure() {
        return Err(error);
    }
    Ok(match looked {
        Looked::Whole | Looked::Enough => Read::Body(reader.finish()),
        Looked::TooLong => Read::TooLong,
        Looked::NoRoom => Read::Not("no_room", CallRefusal::NoRoom),
        Looked::Late => Read::Not("late", CallRefusal::Unread),
        Looked::Broken => return Err(Error::ClientGone),
    })
}

/// How long a client may take for what is looked at.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
