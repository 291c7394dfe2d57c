//! What is looked for in a request, what is done to it on purpose, and what is done for calls of agents.

use std::iter;
use std::time::{Duration, UNIX_EPOCH};

use super::subject::Subject;
use crate::cli::words::labelled;
use crate::observe::clock::rfc3339;
use crate::policy::screening;

/// What requests are searched for, and whether this one has it.
pub(super) fn screened(subject: &Subject<'_>) -> Vec<String> {
    let Some(screening) = &subject.route.screening else {
        return Vec::new();
    };
    let found = screening::in_words(screening, subject.facts.path, subject.facts.query);
    vec![labelled("screening", format_args!("{screening}: {found}"))]
}

/// What is done to the request on purpose.
pub(super) fn faults(subject: &Subject<'_>) -> Vec<String> {
    let Some(fault) = subject.settings().fault.as_ref().filter(|_| subject.route.faults.is_some()) else {
        return Vec::new();
    };
    let until = fault.until.map_or_else(|| "for ever".to_owned(), end);
    let all = labelled("faults", format_args!("{until}, at most {} at once", fault.max_active));
    let kinds = fault.kinds(subject.facts.headers).map(|kind| labelled("fault", kind));
    kinds.chain([all]).collect()
}

fn end(until: Duration) -> String {
    let moment = UNIX_EPOCH.checked_add(until).map_or_else(|| "-".to_owned(), rfc3339);
    format!("until {}", moment.replace(".000Z", "Z"))
}

/// How calls are recognised and followed; that they are not, where that was chosen.
pub(super) fn recognition(subject: &Subject<'_>) -> Vec<String> {
    if subject.clusters().is_empty() {
        return Vec::new();
    }
    let recognition = subject.agents().map(|settings| settings.recognition(subject.route.is_strict));
    let off = || "off: calls of agents are requests like others".to_owned();
    vec![labelled("A2A", recognition.unwrap_or_else(off))]
}

/// Which calls are refused.
pub(super) fn guards(subject: &Subject<'_>) -> Vec<String> {
    let Some(settings) = subject.agents() else { return Vec::new() };
    let guards = labelled("guards", settings.guards().collect::<Vec<_>>().join(", "));
    let limits = subject.route.calls.iter().flat_map(|limits| limits.each());
    iter::once(guards).chain(limits.map(|limit| labelled("method", limit))).collect()
}

/// Which calls share an answer with equal ones.
pub(super) fn sharing(subject: &Subject<'_>) -> Vec<String> {
    let facts: Vec<_> = subject.agents().into_iter().flat_map(|settings| settings.sharing()).collect();
    if facts.is_empty() { Vec::new() } else { vec![labelled("equal", facts.join(", "))] }
}
