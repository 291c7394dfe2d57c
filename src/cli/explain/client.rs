//! Whether the client may: where it comes from, whose page sends the request, who it is and how much it sends.

use std::iter;

use super::subject::Subject;
use crate::cli::words::labelled;
use crate::config::model::IpAccess;

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
    vec![labelled("blocked", format_args!("{networks} of blockList{}", verdict.unwrap_or_default()))]
}

/// The lists of addresses of the listener and of the route.
pub(super) fn addresses(subject: &Subject<'_>) -> Vec<String> {
    let list = |whose: &str, access: &IpAccess| {
        let verdict = subject.client.map(|client| match access.refusal(client) {
            None => format!("; {client} is served"),
            Some(rule) => format!("; {client} is {rule}"),
        });
        labelled("address", format_args!("the {whose} serves {access}{}", verdict.unwrap_or_default()))
    };
    let of_listener = subject.listener.ip_access.as_deref().map(|access| list("listener", access));
    let of_route = subject.settings().ip_access.as_deref().map(|access| list("route", access));
    of_listener.into_iter().chain(of_route).collect()
}

/// Whose pages may use the route, and how.
pub(super) fn cors(subject: &Subject<'_>) -> Vec<String> {
    let facts = subject.settings().cors.iter().flat_map(|cors| cors.facts());
    facts.map(|fact| labelled("cors", fact)).collect()
}

/// What is refused because a browser sends it for a foreign page.
pub(super) fn csrf(subject: &Subject<'_>) -> Vec<String> {
    let settings = subject.settings();
    settings.csrf.iter().map(|csrf| labelled("csrf", csrf.guard(settings.cors.as_deref()))).collect()
}

/// Who has to know the client: a line for the route, and one for each of its providers.
pub(super) fn auth(subject: &Subject<'_>) -> Vec<String> {
    let (Some(settings), Some(auth)) = (&subject.settings().auth, &subject.route.auth) else {
        return Vec::new();
    };
    if auth.is_public(subject.method(), subject.facts.path) {
        return vec![labelled("auth", "none for this path (`except`)")];
    }
    let providers = settings.needed.providers().iter().filter_map(|id| subject.config.auth_providers.get(id.0));
    let told: Vec<_> = settings.identity_headers.names().map(ToString::to_string).collect();
    let told = (!told.is_empty()).then(|| labelled("", format_args!("agents are told {}", told.join(", "))));
    let lines = iter::once(labelled("auth", auth)).chain(providers.map(|provider| labelled("", provider)));
    lines.chain(told).collect()
}

/// What becomes of clients that fail to authenticate.
pub(super) fn failures(subject: &Subject<'_>) -> Vec<String> {
    let failures = subject.config.auth_failures.iter().filter(|_| subject.settings().auth.is_some());
    failures.map(|failures| labelled("failures", failures)).collect()
}

/// Whose the request is, where anything is presented.
pub(super) fn identity(subject: &Subject<'_>) -> Vec<String> {
    subject.sender.words().iter().map(|who| labelled("client", who)).collect()
}

/// What the client may send, and have open.
pub(super) fn limits(subject: &Subject<'_>) -> Vec<String> {
    let Some(limits) = &subject.route.limits else {
        return Vec::new();
    };
    let open = limits.concurrency().map(|limit| labelled("at a time", format_args!("{limit}, more get 429")));
    open.into_iter().chain(limits.rates().map(|limit| labelled("rate", limit))).collect()
}
