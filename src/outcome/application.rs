//! What the protocol inside an answer said.

use http::{HeaderMap, HeaderName};

use super::agent::AgentFault;

/// What the protocol inside the answer said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Application {
    /// Nothing, or nothing yet.
    #[default]
    Silent,
    /// A gRPC status.
    Grpc {
        /// The number on the wire.
        code: u8,
        /// Whether it came with the head, of an answer that has nothing else.
        with_head: bool,
    },
    /// A call of A2A failed inside an answer that HTTP and gRPC take for a good one.
    Agent(AgentFault),
}

impl Application {
    /// What a response head carries of a gRPC status.
    #[must_use]
    pub fn of_head(fields: &HeaderMap) -> Self {
        Self::of(fields, true)
    }

    /// What trailers carry of it.
    #[must_use]
    pub fn of_trailers(fields: &HeaderMap) -> Self {
        Self::of(fields, false)
    }

    /// With what trailers say, where the head said nothing.
    #[must_use]
    pub fn or_trailers(self, fields: &HeaderMap) -> Self {
        match self {
            Self::Silent => Self::of_trailers(fields),
            Self::Grpc { .. } | Self::Agent(_) => self,
        }
    }

    fn of(fields: &HeaderMap, with_head: bool) -> Self {
        let Some(value) = fields.get(&GRPC_STATUS) else {
            return Self::Silent;
        };
        let code = value.to_str().ok().and_then(|text| text.parse().ok());
        // What cannot be read is no code, which is UNKNOWN to every client.
        Self::Grpc { code: code.unwrap_or(u8::MAX), with_head }
    }

    /// The gRPC status.
    #[must_use]
    pub fn grpc_status(self) -> Option<u8> {
        match self {
            Self::Grpc { code, .. } => Some(code),
            Self::Silent | Self::Agent(_) => None,
        }
    }
}

/// Where gRPC says how a call ended, in trailers or in the head of an answer that has nothing else.
pub const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
