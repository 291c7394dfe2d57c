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
mod tests;
