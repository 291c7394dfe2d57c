//! What hyper's client accepts as an answer and we do not pass on.

use http::{Response, header};

use crate::error::Error;

/// Checks the head of an HTTP/1.1 answer: its body must have one length, said in a way every recipient understands alike
/// (RFC 9112 section 6.3).
pub(super) fn check_h1<B>(response: &Response<B>) -> Result<(), Error> {
    let headers = response.headers();
    if let Some(encoding) = headers.get(header::TRANSFER_ENCODING) {
        let several = headers.get_all(header::TRANSFER_ENCODING).iter().count() > 1;
        if several || !encoding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err(Error::UpstreamInvalid("unknown transfer coding", None));
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err(Error::UpstreamInvalid("two body lengths", None));
        }
    }
    check_status(response)
}

/// Checks what both versions have in common: nobody knows status codes beyond 599 (RFC 9110 section 15).
pub(super) fn check_status<B>(response: &Response<B>) -> Result<(), Error> {
    if response.status().as_u16() >= 600 {
        return Err(Error::UpstreamInvalid("status code out of range", None));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc9112_6_3_a_body_has_one_length() {
        for (status, fields, accepted) in [
            (200, &[][..], true),
            (599, &[("content-length", "3")], true),
            (200, &[("transfer-encoding", "Chunked")], true),
            (600, &[], false),
            (999, &[], false),
            (200, &[("transfer-encoding", "gzip, chunked")], false),
            (200, &[("transfer-encoding", "identity")], false),
            (
                200,
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                false,
            ),
            (
                200,
                &[("transfer-encoding", "chunked"), ("content-length", "3")],
                false,
            ),
        ] {
            let mut response = Response::builder().status(status);
            for (name, value) in fields {
                response = response.header(*name, *value);
            }
            let response = response.body(()).unwrap();
            assert_eq!(check_h1(&response).is_ok(), accepted, "{status} {fields:?}");
        }
    }
}
