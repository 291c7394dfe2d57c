//! What is done for calls of agents, and which of them are refused.

use super::subject::Subject;
use crate::a2a::Operation;
use crate::cli::words::{bytes, time};
use crate::config::model::{A2a, LargeBodies, OnLoss, UrlGuard};
use crate::policy::{CallLimit, RouteLimits};

/// How calls are recognised and followed; that they are not, where that was chosen.
pub(super) fn recognition(subject: &Subject<'_>) -> Vec<String> {
    if subject.clusters().is_empty() {
        return Vec::new();
    }
    let Some(settings) = &subject.settings().a2a else {
        return vec!["A2A       off: calls of agents are requests like others".to_owned()];
    };
    let most = bytes(u64::try_from(settings.max_body_bytes).unwrap_or(u64::MAX));
    let is_refused = settings.is_strict() || settings.large_bodies == LargeBodies::Refuse;
    let longer = if is_refused { "longer ones refused" } else { "longer ones pass unread" };
    let tasks = match &settings.affinity {
        None => "tasks at any endpoint".to_owned(),
        Some(affinity) => {
            let lost = match affinity.on_loss {
                OnLoss::Rebalance => "then at another",
                OnLoss::Fail => "then 503",
            };
            format!("tasks stay with their endpoint for {}, {lost} when it is gone", time(affinity.ttl))
        }
    };
    let alive = settings.keep_alive.map(|interval| format!(", a comment after {} of a silent stream", time(interval)));
    let alive = alive.unwrap_or_default();
    vec![format!("A2A       calls recognised, in bodies up to {most}, {longer}, {tasks}{alive}")]
}

/// Which calls are refused.
pub(super) fn guards(subject: &Subject<'_>) -> Vec<String> {
    match &subject.settings().a2a {
        Some(settings) if !subject.clusters().is_empty() => {
            let guards = format!("guards    {}", facts(settings).join(", "));
            let limits = subject.route.calls.iter().flat_map(|limits| limits.each());
            std::iter::once(guards).chain(limits.map(limit)).collect()
        }
        _ => Vec::new(),
    }
}

/// Which calls share an answer with equal ones.
pub(super) fn sharing(subject: &Subject<'_>) -> Vec<String> {
    let Some(settings) = subject.settings().a2a.as_ref().filter(|_| !subject.clusters().is_empty()) else {
        return Vec::new();
    };
    let sends =
        settings.single_flight.map(|keep| format!("a message sent again within {} gets its answer", time(keep)));
    let polls = settings.poll_damping.map(|keep| format!("GetTask within {} once for all", time(keep)));
    let facts: Vec<_> = sends.into_iter().chain(polls).collect();
    if facts.is_empty() { Vec::new() } else { vec![format!("equal     {}", facts.join(", "))] }
}

/// What holds for one operation.
fn limit(limit: &CallLimit) -> String {
    let open = limit.limits().and_then(RouteLimits::concurrency);
    let open = open.map(|limit| format!("at a time {} of one client address", limit.max));
    let all = limit.max_concurrent().map(|max| format!("at a time {max} in all"));
    let rates = limit.limits().into_iter().flat_map(|limits| limits.rates().map(ToString::to_string));
    let timeout = limit.timeout().map(|limit| format!("{} in all", time(limit)));
    let facts: Vec<_> = open.into_iter().chain(all).chain(rates).chain(timeout).collect();
    format!("method    {}: {}", limit.operation().name(), facts.join(", "))
}

fn facts(settings: &A2a) -> Vec<String> {
    let names = |names: &[Operation]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" ");
    let methods = settings.methods.iter().flat_map(|methods| {
        let allowed = methods.allow.as_ref().map(|allowed| match allowed.as_slice() {
            [] => "no method".to_owned(),
            allowed => format!("only {}", names(allowed)),
        });
        let denied = (!methods.deny.is_empty()).then(|| format!("all but {}", names(&methods.deny)));
        allowed.into_iter().chain(denied)
    });
    let urls = [("push", &settings.push_urls), ("file", &settings.file_urls)];
    let urls = urls.into_iter().map(|(kind, guard)| match guard {
        None => format!("{kind} URLs unchecked"),
        Some(guard) => format!("{kind} URLs {}", hosts(guard)),
    });
    let versions = settings.versions.iter().map(|taken| {
        let taken: Vec<_> = taken.iter().map(|version| version.name()).collect();
        format!("A2A {} only", taken.join(" and "))
    });
    let owned = settings.ownership.iter().map(|ownership| {
        let by: Vec<_> = ownership.by.iter().map(ToString::to_string).collect();
        format!("tasks only for who made them, by {}", by.join(" and "))
    });
    versions.chain(methods).chain(owned).chain(urls).collect()
}

fn hosts(guard: &UrlGuard) -> String {
    let scheme = if guard.http { "http(s)" } else { "https" };
    if !guard.allow.is_empty() {
        let hosts: Vec<_> = guard.allow.iter().map(ToString::to_string).collect();
        return format!("by {scheme} to {}", hosts.join(" "));
    }
    let hosts = if guard.private { "any host" } else { "public hosts" };
    format!("by {scheme} to {hosts}")
}
