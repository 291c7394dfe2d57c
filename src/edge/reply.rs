//! Answers to requests that fail. They say why in one word and give away nothing of what is behind.

use http::{HeaderName, HeaderValue, Response, StatusCode, Version, header};
use tokio::time::Instant;

use super::ResponseBody;
use super::authentication::replace;
use super::call::Call;
use super::error_words::{grpc_code, grpc_fields, in_agents_stead, json_rpc_text, rest_text, status};
use super::exchange::Exchange;
use super::own_answer::METHODS;
use crate::a2a::Binding;
use crate::body::Body;
use crate::error::{CallRefusal, Error};
use crate::outcome::Application;

/// The answer to a request that failed with `error`, in the form its client understands.
pub(super) fn refusal(exchange: &mut Exchange, error: &Error) -> Response<ResponseBody> {
    let as_agent = answers_as_agent(error, exchange.call.as_deref());
    exchange.answered(if as_agent { StatusCode::OK } else { error.status() }.as_u16(), Instant::now());
    exchange.failed(error);
    tracing::debug!(reason = error.reason(), error = error as &dyn std::error::Error, "refused");
    let call = exchange.call.as_deref();
    let mut response = match call.map(|call| call.binding) {
        _ if exchange.request.grpc => {
            exchange.outcome.application = Application::Grpc { code: grpc_code(error).0, with_head: true };
            grpc(error)
        }
        Some(Binding::JsonRpc) => json(error, json_rpc_text(error, call.and_then(Call::id))),
        Some(Binding::Rest | Binding::Grpc) | None => json(error, rest_text(error)),
    };
    if as_agent {
        *response.status_mut() = StatusCode::OK;
    }
    let headers = response.headers_mut();
    // A task of another is to look like one that is not there.
    if !matches!(error, Error::CallRefused(CallRefusal::NotOwner)) {
        headers.insert(REASON, HeaderValue::from_static(error.reason()));
    }
    if let Error::AuthAnswered(answer) = error {
        replace(headers, &answer.headers);
    }
    for challenge in error.challenges() {
        headers.append(header::WWW_AUTHENTICATE, challenge.clone());
    }
    if let Some(seconds) = error.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Where a body is still to come, hyper closes the connection: a client that is not told so sends its next request
    // into it.
    let ends = ends_connection(error) || exchange.request.upload.is_unfinished();
    if exchange.request.version < Version::HTTP_2 && ends {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether the answer says what an agent would say in JSON-RPC, which is no failure of HTTP.
fn answers_as_agent(error: &Error, call: Option<&Call>) -> bool {
    call.is_some_and(|call| call.binding == Binding::JsonRpc) && in_agents_stead(error).is_some()
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
    grpc_fields(error, headers);
    response
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
