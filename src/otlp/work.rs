//! What the exporting thread does: it takes batches, says them in messages of bounded size, and delivers one after the
//! other until each is taken or given up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

use super::delivery::{Client, Failure};
use super::messages::{Resource, Signal};
use super::{Counters, Target};
use crate::observe::metrics::Metrics;
use crate::observe::outbox::{Inbox, Room};
use crate::observe::series::Counter;

/// What the thread works with.
pub(super) struct Work<T> {
    inbox: Inbox<T>,
    target: watch::Receiver<Option<Target>>,
    /// Made from the target, and made anew when that changes.
    client: Option<Arc<(Client, Resource)>>,
    closing: CancellationToken,
    counters: Counters,
    metrics: Arc<Metrics>,
    /// Counts what is lost because the thread broke.
    broken: Counter,
    is_failing: bool,
    rng: fastrand::Rng,
}

impl<T: Signal> Work<T> {
    pub(super) fn new(
        inbox: Inbox<T>,
        target: watch::Receiver<Option<Target>>,
        closing: CancellationToken,
        counters: Counters,
        metrics: Arc<Metrics>,
    ) -> Self {
        let broken = (counters.dropped)(&metrics, INTERNAL);
        let rng = fastrand::Rng::new();
        Self { inbox, target, client: None, closing, counters, metrics, broken, is_failing: false, rng }
    }

    /// Sends batches until nobody is left who could make any.
    pub(super) async fn run(&mut self) {
        while let Some((mut batch, mut room)) = self.inbox.take(&self.broken).await {
            let is_over = self.gather(&mut batch, &mut room).await;
            self.send(&batch, &mut room).await;
            if is_over {
                return;
            }
        }
    }

    /// Waits a little for more, so that a quiet gateway does not send each alone. Returns whether there will be none.
    async fn gather(&mut self, batch: &mut Vec<T>, room: &mut Room) -> bool {
        let until = Instant::now() + LINGER;
        while batch.len() < BATCH {
            let more = tokio::select! {
                more = timeout_at(until, self.inbox.take(&self.broken)) => more,
                () = self.closing.cancelled() => timeout_at(Instant::now(), self.inbox.take(&self.broken)).await,
            };
            match more {
                Ok(Some((more, its_room))) => {
                    batch.extend(more);
                    room.join(its_room);
                }
                Ok(None) => return true,
                Err(_elapsed) => break,
            }
        }
        false
    }

    /// Takes over a changed target.
    fn follow(&mut self) {
        if self.client.is_none() || self.target.has_changed().unwrap_or(false) {
            self.renew();
        }
    }

    /// Makes a client of the target. False where there is none: then all goes where it went.
    fn renew(&mut self) -> bool {
        let Some(target) = self.target.borrow_and_update().clone() else { return false };
        match Client::build(&target.otlp, T::PATH) {
            Ok(client) => self.client = Some(Arc::new((client, target.resource))),
            // The configuration was checked, but files change.
            Err(error) => {
                tracing::warn!(task = self.counters.task, %error, "the collector cannot be asked");
                self.client = None;
            }
        }
        true
    }

    /// Sends all of `batch`, in as many messages as that takes, and notes in `room` what became of it.
    async fn send(&mut self, batch: &[T], room: &mut Room) {
        self.follow();
        let mut parts = vec![batch];
        loop {
            let Some(known) = self.client.clone() else {
                return self.lost(parts.iter().map(|part| part.len()).sum(), UNREACHABLE, room);
            };
            let (client, resource) = &*known;
            let Some((part, message)) = next_message(&mut parts, resource) else { return };
            match self.deliver(client, &message).await {
                Some(Ok(answer)) => self.arrived(part.len(), T::refused(&answer), room),
                Some(Err(failure)) => {
                    self.tell_failing(&failure);
                    self.lost(part.len(), if failure.is_passing { UNREACHABLE } else { REJECTED }, room);
                }
                // Another collector has another chance, and is told by whom it is sent now.
                None => parts.push(part),
            }
        }
    }

    /// Delivers a message, trying again as long as that may help. `None` once it is to go to another collector.
    async fn deliver(&mut self, client: &Client, message: &Bytes) -> Option<Result<Bytes, Failure>> {
        let mut pauses = PAUSES.iter();
        loop {
            let failure = match client.deliver(message).await {
                Ok(answer) => return Some(Ok(answer)),
                Err(failure) => failure,
            };
            let pause = pauses.next().filter(|_| failure.is_passing && !self.closing.is_cancelled());
            let Some(pause) = pause else { return Some(Err(failure)) };
            self.tell_failing(&failure);
            let asked = failure.wait.filter(|wait| !wait.is_zero());
            // Not at the same moment as other gateways.
            let pause = asked.unwrap_or_else(|| pause.mul_f64(0.5 + self.rng.f64() / 2.0));
            if self.is_moved_within(pause.min(LONGEST_PAUSE)).await {
                return None;
            }
        }
    }

    /// Waits before another try; not to the end when the gateway ends, nor when there is another collector.
    async fn is_moved_within(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = sleep(pause) => false,
            () = self.closing.cancelled() => false,
            Ok(()) = self.target.changed() => self.renew(),
        }
    }

    fn arrived(&mut self, count: usize, refused: u64, room: &mut Room) {
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(task = self.counters.task, "the collector takes what it is sent again");
        }
        let refused = usize::try_from(refused).unwrap_or(count).min(count);
        let taken = count - refused;
        if let Some(exported) = self.counters.exported {
            exported(&self.metrics).inc_by(taken as u64);
        }
        room.settle(taken);
        if refused > 0 {
            tracing::debug!(task = self.counters.task, refused, "the collector refused a part");
            self.lost(refused, REJECTED, room);
        }
    }

    fn lost(&self, count: usize, why: &str, room: &mut Room) {
        (self.counters.dropped)(&self.metrics, why).inc_by(count as u64);
        room.settle(count);
    }

    /// Says so once, until it works again.
    fn tell_failing(&mut self, failure: &Failure) {
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!(task = self.counters.task, error = %failure, "the collector does not take what it is sent");
        }
    }
}

/// The next of `parts` that fits into one message, and that message; `None` when there are no more. What does not fit
/// is halved.
fn next_message<'b, T: Signal>(parts: &mut Vec<&'b [T]>, resource: &Resource) -> Option<(&'b [T], Bytes)> {
    loop {
        let part = parts.pop().filter(|part| !part.is_empty())?;
        let message = T::message(part, resource);
        match part.split_at_checked(part.len() / 2) {
            Some((first, second)) if message.len() > MAX_MESSAGE && !first.is_empty() => {
                parts.extend([second, first]);
            }
            _ => return Some((part, message)),
        }
    }
}

/// Things sent in one message, as a rule.
const BATCH: usize = 512;
/// Bytes of a message, unless it has but one thing. Servers of gRPC take 4 MiB by default.
const MAX_MESSAGE: usize = 2 << 20;
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
const INTERNAL: &str = "internal";

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tokio::runtime::Builder;

    use super::*;
    use crate::observe::outbox::{Tray, outbox};
    use crate::otlp::delivery::Paths;
    use crate::otlp::delivery::tests::collector_at;

    const COUNTERS: Counters = Counters {
        task: "things",
        exported: Some(|metrics| metrics.spans_exported()),
        dropped: |metrics, why| metrics.spans_dropped(why),
    };
    const PATH: Paths = Paths { grpc: "/a.B/Export", http: "/v1/things" };

    fn resource() -> Resource {
        Resource::new("attache", "1".to_owned(), None, &[])
    }

    /// A thing whose message breaks the thread.
    #[derive(Debug)]
    struct Bad;

    impl Signal for Bad {
        const PATH: Paths = PATH;

        fn message(_batch: &[Self], _resource: &Resource) -> Bytes {
            panic!("a defect")
        }

        fn refused(_answer: &Bytes) -> u64 {
            0
        }
    }

    /// A thing of so many bytes.
    struct Heavy(usize);

    impl Signal for Heavy {
        const PATH: Paths = PATH;

        fn message(batch: &[Self], _resource: &Resource) -> Bytes {
            vec![0; batch.iter().map(|thing| thing.0).sum()].into()
        }

        fn refused(_answer: &Bytes) -> u64 {
            0
        }
    }

    #[test]
    fn a_batch_that_breaks_the_thread_makes_room_and_is_counted() {
        let (lost, metrics) = (Counter::default(), Arc::new(Metrics::new(&[1.0]).unwrap()));
        let (outbox, inbox) = outbox(70, lost.clone());
        let tray = Tray::new(outbox);
        let target = Target { otlp: collector_at(1, Duration::from_secs(1)), resource: resource() };
        let (_target, following) = watch::channel(Some(target));
        let mut work = Work::new(inbox, following, CancellationToken::new(), COUNTERS, Arc::clone(&metrics));
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        for round in 1..=3 {
            // Two batches, so that both places count.
            tray.add((0..64).map(|_| Bad));
            tray.add((0..6).map(|_| Bad));
            tray.flush();
            let ran = catch_unwind(AssertUnwindSafe(|| runtime.block_on(work.run())));
            assert!(ran.is_err());
            assert_eq!((lost.get(), metrics.spans_dropped("internal").get()), (0, 70 * round), "round {round}");
        }
        assert_eq!(metrics.spans_exported().get(), 0);
    }

    #[test]
    fn messages_are_bounded_by_halving_and_keep_their_order() {
        let (quarter, whole) = (MAX_MESSAGE / 4, MAX_MESSAGE + 1);
        for (sizes, expected) in [
            (vec![1; 512], vec![512]),
            (vec![quarter; 4], vec![4]),
            (vec![quarter; 5], vec![2, 3]),
            (vec![quarter; 12], vec![3, 3, 3, 3]),
            // It cannot be less than one.
            (vec![whole], vec![1]),
            (vec![1, whole, 1, 1], vec![1, 1, 2]),
            (vec![], vec![]),
        ] {
            let batch: Vec<_> = sizes.iter().map(|size| Heavy(*size)).collect();
            let mut parts = vec![&batch[..]];
            let (mut found, mut seen) = (Vec::new(), Vec::new());
            while let Some((part, message)) = next_message(&mut parts, &resource()) {
                assert!(message.len() <= MAX_MESSAGE || part.len() == 1);
                found.push(part.len());
                seen.extend(part.iter().map(|thing| thing.0));
            }
            assert_eq!((found, seen), (expected, sizes));
        }
    }
}
