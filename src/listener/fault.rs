//! The faults that the scanner finds in a head, with the answer and the reason word of each.

use crate::context::{PLAIN_ON_TLS, Refusal};

/// Why a head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    RequestLine,
    Target,
    TargetTooLong,
    HostMissing,
    HostRepeated,
    HostInvalid,
    Length,
    LengthRepeated,
    LengthAndEncoding,
    Encoding,
    EncodingOnOldVersion,
    /// Sent in the clear where TLS is spoken.
    Plain,
}

impl Fault {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::TargetTooLong => Refusal::TargetTooLong,
            Self::RequestLine
            | Self::Target
            | Self::HostMissing
            | Self::HostRepeated
            | Self::HostInvalid
            | Self::Length
            | Self::LengthRepeated
            | Self::LengthAndEncoding
            | Self::Encoding
            | Self::EncodingOnOldVersion
            | Self::Plain => Refusal::BadRequest,
        }
    }

    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::RequestLine => "request_line_invalid",
            Self::Target => "target_invalid",
            Self::TargetTooLong => "target_too_long",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::Length => "content_length_invalid",
            Self::LengthRepeated => "content_length_repeated",
            Self::LengthAndEncoding => "length_and_encoding",
            Self::Encoding => "transfer_encoding_unsupported",
            Self::EncodingOnOldVersion => "transfer_encoding_on_http10",
            Self::Plain => PLAIN_ON_TLS,
        }
    }
}
