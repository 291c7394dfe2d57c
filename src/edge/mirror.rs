//! Copies of requests on their way to another cluster. They start with the request and owe it nothing: it does not wait
//! for them.

use std::rc::Rc;

use http::{HeaderValue, Request};

use super::exchange::Exchange;
use super::forward::Outgoing;
use super::worker::View;
use crate::body::RequestBody;
use crate::config::model::RouteId;
use crate::observe::handles::GaugeGuard;
use crate::policy::{self, mirror::COPY};
use crate::upstream::{self, Mirrored};

/// Copies the request if its route says so.
pub(super) fn start(exchange: &Exchange, outgoing: &mut Outgoing) {
    let (view, route) = (Rc::clone(&outgoing.view), outgoing.route);
    let mirror = view.route(route).and_then(|route| route.mirror.as_deref());
    let ceiling = view.live(route).and_then(|live| live.mirrors.as_ref());
    let (Some(mirror), Some(ceiling), Some(request)) = (mirror, ceiling, &mut outgoing.request) else {
        return;
    };
    let mut rng = exchange.worker.fork_rng();
    let (method, headers) = (request.method(), request.headers());
    if outgoing.upgrade.is_some() || !policy::mirror::is_chosen(mirror, method, headers, &mut rng) {
        return;
    }
    let handles = view.handles(route).clone();
    let Some(place) = ceiling.enter(mirror.max_active) else {
        handles.mirrors().mirrors.count("max_active");
        return;
    };
    let Ok(copied) = request.body_mut().copy(mirror.max_body_bytes) else {
        handles.mirrors().mirrors.count(Mirrored::BodyTooLarge.word());
        return;
    };
    let copy = head_of(request);
    let hash = view.target(mirror.cluster).and_then(|target| target.hash(request.headers(), exchange.client));
    let active = GaugeGuard::of(&handles.mirrors().mirrors_active);
    // It keeps the view no longer than the request it copies would: until the body is whole, and then for the mirror's
    // time.
    let task = async move {
        let result = send(&view, route, copy, copied, hash, &mut rng).await;
        handles.mirrors().mirrors.count(result.word());
        drop((place, active));
    };
    exchange.worker.mirrors.own(task);
}

async fn send(
    view: &View,
    route: RouteId,
    copy: Request<RequestBody>,
    copied: Option<crate::body::Copied>,
    hash: Option<u64>,
    rng: &mut fastrand::Rng,
) -> Mirrored {
    let settings = view.route(route);
    let mirror = settings.and_then(|route| Some((route, route.mirror.as_deref()?)));
    let Some((settings, mirror)) = mirror else {
        return Mirrored::Failed;
    };
    let Some(target) = view.target(mirror.cluster) else {
        return Mirrored::Failed;
    };
    let plan = upstream::MirrorPlan { target, hash, host: &settings.upstream_host, timeout: mirror.timeout };
    upstream::mirror(&plan, copy, copied, rng).await
}

/// The same request without its body, with a word that says that it is a copy.
fn head_of(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = upstream::with_head_of(request, RequestBody::Empty);
    copy.headers_mut().insert(COPY, HeaderValue::from_static("1"));
    copy
}
