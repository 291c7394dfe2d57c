//! What a route's requests are followed by: tasks, contexts, and headers that name sessions. Knows no exchange.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::call::Call;
use super::facts::Session;
use super::seen::Seen;
use crate::a2a::Ids;
use crate::cluster::{Affinity, HeaderScope, HeldKey, HeldKind, Retention, Strength};
use crate::config::model::{self, HeldBy, OnLoss};
use crate::upstream::WorkerCluster;

/// What a route follows and how, resolved once for a worker.
#[derive(Debug)]
pub(super) struct Followed {
    tasks: bool,
    contexts: bool,
    pub(super) headers: Box<[FollowedHeader]>,
    pub(super) retention: Retention,
    pub(super) strength: Strength,
    /// Whether endpoints are asked for what is not known.
    pub(super) lookup: bool,
}

/// A header that names sessions.
#[derive(Debug)]
pub(super) struct FollowedHeader {
    pub(super) name: HeaderName,
    scope: HeaderScope,
    /// Whether the sessions are those of MCP.
    pub(super) is_mcp: bool,
}

impl Followed {
    pub(super) fn of(settings: &model::Affinity) -> Self {
        let header = |by: &HeldBy| {
            let name = match by {
                HeldBy::McpSession => SESSION,
                HeldBy::Header(name) => name.clone(),
                HeldBy::TaskId | HeldBy::ContextId => return None,
            };
            let scope = HeaderScope::of(name.as_str());
            Some(FollowedHeader { is_mcp: name == SESSION, scope, name })
        };
        Self {
            tasks: settings.by.contains(&HeldBy::TaskId),
            contexts: settings.by.contains(&HeldBy::ContextId),
            headers: settings.by.iter().filter_map(header).collect(),
            retention: Retention { active: settings.ttl, ended: settings.ended_ttl },
            strength: match settings.on_loss {
                OnLoss::Rebalance => Strength::Holds,
                OnLoss::Fail => Strength::HoldsAlone,
            },
            lookup: settings.lookup,
        }
    }

    /// The session that a request names.
    pub(super) fn session(&self, fields: &HeaderMap, seen: Seen) -> Option<Session> {
        let is_here = |header: &FollowedHeader| seen.session || !header.is_mcp;
        let mut headers = self.headers.iter().enumerate().filter(|(_, header)| is_here(header));
        headers.find_map(|(header, followed)| Some(Session { header, id: fields.get(&followed.name)?.clone() }))
    }

    /// What a call names, of what the route follows.
    pub(super) fn ids<'a>(&self, call: &'a Call) -> Ids<'a> {
        let ids = call.ids();
        Ids { task: ids.task.filter(|_| self.tasks), context: ids.context.filter(|_| self.contexts), ..ids }
    }
}

impl FollowedHeader {
    /// What the table keys a session in it by.
    pub(super) fn key(&self, table: &Affinity, cluster: &WorkerCluster, id: &HeaderValue) -> HeldKey {
        table.key(cluster.scope().of_header(self.scope), HeldKind::Session, id.as_bytes())
    }
}

/// Names a session of MCP (streamable HTTP).
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
