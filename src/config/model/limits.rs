//! Limits of clients: how often and how many at once.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::{LimitKey, LimitMode};

/// A rate limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Where it stands, which says whose requests it counts together.
    pub scope: LimitScope,
    /// What it counts and how much it lets through.
    pub buckets: Buckets,
    /// What a request of a method counts, where that is not 1. A method that counts 0 is not limited.
    pub cost: Vec<(Method, u32)>,
    /// Whether it refuses. Default [`LimitMode::Enforce`].
    pub mode: LimitMode,
    /// Whether answers carry `RateLimit` and `RateLimit-Policy`. Default true.
    pub headers: bool,
}

/// Where a rate limit stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LimitScope {
    /// Under `rateLimits`: every route that names it counts in the same buckets.
    Shared(String),
    /// In a route.
    Route {
        /// The route.
        route: String,
        /// Which of the route's limits, from zero.
        index: usize,
    },
    /// In a route, for one operation of A2A.
    Call {
        /// The route.
        route: String,
        /// The name of the operation in A2A 1.0.
        operation: &'static str,
        /// Which of the operation's limits, from zero.
        index: usize,
    },
}

impl fmt::Display for LimitScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shared(name) => f.write_str(name),
            Self::Route { route, index: 0 } => write!(f, "routes.{route}"),
            Self::Route { route, index } => write!(f, "routes.{route}[{index}]"),
            Self::Call { route, operation, index: 0 } => write!(f, "routes.{route}.{operation}"),
            Self::Call { route, operation, index } => write!(f, "routes.{route}.{operation}[{index}]"),
        }
    }
}

/// The part of a rate limit that gives its counts their meaning: while it and the scope stay the same, a reload keeps
/// them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buckets {
    /// Who has a bucket of his own: everyone who differs in any of these. At least one.
    pub key: Vec<LimitKey>,
    /// Bits of an IPv6 address that make a client.
    pub ipv6_prefix: u8,
    /// Size and speed of a bucket.
    pub quota: Quota,
    /// Clients with a bucket of their own. Default 100,000.
    pub max_keys: usize,
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quota = self.buckets.quota;
        let keys: Vec<_> = self.buckets.key.iter().map(LimitKey::to_string).collect();
        let (keys, at_once, interval) = (keys.join(" and "), quota.capacity, quota.interval());
        write!(f, "{}: by {keys}, {at_once} at once and then one in {interval:?}, ", self.scope)?;
        f.write_str(match self.mode {
            LimitMode::Enforce => "more get 429",
            LimitMode::Shadow => "only counted",
        })?;
        self.cost.iter().try_for_each(|(method, cost)| write!(f, ", {method} counts {cost}"))
    }
}

/// How much a bucket lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// So many requests,
    pub requests: NonZeroU32,
    /// in such a time, in the long run. Between two requests that is at least a microsecond.
    pub per: Duration,
    /// Requests that a client who was silent may send at once. They come back within a year.
    pub capacity: NonZeroU32,
}

impl Quota {
    /// Time in which one request comes back.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.per / self.requests.get()
    }

    /// Time in which `requests` come back.
    #[must_use]
    pub fn time_for(self, requests: u32) -> Duration {
        self.interval().saturating_mul(requests)
    }
}

/// How many exchanges a client may have open on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimit {
    /// Requests and streams.
    pub max: NonZeroU32,
    /// Bits of an IPv6 address that make a client.
    pub ipv6_prefix: u8,
}

impl fmt::Display for ConcurrencyLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of one client address", self.max)
    }
}

/// Index into the rate limits of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RateLimitId(pub usize);
