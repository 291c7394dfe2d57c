//! What goes to a collector, over OTLP: a thread of its own takes batches from workers, says them in the words of the
//! protocol and delivers them. Whatever the collector does, no worker waits for it. What cannot be delivered is dropped
//! and counted.

mod delivery;
mod messages;
mod retry_info;
mod work;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::Builder;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::model::Otlp;
use crate::observe::metrics::Metrics;
use crate::observe::outbox::Inbox;
use crate::observe::series::Counter;
use work::Work;

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
    /// What arrived, where that is counted.
    pub exported: Option<fn(&Metrics) -> Counter>,
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
    /// Starts the thread, which takes what is `waiting` and sends it to `target`.
    ///
    /// # Errors
    /// When there can be no thread; then `waiting` stays where it is.
    pub fn start<T: Signal + 'static>(
        waiting: &mut Option<Inbox<T>>,
        target: Target,
        counters: Counters,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        Self::start_in(thread::Builder::new().name(counters.task.to_owned()), waiting, target, counters, metrics)
    }

    fn start_in<T: Signal + 'static>(
        thread: thread::Builder,
        waiting: &mut Option<Inbox<T>>,
        target: Target,
        counters: Counters,
        metrics: Arc<Metrics>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (target, following) = watch::channel(Some(target));
        let (alive, ended) = sync_channel(0);
        let (hand_over, handed) = sync_channel(1);
        let closing = CancellationToken::new();
        let cancelled = closing.clone();
        thread.spawn(move || {
            let Ok(inbox) = handed.recv() else { return };
            let mut work = Work::new(inbox, following, cancelled, counters, Arc::clone(&metrics));
            drop(metrics.task_ends(counters.task));
            // The batch it had is lost and counted; the next one is not.
            while catch_unwind(AssertUnwindSafe(|| runtime.block_on(work.run()))).is_err() {
                metrics.task_ends(counters.task).inc();
                tracing::error!(task = counters.task, "a task of the gateway broke, it is started again");
            }
            // A look-up of a name may still wait for its answer.
            runtime.shutdown_background();
            drop(alive);
        })?;
        // Not before: a thread that cannot be started would take it along.
        if let Some(inbox) = waiting.take() {
            drop(hand_over.send(inbox));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::outbox::outbox;
    use crate::observe::span::Span;

    #[test]
    fn a_thread_that_cannot_be_started_leaves_what_waits_for_the_next() {
        let metrics = Arc::new(Metrics::new(&[1.0]).unwrap());
        let (outbox, inbox) = outbox::<Span>(10, Counter::default());
        let mut waiting = Some(inbox);
        let counters = Counters {
            task: "spans",
            exported: Some(|metrics| metrics.spans_exported()),
            dropped: |metrics, why| metrics.spans_dropped(why),
        };
        let otlp = delivery::tests::collector_at(1, Duration::from_secs(1));
        let target = Target { otlp, resource: Resource::new("attache", "1".to_owned(), None, &[]) };
        // No address space has room for such a stack.
        let endless = thread::Builder::new().stack_size(1 << 50);
        let started = Exporter::start_in(endless, &mut waiting, target.clone(), counters, Arc::clone(&metrics));
        assert!(started.is_err() && waiting.is_some(), "{started:?}");
        let exporter = Exporter::start(&mut waiting, target, counters, metrics).unwrap();
        assert!(waiting.is_none());
        drop(outbox);
        assert!(exporter.close(Duration::from_secs(20)), "it ends once nobody could send any more");
    }
}
