//! `rateLimits.X`, `routes.X.rateLimit` and `routes.X.maxConcurrentPerClient`.

use std::fmt;
use std::time::Duration;

use http::HeaderName;

use super::{Count, Many, Named, choice, section, text_or, text_value};
use crate::config::de::with_hint;
use crate::config::forms::values::time;
use crate::config::forms::words::{SUBSTITUTED, spellings};
use crate::config::suggest;
use crate::config::text::names::{CLIENT_IP, EVERYBODY, LIMIT_KEYS};

section! {
    #[derive(PartialEq, Eq)]
    /// A rate limit.
    pub(in crate::config) struct RateLimit {
        /// Who is counted: `clientIp`, `principal` (who the client proved to be), `apiKey`, `jwt:CLAIM`, `global`
        /// (everybody together), `method`, `header:NAME`, `cookie:NAME`, `tenant`, `operation` (of A2A), or a list of
        /// these for each combination.
        key: Vec<LimitKey> as Many<LimitKey> = clientIp,
        /// Requests in a time, in the long run.
        rate: Option<Rate>,
        /// Requests beyond the first that may come at once, as in nginx: 20 lets 21 through. Default: as many at once
        /// as `rate` names.
        burst: Option<u64> as Count<0, { u64::MAX }> [schemars(range(min = 1, max = 1_000_000))],
        /// What a request counts, by method; 0 is not limited. A method without a cost counts 1.
        cost: Vec<(String, u64)> as Named<u64> = {},
        /// `enforce` refuses, `shadow` only counts in the metrics.
        mode: LimitMode = enforce,
        /// Clients counted one by one; those beyond share a bucket.
        max_keys: usize as Count<1, 10_000_000> = 100000,
        /// Put `RateLimit` and `RateLimit-Policy` into answers.
        headers: bool = true,
    }
}

choice! {
    /// What a limit does about a request that is too many.
    pub enum LimitMode {
        /// Refuse it.
        Enforce = ["enforce", "enforced"],
        /// Count it and let it pass.
        Shadow = ["shadow", "dry-run", "report-only"],
    }
}

impl LimitMode {
    /// What becomes of others than those that are let in.
    pub(in crate::config) fn of_others(self) -> &'static str {
        match self {
            Self::Enforce => "others get 403",
            Self::Shadow => "others are only counted",
        }
    }
}

/// The name of a shared limit, or a limit of the route's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) enum RateLimitUse {
    Shared(String),
    Own(Box<RateLimit>),
}

impl TryFrom<RateLimit> for RateLimitUse {
    type Error = String;
    fn try_from(own: RateLimit) -> Result<Self, String> {
        Ok(Self::Own(Box::new(own)))
    }
}

text_or!(
    RateLimitUse, RateLimit, "the name of a limit in `rateLimits`, or `{ key: .., rate: .. }`",
    |text| match rate(text) {
        Ok(_) => Err(with_hint("a limit says whom it counts", format!("write `{{ key: clientIp, rate: {text} }}`"))),
        Err(_) => Ok(Self::Shared(text.to_owned())),
    },
    { "type": "string" }
);

/// One part of who is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address.
    ClientIp,
    /// Nobody in particular: one bucket for all.
    Global,
    /// The method.
    Method,
    /// A header field.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// Who the client proved to be.
    Principal,
    /// The same where it did so by an API key.
    ApiKey,
    /// A claim of its token (RFC 7519 section 4).
    Claim(String),
    /// On whose behalf it acts.
    Tenant,
    /// What the request asks of an agent.
    Operation,
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client address"),
            Self::Global => f.write_str("nothing: everybody together"),
            Self::Method => f.write_str("method"),
            Self::Principal => f.write_str("principal"),
            Self::ApiKey => f.write_str("API key"),
            Self::Claim(name) => write!(f, "claim {name}"),
            Self::Tenant => f.write_str("tenant"),
            Self::Operation => f.write_str("operation"),
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}

text_value!(LimitKey, key, "a key such as `clientIp`", {
    "type": "string",
    "description": "clientIp, principal, apiKey, jwt:CLAIM, global, method, header:NAME, cookie:NAME, tenant or operation.",
    "pattern": key_pattern()
});

fn key_pattern() -> String {
    let whole =
        CLIENT_IP.iter().chain(&EVERYBODY).chain(&["method", "tenant", "operation", "principal", "apiKey"]).copied();
    let (whole, named) = (spellings(whole), spellings(["header", "cookie", "jwt"]));
    format!("^({whole}|{named}:.+)$|{SUBSTITUTED}")
}

fn key(text: &str) -> Result<LimitKey, String> {
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name.trim())));
    let folded: String = kind.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
    match (folded.as_str(), name) {
        (word, None) if CLIENT_IP.contains(&word) => Ok(LimitKey::ClientIp),
        (word, None) if EVERYBODY.contains(&word) => Ok(LimitKey::Global),
        ("method", None) => Ok(LimitKey::Method),
        ("tenant", None) => Ok(LimitKey::Tenant),
        ("operation", None) => Ok(LimitKey::Operation),
        ("principal", None) => Ok(LimitKey::Principal),
        ("apikey", None) => Ok(LimitKey::ApiKey),
        ("jwt", Some(name)) if !name.is_empty() => Ok(LimitKey::Claim(name.to_owned())),
        ("header", Some(name)) => HeaderName::from_bytes(name.as_bytes())
            .map(LimitKey::Header)
            .map_err(|_illegal| with_hint(format!("`{name}` is not a header name"), "write `header:x-api-key`")),
        ("cookie", Some(name)) => {
            // RFC 6265 section 4.1.1: a cookie's name is a token, as a header's is.
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                return Err(with_hint(format!("`{name}` is not a cookie name"), "write `cookie:session`"));
            }
            Ok(LimitKey::Cookie(name.to_owned()))
        }
        ("jwt", _) => Err(with_hint(format!("`{text}` does not say which claim"), "write `jwt:sub`")),
        ("apikey" | "principal", Some(_)) => Err(with_hint(format!("`{text}` is not a key"), "write it without `:`")),
        ("header" | "cookie", None) => {
            Err(with_hint(format!("`{text}` does not say which"), format!("write `{kind}:NAME`")))
        }
        _ => {
            let hint = suggest::closest(kind, LIMIT_KEYS)
                .map_or_else(|| ONE_OF.to_owned(), |word| format!("did you mean `{word}`?"));
            Err(with_hint(format!("`{text}` is not a key"), hint))
        }
    }
}

const ONE_OF: &str = "one of `clientIp`, `principal`, `apiKey`, `jwt:CLAIM`, `global`, `method`, `header:NAME`, `cookie:NAME`, `tenant`, \
                      `operation`";

/// Requests in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Rate {
    pub(in crate::config) requests: u32,
    pub(in crate::config) per: Duration,
}

text_value!(Rate, rate, "a rate such as `100/minute`", {
    "type": "string",
    "description": "Requests in a time: 100/minute, 10/second, 20/10s, or 10r/s.",
    "pattern": "^([0-9]+[rR]* */ *([A-Za-z]+|([0-9]+(ms|s|m|h|d))+) *|.*[$][{].*)$"
});

fn rate(text: &str) -> Result<Rate, String> {
    let shape = || with_hint(format!("`{text}` is not a rate"), "write `100/minute`, `10/second` or `20/10s`");
    let Some((count, unit)) = text.split_once('/') else {
        let number = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        if number.parse::<u64>().is_ok() {
            return Err(with_hint(
                format!("`{text}` does not say in which time"),
                format!("write `{number}/second` or `{number}/minute`"),
            ));
        }
        return Err(shape());
    };
    let count = count.trim_end().trim_end_matches(['r', 'R']);
    if count.contains('.') && count.parse::<f64>().is_ok() {
        return Err(with_hint(
            format!("`{text}` is not a whole number of requests"),
            "take a longer time: `3/2s` is one and a half a second",
        ));
    }
    let requests: u32 = count.parse().map_err(|_not_a_number| shape())?;
    let unit = unit.trim();
    let per = match unit.to_ascii_lowercase().as_str() {
        "second" | "seconds" | "sec" | "s" => Duration::from_secs(1),
        "minute" | "minutes" | "min" | "m" => Duration::from_secs(60),
        "hour" | "hours" | "h" => Duration::from_secs(3600),
        "day" | "days" | "d" => Duration::from_secs(86_400),
        _ => time(unit).map_err(|_not_a_time| shape())?.0,
    };
    if requests == 0 || per.is_zero() {
        return Err(with_hint(
            format!("`{text}` lets nothing through"),
            "to refuse everything, write `respond: { status: 403 }` instead of a cluster",
        ));
    }
    if per / requests < Duration::from_micros(1) {
        return Err(with_hint(format!("`{text}` is more than a million in a second"), "leave the limit out"));
    }
    Ok(Rate { requests, per })
}
