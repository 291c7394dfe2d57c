//! The buckets of one limit: a bounded table, and one bucket more that is shared by the clients it has no room for. A
//! client in the table keeps its bucket until the bucket is full again, however many other clients come. The table is
//! made for the first client, so an unused limit takes no memory.

use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use governor::nanos::Nanos;
use governor::state::keyed::ShrinkableKeyedStateStore;
use governor::state::{InMemoryState, NotKeyed, StateStore};

use super::Key;
use crate::bounded::{Count, Permit};

/// A clone is the same table: the limiter has one and we keep one, because it hands nothing out.
#[derive(Clone, Debug)]
pub(super) struct Table {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    buckets: OnceLock<DashMap<Key, Bucket, RandomState>>,
    /// Entries of `buckets`, or a few more while some are being put in.
    len: Arc<Count>,
    capacity: usize,
    overflow: InMemoryState,
    overflowed: AtomicU64,
}

/// The bucket of one client.
#[derive(Debug)]
struct Bucket {
    state: InMemoryState,
    _place: Permit,
}

impl Table {
    /// An empty table for at most `capacity` clients.
    pub(super) fn new(capacity: usize) -> Self {
        let shared = Shared {
            buckets: OnceLock::new(),
            len: Arc::default(),
            capacity,
            overflow: InMemoryState::default(),
            overflowed: AtomicU64::new(0),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Requests counted in the overflow bucket since this was asked last.
    pub(super) fn take_overflowed(&self) -> u64 {
        self.shared.overflowed.swap(0, Ordering::Relaxed)
    }

    /// Gives `amount` of bucket time back to the client that just spent it.
    pub(super) fn refund(&self, key: &Key, amount: Nanos) {
        let back = |spent: Option<Nanos>| match spent {
            // A bucket that was full stands in the past then, which is the same.
            Some(spent) => Ok(((), spent.saturating_sub(amount))),
            None => Err(()),
        };
        let bucket = self.buckets().get(key);
        let bucket = bucket.as_deref().map_or(&self.shared.overflow, |bucket| &bucket.state);
        let _nothing_was_spent = bucket.measure_and_replace(&NotKeyed::NonKey, back);
    }

    fn buckets(&self) -> &DashMap<Key, Bucket, RandomState> {
        let empty = || DashMap::with_hasher_and_shard_amount(RandomState::new(), SHARDS);
        self.shared.buckets.get_or_init(empty)
    }
}

impl StateStore for Table {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        // A client that is known only reads the table; its bucket is an atomic.
        let buckets = self.buckets();
        if let Some(bucket) = buckets.get(key) {
            return bucket.state.measure_and_replace(&NotKeyed::NonKey, f);
        }
        let Some(place) = self.shared.len.enter(self.shared.capacity) else {
            self.shared.overflowed.fetch_add(1, Ordering::Relaxed);
            let overflow = &self.shared.overflow;
            return overflow.measure_and_replace(&NotKeyed::NonKey, f);
        };
        match buckets.entry(*key) {
            Entry::Occupied(known) => known.get().state.measure_and_replace(&NotKeyed::NonKey, f),
            Entry::Vacant(client) => {
                let bucket = client.insert(Bucket { state: InMemoryState::default(), _place: place });
                bucket.state.measure_and_replace(&NotKeyed::NonKey, f)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<Key> for Table {
    fn retain_recent(&self, drop_below: Nanos) {
        let Some(buckets) = self.shared.buckets.get() else {
            return;
        };
        buckets.retain(|_, bucket| {
            let look = |spent: Option<Nanos>| Err::<((), Nanos), _>(spent.unwrap_or_default());
            let spent = bucket.state.measure_and_replace(&NotKeyed::NonKey, look);
            spent.is_err_and(|spent| spent > drop_below)
        });
    }

    /// Gives memory back after a wave of clients. A table that is half full again soon is left as it is.
    fn shrink_to_fit(&self) {
        let Some(buckets) = self.shared.buckets.get() else {
            return;
        };
        let capacity = buckets.capacity();
        if capacity > SMALL && capacity / 8 > self.len() {
            buckets.shrink_to_fit();
        }
    }

    fn len(&self) -> usize {
        self.shared.len.taken()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Parts of a table with a lock each. A part that grows is copied under its lock, so there are more than there are
/// cores.
const SHARDS: usize = 64;
/// A table of this size keeps its memory.
const SMALL: usize = 16_384;
