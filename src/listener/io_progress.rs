//! The progress of a connection's IO for its worker: where in a message it is, how many bytes have passed, and what the
//! scanner found. Plain stores and loads: there is one writer, and in practice one core.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use crate::context::ScannerRefusal;
use crate::listener::scan::{Phase, Scanner};

/// Progress of one connection.
#[derive(Debug, Default)]
pub struct IoProgress {
    stage: AtomicU8,
    heads: AtomicU64,
    answered: AtomicU64,
    half_closed: AtomicBool,
    read: AtomicU64,
    written: AtomicU64,
    read_waits: AtomicBool,
    write_waits: AtomicBool,
    tunnel: AtomicBool,
    look: AtomicBool,
    no_linger: AtomicBool,
    verdict: OnceLock<ScannerRefusal>,
}

/// Where a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// Before the first byte of a request.
    #[default]
    Start,
    /// Inside a request head, or the opening of HTTP/2.
    Head,
    /// Inside a request body.
    Body,
    /// Nothing more is read.
    Stopped,
    /// HTTP/2, after its opening.
    Streams,
    /// Answered and closed for writing, the client still sends.
    Linger,
}

impl IoProgress {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// Where the connection is.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.stage.load(Relaxed) {
            1 => Stage::Head,
            2 => Stage::Body,
            3 => Stage::Stopped,
            4 => Stage::Streams,
            5 => Stage::Linger,
            _ => Stage::Start,
        }
    }

    pub(crate) fn enter(&self, stage: Stage) {
        let number = match stage {
            Stage::Start => 0,
            Stage::Head => 1,
            Stage::Body => 2,
            Stage::Stopped => 3,
            Stage::Streams => 4,
            Stage::Linger => 5,
        };
        self.stage.store(number, Relaxed);
    }

    pub(crate) fn note(&self, scanner: &Scanner) {
        self.heads.store(scanner.requests(), Relaxed);
        self.enter(match scanner.phase() {
            Phase::Start => Stage::Start,
            Phase::Head => Stage::Head,
            Phase::Body => Stage::Body,
            Phase::Stopped => Stage::Stopped,
        });
        if let Some(verdict) = scanner.verdict() {
            self.verdict.get_or_init(|| verdict);
        }
    }

    pub(crate) fn read(&self, count: usize) {
        add(&self.read, count);
    }

    /// Notes whether the parser waits for bytes. The socket does not show it: TLS may wait for more input and still
    /// have bytes for the parser.
    pub(crate) fn parser_read(&self, waits: bool) {
        self.read_waits.store(waits, Relaxed);
    }

    pub(crate) fn wrote(&self, waits: bool, count: usize) {
        self.write_waits.store(waits, Relaxed);
        add(&self.written, count);
    }

    /// Refusal of a request, once there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<ScannerRefusal> {
        self.verdict.get().copied()
    }

    /// HTTP/1 heads read.
    #[must_use]
    pub fn heads(&self) -> u64 {
        self.heads.load(Relaxed)
    }

    /// So many of the requests have been answered to the end.
    pub(crate) fn note_answered(&self, count: u64) {
        self.answered.store(count, Relaxed);
    }

    /// Whether a request was read whose answer is not over.
    #[must_use]
    pub fn owes_answer(&self) -> bool {
        self.heads() > self.answered.load(Relaxed)
    }

    /// The client has closed its direction while an answer is owed.
    pub(crate) fn half_close(&self) {
        self.half_closed.store(true, Relaxed);
    }

    /// Whether it has.
    #[must_use]
    pub fn is_half_closed(&self) -> bool {
        self.half_closed.load(Relaxed)
    }

    /// Bytes read from the socket.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Relaxed)
    }

    /// Bytes written to the socket.
    #[must_use]
    pub fn bytes_written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether the parser waits for the client to send.
    #[must_use]
    pub fn read_waits(&self) -> bool {
        self.read_waits.load(Relaxed)
    }

    /// Whether the client's window is full and there is more to write.
    #[must_use]
    pub fn write_waits(&self) -> bool {
        self.write_waits.load(Relaxed)
    }

    /// Asks the IO to see whether the client has closed.
    pub(crate) fn ask_for_client(&self) {
        self.look.store(true, Relaxed);
    }

    /// Whether the IO was asked so since it was last told.
    pub(crate) fn takes_question(&self) -> bool {
        let asked = self.look.load(Relaxed);
        if asked {
            self.look.store(false, Relaxed);
        }
        asked
    }

    /// The client has had its time to close.
    pub(crate) fn end_linger(&self) {
        self.no_linger.store(true, Relaxed);
    }

    /// Whether waiting for the client to close is over.
    pub(crate) fn lingers_no_more(&self) -> bool {
        self.no_linger.load(Relaxed)
    }

    /// The answer was 101: the bytes after it are not HTTP.
    pub(crate) fn become_tunnel(&self) {
        self.tunnel.store(true, Relaxed);
    }

    /// Whether the connection is a tunnel.
    #[must_use]
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.load(Relaxed)
    }
}

/// Not `fetch_add`: with one writer a load and a store do, without locking the cache line.
fn add(counter: &AtomicU64, count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
}
