//! Ceilings on what a cluster, and each of its endpoints, carries at once. A permit counts from the moment it is taken
//! until it is dropped, over all workers. A ceiling that is not configured counts nothing. This file knows only whether
//! a request is a stream.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::fill::CeilingStatus;
use crate::bounded::{self, Count};
use crate::config::model::{self, CircuitBreaker, EndpointCeilings, UpstreamProtocol};
use crate::error::LimitHit;
use crate::pool::{Line, Queue, Quota};

/// What a request is counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Asked and answered.
    #[default]
    Request,
    /// Lasts: an event stream, gRPC, an upgraded connection.
    Stream,
}

impl Kind {
    /// The ceiling it counts against.
    #[must_use]
    pub fn limit_hit(self) -> LimitHit {
        match self {
            Self::Request => LimitHit::Requests,
            Self::Stream => LimitHit::Streams,
        }
    }
}

/// One ceiling.
#[derive(Debug)]
struct Ceiling {
    limit: usize,
    count: Arc<Count<Arc<Queue>>>,
}

impl Ceiling {
    fn new(limit: Option<usize>, queue: &Arc<Queue>) -> Option<Self> {
        limit.map(|limit| Self { limit, count: Count::new(Arc::clone(queue)) })
    }

    fn take(&self) -> Option<Permit> {
        self.count.enter(self.limit)
    }

    fn has_room(&self) -> bool {
        self.count.taken() < self.limit
    }
}

/// One unit below a ceiling; given back when dropped.
pub type Permit = bounded::Permit<Arc<Queue>>;

/// A permit, where there is a ceiling.
pub type Allowed = Option<Permit>;

/// A ceiling for each kind.
#[derive(Debug)]
struct ByKind {
    requests: Option<Ceiling>,
    streams: Option<Ceiling>,
}

impl ByKind {
    fn of(&self, kind: Kind) -> Option<&Ceiling> {
        match kind {
            Kind::Request => self.requests.as_ref(),
            Kind::Stream => self.streams.as_ref(),
        }
    }

    /// `None` at the ceiling.
    fn take(&self, kind: Kind) -> Option<Allowed> {
        match self.of(kind) {
            None => Some(None),
            Some(ceiling) => ceiling.take().map(Some),
        }
    }
}

/// One queue for requests and one for streams, because streams last long and must not hold requests up.
#[derive(Debug, Default)]
struct Lines {
    requests: Line,
    streams: Line,
}

impl Lines {
    fn of(&self, kind: Kind) -> &Line {
        match kind {
            Kind::Request => &self.requests,
            Kind::Stream => &self.streams,
        }
    }
}

/// The ceilings of one cluster. Shared by all workers; survives a reload that does not change them.
#[derive(Debug)]
pub struct Ceilings {
    settings: CircuitBreaker,
    carried: ByKind,
    retries: Option<Ceiling>,
    connections: Option<Arc<Quota>>,
    queue: Arc<Queue>,
    /// Whether requests may share a connection.
    multiplexed: bool,
    /// Those who wait to be let in.
    entering: Lines,
    /// Those who wait for an endpoint with room.
    choosing: Lines,
}

impl Ceilings {
    /// The ceilings of `cluster`; those of `previous` where nothing changed, `None` where nothing is configured.
    #[must_use]
    pub fn build(cluster: &model::Cluster, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let multiplexed = cluster.protocol != UpstreamProtocol::Http1;
        Self::of(&cluster.circuit_breaker, multiplexed, previous)
    }

    fn of(settings: &CircuitBreaker, multiplexed: bool, previous: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        // The breaker has a count of its own.
        let settings = CircuitBreaker { half_open: None, ..settings.clone() };
        if let Some(same) = previous.filter(|previous| previous.settings == settings) {
            return Some(Arc::clone(same));
        }
        if !settings.has_ceilings() && settings.max_retries.is_none() {
            return None;
        }
        let queue = Arc::new(Queue::new(settings.max_pending_requests, settings.pending_timeout));
        Some(Arc::new(Self {
            carried: ByKind {
                requests: Ceiling::new(settings.max_requests, &queue),
                streams: Ceiling::new(settings.max_streams, &queue),
            },
            retries: Ceiling::new(settings.max_retries, &queue),
            connections: quota(settings.max_connections, &queue),
            entering: Lines::default(),
            choosing: Lines::default(),
            settings,
            multiplexed,
            queue,
        }))
    }

    /// A permit to send a request at all; `None` at the ceiling, and while others wait for one.
    #[must_use]
    pub fn enter(&self, kind: Kind) -> Option<Allowed> {
        let first = self.entering.of(kind).is_empty();
        first.then(|| self.carried.take(kind)).flatten()
    }

    /// As [`Self::enter`], after waiting in the queue. `None` when that is full or `deadline` has come.
    pub fn enter_late(&self, kind: Kind, deadline: Instant) -> impl Future<Output = Option<Allowed>> {
        let line = self.entering.of(kind);
        let attempt = move || self.carried.take(kind);
        self.queue.wait(line, deadline, attempt)
    }

    /// Whether no request waits for an endpoint.
    #[must_use]
    pub fn may_choose(&self, kind: Kind) -> bool {
        self.choosing.of(kind).is_empty()
    }

    /// Waits in the queue until `choose` finds an endpoint with room.
    pub fn choose_late<T>(
        &self,
        kind: Kind,
        deadline: Instant,
        choose: impl FnMut() -> Option<T>,
    ) -> impl Future<Output = Option<T>> {
        self.queue.wait(self.choosing.of(kind), deadline, choose)
    }

    /// A permit for one retry; `None` at the ceiling.
    #[must_use]
    pub fn retry(&self) -> Option<Allowed> {
        match &self.retries {
            None => Some(None),
            Some(ceiling) => ceiling.take().map(Some),
        }
    }

    /// Turns the permit of a request into one of a stream. False at the ceiling for streams; the request keeps its
    /// permit then.
    #[must_use]
    pub fn becomes_stream(&self, held: &mut Allowed) -> bool {
        self.carried.take(Kind::Stream).map(|permit| *held = permit).is_some()
    }

    /// How full each is that is set.
    #[must_use]
    pub fn fill(&self) -> Vec<CeilingStatus> {
        let ceiling = |what, ceiling: &Option<Ceiling>| {
            let ceiling = ceiling.as_ref()?;
            Some(CeilingStatus { what, taken: ceiling.count.taken(), limit: ceiling.limit })
        };
        let connections = self.connections.as_ref().map(|quota| {
            let (taken, limit) = quota.fill();
            CeilingStatus { what: "connections", taken, limit }
        });
        let (taken, limit) = self.queue.fill();
        [
            ceiling("requests", &self.carried.requests),
            ceiling("streams", &self.carried.streams),
            ceiling("retries", &self.retries),
            connections,
            Some(CeilingStatus { what: "pending", taken, limit }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// The queue everybody waits in.
    #[must_use]
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The ceiling on connections.
    #[must_use]
    pub fn connections(&self) -> Option<&Arc<Quota>> {
        self.connections.as_ref()
    }

    /// Room of one endpoint: that it had, if these are the same ceilings.
    pub(super) fn room(&self, before: Option<&Arc<Room>>) -> Option<Arc<Room>> {
        if let Some(same) = before.filter(|room| room.is_of(self)) {
            return Some(Arc::clone(same));
        }
        let limits = &self.settings.per_endpoint;
        (*limits != EndpointCeilings::default()).then(|| Arc::new(Room::new(limits, self)))
    }
}

fn quota(limit: Option<usize>, queue: &Arc<Queue>) -> Option<Arc<Quota>> {
    limit.map(|limit| Quota::new(limit, Arc::clone(queue)))
}

/// The ceilings of one endpoint.
#[derive(Debug)]
pub(super) struct Room {
    multiplexed: bool,
    carried: ByKind,
    connections: Option<Arc<Quota>>,
    queue: Arc<Queue>,
}

impl Room {
    fn new(limits: &EndpointCeilings, ceilings: &Ceilings) -> Self {
        let queue = &ceilings.queue;
        Self {
            multiplexed: ceilings.multiplexed,
            carried: ByKind {
                requests: Ceiling::new(limits.max_requests, queue),
                streams: Ceiling::new(limits.max_streams, queue),
            },
            connections: quota(limits.max_connections, queue),
            queue: Arc::clone(queue),
        }
    }

    fn is_of(&self, ceilings: &Ceilings) -> bool {
        Arc::ptr_eq(&self.queue, &ceilings.queue)
    }

    /// The ceiling that keeps one more out. Where requests share connections, one that is in use may do.
    pub(super) fn full(&self, kind: Kind) -> Option<LimitHit> {
        let carried = self.carried.of(kind);
        if carried.is_some_and(|ceiling| !ceiling.has_room()) {
            return Some(kind.limit_hit());
        }
        let connections = self.connections.as_ref().filter(|_| !self.multiplexed);
        let exhausted = connections.is_some_and(|quota| quota.is_exhausted());
        exhausted.then_some(LimitHit::Connections)
    }

    /// A permit for one more; `None` at the ceiling.
    pub(super) fn take(&self, kind: Kind) -> Option<Allowed> {
        self.carried.take(kind)
    }

    /// The ceiling on connections.
    pub(super) fn connections(&self) -> Option<&Arc<Quota>> {
        self.connections.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use futures_util::poll;
    use proptest::prelude::*;

    use super::*;

    fn settings() -> CircuitBreaker {
        CircuitBreaker {
            max_requests: Some(2),
            max_streams: Some(1),
            max_retries: Some(1),
            max_pending_requests: 4,
            pending_timeout: Duration::from_millis(100),
            ..CircuitBreaker::default()
        }
    }

    fn build(settings: &CircuitBreaker) -> Arc<Ceilings> {
        Ceilings::of(settings, false, None).unwrap()
    }

    #[test]
    fn nothing_configured_is_nothing() {
        assert!(Ceilings::of(&CircuitBreaker::default(), false, None).is_none());
        let ceilings = build(&CircuitBreaker { max_streams: Some(1), ..CircuitBreaker::default() });
        assert!(matches!(ceilings.enter(Kind::Request), Some(None)));
        assert!(matches!(ceilings.retry(), Some(None)));
        assert!(ceilings.room(None).is_none());
    }

    #[test]
    fn a_stream_leaves_its_place_to_requests() {
        let ceilings = build(&settings());
        let mut one = ceilings.enter(Kind::Request).unwrap();
        let mut two = ceilings.enter(Kind::Request).unwrap();
        assert!(ceilings.enter(Kind::Request).is_none());
        assert!(ceilings.becomes_stream(&mut one));
        let three = ceilings.enter(Kind::Request);
        assert!(three.is_some(), "the stream counts elsewhere");
        assert!(!ceilings.becomes_stream(&mut two), "one stream only");
        assert!(ceilings.enter(Kind::Request).is_none(), "it still counts");
        assert!(ceilings.enter(Kind::Stream).is_none());
        drop((one, three));
        assert!(ceilings.enter(Kind::Stream).is_some() && ceilings.enter(Kind::Request).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn streams_that_wait_do_not_hold_requests_up() {
        let ceilings = build(&settings());
        let stream = ceilings.enter(Kind::Stream).unwrap();
        let requests = [ceilings.enter(Kind::Request), ceilings.enter(Kind::Request)];
        let deadline = ceilings.queue().deadline(Instant::now());
        let mut streams = Box::pin(ceilings.enter_late(Kind::Stream, deadline));
        let mut waiting = Box::pin(ceilings.enter_late(Kind::Request, deadline));
        assert!(poll!(streams.as_mut()).is_pending() && poll!(waiting.as_mut()).is_pending());
        drop(requests);
        assert!(ceilings.enter(Kind::Request).is_none(), "not ahead of who waits");
        let entered = waiting.await.expect("it has room");
        assert!(entered.is_some() && ceilings.enter(Kind::Request).is_some());
        assert!(streams.await.is_none(), "until the deadline");
        drop(stream);
    }

    #[test]
    fn a_reload_keeps_the_count_of_equal_ceilings() {
        let before = build(&settings());
        let held = before.enter(Kind::Stream);
        let same = Ceilings::of(&settings(), false, Some(&before)).unwrap();
        assert!(same.enter(Kind::Stream).is_none());
        let mut other = settings();
        other.max_streams = Some(3);
        let changed = Ceilings::of(&other, false, Some(&before)).unwrap();
        assert!(changed.enter(Kind::Stream).is_some());
        drop(held);
        assert!(same.enter(Kind::Stream).is_some());
    }

    #[test]
    fn an_endpoint_has_room_of_its_own() {
        let settings = CircuitBreaker {
            per_endpoint: EndpointCeilings {
                max_requests: Some(1),
                max_connections: Some(1),
                ..EndpointCeilings::default()
            },
            ..CircuitBreaker::default()
        };
        let ceilings = build(&settings);
        let (one, other) = (ceilings.room(None).unwrap(), ceilings.room(None).unwrap());
        let held = one.take(Kind::Request).unwrap();
        assert_eq!(one.full(Kind::Request), Some(LimitHit::Requests));
        assert_eq!(other.full(Kind::Request), None);
        assert_eq!(one.full(Kind::Stream), None, "streams have no ceiling");
        let connection = one.connections().unwrap().take();
        assert_eq!(one.full(Kind::Stream), Some(LimitHit::Connections));
        assert!(Arc::ptr_eq(&ceilings.room(Some(&one)).unwrap(), &one));
        let changed = build(&settings);
        assert!(!Arc::ptr_eq(&changed.room(Some(&one)).unwrap(), &one));
        drop((held, connection));
        assert_eq!(one.full(Kind::Request), None);
    }

    proptest! {
        #[test]
        fn never_more_permits_than_the_ceiling(
            limits in (1..6_usize, 1..6_usize),
            steps in prop::collection::vec(any::<(bool, Option<prop::sample::Index>, bool)>(), 0..300),
        ) {
            let ceilings = build(&CircuitBreaker {
                max_requests: Some(limits.0),
                max_streams: Some(limits.1),
                max_pending_requests: 8,
                pending_timeout: Duration::from_secs(1),
                ..CircuitBreaker::default()
            });
            let mut held: [Vec<Permit>; 2] = [Vec::new(), Vec::new()];
            for (stream, step, changes) in steps {
                let (kind, at, limit) = if stream { (Kind::Stream, 1, limits.1) } else { (Kind::Request, 0, limits.0) };
                match step {
                    None => {
                        let entered = ceilings.enter(kind);
                        prop_assert_eq!(entered.is_some(), held[at].len() < limit);
                        held[at].extend(entered.flatten());
                    }
                    Some(index) if !held[at].is_empty() => {
                        let chosen = index.index(held[at].len());
                        let permit = held[at].swap_remove(chosen);
                        if changes && at == 0 {
                            let mut moved = Some(permit);
                            let became = ceilings.becomes_stream(&mut moved);
                            prop_assert_eq!(became, held[1].len() < limits.1);
                            held[usize::from(became)].extend(moved);
                        }
                    }
                    Some(_) => {}
                }
                prop_assert!(held[0].len() <= limits.0 && held[1].len() <= limits.1);
                prop_assert_eq!(ceilings.carried.requests.as_ref().unwrap().count.taken(), held[0].len());
                prop_assert_eq!(ceilings.carried.streams.as_ref().unwrap().count.taken(), held[1].len());
            }
        }
    }

    #[test]
    fn threads_that_race_never_pass_the_ceiling() {
        let ceilings = build(&settings());
        let most = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let Some(permit) = ceilings.enter(Kind::Request) else {
                            continue;
                        };
                        let used = ceilings.carried.requests.as_ref().unwrap().count.taken();
                        most.fetch_max(used, SeqCst);
                        drop(permit);
                    }
                });
            }
        });
        assert!(most.load(SeqCst) <= 2);
        let left = [ceilings.enter(Kind::Request), ceilings.enter(Kind::Request)];
        assert!(left.iter().all(Option::is_some), "all came back");
    }
}
