//! Decides whether a request may be tried again. Pure: depends on what doing it twice means, the outcome of the try and
//! the route's policy. What doing it twice would mean decides first: a request that must not be done twice is tried
//! again only after failures that prove that nothing was done, unless the route names others. A request that begins
//! work of an agent is never tried again after anything else, whatever the route names.

use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::config::model::{Failure, Retries, RetryOn, RetryPolicy};
use crate::outcome::Outcome;

/// What doing a request twice would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: it has no effect (RFC 9110 section 9.2.1).
    Safe,
    /// The same as doing it once (RFC 9110 section 9.2.2).
    Idempotent,
    /// Perhaps something else. The route may name more failures after which it is tried again.
    Once,
    /// Work done twice. The route cannot change that.
    Work,
}

impl Repeat {
    /// By the method, where nothing more is known.
    #[must_use]
    pub fn of_method(method: &Method) -> Self {
        if method.is_safe() {
            Self::Safe
        } else if method.is_idempotent() {
            Self::Idempotent
        } else {
            Self::Once
        }
    }

    /// Whether it is tried again after this failure.
    #[must_use]
    pub fn is_repeated(self, policy: &RetryPolicy, failure: Failure) -> bool {
        match policy {
            RetryPolicy::Off => false,
            RetryPolicy::Default => by_default(self, failure),
            RetryPolicy::By(_) if self == Self::Work && !failure.is_harmless() => false,
            RetryPolicy::By(retries) => self.causes(retries).failures.contains(&failure),
        }
    }

    /// The failures and answers after which a route has it tried again.
    #[must_use]
    pub fn causes(self, retries: &Retries) -> &RetryOn {
        retries.causes(matches!(self, Self::Safe | Self::Idempotent))
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

/// Why a request would be tried again after this: the word that counts it, or `None` when it would not.
/// `fields` are those of the answer, where one came.
pub(super) fn reason(
    policy: &RetryPolicy,
    repeat: Repeat,
    outcome: Outcome,
    fields: Option<&HeaderMap>,
) -> Option<Reason> {
    if let Some(failure) = outcome.failure() {
        return repeat.is_repeated(policy, failure).then_some(Reason::Failure);
    }
    match (policy, fields) {
        (RetryPolicy::By(retries), Some(fields)) if repeat != Repeat::Work => {
            answer(repeat.causes(retries), outcome, fields)
        }
        (RetryPolicy::Off | RetryPolicy::Default | RetryPolicy::By(_), _) => None,
    }
}

/// Whether a gRPC status may be a reason.
pub(super) fn names_grpc(policy: &RetryPolicy) -> bool {
    match policy {
        RetryPolicy::Default | RetryPolicy::Off => false,
        RetryPolicy::By(retries) => {
            [true, false].iter().any(|is_idempotent| !retries.causes(*is_idempotent).grpc.is_empty())
        }
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

/// Without a word in the configuration: a request without effect (RFC 9110 section 9.2.1) after every failure but
/// silence, others when nothing was done.
fn by_default(repeat: Repeat, failure: Failure) -> bool {
    match failure {
        Failure::Reset | Failure::Invalid => repeat == Repeat::Safe,
        Failure::Timeout => false,
        Failure::Connect | Failure::ConnectTimeout | Failure::Refused => true,
    }
}

fn answer(causes: &RetryOn, outcome: Outcome, fields: &HeaderMap) -> Option<Reason> {
    if let Some(status) = outcome.status.filter(|status| causes.has_status(status.as_u16())) {
        return Some(Reason::Status(status));
    }
    if outcome.grpc_status().is_some_and(|code| causes.grpc.contains(&u16::from(code))) {
        return Some(Reason::Grpc);
    }
    let named = |name: &HeaderName| fields.contains_key(name);
    causes.headers.iter().any(named).then_some(Reason::Header)
}

/// Whether keeping a request can help after a connection took it. A request that no connection took
/// comes back by itself. Only HTTP/2 (`streams`) can say that nothing was done about a request that it took.
pub(super) fn is_worth_keeping(policy: &RetryPolicy, repeat: Repeat, streams: bool) -> bool {
    match policy {
        RetryPolicy::Off => false,
        RetryPolicy::Default => streams || repeat == Repeat::Safe,
        RetryPolicy::By(retries) => {
            let causes = repeat.causes(retries);
            let is_risky = causes.is_risky() && repeat != Repeat::Work;
            is_risky || (streams && causes.failures.contains(&Failure::Refused))
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::outcome::{Application, GRPC_STATUS, Transport};

    fn by(retry_on: RetryOn, non_idempotent: RetryOn) -> RetryPolicy {
        RetryPolicy::By(Box::new(Retries {
            attempts: 3,
            retry_on,
            non_idempotent: Some(non_idempotent),
            budget: None,
            ..Retries::default()
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

    fn asks(policy: &RetryPolicy, method: &str, came: &Came) -> bool {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        repeats(policy, Repeat::of_method(&method), came)
    }

    fn repeats(policy: &RetryPolicy, repeat: Repeat, came: &Came) -> bool {
        let found = match came {
            Came::Failure(failure) => reason(policy, repeat, Outcome::ended(transport(*failure)), None),
            Came::Answer(status, fields) => {
                let outcome = Outcome::answered(*status, Application::of_head(fields));
                reason(policy, repeat, outcome, Some(fields))
            }
        };
        found.is_some()
    }

    /// What became of a try.
    enum Came {
        Failure(Failure),
        Answer(StatusCode, HeaderMap),
    }

    fn transport(failure: Failure) -> Transport {
        match failure {
            Failure::Connect => Transport::ConnectFailed,
            Failure::ConnectTimeout => Transport::ConnectTimedOut,
            Failure::Refused => Transport::Refused,
            Failure::Reset => Transport::Reset,
            Failure::Timeout => Transport::TimedOut,
            Failure::Invalid => Transport::Invalid,
        }
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
                    assert_eq!(asks(&usual, method, &came), expected, "{method} {failure:?}");
                    assert_eq!(asks(&widened, method, &came), named, "{method} {failure:?}");
                }
                for status in [200, 204, 301, 400, 404, 409, 429, 500, 501, 502, 503, 504, 599] {
                    let named = statuses.contains(&status);
                    let (status, none) = (StatusCode::from_u16(status).unwrap(), HeaderMap::new());
                    let came = Came::Answer(status, none);
                    assert_eq!(asks(&usual, method, &came), named && repeatable, "{method} {status}");
                    assert_eq!(asks(&widened, method, &came), named, "{method} {status}");
                }
                for code in 0..=16_u16 {
                    let named = grpc.contains(&code);
                    let mut headers = HeaderMap::new();
                    headers.insert(GRPC_STATUS, HeaderValue::from(code));
                    let came = Came::Answer(StatusCode::OK, headers);
                    assert_eq!(asks(&usual, method, &came), named && repeatable, "{method} {code}");
                    assert_eq!(asks(&widened, method, &came), named, "{method} {code}");
                }
            }
        }
    }

    #[test]
    fn work_is_never_repeated_once_an_agent_may_have_it() {
        for (cause, failures, statuses, grpc) in causes() {
            let policy = by(cause.clone(), cause);
            for failure in Failure::ALL {
                let expected = failures.contains(&failure) && failure.is_harmless();
                assert_eq!(repeats(&policy, Repeat::Work, &Came::Failure(failure)), expected, "{failure:?}");
            }
            for status in statuses {
                let came = Came::Answer(StatusCode::from_u16(status).unwrap(), HeaderMap::new());
                assert!(!repeats(&policy, Repeat::Work, &came) && repeats(&policy, Repeat::Once, &came), "{status}");
            }
            for code in grpc {
                let came = Came::Answer(StatusCode::OK, HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from(code))]));
                assert!(!repeats(&policy, Repeat::Work, &came) && repeats(&policy, Repeat::Once, &came), "{code}");
            }
            assert!(!is_worth_keeping(&policy, Repeat::Work, false));
        }
        for failure in Failure::ALL {
            let expected = failure.is_harmless();
            assert_eq!(repeats(&RetryPolicy::Default, Repeat::Work, &Came::Failure(failure)), expected, "{failure:?}");
        }
    }

    #[test]
    fn a_field_of_the_answer_can_ask() {
        let name = HeaderName::from_static("x-try-again");
        let cause = RetryOn { headers: vec![name.clone()], ..RetryOn::default() };
        let policy = by(cause.clone(), cause.harmless());
        let mut headers = HeaderMap::new();
        let none = HeaderMap::new();
        assert!(!asks(&policy, "GET", &Came::Answer(StatusCode::OK, none)));
        headers.insert(name, HeaderValue::from_static(""));
        let came = Came::Answer(StatusCode::OK, headers);
        assert!(asks(&policy, "GET", &came));
        assert!(!asks(&policy, "POST", &came));
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
                assert_eq!(asks(&RetryPolicy::Default, method, &came), expected, "{method} {failure:?}");
                assert!(!asks(&RetryPolicy::Off, method, &came));
            }
            let came = Came::Answer(StatusCode::SERVICE_UNAVAILABLE, none.clone());
            assert!(!asks(&RetryPolicy::Default, method, &came));
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
            let keeps = is_worth_keeping(policy, Repeat::of_method(&method), streams);
            assert_eq!(keeps, expected, "{method} {streams}");
        }
    }
}
