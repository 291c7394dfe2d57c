//! Whether the cluster takes the request now: past its breaker and below its ceilings, after a wait where its queue has
//! room.

use std::rc::Rc;

use http::{Request, header};
use tokio::time::Instant;

use super::exchange::Exchange;
use super::facts::is_event_stream;
use super::stage::{Passage, ServedRoute};
use crate::a2a::Operation;
use crate::cluster::{AnswerKind, Kind};
use crate::error::Error;
use crate::upstream::WorkerCluster;

/// Lets the request in, and waits for that where it may.
pub(super) async fn admit(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let cluster = exchange.destination.cluster.as_ref().ok_or_else(|| Error::Internal)?;
    if cluster.is_guarded() {
        let (cluster, mut rng) = (Rc::clone(cluster), exchange.worker.fork_rng());
        let started = exchange.request.started;
        let mut admission = cluster.admit(kind(exchange), started, &mut rng)?;
        let client_time = exchange.request.upload.client_time();
        cluster.enter_adaptive(&mut admission, answer_kind(exchange), Instant::now(), client_time)?;
        exchange.guards.admission = admission;
        if exchange.guards.admission.waits() {
            exchange.guards.waited = true;
            let deadline = exchange.deadline(route);
            let admission = &mut exchange.guards.admission;
            Box::pin(cluster.wait(admission, started, deadline, &mut rng)).await?;
        }
    }
    Ok(Passage::On)
}

/// What the request counts as, so far as it says itself and it matters.
pub(super) fn kind_at(exchange: &Exchange, cluster: &WorkerCluster) -> Kind {
    if cluster.is_guarded() { kind(exchange) } else { Kind::Request }
}

/// How soon its answer may be expected.
fn answer_kind(exchange: &Exchange) -> AnswerKind {
    if exchange.operation.is_some_and(Operation::has_time) { AnswerKind::Work } else { AnswerKind::Soon }
}

fn kind(exchange: &Exchange) -> Kind {
    let fields = exchange.message.as_ref().map(Request::headers);
    let accepted = fields.and_then(|fields| fields.get(header::ACCEPT));
    // Who takes a stream among other things gets one only sometimes.
    let only = accepted.filter(|accepted| !accepted.as_bytes().contains(&b','));
    let switches = exchange.destination.upgrade.is_some();
    if exchange.request.grpc || switches || is_event_stream(only) { Kind::Stream } else { Kind::Request }
}
