//! What is done for calls of agents, and which of them are refused.

use super::subject::Subject;
use crate::a2a::Operation;
use crate::cli::words::{bytes, time};
use crate::config::model::{A2a, LargeBodies, Methods, OnLoss, UrlGuard};

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
            vec![format!("guards    {}", facts(settings).join(", "))]
        }
        _ => Vec::new(),
    }
}

fn facts(settings: &A2a) -> Vec<String> {
    let names = |names: &[Operation]| names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(" ");
    let methods = settings.methods.as_ref().map(|methods| match methods {
        Methods::Allow(allowed) if allowed.is_empty() => "no method".to_owned(),
        Methods::Allow(allowed) => format!("only {}", names(allowed)),
        Methods::Deny(denied) => format!("all but {}", names(denied)),
    });
    let urls = [("push", &settings.push_urls), ("file", &settings.file_urls)];
    let urls = urls.into_iter().map(|(kind, guard)| match guard {
        None => format!("{kind} URLs unchecked"),
        Some(guard) => format!("{kind} URLs {}", hosts(guard)),
    });
    methods.into_iter().chain(urls).collect()
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
