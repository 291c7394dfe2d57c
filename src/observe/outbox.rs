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

/// The room that taken things hold. Dropped, it is free for others, and what was not settled counts as lost: whoever
/// works on them may break.
#[derive(Debug)]
pub struct Room {
    waiting: Arc<AtomicUsize>,
    held: usize,
    unsettled: usize,
    lost: Counter,
}

/// The end that things are taken from.
#[derive(Debug)]
pub struct Inbox<T> {
    receiver: Receiver<Vec<T>>,
    waiting: Arc<AtomicUsize>,
}

/// Both ends. At most `limit` wait or are taken and hold their [`Room`]; `lost` counts what comes beyond.
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
    /// Hands over all of `batch`, or counts it as lost.
    pub(super) fn put(&self, batch: Vec<T>) {
        let count = batch.len();
        let before = self.waiting.fetch_add(count, Ordering::AcqRel);
        if before.saturating_add(count) > self.limit || self.sender.try_send(batch).is_err() {
            self.waiting.fetch_sub(count, Ordering::AcqRel);
            self.lost.inc_by(count as u64);
        }
    }
}

impl<T> Inbox<T> {
    /// What comes next, in the order of each worker; `None` once every outbox is gone. `lost` counts what is dropped
    /// before it is settled. Cancel safe.
    pub async fn take(&mut self, lost: &Counter) -> Option<(Vec<T>, Room)> {
        let batch = self.receiver.recv().await?;
        let (held, unsettled) = (batch.len(), batch.len());
        Some((batch, Room { waiting: Arc::clone(&self.waiting), held, unsettled, lost: lost.clone() }))
    }
}

impl Room {
    /// Holds that of `other` as well, which is of the same inbox.
    pub fn join(&mut self, mut other: Self) {
        self.held += mem::take(&mut other.held);
        self.unsettled += mem::take(&mut other.unsettled);
    }

    /// It is known and counted what became of so many.
    pub fn settle(&mut self, count: usize) {
        self.unsettled = self.unsettled.saturating_sub(count);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.waiting.fetch_sub(self.held, Ordering::AcqRel);
        self.lost.inc_by(self.unsettled as u64);
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
        let broken = Counter::default();
        let (first, mut room) = inbox.take(&broken).await.unwrap();
        assert_eq!(first, (0..64).collect::<Vec<_>>());
        tray.add([103]);
        tray.flush();
        assert_eq!(lost.get(), 4, "taken is not done");
        room.settle(first.len());
        drop(room);
        tray.add([104]);
        drop(tray);
        let (second, mut room) = inbox.take(&broken).await.unwrap();
        let (third, its_room) = inbox.take(&broken).await.unwrap();
        assert_eq!((second.len(), third), (36, vec![104]), "dropped, it hands over the rest");
        assert!(inbox.take(&broken).await.is_none(), "nobody is left");
        room.join(its_room);
        assert_eq!(inbox.waiting.load(Ordering::Relaxed), 37);
        room.settle(30);
        drop(room);
        assert_eq!((inbox.waiting.load(Ordering::Relaxed), broken.get()), (0, 7), "what is not settled is lost");
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
