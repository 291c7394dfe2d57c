//! The way out of the access log and the audit log: workers collect lines in buffers of their own and hand them to one
//! writer thread through a bounded channel. A worker never waits for a disk or a pipe; lines that do not fit are
//! dropped and counted.

mod output;
mod syslog;

use std::cell::RefCell;
use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::clock::Clock;
use super::metrics::Metrics;
use super::outbox::Outbox;
use super::record::{AccessRecord, RecordPlan, write_combined, write_common, write_json_as, write_text};
use super::series::Counter;
use super::tracing_setup::color_wanted;
use crate::config::Untouchable;
use crate::config::model::{AuditLog, LogOutput, RecordFormat};
use output::Output;

/// The writer thread's owner.
#[derive(Debug)]
pub struct Writer {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    format: Format,
    output: LogOutput,
    /// Disconnects when the thread ends. In a mutex only so that the owner may be shared between threads. `None` where
    /// the thread is that of another log.
    ended: Option<Mutex<Receiver<()>>>,
}

/// Which log it is.
#[derive(Clone, Copy, Debug)]
struct Log {
    /// The word of its thread and task.
    task: &'static str,
    /// Its word in messages of syslog.
    id: &'static str,
    /// Its name for people.
    name: &'static str,
    /// What counts lines that are lost.
    dropped: fn(&Metrics) -> Counter,
}

const ACCESS: Log =
    Log { task: "access-log", id: "access", name: "access log", dropped: |metrics| metrics.access_log_dropped() };
const AUDIT: Log =
    Log { task: "audit-log", id: "audit", name: "audit log", dropped: |metrics| metrics.audit_log_dropped() };

#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    log: Log,
    /// What the file must not be once it is opened again, when that is to be done.
    reopen: Mutex<Option<Untouchable>>,
    closing: AtomicBool,
    /// Written buffers, for workers to fill again.
    spare: Mutex<Vec<Vec<u8>>>,
}

#[derive(Debug)]
enum Message {
    Batch {
        bytes: Vec<u8>,
        lines: u64,
        /// The log they are of.
        of: Arc<Shared>,
    },
    /// Look at the flags.
    Wake,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Text { color: bool },
    Common,
    Combined,
}

impl Format {
    fn of(format: RecordFormat, is_terminal: bool) -> Self {
        match format {
            RecordFormat::Json => Self::Json,
            RecordFormat::Auto if !is_terminal => Self::Json,
            RecordFormat::Text | RecordFormat::Auto => Self::Text { color: color_wanted(is_terminal) },
            RecordFormat::Common => Self::Common,
            RecordFormat::Combined => Self::Combined,
        }
    }
}

/// A line of JSON for a collector.
#[derive(Clone, Debug)]
pub struct LogLine(pub Box<[u8]>);

impl Writer {
    /// Opens the output of an access log and starts the thread. Where one of the `others` goes there as well, its
    /// thread writes both, so that lines stay whole.
    ///
    /// # Errors
    /// When the output cannot be opened.
    pub fn start(
        target: &LogOutput,
        format: RecordFormat,
        metrics: Arc<Metrics>,
        others: &[&Self],
    ) -> io::Result<Self> {
        Self::of(target, format, Shared::new(metrics, ACCESS), others)
    }

    /// The same for the audit log, which is JSON everywhere; `None` when it is off.
    ///
    /// # Errors
    /// When the output cannot be opened.
    pub fn start_audit(config: &AuditLog, metrics: Arc<Metrics>, others: &[&Self]) -> io::Result<Option<Self>> {
        let Some(target) = &config.output else {
            return Ok(None);
        };
        Self::of(target, RecordFormat::Json, Shared::new(metrics, AUDIT), others).map(Some)
    }

    fn of(target: &LogOutput, format: RecordFormat, shared: Shared, others: &[&Self]) -> io::Result<Self> {
        let output = Output::open(target, shared.log.name)?;
        let format = Format::of(format, output.is_terminal());
        if let Some(other) = others.iter().find(|other| other.output == *target) {
            let (sender, shared) = (other.sender.clone(), Arc::new(shared));
            return Ok(Self { sender, shared, format, output: target.clone(), ended: None });
        }
        Self::begin(target.clone(), output, format, shared)
    }

    fn begin(target: LogOutput, mut output: Output, format: Format, shared: Shared) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUED_BATCHES);
        let (alive, ended) = sync_channel(0);
        let shared = Arc::new(shared);
        let writing = Arc::clone(&shared);
        let task = shared.log.task;
        thread::Builder::new().name(task.to_owned()).spawn(move || {
            drop(writing.metrics.task_ends(task));
            // The batch it was writing is lost; the next one is not.
            while catch_unwind(AssertUnwindSafe(|| {
                write_batches(&mut output, &receiver, &writing);
            }))
            .is_err()
            {
                writing.metrics.task_ends(task).inc();
                tracing::error!(task, "a task of the gateway broke, it is started again");
            }
            drop(alive);
        })?;
        Ok(Self { sender, shared, format, output: target, ended: Some(Mutex::new(ended)) })
    }

    /// Which log it is, for people.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.log.name
    }

    /// A place for one worker to write to.
    #[must_use]
    pub fn sink(&self) -> Sink {
        Sink::new(Outlet::Thread(self.sender.clone(), Arc::clone(&self.shared)), self.format)
    }

    /// Opens the file again under its name, after it was moved away (SIGUSR1). Something else may stand there by now:
    /// what is not to be touched is left alone.
    pub fn reopen(&self, not: Untouchable) {
        *self.shared.reopen.lock().unwrap_or_else(PoisonError::into_inner) = Some(not);
        self.wake();
    }

    /// Writes the lines handed over so far and ends the thread; sinks must have been flushed or dropped before. Blocks
    /// for at most `bound`; returns false when that was too short.
    #[must_use]
    pub fn close(self, bound: Duration) -> bool {
        let Self { ended: Some(ended), .. } = &self else { return true };
        self.shared.closing.store(true, Ordering::Release);
        self.wake();
        let ended = ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(bound) == Err(RecvTimeoutError::Disconnected)
    }

    fn wake(&self) {
        // A full channel keeps the thread awake anyway: it looks at the flags after every batch.
        drop(self.sender.try_send(Message::Wake));
    }
}

impl Shared {
    fn new(metrics: Arc<Metrics>, log: Log) -> Self {
        Self { metrics, log, reopen: Mutex::default(), closing: AtomicBool::new(false), spare: Mutex::default() }
    }

    fn lost(&self, lines: u64) {
        (self.log.dropped)(&self.metrics).inc_by(lines);
    }

    fn spare(&self) -> Vec<u8> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER))
    }

    fn recycle(&self, mut bytes: Vec<u8>) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE_BUFFERS && bytes.capacity() <= 2 * BUFFER {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

/// One worker's side of the log. Dropping it flushes.
#[derive(Debug)]
pub struct Sink {
    pending: RefCell<Pending>,
    outlet: Outlet,
    format: Format,
}

/// Where lines are handed over to.
#[derive(Debug)]
enum Outlet {
    Thread(SyncSender<Message>, Arc<Shared>),
    Collector(Outbox<LogLine>, Counter),
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    clock: Clock,
}

impl Sink {
    fn new(outlet: Outlet, format: Format) -> Self {
        Self { pending: RefCell::default(), outlet, format }
    }

    /// One whose lines go to a collector; `lost` counts those that are lost before.
    #[must_use]
    pub fn to_collector(outbox: Outbox<LogLine>, lost: Counter) -> Self {
        Self::new(Outlet::Collector(outbox, lost), Format::Json)
    }

    /// Writes one record as `plan` has it.
    pub fn record(&self, plan: &RecordPlan, record: &AccessRecord<'_>) {
        let redacted = plan.redacted(record);
        let record = redacted.as_ref().unwrap_or(record);
        self.append(|clock, out| match self.format {
            Format::Json => write_json_as(plan, record, clock, out),
            Format::Text { color } => write_text(record, clock, color, out),
            Format::Common => write_common(record, clock, out),
            Format::Combined => write_combined(plan, record, clock, out),
        });
    }

    /// Hands over the collected lines. Called on the worker's tick.
    pub fn flush(&self) {
        if let Ok(mut pending) = self.pending.try_borrow_mut() {
            self.hand_over(&mut pending);
        }
    }

    /// Appends one line, newline included, made by `write`. The line is lost, and counted, if `write` itself logs.
    pub(super) fn append(&self, write: impl FnOnce(&mut Clock, &mut Vec<u8>)) {
        let Ok(mut pending) = self.pending.try_borrow_mut() else {
            return self.outlet.lost(1);
        };
        let Pending { bytes, lines, clock } = &mut *pending;
        if bytes.capacity() == 0 {
            *bytes = self.outlet.spare();
        }
        write(clock, bytes);
        *lines += 1;
        if bytes.len() >= BATCH {
            self.hand_over(&mut pending);
        }
    }

    fn hand_over(&self, pending: &mut Pending) {
        if pending.lines == 0 {
            return;
        }
        let (bytes, lines) = (mem::take(&mut pending.bytes), mem::take(&mut pending.lines));
        match &self.outlet {
            Outlet::Thread(sender, shared) => {
                let of = Arc::clone(shared);
                if sender.try_send(Message::Batch { bytes, lines, of }).is_err() {
                    shared.lost(lines);
                }
            }
            Outlet::Collector(outbox, _) => {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                outbox.put(lines.map(|line| LogLine(line.into())).collect());
            }
        }
    }
}

impl Outlet {
    fn lost(&self, lines: u64) {
        match self {
            Self::Thread(_, shared) => shared.lost(lines),
            Self::Collector(_, lost) => lost.inc_by(lines),
        }
    }

    fn spare(&self) -> Vec<u8> {
        match self {
            Self::Thread(_, shared) => shared.spare(),
            Self::Collector(..) => Vec::new(),
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The thread: writes batches until it is told to close or every sink is gone.
fn write_batches(output: &mut Output, receiver: &Receiver<Message>, shared: &Shared) {
    while let Ok(message) = next(receiver, shared) {
        let wanted = shared.reopen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(not) = wanted {
            output.reopen(&not);
        }
        if let Message::Batch { bytes, lines, of } = message {
            let lost = output.write(&bytes, lines, of.log.id);
            if lost > 0 {
                of.lost(lost);
            }
            of.recycle(bytes);
        }
    }
}

/// Waits for a message, or once the log is closing takes only what is there.
fn next(receiver: &Receiver<Message>, shared: &Shared) -> Result<Message, TryRecvError> {
    if shared.closing.load(Ordering::Acquire) {
        return receiver.try_recv();
    }
    Ok(receiver.recv()?)
}

/// A worker hands its lines over at this size.
const BATCH: usize = 64 * 1024;
/// Room for a batch and the line that completes it.
const BUFFER: usize = BATCH + 4 * 1024;
/// Batches that wait for the thread, about 4 MiB.
const QUEUED_BATCHES: usize = 256;
/// Written buffers kept for use.
const SPARE_BUFFERS: usize = 32;

#[cfg(test)]
mod tests;
