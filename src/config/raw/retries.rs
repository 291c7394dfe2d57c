//! `routes.X.retries`.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::forms::{Many, OrOff};
use super::values::{Size, Time, text_value};
use super::words::{Words, find, words};
use crate::config::de::with_hint;
use crate::config::model::{Failure, RetryOn};

/// When a request is sent again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Retries {
    /// Tries beyond the first. Default: 2.
    #[schemars(range(min = 1, max = 20))]
    pub(in crate::config) attempts: Option<u64>,
    /// Time from the start of one try to its response head. Default: off.
    pub(in crate::config) per_try_timeout: Option<OrOff<Time>>,
    /// After what GET, HEAD, PUT, DELETE and OPTIONS are tried again. Default:
    /// connect-failure,refused-stream,reset,invalid-response.
    pub(in crate::config) retry_on: Option<Causes>,
    /// The same for other requests, which an agent may then do twice. Default: what of `retryOn` happens before an
    /// agent can begin.
    pub(in crate::config) non_idempotent: Option<OrOff<Causes>>,
    /// Response headers, any of which asks for another try of what `retryOn` holds for. Default: none.
    pub(in crate::config) retriable_headers: Option<Many<String>>,
    /// Time before a retry: random, up to a limit that doubles each time.
    pub(in crate::config) backoff: Option<Backoff>,
    /// Requests of the cluster that may retry at a time; `off` for any number.
    pub(in crate::config) budget: Option<OrOff<Budget>>,
    /// Bytes of a request body kept for another try; a longer body is sent once. Default: 1MiB.
    pub(in crate::config) max_replay_bytes: Option<Size>,
    /// Ask another endpoint besides when a safe request takes longer than `perTryTimeout`; the first answer counts.
    /// Default: false.
    pub(in crate::config) hedging: Option<bool>,
}

/// Full jitter.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RetryBackoff")]
pub(in crate::config) struct Backoff {
    /// Limit before the first retry. Default: 25ms.
    pub(in crate::config) base: Option<Time>,
    /// Largest limit. Default: 250ms.
    pub(in crate::config) max: Option<Time>,
}

/// The larger of both counts.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RetryBudget")]
pub(in crate::config) struct Budget {
    /// Share of the cluster's requests that are on their first try. Default: 20%.
    pub(in crate::config) percent: Option<BudgetShare>,
    /// However few requests there are. Default: 3.
    pub(in crate::config) min_concurrent: Option<u32>,
}

/// A percentage, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct BudgetShare(pub(in crate::config) u32);

text_value!(BudgetShare, share, "a percentage such as `20%`", {
    "type": "string",
    "description": "A percentage with its unit: 20%, 0.5%.",
    "pattern": "^([0-9]+([.][0-9]{1,4})?%|.*[$][{].*)$"
});

fn share(text: &str) -> Result<BudgetShare, String> {
    let shape = || with_hint(format!("`{text}` is not a percentage"), "write `20%`");
    let Some(number) = text.strip_suffix('%') else {
        return Err(match text.parse::<f64>() {
            Ok(_) => with_hint(format!("`{text}` has no unit"), format!("write `{text}%` for percent")),
            Err(_) => shape(),
        });
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 4 {
        return Err(shape());
    }
    let whole: u32 = whole.parse().map_err(|_too_long| shape())?;
    let fraction: u32 = format!("{fraction:0<4}").parse().map_err(|_too_long| shape())?;
    match whole.checked_mul(10_000).map(|whole| whole + fraction) {
        Some(millionths) if millionths <= 1_000_000 => Ok(BudgetShare(millionths)),
        _ => Err(with_hint(format!("`{text}` is more than everything"), "0% to 100%")),
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

    #[test]
    fn shares() {
        for (text, millionths) in [("20%", 200_000), ("0%", 0), ("100%", 1_000_000), ("0.5%", 5_000), ("0.0001%", 1)] {
            assert_eq!(share(text), Ok(BudgetShare(millionths)), "{text}");
        }
        for text in ["20", "0.2", "%", "101%", "1.%", ".5%", "-1%", "1.00001%", "x"] {
            assert!(share(text).is_err(), "{text}");
        }
    }
}
