//! `routes.X.retries`.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::{Many, OrOff};
use super::percentage::Percentage;
use super::values::Time;
use super::words::{Words, find, words};
use crate::config::de::with_hint;
use crate::config::keys::{ANY, Bytes, Count, Limit, section, written};
use crate::config::model::{Failure, RetryOn};

section! {
    #[derive()]
    /// When a request is sent again.
    pub(in crate::config) struct Retries {
        /// Tries beyond the first.
        attempts: u32 as Count<0, ANY> = 2 [schemars(range(min = 1, max = 20))],
        /// Time from the start of one try to its response head.
        per_try_timeout: Option<Duration> as OrOff<Limit> = off,
        /// After what GET, HEAD, PUT, DELETE and OPTIONS are tried again.
        retry_on: RetryOn as Causes = "connect-failure,refused-stream,reset,invalid-response",
        /// The same for other requests, which an agent may then do twice. Default: what of `retryOn` happens before an
        /// agent can begin.
        non_idempotent: Option<OrOff<Causes>>,
        /// Response headers, any of which asks for another try of what `retryOn` holds for.
        retriable_headers: Vec<String> as Many<String> = [],
        /// Time before a retry: random, up to a limit that doubles each time.
        backoff: Backoff = {},
        /// Requests of the cluster that may retry at a time; `off` for any number.
        budget: Option<RetryBudget> as OrOff<RetryBudget> = {},
        /// Bytes of a request body kept for another try; a longer body is sent once.
        max_replay_bytes: usize as Bytes<0, { 64 << 20 }> = 1MiB,
        /// Ask another endpoint besides when a safe request takes longer than `perTryTimeout`; the first answer counts.
        hedging: bool = false,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// Full jitter: before retry `n`, counted from zero, a random time below `min(max, base * 2^n)`.
    pub struct Backoff [schemars(rename = "RetryBackoff")] {
        /// Limit before the first retry.
        base: Duration as Time = 25ms,
        /// Largest limit.
        max: Duration as Time = 250ms,
    }

    #[derive(Copy, PartialEq, Eq)]
    /// How many requests of a cluster may retry at a time: fewer than the larger of both counts.
    pub struct RetryBudget {
        /// Share of the cluster's requests that are on their first try.
        millionths: u32 as Percentage = "20%" [serde(rename = "percent")],
        /// However few requests there are.
        min_concurrent: u32 as Count<0, ANY> = 3,
    }
}

/// What makes a request be tried again: words and statuses, in one text or a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Causes(pub(in crate::config) RetryOn);

/// A word for causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    ConnectFailure,
    RefusedStream,
    Reset,
    Timeout,
    Invalid,
    Status5xx,
    GatewayError,
    Retriable4xx,
    Cancelled,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
    /// nginx's `error`: no timeout, which has a word of its own there.
    Error,
}

words!(
    Cause, "RetryCause",
    Self::ConnectFailure => ["connect-failure", "conn-failure", "connection-failure"],
    Self::RefusedStream => ["refused-stream"],
    Self::Reset => ["reset", "empty-response", "reset-before-request"],
    Self::Timeout => ["timeout", "response-timeout"],
    Self::Invalid => ["invalid-response", "invalid-header", "junk-response"],
    Self::Status5xx => ["5xx"],
    Self::GatewayError => ["gateway-error"],
    Self::Retriable4xx => ["retriable-4xx"],
    Self::Cancelled => ["cancelled"],
    Self::DeadlineExceeded => ["deadline-exceeded"],
    Self::Internal => ["internal"],
    Self::ResourceExhausted => ["resource-exhausted"],
    Self::Unavailable => ["unavailable"],
    Self::Error => ["error"],
);

impl Cause {
    fn failures(self) -> &'static [Failure] {
        match self {
            Self::ConnectFailure => &[Failure::Connect, Failure::ConnectTimeout],
            Self::RefusedStream => &[Failure::Refused],
            Self::Reset => &[Failure::Reset, Failure::Timeout],
            Self::Timeout => &[Failure::Timeout, Failure::ConnectTimeout],
            Self::Invalid => &[Failure::Invalid],
            Self::Error => &[Failure::Connect, Failure::Refused, Failure::Reset],
            // Without an answer the client would get a 502 or 504 of ours.
            Self::Status5xx | Self::GatewayError => &Failure::ALL,
            Self::Retriable4xx
            | Self::Cancelled
            | Self::DeadlineExceeded
            | Self::Internal
            | Self::ResourceExhausted
            | Self::Unavailable => &[],
        }
    }

    fn statuses(self) -> Option<RangeInclusive<u16>> {
        match self {
            Self::Status5xx => Some(500..=599),
            Self::GatewayError => Some(502..=504),
            Self::Retriable4xx => Some(409..=409),
            _ => None,
        }
    }

    /// Its number in gRPC.
    fn grpc(self) -> Option<u16> {
        match self {
            Self::Cancelled => Some(1),
            Self::DeadlineExceeded => Some(4),
            Self::ResourceExhausted => Some(8),
            Self::Internal => Some(13),
            Self::Unavailable => Some(14),
            _ => None,
        }
    }
}

impl Causes {
    fn read(&mut self, text: &str) -> Result<(), String> {
        let separated = |c: char| c == ',' || c.is_whitespace();
        for word in text.split(separated).filter(|word| !word.is_empty()) {
            self.add(word)?;
        }
        Ok(())
    }

    fn add(&mut self, word: &str) -> Result<(), String> {
        let digits = word.strip_prefix("http_").unwrap_or(word);
        if let Ok(status) = digits.parse::<u16>() {
            if !(400..=599).contains(&status) {
                return Err(with_hint(format!("{status} is not the status of a failure"), "400 to 599"));
            }
            self.0.statuses.push(status..=status);
            return Ok(());
        }
        if let Some((_, hint)) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word) {
            return Err(with_hint(format!("`{word}` is not a cause here"), hint));
        }
        let cause: Cause = find(word)?;
        for failure in cause.failures() {
            if !self.0.failures.contains(failure) {
                self.0.failures.push(*failure);
            }
        }
        self.0.statuses.extend(cause.statuses());
        self.0.grpc.extend(cause.grpc());
        Ok(())
    }
}

/// Other proxies' words that are said differently here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("non_idempotent", "say what for: `nonIdempotent: reset,timeout`"),
    ("retriable-status-codes", "write the statuses themselves: `retryOn: [reset, 503]`"),
    ("retriable-headers", "name them: `retriableHeaders: [x-try-again]`"),
    ("all-retryable-errors", "write `5xx,connect-failure,refused-stream,reset`"),
    ("off", "write `retries: off`"),
    ("none", "write `retries: off`"),
];

impl<'de> Deserialize<'de> for Causes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Causes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("words such as `5xx,reset`, or a list of them")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Causes, E> {
                let mut causes = Causes::default();
                causes.read(text).map_err(E::custom)?;
                if causes == Causes::default() {
                    return Err(E::custom(with_hint("this says nothing", "write `5xx,reset`, or `off`")));
                }
                Ok(causes)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Causes, A::Error> {
                let mut all = Causes::default();
                while let Some(Causes(more)) = seq.next_element()? {
                    for failure in more.failures {
                        if !all.0.failures.contains(&failure) {
                            all.0.failures.push(failure);
                        }
                    }
                    all.0.statuses.extend(more.statuses);
                    all.0.grpc.extend(more.grpc);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_str(Either)
    }
}

impl JsonSchema for Causes {
    fn schema_name() -> Cow<'static, str> {
        "RetryOn".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = Cause::WORDS.iter().filter_map(|(_, words)| words.first().copied()).collect();
        let one = json_schema!({ "anyOf": [
            { "type": "string", "examples": words },
            { "type": "integer", "minimum": 400, "maximum": 599 }
        ] });
        json_schema!({
            "description": "Words and statuses, separated by commas or in a list.",
            "anyOf": [one.clone(), { "type": "array", "items": one }]
        })
    }
}

written!(Causes => RetryOn);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RetryOn, String> {
        let mut causes = Causes::default();
        causes.read(text).map(|()| causes.0)
    }

    #[test]
    fn words_of_several_proxies() {
        use Failure::{Connect, ConnectTimeout, Invalid, Refused, Reset, Timeout};
        let all = Failure::ALL.to_vec();
        for (text, failures, statuses, grpc) in [
            ("connect-failure", vec![Connect, ConnectTimeout], vec![], vec![]),
            ("refused-stream", vec![Refused], vec![], vec![]),
            ("reset", vec![Reset, Timeout], vec![], vec![]),
            ("5xx", all.clone(), vec![500..=599], vec![]),
            ("gateway-error", all, vec![502..=504], vec![]),
            ("retriable-4xx,429", vec![], vec![409..=409, 429..=429], vec![]),
            (
                "error timeout invalid_header http_500 http_502 http_503",
                vec![Connect, Refused, Reset, Timeout, ConnectTimeout, Invalid],
                vec![500..=500, 502..=502, 503..=503],
                vec![],
            ),
            (
                "conn-failure empty-response junk-response response-timeout 503",
                vec![Connect, ConnectTimeout, Reset, Timeout, Invalid],
                vec![503..=503],
                vec![],
            ),
            (
                "cancelled,deadline-exceeded, internal,resource-exhausted,unavailable",
                vec![],
                vec![],
                vec![1, 4, 13, 8, 14],
            ),
        ] {
            let headers = vec![];
            let expected = RetryOn { failures, statuses, grpc, headers };
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_cause_gets_a_hint() {
        for (text, hint) in [
            ("rest", "`reset`"),
            ("5x", "`5xx`"),
            ("200", "400 to 599"),
            ("http_200", "400 to 599"),
            ("non_idempotent", "nonIdempotent"),
            ("retriable-status-codes", "503"),
            ("retriable-headers", "retriableHeaders"),
            ("off", "retries: off"),
            ("banana", "one of"),
        ] {
            let problem = read(text).unwrap_err();
            assert!(problem.contains(hint), "{text}: {problem}");
        }
    }
}
