//! Copies of requests on their way to another cluster. They start with the request and owe it nothing: it does not wait
//! for them.

use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderValue, Request};

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use super::worker_route::WorkerRoute;
use crate::body::RequestBody;
use crate::bounded::Count;
use crate::config::model::Mirror;
use crate::error::Error;
use crate::observe::handles::GaugeGuard;
use crate::policy::{self, mirror::COPY};
use crate::upstream::{self, Mirrored};

/// Copies the request if its route says so.
pub(super) fn start(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    let (settings, ceiling) = (&route.settings().mirror, route.mirrors.as_ref());
    if let (Some(settings), Some(ceiling)) = (settings, ceiling) {
        copy(exchange, route.worker_route, &settings.settings, ceiling);
    }
    Ok(Passage::On)
}

fn copy(exchange: &mut Exchange, route: &Rc<WorkerRoute>, settings: &Mirror, ceiling: &Arc<Count>) {
    let mut rng = exchange.worker.fork_rng();
    let Some(request) = exchange.message.as_mut().filter(|_| exchange.destination.upgrade.is_none()) else {
        return;
    };
    if !policy::mirror::is_chosen(settings, request.method(), request.headers(), &mut rng) {
        return;
    }
    let handles = route.handles.clone();
    let Some(place) = ceiling.enter(settings.max_active) else {
        handles.mirrors().mirrors.count("max_active");
        return;
    };
    let Ok(copied) = request.body_mut().copy(settings.max_body_bytes) else {
        handles.mirrors().mirrors.count(Mirrored::BodyTooLarge.word());
        return;
    };
    let (copy, grpc) = (head_of(request), exchange.request.grpc);
    let hash = route.mirror.as_ref().and_then(|target| target.hash(request.headers(), exchange.client.address));
    let active = GaugeGuard::of(&handles.mirrors().mirrors_active);
    // It keeps the route no longer than the request it copies would: until the body is whole, and then for the mirror's
    // time.
    let route = Rc::clone(route);
    let task = async move {
        let result = send(&route, copy, copied, (hash, grpc), &mut rng).await;
        handles.mirrors().mirrors.count(result.word());
        drop((place, active));
    };
    exchange.worker.mirrors.own(task);
}

async fn send(
    route: &WorkerRoute,
    copy: Request<RequestBody>,
    copied: Option<crate::body::Copied>,
    (hash, grpc): (Option<u64>, bool),
    rng: &mut fastrand::Rng,
) -> Mirrored {
    let settings = route.settings();
    let (Some(mirror), Some(target)) = (&settings.mirror, &route.mirror) else {
        return Mirrored::Failed;
    };
    let (host, timeout) = (&settings.upstream_host, mirror.settings.timeout);
    let plan = upstream::MirrorPlan { target, hash, host, grpc, timeout };
    upstream::mirror(&plan, copy, copied, rng).await
}

/// The same request without its body, with a word that says that it is a copy.
fn head_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = upstream::with_head_of(request, RequestBody::Empty);
    copy.headers_mut().insert(COPY, HeaderValue::from_static("1"));
    copy
}
