//! A record of the access log: the facts of a finished exchange. How they are written is in the files below, by hand
//! because it happens for every request: one pass over each value, no allocation, no formatting machinery.

mod json;
mod lines;
mod names;
mod noted;
mod plan;
mod text;

use std::net::IpAddr;
use std::time::Duration;

use http::Version;

use super::trace::{SpanId, TraceId};
use crate::config::model::TlsVersion;

pub use json::{write_json, write_json_as};
pub use lines::{write_combined, write_common, write_text};
pub use names::RecordNames;
pub use noted::{NotedField, NotedFields};
pub use plan::{RecordPlan, RecordPlans};
pub use text::shortened;
pub(super) use text::{address, clean, masked_path, number, optional, string};

/// A finished exchange. Absent facts are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When its head had arrived, since the Unix epoch.
    pub time: Duration,
    /// Its `x-request-id`.
    pub request_id: &'a [u8],
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Its span, where that is exported.
    pub span_id: Option<SpanId>,
    /// The client, as forwarding headers of trusted proxies say.
    pub client_ip: IpAddr,
    /// Who the client proved to be.
    pub principal: Option<&'a str>,
    /// The provider that knows it.
    pub auth: Option<&'a str>,
    /// On whose behalf.
    pub tenant: Option<&'a str>,
    /// What it asks of an agent.
    pub operation: Option<&'static str>,
    /// What is known of it as a call of an agent.
    pub agent: Option<AgentFacts<'a>>,
    /// Method as received.
    pub method: &'a str,
    /// Host it asked for.
    pub authority: &'a str,
    /// Path and query as received. Values of the query are masked when written: `?page=*&token=*`.
    pub path: &'a str,
    /// HTTP version of the client.
    pub proto: Version,
    /// Status the client saw, or would have seen.
    pub status: u16,
    /// Envoy's response flag, `-` if none.
    pub flags: &'static str,
    /// Reason word of the gateway's own answer, or why an answer was passed on that should have been tried again
    /// (`URX`).
    pub reason: Option<&'static str>,
    /// The rule that decided whether the client may do this; `-` where none was about it.
    pub rule: Option<&'a str>,
    /// The pattern that was found in the request.
    pub screened: Option<&'a str>,
    /// Names of the route and the cluster.
    pub names: Option<&'a RecordNames>,
    /// Endpoint that answered, or was tried last.
    pub endpoint: Option<&'a str>,
    /// Times an endpoint was tried.
    pub attempts: u32,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// From the request head to the end.
    pub duration: Duration,
    /// From the request head to the response head.
    pub time_to_head: Option<Duration>,
    /// The client's `User-Agent`; at most 256 bytes are written.
    pub user_agent: Option<&'a [u8]>,
    /// TLS version of the client's connection.
    pub tls: Option<TlsVersion>,
    /// Whether it was an event stream, a gRPC stream or an upgraded connection.
    pub stream: bool,
    /// Status of the endpoint, where there was one.
    pub upstream_status: Option<u16>,
    /// The gRPC status the call ended with.
    pub grpc_status: Option<u8>,
    /// The cause of the last failed try.
    pub upstream_error: Option<&'a str>,
    /// Header fields of the request that a log wants.
    pub request_fields: &'a [NotedField],
    /// Header fields of the answer that a log wants.
    pub response_fields: &'a [NotedField],
}

impl AccessRecord<'_> {
    /// Whether something went wrong: the gateway or an agent failed, or the request was refused or cut.
    #[must_use]
    pub fn is_error(&self) -> bool {
        went_wrong(self.reason, self.status, self.agent.is_some_and(|agent| agent.fault.is_some()))
    }
}

/// Whether an exchange that ended so is an error: for this reason word, with this status, and with or without a fault
/// inside the answer of an agent.
#[must_use]
pub fn went_wrong(reason: Option<&str>, status: u16, has_fault: bool) -> bool {
    reason.is_some() || status >= 500 || has_fault
}

/// A call of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFacts<'a> {
    /// `jsonrpc`, `rest` or `grpc`.
    pub transport: &'static str,
    /// The generation of the wire: `0.1`, `0.3` or `1.0`.
    pub version: &'static str,
    /// The task it is about, or that it began.
    pub task: Option<&'a str>,
    /// The context that the client named.
    pub context: Option<&'a str>,
    /// How it failed inside its answer: `error`, `internal`, `unreadable` or `truncated`.
    pub fault: Option<&'static str>,
    /// The code of the agent's error.
    pub code: Option<i32>,
    /// How often its stream was continued; events may be missing in between.
    pub continued: u32,
    /// From the request head to the first event of its stream.
    pub first_event: Option<Duration>,
}

#[cfg(test)]
pub(super) mod tests;
