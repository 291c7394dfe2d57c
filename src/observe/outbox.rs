//! The bounded way from workers to a thread that exports what they made. A worker collects on its own and hands over
//! now and then; it never waits. What does not fit is dropped and counted.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::series::Counter;

/// The end that things are put in. Clones are the same one.
#[derive(Debug)]
pub struct Outbox<T> {
    sender: Sender<Vec<T>>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
    lost: Counter,
}

/// The end that things are taken from.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: Receiver<Vec<T>>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends. At most `limit` wait or are taken and not [`done`](Inbox::done) with; `lost` counts what comes beyond.
#[must_use]
pub fn outbox<T>(limit: usize, lost: Counter) -> (Outbox<T>, Inbox<T>) {
    let (sender, receiver) = channel(QUEUED_BATCHES);
    let waiting = Arc::new(AtomicUsize::new(0));
    (Outbox { sender, waiting: Arc::clone(&waiting), limit, lost }, Inbox { receiver, waiting })
}

impl<T> Clone for Outbox<T> {
    fn clone(&self) -> Self {
        let (sender, waiting) = (self.sender.clone(), Arc::clone(&self.waiting));
        Self { sender, waiting, limit: self.limit, lost: self.lost.clone() }
    }
}

impl<T> Outbox<T> {
    fn put(&self, batch: Vec<T>) {
        let count = batch.len();
        let before = self.waiting.fetch_add(count, Ordering::AcqRel);
        if before.saturating_add(count) > self.limit || self.sender.try_send(batch).is_err() {
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            self.lost.inc_by(count as u64);
        }
    }
}

impl<T> Inbox<T> {
    /// What comes next, in the order of each worker; `None` once every outbox is gone. Cancel safe.
    pub async fn take(&mut self) -> Option<Vec<T>> {
        self.receiver.recv().await
    }

    /// So many that were taken make room for others.
    pub fn done(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::AcqRel);
    }
}

/// One worker's side. Dropping it hands over the rest.
#[derive(Debug)]
pub struct Tray<T> {
    pending: RefCell<Vec<T>>,
    outbox: Outbox<T>,
}

impl<T> Tray<T> {
    /// One that goes to `outbox`.
    #[must_use]
    pub fn new(outbox: Outbox<T>) -> Self {
        Self { pending: RefCell::default(), outbox }
    }

    /// Adds to what is handed over next.
    pub fn add(&self, things: impl IntoIterator<Item = T>) {
        let mut pending = self.pending.borrow_mut();
        pending.extend(things);
        if pending.len() >= BATCH {
            self.outbox.put(mem::take(&mut pending));
        }
    }

    /// Hands over what is there. Called on the worker's tick.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if !pending.is_empty() {
            self.outbox.put(mem::take(&mut pending));
        }
    }
}

impl<T> Drop for Tray<T> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// A worker hands over when it has so many.
const BATCH: usize = 64;
/// Batches that may wait, however small they are.
const QUEUED_BATCHES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_does_not_fit_is_counted_until_there_is_room() {
        let lost = Counter::default();
        let (outbox, mut inbox) = outbox(100, lost.clone());
        let tray = Tray::new(outbox);
        tray.add(0..64);
        tray.add(64..100);
        tray.flush();
        assert_eq!(lost.get(), 0);
        tray.add(100..103);
        tray.flush();
        assert_eq!(lost.get(), 3, "a hundred wait");
        let first = inbox.take().await.unwrap();
        assert_eq!(first, (0..64).collect::<Vec<_>>());
        tray.add([103]);
        tray.flush();
        assert_eq!(lost.get(), 4, "taken is not done");
        inbox.done(first.len());
        tray.add([104]);
        drop(tray);
        assert_eq!(inbox.take().await.unwrap().len(), 36);
        assert_eq!(inbox.take().await, Some(vec![104]), "dropped, it hands over the rest");
        assert_eq!(inbox.take().await, None, "nobody is left");
        assert_eq!(lost.get(), 4);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_is_gone() {
        let lost = Counter::default();
        let (outbox, inbox) = outbox(100, lost.clone());
        drop(inbox);
        Tray::new(outbox).add(0..3);
        assert_eq!(lost.get(), 3);
    }
}
