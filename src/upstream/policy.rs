//! Decides whether a request may be tried again. Pure: depends on the method, the outcome of the try and the route's
//! policy. The class of the method decides first: a request that must not be done twice is tried again only after
//! failures that prove that nothing was done, unless the route names others.

use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::config::model::{Failure, RetryOn, RetryPolicy};
use crate::error::Error;

/// Reasons for another try.
#[derive(Clone, Copy, Debug)]
pub(super) enum Came<'a> {
    /// No answer.
    Failure(Failure),
    /// The head of an answer.
    UpstreamResponse(StatusCode, &'a HeaderMap),
}

/// The kind of a failure that can be repeated; `None` for a fault of the client, the end of the request's time, or a
/// refusal by the gateway. `unsent` says that the request is still here as it was.
pub(super) fn failure(error: &Error, unsent: bool) -> Option<Failure> {
    match error {
        Error::ConnectTimeout(_) => Some(Failure::ConnectTimeout),
        Error::HeadTimeout if unsent => Some(Failure::ConnectTimeout),
        Error::ConnectFailed(_) | Error::UpstreamTls(_) => Some(Failure::Connect),
        Error::UpstreamReset(_) if unsent => Some(Failure::Connect),
        Error::StreamRefused(_) => Some(Failure::Refused),
        Error::UpstreamReset(_) => Some(Failure::Reset),
        Error::HeadTimeout => Some(Failure::Timeout),
        Error::UpstreamInvalid(..) => Some(Failure::Invalid),
        _ => None,
    }
}

/// Tries beyond the first.
pub(super) fn max_retries(policy: &RetryPolicy) -> u32 {
    match policy {
        RetryPolicy::Default => 1,
        RetryPolicy::Off => 0,
        RetryPolicy::By(retries) => retries.attempts,
    }
}

/// Why a request of this method would be tried again after this: the word that counts it, or `None` when it would not.
pub(super) fn reason(policy: &RetryPolicy, method: &Method, came: Came<'_>) -> Option<Reason> {
    let causes = match policy {
        RetryPolicy::Off => return None,
        RetryPolicy::Default => return usual(method, came).then_some(Reason::Failure),
        RetryPolicy::By(retries) if method.is_idempotent() => &retries.retry_on,
        RetryPolicy::By(retries) => &retries.non_idempotent,
    };
    match came {
        Came::Failure(failure) => causes.failures.contains(&failure).then_some(Reason::Failure),
        Came::UpstreamResponse(status, headers) => answer(causes, status, headers),
    }
}

/// The route's reasons for another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It was not answered; the error says why.
    Failure,
    /// The answer's status.
    Status(StatusCode),
    /// The answer's gRPC status.
    Grpc,
    /// A field of the answer.
    Header,
}

impl Reason {
    /// Word for an answer that is not taken, for metrics.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Status(status) if status.is_server_error() => "status_5xx",
            Self::Status(_) => "status_4xx",
            Self::Grpc => "grpc_status",
            Self::Header => "retriable_header",
        }
    }
}

/// The default: a safe request (RFC 9110 section 9.2.1) is tried again after every failure but a timeout, another
/// request when nothing was done.
fn usual(method: &Method, came: Came<'_>) -> bool {
    match came {
        Came::Failure(Failure::Reset | Failure::Invalid) => method.is_safe(),
        Came::Failure(Failure::Timeout) | Came::UpstreamResponse(..) => false,
        Came::Failure(Failure::Connect | Failure::ConnectTimeout | Failure::Refused) => true,
    }
}

fn answer(causes: &RetryOn, status: StatusCode, headers: &HeaderMap) -> Option<Reason> {
    if causes.has_status(status.as_u16()) {
        return Some(Reason::Status(status));
    }
    if !causes.grpc.is_empty()
        && let Some(code) = headers.get(&GRPC_STATUS)
        && let Some(code) = code.to_str().ok().and_then(|code| code.parse().ok())
        && causes.grpc.contains(&code)
    {
        return Some(Reason::Grpc);
    }
    let named = |name: &HeaderName| headers.contains_key(name);
    causes.headers.iter().any(named).then_some(Reason::Header)
}

/// Whether keeping a request of this method can help after a connection took it. A request that no connection took
/// comes back by itself. Only HTTP/2 (`streams`) can say that nothing was done about a request that it took.
pub(super) fn is_worth_keeping(policy: &RetryPolicy, method: &Method, streams: bool) -> bool {
    match policy {
        RetryPolicy::Off => false,
        RetryPolicy::Default => streams || method.is_safe(),
        RetryPolicy::By(retries) => {
            let causes = if method.is_idempotent() { &retries.retry_on } else { &retries.non_idempotent };
            causes.is_risky() || (streams && causes.failures.contains(&Failure::Refused))
        }
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use std::io;
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::config::model::{Backoff, Retries};

    fn by(retry_on: RetryOn, non_idempotent: RetryOn) -> RetryPolicy {
        RetryPolicy::By(Box::new(Retries {
            attempts: 3,
            per_try_timeout: None,
            retry_on,
            non_idempotent,
            backoff: Backoff { base: Duration::ZERO, max: Duration::ZERO },
            budget: None,
            max_replay_bytes: 0,
            hedging: false,
        }))
    }

    const METHODS: [(&str, bool); 9] = [
        ("GET", true),
        ("HEAD", true),
        ("PUT", true),
        ("DELETE", true),
        ("OPTIONS", true),
        ("POST", false),
        ("PATCH", false),
        ("CONNECT", false),
        ("BREW", false),
    ];

    fn asks(policy: &RetryPolicy, method: &str, came: Came<'_>) -> bool {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        reason(policy, &method, came).is_some()
    }

    /// A cause, and which failures, statuses and gRPC statuses are a reason then.
    type Case = (RetryOn, Vec<Failure>, Vec<u16>, Vec<u16>);

    fn causes() -> Vec<Case> {
        use Failure::{Connect, ConnectTimeout, Invalid, Refused, Reset, Timeout};
        let failures = |failures: &[Failure]| RetryOn { failures: failures.to_vec(), ..RetryOn::default() };
        let mut all: Vec<_> = [
            vec![Connect, ConnectTimeout],
            vec![Refused],
            vec![Reset, Timeout],
            vec![Timeout, ConnectTimeout],
            vec![Invalid],
        ]
        .into_iter()
        .map(|list| (failures(&list), list, vec![], vec![]))
        .collect();
        for (range, statuses) in [(500..=599, vec![500, 501, 502, 503, 504, 599]), (502..=504, vec![502, 503, 504])] {
            let cause = RetryOn { statuses: vec![range], ..failures(&Failure::ALL) };
            all.push((cause, Failure::ALL.to_vec(), statuses, vec![]));
        }
        for (status, grpc) in [
            (Some(409), None),
            (Some(429), None),
            (None, Some(1)),
            (None, Some(4)),
            (None, Some(8)),
            (None, Some(13)),
            (None, Some(14)),
        ] {
            let cause = RetryOn {
                statuses: status.iter().map(|status| *status..=*status).collect(),
                grpc: grpc.into_iter().collect(),
                ..RetryOn::default()
            };
            all.push((cause, vec![], status.into_iter().collect(), grpc.into_iter().collect()));
        }
        all
    }

    #[test]
    fn every_cause_with_every_method_and_every_end_of_a_try() {
        for (cause, failures, statuses, grpc) in causes() {
            let (usual, widened) = (by(cause.clone(), cause.harmless()), by(cause.clone(), cause.clone()));
            for (method, repeatable) in METHODS {
                for failure in Failure::ALL {
                    let named = failures.contains(&failure);
                    let came = Came::Failure(failure);
                    let expected = named && (repeatable || failure.is_harmless());
                    assert_eq!(asks(&usual, method, came), expected, "{method} {failure:?}");
                    assert_eq!(asks(&widened, method, came), named, "{method} {failure:?}");
                }
                for status in [200, 204, 301, 400, 404, 409, 429, 500, 501, 502, 503, 504, 599] {
                    let named = statuses.contains(&status);
                    let (status, none) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new());
                    let came = Came::UpstreamResponse(status, &none);
                    assert_eq!(asks(&usual, method, came), named && repeatable, "{method} {status}");
                    assert_eq!(asks(&widened, method, came), named, "{method} {status}");
                }
                for code in 0..=16_u16 {
                    let named = grpc.contains(&code);
                    let mut headers = HeaderMap::new();
                    headers.insert(GRPC_STATUS, HeaderValue::from(code));
                    let came = Came::UpstreamResponse(StatusCode::OK, &headers);
                    assert_eq!(asks(&usual, method, came), named && repeatable, "{method} {code}");
                    assert_eq!(asks(&widened, method, came), named, "{method} {code}");
                }
            }
        }
    }

    #[test]
    fn a_field_of_the_answer_can_ask() {
        let name = HeaderName::from_static("x-try-again");
        let cause = RetryOn { headers: vec![name.clone()], ..RetryOn::default() };
        let policy = by(cause.clone(), cause.harmless());
        let mut headers = HeaderMap::new();
        let none = HeaderMap::new();
        assert!(!asks(&policy, "GET", Came::UpstreamResponse(StatusCode::OK, &none)));
        headers.insert(name, HeaderValue::from_static(""));
        let came = Came::UpstreamResponse(StatusCode::OK, &headers);
        assert!(asks(&policy, "GET", came));
        assert!(!asks(&policy, "POST", came));
    }

    #[test]
    fn nothing_configured_and_switched_off() {
        let none = HeaderMap::new();
        for (method, _) in METHODS {
            for failure in Failure::ALL {
                let expected = match failure {
                    Failure::Timeout => false,
                    Failure::Reset | Failure::Invalid => {
                        matches!(method, "GET" | "HEAD" | "OPTIONS")
                    }
                    _ => true,
                };
                let came = Came::Failure(failure);
                assert_eq!(asks(&RetryPolicy::Default, method, came), expected, "{method} {failure:?}");
                assert!(!asks(&RetryPolicy::Off, method, came));
            }
            let came = Came::UpstreamResponse(StatusCode::SERVICE_UNAVAILABLE, &none);
            assert!(!asks(&RetryPolicy::Default, method, came));
        }
    }

    #[test]
    fn errors_that_are_nobodys_to_repeat() {
        for (error, unsent, expected) in [
            (Error::ConnectFailed(io::Error::other("x")), true, Some(Failure::Connect)),
            (Error::UpstreamTls(io::Error::other("x")), true, Some(Failure::Connect)),
            (Error::ConnectTimeout("x"), true, Some(Failure::ConnectTimeout)),
            (Error::HeadTimeout, true, Some(Failure::ConnectTimeout)),
            (Error::HeadTimeout, false, Some(Failure::Timeout)),
            (Error::UpstreamInvalid("x", None), false, Some(Failure::Invalid)),
            (Error::Timeout, true, None),
            (Error::ClientGone, false, None),
            (Error::BodyTooLarge, false, None),
            (Error::BodyTimeout, false, None),
            (Error::NoEndpoint("x"), true, None),
            (Error::Internal, true, None),
        ] {
            assert_eq!(failure(&error, unsent), expected, "{error:?}");
        }
    }

    #[test]
    fn only_what_could_be_sent_again_is_kept() {
        let reset =
            RetryOn { failures: vec![Failure::Connect, Failure::Refused, Failure::Reset], ..RetryOn::default() };
        let policy = by(reset.clone(), reset.harmless());
        for (policy, method, streams, expected) in [
            (&policy, Method::GET, false, true),
            (&policy, Method::PUT, false, true),
            (&policy, Method::POST, false, false),
            (&policy, Method::POST, true, true),
            (&by(reset.clone(), reset), Method::POST, false, true),
            (&RetryPolicy::Default, Method::GET, false, true),
            (&RetryPolicy::Default, Method::PUT, false, false),
            (&RetryPolicy::Default, Method::POST, true, true),
            (&RetryPolicy::Off, Method::GET, true, false),
        ] {
            let keeps = is_worth_keeping(policy, &method, streams);
            assert_eq!(keeps, expected, "{method} {streams}");
        }
    }
}
