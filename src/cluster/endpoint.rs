//! One endpoint: its settings, immutable, and beside them the live counters that outlive a change of settings.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::atomic_instant::AtomicInstant;
use super::latency::Latency;
use super::outlier::{Cause, EndpointRecord};

use super::ceilings::{Allowed, Kind, Room};
use super::endpoint_health::{Health, HealthStatus};
use crate::error::LimitHit;
use crate::host;
use crate::observe::endpoints::{EndpointSeries, ListedEndpoint, Work};
use crate::observe::metrics::Metrics;
use crate::pool::Quota;

/// Identity of an endpoint, unique for the process. It survives a change of weight or labels and a reload, so that
/// pools can be keyed by it; it never comes back for another address, name or transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

impl EndpointId {
    pub(super) fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Relaxed))
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Another place where an endpoint takes calls of one kind. What is counted and found out is the endpoint's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Where to connect.
    pub address: SocketAddr,
    /// Host and port as configured, for SNI and `upstreamHost: endpoint`.
    pub name: Arc<str>,
}

impl Binding {
    /// Host part of its name, as [`Endpoint::host`].
    #[must_use]
    pub fn host(&self) -> &str {
        host::of_place(&self.name)
    }
}

/// A replica requests can be sent to: at its address, or at another one for some kinds of calls. A clone is the same
/// replica, with the same counters, and may get other settings.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Identity for the life of the process.
    pub id: EndpointId,
    /// Where to connect.
    pub address: SocketAddr,
    /// Host and port as configured (`agent.local:8080`, `[::1]:8080`), for SNI and `upstreamHost: endpoint`.
    pub name: Arc<str>,
    /// Where it takes gRPC calls, if not at its address.
    pub grpc: Option<Binding>,
    /// Share of the load; 0 means draining.
    pub weight: u32,
    /// Labels from the configuration.
    pub labels: BTreeMap<String, String>,
    /// Its group: endpoints of a higher number are backups for those of lower numbers.
    pub priority: u32,
    /// Whether it is in the gateway's zone, or there is no zone to prefer.
    pub local: bool,
    pub(super) live: Arc<Live>,
    /// What its checks say, where there are checks. Shared over reloads, but not with an endpoint that is checked
    /// otherwise.
    pub(super) health: Option<Arc<Health>>,
    /// Its own ceilings, where it has some.
    pub(super) room: Option<Arc<Room>>,
    /// Keeps its series shown. Shared over changes of its settings.
    pub(super) listed: Arc<Mutex<Option<ListedEndpoint>>>,
    /// While it drains: until when it gets calls about its tasks.
    pub(super) drains_until: Option<Instant>,
    /// Whether it is here for its tasks alone.
    pub(super) was_removed: bool,
}

impl Endpoint {
    /// A new endpoint of the first group, with nothing in flight and an identity of its own.
    #[must_use]
    pub fn new(address: SocketAddr, name: impl Into<Arc<str>>, weight: u32, labels: BTreeMap<String, String>) -> Self {
        Self {
            id: EndpointId::next(),
            address,
            name: name.into(),
            grpc: None,
            weight,
            labels,
            priority: 0,
            local: true,
            live: Arc::new(Live::new(Instant::now())),
            health: None,
            room: None,
            listed: Arc::default(),
            drains_until: None,
            was_removed: false,
        }
    }

    /// Whether its checks say that it must get no requests.
    #[must_use]
    pub fn is_unhealthy(&self) -> bool {
        self.health.as_ref().is_some_and(|health| health.is_unhealthy())
    }

    /// What its checks say, where there are checks.
    #[must_use]
    pub fn health(&self) -> Option<HealthStatus> {
        Some(self.health.as_ref()?.status())
    }

    /// When it is to be checked; `None` before the first check.
    pub(super) fn check_due(&self) -> Option<Instant> {
        self.health.as_ref()?.due()
    }

    /// Says when it is to be checked.
    pub(super) fn set_check_due(&self, due: Instant) {
        if let Some(health) = &self.health {
            health.set_due(due);
        }
    }

    /// The ceiling of its own that keeps one more out.
    #[must_use]
    pub fn full(&self, kind: Kind) -> Option<LimitHit> {
        self.room.as_ref()?.full(kind)
    }

    /// Its own ceiling on connections.
    #[must_use]
    pub fn connections(&self) -> Option<&Arc<Quota>> {
        self.room.as_ref()?.connections()
    }

    /// Requests and streams selected for this endpoint whose response body has not ended.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.live.in_flight.load(Relaxed)
    }

    /// Tasks that go on at it, as far as this gateway knows, as of the last second.
    #[must_use]
    pub fn tasks(&self) -> u32 {
        self.live.tasks.load(Relaxed)
    }

    /// A task goes on at it, whether or not it has been counted yet.
    pub fn holds_task(&self, now: Instant) {
        if self.tasks() == 0 && !self.is_gone(now) {
            self.live.tasks.store(1, Relaxed);
        }
    }

    /// Says how many tasks go on at it.
    pub(super) fn note_tasks(&self, count: usize) {
        self.live.tasks.store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }

    /// Shows its series in `metrics`, by its cluster and address, until it is gone; `None` where endpoints have none.
    /// Called anew by each worker after each reload.
    #[must_use]
    pub fn list(&self, metrics: &Metrics, cluster: &str, address: &str) -> Option<EndpointSeries> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        if !metrics.lists_endpoints() || listed.as_ref().is_some_and(|listed| !listed.is_own()) {
            *listed = None;
        }
        if listed.is_none() {
            let live = Arc::downgrade(&self.live);
            let now = move || live.upgrade().map(|live| live.work());
            *listed = metrics.list_endpoint((cluster, address), self.id.0, Arc::new(now));
        }
        listed.as_ref().map(|listed| EndpointSeries::new(metrics, listed))
    }

    /// Whether its traffic took it out.
    #[must_use]
    #[inline]
    pub fn is_ejected(&self, now: Instant) -> bool {
        self.live.record.is_ejected(self.live.born, now)
    }

    /// Whether its attempts in a row got no answer. Where the endpoint has checks, they decide instead.
    #[must_use]
    pub fn is_failing(&self, now: Instant) -> bool {
        self.health.is_none() && self.live.record.is_failing(self.live.born, now)
    }

    /// The end of its latest ejection, which may be over.
    pub(super) fn ejected_until(&self) -> Option<Instant> {
        self.live.record.ejected_until(self.live.born)
    }

    /// Why its traffic keeps it out, while it does.
    pub(super) fn ejected_by(&self, now: Instant) -> Option<Cause> {
        self.live.record.cause().filter(|_| self.is_ejected(now))
    }

    /// Times ejected, less one for each healthy interval.
    pub(super) fn ejections(&self) -> u32 {
        self.live.record.times()
    }

    /// Ends its ejection, if there is one, and forgets the failures behind it, because another source, such as a health
    /// check, knows better. The number of ejections is kept, so that the next one is longer.
    pub fn pardon(&self, now: Instant) {
        if self.is_ejected(now) {
            self.live.record.pardon();
            self.warm_up(now);
        }
    }

    /// Forgets how it behaved.
    pub(super) fn forget(&self, now: Instant) {
        self.pardon(now);
        self.live.record.forget();
    }

    /// Begins its slow start, in clusters that have one.
    pub fn warm_up(&self, from: Instant) {
        self.live.warm.set(self.live.born, from);
    }

    /// Its share of its weight while it warms up, in 1/[`FULL`]: from a tenth to all of it in the course of `window`.
    pub(super) fn warmth(&self, window: Duration, now: Instant) -> u64 {
        let Some(since) = self.live.warm.get(self.live.born) else {
            return FULL;
        };
        let age = now.saturating_duration_since(since);
        if age >= window {
            return FULL;
        }
        let share = age.as_millis() * u128::from(FULL) / window.as_millis().max(1);
        u64::try_from(share).unwrap_or(FULL).clamp(FULL / 10, FULL)
    }

    /// Whether it is not at its full weight, or will not be when it returns.
    pub(super) fn is_warming(&self, window: Duration, now: Instant) -> bool {
        let since = self.live.warm.get(self.live.born);
        since.is_some_and(|since| since + window > now)
    }

    /// Host part of the configured name without the brackets of an IPv6 address, for SNI and certificate checks.
    #[must_use]
    pub fn host(&self) -> &str {
        host::of_place(&self.name)
    }

    /// Where it takes gRPC calls, or other ones: the address, and host and port as configured.
    #[must_use]
    pub fn place(&self, grpc: bool) -> (SocketAddr, &Arc<str>) {
        let binding = self.grpc.as_ref().filter(|_| grpc);
        binding.map_or((self.address, &self.name), |binding| (binding.address, &binding.name))
    }

    /// Its address and those of its other bindings.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        std::iter::once(self.address).chain(self.grpc.as_ref().map(|binding| binding.address))
    }

    /// Whether one of its bindings is at this host, if that is an address, and port.
    #[must_use]
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        let ip = host::address(host);
        self.addresses().any(|address| address.port() == port && ip == Some(address.ip()))
    }

    /// Whether it means itself by this host and port: one of its bindings, perhaps by a name of the machine itself, for
    /// an agent need not know its address.
    #[must_use]
    pub fn means_itself(&self, host: &str, port: u16) -> bool {
        let has_port = || self.addresses().any(|address| address.port() == port);
        self.is_at(host, port) || host::is_itself(host) && has_port()
    }
}

/// The one place that decides whether an endpoint may get new work. Always false for weight zero (draining), on which
/// the arithmetic of the balancer relies.
#[inline]
pub(super) fn is_usable(endpoint: &Endpoint, now: Instant) -> bool {
    endpoint.weight > 0 // draining
        && !endpoint.is_ejected(now) // taken out by its traffic
        && !endpoint.is_unhealthy() // taken out by its checks
}

impl AsRef<Self> for Endpoint {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Counters shared by every worker. On cache lines of their own (two, for the adjacent-line prefetcher): neighbours in
/// memory would otherwise slow each other down.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Live {
    in_flight: AtomicU32,
    tasks: AtomicU32,
    /// The base of the moments below.
    pub(super) born: Instant,
    pub(super) record: EndpointRecord,
    /// When it joined or returned, or will return.
    warm: AtomicInstant,
    pub(super) latency: Latency,
}

impl Live {
    pub(super) fn new(born: Instant) -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            tasks: AtomicU32::new(0),
            born,
            record: EndpointRecord::default(),
            warm: AtomicInstant::default(),
            latency: Latency::default(),
        }
    }

    fn work(&self) -> Work {
        Work { in_flight: self.in_flight.load(Relaxed), tasks: self.tasks.load(Relaxed) }
    }
}

/// What [`Endpoint::warmth`] is a share of.
pub(super) const FULL: u64 = 1024;

/// Counts one exchange against an endpoint, from selection to the end of the response body. Travels inside that body
/// and ends when dropped. `H` is the handle that the holder has: `Arc<Endpoint>`, or an `Rc` of a worker's own record
/// of the endpoint, so that no shared reference count is touched per request.
#[derive(Debug)]
pub struct InFlight<H>
where
    H: Deref<Target: AsRef<Endpoint>>,
{
    handle: H,
    /// Under the endpoint's own ceiling.
    permit: Allowed,
}

impl<H> InFlight<H>
where
    H: Deref<Target: AsRef<Endpoint>>,
{
    /// Counts from now until the guard is dropped.
    #[must_use]
    pub fn new(handle: H) -> Self {
        // Relaxed: the count steers the balancer and orders nothing else.
        let _ = (*handle).as_ref().live.in_flight.fetch_add(1, Relaxed);
        let permit = None;
        Self { handle, permit }
    }

    /// As [`Self::new`], below the endpoint's own ceilings; `None` when they leave no room.
    #[must_use]
    pub fn enter(handle: H, kind: Kind) -> Option<Self> {
        let permit = match &(*handle).as_ref().room {
            None => None,
            Some(room) => room.take(kind)?,
        };
        let mut counted = Self::new(handle);
        counted.permit = permit;
        Some(counted)
    }

    /// It is a stream, as it turns out. False when the endpoint's own ceiling has no room for another.
    #[must_use]
    pub fn becomes_stream(&mut self) -> bool {
        let Some(room) = &self.endpoint().room else {
            return true;
        };
        match room.take(Kind::Stream) {
            Some(permit) => {
                self.permit = permit;
                true
            }
            None => false,
        }
    }

    /// The handle given at the start.
    #[must_use]
    pub fn handle(&self) -> &H {
        &self.handle
    }

    /// The endpoint that is counted.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        (*self.handle).as_ref()
    }
}

impl<H> Drop for InFlight<H>
where
    H: Deref<Target: AsRef<Endpoint>>,
{
    fn drop(&mut self) {
        let _ = (*self.handle).as_ref().live.in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
