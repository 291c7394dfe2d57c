//! One rate limit with its buckets: the generic cell rate algorithm, a leaky bucket in one number per client. Shared by
//! all workers; a known client costs a look into the table and one atomic.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use tokio::time::Instant;

use super::key::{Caller, Key, Keyring, network};
use super::most_limited::{LimitedClient, MostLimited};
use super::table::Table;
use crate::config::model::{Buckets, LimitScope};

/// A rate limit with the state of its clients.
#[derive(Debug)]
pub struct Limiter {
    scope: LimitScope,
    buckets: Buckets,
    ring: Keyring,
    table: Table,
    most_limited: MostLimited,
    rate: RateLimiter<Key, Table, Ticks, StateInformationMiddleware>,
}

/// What a limit decides about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitDecision {
    /// It was counted.
    Passed {
        /// Requests the client could send at once after it.
        remaining: u32,
    },
    /// It is too many and was not counted.
    Refused {
        /// Time after which it would pass.
        wait: Duration,
    },
}

impl Limiter {
    /// A limit that no client has used.
    #[must_use]
    pub fn new(scope: LimitScope, buckets: Buckets) -> Self {
        let table = Table::new(buckets.max_keys);
        let clock = Ticks(Instant::now());
        let interval = buckets.quota.interval().max(Duration::from_nanos(1));
        let quota = governor::Quota::with_period(interval)
            .unwrap_or(governor::Quota::per_second(NonZeroU32::MIN))
            .allow_burst(buckets.quota.capacity);
        let rate = RateLimiter::new(quota, table.clone(), clock);
        Self { scope, buckets, ring: Keyring::default(), table, most_limited: MostLimited::default(), rate }
    }

    /// Whether its counts mean the same under these settings.
    #[must_use]
    pub fn serves(&self, scope: &LimitScope, buckets: &Buckets) -> bool {
        self.scope == *scope && self.buckets == *buckets
    }

    /// Where it stands.
    #[must_use]
    pub fn scope(&self) -> &LimitScope {
        &self.scope
    }

    /// What it counts.
    #[must_use]
    pub fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    /// Whose bucket a request belongs to.
    #[must_use]
    pub fn key(&self, caller: &Caller<'_>) -> Key {
        let Buckets { key, ipv6_prefix, .. } = &self.buckets;
        self.ring.key(key, *ipv6_prefix, caller)
    }

    /// Counts a request of this cost, if there is room for it.
    #[must_use]
    pub fn take(&self, key: &Key, cost: NonZeroU32) -> LimitDecision {
        match self.rate.check_key_n(key, cost) {
            Ok(Ok(state)) => LimitDecision::Passed { remaining: state.remaining_burst_capacity() },
            Ok(Err(until)) => LimitDecision::Refused { wait: until.wait_time_from(self.rate.clock().now()) },
            // The configuration has no cost above the capacity.
            Err(_too_large) => LimitDecision::Refused { wait: self.buckets.quota.per },
        }
    }

    /// A request of `client` was refused.
    pub fn note_refused(&self, client: IpAddr) {
        self.most_limited.note(network(client, self.buckets.ipv6_prefix), Instant::now());
    }

    /// The clients that were refused most, the most refused first.
    #[must_use]
    pub fn most_limited(&self) -> Vec<LimitedClient> {
        self.most_limited.list()
    }

    /// Takes a request back that was counted and then not served.
    pub fn refund(&self, key: &Key, cost: NonZeroU32) {
        let amount = self.buckets.quota.time_for(cost.get());
        self.table.refund(key, Nanos::from(amount));
    }

    /// Clients that have a bucket of their own.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.table.len()
    }

    /// Requests counted in the shared bucket since this was asked last, because there was no room for their clients.
    #[must_use]
    pub fn take_overflowed(&self) -> u64 {
        self.table.take_overflowed()
    }

    /// Forgets clients whose bucket is full again. Takes some 20 ms for a million of them.
    pub fn sweep(&self) {
        self.rate.retain_recent();
        self.rate.shrink_to_fit();
    }
}

/// Time since the limiter was made, on the clock everything else here reads.
#[derive(Clone, Copy, Debug)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderMap, Method};
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;
    use crate::config::model::{LimitKey, Quota};

    fn buckets(requests: u32, per: Duration, capacity: u32) -> Buckets {
        let quota =
            Quota { requests: NonZeroU32::new(requests).unwrap(), per, capacity: NonZeroU32::new(capacity).unwrap() };
        Buckets { key: vec![LimitKey::ClientIp], ipv6_prefix: 64, quota, max_keys: 4 }
    }

    fn limiter(requests: u32, per: Duration, capacity: u32) -> Limiter {
        let scope = LimitScope::Shared("edge".to_owned());
        Limiter::new(scope, buckets(requests, per, capacity))
    }

    fn client(limiter: &Limiter, last: u8) -> Key {
        let headers = HeaderMap::new();
        limiter.key(&Caller::new([192, 0, 2, last].into(), &Method::GET, &headers))
    }

    fn passes(limiter: &Limiter, key: &Key, cost: u32) -> bool {
        let outcome = limiter.take(key, NonZeroU32::new(cost).unwrap());
        matches!(outcome, LimitDecision::Passed { .. })
    }

    fn paused<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_20_lets_21_through_and_then_one_in_100_ms() {
        let limiter = limiter(10, SECOND, 21);
        let (one, other) = (client(&limiter, 1), client(&limiter, 2));
        for left in (0..21).rev() {
            let outcome = limiter.take(&one, NonZeroU32::MIN);
            assert_eq!(outcome, LimitDecision::Passed { remaining: left });
        }
        let wait = Duration::from_millis(100);
        assert_eq!(limiter.take(&one, NonZeroU32::MIN), LimitDecision::Refused { wait });
        assert!(passes(&limiter, &other, 1), "another client is not affected");
        advance(Duration::from_millis(99)).await;
        let wait = Duration::from_millis(1);
        assert_eq!(limiter.take(&one, NonZeroU32::MIN), LimitDecision::Refused { wait });
        advance(wait).await;
        assert!(passes(&limiter, &one, 1));
        assert!(!passes(&limiter, &one, 1));
        advance(3 * SECOND).await;
        assert_eq!((0..30).filter(|_| passes(&limiter, &one, 1)).count(), 21);
    }

    #[tokio::test(start_paused = true)]
    async fn a_costly_request_takes_more_and_waits_longer() {
        let limiter = limiter(10, SECOND, 10);
        let key = client(&limiter, 1);
        assert!(passes(&limiter, &key, 8));
        let cost = NonZeroU32::new(5).unwrap();
        let wait = Duration::from_millis(300);
        assert_eq!(limiter.take(&key, cost), LimitDecision::Refused { wait });
        assert!(passes(&limiter, &key, 2), "what is left is still there");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_back_can_be_taken_again() {
        let limiter = limiter(10, SECOND, 3);
        let key = client(&limiter, 1);
        let two = NonZeroU32::new(2).unwrap();
        for _ in 0..50 {
            assert!(passes(&limiter, &key, 2));
            limiter.refund(&key, two);
        }
        assert_eq!((0..9).filter(|_| passes(&limiter, &key, 1)).count(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_without_room_share_a_bucket_and_free_nobodys() {
        let limiter = limiter(1, SECOND, 2);
        let known: Vec<_> = (0..4).map(|last| client(&limiter, last)).collect();
        for key in &known {
            assert!(passes(&limiter, key, 2), "its bucket is empty now");
        }
        assert_eq!((limiter.clients(), limiter.take_overflowed()), (4, 0));
        let strangers = (10..=255).map(|last| client(&limiter, last));
        let passed = strangers.filter(|key| passes(&limiter, key, 1)).count();
        assert_eq!(passed, 2, "one bucket for all strangers");
        assert_eq!((limiter.clients(), limiter.take_overflowed()), (4, 246));
        assert_eq!(limiter.take_overflowed(), 0, "each is told once");
        limiter.sweep();
        for key in &known {
            assert!(!passes(&limiter, key, 1), "still empty");
        }
        limiter.refund(&client(&limiter, 10), NonZeroU32::MIN);
        assert!(passes(&limiter, &client(&limiter, 11), 1));
        advance(SECOND).await;
        for key in &known {
            assert!(passes(&limiter, key, 1), "a known client has its own quota");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_full_buckets_are_forgotten() {
        let limiter = limiter(1, SECOND, 3);
        let (light, heavy) = (client(&limiter, 1), client(&limiter, 2));
        assert!(passes(&limiter, &light, 1) && passes(&limiter, &heavy, 3));
        limiter.sweep();
        assert_eq!(limiter.clients(), 2);
        advance(2 * SECOND).await;
        limiter.sweep();
        assert_eq!(limiter.clients(), 1, "one in a second comes back");
        assert!(passes(&limiter, &heavy, 2) && !passes(&limiter, &heavy, 1));
        advance(4 * SECOND).await;
        limiter.sweep();
        assert_eq!(limiter.clients(), 0);
        for last in 0..4 {
            assert!(passes(&limiter, &client(&limiter, last), 1));
        }
        assert_eq!(limiter.take_overflowed(), 0, "there is room again");
    }

    #[test]
    fn workers_together_let_no_more_through() {
        let limiter = Arc::new(limiter(1, 3600 * SECOND, 1000));
        let workers = (0..4).map(|_| {
            let limiter = Arc::clone(&limiter);
            std::thread::spawn(move || {
                let key = client(&limiter, 1);
                (0..1000).filter(|_| passes(&limiter, &key, 1)).count()
            })
        });
        let workers: Vec<_> = workers.collect();
        let passed = workers.into_iter().map(|worker| worker.join().unwrap());
        assert_eq!(passed.sum::<usize>(), 1000);
        assert_eq!(limiter.clients(), 1);
    }

    #[test]
    fn a_table_filled_from_all_sides_is_not_overfilled() {
        let limiter = Arc::new(limiter(1, 3600 * SECOND, 1));
        let workers = (0..4).map(|_| {
            let limiter = Arc::clone(&limiter);
            std::thread::spawn(move || {
                for last in 0..=255 {
                    let _either = passes(&limiter, &client(&limiter, last), 1);
                }
            })
        });
        let workers: Vec<_> = workers.collect();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!(limiter.clients(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn the_largest_legal_quota_does_not_wrap() {
        let limiter = limiter(1, 365 * 86_400 * SECOND / 1_000_001, 1_000_001);
        let key = client(&limiter, 1);
        for _ in 0..2 {
            assert!(passes(&limiter, &key, 1_000_001));
            assert!(!passes(&limiter, &key, 1));
            advance(366 * 86_400 * SECOND).await;
        }
    }

    /// nginx's `limit_req` with `nodelay`: thousandths of a request, in milliseconds.
    struct LimitReq {
        rate: u64,
        /// Added before a division by a thousand: 0 rounds down as nginx does, 999 rounds up.
        rounding: u64,
        burst: u64,
        state: Option<(u64, u64)>,
    }

    impl LimitReq {
        fn new(requests: u64, per: Duration, burst: u64) -> Self {
            let rate = requests * 1_000_000 / u64::try_from(per.as_millis()).unwrap();
            Self { rate, rounding: 0, burst: burst * 1000, state: None }
        }

        /// The same with every fraction rounded in the client's favour.
        fn rounded_up(requests: u64, per: Duration, burst: u64) -> Self {
            let exact = Self::new(requests, per, burst);
            Self { rate: exact.rate + 1, rounding: 999, ..exact }
        }

        fn passes(&mut self, now: u64) -> bool {
            let leaked = |last| (self.rate * (now - last) + self.rounding) / 1000;
            let excess = self.state.map_or(0, |(excess, last)| (excess + 1000).saturating_sub(leaked(last)));
            let passes = excess <= self.burst;
            if passes {
                self.state = Some((excess, now));
            }
            passes
        }
    }

    /// Times of requests in milliseconds after the one before, often at once.
    fn gaps(longest: u64) -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![3 => Just(0_u64), 3 => 0..longest / 10 + 1, 1 => 0..longest];
        prop::collection::vec(gap, 1..200)
    }

    proptest! {
        #[test]
        fn it_decides_as_limit_req_does(
            // Rates of which nginx and we have no fractions to round: whole milliseconds between two requests.
            interval in prop::sample::select(vec![1_u64, 2, 5, 10, 100, 200, 500, 1000]),
            burst in 1..50_u32,
            gaps in gaps(3000),
        ) {
            paused(async {
                let per = Duration::from_millis(interval);
                let limiter = limiter(1, per, burst + 1);
                let key = client(&limiter, 1);
                let mut nginx = LimitReq::new(1, per, u64::from(burst));
                let mut now = 0;
                for (turn, gap) in gaps.into_iter().enumerate() {
                    advance(Duration::from_millis(gap)).await;
                    now += gap;
                    prop_assert_eq!(passes(&limiter, &key, 1), nginx.passes(now), "request {} at {} ms", turn, now);
                }
                Ok(())
            })?;
        }

        #[test]
        fn it_lies_between_limit_req_rounded_down_and_up(
            requests in 1..2000_u32,
            per in prop::sample::select(vec![1_u64, 60]),
            burst in 1..50_u32,
            gaps in gaps(3000),
        ) {
            paused(async {
                let per = Duration::from_secs(per);
                let limiter = limiter(requests, per, burst + 1);
                let key = client(&limiter, 1);
                let mut nginx = LimitReq::new(requests.into(), per, burst.into());
                let mut generous = LimitReq::rounded_up(requests.into(), per, burst.into());
                let (mut now, mut ours, mut least, mut most) = (0, 0_u32, 0, 0);
                for gap in gaps {
                    advance(Duration::from_millis(gap)).await;
                    now += gap;
                    ours += u32::from(passes(&limiter, &key, 1));
                    // Each time a thousandth is missing, nginx makes a whole request wait for the next refill. So
                    // the counts differ by more than one in time, and only what rounds the other way is a bound.
                    least += u32::from(nginx.passes(now));
                    most += u32::from(generous.passes(now));
                    prop_assert!((least..=most).contains(&ours), "{} of {} to {} after {} ms", ours, least, most, now);
                }
                Ok(())
            })?;
        }

        #[test]
        fn without_a_burst_it_bounds_a_sliding_window_both_ways(
            requests in 1..40_u32,
            per in prop::sample::select(vec![100_u64, 1000, 10_000]),
            gaps in gaps(4000),
        ) {
            paused(async {
                let limiter = limiter(requests, Duration::from_millis(per), requests);
                let key = client(&limiter, 1);
                let (mut now, mut all, mut passed) = (0, Vec::new(), Vec::new());
                for gap in gaps {
                    advance(Duration::from_millis(gap)).await;
                    now += gap;
                    all.push(now);
                    let within = |times: &[u64]| times.iter().filter(|then| now - **then < per).count();
                    let passes = passes(&limiter, &key, 1);
                    if passes {
                        passed.push(now);
                    }
                    // A stick-table counts refused requests too. A client that stays within the window is never
                    // refused.
                    let quiet = all.iter().all(|then| {
                        all.iter().filter(|other| (*then..then + per).contains(other)).count() <= requests as usize
                    });
                    prop_assert!(passes || !quiet, "refused at {} ms with {} in the window", now, within(&all));
                    prop_assert!(within(&passed) < 2 * requests as usize + 1, "{} in one window", within(&passed));
                    let most = u64::from(requests) + now * u64::from(requests) / per;
                    prop_assert!(passed.len() as u64 <= most, "in the long run");
                }
                Ok(())
            })?;
        }

        #[test]
        fn a_refused_client_passes_after_its_wait(
            requests in 1..100_u32, capacity in 1..100_u32, cost in 1..100_u32, gaps in gaps(300),
        ) {
            let cost = NonZeroU32::new(cost.min(capacity)).unwrap();
            paused(async {
                let limiter = limiter(requests, SECOND, capacity);
                let key = client(&limiter, 1);
                for gap in gaps {
                    advance(Duration::from_millis(gap)).await;
                    if let LimitDecision::Refused { wait } = limiter.take(&key, cost) {
                        prop_assert!(!wait.is_zero());
                        advance(wait.checked_sub(Duration::from_nanos(1)).unwrap()).await;
                        prop_assert!(!passes(&limiter, &key, cost.get()), "not before");
                        advance(Duration::from_nanos(1)).await;
                        prop_assert!(passes(&limiter, &key, cost.get()), "then");
                    }
                }
                Ok(())
            })?;
        }
    }
}
