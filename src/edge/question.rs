//! Questions of the gateway itself, made of a client's call: with its fields, its credentials and its tenant.

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Uri, Version, header};

use super::exchange::Exchange;
use super::headers;
use super::prepare::{self, Outfit};
use super::stage::ServedRoute;
use crate::a2a::{Binding, Question, Subject};
use crate::body::RequestBody;
use crate::error::Error;
use crate::upstream::with_head_of;

/// The question as endpoints shall see it: the client's request with another operation.
pub(super) fn request(
    exchange: &Exchange,
    route: &ServedRoute<'_>,
    question: &Question<'_>,
) -> Result<(Parts, Bytes), Error> {
    let (message, facts) = (exchange.message()?, &exchange.request);
    let path = question.path(&facts.method, facts.path()).ok_or(Error::Internal)?;
    let target = prepare::target(exchange, route, &path, question.query(facts.uri.query()).as_deref())?;
    let body = Bytes::from(question.body());
    let (mut head, _) = with_head_of(message, RequestBody::Empty).into_parts();
    head.version = message.version();
    for name in &OF_THE_CALL {
        head.headers.remove(name);
    }
    let fields = &mut head.headers;
    headers::ask_uncoded(fields, false);
    let accepted = match (question.binding, question.subject) {
        (Binding::Grpc, _) => None,
        (_, Subject::Events(_)) => Some("text/event-stream"),
        (Binding::JsonRpc, _) => Some("application/json"),
        (Binding::Rest, _) => Some("application/a2a+json, application/json"),
    };
    match accepted {
        Some(accepted) => drop(fields.insert(header::ACCEPT, HeaderValue::from_static(accepted))),
        None => headers::ask_uncoded(fields, true),
    }
    if question.binding == Binding::Rest {
        fields.remove(header::CONTENT_TYPE);
    }
    let outfit = Outfit { upgrade: false, operation: Some(question.operation()) };
    prepare::dress(exchange, route, &mut head, outfit);
    if !body.is_empty() {
        head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    head.method = question.method();
    head.uri = Uri::from(target);
    head.version = Version::HTTP_11;
    Ok((head, body))
}

/// Fields that are about the client's body, about what the client has already, or about the answer to this one call.
const OF_THE_CALL: [HeaderName; 15] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::EXPECT,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
];
