//! The way out of the access log and the audit log: workers collect lines in buffers of their own and hand them to one
//! writer thread through a bounded channel. A worker never waits for a disk or a pipe; lines that do not fit are
//! dropped and counted.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::mem;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use tracing::{info, warn};

use super::clock::Clock;
use super::metrics::Metrics;
use super::patient_write::write_patiently;
use super::record::{AccessRecord, write_json, write_text};
use super::series::Counter;
use super::tracing_setup::{color_wanted, is_text};
use crate::config::Untouchable;
use crate::config::model::{AccessLog, AuditLog, LogOutput};

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
    /// Its name for people.
    name: &'static str,
    /// What counts lines that are lost.
    dropped: fn(&Metrics) -> Counter,
}

const ACCESS: Log = Log { task: "access-log", name: "access log", dropped: |metrics| metrics.access_log_dropped() };
const AUDIT: Log = Log { task: "audit-log", name: "audit log", dropped: |metrics| metrics.audit_log_dropped() };

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
}

impl Writer {
    /// Opens the output and starts the thread; `None` when the log is off.
    pub fn start(config: &AccessLog, metrics: Arc<Metrics>) -> io::Result<Option<Self>> {
        let Some(target) = &config.output else {
            return Ok(None);
        };
        let output = Output::open(target, ACCESS)?;
        let terminal = output.file.is_terminal();
        let text = is_text(config.format, terminal);
        let format = if text { Format::Text { color: color_wanted(terminal) } } else { Format::Json };
        Self::begin(target.clone(), output, format, Shared::new(metrics, ACCESS)).map(Some)
    }

    /// The same for the audit log, which is JSON everywhere. Where it goes where the access log goes, one thread writes
    /// both, so that lines stay whole.
    pub fn start_audit(config: &AuditLog, metrics: Arc<Metrics>, access: Option<&Self>) -> io::Result<Option<Self>> {
        let Some(target) = &config.output else {
            return Ok(None);
        };
        let shared = Shared::new(metrics, AUDIT);
        if let Some(access) = access.filter(|access| access.output == *target) {
            let (sender, shared) = (access.sender.clone(), Arc::new(shared));
            let (format, output) = (Format::Json, target.clone());
            return Ok(Some(Self { sender, shared, format, output, ended: None }));
        }
        let output = Output::open(target, AUDIT)?;
        Self::begin(target.clone(), output, Format::Json, shared).map(Some)
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
        Sink::new(self.sender.clone(), Arc::clone(&self.shared), self.format)
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
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    format: Format,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: u64,
    clock: Clock,
}

impl Sink {
    fn new(sender: SyncSender<Message>, shared: Arc<Shared>, format: Format) -> Self {
        Self { pending: RefCell::default(), sender, shared, format }
    }

    /// Writes one record in the configured format.
    pub fn record(&self, record: &AccessRecord<'_>) {
        self.append(|clock, out| match self.format {
            Format::Json => write_json(record, clock, out),
            Format::Text { color } => write_text(record, clock, color, out),
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
            self.shared.lost(1);
            return;
        };
        let Pending { bytes, lines, clock } = &mut *pending;
        if bytes.capacity() == 0 {
            *bytes = self.shared.spare();
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
        let of = Arc::clone(&self.shared);
        if self.sender.try_send(Message::Batch { bytes, lines, of }).is_err() {
            self.shared.lost(lines);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Where the thread writes to.
#[derive(Debug)]
struct Output {
    file: File,
    /// Set when the file has a name to be opened again by.
    path: Option<PathBuf>,
    failing: bool,
    log: Log,
}

impl Output {
    fn open(output: &LogOutput, log: Log) -> io::Result<Self> {
        // Standard streams are duplicated: std's own handles buffer and lock, and one writer of whole lines needs
        // neither.
        let (file, path) = match output {
            LogOutput::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), None),
            LogOutput::Stderr => (File::from(io::stderr().as_fd().try_clone_to_owned()?), None),
            LogOutput::File(path) => (append_to(path).map_err(|error| named(path, &error))?, Some(path.clone())),
        };
        Ok(Self { file, path, failing: false, log })
    }

    fn reopen(&mut self, not: &Untouchable) {
        let Some(path) = &self.path else { return };
        let opened = match not.what_is_at(path) {
            Some(what) => Err(io::Error::other(what)),
            None => append_to(path),
        };
        match opened {
            Ok(file) => {
                self.file = file;
                info!(path = %path.display(), "{} opened again", self.log.name);
            }
            Err(error) => {
                warn!(path = %path.display(), %error, "{} not opened again, the old file is kept", self.log.name);
            }
        }
    }

    /// Whether all of `bytes` was written. Says so once when writing begins to fail and once when it works again.
    fn write(&mut self, bytes: &[u8]) -> bool {
        match write_patiently(&mut self.file, bytes) {
            Ok(()) if self.failing => {
                info!("{} works again", self.log.name);
                self.failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                if !self.failing {
                    warn!(%error, "{} lines are lost", self.log.name);
                }
                self.failing = true;
            }
        }
        !self.failing
    }
}

/// An error that says which file it is about, and what it means for a pipe (open(2), ENXIO).
fn named(path: &Path, error: &io::Error) -> io::Error {
    let is_pipe = path.metadata().is_ok_and(|there| there.file_type().is_fifo());
    let why = if is_pipe { "it is a pipe that nobody reads".to_owned() } else { error.to_string() };
    io::Error::new(error.kind(), format!("{}: {why}", path.display()))
}

/// Never waits: a pipe that nobody reads is an error, and a device without a carrier is opened at once.
fn append_to(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    if file.metadata()?.file_type().is_block_device() {
        return Err(io::Error::other("it is a device"));
    }
    Ok(file)
}

/// The thread: writes batches until it is told to close or every sink is gone.
fn write_batches(output: &mut Output, receiver: &Receiver<Message>, shared: &Shared) {
    while let Ok(message) = next(receiver, shared) {
        let wanted = shared.reopen.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(not) = wanted {
            output.reopen(&not);
        }
        if let Message::Batch { bytes, lines, of } = message {
            if !output.write(&bytes) {
                of.lost(lines);
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
