//! What failed lately, by causes: how often, since when, and the latest request that shows it. Workers write into parts
//! of their own, which they share with nobody but the reader.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::short::shortened;
use crate::observe::clock::Clock;
use crate::observe::record::{AccessRecord, RecordNames, write_json};

/// Errors by causes.
#[derive(Debug, Default)]
pub struct Errors {
    parts: [Mutex<Vec<Group>>; PARTS],
}

/// What of errors makes them the same.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cause {
    status: u16,
    reason: Option<&'static str>,
    fault: Option<&'static str>,
    route: Box<str>,
    cluster: Box<str>,
}

#[derive(Clone, Debug)]
struct Group {
    cause: Cause,
    flags: &'static str,
    count: u64,
    first: Duration,
    last: Duration,
    /// When the example was written.
    shown: Duration,
    example: Vec<u8>,
}

/// Errors of one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorGroup {
    /// Status the clients saw.
    pub status: u16,
    /// The reason word, where the gateway has one.
    pub reason: Option<&'static str>,
    /// How calls of agents failed inside their answers.
    pub fault: Option<&'static str>,
    /// The route; `-` for none.
    pub route: String,
    /// The cluster; `-` for none.
    pub cluster: String,
    /// Flags of the access log.
    pub flags: &'static str,
    /// How many there were since the cause is remembered.
    pub count: u64,
    /// The first and the last one, since the Unix epoch.
    pub first: Duration,
    /// The last one.
    pub last: Duration,
    /// The access record of one of the last, as JSON.
    pub example: String,
}

impl Errors {
    /// Notes an error of the worker with this number.
    pub fn note(&self, worker: usize, record: &AccessRecord<'_>, clock: &mut Clock) {
        let Some(mut part) = self.part(worker) else { return };
        let at = part.iter().position(|group| group.cause.is_of(record));
        let at = at.unwrap_or_else(|| add(&mut part, record));
        let Some(group) = part.get_mut(at) else { return };
        group.count += 1;
        group.last = record.time;
        // A flood of the same costs no more than its count.
        if group.example.is_empty() || record.time.saturating_sub(group.shown) >= RENEWED {
            group.shown = record.time;
            group.flags = record.flags;
            group.example.clear();
            write_json(&shortened(record), clock, &mut group.example);
        }
    }

    /// All causes, the latest first.
    #[must_use]
    pub fn groups(&self) -> Vec<ErrorGroup> {
        let mut groups: Vec<Group> = Vec::new();
        for part in &self.parts {
            let part = part.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for group in part {
                match groups.iter_mut().find(|known| known.cause == group.cause) {
                    Some(known) => known.join(group),
                    None => groups.push(group),
                }
            }
        }
        groups.sort_by_key(|group| std::cmp::Reverse(group.last));
        groups.into_iter().map(Group::shown).collect()
    }

    fn part(&self, worker: usize) -> Option<MutexGuard<'_, Vec<Group>>> {
        let part = self.parts.get(worker % PARTS)?;
        Some(part.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A new cause, in the place of the one that was seen least lately where there is no room.
fn add(part: &mut Vec<Group>, record: &AccessRecord<'_>) -> usize {
    if part.len() >= CAUSES {
        let oldest = part.iter().enumerate().min_by_key(|(_, group)| group.last).map(|(at, _)| at);
        oldest.map(|at| part.swap_remove(at));
    }
    part.push(Group {
        cause: Cause::of(record),
        flags: record.flags,
        count: 0,
        first: record.time,
        last: record.time,
        shown: Duration::ZERO,
        example: Vec::new(),
    });
    part.len() - 1
}

impl Cause {
    fn of(record: &AccessRecord<'_>) -> Self {
        let (route, cluster) = names(record);
        let fault = record.agent.and_then(|agent| agent.fault);
        Self { status: record.status, reason: record.reason, fault, route: route.into(), cluster: cluster.into() }
    }

    fn is_of(&self, record: &AccessRecord<'_>) -> bool {
        let fault = record.agent.and_then(|agent| agent.fault);
        self.status == record.status
            && self.reason == record.reason
            && self.fault == fault
            && (&*self.route, &*self.cluster) == names(record)
    }
}

fn names<'a>(record: &AccessRecord<'a>) -> (&'a str, &'a str) {
    record.names.map_or(("-", "-"), |names| (RecordNames::route(names), RecordNames::cluster(names)))
}

impl Group {
    fn join(&mut self, other: Self) {
        self.count += other.count;
        self.first = self.first.min(other.first);
        if other.last > self.last {
            (self.last, self.flags, self.example) = (other.last, other.flags, other.example);
        }
    }

    fn shown(self) -> ErrorGroup {
        let Cause { status, reason, fault, route, cluster } = self.cause;
        ErrorGroup {
            status,
            reason,
            fault,
            route: route.into(),
            cluster: cluster.into(),
            flags: self.flags,
            count: self.count,
            first: self.first,
            last: self.last,
            example: String::from_utf8_lossy(&self.example).trim_end().to_owned(),
        }
    }
}

/// Parts with a lock each. Workers beyond them share.
const PARTS: usize = 16;
/// Causes that one part remembers.
const CAUSES: usize = 64;
/// How old an example becomes while there are others.
const RENEWED: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::record as plain;

    fn note(errors: &Errors, worker: usize, reason: &'static str, second: u64) {
        let record = AccessRecord { time: Duration::from_secs(second), reason: Some(reason), status: 503, ..plain() };
        errors.note(worker, &record, &mut Clock::default());
    }

    #[test]
    fn errors_of_a_cause_are_counted_together_over_all_workers() {
        let errors = Errors::default();
        note(&errors, 0, "connect_failed", 1);
        note(&errors, 1, "connect_failed", 5);
        note(&errors, 0, "timeout", 3);
        let groups = errors.groups();
        let facts = |one: &ErrorGroup| (one.reason, one.count, one.first.as_secs(), one.last.as_secs());
        let seen: Vec<_> = groups.iter().map(facts).collect();
        assert_eq!(seen, [(Some("connect_failed"), 2, 1, 5), (Some("timeout"), 1, 3, 3)]);
        assert!(groups[0].example.contains("1970-01-01T00:00:05"), "of the last one: {}", groups[0].example);
    }

    #[test]
    fn causes_are_bounded_and_the_oldest_goes() {
        let errors = Errors::default();
        let words: Vec<&'static str> = (0..CAUSES + 3).map(|number| &*format!("r{number}").leak()).collect();
        for (second, word) in words.iter().enumerate() {
            note(&errors, 0, word, second as u64);
        }
        let groups = errors.groups();
        assert_eq!(groups.len(), CAUSES);
        assert!(!groups.iter().any(|group| matches!(group.reason, Some("r0" | "r1" | "r2"))));
    }

    #[test]
    fn an_example_is_bounded_whatever_the_client_sent() {
        let errors = Errors::default();
        let path = format!("/{}", "x".repeat(60_000));
        let record = AccessRecord { path: &path, status: 502, ..plain() };
        errors.note(0, &record, &mut Clock::default());
        assert!(errors.groups()[0].example.len() < 8_000);
    }
}
