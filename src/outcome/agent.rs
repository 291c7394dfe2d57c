//! How calls of agents fail inside answers that HTTP takes for good ones.

/// How a call of A2A failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentFault {
    /// The agent refused it or could not serve it as it is: the code of its error (A2A 1.0 section 9.5).
    Error(i32),
    /// The agent failed: -32603 of JSON-RPC.
    Internal,
    /// The answer cannot be read.
    Unreadable,
    /// A stream ended politely before its task did, or in the middle of an event.
    Truncated,
}

impl AgentFault {
    /// Its word in metrics and the access log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Internal => "internal",
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
        }
    }

    /// The code of the agent's error.
    #[must_use]
    pub const fn code(self) -> Option<i32> {
        match self {
            Self::Error(code) => Some(code),
            Self::Internal => Some(-32603),
            Self::Unreadable | Self::Truncated => None,
        }
    }
}
