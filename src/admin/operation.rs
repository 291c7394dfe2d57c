//! Every operation of the admin API, in one table: its method and path, what it needs, its parameters, and what it
//! answers. The listing of the API, its OpenAPI document and the reading of queries all follow from it.

use super::access::Act;
use crate::config::model::Writes;

/// Something to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Config,
    Dashboard,
    /// What is done between reloads.
    Endpoint,
    OpenApi,
    Reload,
    Look(Look),
    Change(Change),
    Follow(Follow),
}

/// Something to see, as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Agents,
    Blocks,
    Certificates,
    Clusters,
    Errors,
    Events,
    History,
    Limits,
    LogLevel,
    Reloads,
    Rollouts,
    Routes,
    Status,
    Streams,
    Tasks,
}

/// Something to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Block,
    LogLevel,
    Rollout,
    Unblock,
}

/// An answer that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    Events,
    Requests,
    State,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    /// Its name on the wire.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: Verb,
    pub(super) path: &'static str,
    pub(super) act: Act,
    pub(super) ask: Ask,
    /// What it does, in one line.
    pub(super) about: &'static str,
    pub(super) parameters: &'static [Parameter],
    pub(super) answer: Answer,
    /// Statuses beside 200 that are its own.
    pub(super) refusals: &'static [(u16, &'static str)],
}

/// The form of a good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Json,
    Yaml,
    Html,
    /// Server-sent events.
    Events,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) about: &'static str,
}

/// What a parameter holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A whole number up to this.
    Number(u64),
    Bool,
    /// One of these.
    Word(&'static [&'static str]),
}

const fn may(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: false, about }
}

const fn must(name: &'static str, kind: Kind, about: &'static str) -> Parameter {
    Parameter { name, kind, required: true, about }
}

const fn read(path: &'static str, ask: Ask, about: &'static str, parameters: &'static [Parameter]) -> Operation {
    Operation { method: Verb::Get, path, act: Act::Read, ask, about, parameters, answer: Answer::Json, refusals: &[] }
}

const BY: Parameter = may("by", Kind::Text, "who does it, for the audit log");
const REASON: Parameter = may("reason", Kind::Text, "why, for the audit log");
const NETWORK: Parameter = must("network", Kind::Text, "an address, or a network such as 192.0.2.0/24");
const LIMIT: Parameter = may("limit", Kind::Number(10_000), "entries at most; 200 without it");
const ROUTE: Parameter = may("route", Kind::Text, "only of this route");
const CLUSTER: Parameter = may("cluster", Kind::Text, "only of this cluster");

/// The words of a rollout's verbs.
const ROLLOUT_VERBS: Kind =
    Kind::Word(&["pause", "resume", "promote", "abort", "restart", "release", "set-weight", "switch"]);

/// All of them, in the order of the listing.
pub(super) const OPERATIONS: &[Operation] = &[
    Operation {
        act: Act::Page,
        answer: Answer::Html,
        ..read("/dashboard", Ask::Dashboard, "a page that shows all of it, live", &[])
    },
    read("/status", Ask::Look(Look::Status), "health, configuration, clusters and endpoints", &[]),
    Operation {
        answer: Answer::Yaml,
        ..read("/config", Ask::Config, "the configuration in force, secrets redacted", &[])
    },
    read("/reloads", Ask::Look(Look::Reloads), "the last reloads: what they changed, or why they were refused", &[]),
    Operation {
        method: Verb::Post,
        act: Act::Write(Writes::Rollouts),
        refusals: &[(422, "the configuration is refused; the one before stays"), (503, "too many wait, or it stops")],
        ..read(
            "/reload",
            Ask::Reload,
            "read the configuration again; answers when it is in force or refused",
            &[may("color", Kind::Bool, "whether diagnostics are coloured")],
        )
    },
    read("/routes", Ask::Look(Look::Routes), "routes with where they lead and how their traffic goes", &[ROUTE, LIMIT]),
    read(
        "/clusters",
        Ask::Look(Look::Clusters),
        "clusters and endpoints: in flight, streams, tasks, health, ejections, ceilings",
        &[CLUSTER, LIMIT],
    ),
    Operation {
        method: Verb::Post,
        act: Act::Write(Writes::All),
        refusals: &[
            (404, "no such cluster or endpoint"),
            (409, "it is so already, or is the last one"),
            (503, "too many wait, or it stops"),
        ],
        ..read(
            "/endpoints",
            Ask::Endpoint,
            "drain an endpoint, take it back, or end its ejection",
            &[
                must("cluster", Kind::Text, "the cluster"),
                must("endpoint", Kind::Text, "its address, or its name for all addresses of the name"),
                must("verb", Kind::Word(&["drain", "undrain", "uneject"]), "what is done"),
                may("force", Kind::Bool, "drain the last one that can be used"),
                BY,
                REASON,
            ],
        )
    },
    read("/streams", Ask::Look(Look::Streams), "open streams with their age and last event", &[ROUTE, CLUSTER, LIMIT]),
    read(
        "/tasks",
        Ask::Look(Look::Tasks),
        "tasks that go on, by endpoint",
        &[may("id", Kind::Text, "a task to look for"), LIMIT],
    ),
    read("/agents", Ask::Look(Look::Agents), "agents behind routes, and the cards seen of them", &[LIMIT]),
    read("/limits", Ask::Look(Look::Limits), "rate limits, and the clients they refuse most", &[LIMIT]),
    read("/certificates", Ask::Look(Look::Certificates), "served certificates and how long they last", &[]),
    read(
        "/errors",
        Ask::Look(Look::Errors),
        "recent errors by cause, each with a request that shows it",
        &[ROUTE, CLUSTER, LIMIT],
    ),
    read("/history", Ask::Look(Look::History), "rates and times of the last 15 minutes, every 5 seconds", &[]),
    read("/rollouts", Ask::Look(Look::Rollouts), "splits with their shares, and how far rollouts are", &[]),
    Operation {
        method: Verb::Post,
        act: Act::Write(Writes::Rollouts),
        refusals: &[(404, "no such split"), (409, "it cannot be done as things stand")],
        ..read(
            "/rollouts",
            Ask::Change(Change::Rollout),
            "move a rollout or a split",
            &[
                must("route", Kind::Text, "the route"),
                must("verb", ROLLOUT_VERBS, "what is done"),
                may("weight", Kind::Number(u32::MAX as u64), "of set-weight: the share in percent"),
                may("cluster", Kind::Text, "of set-weight and switch: the cluster; the canary without it"),
                may("for", Kind::Number(u64::MAX), "of set-weight: milliseconds; until it is released without it"),
                BY,
            ],
        )
    },
    read(
        "/blocks",
        Ask::Look(Look::Blocks),
        "clients that are blocked, by operators and for failures to authenticate",
        &[],
    ),
    Operation {
        method: Verb::Post,
        act: Act::Write(Writes::All),
        refusals: &[(409, "as many are blocked as may be")],
        ..read(
            "/blocks",
            Ask::Change(Change::Block),
            "block a client or a network",
            &[NETWORK, may("for", Kind::Text, "how long, such as 12h; for ever without it"), REASON, BY],
        )
    },
    Operation {
        method: Verb::Delete,
        act: Act::Write(Writes::All),
        refusals: &[(404, "it is not blocked"), (409, "the configuration blocks it")],
        ..read(
            "/blocks",
            Ask::Change(Change::Unblock),
            "unblock it; forgives failures to authenticate too",
            &[NETWORK, REASON, BY],
        )
    },
    read("/log-level", Ask::Look(Look::LogLevel), "the level of the gateway's own log", &[]),
    Operation {
        method: Verb::Post,
        act: Act::Write(Writes::All),
        refusals: &[(409, "this process has no log to set")],
        ..read(
            "/log-level",
            Ask::Change(Change::LogLevel),
            "set it for a while; the configured one without `level`",
            &[
                may("level", Kind::Text, "a level, or parts such as info,attache::upstream=debug"),
                may("for", Kind::Text, "how long, such as 10m; until the configured one changes without it"),
                BY,
            ],
        )
    },
    read("/events", Ask::Look(Look::Events), "the last events of the gateway's life", &[]),
    Operation {
        answer: Answer::Events,
        refusals: BUSY,
        ..read("/events/live", Ask::Follow(Follow::Events), "the same, and each as it comes", &[])
    },
    Operation {
        answer: Answer::Events,
        refusals: BUSY,
        ..read(
            "/requests/live",
            Ask::Follow(Follow::Requests),
            "requests as they end, as access records",
            &[
                may("route", Kind::Text, "only of this route"),
                may("cluster", Kind::Text, "only of this cluster"),
                may("endpoint", Kind::Text, "only of this endpoint"),
                may("method", Kind::Text, "only this method"),
                may("path", Kind::Text, "only paths that begin like this"),
                may("status", Kind::Text, "only this status or class: 503 or 5xx"),
                may("slower", Kind::Text, "only those that took as long: 500ms"),
                may("failed", Kind::Bool, "only what went wrong"),
                may("reason", Kind::Text, "only this reason word"),
                may("operation", Kind::Text, "only this operation of A2A"),
                may("client", Kind::Text, "only of this address or network"),
                may("principal", Kind::Text, "only of this principal"),
                may("tenant", Kind::Text, "only of this tenant"),
            ],
        )
    },
    Operation {
        answer: Answer::Events,
        refusals: BUSY,
        ..read("/live", Ask::Follow(Follow::State), "what the dashboard shows, every second", &[])
    },
    read("/openapi.json", Ask::OpenApi, "this API as an OpenAPI document", &[]),
];

const BUSY: &[(u16, &str)] = &[(503, "too many follow already")];
