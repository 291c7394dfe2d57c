//! Clients that fail to authenticate again and again wait for longer and longer, and are then blocked for a time.
//!
//! What is held against a client is a few numbers in a bounded table. Nobody is put out of it to make room: who has
//! more addresses than the table has places could free itself like that. Those who find no place share their waits with
//! others of the same wide network, so that many addresses of one owner slow each other down and not everybody. Waits
//! that are shared never become a block.

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use ipnet::IpNet;
use tokio::time::Instant;

use crate::config::model::AuthFailures;

/// How a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// It may try.
    Free,
    /// It may try after this time.
    Slowed(Duration),
    /// It is not served for this time.
    Blocked(Duration),
}

/// What is held against a client. Times are since the table was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Record {
    failures: u32,
    last: Duration,
    /// When it may try again.
    until: Duration,
    is_blocked: bool,
}

impl Record {
    fn state(&self, now: Duration) -> ClientState {
        match self.until.checked_sub(now).filter(|wait| !wait.is_zero()) {
            None => ClientState::Free,
            Some(wait) if self.is_blocked => ClientState::Blocked(wait),
            Some(wait) => ClientState::Slowed(wait),
        }
    }

    /// Whether nothing is held against it any more.
    fn is_forgotten(&self, settings: &AuthFailures, now: Duration) -> bool {
        now.saturating_sub(self.last.max(self.until)) >= settings.forget_after
    }

    /// The same after one more failure. What comes while it waits was under way before and counts as well.
    fn failed(self, settings: &AuthFailures, may_block: bool, now: Duration) -> Self {
        let before = if self.failures == 0 || self.is_forgotten(settings, now) {
            0
        } else if self.is_blocked && self.until <= now {
            // It has waited long enough to be let in again, and not to be trusted again.
            self.failures.min(settings.slow_after)
        } else {
            self.failures
        };
        let failures = before.saturating_add(1);
        let blocks = may_block && settings.block_after.is_some_and(|block_after| failures >= block_after);
        let wait = match failures.saturating_sub(settings.slow_after) {
            _ if blocks => settings.block_for,
            0 => Duration::ZERO,
            times => longer(settings.delay, times - 1).min(settings.max_delay),
        };
        Self { failures, last: now, until: now.saturating_add(wait), is_blocked: blocks }
    }
}

/// Twice as long, so many times.
fn longer(delay: Duration, times: u32) -> Duration {
    delay.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX))
}

/// What is held against the clients of one gateway, over all workers and reloads.
#[derive(Debug)]
pub struct FailureTable {
    began: Instant,
    clients: DashMap<IpAddr, Record>,
    len: AtomicUsize,
    /// For those without a place.
    groups: OnceLock<Box<[Mutex<Record>]>>,
    /// Whether anything is held against a group.
    is_crowded: AtomicBool,
    overflowed: AtomicU64,
    seed: RandomState,
}

/// What a failure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// How the client stands now.
    pub state: ClientState,
    /// In a row, as far as they are remembered.
    pub failures: u32,
    /// Whether it was not blocked before.
    pub is_new_block: bool,
}

impl Failed {
    /// Nothing is held against the client.
    const NOTHING: Self = Self { state: ClientState::Free, failures: 0, is_new_block: false };
}

/// A client that is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockedClient {
    /// Its address, or the first of its network.
    pub address: IpAddr,
    /// Failures in a row.
    pub failures: u32,
    /// How long it is still blocked.
    pub wait: Duration,
}

impl FailureTable {
    /// A table with nobody in it.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            began: now,
            clients: DashMap::new(),
            len: AtomicUsize::new(0),
            groups: OnceLock::new(),
            is_crowded: AtomicBool::new(false),
            overflowed: AtomicU64::new(0),
            seed: RandomState::new(),
        }
    }

    /// How `client` stands. Costs nothing while nobody has failed.
    #[must_use]
    pub fn state(&self, client: Client, settings: &AuthFailures, now: Instant) -> ClientState {
        let (is_known, is_crowded) = (self.clients() > 0, self.is_crowded.load(Ordering::Acquire));
        if !is_known && !is_crowded {
            return ClientState::Free;
        }
        let now = self.at(now);
        let known = self.clients.get(&client.address).map(|record| record.state(now));
        let state = known.or_else(|| {
            let group = self.group(client).filter(|_| is_crowded)?;
            Some(group.lock().unwrap_or_else(PoisonError::into_inner).state(now))
        });
        state
            .filter(|state| *state == ClientState::Free || !client.is_in(&settings.exempt))
            .unwrap_or(ClientState::Free)
    }

    /// Counts a failure of `client`, and says how it stands from now on.
    pub fn failed(&self, client: Client, settings: &AuthFailures, now: Instant) -> Failed {
        if client.is_in(&settings.exempt) {
            return Failed::NOTHING;
        }
        let now = self.at(now);
        let count = |record: &mut Record, may_block: bool| {
            let was_blocked = matches!(record.state(now), ClientState::Blocked(_));
            *record = record.failed(settings, may_block, now);
            let state = record.state(now);
            let is_new_block = matches!(state, ClientState::Blocked(_)) && !was_blocked;
            Failed { state, failures: record.failures, is_new_block }
        };
        match self.clients.entry(client.address) {
            Entry::Occupied(mut known) => return count(known.get_mut(), true),
            Entry::Vacant(place) if self.enter(settings.max_clients) => {
                return count(&mut place.insert(Record::default()), true);
            }
            Entry::Vacant(_) => {}
        }
        self.overflowed.fetch_add(1, Ordering::Relaxed);
        let Some(group) = self.group(client) else { return Failed::NOTHING };
        let mut record = group.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = count(&mut record, false);
        self.is_crowded.store(true, Ordering::Release);
        failed
    }

    /// Forgets clients that have not failed for long enough.
    pub fn sweep(&self, settings: &AuthFailures, now: Instant) {
        let at = self.at(now);
        if self.clients() > 0 {
            let mut gone = 0;
            self.clients.retain(|_, record| {
                let stays = !record.is_forgotten(settings, at);
                gone += usize::from(!stays);
                stays
            });
            self.len.fetch_sub(gone, Ordering::Relaxed);
            if self.clients.capacity() > SMALL && self.clients.capacity() / 8 > self.clients() {
                self.clients.shrink_to_fit();
            }
        }
        // Taken back only when nobody waits, and set again for who failed meanwhile: nobody may slip through between.
        if self.is_crowded.load(Ordering::Acquire) && !self.holds_groups(settings, at) {
            self.is_crowded.store(false, Ordering::Release);
            if self.holds_groups(settings, at) {
                self.is_crowded.store(true, Ordering::Release);
            }
        }
    }

    /// Whether anything is held against a group.
    fn holds_groups(&self, settings: &AuthFailures, at: Duration) -> bool {
        let groups = self.groups.get().into_iter().flatten();
        let mut held = groups.map(|group| *group.lock().unwrap_or_else(PoisonError::into_inner));
        held.any(|record| record.failures > 0 && !record.is_forgotten(settings, at))
    }

    /// Holds nothing against the clients of `network` any more; whether anything was.
    pub fn forgive(&self, network: IpNet) -> bool {
        let mut gone = 0;
        self.clients.retain(|address, _| {
            let stays = !network.contains(address);
            gone += usize::from(!stays);
            stays
        });
        self.len.fetch_sub(gone, Ordering::Relaxed);
        gone > 0
    }

    /// The clients that are blocked, those that are so for longest first; at most `most`.
    #[must_use]
    pub fn blocked(&self, now: Instant, most: usize) -> Vec<BlockedClient> {
        let now = self.at(now);
        let blocked = |address: IpAddr, record: &Record| match record.state(now) {
            ClientState::Blocked(wait) => Some(BlockedClient { address, failures: record.failures, wait }),
            ClientState::Free | ClientState::Slowed(_) => None,
        };
        let mut found: Vec<_> = self.clients.iter().filter_map(|entry| blocked(*entry.key(), entry.value())).collect();
        found.sort_by_key(|client| (std::cmp::Reverse(client.wait), client.address));
        found.truncate(most);
        found
    }

    /// How many clients are blocked.
    #[must_use]
    pub fn count_blocked(&self, now: Instant) -> usize {
        let now = self.at(now);
        let is_blocked = |record: &Record| matches!(record.state(now), ClientState::Blocked(_));
        self.clients.iter().filter(|entry| is_blocked(entry.value())).count()
    }

    /// Clients that something is held against.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Failures counted for a group since this was asked last, because there was no place for their clients.
    #[must_use]
    pub fn take_overflowed(&self) -> u64 {
        self.overflowed.swap(0, Ordering::Relaxed)
    }

    /// Takes a place, if there is one.
    fn enter(&self, most: usize) -> bool {
        let next = |len: usize| (len < most).then_some(len + 1);
        self.len.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    fn group(&self, client: Client) -> Option<&Mutex<Record>> {
        let groups = self.groups.get_or_init(|| (0..GROUPS).map(|_| Mutex::default()).collect());
        let at = self.seed.hash_one(client.wide()) % (GROUPS as u64);
        groups.get(usize::try_from(at).ok()?)
    }

    fn at(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.began)
    }
}

/// A client, as failures are counted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    address: IpAddr,
    /// Its own address, of a whole network.
    own: IpAddr,
}

impl Client {
    /// An IPv4 address is one client, and so is an IPv6 network of so many bits, whose addresses one client can all
    /// use.
    #[must_use]
    pub fn new(address: IpAddr, ipv6_prefix: u8) -> Self {
        let own = address.to_canonical();
        Self { address: if own.is_ipv4() { own } else { network(own, ipv6_prefix) }, own }
    }

    /// The network that its owner may have others of.
    fn wide(&self) -> IpAddr {
        network(self.address, if self.address.is_ipv4() { WIDE_V4 } else { WIDE_V6 })
    }

    fn is_in(&self, networks: &[IpNet]) -> bool {
        networks.iter().any(|network| network.contains(&self.own))
    }
}

fn network(address: IpAddr, prefix: u8) -> IpAddr {
    IpNet::new(address, prefix).map_or(address, |network| network.network())
}

/// Shared records, 48 bytes each.
const GROUPS: usize = 4096;
/// What one owner usually has of addresses.
const WIDE_V4: u8 = 20;
const WIDE_V6: u8 = 32;
/// A table of this size keeps its memory.
const SMALL: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn settings() -> AuthFailures {
        AuthFailures {
            slow_after: 3,
            delay: SECOND,
            max_delay: 4 * SECOND,
            block_after: Some(8),
            block_for: 60 * SECOND,
            forget_after: 600 * SECOND,
            max_clients: 4,
            ..AuthFailures::default()
        }
    }

    fn client(text: &str) -> Client {
        Client::new(text.parse().unwrap(), 64)
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_sweep_lets_nobody_slip_through() {
        let (now, settings) = (Instant::now(), settings());
        let table = FailureTable::new(now);
        for last in 1..=4 {
            table.failed(client(&format!("192.0.2.{last}")), &settings, now);
        }
        let crowded = client("192.0.2.99");
        for _ in 0..8 {
            table.failed(crowded, &settings, now);
        }
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    table.sweep(&settings, now);
                }
            });
            let slipped = (0..100_000).filter(|_| table.state(crowded, &settings, now) == ClientState::Free).count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(slipped, 0);
        });
    }

    #[test]
    fn waits_grow_and_end_in_a_block() {
        let (now, settings) = (Instant::now(), settings());
        let table = FailureTable::new(now);
        let one = client("192.0.2.1");
        assert_eq!(table.state(one, &settings, now), ClientState::Free);
        let states: Vec<_> = (0..9).map(|_| table.failed(one, &settings, now).state).collect();
        let slowed = |seconds| ClientState::Slowed(seconds * SECOND);
        let blocked = ClientState::Blocked(60 * SECOND);
        assert_eq!(
            states,
            [
                ClientState::Free,
                ClientState::Free,
                ClientState::Free,
                slowed(1),
                slowed(2),
                slowed(4),
                slowed(4),
                blocked,
                blocked
            ]
        );
        assert_eq!(table.state(one, &settings, now + 59 * SECOND), ClientState::Blocked(SECOND));
        assert_eq!(table.state(one, &settings, now + 60 * SECOND), ClientState::Free);
        assert_eq!(table.state(client("192.0.2.2"), &settings, now), ClientState::Free, "nobody else");
    }

    #[test]
    fn who_was_blocked_is_let_in_and_not_trusted() {
        let (now, settings) = (Instant::now(), settings());
        let table = FailureTable::new(now);
        let one = client("192.0.2.1");
        for _ in 0..8 {
            table.failed(one, &settings, now);
        }
        let later = now + 60 * SECOND;
        assert_eq!(table.failed(one, &settings, later).state, ClientState::Slowed(SECOND), "slowed from the first on");
        let after: Vec<_> = (0..4).map(|_| table.failed(one, &settings, later).state).collect();
        assert_eq!(after.last(), Some(&ClientState::Blocked(60 * SECOND)));
        let much_later = later + 60 * SECOND + settings.forget_after;
        assert_eq!(
            table.failed(one, &settings, much_later),
            Failed { state: ClientState::Free, failures: 1, is_new_block: false }
        );
    }

    #[test]
    fn never_blocking_only_slows() {
        let (now, settings) = (Instant::now(), AuthFailures { block_after: None, ..settings() });
        let table = FailureTable::new(now);
        let last = (0..10_000).map(|_| table.failed(client("::1"), &settings, now).state).last();
        assert_eq!(last, Some(ClientState::Slowed(4 * SECOND)));
    }

    #[test]
    fn an_ipv6_client_is_its_network_and_exempt_ones_are_not_counted() {
        let now = Instant::now();
        let settings = AuthFailures { exempt: vec!["10.0.0.0/8".parse().unwrap()], ..settings() };
        let table = FailureTable::new(now);
        for host in 0..8 {
            let address = Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | host);
            table.failed(Client::new(address.into(), 64), &settings, now);
            table.failed(client("10.1.2.3"), &settings, now);
        }
        assert_eq!(table.state(client("2001:db8::ffff"), &settings, now), ClientState::Blocked(60 * SECOND));
        assert_eq!(table.state(client("2001:db8:0:1::"), &settings, now), ClientState::Free);
        assert_eq!(table.state(client("::ffff:10.1.2.3"), &settings, now), ClientState::Free);
        assert_eq!(table.clients(), 1);
        let blocked = table.blocked(now, 10);
        assert_eq!((blocked.len(), blocked[0].address, blocked[0].failures), (1, "2001:db8::".parse().unwrap(), 8));
        assert!(table.forgive("2001:db8::/64".parse().unwrap()));
        assert_eq!((table.state(client("2001:db8::1"), &settings, now), table.clients()), (ClientState::Free, 0));
        assert!(!table.forgive("2001:db8::/64".parse().unwrap()));
    }

    /// More addresses than there are places.
    #[test]
    fn many_addresses_free_nobody_and_are_slowed_together() {
        let (now, settings) = (Instant::now(), settings());
        let table = FailureTable::new(now);
        let known: Vec<_> = (1..=4).map(|last| client(&format!("192.0.2.{last}"))).collect();
        for one in &known {
            for _ in 0..8 {
                table.failed(*one, &settings, now);
            }
        }
        // A million networks of one owner: each fails once.
        let stranger = |network: u32| {
            Client::new(Ipv6Addr::from_bits(0x2001_0db8_u128 << 96 | u128::from(network) << 64).into(), 64)
        };
        let mut passed = 0;
        for network in 0..1_000_000 {
            if table.state(stranger(network), &settings, now) == ClientState::Free {
                passed += 1;
                table.failed(stranger(network), &settings, now);
            }
        }
        assert_eq!(passed, settings.slow_after + 1, "all together have the tries of one");
        assert_eq!((table.clients(), table.take_overflowed()), (4, u64::from(passed)));
        for one in &known {
            assert_eq!(table.state(*one, &settings, now), ClientState::Blocked(60 * SECOND), "still");
        }
        let others = (0..100_u32).filter(|owner| {
            let other = Client::new(Ipv6Addr::from_bits(u128::from(0x2a00_0000 + owner) << 96).into(), 64);
            table.state(other, &settings, now) == ClientState::Free
        });
        assert!(others.count() >= 95, "other owners are in other groups");
        let later = now + SECOND;
        assert_eq!(table.state(stranger(7), &settings, later), ClientState::Free, "the wait of a group ends");
        let last = (0..100).map(|_| table.failed(stranger(7), &settings, later).state).last();
        assert_eq!(last, Some(ClientState::Slowed(4 * SECOND)), "and never becomes a block");
        table.sweep(&settings, later + settings.forget_after + 60 * SECOND);
        assert_eq!(table.clients(), 0);
        assert!(!table.is_crowded.load(Ordering::Relaxed), "and costs nothing again");
        assert_eq!(table.failed(stranger(1), &settings, later).failures, 1, "there is room again");
    }

    proptest! {
        #[test]
        fn nobody_is_let_in_early(gaps in proptest::collection::vec(0_u64..100_000, 1..60)) {
            let (settings, began) = (settings(), Instant::now());
            let (table, one) = (FailureTable::new(began), Client::new(Ipv4Addr::LOCALHOST.into(), 64));
            let (mut now, mut tries) = (began, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if table.state(one, &settings, now) == ClientState::Free {
                    tries.push(now);
                    table.failed(one, &settings, now);
                }
            }
            // Slowed from the fourth on, it has at most that many tries in a second, however it spreads them.
            for first in &tries {
                let close = tries.iter().filter(|at| **at >= *first && at.duration_since(*first) < SECOND);
                prop_assert!(close.count() <= 4);
            }
        }
    }
}
