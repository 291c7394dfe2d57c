//! What is done for calls of agents, and which of them are refused.

use super::subject::Subject;
use crate::cli::words::{bytes, time};
use crate::config::model::{LargeBodies, OnLoss};

/// How calls are recognised and followed; that they are not, where that was chosen.
pub(super) fn recognition(subject: &Subject<'_>) -> Vec<String> {
    if subject.clusters().is_empty() {
        return Vec::new();
    }
    let Some(settings) = subject.agents() else {
        return vec!["A2A       off: calls of agents are requests like others".to_owned()];
    };
    let most = bytes(u64::try_from(settings.max_body_bytes).unwrap_or(u64::MAX));
    let is_refused = subject.route.is_strict || settings.large_bodies == LargeBodies::Refuse;
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
    let Some(settings) = subject.agents() else { return Vec::new() };
    let guards = format!("guards    {}", settings.guards().collect::<Vec<_>>().join(", "));
    let limits = subject.route.calls.iter().flat_map(|limits| limits.each());
    std::iter::once(guards).chain(limits.map(|limit| format!("method    {limit}"))).collect()
}

/// Which calls share an answer with equal ones.
pub(super) fn sharing(subject: &Subject<'_>) -> Vec<String> {
    let Some(settings) = subject.agents() else { return Vec::new() };
    let sends =
        settings.single_flight.map(|keep| format!("a message sent again within {} gets its answer", time(keep)));
    let polls = settings.poll_damping.map(|keep| format!("GetTask within {} once for all", time(keep)));
    let facts: Vec<_> = sends.into_iter().chain(polls).collect();
    if facts.is_empty() { Vec::new() } else { vec![format!("equal     {}", facts.join(", "))] }
}
