//! Lines that are written, lost and sent on, with outputs that fail.

use std::fs;

use std::fs::File;
use std::path::Path;

use super::output::append_to;
use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

fn metrics() -> Arc<Metrics> {
    Arc::new(Metrics::new(&[1.0]).unwrap())
}

fn dropped(metrics: &Metrics) -> u64 {
    metrics.access_log_dropped().get()
}

fn to_file(path: &Path, metrics: &Arc<Metrics>) -> Writer {
    Writer::start(&LogOutput::File(path.to_owned()), RecordFormat::Auto, Arc::clone(metrics), &[]).unwrap()
}

fn say(sink: &Sink, text: &str) {
    sink.append(|_, out| out.extend_from_slice(format!("{text}\n").as_bytes()));
}

#[test]
fn a_pipe_that_nobody_reads_is_an_error_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    append_to(&path).unwrap_err();
    let _reader = thread::spawn({
        let path = path.clone();
        move || File::open(path).unwrap()
    });
    while append_to(&path).is_err() {
        thread::yield_now();
    }
    append_to(Path::new("/dev/null")).unwrap();
}

#[test]
fn lines_of_every_worker_are_in_the_file_after_close() {
    let (folder, metrics) = (tempfile::tempdir().unwrap(), metrics());
    let path = folder.path().join("access.log");
    fs::write(&path, "before\n").unwrap();
    let writer = to_file(&path, &metrics);
    thread::scope(|scope| {
        for worker in 0..4 {
            let writer = &writer;
            scope.spawn(move || {
                let sink = writer.sink();
                (0..1000).for_each(|line| {
                    say(&sink, &format!("{worker} {line} {}", "x".repeat(100)));
                });
            });
        }
    });
    assert!(writer.close(PATIENCE), "closed in time");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("before\n"), "appended");
    assert_eq!(text.lines().count(), 4001);
    assert!(text.lines().skip(1).all(|line| line.len() > 100), "whole lines");
    assert_eq!(dropped(&metrics), 0);
}

#[test]
fn a_moved_file_is_left_alone_after_reopen() {
    let (folder, metrics) = (tempfile::tempdir().unwrap(), metrics());
    let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let writer = to_file(&path, &metrics);
    let sink = writer.sink();
    fs::rename(&path, &moved).unwrap();
    writer.reopen(Untouchable::default());
    say(&sink, "after");
    drop(sink);
    assert!(writer.close(PATIENCE));
    assert_eq!(fs::read_to_string(&path).unwrap(), "after\n");
    assert_eq!(fs::read_to_string(&moved).unwrap(), "");
}

#[test]
fn a_full_disk_loses_lines_and_counts_them() {
    let metrics = metrics();
    let writer = to_file(Path::new("/dev/full"), &metrics);
    let sink = writer.sink();
    say(&sink, "one");
    say(&sink, "two");
    drop(sink);
    assert!(writer.close(PATIENCE));
    assert_eq!(dropped(&metrics), 2);
}

#[test]
fn a_worker_never_waits_for_the_writer() {
    let metrics = metrics();
    let (sender, receiver) = sync_channel(1);
    let shared = Arc::new(Shared::new(Arc::clone(&metrics), ACCESS));
    let sink = Sink::new(Outlet::Thread(sender, shared), Format::Json);
    for _ in 0..3 {
        say(&sink, "a");
        say(&sink, "b");
        sink.flush();
    }
    assert_eq!(dropped(&metrics), 4, "one batch waits, two are lost");
    assert!(matches!(receiver.try_recv(), Ok(Message::Batch { lines: 2, .. })));
    drop(receiver);
    say(&sink, "nobody is left");
    drop(sink);
    assert_eq!(dropped(&metrics), 5);
}

#[test]
fn a_batch_is_handed_over_when_it_is_large_enough() {
    let (sender, receiver) = sync_channel(4);
    let sink = Sink::new(Outlet::Thread(sender, Arc::new(Shared::new(metrics(), ACCESS))), Format::Json);
    say(&sink, &"x".repeat(BATCH / 2));
    assert!(receiver.try_recv().is_err(), "still collecting");
    say(&sink, &"x".repeat(BATCH / 2));
    assert!(matches!(receiver.try_recv(), Ok(Message::Batch { lines: 2, .. })));
    sink.flush();
    assert!(receiver.try_recv().is_err(), "nothing is left to hand over");
}

#[test]
fn a_line_written_while_writing_one_is_lost_not_fatal() {
    let metrics = metrics();
    let (sender, _receiver) = sync_channel(4);
    let sink = Sink::new(Outlet::Thread(sender, Arc::new(Shared::new(Arc::clone(&metrics), ACCESS))), Format::Json);
    sink.append(|_, _| say(&sink, "inner"));
    assert_eq!(dropped(&metrics), 1);
}

#[test]
fn close_gives_up_on_a_writer_that_hangs() {
    let (_alive, ended) = sync_channel::<()>(0);
    let (sender, _receiver) = sync_channel(1);
    let writer = Writer {
        sender,
        shared: Arc::new(Shared::new(metrics(), ACCESS)),
        format: Format::Json,
        output: LogOutput::Stdout,
        ended: Some(Mutex::new(ended)),
    };
    assert!(!writer.close(Duration::from_millis(1)));
}

#[test]
fn buffers_are_used_again() {
    let shared = Shared::new(metrics(), ACCESS);
    let mut buffer = shared.spare();
    buffer.extend_from_slice(b"old");
    let address = buffer.as_ptr();
    shared.recycle(buffer);
    let again = shared.spare();
    assert!(again.is_empty());
    assert_eq!(again.as_ptr(), address);
    shared.recycle(Vec::with_capacity(10 * BUFFER));
    assert!(shared.spare().capacity() < 10 * BUFFER, "an overgrown one is let go");
}
