//! Time limits of connections without a timer per request. Every connection of a worker is registered here. Ten times a
//! second the watchdog checks those that are due, and tells a connection that was in one state for too long to end. So
//! limits take effect a little late (by at most a tenth, or 200 ms), never early. The data path only stores flags; see
//! [`IoProgress`].

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use crate::config::model::Limits;
use crate::context::{Connection, LINGER_TIME};
use crate::listener::command::{ConnectionCommand, Expiry};
use crate::listener::connection_handle::ConnectionHandle;
use crate::listener::io_progress::{IoProgress, Stage};

/// The watchdog of one worker, and its coarse clock.
#[derive(Debug)]
pub struct Watchdog {
    entries: RefCell<Entries>,
    now: Cell<Instant>,
    task: RefCell<Option<AbortHandle>>,
    groups: Cell<u64>,
}

/// Which clock runs for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watched {
    /// None: it works, or something else limits it.
    Busy,
    /// It waits for a request.
    Idle,
    /// It waits for the rest of a head, or for a client that was told to go.
    Head,
    /// A service waits for the rest of a body.
    Body,
    /// The client does not read.
    Write,
    /// The client does not close.
    Linger,
}

/// The time limits the watchdog keeps.
#[derive(Clone, Copy, Debug)]
pub struct WatchLimits {
    idle: Duration,
    head: Duration,
    body: Duration,
    /// How often a connection is looked at.
    every: Duration,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    handle: Rc<ConnectionHandle>,
    group: u64,
    limits: WatchLimits,
    due: Instant,
    /// Which clock runs, the progress that would restart it, and when it started.
    watched: Watched,
    progress: u64,
    since: Instant,
}

/// Registration of a connection; ends with its drop.
#[derive(Debug)]
pub struct Registered {
    watchdog: Rc<Watchdog>,
    slot: usize,
    handle: Rc<ConnectionHandle>,
}

impl Watchdog {
    /// Starts the watchdog of this worker; its task ends when the last handle is dropped. Must be called inside the
    /// worker's runtime, where tasks need not be `Send`.
    #[must_use]
    pub fn start() -> Rc<Self> {
        let watchdog = Rc::new(Self {
            entries: RefCell::default(),
            now: Cell::new(Instant::now()),
            task: RefCell::new(None),
            groups: Cell::new(0),
        });
        let task = tokio::task::spawn_local(tick(Rc::downgrade(&watchdog)));
        watchdog.task.replace(Some(task.abort_handle()));
        watchdog
    }

    /// Whether its task has ended, so that no limit is enforced any more.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let task = self.task.borrow();
        task.as_ref().is_some_and(AbortHandle::is_finished)
    }

    /// Coarse time, exact to the tick (100 ms).
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now.get()
    }

    /// A number for a new group of connections.
    pub(crate) fn group_number(&self) -> u64 {
        self.groups.replace(self.groups.get() + 1)
    }

    /// Watches a connection from now on. Connections of one `group` are told things together.
    pub(crate) fn register(self: &Rc<Self>, progress: Arc<IoProgress>, group: u64, limits: &Limits) -> Registered {
        let handle = Rc::new(ConnectionHandle::new(progress));
        let limits = WatchLimits::new(limits);
        let entry = Entry {
            handle: Rc::clone(&handle),
            group,
            limits,
            due: self.now() + limits.every,
            watched: Watched::Busy,
            progress: 0,
            since: self.now(),
        };
        let mut entries = self.entries.borrow_mut();
        let slot = entries.free.pop().unwrap_or(entries.slots.len());
        match entries.slots.get_mut(slot) {
            Some(free) => *free = Some(entry),
            None => entries.slots.push(Some(entry)),
        }
        Registered { watchdog: Rc::clone(self), slot, handle }
    }

    /// Gives an order to every connection of a group and says how many there are.
    pub(crate) fn command(&self, group: u64, command: ConnectionCommand) -> usize {
        let entries = self.entries.borrow();
        entries
            .slots
            .iter()
            .flatten()
            .filter(|entry| entry.group == group)
            .map(|entry| entry.handle.command(command))
            .count()
    }

    /// Gives an order to those connections of a group that carry HTTP and that `which` names.
    pub(crate) fn command_those(&self, group: u64, command: ConnectionCommand, which: impl Fn(&Connection) -> bool) {
        let entries = self.entries.borrow();
        for entry in entries.slots.iter().flatten().filter(|entry| entry.group == group) {
            if entry.handle.connection().is_some_and(&which) {
                entry.handle.command(command);
            }
        }
    }

    fn look(&self) {
        let now = Instant::now();
        self.now.set(now);
        for entry in self.entries.borrow_mut().slots.iter_mut().flatten() {
            if entry.due <= now {
                entry.due = now + entry.limits.every;
                entry.look(now);
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Registered {
    pub(crate) fn handle(&self) -> &Rc<ConnectionHandle> {
        &self.handle
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut entries = self.watchdog.entries.borrow_mut();
        let entry = entries.slots.get_mut(self.slot).and_then(Option::take);
        entries.free.push(self.slot);
        drop(entries);
        drop(entry);
    }
}

impl Entry {
    fn look(&mut self, now: Instant) {
        if self.handle.is_deaf() {
            self.handle.command(ConnectionCommand::Look);
        }
        let progress = self.handle.progress();
        let watched = classify(
            progress.stage(),
            self.handle.active(),
            progress.read_waits() && !self.handle.listens(),
            progress.write_waits(),
        );
        let progress = match watched {
            Watched::Busy | Watched::Linger => 0,
            Watched::Idle | Watched::Head => progress.heads().wrapping_add(self.handle.calls()),
            // An answer that goes on while the client uploads is progress too.
            Watched::Body => progress.bytes_read().wrapping_add(progress.bytes_written()),
            Watched::Write => progress.bytes_written(),
        };
        if watched != self.watched || progress != self.progress {
            (self.watched, self.progress, self.since) = (watched, progress, now);
            return;
        }
        let limits = if self.handle.is_draining() { self.limits.draining() } else { self.limits };
        let elapsed = now.duration_since(self.since);
        let Some(expiry) = expired(watched, elapsed, limits) else {
            if watched == Watched::Idle && elapsed >= REST_AFTER && self.handle.is_serving() {
                self.handle.command(ConnectionCommand::Rest);
            }
            return;
        };
        if expiry == Expiry::Idle && !self.handle.is_draining() {
            self.handle.command(ConnectionCommand::Retire);
            self.since = now;
        } else {
            self.handle.command(ConnectionCommand::Expire(expiry));
        }
    }
}

impl WatchLimits {
    fn new(limits: &Limits) -> Self {
        let (idle, head, body) = (limits.idle_timeout, limits.header_timeout, limits.body_idle_timeout);
        let every = (idle.min(head).min(body) / 20).clamp(TICK, SLOWEST);
        Self { idle, head, body, every }
    }

    /// A connection that was told to end gets no more time than a head may take.
    fn draining(self) -> Self {
        Self { idle: self.idle.min(self.head), ..self }
    }
}

async fn tick(watchdog: Weak<Watchdog>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match watchdog.upgrade() {
            Some(watchdog) => watchdog.look(),
            None => return,
        }
    }
}

/// Which clock runs for a connection in this state.
#[must_use]
pub fn classify(stage: Stage, active: Option<u32>, read_waits: bool, write_waits: bool) -> Watched {
    match (stage, active) {
        // Not yet handed over: handshakes have a timeout of their own.
        (_, None) => Watched::Busy,
        (Stage::Linger, _) => Watched::Linger,
        _ if write_waits => Watched::Write,
        (Stage::Body, _) if read_waits => Watched::Body,
        (Stage::Start | Stage::Streams, Some(0)) => Watched::Idle,
        (Stage::Head | Stage::Stopped, Some(0)) => Watched::Head,
        _ => Watched::Busy,
    }
}

/// Whether a clock that has run for `elapsed` has run out.
#[must_use]
pub fn expired(watched: Watched, elapsed: Duration, limits: WatchLimits) -> Option<Expiry> {
    let (limit, expiry) = match watched {
        Watched::Busy => return None,
        Watched::Idle => (limits.idle, Expiry::Idle),
        Watched::Head => (limits.head, Expiry::Head),
        Watched::Body => (limits.body, Expiry::Body),
        Watched::Write => (limits.body, Expiry::Write),
        Watched::Linger => (LINGER_TIME, Expiry::Linger),
    };
    (elapsed >= limit).then_some(expiry)
}

const TICK: Duration = Duration::from_millis(100);
const SLOWEST: Duration = Duration::from_secs(1);
/// An idle HTTP/1 connection that keeps its buffers and its request's future costs tens of kilobytes; making them anew
/// costs a microsecond.
const REST_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            max_connections: 1,
            max_connections_per_ip: None,
            max_header_bytes: 1,
            max_headers: 1,
            max_target_bytes: 1,
            max_body_bytes: None,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(30),
            half_close_timeout: Duration::from_millis(500),
            handshake_timeout: Duration::from_secs(10),
            max_concurrent_streams: 1,
        }
    }

    #[test]
    fn each_state_has_its_clock() {
        let cases = [
            (Stage::Start, None, true, true, Watched::Busy),
            (Stage::Start, Some(0), true, false, Watched::Idle),
            (Stage::Start, Some(1), true, false, Watched::Busy),
            (Stage::Start, Some(1), true, true, Watched::Write),
            (Stage::Start, Some(0), false, true, Watched::Write),
            (Stage::Head, Some(0), true, false, Watched::Head),
            (Stage::Head, Some(1), true, false, Watched::Busy),
            (Stage::Body, Some(1), true, false, Watched::Body),
            (Stage::Body, Some(1), false, false, Watched::Busy),
            (Stage::Stopped, Some(0), false, false, Watched::Head),
            (Stage::Stopped, Some(1), false, false, Watched::Busy),
            (Stage::Streams, Some(0), true, false, Watched::Idle),
            (Stage::Streams, Some(3), true, false, Watched::Busy),
            (Stage::Linger, Some(0), true, true, Watched::Linger),
        ];
        for (stage, active, read, write, watched) in cases {
            assert_eq!(classify(stage, active, read, write), watched, "{stage:?} {active:?} {read} {write}");
        }
    }

    #[test]
    fn clocks_run_out_at_their_limit_and_not_before() {
        let limits = WatchLimits::new(&limits());
        let cases = [
            (Watched::Idle, 75, Expiry::Idle),
            (Watched::Head, 10, Expiry::Head),
            (Watched::Body, 30, Expiry::Body),
            (Watched::Write, 30, Expiry::Write),
            (Watched::Linger, 2, Expiry::Linger),
        ];
        for (watched, seconds, expiry) in cases {
            let limit = Duration::from_secs(seconds);
            assert_eq!(expired(watched, limit, limits), Some(expiry));
            assert_eq!(expired(watched, limit - Duration::from_nanos(1), limits), None, "{watched:?}");
        }
        assert_eq!(expired(Watched::Busy, Duration::MAX, limits), None);
        assert_eq!(expired(Watched::Idle, Duration::from_secs(10), limits.draining()), Some(Expiry::Idle));
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn progress_restarts_a_clock_and_the_end_comes_late_by_a_tenth_at_most() {
        let watchdog = Watchdog::start();
        let progress = IoProgress::new();
        let registered = watchdog.register(Arc::clone(&progress), 0, &limits());
        registered.handle().hand_over(crate::listener::connection_handle::tests::connection());
        let start = Instant::now();
        let pause = Duration::from_secs(5);
        let progress = async {
            progress.enter(Stage::Body);
            for _ in 0..20 {
                progress.parser_read(true);
                progress.read(1);
                tokio::time::sleep(pause).await;
            }
            std::future::pending::<()>().await;
        };
        let held = registered.handle().hold(std::pin::pin!(progress)).await;
        assert_eq!(held, Err(crate::listener::command::Cut::Expired(Expiry::Body)));
        let silent = start.elapsed() - pause * 19;
        assert!(silent >= Duration::from_secs(30) && silent < Duration::from_secs(33), "{silent:?}");
    }

    #[tokio::test(flavor = "local", start_paused = true)]
    async fn an_exchange_is_not_idle_and_groups_are_apart() {
        let watchdog = Watchdog::start();
        let (one, other) = (watchdog.group_number(), watchdog.group_number());
        let registered = watchdog.register(IoProgress::new(), one, &limits());
        let connection = crate::listener::connection_handle::tests::connection();
        registered.handle().hand_over(Rc::clone(&connection));
        let exchange = connection.begin();
        let hour = tokio::time::sleep(Duration::from_secs(3600));
        assert_eq!(registered.handle().hold(std::pin::pin!(hour)).await, Ok(()), "an hour of streaming");
        drop(exchange);
        assert_eq!(connection.requests.get(), 1);
        assert_eq!(watchdog.command(other, ConnectionCommand::Abort), 0);
        let start = Instant::now();
        let drained = registered.handle().drained();
        assert_eq!(registered.handle().hold(std::pin::pin!(drained)).await, Ok(()));
        assert!(registered.handle().is_retired(), "asked to end");
        assert!(start.elapsed() >= Duration::from_secs(75));
        let ended = registered.handle().hold(std::pin::pin!(std::future::pending::<()>())).await;
        assert!(start.elapsed() < Duration::from_secs(90), "told to end");
        assert_eq!(ended, Err(crate::listener::command::Cut::Expired(Expiry::Idle)));
        drop(registered);
        assert_eq!(watchdog.command(one, ConnectionCommand::Abort), 0, "gone with its registration");
    }
}
