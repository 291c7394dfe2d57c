//! W3C trace context (<https://www.w3.org/TR/trace-context/>): every hop keeps the trace id and the sampled flag and puts its own
//! span id into `traceparent`. `tracestate` passes untouched. A context that cannot be read is restarted, as section 4.3
//! demands.

use fastrand::Rng;
use http::{HeaderMap, HeaderValue};

/// Id of a whole trace, never zero. Displays as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// Position in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: u64,
    sampled: bool,
}

impl TraceContext {
    /// Id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Whether the caller recorded it.
    #[must_use]
    pub fn sampled(&self) -> bool {
        self.sampled
    }
}

/// Reads the caller's context from `headers` and replaces it by that of the next hop: same trace, new span. Without a
/// readable one a new trace begins, not sampled, and `tracestate` is dropped.
pub fn propagate(headers: &mut HeaderMap, rng: &mut Rng) -> TraceContext {
    todo!()
}
