//! Rate limits and limits on what a client has open. Shared limits come first, so that routes can refer to them by
//! number; a route's own follow.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use http::Method;

use super::Scope;
use crate::config::forms::values::verb;
use crate::config::keys::Verb;
use crate::config::keys::limits as raw;
use crate::config::model::{Buckets, ConcurrencyLimit, LimitKey, LimitScope, Quota, RateLimit, RateLimitId};
use crate::config::node::{Step, below, steps};
use crate::config::report::Diagnostic;

/// The limits found so far.
#[derive(Debug, Default)]
pub(super) struct Found {
    limits: Vec<RateLimit>,
    shared: BTreeMap<String, RateLimitId>,
    ipv6_prefix: u8,
}

impl Found {
    /// Resolves the shared limits.
    pub(super) fn shared(entries: Vec<(String, raw::RateLimit)>, ipv6_prefix: u8, scope: &mut Scope<'_>) -> Self {
        let mut found = Self { ipv6_prefix, ..Self::default() };
        for (name, raw) in entries {
            let at: Vec<Step> = steps!["rateLimits", name.as_str()].into();
            let id = found.add(LimitScope::Shared(name.clone()), raw, &at, scope);
            found.shared.insert(name, id);
        }
        found
    }

    /// Resolves the limits that stand below `at`; `place` says where the one with a number stands.
    pub(super) fn of_uses(
        &mut self,
        at: &[Step],
        place: impl Fn(usize) -> LimitScope,
        uses: Vec<raw::RateLimitUse>,
        scope: &mut Scope<'_>,
    ) -> Vec<RateLimitId> {
        let path = below(at, "rateLimit");
        if uses.len() > MAX_LIMITS {
            let message = format!("`{}` has {} rate limits", scope.tree.locate(at).path, uses.len());
            let diagnostic = Diagnostic::invalid(message);
            let hint = format!("{MAX_LIMITS} are possible");
            scope.add_key(&path, diagnostic.hint(hint));
        }
        let mut ids = Vec::new();
        for (index, used) in uses.into_iter().enumerate() {
            let at = scope.one_of(&path, index);
            match used {
                raw::RateLimitUse::Own(raw) => ids.push(self.add(place(index), *raw, &at, scope)),
                raw::RateLimitUse::Shared(name) => match self.shared.get(&name) {
                    None => {
                        scope.dangling(&at, "rateLimit", &name, self.shared.keys().map(String::as_str));
                    }
                    Some(id) if ids.contains(id) => {
                        scope.add(&at, Diagnostic::invalid(format!("`{name}` is given twice")));
                    }
                    Some(id) => ids.push(*id),
                },
            }
        }
        ids
    }

    /// What a client may have open on a route.
    pub(super) fn concurrency(&self, most: Option<NonZeroU32>) -> Option<ConcurrencyLimit> {
        most.map(|max| ConcurrencyLimit { max, ipv6_prefix: self.ipv6_prefix })
    }

    /// All of them.
    pub(super) fn finish(self) -> Vec<RateLimit> {
        self.limits
    }

    fn add(&mut self, place: LimitScope, raw: raw::RateLimit, at: &[Step], scope: &mut Scope<'_>) -> RateLimitId {
        let (quota, ipv6_prefix) = (quota(raw.rate, raw.burst, at, scope), self.ipv6_prefix);
        self.limits.push(RateLimit {
            scope: place,
            cost: cost(raw.cost, quota, at, scope),
            buckets: Buckets { key: key(raw.key, at, scope), ipv6_prefix, quota, max_keys: raw.max_keys },
            mode: raw.mode,
            headers: raw.headers,
        });
        RateLimitId(self.limits.len() - 1)
    }
}

fn key(parts: Vec<LimitKey>, at: &[Step], scope: &mut Scope<'_>) -> Vec<LimitKey> {
    let path = below(at, "key");
    if parts.is_empty() {
        let diagnostic = Diagnostic::invalid("a limit with no key counts nobody");
        scope.missing(&path, diagnostic.hint("write `key: clientIp`"));
    }
    if parts.len() > 1 && parts.contains(&LimitKey::Global) {
        scope.conflict(&path, "`global` makes no difference beside others", "take it out");
    }
    parts
}

fn quota(rate: Option<raw::Rate>, burst: Option<u64>, at: &[Step], scope: &mut Scope<'_>) -> Quota {
    let Some(rate) = rate else {
        let name = scope.tree.locate(at).path;
        scope.lacks(at, format!("`{name}` has no `rate`"), "add `rate: 100/minute`");
        return Quota { requests: NonZeroU32::MIN, per: Duration::from_secs(1), capacity: NonZeroU32::MIN };
    };
    let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
    let path = below(at, "burst");
    let capacity = match burst {
        None => requests,
        Some(0) => {
            let alone = rate.per.as_millis() / u128::from(rate.requests);
            let hint = format!("leave it out, or write `rate: 1/{alone}ms` if that is meant");
            scope.invalid(&path, "a burst of 0 would refuse two requests that come together, however rarely", hint);
            requests
        }
        Some(burst) => to_u32(scope.range(&path, burst, 1..=1_000_000, "") + 1),
    };
    let quota = Quota { requests, per: rate.per, capacity };
    if quota.time_for(capacity.get()) > YEAR {
        let name = scope.tree.locate(at).path;
        let message = format!("`{name}`: a burst that was used takes more than a year to come back");
        scope.add_key(at, Diagnostic::invalid(message).hint("lower `burst`, or raise `rate`"));
    }
    quota
}

fn cost(entries: Vec<(String, u64)>, quota: Quota, at: &[Step], scope: &mut Scope<'_>) -> Vec<(Method, u32)> {
    let most = quota.capacity.get();
    let mut costs = Vec::new();
    for (name, cost) in entries {
        let path = below(&below(at, "cost"), &*name);
        let Ok(Verb(method)) = verb(&name) else {
            let diagnostic = Diagnostic::invalid(format!("`{name}` is not a method"));
            scope.add_key(&path, diagnostic.hint(format!("write `{}`", name.to_ascii_uppercase())));
            continue;
        };
        if cost > u64::from(most) {
            let message = format!("a {method} costs {cost}, and no more than {most} ever fit");
            scope.invalid(&path, message, "lower the cost, or raise `burst`");
        }
        costs.push((method, u32::try_from(cost).unwrap_or(most).min(most)));
    }
    costs
}

fn to_u32(value: u64) -> NonZeroU32 {
    let value = u32::try_from(value).unwrap_or(u32::MAX);
    NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN)
}

/// Limits of one route.
const MAX_LIMITS: usize = 16;
const YEAR: Duration = Duration::from_secs(365 * 86_400);
