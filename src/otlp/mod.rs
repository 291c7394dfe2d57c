//! What goes to a collector, over OTLP: a thread of its own takes batches from workers, says them in the words of the
//! protocol and delivers them. Whatever the collector does, no worker waits for it. What cannot be delivered is dropped
//! and counted.

mod delivery;
mod messages;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::config::model::Otlp;
use crate::observe::metrics::Metrics;
use crate::observe::outbox::Inbox;
use crate::observe::series::Counter;
use delivery::{Client, Failure};

pub use messages::{Resource, Signal};

/// Where things go and as whose.
#[derive(Clone, Debug)]
pub struct Target {
    /// The collector.
    pub otlp: Otlp,
    /// Who says it.
    pub resource: Resource,
}

/// How what is exported is counted.
#[derive(Clone, Copy, Debug)]
pub struct Counters {
    /// The word of the thread in metrics and logs.
    pub task: &'static str,
    /// What arrived.
    pub exported: fn(&Metrics) -> Counter,
    /// What was dropped, by why.
    pub dropped: fn(&Metrics, &str) -> Counter,
}

/// The owner of the thread.
#[derive(Debug)]
pub struct Exporter {
    target: watch::Sender<Option<Target>>,
    closing: CancellationToken,
    /// Disconnects when the thread ends. In a mutex only so that the owner may be shared between threads.
    ended: Mutex<mpsc::Receiver<()>>,
}

impl Exporter {
    /// Starts the thread, which takes from `inbox` and sends to `target`.
    ///
    /// # Errors
    /// When there can be no thread.
    pub fn start<T: Signal + 'static>(
        inbox: Inbox<T>,
        target: Target,
        counters: Counters,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (target, following) = watch::channel(Some(target));
        let (alive, ended) = sync_channel(0);
        let closing = CancellationToken::new();
        let mut work = Work {
            inbox,
            target: following,
            client: None,
            closing: closing.clone(),
            counters,
            metrics,
            is_failing: false,
            rng: fastrand::Rng::new(),
        };
        thread::Builder::new().name(counters.task.to_owned()).spawn(move || {
            drop(work.metrics.task_ends(counters.task));
            // The batch it had is lost; the next one is not.
            while catch_unwind(AssertUnwindSafe(|| runtime.block_on(work.run()))).is_err() {
                work.metrics.task_ends(counters.task).inc();
                tracing::error!(task = counters.task, "a task of the gateway broke, it is started again");
            }
            // A look-up of a name may still wait for its answer.
            runtime.shutdown_background();
            drop(alive);
        })?;
        Ok(Self { target, closing, ended: Mutex::new(ended) })
    }

    /// Sends to another collector from now on. With `None` what still comes goes where it went.
    pub fn follow(&self, target: Option<Target>) {
        self.target.send_replace(target);
    }

    /// Delivers what was handed over so far, trying once, and ends the thread; outboxes must have been dropped before.
    /// Blocks for at most `bound`; false when that was too short.
    #[must_use]
    pub fn close(self, bound: Duration) -> bool {
        self.closing.cancel();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(bound) == Err(RecvTimeoutError::Disconnected)
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}

/// What the thread works with.
struct Work<T> {
    inbox: Inbox<T>,
    target: watch::Receiver<Option<Target>>,
    /// Made from the target, and made anew when that changes.
    client: Option<Arc<(Client, Resource)>>,
    closing: CancellationToken,
    counters: Counters,
    metrics: Arc<Metrics>,
    is_failing: bool,
    rng: fastrand::Rng,
}

impl<T: Signal> Work<T> {
    /// Sends batches until nobody is left who could make any.
    async fn run(&mut self) {
        while let Some(first) = self.inbox.take().await {
            let (batch, is_over) = self.gather(first).await;
            let count = batch.len();
            self.follow();
            self.send(batch).await;
            self.inbox.done(count);
            if is_over {
                return;
            }
        }
    }

    /// Waits a little for more, so that a quiet gateway does not send each alone.
    async fn gather(&mut self, mut batch: Vec<T>) -> (Vec<T>, bool) {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let more = tokio::select! {
                more = timeout_at(until, self.inbox.take()) => more,
                () = self.closing.cancelled() => timeout_at(Instant::now(), self.inbox.take()).await,
            };
            match more {
                Ok(Some(more)) => batch.extend(more),
                Ok(None) => return (batch, true),
                Err(_elapsed) => break,
            }
        }
        (batch, false)
    }

    /// Takes over a changed target.
    fn follow(&mut self) {
        if self.client.is_some() && !self.target.has_changed().unwrap_or(false) {
            return;
        }
        let Some(target) = self.target.borrow_and_update().clone() else { return };
        match Client::build(&target.otlp, T::PATH) {
            Ok(client) => self.client = Some(Arc::new((client, target.resource))),
            // The configuration was checked, but files change.
            Err(error) => {
                tracing::warn!(task = self.counters.task, %error, "the collector cannot be asked");
                self.client = None;
            }
        }
    }

    async fn send(&mut self, batch: Vec<T>) {
        let count = batch.len() as u64;
        let Some(known) = self.client.clone() else {
            return self.lost(count, UNREACHABLE);
        };
        let (client, resource) = &*known;
        let message = T::message(batch, resource);
        let mut pauses = PAUSES.iter();
        let failure = loop {
            match client.deliver(&message).await {
                Ok(answer) => {
                    let refused = T::refused(&answer).min(count);
                    return self.arrived(count - refused, refused);
                }
                Err(failure) => {
                    let pause = pauses.next().filter(|_| failure.is_passing && !self.closing.is_cancelled());
                    let Some(pause) = pause else { break failure };
                    self.tell_failing(&failure);
                    // Not at the same moment as other gateways.
                    let pause = failure.wait.unwrap_or_else(|| pause.mul_f64(0.5 + self.rng.f64() / 2.0));
                    tokio::select! {
                        () = sleep(pause.min(LONGEST_PAUSE)) => {}
                        () = self.closing.cancelled() => {}
                    }
                }
            }
        };
        self.tell_failing(&failure);
        self.lost(count, if failure.is_passing { UNREACHABLE } else { REJECTED });
    }

    fn arrived(&mut self, count: u64, refused: u64) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(task = self.counters.task, "the collector takes what it is sent again");
        }
        (self.counters.exported)(&self.metrics).inc_by(count);
        if refused > 0 {
            tracing::debug!(task = self.counters.task, refused, "the collector refused a part");
            self.lost(refused, REJECTED);
        }
    }

    fn lost(&self, count: u64, why: &str) {
        (self.counters.dropped)(&self.metrics, why).inc_by(count);
    }

    /// Says so once, until it works again.
    fn tell_failing(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(task = self.counters.task, error = %failure, "the collector does not take what it is sent");
        }
    }
}

/// Things sent in one message, as a rule.
const BATCH: usize = 512;
/// How long a batch waits to be filled.
const LINGER: Duration = Duration::from_millis(500);
/// Pauses between tries of one delivery.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// However long the collector asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Why things were dropped.
const UNREACHABLE: &str = "unreachable";
const REJECTED: &str = "rejected";
