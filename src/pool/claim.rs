//! A new connection needs a permit under the ceilings. When none is free, idle connections of other workers are closed
//! for it; when all connections are in use, the request waits in the queue if that has room.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::quota::{self, ConnectionPermits, Quota, Quotas};
use super::{Arc, Pool, connect, h2};
use crate::error::{Error, LimitHit};
use crate::observe::handles::GaugeGuard;

/// A connection for a request.
#[derive(Debug)]
pub(super) enum Acquired {
    /// An open connection.
    Kept(connect::Opened),
    /// A permit to open one.
    New(ConnectionPermits),
}

impl Pool {
    /// Registers `worker` to be told when others need the permits of its idle connections.
    pub fn enlist(&self, worker: &Arc<Notify>) {
        for quota in self.quotas().iter().flatten() {
            quota.enlist(worker);
        }
    }

    /// Sets the state of the breaker.
    pub fn show_breaker(&self, state: u8) {
        self.transport.borrow().handles.breaker(state);
    }

    /// Closes idle connections, longest idle first, while others need their permits.
    pub fn evict(&self) {
        for quota in self.quotas().iter().flatten() {
            for _ in 0..quota.shortage() {
                if !self.close_idle() {
                    break;
                }
            }
        }
    }

    /// The ceilings connections fall under from now on.
    pub(super) fn quotas(&self) -> Quotas {
        let cluster = self.transport.borrow().quota.clone();
        [self.quota.borrow().clone(), cluster]
    }

    /// A permit for a connection, unless none is free or other requests wait for it.
    pub(super) fn places(&self) -> Option<ConnectionPermits> {
        let quotas = self.quotas();
        self.line.is_empty().then(|| quota::take(&quotas)).flatten()
    }

    /// A place for a connection or, after a wait, a connection that became free; with `http1` one that is not shared.
    pub(super) async fn way(&self, http1: bool, now: Instant, end: Option<Instant>) -> Result<Acquired, Error> {
        match self.places() {
            Some(places) => Ok(Acquired::New(places)),
            None => self.wait(http1, now, end).await,
        }
    }

    /// Whether a connection that is free now is better closed, because a worker without one waits for its place.
    pub(super) fn is_wanted_elsewhere(&self) -> bool {
        let own = self.waiting.get();
        let wanted = |quota: &Arc<Quota>| quota.waiting() > own;
        self.quota.borrow().as_ref().is_some_and(wanted) || self.transport.borrow().quota.as_ref().is_some_and(wanted)
    }

    async fn wait(&self, http1: bool, now: Instant, end: Option<Instant>) -> Result<Acquired, Error> {
        let by_end = |at: Instant| end.map_or(at, |end| end.min(at));
        let quotas = self.quotas();
        let transport = self.transport();
        let Some(queue) = quotas.iter().flatten().next().map(|quota| quota.queue()) else {
            return Err(Error::Internal);
        };
        transport.handles.ceiling_reached(LimitHit::Connections);
        let _hunger = quotas.each_ref().map(|quota| Some(quota.as_ref()?.hunger()));
        let _own = Hungry::new(self);
        if self.line.is_empty() {
            let closing = queue.listen(|| match self.find(http1, now) {
                Some(way) => Some(Some(way)),
                None if quotas.iter().flatten().any(|quota| quota.is_exhausted()) => Some(None),
                None => {
                    wake_waiting(&quotas);
                    None
                }
            });
            if let Ok(Some(way)) = timeout_at(by_end(Instant::now() + EVICTION), closing).await {
                return Ok(way);
            }
        }
        if queue.has_room() {
            let _pending = GaugeGuard::of(&transport.handles.pending);
            let deadline = by_end(queue.deadline(now));
            let found = queue.wait(&self.line, deadline, || {
                let way = self.find(http1, now);
                if way.is_none() {
                    wake_waiting(&quotas);
                }
                way
            });
            if let Some(way) = found.await {
                return Ok(way);
            }
        }
        transport.handles.circuit_rejected(LimitHit::Connections);
        Err(Error::at_ceiling(LimitHit::Connections))
    }

    fn find(&self, http1: bool, now: Instant) -> Option<Acquired> {
        if let Some(kept) = self.take_idle(now) {
            return Some(Acquired::Kept(connect::Opened::H1(kept)));
        }
        if !http1 && let Some(shared) = self.take_shared() {
            return Some(Acquired::Kept(connect::Opened::H2(shared)));
        }
        quota::take(&self.quotas()).map(Acquired::New)
    }

    fn close_idle(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            drop(idle.remove(0));
            return true;
        }
        let mut shared = self.shared.borrow_mut();
        let found = shared.iter().position(h2::Shared::is_idle);
        found.map(|at| drop(shared.swap_remove(at))).is_some()
    }
}

fn wake_waiting(quotas: &Quotas) {
    for quota in quotas.iter().flatten() {
        quota.wake_waiting();
    }
}

/// One more of this pool waits.
struct Hungry<'a>(&'a Pool);

impl<'a> Hungry<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self(pool)
    }
}

impl Drop for Hungry<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
    }
}

/// Time for other workers to close an idle connection.
const EVICTION: Duration = Duration::from_secs(1);
