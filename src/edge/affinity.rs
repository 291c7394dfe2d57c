//! Who holds what a request is about. A call that names a task, a context or a session goes to the endpoint that holds
//! it; what names nothing that is known goes where there is least to do.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use tokio::time::Instant;

use super::answer_scan::Keeper;
use super::call::Call;
use super::exchange::Exchange;
use super::facts::Session;
use super::stage::{Entry, Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::a2a::{Ids, Operation};
use crate::cluster::{Affinity, EndpointId, Held, HeldKey, HeldKind, Preference, Progress, Retention, Strength};
use crate::config::model::{self, HeldBy, OnLoss};
use crate::error::Error;
use crate::upstream::{WorkerCluster, WorkerEndpoint};

/// Where something is held: which cluster of the route, and which of its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Position among the clusters of the route.
    pub(super) part: usize,
    pub(super) endpoint: EndpointId,
}

/// Finds the endpoint that holds what the request is about.
pub(super) fn find(exchange: &mut Exchange, entry: &Entry, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let Some(settings) = settings(route) else { return Ok(Passage::On) };
    exchange.destination.session = session(exchange, settings);
    if exchange.call.is_none() && exchange.destination.session.is_none() {
        return Ok(Passage::On);
    }
    let table = &entry.view.snapshot.agents.affinity;
    if let Some(holder) = known(exchange, route, table, settings) {
        prefer(exchange, holder, settings);
    }
    Ok(Passage::On)
}

fn session(exchange: &Exchange, settings: &model::Affinity) -> Option<Box<Session>> {
    let fields = exchange.message.as_ref()?.headers();
    let mut headers = settings.by.iter().filter_map(|by| match by {
        HeldBy::McpSession if exchange.request.seen.session => Some(SESSION),
        HeldBy::Header(name) => Some(name.clone()),
        HeldBy::McpSession | HeldBy::TaskId | HeldBy::ContextId => None,
    });
    headers.find_map(|header| Some(Box::new(Session { id: fields.get(&header)?.clone(), header })))
}

/// What a call names, of what the route follows.
pub(super) fn ids<'a>(call: &'a Call, settings: &model::Affinity) -> Ids<'a> {
    let ids = call.ids();
    Ids {
        task: ids.task.filter(|_| settings.by.contains(&HeldBy::TaskId)),
        context: ids.context.filter(|_| settings.by.contains(&HeldBy::ContextId)),
        ..ids
    }
}

fn session_key(table: &Affinity, cluster: &WorkerCluster, header: &HeaderName, id: &HeaderValue) -> HeldKey {
    table.key(cluster.scope().of_header(header.as_str()), HeldKind::Session, id.as_bytes())
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
    let of = |key: &dyn Fn(&WorkerCluster) -> HeldKey| {
        route.clusters().enumerate().find_map(|(part, cluster)| {
            let owner = table.owner(key(cluster), retention, now)?;
            (alone || cluster.has(owner)).then_some(Holder { part, endpoint: owner })
        })
    };
    let named = |kind: HeldKind, id: &str| of(&|cluster| table.key(cluster.scope(), kind, id.as_bytes()));
    let ids = exchange.call.as_ref().map(|call| ids(call, settings)).unwrap_or_default();
    let task = ids.task.and_then(|task| named(HeldKind::Task, task));
    let holder = task.or_else(|| ids.context.and_then(|context| named(HeldKind::Context, context)));
    holder.or_else(|| {
        let Session { header, id } = &**exchange.destination.session.as_ref()?;
        of(&|cluster| session_key(table, cluster, header, id))
    })
}

/// Notes the sessions that an answer begins or ends.
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
    for by in &settings.by {
        let header = match by {
            HeldBy::McpSession => &SESSION,
            HeldBy::Header(name) => name,
            HeldBy::TaskId | HeldBy::ContextId => continue,
        };
        if let Some(begun) = fields.get(header).filter(|_| status.is_success()) {
            let held = Held { kind: HeldKind::Session, owner, progress: Progress::Active, maker: None };
            let key = session_key(table, cluster, header, begun);
            table.learn(key, held, None, retention(settings), Instant::now());
        }
    }
    // That is how MCP ends one. With another header it is about something in the session.
    let over = exchange.request.method == Method::DELETE && status.is_success() || status == StatusCode::NOT_FOUND;
    if let Some(asked) = exchange.destination.session.as_ref().filter(|asked| over && asked.header == SESSION) {
        table.forget(session_key(table, cluster, &asked.header, &asked.id));
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
    let keeper = keeper_for(Rc::clone(in_flight.handle()), table, route, cluster);
    let began = exchange.operation.is_some_and(Operation::is_send).then_some(exchange.request.started);
    Some(Keeper { began, makes: exchange.destination.makes, ..keeper })
}

/// What writes down what an answer of that endpoint says.
pub(super) fn keeper_for(
    owner: Rc<WorkerEndpoint>,
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
        has_task: false,
        task: None,
        ended: None,
    }
}

/// Names a session of MCP (streamable HTTP).
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
