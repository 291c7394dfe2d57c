//! Which endpoint holds what agents keep in memory: tasks and contexts of A2A, sessions. Filled from answers of agents
//! alone, never from what a client says. Bounded; what is used least goes first when it is full, and is looked up again
//! if it is asked for. Shared by all workers, and lives over reloads.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use foldhash::fast::FixedState;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{OptionsBuilder, UnitWeighter};
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::endpoint::EndpointId;

/// What an id is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum HeldKind {
    /// A task of A2A.
    Task,
    /// A context of A2A.
    Context,
    /// What a header names, for example a session of MCP.
    Session,
}

/// How far a task is. Other things go on until they are forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on.
    Active,
    /// It is over, and may still be asked about.
    Ended,
    /// An agent listed it and did not say. It may go on.
    Unknown,
}

/// The namespace of ids: those of one cluster. Ids of different agents may be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(u64);

/// What sets the ids of one header apart from those of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeaderScope(u64);

/// How long something is remembered after it was last used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// While it goes on.
    pub active: Duration,
    /// After its end.
    pub ended: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { active: Duration::from_secs(3600), ended: Duration::from_secs(300) }
    }
}

/// An id as the table keys it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeldKey(pub(super) u128);

/// Who made something: a number that stands for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Maker(pub NonZeroU64);

/// What an agent said of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is of.
    pub kind: HeldKind,
    /// Who holds it.
    pub owner: EndpointId,
    /// How far it is.
    pub progress: Progress,
    /// Who made it, where the agent says so to its maker and it is new.
    pub maker: Option<Maker>,
}

/// A task as operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskAge {
    /// The endpoint that has it.
    pub owner: EndpointId,
    /// How far it is.
    pub progress: Progress,
    /// For how long it is known.
    pub age: Duration,
}

/// What is known of one id.
#[derive(Clone, Copy, Debug)]
struct Entry {
    held: Held,
    /// Milliseconds since the table was made.
    expires: u64,
    /// Since when it is known, likewise.
    begun: u64,
}

/// Who holds what.
#[derive(Debug)]
pub struct Affinity {
    entries: Cache<u128, Entry, UnitWeighter, FixedState, DefaultLifecycle<u128, Entry>>,
    /// Makes keys that nobody outside can foresee.
    seed: u64,
    epoch: Instant,
    /// One for each share of the keys: so that the end of a task is told once, though two workers hear of it.
    ends: [Mutex<()>; 16],
}

impl Scope {
    /// The ids of the cluster of that name.
    #[must_use]
    pub fn of_cluster(name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }

    /// What of these is handed out in that header: another header may have the same values.
    #[must_use]
    pub const fn of_header(self, header: HeaderScope) -> Self {
        Self(self.0 ^ header.0)
    }
}

impl HeaderScope {
    /// What the header of that name hands out.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(xxhash_rust::xxh3::xxh3_64(name.as_bytes()))
    }
}

impl Affinity {
    /// An empty table for at most about `limit` ids. An id takes about 100 bytes of memory.
    #[must_use]
    pub fn new(limit: usize, seed: u64, now: Instant) -> Arc<Self> {
        let mut options = OptionsBuilder::new();
        // Memory is taken as it fills, so that a gateway without agents pays nothing.
        options.estimated_items_capacity(limit.min(FIRST)).weight_capacity(limit as u64);
        let hasher = FixedState::with_seed(seed);
        let entries = match options.build() {
            Ok(options) => Cache::with_options(options, UnitWeighter, hasher, DefaultLifecycle::default()),
            Err(_missing) => Cache::with(FIRST, limit as u64, UnitWeighter, hasher, DefaultLifecycle::default()),
        };
        Arc::new(Self { entries, seed, epoch: now, ends: Default::default() })
    }

    /// The key of an id.
    #[must_use]
    pub fn key(&self, scope: Scope, kind: HeldKind, id: &[u8]) -> HeldKey {
        // Kind and scope change the seed: the id is hashed as it lies there.
        let seed = self.seed ^ scope.0.rotate_left(1 + kind as u32);
        HeldKey(xxh3_128_with_seed(id, seed))
    }

    /// Who holds it, if that is known. Being asked for keeps it.
    #[must_use]
    pub fn owner(&self, key: HeldKey, retention: Retention, now: Instant) -> Option<EndpointId> {
        let mut entry = self.entries.get(&key.0)?;
        let now = self.millis(now);
        if entry.expires <= now {
            self.entries.remove(&key.0);
            return None;
        }
        let limit = millis(retention.of(entry.held.progress));
        if is_due(entry.expires, now, limit) {
            entry.expires = now.saturating_add(limit);
            self.entries.insert(key.0, entry);
        }
        Some(entry.held.owner)
    }

    /// An agent has said that it holds this. What is known already keeps its maker, or that it has none, unless another
    /// endpoint has made something new of that name. `began` is when the call was made that may have begun it. Where
    /// this is the first news of the end of a task, it is said how long the task went on; not of one that was never
    /// heard of and that this call did not begin.
    pub fn learn(
        &self,
        key: HeldKey,
        held: Held,
        began: Option<Instant>,
        retention: Retention,
        now: Instant,
    ) -> Option<Duration> {
        let (at, limit) = (self.millis(now), millis(retention.of(held.progress)));
        let known = self.entries.get(&key.0).filter(|entry| entry.expires > at);
        // Most answers say what is known: to look takes no lock that keeps others out.
        if known.is_some_and(|entry| entry.held == held && !is_due(entry.expires, at, limit)) {
            return None;
        }
        let is_over = held.progress == Progress::Ended;
        let lock =
            || self.ends.get((key.0 % 16) as usize).map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner));
        let _turn = if is_over { lock() } else { None };
        // Another may have told of the end since.
        let before = if is_over { self.entries.peek(&key.0).filter(|entry| entry.expires > at) } else { known };
        // An answer that was on its way for long may be older than the end.
        let is_old = |entry: Entry| entry.held.progress == Progress::Ended && entry.held.owner == held.owner;
        if !is_over && began.is_none() && before.is_some_and(is_old) {
            return None;
        }
        let begun = before.map(|entry| entry.begun).or_else(|| Some(self.millis(began?)));
        let is_new = before.is_none_or(|entry| held.maker.is_some() && entry.held.owner != held.owner);
        let maker = if is_new { held.maker } else { before.and_then(|entry| entry.held.maker) };
        let held = Held { maker, ..held };
        let expires = at.saturating_add(limit);
        self.entries.insert(key.0, Entry { held, expires, begun: begun.unwrap_or(at) });
        let goes_on = before.is_none_or(|entry| entry.held.progress != Progress::Ended);
        let took = begun.map(|begun| Duration::from_millis(at.saturating_sub(begun)));
        took.filter(|_| is_over && goes_on)
    }

    /// Who made it, if that is known.
    #[must_use]
    pub fn maker(&self, key: HeldKey, now: Instant) -> Option<Maker> {
        let entry = self.entries.get(&key.0)?;
        entry.held.maker.filter(|_| entry.expires > self.millis(now))
    }

    /// As [`Self::learn`], from an agent that does not say how far it is: what is known of that stays.
    pub fn hear_of(&self, key: HeldKey, kind: HeldKind, owner: EndpointId, retention: Retention, now: Instant) {
        let known = self.entries.get(&key.0).filter(|entry| entry.held.owner == owner);
        let known = known.filter(|entry| entry.expires > self.millis(now));
        let progress = known.map_or(Progress::Unknown, |entry| entry.held.progress);
        self.learn(key, Held { kind, owner, progress, maker: None }, None, retention, now);
    }

    /// It is gone.
    pub fn forget(&self, key: HeldKey) {
        self.entries.remove(&key.0);
    }

    /// Removes what is over its time. To be called now and then; until then it only takes room.
    pub fn sweep(&self, now: Instant) {
        let now = self.millis(now);
        self.entries.retain(|_, entry| entry.expires > now);
    }

    /// How many ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many there may be.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.entries.capacity()
    }

    /// Tasks that go on, for each endpoint.
    #[must_use]
    pub fn active_tasks(&self, now: Instant) -> HashMap<EndpointId, usize> {
        let now = self.millis(now);
        let mut active = HashMap::new();
        for (_, entry) in self.entries.iter() {
            let counts =
                entry.held.kind == HeldKind::Task && entry.held.progress == Progress::Active && entry.expires > now;
            if counts {
                *active.entry(entry.held.owner).or_default() += 1;
            }
        }
        active
    }

    /// Tasks that go on, the oldest first, at most `most`; and how many more there are.
    #[must_use]
    pub fn oldest_tasks(&self, now: Instant, most: usize) -> (Vec<TaskAge>, usize) {
        let now = self.millis(now);
        let goes_on = |entry: &Entry| {
            entry.held.kind == HeldKind::Task && entry.held.progress == Progress::Active && entry.expires > now
        };
        let mut found: Vec<Entry> = self.entries.iter().map(|(_, entry)| entry).filter(goes_on).collect();
        found.sort_by_key(|entry| entry.begun);
        let left_out = found.len().saturating_sub(most);
        (found.iter().take(most).map(|entry| entry.aged(now)).collect(), left_out)
    }

    /// What is known of one id. To look does not keep it.
    #[must_use]
    pub fn look(&self, key: HeldKey, now: Instant) -> Option<TaskAge> {
        let now = self.millis(now);
        let entry = self.entries.peek(&key.0).filter(|entry| entry.expires > now)?;
        Some(entry.aged(now))
    }

    fn millis(&self, now: Instant) -> u64 {
        millis(now.saturating_duration_since(self.epoch))
    }
}

impl Entry {
    fn aged(&self, now: u64) -> TaskAge {
        let age = Duration::from_millis(now.saturating_sub(self.begun));
        TaskAge { owner: self.held.owner, progress: self.held.progress, age }
    }
}

impl Retention {
    fn of(self, progress: Progress) -> Duration {
        match progress {
            Progress::Active | Progress::Unknown => self.active,
            Progress::Ended => self.ended,
        }
    }
}

/// Whether an entry that is remembered for `limit` is to be written anew: that is done only now and then.
const fn is_due(expires: u64, now: u64, limit: u64) -> bool {
    expires.saturating_sub(now) < limit - limit / 8
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Entries there is room for at the start.
const FIRST: usize = 1024;

#[cfg(test)]
mod tests;
