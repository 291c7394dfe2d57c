//! An answer that is given to several callers, each under its own id.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::answer_room::{AnswerPlace, AnswerRoom};
use crate::a2a::id_span;

/// An agent's answer, of its own memory: what came from the wire may lie in a larger buffer.
#[derive(Debug)]
pub struct SharedAnswer {
    status: StatusCode,
    fields: HeaderMap,
    body: Bytes,
    /// Where its id lies, in JSON-RPC.
    id: Option<Range<usize>>,
    _place: AnswerPlace,
}

impl SharedAnswer {
    /// Largest body, in bytes.
    pub const MAX: usize = 256 << 10;

    /// Copies an answer. `None` when it is too large, there is no `room` for it, or it is one of
    /// JSON-RPC in which no other id can be put.
    #[must_use]
    pub fn of(
        room: &AnswerRoom,
        status: StatusCode,
        fields: &HeaderMap,
        body: &[u8],
        is_json_rpc: bool,
    ) -> Option<Self> {
        let is_coded = is_json_rpc && fields.contains_key(header::CONTENT_ENCODING);
        let id = if is_json_rpc { Some(id_span(body)?) } else { None };
        let size: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + PER_FIELD).sum();
        if is_coded || body.len() > Self::MAX || size > Self::MAX {
            return None;
        }
        let place = room.take(body.len() + size + PER_ANSWER)?;
        let mut copied = HeaderMap::with_capacity(fields.len());
        for (name, value) in fields {
            copied.append(name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?);
        }
        Some(Self { status, fields: copied, body: Bytes::copy_from_slice(body), id, _place: place })
    }

    /// The answer for a caller whose call has this id, as it was written.
    #[must_use]
    pub fn response(&self, id: Option<&str>) -> Response<Bytes> {
        let parts = self.id.clone().and_then(|span| Some((self.body.get(..span.start)?, self.body.get(span.end..)?)));
        let body = parts.map_or_else(
            || self.body.clone(),
            |(before, after)| [before, id.unwrap_or("null").as_bytes(), after].concat().into(),
        );
        let mut fields = self.fields.clone();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = fields;
        response
    }
}

/// What a field and an answer take beside their bytes.
const PER_FIELD: usize = 64;
const PER_ANSWER: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8], is_json_rpc: bool, coding: Option<&'static str>) -> Option<SharedAnswer> {
        let mut fields = HeaderMap::new();
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        if let Some(coding) = coding {
            fields.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        SharedAnswer::of(&AnswerRoom::default(), StatusCode::ACCEPTED, &fields, body, is_json_rpc)
    }

    #[test]
    fn each_caller_gets_its_own_id_and_nothing_else_changes() {
        let one = answer(br#"{"result":{"id":"t"},"id": 7 ,"jsonrpc":"2.0"}"#, true, None).unwrap();
        for (id, expected) in [
            (Some("\"long-id\""), &br#"{"result":{"id":"t"},"id": "long-id" ,"jsonrpc":"2.0"}"#[..]),
            (None, br#"{"result":{"id":"t"},"id": null ,"jsonrpc":"2.0"}"#),
        ] {
            let response = one.response(id);
            assert_eq!((response.status(), &**response.body()), (StatusCode::ACCEPTED, expected));
            assert_eq!(response.headers()[header::CONTENT_LENGTH], expected.len().to_string());
        }
        let rest = answer(b"not JSON", false, Some("gzip")).unwrap();
        assert_eq!(rest.response(Some("1")).body(), "not JSON");
    }

    #[test]
    fn what_cannot_be_given_to_others_is_not_taken() {
        for (body, is_json_rpc, coding) in [
            (&br#"{"result":{}}"#[..], true, None),
            (br#"{"id":1}"#, true, Some("gzip")),
            (&[b'x'; SharedAnswer::MAX + 1], false, None),
        ] {
            assert!(answer(body, is_json_rpc, coding).is_none());
        }
        assert!(answer(&[b'x'; SharedAnswer::MAX], false, None).is_some());
    }
}
