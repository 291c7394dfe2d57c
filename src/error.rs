//! The one error of the data path. Each variant says what happened and maps, exhaustively, to the status the client sees, the
//! flag the access log carries and the reason word of `x-attache-reason`.

use std::io;

use http::StatusCode;

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
    /// The host is not served by the certificate this connection presented.
    #[error("misdirected request")]
    Misdirected,
    /// No route matches.
    #[error("no route matches")]
    NoRoute,
    /// The route does not allow protocol upgrades.
    #[error("upgrade not allowed")]
    UpgradeRefused,
    /// The cluster has no endpoint that may be used.
    #[error("no endpoint available")]
    NoEndpoint,
    /// A connection to the endpoint could not be opened.
    #[error("could not connect to the endpoint")]
    ConnectFailed(#[source] io::Error),
    /// Opening a connection took too long.
    #[error("connecting to the endpoint timed out")]
    ConnectTimeout,
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
    /// The version it ran on lost its rollout, and the file says to cut what runs there.
    #[error("the version it ran on was withdrawn")]
    Withdrawn,
    /// The endpoint broke off in the middle of a response body.
    #[error("the endpoint broke off its response")]
    UpstreamAborted(#[source] hyper::Error),
    /// The client left before the exchange was over.
    #[error("the client left")]
    ClientGone,
    /// The client did not take what was sent to it.
    #[error("the client did not read")]
    ClientStalled,
    /// The gateway is stopping and cut the exchange.
    #[error("cut by shutdown")]
    Draining,
    /// A defect of the gateway.
    #[error("internal error")]
    Internal,
}

impl Error {
    /// Status of the answer made for this error (RFC 9110 section 15). For errors after the response head it is what
    /// the head would have been.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownExpectation => StatusCode::EXPECTATION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::UpgradeRefused => StatusCode::FORBIDDEN,
            Self::NoEndpoint | Self::Withdrawn | Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Self::ConnectFailed(_)
            | Self::UpstreamTls(_)
            | Self::UpstreamReset(_)
            | Self::StreamRefused(_)
            | Self::UpstreamInvalid(..)
            | Self::UpstreamAborted(_) => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout
            | Self::HeadTimeout
            | Self::Timeout
            | Self::StreamIdle
            | Self::StreamTooLong => StatusCode::GATEWAY_TIMEOUT,
            // nginx's 499 is what operators look for; it is never sent.
            Self::ClientGone | Self::ClientStalled => {
                StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST)
            }
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
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
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::UpgradeRefused => "upgrade_refused",
            Self::NoEndpoint => "no_endpoint",
            Self::ConnectFailed(_) => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
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
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }

    /// Envoy's response flag, as operators know it from access logs; `-` where Envoy has none.
    #[must_use]
    pub fn flag(&self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::NoEndpoint => "UH",
            Self::ConnectFailed(_) | Self::ConnectTimeout | Self::UpstreamTls(_) => "UF",
            Self::UpstreamReset(_) | Self::UpstreamAborted(_) => "UC",
            Self::StreamRefused(_) => "UR",
            Self::UpstreamInvalid(..) => "UPE",
            Self::HeadTimeout | Self::Timeout => "UT",
            Self::StreamIdle => "SI",
            Self::StreamTooLong => "DT",
            Self::ClientGone | Self::ClientStalled => "DC",
            Self::BadRequest(_)
            | Self::MethodRefused
            | Self::TargetTooLong
            | Self::HeadTooLarge
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::UnknownExpectation => "DPE",
            Self::Misdirected
            | Self::UpgradeRefused
            | Self::Withdrawn
            | Self::Draining
            | Self::Internal => "-",
        }
    }
}
