//! Resident memory and CPU of this process, read from `/proc` when somebody scrapes. Where there is no `/proc` there
//! are no figures rather than made-up ones.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::time::Instant;

/// One reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Resident memory.
    pub(super) resident_bytes: i64,
    /// CPU since the reading before, in percent of the cores the process may use.
    pub(super) cpu_percent: f64,
}

/// Remembers the reading before, because a percentage needs two.
#[derive(Debug)]
pub(super) struct Usage {
    last: Mutex<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    cpu: Duration,
    percent: f64,
}

impl Default for Usage {
    fn default() -> Self {
        let cpu = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_time(&stat)).unwrap_or_default();
        Self { last: Mutex::new(Last { at: Instant::now(), cpu, percent: 0.0 }) }
    }
}

impl Usage {
    pub(super) fn sample(&self) -> Option<Sample> {
        let resident_bytes = resident_bytes(&fs::read_to_string("/proc/self/status").ok()?)?;
        let cpu = cpu_time(&fs::read_to_string("/proc/self/stat").ok()?)?;
        let cores = available_parallelism().map_or(1, usize::from);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = advance(*last, Instant::now(), cpu, cores);
        Some(Sample { resident_bytes, cpu_percent: last.percent })
    }
}

/// Two scrapers at once must not make each other's window too short to mean anything: a reading stands for a second.
fn advance(last: Last, now: Instant, cpu: Duration, cores: usize) -> Last {
    let elapsed = now.saturating_duration_since(last.at);
    if elapsed < Duration::from_secs(1) {
        return last;
    }
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let available = elapsed.as_secs_f64() * cores as f64;
    let percent = cpu.saturating_sub(last.cpu).as_secs_f64() / available * 100.0;
    Last { at: now, cpu, percent }
}

/// `VmRSS` of `/proc/self/status`, which is in KiB.
fn resident_bytes(status: &str) -> Option<i64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kib.checked_mul(1024)
}

/// User and system time of `/proc/self/stat`. The command name may hold spaces and parentheses, so fields are counted
/// from behind its last one. The unit is USER_HZ, which Linux fixes at 100 on every architecture we build for.
fn cpu_time(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(10)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_proc_says() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2048 * 1024));
        assert_eq!(resident_bytes("Name:\tx\n"), None, "a kernel thread has no memory");
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1 2 3";
        assert_eq!(cpu_time(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time("7 (a) S 1"), None, "cut off");
    }

    #[test]
    fn a_percentage_is_of_all_cores_and_of_at_least_a_second() {
        let start = Instant::now();
        let first = Last { at: start, cpu: Duration::from_secs(10), percent: 0.0 };
        let second = advance(first, start + Duration::from_secs(10), Duration::from_secs(20), 2);
        assert!((second.percent - 50.0).abs() < 1e-9, "10 s of 2 cores over 10 s: {}", second.percent);
        let third = advance(second, start + Duration::from_millis(10_500), Duration::from_secs(99), 2);
        assert!((third.percent - 50.0).abs() < 1e-9, "too soon to say anything new");
    }

    #[test]
    fn this_process_has_memory() {
        assert!(Usage::default().sample().is_none_or(|sample| sample.resident_bytes > 0));
    }
}
