//! Why the gateway refuses calls of agents, and what each refusal is called: one row for each.

use http::StatusCode;

use super::call_error::CallError;

/// Why a guard of a route refuses a call of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRefusal {
    /// The route does not let the operation through.
    Method,
    /// An address for events.
    PushUrl,
    /// An address of a file.
    FileUrl,
    /// A list of calls.
    Batch,
    /// It can be read in two ways.
    Ambiguous,
    /// Addresses in it are longer, or more, than are looked at.
    Incomplete,
    /// The route does not take calls of this generation.
    Version,
    /// It is no call of JSON-RPC 2.0.
    Shape,
    /// Its parameters are none of an operation.
    Params,
    /// It is about what another client made.
    NotOwner,
    /// It asks for the tasks of others.
    List,
    /// It is under way already, and its answer is for its first caller alone.
    Duplicate,
    /// It cannot be read.
    Unread,
    /// Too many are being read.
    NoRoom,
}

/// What a refusal is called.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// For logs and metric labels.
    word: &'static str,
    status: StatusCode,
    /// For clients.
    text: &'static str,
    stands_for: StandsFor,
}

/// The error of A2A or JSON-RPC that a refusal stands for.
#[derive(Clone, Copy, Debug)]
enum StandsFor {
    /// None.
    Nothing,
    /// One whose code it has.
    Code(CallError),
    /// One that is said in the agent's stead, with all that agents say of it.
    Error(CallError),
}

impl Row {
    const fn of(word: &'static str, status: StatusCode, text: &'static str) -> Self {
        Self { word, status, text, stands_for: StandsFor::Nothing }
    }

    const fn with(self, stands_for: StandsFor) -> Self {
        Self { stands_for, ..self }
    }
}

impl CallRefusal {
    #[rustfmt::skip]
    const fn row(self) -> Row {
        use StandsFor::{Code, Error};
        match self {
            Self::Method => Row::of("method_denied", StatusCode::FORBIDDEN, "this operation is not served here"),
            Self::PushUrl => Row::of("push_url_refused", BAD, "events are not posted to this address"),
            Self::FileUrl => Row::of("file_url_refused", BAD, "files are not fetched from this address"),
            Self::Batch => Row::of("batch", BAD, "a list of calls is not served"),
            Self::Ambiguous => Row::of("ambiguous_call", BAD, "the call names something twice"),
            Self::Incomplete =>
                Row::of("incomplete_call", BAD, "an id or address is too long, or there are too many"),
            Self::Version => Row::of("version_refused", BAD, "this version of A2A is not served here")
                .with(Error(CallError::VERSION_NOT_SUPPORTED)),
            Self::Shape => Row::of("invalid_call", BAD, "the request is no call of JSON-RPC 2.0")
                .with(Code(CallError::INVALID_REQUEST)),
            Self::Params => Row::of("invalid_params", BAD, "the parameters of the call are invalid")
                .with(Code(CallError::INVALID_PARAMS)),
            Self::NotOwner => Row::of("not_owner", StatusCode::NOT_FOUND, "Task not found")
                .with(Error(CallError::TASK_NOT_FOUND)),
            Self::List =>
                Row::of("list_refused", StatusCode::FORBIDDEN, "only tasks of a context of one's own are listed"),
            Self::Duplicate => Row::of("duplicate_call", StatusCode::CONFLICT, "this message was sent before"),
            Self::Unread => Row::of("unread_call", BAD, "the call cannot be read"),
            Self::NoRoom => Row::of("no_room", StatusCode::SERVICE_UNAVAILABLE, "too many calls are being read"),
        }
    }

    /// Word for logs and metric labels.
    #[must_use]
    pub const fn reason_word(self) -> &'static str {
        self.row().word
    }

    /// The text for clients.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.row().text
    }

    /// Status of HTTP.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The error whose codes it has in JSON-RPC and gRPC, where that is not the one for all failures.
    #[must_use]
    pub const fn coded_as(self) -> Option<CallError> {
        match self.row().stands_for {
            StandsFor::Nothing => None,
            StandsFor::Code(error) | StandsFor::Error(error) => Some(error),
        }
    }

    /// The error that the gateway answers with in the agent's stead (A2A 1.0 section 5.4).
    #[must_use]
    pub const fn in_agents_stead(self) -> Option<CallError> {
        match self.row().stands_for {
            StandsFor::Nothing | StandsFor::Code(_) => None,
            StandsFor::Error(error) => Some(error),
        }
    }
}

const BAD: StatusCode = StatusCode::BAD_REQUEST;
