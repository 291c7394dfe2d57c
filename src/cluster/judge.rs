//! What attempts teach about an endpoint. Every attempt's outcome is reported here, in one place, so that all that learns from
//! traffic sees the same facts. Knows nothing of requests.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::endpoint::Endpoint;

/// What became of one attempt. A client that left and a refusal of our own are no outcome: they are not reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A response head came.
    Answered(StatusCode),
    /// The response body came to its end, or its client left after the head.
    Finished(StatusCode),
    /// No connection: refused, timed out, or its TLS handshake failed.
    ConnectFailed,
    /// The connection ended before the response head.
    Reset,
    /// What came was not HTTP.
    Invalid,
    /// No response head in time.
    TimedOut,
    /// The response body broke off or fell silent.
    Aborted,
}

/// Judges the endpoints of one cluster. Shared by all workers; exchanges keep it until their last byte, so it holds no snapshot.
#[derive(Debug, Default)]
pub struct Judge {
    breaker: Option<Arc<Breaker>>,
}

impl Judge {
    /// Judges by what is configured.
    #[must_use]
    pub fn new(breaker: Option<Arc<Breaker>>) -> Self {
        Self { breaker }
    }

    /// The cluster's breaker.
    #[must_use]
    pub fn breaker(&self) -> Option<&Arc<Breaker>> {
        self.breaker.as_ref()
    }

    /// Takes in the outcome of one attempt at `endpoint`.
    pub fn report(&self, endpoint: &Endpoint, outcome: Outcome, now: Instant) {
        if let Some(breaker) = &self.breaker {
            breaker.report(outcome, now);
        }
        let _ = endpoint;
    }
}
