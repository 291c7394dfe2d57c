//! The limits of a configuration, and the decision of one route's limits about a request: all of them count it, or none
//! does.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::concurrency::{Concurrency, Open};
use super::key::{Caller, Key};
use super::limiter::{LimitDecision, Limiter};
use crate::config::model::{ConcurrencyLimit, Config, LimitKey, LimitMode, RateLimit, RateLimitId};
use crate::error::{Error, whole_seconds};
use crate::observe::handles::{ConcurrencyHandles, RateLimitHandles};
use crate::observe::metrics::Metrics;

/// Every rate limit of a configuration with its counts, by [`RateLimitId`](crate::config::model::RateLimitId). Shared
/// by all workers.
#[derive(Debug, Default)]
pub struct Limits {
    limits: Vec<Arc<CountedLimit>>,
}

/// A rate limit: its settings, and its counts, which may be older than they.
#[derive(Debug)]
struct CountedLimit {
    settings: RateLimit,
    limiter: Arc<Limiter>,
}

impl Limits {
    /// Builds the limits of `config`. Counts of `previous` go on where they mean the same: those of a rate limit with
    /// the same place, key and quota.
    #[must_use]
    pub fn build(config: &Config, previous: Option<&Self>) -> Self {
        // By place, so that thousands of routes with a limit each are not compared with one another.
        let known = previous.into_iter().flat_map(|previous| &previous.limits);
        let known: HashMap<_, _> = known.map(|known| (known.limiter.scope(), &known.limiter)).collect();
        let limits = config.rate_limits.iter().map(|limit| {
            let known = known.get(&limit.scope);
            let limiter = match known.filter(|known| known.serves(&limit.scope, &limit.buckets)) {
                Some(known) => Arc::clone(known),
                None => Arc::new(Limiter::new(limit.scope.clone(), limit.buckets.clone())),
            };
            Arc::new(CountedLimit { settings: limit.clone(), limiter })
        });
        Self { limits: limits.collect() }
    }

    /// These limits of a route or of one of its operations, or `None` where there are none. What is open on
    /// `previous`, the same before, goes on. `sees_calls` says that the limits are asked before a call of an agent is
    /// known and once more after it.
    #[must_use]
    pub fn of(
        &self,
        rates: &[RateLimitId],
        concurrency: Option<ConcurrencyLimit>,
        sees_calls: bool,
        previous: Option<&RouteLimits>,
    ) -> Option<RouteLimits> {
        let rates = rates.iter().filter_map(|id| self.limits.get(id.0).cloned());
        let open = concurrency.map(|limit| {
            let before = previous.and_then(|previous| previous.open.as_ref());
            (limit, before.map(|(_, open)| Arc::clone(open)).unwrap_or_default())
        });
        let limits = RouteLimits { rates: rates.collect(), open, sees_calls };
        (!limits.rates.is_empty() || limits.open.is_some()).then_some(limits)
    }

    /// Forgets clients that nothing is held against, and says in `metrics` how many are left.
    pub fn sweep(&self, metrics: &Metrics) {
        for CountedLimit { limiter, .. } in self.limits.iter().map(|limit| &**limit) {
            limiter.sweep();
            let name = limiter.scope().to_string();
            metrics.rate_limit_clients(&name).set_count(limiter.clients());
            metrics.rate_limit_overflow(&name).inc_by(limiter.take_overflowed());
        }
    }

    /// Each rate limit with what it counts.
    pub fn each(&self) -> impl Iterator<Item = (&RateLimit, &Limiter)> {
        self.limits.iter().map(|limit| (&limit.settings, &*limit.limiter))
    }

    /// Whether there is anything to sweep.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }
}

/// The limits of one route, or of one of its operations. Shared by all workers.
#[derive(Debug)]
pub struct RouteLimits {
    rates: Box<[Arc<CountedLimit>]>,
    open: Option<(ConcurrencyLimit, Arc<Concurrency>)>,
    /// Whether calls of agents are recognised here, before they are sent on.
    sees_calls: bool,
}

impl RouteLimits {
    /// The rate limits a request has to pass, in their order.
    pub fn rates(&self) -> impl Iterator<Item = &RateLimit> {
        self.rates.iter().map(|limit| &limit.settings)
    }

    /// What one client may have open.
    #[must_use]
    pub fn concurrency(&self) -> Option<ConcurrencyLimit> {
        self.open.as_ref().map(|(limit, _)| *limit)
    }
}

/// The limits of one route, or of one of its operations, as one worker uses them.
#[derive(Debug)]
pub struct WorkerLimits {
    rates: Vec<Rate>,
    wait_for_calls: bool,
    concurrency: Option<RouteConcurrency>,
}

#[derive(Debug)]
struct Rate {
    limit: Arc<CountedLimit>,
    /// When it is asked.
    when: When,
    /// Whether answers say how a client stands.
    headers: bool,
    /// A copy of this worker: a value that is cloned counts its clones, and all workers would count in the same place.
    policy: HeaderValue,
    /// The beginning of the `ratelimit` field.
    state: Box<[u8]>,
    handles: RateLimitHandles,
}

#[derive(Debug)]
struct RouteConcurrency {
    open: Arc<Concurrency>,
    limit: ConcurrencyLimit,
    handles: ConcurrencyHandles,
}

/// When a rate limit is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// As soon as the route is known.
    AtOnce,
    /// Once it is known which call of an agent the request is: its key is about that.
    CallKnown,
}

/// A request that may go on.
#[derive(Debug, Default)]
pub struct Admitted {
    /// Counts it as open until it is dropped.
    pub open: Option<Open>,
    /// What its answer says about the limits.
    pub rate_limit_headers: Option<Box<RateLimitHeaders>>,
    /// Which of the route's rate limits have counted it.
    pub counted: Counted,
}

/// Which rate limits of a route have counted a request, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted(u16);

impl Counted {
    fn with(self, at: usize) -> Self {
        Self(self.0 | Self::bit(at))
    }

    fn has(self, at: usize) -> bool {
        self.0 & Self::bit(at) != 0
    }

    /// A route has sixteen at most.
    fn bit(at: usize) -> u16 {
        u32::try_from(at).ok().and_then(|at| 1_u16.checked_shl(at)).unwrap_or_default()
    }
}

/// A request that may not.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub error: Error,
    /// What its answer says about the limits.
    pub rate_limit_headers: Option<Box<RateLimitHeaders>>,
}

/// How a client stands with the limit that leaves it the least: fields for its answer
/// (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug)]
pub struct RateLimitHeaders {
    policy: HeaderValue,
    state: HeaderValue,
    leeway: Leeway,
}

/// What a limit leaves, and how slowly one comes back: the least is the tightest.
type Leeway = (u32, Reverse<Duration>);

impl RateLimitHeaders {
    /// Those of the limit that leaves less.
    fn tighter(one: Option<Box<Self>>, other: Option<Box<Self>>) -> Option<Box<Self>> {
        match (one, other) {
            (Some(one), Some(other)) if other.leeway < one.leeway => Some(other),
            (one, other) => one.or(other),
        }
    }

    /// Adds the fields to an answer. Fields of the endpoint's own limits stay.
    pub fn tell(self, headers: &mut HeaderMap) {
        if !headers.contains_key(POLICY) && !headers.contains_key(STATE) {
            headers.insert(POLICY, self.policy);
            headers.insert(STATE, self.state);
        }
    }
}

/// What the limits said so far about one request.
#[derive(Default)]
struct Tally<'a> {
    counted: Counted,
    /// The longest time to wait, and the limit that asks for it.
    refused: Option<(Duration, &'a Rate)>,
    /// The least that is left, and by whom.
    tightest: Option<(u32, &'a Rate)>,
}

impl WorkerLimits {
    /// This worker's side of the limits of the route called `name`.
    #[must_use]
    pub fn new(name: &str, limits: &RouteLimits, metrics: &Metrics) -> Self {
        let concurrency = limits.open.as_ref().map(|(limit, open)| RouteConcurrency {
            open: Arc::clone(open),
            limit: *limit,
            handles: ConcurrencyHandles::new(metrics, name),
        });
        let rates = limits.rates.iter().map(|limit| Rate::new(Arc::clone(limit), limits.sees_calls, metrics));
        let rates: Vec<_> = rates.collect();
        Self { wait_for_calls: rates.iter().any(|rate| rate.when == When::CallKnown), rates, concurrency }
    }

    /// Whether this request may go on. One that may not has not been counted by any limit.
    ///
    /// # Errors
    /// When any limit that is enforced has no room for it.
    pub fn admit(&self, caller: &Caller<'_>) -> Result<Admitted, Refused> {
        let open = match &self.concurrency {
            None => None,
            Some(concurrency) => {
                Some(concurrency.enter(caller).ok_or(Refused { error: Error::TooManyOpen, rate_limit_headers: None })?)
            }
        };
        let (rate_limit_headers, counted) = self.ask(When::AtOnce, caller, Counted::default())?;
        Ok(Admitted { open, rate_limit_headers, counted })
    }

    /// Whether any of them waits for the call to be known.
    #[must_use]
    pub const fn wait_for_calls(&self) -> bool {
        self.wait_for_calls
    }

    /// Asks those that had to wait for the call. `counted` are the others that have counted this request, which take
    /// that back where it is refused now; `before` is what they said of it.
    ///
    /// # Errors
    /// When any limit that is enforced has no room for it.
    pub fn admit_call(
        &self,
        caller: &Caller<'_>,
        counted: Counted,
        before: Option<Box<RateLimitHeaders>>,
    ) -> Result<Option<Box<RateLimitHeaders>>, Refused> {
        let (headers, _) = self.ask(When::CallKnown, caller, counted)?;
        Ok(RateLimitHeaders::tighter(before, headers))
    }

    /// Counts the request with each limit that is asked now. When one refuses it, all that counted it take that back.
    fn ask(
        &self,
        when: When,
        caller: &Caller<'_>,
        counted: Counted,
    ) -> Result<(Option<Box<RateLimitHeaders>>, Counted), Refused> {
        let mut tally = Tally { counted, ..Tally::default() };
        for (at, rate) in self.rates.iter().enumerate().filter(|(_, rate)| rate.when == when) {
            if rate.take(caller, &mut tally) {
                tally.counted = tally.counted.with(at);
            }
        }
        if let Some((wait, rate)) = tally.refused {
            let counted = self.rates.iter().enumerate().filter(|(at, _)| tally.counted.has(*at));
            counted.for_each(|(_, rate)| rate.refund(caller));
            let rate_limit_headers = rate.rate_limit_headers(0, wait);
            return Err(Refused { error: Error::RateLimited(wait), rate_limit_headers });
        }
        let rate_limit_headers = tally.tightest.and_then(|(remaining, rate)| {
            let quota = rate.limiter().buckets().quota;
            let missing = quota.capacity.get().saturating_sub(remaining);
            // With nothing left a client waits for the next request, otherwise for the whole quota.
            let reset = quota.time_for(if remaining == 0 { 1 } else { missing });
            rate.rate_limit_headers(remaining, reset)
        });
        Ok((rate_limit_headers, tally.counted))
    }
}

impl Rate {
    fn new(limit: Arc<CountedLimit>, sees_calls: bool, metrics: &Metrics) -> Self {
        let settings = &limit.settings;
        let of_call = |part: &LimitKey| matches!(part, LimitKey::Tenant | LimitKey::Operation);
        let waits = sees_calls && settings.buckets.key.iter().any(of_call);
        let name = settings.scope.to_string();
        let quota = settings.buckets.quota;
        let window = whole_seconds(quota.time_for(quota.capacity.get()));
        let policy = format!("{};q={};w={window}", quoted(&name), quota.capacity);
        let state = format!("{};r=", quoted(&name));
        Self {
            when: if waits { When::CallKnown } else { When::AtOnce },
            headers: settings.headers && settings.mode == LimitMode::Enforce,
            policy: HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("")),
            state: state.into_bytes().into(),
            handles: RateLimitHandles::new(metrics, &name, settings.mode.word()),
            limit,
        }
    }

    fn limiter(&self) -> &Limiter {
        &self.limit.limiter
    }

    /// Counts the request here; whether something was counted that can be taken back.
    fn take<'a>(&'a self, caller: &Caller<'_>, tally: &mut Tally<'a>) -> bool {
        let Some(cost) = NonZeroU32::new(self.cost_of(caller.method)) else { return false };
        match self.limiter().take(&self.limiter().key(caller), cost) {
            LimitDecision::Passed { remaining } => {
                let is_tighter = |(least, by): (u32, &Self)| self.leeway(remaining) < by.leeway(least);
                if self.headers && tally.tightest.is_none_or(is_tighter) {
                    tally.tightest = Some((remaining, self));
                }
                true
            }
            LimitDecision::Refused { wait } => {
                self.handles.rate_limited.inc();
                self.limiter().note_refused(caller.client);
                let longer = |(longest, _)| wait > longest;
                if self.limit.settings.mode == LimitMode::Enforce && tally.refused.is_none_or(longer) {
                    tally.refused = Some((wait, self));
                }
                false
            }
        }
    }

    /// Takes back what was counted. The key is made once more, which only a refused request pays for.
    fn refund(&self, caller: &Caller<'_>) {
        if let Some(cost) = NonZeroU32::new(self.cost_of(caller.method)) {
            self.limiter().refund(&self.limiter().key(caller), cost);
        }
    }

    fn cost_of(&self, method: &Method) -> u32 {
        let priced = self.limit.settings.cost.iter().find(|(priced, _)| priced == method);
        priced.map_or(1, |(_, cost)| *cost)
    }

    fn rate_limit_headers(&self, remaining: u32, reset: Duration) -> Option<Box<RateLimitHeaders>> {
        if !self.headers {
            return None;
        }
        let mut state = Vec::with_capacity(self.state.len() + NUMBERS);
        state.extend_from_slice(&self.state);
        state.extend_from_slice(itoa::Buffer::new().format(remaining).as_bytes());
        state.extend_from_slice(b";t=");
        state.extend_from_slice(itoa::Buffer::new().format(whole_seconds(reset)).as_bytes());
        let (policy, leeway) = (self.policy.clone(), self.leeway(remaining));
        Some(Box::new(RateLimitHeaders { policy, state: HeaderValue::try_from(state).ok()?, leeway }))
    }

    fn leeway(&self, remaining: u32) -> Leeway {
        (remaining, Reverse(self.limiter().buckets().quota.interval()))
    }
}

impl RouteConcurrency {
    fn enter(&self, caller: &Caller<'_>) -> Option<Open> {
        let key = Key::address(caller.client, self.limit.ipv6_prefix);
        let open = self.open.enter(key, self.limit.max);
        if open.is_none() {
            self.handles.concurrency_limited.inc();
        }
        open
    }
}

/// A name as a string of a structured field (RFC 9651 section 3.3.3), which is printable ASCII.
fn quoted(name: &str) -> String {
    let legal = name.chars().map(|c| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    });
    format!("\"{}\"", legal.collect::<String>())
}

/// Bytes of a remainder and a time.
const NUMBERS: usize = 10 + 3 + 20;
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

#[cfg(test)]
mod tests;
