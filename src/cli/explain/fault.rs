//! Faults and mirrors: what may happen to a request besides being forwarded.

use std::time::Duration;

use super::subject::Subject;
use crate::cli::words::{bytes, time};
use crate::config::model::{AbortAnswer, Fault, HeaderMatch};
use crate::observe::clock::Clock;
use crate::route::Facts;

/// What is done to the request on purpose.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<String> {
    let fault = subject.settings().fault.iter().filter(|_| subject.route.faults.is_some());
    fault.flat_map(|fault| faults(fault, subject.facts)).collect()
}

/// Whether another cluster gets a copy.
pub(super) fn mirror(subject: &Subject<'_>) -> Vec<String> {
    let Some(mirror) = subject.settings().mirror.as_ref().filter(|_| subject.route.mirrors.is_some()) else {
        return Vec::new();
    };
    let name = subject.cluster(mirror.cluster).map_or("-", |cluster| &cluster.name);
    let method = subject.method();
    let mirror = &mirror.settings;
    if !mirror.copies(method) {
        return vec![format!("mirror    none to {name}: {method} is not copied")];
    }
    let (share, most) = (mirror.percentage, mirror.max_active);
    let bodies = bytes(mirror.max_body_bytes);
    vec![format!("mirror    {share} to {name}, bodies up to {bodies}, at most {most} at once")]
}

fn faults(fault: &Fault, facts: &Facts<'_>) -> Vec<String> {
    let mut kinds = Vec::new();
    if let Some(delay) = &fault.delay {
        let what = format!("{} delayed by {}", delay.percentage, time(delay.fixed_delay.unwrap_or_default()));
        kinds.push(format!("{what}{}", condition(&delay.when_header, facts)));
    }
    if let Some(abort) = &fault.abort {
        let what = match abort.answer() {
            AbortAnswer::Http(status) => status.as_str().to_owned(),
            AbortAnswer::Grpc(code) => format!("gRPC {}", code.name()),
            AbortAnswer::Call(error) => format!("A2A {}, where it is a call", error.name()),
        };
        let condition = condition(&abort.when_header, facts);
        kinds.push(format!("{} answered {what}{condition}", abort.percentage));
    }
    if let Some(stream) = &fault.stream {
        let cut = stream.cut_after_events;
        let cut = cut.map(|events| format!("cut after {events} events"));
        let pause = stream.delay_between_events;
        let pause = pause.map(|pause| format!("{} between events", time(pause)));
        let what: Vec<_> = cut.into_iter().chain(pause).collect();
        let condition = condition(&stream.when_header, facts);
        kinds.push(format!("{} of the streams {}{condition}", stream.percentage, what.join(", ")));
    }
    if let Some(by) = &fault.by_header {
        let longest = time(by.max_delay);
        kinds.push(format!("by header {} of those that may, at most {longest}", by.percentage));
    }
    let until = fault.until.map_or_else(|| "for ever".to_owned(), end);
    let most = fault.max_active;
    let mut lines: Vec<_> = kinds.into_iter().map(|kind| format!("fault     {kind}")).collect();
    lines.push(format!("faults    {until}, at most {most} at once"));
    lines
}

fn end(until: Duration) -> String {
    let mut clock = Clock::default();
    let stamp = clock.stamp(until);
    let stamp = String::from_utf8_lossy(stamp);
    format!("until {}", stamp.replace(".000Z", "Z"))
}

/// Whether what is explained meets the conditions.
fn condition(when: &[HeaderMatch], facts: &Facts<'_>) -> String {
    match when.iter().find(|field| !field.holds(facts.headers)) {
        Some(missing) => format!(" (not this request: {} is missing or differs)", missing.name),
        None if when.is_empty() => String::new(),
        None => " (its header fields are there)".to_owned(),
    }
}
