//! A ceiling on open connections, counted over the pools of all workers. An idle connection of one worker must not keep
//! another worker from connecting: at the ceiling the request wakes the other workers, and they close idle connections.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use super::queue::Queue;
use crate::bounded::{Count, Permit};

/// The ceiling of a cluster or of one endpoint.
#[derive(Debug)]
pub struct Quota {
    limit: usize,
    open: Arc<Count<Arc<Queue>>>,
    /// Who waited for one of them to be closed learns that it is in use.
    idle: Arc<Count<Arc<Queue>>>,
    waiting: Arc<Count>,
    queue: Arc<Queue>,
    workers: Mutex<Vec<Weak<Notify>>>,
}

impl Quota {
    /// A ceiling of `limit`, with `queue` for requests that wait.
    #[must_use]
    pub fn new(limit: usize, queue: Arc<Queue>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            open: Count::new(Arc::clone(&queue)),
            idle: Count::new(Arc::clone(&queue)),
            waiting: Arc::default(),
            queue,
            workers: Mutex::default(),
        })
    }

    /// The place of one connection, unless all are taken.
    #[must_use]
    pub fn take(&self) -> Option<ConnectionPermit> {
        self.open.enter(self.limit)
    }

    /// Whether all permits are taken and none of them by an idle connection.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.is_full() && self.idle.taken() == 0
    }

    /// How many connections there are, and how many there may be.
    #[must_use]
    pub fn fill(&self) -> (usize, usize) {
        (self.open.taken(), self.limit)
    }

    /// The queue for requests that find no permit.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Notes that a connection lies idle.
    pub(super) fn rest(&self) -> IdlePermit {
        let idle = self.idle.add();
        // A waiting request may take the idle connection, or have it closed.
        self.queue.ring();
        idle
    }

    /// One more needs a place.
    pub(super) fn hunger(&self) -> Permit {
        self.waiting.add()
    }

    /// How many need a place.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.taken()
    }

    /// How many places more are needed than are free.
    pub(super) fn shortage(&self) -> usize {
        let free = self.limit.saturating_sub(self.open.taken());
        self.waiting().saturating_sub(free)
    }

    /// Tells `worker` from now on when idle connections should be closed.
    pub(super) fn enlist(&self, worker: &Arc<Notify>) {
        let mut workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let worker = Arc::downgrade(worker);
        if !workers.iter().any(|known| known.ptr_eq(&worker)) {
            workers.retain(|known| known.strong_count() > 0);
            workers.push(worker);
        }
    }

    /// Asks every worker for its idle connections, at the ceiling.
    pub(super) fn wake_waiting(&self) {
        if !self.is_full() {
            return;
        }
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        for worker in workers.iter().filter_map(Weak::upgrade) {
            worker.notify_one();
        }
    }

    fn is_full(&self) -> bool {
        self.open.taken() >= self.limit
    }
}

/// The place of one open connection; given back when dropped.
pub type ConnectionPermit = Permit<Arc<Queue>>;

/// Lasts while a connection lies idle.
pub(super) type IdlePermit = Permit<Arc<Queue>>;

/// The ceilings a connection falls under: its endpoint's, its cluster's.
pub(super) type Quotas = [Option<Arc<Quota>>; 2];

/// A place under each of them.
pub(super) type ConnectionPermits = [Option<ConnectionPermit>; 2];

/// Idle under each of them.
pub(super) type IdlePermits = [Option<IdlePermit>; 2];

/// A permit of each of `quotas`; `None` when one has none left.
pub(super) fn take(quotas: &Quotas) -> Option<ConnectionPermits> {
    let [endpoint, cluster] = quotas;
    let place = |quota: &Option<Arc<Quota>>| match quota {
        Some(quota) => quota.take().map(Some),
        None => Some(None),
    };
    Some([place(endpoint)?, place(cluster)?])
}

/// There is room on a connection under these ceilings.
pub(super) fn ring(quotas: &Quotas) {
    if let Some(quota) = quotas.iter().flatten().next() {
        quota.queue.ring();
    }
}

/// Idle from now on under each of `quotas`.
pub(super) fn rest(quotas: &Quotas) -> IdlePermits {
    quotas.each_ref().map(|quota| quota.as_ref().map(|quota| quota.rest()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use proptest::prelude::*;

    use super::*;

    fn quota(limit: usize) -> Arc<Quota> {
        Quota::new(limit, Arc::new(Queue::new(0, Duration::ZERO)))
    }

    #[test]
    fn workers_are_asked_for_idle_connections_only_at_the_ceiling() {
        let (quota, worker) = (quota(2), Arc::new(Notify::new()));
        quota.enlist(&worker);
        quota.enlist(&worker);
        let first = quota.take().unwrap();
        let idle = quota.rest();
        quota.wake_waiting();
        assert_eq!(worker.notified().now_or_never(), None, "a place is free");
        let second = quota.take().unwrap();
        assert!(quota.take().is_none() && !quota.is_exhausted());
        quota.wake_waiting();
        assert_eq!(worker.notified().now_or_never(), Some(()));
        drop(idle);
        assert!(quota.is_exhausted(), "all are in use");
        let hunger = quota.hunger();
        assert_eq!(quota.shortage(), 1);
        drop(first);
        assert_eq!(quota.shortage(), 0, "one needs a place and one is free");
        drop((hunger, second));
        assert_eq!(quota.workers.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_place_that_only_one_ceiling_has_is_not_kept() {
        let (endpoint, cluster) = (quota(2), quota(1));
        let quotas = [Some(Arc::clone(&endpoint)), Some(cluster)];
        let held = take(&quotas).unwrap();
        assert!(take(&quotas).is_none());
        assert_eq!(endpoint.open.taken(), 1);
        drop(held);
        assert!(take(&quotas).is_some());
    }

    proptest! {
        #[test]
        fn never_more_permits_than_the_ceiling(
            limit in 1..8_usize,
            steps in prop::collection::vec(any::<Option<prop::sample::Index>>(), 0..200),
        ) {
            let quota = quota(limit);
            let mut held = Vec::new();
            for step in steps {
                match step {
                    None => {
                        let taken = quota.take();
                        prop_assert_eq!(taken.is_some(), held.len() < limit);
                        held.extend(taken);
                    }
                    Some(index) if !held.is_empty() => drop(held.swap_remove(index.index(held.len()))),
                    Some(_) => {}
                }
                prop_assert_eq!(quota.open.taken(), held.len());
            }
        }
    }
}
