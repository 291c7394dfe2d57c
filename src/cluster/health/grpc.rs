//! The two messages of `grpc.health.v1.Health/Check`, each of one field.

use bytes::Bytes;

use crate::a2a::wire::{Content, Framed, fields, framed, in_frame, put_text};

/// `HealthCheckRequest { service = 1 }` as one uncompressed gRPC message.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = Vec::new();
    put_text(&mut message, 1, service);
    Bytes::from(framed(&message, &[]))
}

/// The `status` of the one `HealthCheckResponse { status = 1 }` in `body`; `None` when it is anything else. An absent
/// status is 0, unknown.
#[must_use]
pub fn status(body: &[u8]) -> Option<u64> {
    let Framed::Whole(message, []) = in_frame(body) else { return None };
    let mut status = 0;
    for field in fields(message) {
        let field = field?;
        if let (1, Content::Number(number)) = (field.number, field.content) {
            status = number;
        }
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests() {
        assert_eq!(*request(""), [0, 0, 0, 0, 0]);
        assert_eq!(*request("a.B"), [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
        let long = request(&"x".repeat(300));
        assert_eq!(long[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }

    #[test]
    fn responses() {
        for (body, expected, what) in [
            (&[0, 0, 0, 0, 2, 8, 1][..], Some(1), "serving"),
            (&[0, 0, 0, 0, 2, 8, 2], Some(2), "not serving"),
            (&[0, 0, 0, 0, 0], Some(0), "an absent status is unknown"),
            (&[0, 0, 0, 0, 6, 0x12, 2, 9, 9, 8, 1], Some(1), "an unknown field is passed over"),
            (&[0, 0, 0, 0, 4, 8, 2, 8, 1], Some(1), "the last of a field counts"),
            (&[1, 0, 0, 0, 2, 8, 1], None, "compressed"),
            (&[0, 0, 0, 0, 3, 8, 1], None, "cut short"),
            (&[0, 0, 0, 0, 2, 8, 1, 0, 0, 0, 0, 0], None, "two messages"),
            (&[0, 0, 0, 0, 2, 8, 0x81], None, "a number without end"),
            (&[0, 0, 0, 0, 2, 0x12, 9], None, "a field beyond the end"),
            (&[0, 0, 0, 0, 1, 0x0b], None, "a group"),
            (b"<htm", None, "something else"),
            (&[], None, "nothing"),
        ] {
            assert_eq!(status(body), expected, "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _any = status(&body);
            let mut framed = vec![0, 0, 0, 0, u8::try_from(body.len()).unwrap()];
            framed.extend(body);
            let _any = status(&framed);
        }
    }
}
