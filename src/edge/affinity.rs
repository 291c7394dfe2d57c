//! Who holds what a request is about. A call that names a task, a context or a session goes to the endpoint that holds
//! it; what names nothing that is known goes where there is least to do.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::answer_scan::Keeper;
use super::exchange::Exchange;
use super::stage::{Entry, Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::a2a::Operation;
use crate::cluster::{Affinity, EndpointId, Held, HeldKind, Preference, Progress, Retention, Strength};
use crate::config::model::{self, OnLoss};
use crate::error::Error;
use crate::upstream::WorkerCluster;

/// Where something is held: which cluster of the route, and which of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Position among the clusters of the route.
    pub(super) part: usize,
    pub(super) endpoint: EndpointId,
}

/// Finds the endpoint that holds what the request is about.
pub(super) fn find(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(settings) = settings(route).filter(|_| exchange.call.is_some() || exchange.request.seen.session) else {
        return Ok(Passage::On);
    };
    if exchange.request.seen.session {
        exchange.destination.session = exchange.message()?.headers().get(&SESSION).cloned();
    }
    let table = &entry.view.snapshot.agents.affinity;
    if let Some(holder) = known(exchange, route, table, settings) {
        prefer(exchange, holder, settings);
    }
    Ok(Passage::On)
}

/// Sends the request to who holds what it is about.
pub(super) fn prefer(exchange: &mut Exchange, holder: Holder, settings: &model::Affinity) {
    exchange.destination.part = Some(holder.part);
    let strength = match settings.on_loss {
        OnLoss::Rebalance => Strength::Holds,
        OnLoss::Fail => Strength::HoldsAlone,
    };
    exchange.destination.preferred = Some(Preference { endpoint: holder.endpoint, strength });
}

/// How a route follows tasks, if it does.
pub(super) fn settings(route: &WorkerRoute) -> Option<&model::Affinity> {
    route.settings().a2a.as_ref()?.affinity.as_ref()
}

fn retention(settings: &model::Affinity) -> Retention {
    Retention { active: settings.ttl, ended: settings.ended_ttl }
}

/// What the table knows.
pub(super) fn known(
    exchange: &Exchange,
    route: &WorkerRoute,
    table: &Affinity,
    settings: &model::Affinity,
) -> Option<Holder> {
    let (now, retention) = (exchange.request.started, retention(settings));
    // Where no other endpoint will do, one that is gone is an answer too.
    let alone = settings.on_loss == OnLoss::Fail;
    let of = |kind: HeldKind, id: &[u8]| {
        route.clusters().enumerate().find_map(|(part, cluster)| {
            let owner = table.owner(table.key(cluster.scope(), kind, id), retention, now)?;
            (alone || cluster.has(owner)).then_some(Holder { part, endpoint: owner })
        })
    };
    if let Some(call) = &exchange.call {
        let ids = call.ids();
        let task = ids.task.and_then(|task| of(HeldKind::Task, task.as_bytes()));
        return task.or_else(|| ids.context.and_then(|context| of(HeldKind::Context, context.as_bytes())));
    }
    let session = exchange.destination.session.as_ref()?;
    of(HeldKind::Session, session.as_bytes())
}

/// Notes the session that an answer begins or ends.
pub(super) fn note_session(
    exchange: &Exchange,
    table: &Affinity,
    route: &WorkerRoute,
    cluster: &WorkerCluster,
    status: StatusCode,
    fields: &HeaderMap,
) {
    let owner = exchange.guards.in_flight.as_ref().map(|in_flight| in_flight.handle().endpoint().id);
    let Some((owner, settings)) = owner.zip(settings(route)) else { return };
    let key = |id: &HeaderValue| table.key(cluster.scope(), HeldKind::Session, id.as_bytes());
    if let Some(begun) = fields.get(&SESSION).filter(|_| status.is_success()) {
        let held = Held { kind: HeldKind::Session, owner, progress: Progress::Active, maker: None };
        table.learn(key(begun), held, None, retention(settings), Instant::now());
    }
    let over = exchange.request.method == Method::DELETE && status.is_success() || status == StatusCode::NOT_FOUND;
    if let Some(asked) = exchange.destination.session.as_ref().filter(|_| over) {
        table.forget(key(asked));
    }
}

/// What writes down what an answer of `cluster` says.
pub(super) fn keeper(
    exchange: &Exchange,
    table: &Arc<Affinity>,
    route: &WorkerRoute,
    cluster: &WorkerCluster,
) -> Option<Keeper> {
    let in_flight = exchange.guards.in_flight.as_ref()?;
    let keeper = keeper_for(in_flight.handle().endpoint().id, table, route, cluster);
    let began = exchange.operation.is_some_and(Operation::is_send).then_some(exchange.request.started);
    Some(Keeper { began, makes: exchange.destination.makes, ..keeper })
}

/// What writes down what an answer of that endpoint says.
pub(super) fn keeper_for(
    owner: EndpointId,
    table: &Arc<Affinity>,
    route: &WorkerRoute,
    cluster: &WorkerCluster,
) -> Keeper {
    Keeper {
        table: Arc::clone(table),
        scope: cluster.scope(),
        owner,
        retention: settings(route).map(retention),
        is_agent: Arc::clone(&route.is_agent),
        makes: None,
        began: None,
        told: None,
        task: None,
        ended: None,
    }
}

/// Names a session of MCP (streamable HTTP).
pub(super) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
