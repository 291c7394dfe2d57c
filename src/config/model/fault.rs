//! Faults a route injects on purpose.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use ipnet::IpNet;

use super::HeaderMatch;

/// Faults of one route. Each kind is drawn by itself.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Holds requests back.
    pub delay: Option<DelayFault>,
    /// Answers instead of an endpoint.
    pub abort: Option<AbortFault>,
    /// Disturbs event and gRPC streams.
    pub stream: Option<StreamFault>,
    /// Faults that clients ask for.
    pub by_header: Option<FaultByHeader>,
    /// Faults active at once. Default 100.
    pub max_active: usize,
    /// When they end, since the Unix epoch.
    pub until: Option<Duration>,
}

/// Holds requests back.
#[derive(Clone, Debug)]
pub struct DelayFault {
    /// How many.
    pub percentage: Percentage,
    /// For how long.
    pub fixed_delay: Duration,
    /// Only requests for which all of these hold.
    pub when: Vec<HeaderMatch>,
}

/// Answers instead of an endpoint.
#[derive(Clone, Debug)]
pub struct AbortFault {
    /// How many.
    pub percentage: Percentage,
    /// With what.
    pub answer: AbortAnswer,
    /// Only requests for which all of these hold.
    pub when: Vec<HeaderMatch>,
}

/// The answer of an abort. Calls of gRPC and others get it in their own form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortAnswer {
    /// This status; for gRPC the code that stands for it.
    Http(StatusCode),
    /// This code; for others the status that stands for it.
    Grpc(GrpcStatus),
}

/// Disturbs event and gRPC streams.
#[derive(Clone, Debug)]
pub struct StreamFault {
    /// How many.
    pub percentage: Percentage,
    /// What is done to them.
    pub disturbance: Disturbance,
    /// Only requests for which all of these hold.
    pub when: Vec<HeaderMatch>,
}

/// What is done to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbance {
    /// Broken off after so many events.
    pub cut_after: Option<u64>,
    /// Time between two events, at least.
    pub delay: Option<Duration>,
}

/// Faults that clients ask for in `x-attache-fault-delay` and `x-attache-fault-abort`.
#[derive(Clone, Debug)]
pub struct FaultByHeader {
    /// How many of those that ask get what they ask for. Default all.
    pub percentage: Percentage,
    /// The longest delay. Default 10 s.
    pub max_delay: Duration,
    /// Clients that may ask; empty means all.
    pub clients: Vec<IpNet>,
    /// What their requests must carry besides.
    pub when: Vec<HeaderMatch>,
}

/// A share, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percentage(u32);

impl Percentage {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// So many millionths, at most all.
    #[must_use]
    pub fn millionths(count: u32) -> Self {
        Self(count.min(Self::ALL.0))
    }

    /// Of a million.
    #[must_use]
    pub fn of_million(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 10_000, self.0 % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let rest = format!("{rest:04}");
        write!(f, "{whole}.{}%", rest.trim_end_matches('0'))
    }
}

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
    fn percentages_read_as_they_are_written() {
        for (millionths, text) in
            [(0, "0%"), (1, "0.0001%"), (1_000, "0.1%"), (12_500, "1.25%"), (1_000_000, "100%"), (u32::MAX, "100%")]
        {
            assert_eq!(Percentage::millionths(millionths).to_string(), text);
        }
    }

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
