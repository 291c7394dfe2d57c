//! Shows the authority that orders are made at that a name is ours: with a file at a listener without TLS, before that
//! redirects and before anybody is asked who they are (RFC 8555 section 8.3).

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};

use super::exchange::Exchange;
use super::stage::{Entry, Passage};
use crate::acme::PLACE;
use crate::body::Body;
use crate::error::Error;

/// Answers a challenge that waits. A token that is none goes on like any other request.
#[allow(clippy::unnecessary_wraps, reason = "every stage may refuse")]
pub(super) fn answer(exchange: &mut Exchange, entry: &Entry) -> Result<Passage, Error> {
    let path = exchange.request.path();
    if !path.starts_with(PLACE) || exchange.connection.tls.is_some() || exchange.request.method != Method::GET {
        return Ok(Passage::On);
    }
    let Some(content) = entry.view.snapshot.challenges.file(path) else {
        return Ok(Passage::On);
    };
    let mut response = Response::new(Body::full(Bytes::from(content)));
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(Passage::Answer(Box::new(response)))
}
