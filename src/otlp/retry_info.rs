//! What a server of gRPC says of another try: `google.rpc.RetryInfo` among the details of a status, which stand as
//! base64 in `grpc-status-details-bin`.

use std::time::Duration;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use prost::Message;

/// How long it asks to be left alone; `None` where it says nothing of another try, or what it says cannot be read.
pub(super) fn asked_wait(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(&*BASE64.decode(details).ok()?).ok()?;
    let info = status.details.into_iter().find(|detail| detail.type_url == RETRY_INFO)?;
    let delay = RetryInfo::decode(info.value).ok()?.delay.unwrap_or_default();
    let seconds = u64::try_from(delay.seconds).unwrap_or_default();
    Some(Duration::from_secs(seconds).saturating_add(Duration::from_nanos(delay.nanos.try_into().unwrap_or_default())))
}

/// `google.rpc.Status`, without code and message, which have fields of their own.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";
/// Senders may leave the padding out, and receivers must take both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The field as a server sends it.
    pub(in crate::otlp) fn details(kind: &str, seconds: i64, nanos: i32) -> String {
        let value = RetryInfo { delay: Some(Delay { seconds, nanos }) }.encode_to_vec().into();
        let other = Any { type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(), value: Bytes::new() };
        let info = Any { type_url: format!("type.googleapis.com/google.rpc.{kind}"), value };
        BASE64.encode(Status { details: vec![other, info] }.encode_to_vec())
    }

    #[test]
    fn the_wait_is_that_of_the_right_detail() {
        for (field, expected) in [
            (details("RetryInfo", 7, 500_000_000), Some(Duration::from_millis(7500))),
            (details("RetryInfo", 7, 0).trim_end_matches('=').to_owned(), Some(Duration::from_secs(7))),
            (details("RetryInfo", 0, 0), Some(Duration::ZERO)),
            (details("RetryInfo", -1, -1), Some(Duration::ZERO)),
            (details("RetryInfo", i64::MAX, i32::MAX), Some(Duration::new(i64::MAX.unsigned_abs() + 2, 147_483_647))),
            (details("QuotaFailure", 7, 0), None),
            (String::new(), None),
            ("nonsense!".to_owned(), None),
            ("////".to_owned(), None),
        ] {
            assert_eq!(asked_wait(field.as_bytes()), expected, "{field}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_be_sent(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(asked_wait(BASE64.encode(&bytes).as_bytes()), None);
            prop_assert_eq!(asked_wait(&bytes), None);
        }
    }
}
