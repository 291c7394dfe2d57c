//! Answers to requests that fail. They say why in one word and give away nothing of what is behind.

use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use tokio::time::Instant;

use super::ResponseBody;
use super::call::Call;
use super::exchange::Exchange;
use super::own_answer::METHODS;
use crate::a2a::Binding;
use crate::body::Body;
use crate::config::model::AbortAnswer;
use crate::context::PLAIN_ON_TLS;
use crate::error::{CallRefusal, Error};
use crate::outcome::{Application, GRPC_STATUS};

/// The answer to a request that failed with `error`, in the form its client understands.
pub(super) fn refusal(exchange: &mut Exchange, error: &Error) -> Response<ResponseBody> {
    exchange.answered(error.status().as_u16(), Instant::now());
    exchange.failed(error);
    tracing::debug!(reason = error.reason(), error = error as &dyn std::error::Error, "refused");
    let call = exchange.call.as_deref();
    let binding = call.map(|call| call.binding).filter(|_| !exchange.request.grpc);
    let mut response = match binding {
        _ if exchange.request.grpc => {
            exchange.outcome.application = Application::Grpc { code: grpc_code(error).0, with_head: true };
            grpc(error)
        }
        Some(Binding::JsonRpc) => json_rpc(error, call.and_then(Call::id)),
        Some(Binding::Rest | Binding::Grpc) | None => rest(error),
    };
    if binding == Some(Binding::JsonRpc) && of_protocol(error).is_some() {
        exchange.outcome.status = response.status().as_u16();
    }
    let headers = response.headers_mut();
    // A task of another is to look like one that is not there.
    if !matches!(error, Error::CallRefused(CallRefusal::NotOwner)) {
        headers.insert(REASON, HeaderValue::from_static(error.reason()));
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if exchange.request.version < Version::HTTP_2 && ends_connection(error) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The error object that the REST binding of A2A has (A2A 1.0 section 11.6), and everybody else can read.
fn rest(error: &Error) -> Response<ResponseBody> {
    let (code, status) = (status(error).as_u16(), grpc_code(error).1);
    json(error, format!(r#"{{"error":{{"code":{code},"status":"{status}",{}}}}}"#, explained(error, "details")))
}

/// An error of JSON-RPC with the caller's id. The codes of A2A are the agent's, so it is -32603 for all that A2A does
/// not know. What it knows comes with status 200, as from an agent: clients read no other answer.
fn json_rpc(error: &Error, id: Option<&str>) -> Response<ResponseBody> {
    let (id, code) = (id.unwrap_or("null"), json_rpc_code(error));
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},{}}}}}"#, explained(error, "data"));
    let mut response = json(error, text);
    if of_protocol(error).is_some() {
        *response.status_mut() = StatusCode::OK;
    }
    response
}

fn json_rpc_code(error: &Error) -> i32 {
    match error {
        Error::CallRefused(CallRefusal::Version) => -32009,
        Error::CallRefused(CallRefusal::NotOwner) => -32001,
        Error::CallRefused(CallRefusal::Shape) => -32600,
        Error::CallRefused(CallRefusal::Params) => -32602,
        _ => -32603,
    }
}

/// The reason of an error that A2A has itself (A2A 1.0 section 5.4).
fn of_protocol(error: &Error) -> Option<&'static str> {
    match error {
        Error::CallRefused(CallRefusal::Version) => Some("VERSION_NOT_SUPPORTED"),
        Error::CallRefused(CallRefusal::NotOwner) => Some("TASK_NOT_FOUND"),
        _ => None,
    }
}

/// The text and the word for programs (google.rpc.ErrorInfo), under that key.
fn explained(error: &Error, key: &str) -> String {
    let (text, reason) = (public(error), error.reason());
    let (reason, domain) = of_protocol(error).map_or((reason, "attache"), |reason| (reason, "a2a-protocol.org"));
    format!(
        r#""message":"{text}","{key}":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}","domain":"{domain}"}}]"#
    )
}

/// The status that the client gets.
fn status(error: &Error) -> StatusCode {
    match error {
        // A client that closed its direction in the middle of a request still gets an answer. 499 is for logs only.
        Error::ClientGone | Error::ClientStalled => StatusCode::BAD_REQUEST,
        other => other.status(),
    }
}

fn json(error: &Error, text: String) -> Response<ResponseBody> {
    let status = status(error);
    let mut response = Response::new(Body::full(text + "\n"));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, METHODS);
    }
    response
}

/// A trailers-only gRPC answer.
fn grpc(error: &Error) -> Response<ResponseBody> {
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(GRPC_STATUS, HeaderValue::from(u16::from(grpc_code(error).0)));
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(public(error)));
    response
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
        Error::CallRefused(refusal) => refused(*refusal),
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

/// What is wrong with a call.
fn refused(refusal: CallRefusal) -> &'static str {
    match refusal {
        CallRefusal::Method => "this operation is not served here",
        CallRefusal::PushUrl => "events are not posted to this address",
        CallRefusal::FileUrl => "files are not fetched from this address",
        CallRefusal::Batch => "a list of calls is not served",
        CallRefusal::Ambiguous => "the call names something twice",
        CallRefusal::Incomplete => "an id or address is too long, or there are too many",
        CallRefusal::NoRoom => "too many calls are being read",
        CallRefusal::Version => "this version of A2A is not served here",
        CallRefusal::Shape => "the request is no call of JSON-RPC 2.0",
        CallRefusal::Params => "the parameters of the call are invalid",
        CallRefusal::NotOwner => "Task not found",
        CallRefusal::List => "only tasks of a context of one's own are listed",
        CallRefusal::Duplicate => "this message was sent before",
        CallRefusal::Unread => "the call cannot be read",
    }
}

/// gRPC code and name for a failure (google.rpc.Code).
fn grpc_code(error: &Error) -> (u8, &'static str) {
    if let Error::FaultAbort(AbortAnswer::Grpc(code)) = error {
        return (code.code(), code.name());
    }
    match error {
        Error::CallRefused(CallRefusal::Version) => return (9, "FAILED_PRECONDITION"),
        Error::CallRefused(CallRefusal::NotOwner) => return (5, "NOT_FOUND"),
        _ => {}
    }
    match error.status() {
        StatusCode::BAD_REQUEST | StatusCode::EXPECTATION_FAILED => (3, "INVALID_ARGUMENT"),
        StatusCode::NOT_FOUND => (12, "NOT_FOUND"),
        StatusCode::METHOD_NOT_ALLOWED => (12, "UNIMPLEMENTED"),
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

/// Refusals after which the rest of an HTTP/1 connection cannot be trusted or is not worth reading.
fn ends_connection(error: &Error) -> bool {
    matches!(
        error,
        Error::BadRequest(_)
            | Error::MethodRefused
            | Error::TargetTooLong
            | Error::HeadTooLarge
            | Error::BodyTooLarge
            | Error::BodyTimeout
            | Error::UnknownExpectation
            | Error::UnmetExpectation
            | Error::Misdirected
    )
}

const REASON: HeaderName = HeaderName::from_static("x-attache-reason");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
