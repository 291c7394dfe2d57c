//! Status codes of gRPC.

use http::StatusCode;

/// A gRPC status code other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcStatus(u8);

impl GrpcStatus {
    /// 1 to 16.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        (1..=16).contains(&code).then_some(Self(code))
    }

    /// By its name, in any case.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let at = GRPC.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Self::from_code(u8::try_from(at + 1).ok()?)
    }

    /// The number on the wire.
    #[must_use]
    pub fn code(self) -> u8 {
        self.0
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().0
    }

    /// The HTTP status that stands for it (google.rpc.Code).
    #[must_use]
    pub fn http(self) -> StatusCode {
        StatusCode::from_u16(self.entry().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn entry(self) -> (&'static str, u16) {
        let at = usize::from(self.0).saturating_sub(1);
        GRPC.get(at).copied().unwrap_or(("UNKNOWN", 500))
    }
}

/// Codes 1 to 16.
const GRPC: [(&str, u16); 16] = [
    ("CANCELLED", 499),
    ("UNKNOWN", 500),
    ("INVALID_ARGUMENT", 400),
    ("DEADLINE_EXCEEDED", 504),
    ("NOT_FOUND", 404),
    ("ALREADY_EXISTS", 409),
    ("PERMISSION_DENIED", 403),
    ("RESOURCE_EXHAUSTED", 429),
    ("FAILED_PRECONDITION", 400),
    ("ABORTED", 409),
    ("OUT_OF_RANGE", 400),
    ("UNIMPLEMENTED", 501),
    ("INTERNAL", 500),
    ("UNAVAILABLE", 503),
    ("DATA_LOSS", 500),
    ("UNAUTHENTICATED", 401),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_codes_have_names_and_a_status() {
        for (code, name, http) in [(1, "CANCELLED", 499), (14, "UNAVAILABLE", 503), (16, "UNAUTHENTICATED", 401)] {
            let status = GrpcStatus::from_code(code).unwrap();
            assert_eq!((status.name(), status.http().as_u16()), (name, http));
            assert_eq!(GrpcStatus::from_name(&name.to_lowercase()), Some(status));
        }
        assert_eq!(GrpcStatus::from_code(0), None, "OK is no failure");
        assert_eq!(GrpcStatus::from_code(17), None);
    }
}
