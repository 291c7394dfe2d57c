//! Who holds what a request is about. A call that names a task, a context or a session goes to the endpoint that holds
//! it; what names nothing that is known goes where there is least to do.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;

use super::answer_scan::Keeper;
use super::exchange::Exchange;
use super::followed::Followed;
use super::stage::{Entry, Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::a2a::Operation;
use crate::cluster::{Affinity, EndpointId, Held, HeldKey, HeldKind, Preference, Progress, Strength};
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
    let Some(followed) = &route.followed else { return Ok(Passage::On) };
    exchange.destination.session = followed.session(exchange.message()?.headers(), exchange.request.seen).map(Box::new);
    if exchange.call.is_none() && exchange.destination.session.is_none() {
        return Ok(Passage::On);
    }
    let table = &entry.view.snapshot.agents.affinity;
    if let Some(holder) = known(exchange, route, table, followed) {
        prefer(exchange, holder, followed);
    }
    Ok(Passage::On)
}

/// Sends the request to who holds what it is about.
pub(super) fn prefer(exchange: &mut Exchange, holder: Holder, followed: &Followed) {
    exchange.destination.part = Some(holder.part);
    exchange.destination.preferred = Some(Preference { endpoint: holder.endpoint, strength: followed.strength });
}

/// What the table knows.
pub(super) fn known(exchange: &Exchange, route: &WorkerRoute, table: &Affinity, followed: &Followed) -> Option<Holder> {
    let (now, retention) = (exchange.request.started, followed.retention);
    // Where no other endpoint will do, one that is gone is an answer too.
    let alone = followed.strength == Strength::HoldsAlone;
    let of = |key: &dyn Fn(&WorkerCluster) -> HeldKey| {
        route.clusters().enumerate().find_map(|(part, cluster)| {
            let owner = table.owner(key(cluster), retention, now)?;
            (alone || cluster.has(owner)).then_some(Holder { part, endpoint: owner })
        })
    };
    let named = |kind: HeldKind, id: &str| of(&|cluster| table.key(cluster.scope(), kind, id.as_bytes()));
    let ids = exchange.call.as_ref().map(|call| followed.ids(call)).unwrap_or_default();
    let task = ids.task.and_then(|task| named(HeldKind::Task, task));
    let holder = task.or_else(|| ids.context.and_then(|context| named(HeldKind::Context, context)));
    holder.or_else(|| {
        let session = exchange.destination.session.as_ref()?;
        let header = followed.headers.get(session.header)?;
        of(&|cluster| header.key(table, cluster, &session.id))
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
    let Some((owner, followed)) = owner.zip(route.followed.as_ref()) else { return };
    for header in &followed.headers {
        if let Some(begun) = fields.get(&header.name).filter(|_| status.is_success()) {
            let held = Held { kind: HeldKind::Session, owner, progress: Progress::Active, maker: None };
            table.learn(header.key(table, cluster, begun), held, None, followed.retention, Instant::now());
        }
    }
    let Some(asked) = &exchange.destination.session else { return };
    // That is how MCP ends one. With another header it is about something in the session.
    let over = exchange.request.method == Method::DELETE && status.is_success() || status == StatusCode::NOT_FOUND;
    if let Some(header) = followed.headers.get(asked.header).filter(|header| over && header.is_mcp) {
        table.forget(header.key(table, cluster, &asked.id));
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
    Some(Keeper { began, makes: exchange.destination.makes.as_deref().copied(), ..keeper })
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
        retention: route.followed.as_ref().map(|followed| followed.retention),
        is_agent: Arc::clone(&route.is_agent),
        makes: None,
        began: None,
        last: None,
    }
}
