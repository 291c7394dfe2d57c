//! The one error of the data path. Each variant says what happened and maps, exhaustively, to the status the client
//! sees, the flag the access log carries and the reason word of `x-attache-reason`.

mod address;
mod audited;
mod call_error;
mod call_refusal;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

use crate::config::model::AbortAnswer;

pub use address::{AddressRule, BlockedBy};
pub use call_error::{CALL_ERROR_DOMAIN, CallError};
pub use call_refusal::CallRefusal;

/// The limit that keeps a request from being sent although there are endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitHit {
    /// The ceiling on connections.
    Connections,
    /// The ceiling on requests.
    Requests,
    /// The ceiling on streams.
    Streams,
    /// The ceiling on retries.
    Retries,
    /// The half-open breaker.
    Breaker,
    /// The limit that is found out from how long answers take.
    Adaptive,
}

impl LimitHit {
    /// Word for logs and metric labels.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Requests => "requests",
            Self::Streams => "streams",
            Self::Retries => "retries",
            Self::Breaker => "breaker",
            Self::Adaptive => "adaptive",
        }
    }
}

/// What a server that decides about requests tells a client that it does not let in.
#[derive(Debug, PartialEq, Eq)]
pub struct AuthAnswer {
    /// 3xx or 4xx.
    pub status: StatusCode,
    /// Fields that the configuration passes on.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Why the gateway refused, failed or cut an exchange.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks HTTP or one of the edge rules; the word says which.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// The method is never served (CONNECT, TRACE).
    #[error("method not served")]
    MethodRefused,
    /// The request target is longer than the listener allows.
    #[error("request target too long")]
    TargetTooLong,
    /// The request head is larger than the listener allows.
    #[error("request head too large")]
    HeadTooLarge,
    /// The request body is larger than allowed.
    #[error("request body too large")]
    BodyTooLarge,
    /// The client stopped sending its body.
    #[error("request body timed out")]
    BodyTimeout,
    /// The `Expect` field asks for something unknown.
    #[error("unknown expectation")]
    UnknownExpectation,
    /// A client of HTTP/2 waited for a 100 before it sent its body.
    #[error("the client waits for a 100, which HTTP/2 clients do not get")]
    UnmetExpectation,
    /// The host is not served by the certificate this connection presented.
    #[error("misdirected request")]
    Misdirected,
    /// No route matches.
    #[error("no route matches")]
    NoRoute,
    /// The route does not allow protocol upgrades.
    #[error("upgrade not allowed")]
    UpgradeRefused,
    /// The client is blocked.
    #[error("the client is blocked by {}", .by.word())]
    Blocked {
        /// Who does that.
        by: BlockedBy,
        /// When it ends, if it does by itself.
        wait: Option<Duration>,
    },
    /// The client comes from an address that the listener or route does not serve.
    #[error("the address of the client is not served: {}", .0.rule())]
    AddressRefused(AddressRule),
    /// The client failed to authenticate several times; it may try again after this time.
    #[error("too many failures to authenticate")]
    AuthSlowed(Duration),
    /// A preflight for a page that may not use the route.
    #[error("the origin may not use the route")]
    OriginRefused,
    /// A browser sends it for a page of another site.
    #[error("sent for a page of another site")]
    CrossSite,
    /// The route wants to know who the client is, and it presents nothing. The challenges say what it should
    /// (`WWW-Authenticate`).
    #[error("no credentials")]
    CredentialsMissing(Arc<[HeaderValue]>),
    /// What it presents is not good.
    #[error("the credentials are not good")]
    CredentialsInvalid(Arc<[HeaderValue]>),
    /// It names a tenant that is not the one it has proven.
    #[error("another tenant than the proven one")]
    TenantMismatch,
    /// A server that was asked does not let it in, and says what the client is told.
    #[error("not let in by a server")]
    AuthAnswered(Arc<AuthAnswer>),
    /// A provider cannot say at the moment who the client is.
    #[error("a provider cannot be asked")]
    AuthUnavailable,
    /// The rules of the route do not let this client do this.
    #[error("not allowed by the rules of the route")]
    Forbidden,
    /// The request has a pattern that its route looks for, or its body cannot be searched.
    #[error("refused for a pattern in it")]
    Screened,
    /// A guard of the route refuses the call.
    #[error("call refused: {}", .0.reason_word())]
    CallRefused(CallRefusal),
    /// The client sent more than a rate limit allows; it may come back after this time.
    #[error("too many requests")]
    RateLimited(Duration),
    /// The client has as much open as it may.
    #[error("too many requests at a time")]
    TooManyOpen,
    /// The cluster has no endpoint that may be used.
    #[error("no usable endpoint: {0}")]
    NoEndpoint(&'static str),
    /// The cluster carries as much as it may, or its breaker is open.
    #[error("circuit open: {}", .limit_hit.word())]
    CircuitOpen {
        /// Which of them.
        limit_hit: LimitHit,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// A connection to the endpoint could not be opened.
    #[error("could not connect to the endpoint")]
    ConnectFailed(#[source] io::Error),
    /// Opening a connection took too long.
    #[error("{0} timed out")]
    ConnectTimeout(&'static str),
    /// The TLS handshake with the endpoint failed.
    #[error("TLS handshake with the endpoint failed")]
    UpstreamTls(#[source] io::Error),
    /// The endpoint ended the connection before it answered.
    #[error("the endpoint reset the connection")]
    UpstreamReset(#[source] hyper::Error),
    /// The endpoint refused the stream before working on it (HTTP/2 REFUSED_STREAM).
    #[error("the endpoint refused the stream")]
    StreamRefused(#[source] hyper::Error),
    /// The endpoint answered with something that is not HTTP.
    #[error("the endpoint's answer is not valid: {0}")]
    UpstreamInvalid(&'static str, #[source] Option<hyper::Error>),
    /// The response head did not come in time.
    #[error("the endpoint did not answer in time")]
    HeadTimeout,
    /// The exchange took longer than the route's `timeout`.
    #[error("the exchange took too long")]
    Timeout,
    /// A stream was silent for too long.
    #[error("the stream was silent for too long")]
    StreamIdle,
    /// A stream reached its maximum duration.
    #[error("the stream reached its maximum duration")]
    StreamTooLong,
    /// The version that served it lost its rollout, and the configuration says `losing: cut`.
    #[error("the version it ran on was withdrawn")]
    Withdrawn,
    /// The endpoint broke off in the middle of a response body; over HTTP/2 it may do so without an error.
    #[error("the endpoint broke off its response")]
    UpstreamAborted(#[source] Option<hyper::Error>),
    /// An agent card that has to change is signed, and its route says `signedCards: fail`.
    #[error("the agent card is signed, and every change would break its signatures")]
    SignedCard,
    /// The client left before the exchange was over.
    #[error("the client left")]
    ClientGone,
    /// The client did not read the answer.
    #[error("the client did not read")]
    ClientStalled,
    /// The gateway is stopping and cut the exchange.
    #[error("cut by shutdown")]
    Draining,
    /// A fault was injected: the request was answered like this.
    #[error("aborted by an injected fault")]
    FaultAbort(AbortAnswer),
    /// A fault was injected: held back, the exchange ran out of time.
    #[error("timed out because of an injected fault")]
    FaultDelay,
    /// A fault was injected: the stream was broken off.
    #[error("cut by an injected fault")]
    FaultCut,
    /// A defect of the gateway.
    #[error("internal error")]
    Internal,
}

impl Error {
    /// A ceiling is reached; it may be different in a moment.
    #[must_use]
    pub fn at_ceiling(limit_hit: LimitHit) -> Self {
        Self::CircuitOpen { limit_hit, retry_after: MOMENT }
    }

    /// Seconds for `Retry-After` (RFC 9110 section 10.2.3), with answers of 429 and 503.
    #[must_use]
    pub fn retry_after(&self) -> Option<u64> {
        match self {
            Self::CircuitOpen { retry_after: wait, .. }
            | Self::RateLimited(wait)
            | Self::AuthSlowed(wait)
            | Self::Blocked { wait: Some(wait), .. } => Some(whole_seconds(*wait).max(1)),
            Self::TooManyOpen => Some(1),
            error => (error.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
        }
    }

    /// Status of the answer made for this error (RFC 9110 section 15). For errors after the response head it is what
    /// the head would have been.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::CallRefused(refusal) => refusal.status(),
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownExpectation | Self::UnmetExpectation => StatusCode::EXPECTATION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::CredentialsMissing(_) | Self::CredentialsInvalid(_) => StatusCode::UNAUTHORIZED,
            Self::AuthAnswered(answer) => answer.status,
            Self::Blocked { by: BlockedBy::Failures, .. }
            | Self::RateLimited(_)
            | Self::TooManyOpen
            | Self::AuthSlowed(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Blocked { .. }
            | Self::AddressRefused(_)
            | Self::UpgradeRefused
            | Self::OriginRefused
            | Self::CrossSite
            | Self::TenantMismatch
            | Self::Forbidden
            | Self::Screened => StatusCode::FORBIDDEN,
            Self::NoEndpoint(_)
            | Self::Withdrawn
            | Self::CircuitOpen { .. }
            | Self::AuthUnavailable
            | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed(_)
            | Self::UpstreamTls(_)
            | Self::UpstreamReset(_)
            | Self::StreamRefused(_)
            | Self::UpstreamInvalid(..)
            | Self::UpstreamAborted(_)
            | Self::SignedCard
            | Self::FaultCut => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout(_)
            | Self::HeadTimeout
            | Self::Timeout
            | Self::StreamIdle
            | Self::StreamTooLong
            | Self::FaultDelay => StatusCode::GATEWAY_TIMEOUT,
            Self::FaultAbort(AbortAnswer::Http(status)) => *status,
            Self::FaultAbort(AbortAnswer::Grpc(code)) => code.http(),
            Self::FaultAbort(AbortAnswer::Call(error)) => error.http(),
            // Operators know nginx's 499. It is logged and never sent.
            Self::ClientGone | Self::ClientStalled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client should present (`WWW-Authenticate`, RFC 9110 section 11.6.1), with answers of 401.
    #[must_use]
    pub fn challenges(&self) -> &[HeaderValue] {
        match self {
            Self::CredentialsMissing(challenges) | Self::CredentialsInvalid(challenges) => challenges,
            _ => &[],
        }
    }

    /// Word for `x-attache-reason`, the access log and metric labels.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadRequest(word) => word,
            Self::MethodRefused => "method_refused",
            Self::TargetTooLong => "target_too_long",
            Self::HeadTooLarge => "head_too_large",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::UnknownExpectation => "unknown_expectation",
            Self::UnmetExpectation => "unmet_expectation",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::UpgradeRefused => "upgrade_refused",
            Self::Blocked { by: BlockedBy::Failures, .. } => "auth_blocked",
            Self::Blocked { .. } => "blocked",
            Self::AddressRefused(_) => "address_refused",
            Self::AuthSlowed(_) => "auth_slowed",
            Self::OriginRefused => "origin_refused",
            Self::CrossSite => "csrf",
            Self::CredentialsMissing(_) => "credentials_missing",
            Self::CredentialsInvalid(_) => "credentials_invalid",
            Self::AuthAnswered(_) => "auth_denied",
            Self::TenantMismatch => "tenant_mismatch",
            Self::AuthUnavailable => "auth_unavailable",
            Self::Forbidden => "forbidden",
            Self::Screened => "screened",
            Self::CallRefused(refusal) => refusal.reason_word(),
            Self::RateLimited(_) => "rate_limited",
            Self::TooManyOpen => "too_many_open",
            Self::NoEndpoint(_) => "no_endpoint",
            Self::CircuitOpen { .. } => "circuit_open",
            Self::ConnectFailed(_) => "connect_failed",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::UpstreamTls(_) => "upstream_tls",
            Self::UpstreamReset(_) => "upstream_reset",
            Self::StreamRefused(_) => "stream_refused",
            Self::UpstreamInvalid(..) => "upstream_invalid",
            Self::HeadTimeout => "head_timeout",
            Self::Timeout => "timeout",
            Self::StreamIdle => "stream_idle",
            Self::StreamTooLong => "stream_too_long",
            Self::UpstreamAborted(_) => "upstream_aborted",
            Self::Withdrawn => "withdrawn",
            Self::SignedCard => "signed_card",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::Draining => "draining",
            Self::FaultAbort(_) | Self::FaultDelay | Self::FaultCut => FAULT_INJECTED,
            Self::Internal => "internal",
        }
    }

    /// Envoy's response flag, as operators know it from access logs. Each failure has one; where Envoy has none, the
    /// nearest.
    #[must_use]
    pub fn flag(&self) -> &'static str {
        match self {
            Self::NoRoute | Self::Misdirected | Self::UpgradeRefused => "NR",
            Self::RateLimited(_)
            | Self::TooManyOpen
            | Self::AuthSlowed(_)
            | Self::Blocked { by: BlockedBy::Failures, .. } => "RL",
            Self::CredentialsMissing(_)
            | Self::CredentialsInvalid(_)
            | Self::TenantMismatch
            | Self::AuthAnswered(_)
            | Self::AuthUnavailable
            | Self::Forbidden
            | Self::Screened => "UAEX",
            Self::NoEndpoint(_) => "UH",
            Self::CircuitOpen { .. } => "UO",
            Self::ConnectFailed(_) | Self::ConnectTimeout(_) | Self::UpstreamTls(_) => "UF",
            Self::UpstreamReset(_) | Self::UpstreamAborted(_) => "UC",
            Self::StreamRefused(_) => "UR",
            Self::UpstreamInvalid(..) => "UPE",
            Self::HeadTimeout | Self::Timeout => "UT",
            Self::StreamIdle => "SI",
            Self::StreamTooLong => "DT",
            Self::ClientGone | Self::ClientStalled => "DC",
            Self::FaultAbort(_) | Self::FaultCut => "FI",
            Self::FaultDelay => "DI",
            Self::BadRequest(_)
            | Self::MethodRefused
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::UnknownExpectation
            | Self::UnmetExpectation => "DPE",
            Self::CallRefused(_)
            | Self::Blocked { .. }
            | Self::AddressRefused(_)
            | Self::OriginRefused
            | Self::CrossSite
            | Self::SignedCard
            | Self::Withdrawn
            | Self::Draining
            | Self::Internal => "LR",
        }
    }
}

/// Whole seconds that are over when this time is.
#[must_use]
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0))
}

/// `error` and its causes in one line of bounded length; the innermost may hold what a peer said.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    chain_within(error, MAX_CHAIN)
}

/// As [`chain`], in at most so many characters.
#[must_use]
pub fn chain_within(error: &dyn std::error::Error, most: usize) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some libraries say their cause themselves.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
    }
    text
}

/// What timed out: opening a connection.
pub const CONNECTING: &str = "connecting to the endpoint";
/// What timed out: TLS on it.
pub const HANDSHAKE: &str = "the TLS handshake with the endpoint";
/// The reason of exchanges that failed, or took longer, on purpose.
pub const FAULT_INJECTED: &str = "fault_injected";
/// How soon a ceiling is worth another try.
const MOMENT: Duration = Duration::from_secs(1);
/// Characters of an error with its causes.
const MAX_CHAIN: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_bounded_and_says_nothing_twice() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer: {0}")]
        struct Outer(#[source] io::Error);
        let twice = Outer(io::Error::other("inner"));
        assert_eq!(chain(&twice), "outer: inner");
        let long = io::Error::other("\u{e4}".repeat(1000));
        assert_eq!(chain(&long).chars().count(), MAX_CHAIN);
    }
}
