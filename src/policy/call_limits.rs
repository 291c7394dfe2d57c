//! What one route lets its clients do with single operations of A2A: how often, how many at a time, for how long.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::concurrency::Open;
use super::key::Caller;
use super::limits::{Admitted, Limits, RateLimitHeaders, Refused, RouteLimits, WorkerLimits};
use crate::a2a::Operation;
use crate::bounded::{Count, Permit};
use crate::config::model::CallPolicy;
use crate::config::time;
use crate::error::Error;
use crate::observe::metrics::Metrics;

/// The limits of the operations of one route. Shared by all workers.
#[derive(Debug)]
pub struct CallLimits {
    each: Box<[CallLimit]>,
}

/// The limits of one operation.
#[derive(Debug)]
pub struct CallLimit {
    operation: Operation,
    timeout: Option<Duration>,
    limits: Option<RouteLimits>,
    /// What all clients together may have open, and have.
    all: Option<(NonZeroU32, Arc<Count>)>,
}

impl CallLimits {
    /// Builds what `policies` ask for, or `None` where they ask for nothing. What is open on `previous`, the same route
    /// before, goes on.
    #[must_use]
    pub fn adopt(policies: &[CallPolicy], limits: &Limits, previous: Option<&Self>) -> Option<Box<Self>> {
        let of = |policy: &CallPolicy| {
            let operation = policy.operation;
            let before = previous.and_then(|before| before.each().find(|limit| limit.operation == operation));
            let open = before.and_then(|before| before.limits.as_ref());
            let all = || before.and_then(|before| before.all.as_ref()).map(|(_, all)| Arc::clone(all));
            CallLimit {
                operation,
                timeout: policy.timeout,
                limits: limits.of(&policy.rate_limits, policy.concurrency, false, open),
                all: policy.max_concurrent.map(|max| (max, all().unwrap_or_default())),
            }
        };
        (!policies.is_empty()).then(|| Box::new(Self { each: policies.iter().map(of).collect() }))
    }

    /// Each operation that has limits.
    pub fn each(&self) -> impl Iterator<Item = &CallLimit> {
        self.each.iter()
    }
}

impl fmt::Display for CallLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.limits.as_ref().and_then(RouteLimits::concurrency);
        let open = open.map(|limit| format!("at a time {limit}"));
        let all = self.all.as_ref().map(|(max, _)| format!("at a time {max} in all"));
        let rates = self.limits.iter().flat_map(|limits| limits.rates().map(ToString::to_string));
        let timeout = self.timeout.map(|limit| format!("{} in all", time(limit)));
        let facts: Vec<_> = open.into_iter().chain(all).chain(rates).chain(timeout).collect();
        write!(f, "{}: {}", self.operation.name(), facts.join(", "))
    }
}

/// The limits of the operations of one route as one worker uses them.
#[derive(Debug)]
pub struct WorkerCallLimits {
    each: Vec<WorkerCallLimit>,
}

#[derive(Debug)]
struct WorkerCallLimit {
    operation: Operation,
    timeout: Option<Duration>,
    limits: Option<WorkerLimits>,
    all: Option<(usize, Arc<Count>)>,
}

/// A call that may go on.
#[derive(Debug, Default)]
pub struct AdmittedCall {
    /// Counts it as open until it is dropped.
    pub open: Option<Box<OpenCall>>,
    /// What its answer says about the limits.
    pub rate_limit_headers: Option<Box<RateLimitHeaders>>,
}

/// An open call of one operation.
#[derive(Debug)]
pub struct OpenCall {
    /// Its place among those of its client.
    pub of_client: Option<Open>,
    _of_all: Option<Permit>,
}

impl WorkerCallLimits {
    /// This worker's side of the limits of the route called `name`.
    #[must_use]
    pub fn new(name: &str, limits: &CallLimits, metrics: &Metrics) -> Self {
        let each = limits.each().map(|limit| WorkerCallLimit {
            operation: limit.operation,
            timeout: limit.timeout,
            limits: limit.limits.as_ref().map(|limits| WorkerLimits::new(name, limits, metrics)),
            all: limit.all.as_ref().map(|(max, all)| {
                let max = usize::try_from(max.get()).unwrap_or(usize::MAX);
                (max, Arc::clone(all))
            }),
        });
        Self { each: each.collect() }
    }

    /// The total time of a call of that operation, where it is not the route's.
    #[must_use]
    pub fn timeout(&self, operation: Operation) -> Option<Duration> {
        self.of(operation)?.timeout
    }

    /// Whether a call of that operation may go on. One that may not has been counted by none of these limits.
    ///
    /// # Errors
    /// When any limit that is enforced has no room for it.
    pub fn admit(&self, operation: Operation, caller: &Caller<'_>) -> Result<AdmittedCall, Refused> {
        let Some(limit) = self.of(operation) else { return Ok(AdmittedCall::default()) };
        let all = limit
            .all
            .as_ref()
            .map(|(max, all)| all.enter(*max).ok_or(Refused { error: Error::TooManyOpen, rate_limit_headers: None }));
        let all = all.transpose()?;
        let Admitted { open, rate_limit_headers, .. } = match &limit.limits {
            Some(limits) => limits.admit(caller)?,
            None => Admitted::default(),
        };
        let is_open = all.is_some() || open.is_some();
        let open = is_open.then(|| Box::new(OpenCall { of_client: open, _of_all: all }));
        Ok(AdmittedCall { open, rate_limit_headers })
    }

    fn of(&self, operation: Operation) -> Option<&WorkerCallLimit> {
        self.each.iter().find(|limit| limit.operation == operation)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;
    use crate::config::model::ConcurrencyLimit;

    fn policy(operation: Operation, of_client: Option<u32>, of_all: Option<u32>) -> CallPolicy {
        let concurrency = of_client.and_then(NonZeroU32::new).map(|max| ConcurrencyLimit { max, ipv6_prefix: 64 });
        let max_concurrent = of_all.and_then(NonZeroU32::new);
        CallPolicy { operation, rate_limits: Vec::new(), concurrency, max_concurrent, timeout: None }
    }

    fn built(policies: &[CallPolicy], previous: Option<&CallLimits>) -> Box<CallLimits> {
        CallLimits::adopt(policies, &Limits::default(), previous).unwrap()
    }

    fn worker(limits: &CallLimits) -> WorkerCallLimits {
        WorkerCallLimits::new("all", limits, &Metrics::new(&[1.0]).unwrap())
    }

    fn admit(limits: &WorkerCallLimits, operation: Operation, client: u8) -> Option<AdmittedCall> {
        let headers = HeaderMap::new();
        limits.admit(operation, &Caller::new([192, 0, 2, client].into(), &Method::POST, &headers)).ok()
    }

    #[test]
    fn one_client_and_all_together_have_so_many_open() {
        let limits = built(&[policy(Operation::SendMessage, Some(1), Some(2))], None);
        let limits = worker(&limits);
        let first = admit(&limits, Operation::SendMessage, 1);
        assert!(first.is_some());
        assert!(admit(&limits, Operation::SendMessage, 1).is_none(), "one of the same client");
        let second = admit(&limits, Operation::SendMessage, 2);
        assert!(second.is_some());
        assert!(admit(&limits, Operation::SendMessage, 3).is_none(), "two in all");
        assert!(admit(&limits, Operation::GetTask, 3).is_some_and(|call| call.open.is_none()), "another operation");
        drop(first);
        assert!(admit(&limits, Operation::SendMessage, 3).is_some(), "a place was given back");
    }

    #[test]
    fn what_is_open_goes_on_under_the_same_operation() {
        let before = built(&[policy(Operation::SendMessage, Some(1), Some(1))], None);
        let open = admit(&worker(&before), Operation::SendMessage, 1);
        assert!(open.is_some());
        let after = built(
            &[policy(Operation::GetTask, None, Some(1)), policy(Operation::SendMessage, Some(1), Some(2))],
            Some(&before),
        );
        let after = worker(&after);
        assert!(admit(&after, Operation::GetTask, 1).is_some());
        assert!(admit(&after, Operation::SendMessage, 1).is_none());
        assert!(admit(&after, Operation::SendMessage, 2).is_some());
        drop(open);
        assert!(admit(&after, Operation::SendMessage, 1).is_some());
    }

    #[test]
    fn nothing_is_built_where_nothing_is_asked_for() {
        assert!(CallLimits::adopt(&[], &Limits::default(), None).is_none());
        let mut timed = policy(Operation::SendMessage, None, None);
        timed.timeout = Some(Duration::from_secs(60));
        let limits = worker(&built(&[timed], None));
        assert_eq!(limits.timeout(Operation::SendMessage), Some(Duration::from_secs(60)));
        assert_eq!(limits.timeout(Operation::GetTask), None);
    }
}
