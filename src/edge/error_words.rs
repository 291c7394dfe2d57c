//! What a failure is called in each protocol: texts and codes that clients get. They say why in one word and give away
//! nothing of what is behind.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::config::model::AbortAnswer;
use crate::context::PLAIN_ON_TLS;
use crate::error::{CALL_ERROR_DOMAIN, CallError, Error};
use crate::outcome::GRPC_STATUS;

/// The error object that the REST binding of A2A has (A2A 1.0 section 11.6), and everybody else can read.
pub(super) fn rest_text(error: &Error) -> String {
    let (code, status) = (status(error).as_u16(), grpc_code(error).1);
    format!(r#"{{"error":{{"code":{code},"status":"{status}",{}}}}}"#, explained(error, "details"))
}

/// An error of JSON-RPC with the caller's id. The codes of A2A are the agent's, so it is -32603 for all but what is
/// said in an agent's stead, and what JSON-RPC itself has a code for.
pub(super) fn json_rpc_text(error: &Error, id: Option<&str>) -> String {
    let id = id.unwrap_or("null");
    let code = coded_as(error).map_or(INTERNAL, CallError::code);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},{}}}}}"#, explained(error, "data"))
}

/// The error of A2A that the gateway answers with in the agent's stead (A2A 1.0 section 5.4). Over JSON-RPC it comes
/// with status 200, as from an agent: clients read no other answer.
pub(super) fn in_agents_stead(error: &Error) -> Option<CallError> {
    match error {
        Error::FaultAbort(AbortAnswer::Call(error)) => Some(*error),
        Error::CallRefused(refusal) => refusal.in_agents_stead(),
        _ => None,
    }
}

/// The error of A2A or JSON-RPC whose codes a failure has.
fn coded_as(error: &Error) -> Option<CallError> {
    match error {
        Error::CallRefused(refusal) => refusal.coded_as(),
        other => in_agents_stead(other),
    }
}

/// The text and the word for programs (google.rpc.ErrorInfo), under that key.
fn explained(error: &Error, key: &str) -> String {
    let own = || (error.reason(), "attache");
    let (reason, domain) = in_agents_stead(error).map_or_else(own, |error| (error.reason(), CALL_ERROR_DOMAIN));
    let text = public(error);
    format!(
        r#""message":"{text}","{key}":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"{domain}"}}]"#
    )
}

/// The status of gRPC that stands for a failure.
pub(super) fn grpc_fields(error: &Error, fields: &mut HeaderMap) {
    fields.insert(GRPC_STATUS, HeaderValue::from(u16::from(grpc_code(error).0)));
    fields.insert(GRPC_MESSAGE, HeaderValue::from_static(public(error)));
}

/// The status that the client gets.
pub(super) fn status(error: &Error) -> StatusCode {
    match error {
        // A client that closed its direction in the middle of a request still gets an answer. 499 is for logs only.
        Error::ClientGone | Error::ClientStalled => StatusCode::BAD_REQUEST,
        other => other.status(),
    }
}

/// The text for the client: one level, no addresses, no versions.
fn public(error: &Error) -> &'static str {
    match error {
        Error::BadRequest(PLAIN_ON_TLS) => "this port speaks TLS: use https",
        Error::BadRequest(_) => "the request is not valid HTTP",
        Error::MethodRefused => "the method is not served",
        Error::TargetTooLong => "the request target is too long",
        Error::HeadTooLarge => "the request head is too large",
        Error::BodyTooLarge => "the request body is too large",
        Error::BodyTimeout => "the request body did not arrive in time",
        Error::UnknownExpectation => "the expectation is unknown",
        Error::UnmetExpectation => "the body is not asked for over HTTP/2",
        Error::Misdirected => "this connection does not serve that host",
        Error::NoRoute => "nothing is served here",
        Error::UpgradeRefused => "upgrades are not served here",
        Error::Blocked { wait: None, .. } => "this client is blocked",
        Error::Blocked { .. } => "this client is blocked for a time",
        Error::AddressRefused(_) => "this address is not served here",
        Error::AuthSlowed(_) => "too many failures to authenticate",
        Error::OriginRefused => "pages of this origin may not use this",
        Error::CrossSite => "not for pages of other sites",
        Error::CredentialsMissing(_) => "credentials are needed here",
        Error::CredentialsInvalid(_) => "the credentials are not good",
        Error::AuthAnswered(_) => "not allowed",
        Error::TenantMismatch => "not for this tenant",
        Error::AuthUnavailable => "credentials cannot be checked at the moment",
        Error::Forbidden | Error::Screened => "this is not allowed",
        Error::CallRefused(refusal) => refusal.text(),
        Error::RateLimited(_) => "too many requests",
        Error::TooManyOpen => "too many requests at a time",
        Error::NoEndpoint(_) => "no agent is available",
        Error::CircuitOpen { .. } => "the agent has as much to do as it may",
        Error::ConnectFailed(_) | Error::ConnectTimeout(_) | Error::UpstreamTls(_) => "the agent cannot be reached",
        Error::UpstreamReset(_) | Error::StreamRefused(_) | Error::UpstreamAborted(_) => "the agent ended the exchange",
        Error::UpstreamInvalid(..) => "the agent's answer is not valid HTTP",
        Error::HeadTimeout | Error::Timeout | Error::StreamIdle | Error::StreamTooLong => {
            "the agent did not answer in time"
        }
        Error::Withdrawn => "this version was withdrawn",
        Error::SignedCard => "the agent's card is signed for another address",
        Error::ClientGone | Error::ClientStalled => "the client left",
        Error::Draining => "the gateway is stopping",
        Error::FaultAbort(_) | Error::FaultDelay | Error::FaultCut => "a fault was injected on purpose",
        Error::Internal => "internal error",
    }
}

/// gRPC code and name for a failure (google.rpc.Code).
pub(super) fn grpc_code(error: &Error) -> (u8, &'static str) {
    if let Error::FaultAbort(AbortAnswer::Grpc(code)) = error {
        return (code.code(), code.name());
    }
    if let Some(error) = coded_as(error) {
        return error.grpc();
    }
    match error.status() {
        StatusCode::BAD_REQUEST | StatusCode::EXPECTATION_FAILED => (3, "INVALID_ARGUMENT"),
        StatusCode::NOT_FOUND => (12, "NOT_FOUND"),
        StatusCode::METHOD_NOT_ALLOWED => (12, "UNIMPLEMENTED"),
        StatusCode::UNAUTHORIZED => (16, "UNAUTHENTICATED"),
        StatusCode::FORBIDDEN => (7, "PERMISSION_DENIED"),
        StatusCode::CONFLICT => (10, "ABORTED"),
        StatusCode::PAYLOAD_TOO_LARGE
        | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        | StatusCode::URI_TOO_LONG
        | StatusCode::TOO_MANY_REQUESTS => (8, "RESOURCE_EXHAUSTED"),
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => (4, "DEADLINE_EXCEEDED"),
        StatusCode::INTERNAL_SERVER_ERROR => (13, "INTERNAL"),
        _ => (14, "UNAVAILABLE"),
    }
}

/// JSON-RPC has one code for all other failures.
const INTERNAL: i32 = -32603;
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
