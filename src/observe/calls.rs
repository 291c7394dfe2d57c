//! Calls of agents in the words of metrics.

use crate::a2a::{Binding, Generation, Operation};

/// A call of an agent, in the words of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FinishedCall {
    /// What was asked.
    pub operation: Operation,
    /// How it was carried.
    pub binding: Binding,
    /// The generation of the wire.
    pub generation: Generation,
    /// What became of it.
    pub end: CallEnd,
}

/// What became of a call of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    /// It went well.
    Ok,
    /// The agent refused it or could not serve it as it is.
    Error,
    /// The agent failed and said so.
    Internal,
    /// The answer cannot be read.
    Unreadable,
    /// A stream ended before its task did.
    Truncated,
    /// No good answer came.
    Failed,
    /// The gateway refused it.
    Refused,
    /// The client left.
    Left,
}

impl CallEnd {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Internal => "internal",
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}
