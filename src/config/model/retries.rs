//! Retries: after what a request may be sent again, how often and how soon.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::{Backoff, RetryBudget};

/// Whether a route tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Nothing is configured: one more try, when nothing was sent or the request is safe and was not answered.
    Default,
    /// Never (`retries: off`).
    Off,
    /// As configured.
    By(Box<Retries>),
}

impl RetryPolicy {
    /// Bytes of a body kept where nothing is configured.
    pub const REPLAY_BYTES: usize = 1 << 20;
}

/// How a route retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Tries beyond the first. Default 2.
    pub attempts: u32,
    /// Time from the start of one try to its response head. Default none.
    pub per_try_timeout: Option<Duration>,
    /// After what a request that may be repeated (GET, HEAD, PUT, DELETE, OPTIONS) is.
    pub retry_on: RetryOn,
    /// The same for all other requests. Default: what of `retry_on` happens before anything reached the agent.
    pub non_idempotent: RetryOn,
    /// How long to wait before a retry.
    pub backoff: Backoff,
    /// How many requests of a cluster may retry at a time; `None` means any number (`off`).
    pub budget: Option<RetryBudget>,
    /// Bytes of a request body kept for another try. Default 1 MiB.
    pub max_replay_bytes: usize,
    /// Whether a safe request is sent to another endpoint besides when a try takes longer than `per_try_timeout`.
    /// Default false.
    pub hedging: bool,
}

/// What makes a request be tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// Failures without a response.
    pub failures: Vec<Failure>,
    /// Statuses of a response.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// gRPC statuses in a response head.
    pub grpc: Vec<u16>,
    /// Fields of a response, any of which asks for another try.
    pub headers: Vec<HeaderName>,
}

/// How a try can fail without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection, or it was found dead before the request was written. Nothing was sent.
    Connect,
    /// There was no connection in time. Nothing was sent.
    ConnectTimeout,
    /// The endpoint said that it did nothing about the request (REFUSED_STREAM, or GOAWAY below our stream).
    Refused,
    /// The connection ended after the request was sent.
    Reset,
    /// No response head in time.
    Timeout,
    /// What came is not HTTP.
    Invalid,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::ConnectTimeout, Self::Refused, Self::Reset, Self::Timeout, Self::Invalid];

    /// Whether the agent cannot have begun to work on the request.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Refused => true,
            Self::Reset | Self::Timeout | Self::Invalid => false,
        }
    }
}

impl RetryOn {
    /// What of it happens before anything reached the agent.
    #[must_use]
    pub fn harmless(&self) -> Self {
        let failures = self.failures.iter().copied();
        Self { failures: failures.filter(|failure| failure.is_harmless()).collect(), ..Self::default() }
    }

    /// Whether it holds more than [`Self::harmless`] leaves of it.
    #[must_use]
    pub fn is_risky(&self) -> bool {
        self.looks_at_answers() || self.failures.iter().any(|failure| !failure.is_harmless())
    }

    /// Whether a response can be a reason.
    #[must_use]
    pub fn looks_at_answers(&self) -> bool {
        !(self.statuses.is_empty() && self.grpc.is_empty() && self.headers.is_empty())
    }

    /// Whether a response of this status is a reason.
    #[must_use]
    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }
}
