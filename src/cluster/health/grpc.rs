//! The two messages of `grpc.health.v1.Health/Check`, each of one field.

use bytes::{BufMut as _, Bytes, BytesMut};

/// `HealthCheckRequest { service = 1 }` as one uncompressed gRPC message.
pub(super) fn request(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(SERVICE);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    framed(&message)
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(message.len() + PREFIX);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    framed.put_slice(message);
    framed.freeze()
}

/// The `status` of the one `HealthCheckResponse { status = 1 }` in `body`; `None` when it is anything else. An absent
/// status is 0, unknown.
#[must_use]
pub fn status(body: &[u8]) -> Option<u64> {
    let (prefix, message) = body.split_at_checked(PREFIX)?;
    let (flag, length) = prefix.split_first()?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if *flag != 0 || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, VARINT) => status = varint(&mut rest)?,
            (_, VARINT) => drop(varint(&mut rest)?),
            (_, FIXED_64) => skip(&mut rest, 8)?,
            (_, BYTES) => {
                let length = varint(&mut rest)?;
                skip(&mut rest, length)?;
            }
            (_, FIXED_32) => skip(&mut rest, 4)?,
            _ => return None,
        }
    }
    Some(status)
}

fn skip(rest: &mut &[u8], length: u64) -> Option<()> {
    *rest = rest.get(usize::try_from(length).ok()?..)?;
    Some(())
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    out.put_u8(u8::try_from(value).unwrap_or(0));
}

/// Compression flag and length.
const PREFIX: usize = 5;
/// Field 1, bytes.
const SERVICE: u8 = 0x0a;
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

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

        #[test]
        fn numbers_are_read_as_they_are_written(value: u64) {
            let mut message = BytesMut::from(&[8][..]);
            put_varint(&mut message, value);
            prop_assert_eq!(status(&framed(&message)), Some(value));
        }
    }
}
