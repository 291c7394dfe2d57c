//! What operators see: metrics, the access log, trace context and lifecycle events. This room decides nothing: it only
//! records what happened.

mod agent_series;
pub mod aliases;
pub mod audit;
pub mod calls;
pub mod catalogue;
pub mod clock;
pub mod endpoints;
#[cfg(test)]
pub(crate) mod exposition;
pub mod family;
pub mod handle;
pub mod handles;
pub mod harmless;
pub mod live;
pub mod log;
pub mod mask;
pub mod metrics;
pub mod outbox;
mod patient_write;
pub mod process;
pub mod propagation;
pub mod record;
pub mod request_id;
pub mod series;
pub mod short;
pub mod span;
pub mod stderr;
pub mod tenants;
pub mod told;
pub mod trace;
pub mod tracer;
pub mod tracing_setup;
pub mod traffic;
pub mod voice;
