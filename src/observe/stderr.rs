//! Writes to standard error without waiting for it: lines go through a bounded queue to one thread. A reader that is
//! slow, stuck or gone costs lines, which are counted, and nothing else.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;

use super::patient_write::write_patiently;
use super::series::Counter;

/// A handle to the queue. The thread ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Stderr {
    sender: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Bytes handed over and not dealt with yet.
    waiting: AtomicUsize,
    /// Lines lost that the counter does not know of.
    uncounted: AtomicU64,
    counter: OnceLock<Counter>,
    /// Lines lost that the log has not told of.
    untold: AtomicU64,
}

impl Stderr {
    /// Starts the thread.
    ///
    /// # Errors
    /// When standard error cannot be duplicated or the thread cannot be started.
    pub fn start() -> io::Result<Self> {
        // A duplicate, because std's own handle has a lock, and the thread would hold it while it waits for the reader.
        let output = File::from(io::stderr().as_fd().try_clone_to_owned()?);
        Self::onto(output)
    }

    fn onto(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(QUEUED_LINES);
        let shared = Arc::new(Shared::default());
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || write_lines(output, &receiver, &writing))?;
        Ok(Self { sender, shared })
    }

    /// Queues a piece of text with its line end. The piece is lost, and counted, when too much waits.
    pub fn write(&self, text: impl Into<Vec<u8>>) {
        let text = text.into();
        let length = text.len();
        let before = self.shared.waiting.fetch_add(length, Ordering::AcqRel);
        if before.saturating_add(length) > QUEUED_BYTES || self.sender.try_send(text).is_err() {
            self.shared.waiting.fetch_sub(length, Ordering::AcqRel);
            self.shared.lost();
        }
    }

    /// Counts lines lost so far and from now on in `counter`.
    pub fn count_in(&self, counter: Counter) {
        self.shared.counter.set(counter).ok();
        self.shared.count();
    }

    /// Waits until everything handed over is written or lost. Blocks for at most `bound`; false when that was not
    /// enough.
    #[must_use]
    pub fn flush(&self, bound: Duration) -> bool {
        let began = Instant::now();
        while self.shared.waiting.load(Ordering::Acquire) > 0 {
            if began.elapsed() >= bound {
                return false;
            }
            thread::park_timeout(FLUSH_LOOK);
        }
        true
    }
}

impl Shared {
    fn lost(&self) {
        self.untold.fetch_add(1, Ordering::Relaxed);
        self.uncounted.fetch_add(1, Ordering::SeqCst);
        self.count();
    }

    /// Writes once how many lines are missing.
    fn tell(&self) {
        let lines = self.untold.swap(0, Ordering::Relaxed);
        if lines > 0 {
            tracing::warn!(lines, "log lines were lost");
        }
    }

    /// A thread that adds to `uncounted` looks for the counter afterwards, and the thread that sets the counter looks
    /// at `uncounted` afterwards.
    fn count(&self) {
        if let Some(counter) = self.counter.get() {
            counter.inc_by(self.uncounted.swap(0, Ordering::SeqCst));
        }
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Line(self)
    }
}

/// One event on its way.
#[derive(Debug)]
pub struct Line<'a>(&'a Stderr);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread.
fn write_lines(output: impl Write, receiver: &Receiver<Vec<u8>>, shared: &Shared) {
    let mut output = Tracked { output, last: b'\n' };
    let mut failed = false;
    while let Ok(mut text) = receiver.recv() {
        let length = text.len();
        if failed && output.last != b'\n' {
            // A line that broke off must not spoil the one after it.
            text.insert(0, b'\n');
        }
        failed = write_patiently(&mut output, &text).is_err();
        if failed {
            shared.lost();
        }
        let before = shared.waiting.fetch_sub(length, Ordering::AcqRel);
        // Once for each gap, when there is room for it.
        if !failed && before == length {
            shared.tell();
        }
    }
}

/// Remembers the last byte that was written.
struct Tracked<W> {
    output: W,
    last: u8,
}

impl<W: Write> Write for Tracked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        if let Some(last) = written.checked_sub(1).and_then(|at| bytes.get(at)) {
            self.last = *last;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// Lines that may wait for the thread.
const QUEUED_LINES: usize = 4096;
/// And how long they may be together.
const QUEUED_BYTES: usize = 1024 * 1024;
/// Between two looks whether everything is written.
const FLUSH_LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};
    use std::sync::Mutex;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn counter() -> Counter {
        Counter::default()
    }

    /// A pipe that nobody reads until asked.
    fn piped() -> (Stderr, PipeReader) {
        let (reader, writer) = pipe().unwrap();
        (Stderr::onto(writer).unwrap(), reader)
    }

    fn read(mut reader: PipeReader) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn what_was_handed_over_is_written_in_order() {
        let (stderr, reader) = piped();
        for line in 0..1000 {
            stderr.write(format!("{line}\n"));
        }
        assert!(stderr.flush(PATIENCE));
        drop(stderr);
        let expected: String = (0..1000).map(|line| format!("{line}\n")).collect();
        assert_eq!(read(reader), expected);
    }

    #[test]
    fn a_reader_that_does_not_read_costs_lines_and_no_time() {
        let (stderr, reader) = piped();
        let line = format!("{}\n", "x".repeat(999));
        let handed_over = 4 * QUEUED_BYTES / line.len();
        for _ in 0..handed_over {
            stderr.write(line.clone());
        }
        let counter = counter();
        stderr.count_in(counter.clone());
        let before = counter.get();
        assert!(before > 0, "what was lost before is counted too");
        assert!(!stderr.flush(Duration::from_millis(20)), "it gives up");
        stderr.write(vec![b'x'; QUEUED_BYTES]);
        assert_eq!(counter.get(), before + 1);
        drop(stderr);
        let written = read(reader).lines().count() as u64;
        assert_eq!(written + before, handed_over as u64, "each is written or counted");
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines() {
        let (stderr, reader) = piped();
        let counter = counter();
        stderr.count_in(counter.clone());
        drop(reader);
        stderr.write("one\n");
        stderr.write("two\n");
        assert!(stderr.flush(PATIENCE), "there is nothing to wait for");
        assert_eq!(counter.get(), 2);
    }

    /// Takes a few bytes, fails once, then takes everything.
    struct Full {
        room: usize,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.room == 0 {
                self.room = usize::MAX;
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_broke_off_does_not_spoil_the_next() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let full = Full { room: 3, written: Arc::clone(&written) };
        let stderr = Stderr::onto(full).unwrap();
        for line in ["first\n", "second\n", "third\n"] {
            stderr.write(line);
        }
        assert!(stderr.flush(PATIENCE));
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(written, "fir\nsecond\nthird\n");
    }
}
