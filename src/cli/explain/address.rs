//! Who is not served because of its address, and what becomes of who guesses credentials.

use std::net::IpAddr;

use super::subject::Subject;
use crate::config::model::{IpAccess, IpRule, LimitMode, Networks};
use crate::config::time;

/// The block list of the configuration.
pub(super) fn blocked(subject: &Subject<'_>) -> Vec<String> {
    let networks = &subject.config.block_list.networks;
    if networks.is_empty() {
        return Vec::new();
    }
    let verdict = subject.client.map(|client| match networks.contains(client) {
        true => format!("; {client} is among them and gets 403"),
        false => format!("; {client} is not among them"),
    });
    vec![format!("blocked   {} of blockList{}", count(networks), verdict.unwrap_or_default())]
}

/// The lists of the listener and of the route.
pub(super) fn lists(subject: &Subject<'_>) -> Vec<String> {
    let of_listener = subject.listener.ip_access.as_deref().map(|access| ("listener", access));
    let of_route = subject.settings().ip_access.as_deref().map(|access| ("route", access));
    of_listener.into_iter().chain(of_route).map(|(whose, access)| list(whose, access, subject.client)).collect()
}

fn list(whose: &str, access: &IpAccess, client: Option<IpAddr>) -> String {
    let served = access.allow.as_ref().map_or_else(|| "all clients".to_owned(), count);
    let but = if access.deny.is_empty() { String::new() } else { format!(" but {}", count(&access.deny)) };
    let then = match access.mode {
        LimitMode::Enforce => "others get 403",
        LimitMode::Shadow => "others are only counted",
    };
    let verdict = client.map(|client| match access.refusal(client) {
        None => format!("; {client} is served"),
        Some(IpRule::Deny) => format!("; {client} is not served by `deny`"),
        Some(IpRule::Allow) => format!("; {client} is not served, it is not in `allow`"),
    });
    format!("address   the {whose} serves {served}{but}, {then}{}", verdict.unwrap_or_default())
}

fn count(networks: &Networks) -> String {
    match networks.given() {
        0 => "nobody".to_owned(),
        1 => "1 network".to_owned(),
        many => format!("{many} networks"),
    }
}

/// What becomes of clients that fail to authenticate.
pub(super) fn failures(subject: &Subject<'_>) -> Vec<String> {
    let Some(failures) = subject.config.auth_failures.as_deref().filter(|_| subject.settings().auth.is_some()) else {
        return Vec::new();
    };
    let (first, longest) = (time(failures.delay), time(failures.max_delay));
    let then = match failures.block_after {
        Some(after) => format!("; after {after} it is blocked for {}", time(failures.block_for)),
        None => String::new(),
    };
    let mode = match failures.mode {
        LimitMode::Enforce => "",
        LimitMode::Shadow => " (only counted)",
    };
    let after = failures.slow_after;
    vec![format!("failures  after {after} wrong credentials a client waits {first} to {longest} (429){then}{mode}")]
}
