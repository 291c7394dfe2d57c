//! `routes.X.retries`: after what a request may be sent again, how often and how soon.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use http::HeaderName;

use super::{ANY, Bytes, Count, Limit, Many, OrOff, Percentage, Time, Written, find, section, text_value, words};
use crate::config::de::with_hint;
use crate::config::forms::words::Words;

section! {
    #[derive(PartialEq, Eq)]
    /// When a request is sent again.
    pub struct Retries {
        /// Tries beyond the first.
        attempts: u32 as Count<0, ANY> = 2 [schemars(range(min = 1, max = 20))],
        /// Time from the start of one try to its response head.
        per_try_timeout: Option<Duration> as OrOff<Limit> = off,
        /// After what GET, HEAD, PUT, DELETE and OPTIONS are tried again.
        retry_on: RetryOn as Many<Causes> = "connect-failure,refused-stream,reset,invalid-response",
        /// The same for other requests, which an agent may then do twice. Default: what of `retryOn` happens before an
        /// agent can begin.
        non_idempotent: Option<RetryOn> as OrOff<Many<Causes>>,
        /// Response headers, any of which asks for another try of what `retryOn` holds for.
        retriable_headers: Vec<HeaderName> as Many<FieldName> = [],
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

/// How many may retry at a time.
impl fmt::Display for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = f64::from(self.millionths) / 10_000.0;
        write!(f, "budget {share}% of first tries, at least {}", self.min_concurrent)
    }
}

/// Whether a route tries again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RetryPolicy {
    /// Nothing is configured: one more try, when nothing was sent or the request is safe and was not answered.
    Default,
    /// Never (`retries: off`).
    Off,
    /// As configured.
    By(Box<Retries>),
}

impl RetryPolicy {
    /// Bytes of a body kept where nothing is configured.
    pub const REPLAY_BYTES: usize = 1 << 20;
}

impl Retries {
    /// What makes a request be tried again that may be repeated, or one that may not.
    #[must_use]
    pub fn causes(&self, is_idempotent: bool) -> &RetryOn {
        static NOTHING: RetryOn =
            RetryOn { failures: Vec::new(), statuses: Vec::new(), grpc: Vec::new(), headers: Vec::new() };
        if is_idempotent { &self.retry_on } else { self.non_idempotent.as_ref().unwrap_or(&NOTHING) }
    }
}

/// What makes a request be tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOn {
    /// Failures without a response.
    pub failures: Vec<Failure>,
    /// Statuses of a response.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// gRPC statuses in a response head.
    pub grpc: Vec<u16>,
    /// Fields of a response, any of which asks for another try.
    pub headers: Vec<HeaderName>,
}

/// How a try can fail without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There was no connection, or it was found dead before the request was written. Nothing was sent.
    Connect,
    /// There was no connection in time. Nothing was sent.
    ConnectTimeout,
    /// The endpoint said that it did nothing about the request (REFUSED_STREAM, or GOAWAY below our stream).
    Refused,
    /// The connection ended after the request was sent.
    Reset,
    /// No response head in time.
    Timeout,
    /// What came is not HTTP.
    Invalid,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 6] =
        [Self::Connect, Self::ConnectTimeout, Self::Refused, Self::Reset, Self::Timeout, Self::Invalid];

    /// Whether the agent cannot have begun to work on the request.
    #[must_use]
    pub fn is_harmless(self) -> bool {
        match self {
            Self::Connect | Self::ConnectTimeout | Self::Refused => true,
            Self::Reset | Self::Timeout | Self::Invalid => false,
        }
    }
}

/// What there was.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::ConnectTimeout => "no connection in time",
            Self::Refused => "a refused stream",
            Self::Reset => "a reset",
            Self::Timeout => "no answer in time",
            Self::Invalid => "an invalid answer",
        })
    }
}

impl RetryOn {
    /// What of it happens before anything reached the agent.
    #[must_use]
    pub fn harmless(&self) -> Self {
        let failures = self.failures.iter().copied();
        Self { failures: failures.filter(|failure| failure.is_harmless()).collect(), ..Self::default() }
    }

    /// Adds what another holds.
    fn join(&mut self, more: Self) {
        for failure in more.failures {
            if !self.failures.contains(&failure) {
                self.failures.push(failure);
            }
        }
        self.statuses.extend(more.statuses);
        self.grpc.extend(more.grpc);
    }

    /// Whether it holds more than [`Self::harmless`] leaves of it.
    #[must_use]
    pub fn is_risky(&self) -> bool {
        self.looks_at_answers() || self.failures.iter().any(|failure| !failure.is_harmless())
    }

    /// Whether a response can be a reason.
    #[must_use]
    pub fn looks_at_answers(&self) -> bool {
        !(self.statuses.is_empty() && self.grpc.is_empty() && self.headers.is_empty())
    }

    /// The answers that are a reason, in words.
    pub fn answers(&self) -> impl Iterator<Item = String> {
        let statuses = self.statuses.iter().map(|range| match range.clone().into_inner() {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first} to {last}"),
        });
        let grpc = self.grpc.iter().map(|code| format!("gRPC {code}"));
        let headers = self.headers.iter().map(|name| format!("header {name}"));
        statuses.chain(grpc).chain(headers)
    }

    /// Whether a response of this status is a reason.
    #[must_use]
    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }
}

/// What a word stands for.
#[derive(Clone, Copy)]
struct Cause {
    failures: &'static [Failure],
    statuses: Option<(u16, u16)>,
    grpc: Option<u16>,
}

impl Cause {
    const fn failures(failures: &'static [Failure]) -> Self {
        Self { failures, statuses: None, grpc: None }
    }

    /// Without an answer the client would get a 502 or 504 of ours.
    const fn answers(first: u16, last: u16) -> Self {
        Self { statuses: Some((first, last)), ..Self::failures(&Failure::ALL) }
    }

    const fn grpc(code: u16) -> Self {
        Self { grpc: Some(code), ..Self::failures(&[]) }
    }
}

words!(
    Cause, "RetryCause",
    Self::failures(&[Failure::Connect, Failure::ConnectTimeout])
        => ["connect-failure", "conn-failure", "connection-failure"],
    Self::failures(&[Failure::Refused]) => ["refused-stream"],
    Self::failures(&[Failure::Reset, Failure::Timeout]) => ["reset", "empty-response", "reset-before-request"],
    Self::failures(&[Failure::Timeout, Failure::ConnectTimeout]) => ["timeout", "response-timeout"],
    Self::failures(&[Failure::Invalid]) => ["invalid-response", "invalid-header", "junk-response"],
    Self::answers(500, 599) => ["5xx"],
    Self::answers(502, 504) => ["gateway-error"],
    Self { statuses: Some((409, 409)), ..Self::failures(&[]) } => ["retriable-4xx"],
    Self::grpc(1) => ["cancelled"],
    Self::grpc(4) => ["deadline-exceeded"],
    Self::grpc(13) => ["internal"],
    Self::grpc(8) => ["resource-exhausted"],
    Self::grpc(14) => ["unavailable"],
    // nginx's: no timeout, which has a word of its own there.
    Self::failures(&[Failure::Connect, Failure::Refused, Failure::Reset]) => ["error"],
);

/// Words and statuses in one text.
#[derive(Clone, Debug)]
pub(in crate::config) struct Causes(RetryOn);

text_value!(Causes, causes, "words such as `5xx,reset`, or a list of them", { "anyOf": [
    { "type": "string", "description": "Words and statuses, separated by commas.", "examples": our_words() },
    { "type": "integer", "minimum": 400, "maximum": 599 }
] });

fn our_words() -> Vec<&'static str> {
    Cause::WORDS.iter().filter_map(|(_, words)| words.first().copied()).collect()
}

fn causes(text: &str) -> Result<Causes, String> {
    let mut causes = RetryOn::default();
    let separated = |c: char| c == ',' || c.is_whitespace();
    for word in text.split(separated).filter(|word| !word.is_empty()) {
        causes.join(cause(word)?);
    }
    if causes == RetryOn::default() {
        return Err(with_hint("this says nothing", "write `5xx,reset`, or `off`"));
    }
    Ok(Causes(causes))
}

fn cause(word: &str) -> Result<RetryOn, String> {
    let digits = word.strip_prefix("http_").unwrap_or(word);
    if let Ok(status) = digits.parse::<u16>() {
        if !(400..=599).contains(&status) {
            return Err(with_hint(format!("{status} is not the status of a failure"), "400 to 599"));
        }
        return Ok(RetryOn { statuses: vec![status..=status], ..RetryOn::default() });
    }
    if let Some((_, hint)) = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word) {
        return Err(with_hint(format!("`{word}` is not a cause here"), hint));
    }
    let Cause { failures, statuses, grpc } = find(word)?;
    Ok(RetryOn {
        failures: failures.to_vec(),
        statuses: statuses.map(|(first, last)| first..=last).into_iter().collect(),
        grpc: grpc.into_iter().collect(),
        headers: Vec::new(),
    })
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

impl Written<RetryOn> for Many<Causes> {
    fn meaning(self) -> RetryOn {
        let mut all = RetryOn::default();
        self.0.into_iter().for_each(|Causes(more)| all.join(more));
        all
    }
}

/// `off` is none.
impl Written<RetryOn> for OrOff<Many<Causes>> {
    fn meaning(self) -> RetryOn {
        self.on().map(Written::meaning).unwrap_or_default()
    }
}

text_value!(
    /// The name of a header field.
    FieldName(HeaderName), field_name, "the name of a header field", { "type": ["string", "number", "boolean"] }
);

fn field_name(text: &str) -> Result<FieldName, String> {
    let shown = || text.chars().take(60).collect::<String>();
    let illegal = |_| with_hint(format!("`{}` is not a header name", shown()), "letters, digits and `-`");
    HeaderName::try_from(text).map(FieldName).map_err(illegal)
}
