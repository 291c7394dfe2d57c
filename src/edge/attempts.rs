//! The attempts: the request goes to an endpoint, and to another where that is safe and wanted.

use std::rc::Rc;

use http::Method;
use tokio::time::{Instant, timeout_at};

use super::admission::kind_at;
use super::exchange::Exchange;
use super::stage::ServedRoute;
use crate::a2a::{Operation, RetryClass};
use crate::error::Error;
use crate::upstream::{self, Repeat, UpstreamResponse};

/// Sends the request to an endpoint of its cluster.
pub(super) async fn send(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<UpstreamResponse, Error> {
    if !exchange.request.seen.expect
        && let Some(message) = exchange.message.as_mut()
    {
        // A client that waits for our 100 gets it when an endpoint asks for the body.
        message.body_mut().prime().await;
        if let Some(error) = exchange.request.upload.failure() {
            return Err(error);
        }
    }
    let target = Rc::clone(exchange.destination.cluster.as_ref().ok_or_else(|| Error::Internal)?);
    let (settings, delayed) = (route.settings(), exchange.is_delayed());
    let waited = exchange.guards.waited;
    let (kind, mut rng) = (kind_at(exchange, &target), exchange.worker.fork_rng());
    let (deadline, operation) = (exchange.deadline(route), exchange.operation);
    let Exchange { message, request, destination, attempts, .. } = exchange;
    let upgrade = destination.upgrade.is_some();
    let has_time = operation.is_some_and(Operation::has_time);
    let is_read = match operation {
        Some(operation) => operation.retry_class() == RetryClass::Safe,
        None => matches!(request.method, Method::GET | Method::HEAD),
    };
    let repeat = operation.map_or_else(|| Repeat::of_method(&request.method), of_operation);
    let plan = upstream::AttemptPlan {
        target: &target,
        hash: destination.hash,
        preferred: destination.preferred,
        kind,
        head_timeout: settings.head_limit(is_read && !upgrade, has_time),
        // A delayed exchange is given up from outside: what runs out then is not the endpoint's time.
        deadline: deadline.filter(|_| !delayed),
        now: request.started,
        upload: &request.upload,
        host: &settings.upstream_host,
        upgrade,
        at_once: !(delayed || waited || request.seen.expect) && request.upload.client_time().is_zero(),
        grpc: request.grpc,
        repeat,
        retries: &settings.retries,
    };
    let sent = match deadline.filter(|_| delayed) {
        None => upstream::send(&plan, message, attempts, &mut rng).await,
        Some(deadline) => {
            let sending = Box::pin(upstream::send(&plan, message, attempts, &mut rng));
            let sent = timeout_at(deadline, sending).await;
            sent.unwrap_or(Err(Error::FaultDelay))
        }
    };
    let admission = &mut exchange.guards.admission;
    target.settle(admission, upstream::outcome(&sent));
    if let Err(Error::HeadTimeout | Error::Timeout | Error::ConnectTimeout(_)) = &sent {
        target.measure(admission, Instant::now(), exchange.request.upload.client_time());
    }
    sent
}

/// What doing a call of an agent twice would mean.
fn of_operation(operation: Operation) -> Repeat {
    match operation.retry_class() {
        RetryClass::Safe => Repeat::Safe,
        RetryClass::Idempotent => Repeat::Idempotent,
        RetryClass::Cancel | RetryClass::Create => Repeat::Once,
        RetryClass::Send => Repeat::Work,
    }
}
