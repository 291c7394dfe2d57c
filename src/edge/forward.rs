//! Forwarding: the request as the endpoint shall see it, the attempts, and the answer as the client shall see it.

use std::rc::Rc;
use std::time::Duration;

use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use hyper::upgrade::OnUpgrade;
use tokio::time::{Instant, timeout_at};

use super::depart::depart;
use super::exchange::{Exchange, is_event_stream, is_grpc};
use super::headers::{self, Forwarded};
use super::hygiene;
use super::locations::{self, LocationContext};
use super::public;
use super::seen::{Found, Seen};
use super::tracked_body::BodyLimits;
use super::worker::View;
use super::{fault, mirror};
use crate::body::{Events, RequestBody, Upload};
use crate::cluster::Kind;
use crate::config::model::{ClusterId, HeadLimit, ListenerId, PublicUrl, RetryPolicy, Route, RouteId, UpstreamHost};
use crate::error::Error;
use crate::observe::trace::propagate;
use crate::pool;
use crate::route::PathMapping;
use crate::upstream::{self, WorkerCluster};

/// The decisions about a request that is to be forwarded.
#[derive(Debug)]
pub(super) struct ForwardPlan {
    pub(super) route: RouteId,
    /// Which of the route's alternatives matched.
    pub(super) matched: usize,
    /// The listener it came in through.
    pub(super) listener: ListenerId,
    pub(super) cluster: ClusterId,
    /// Which fields the head carries.
    pub(super) seen: Seen,
    /// The target, where it differs from the client's.
    pub(super) target: Option<PathAndQuery>,
    /// Protocol to switch to.
    pub(super) upgrade: bool,
    /// Bytes the body may have.
    pub(super) body_limit: Option<u64>,
    /// Time between two pieces of it.
    pub(super) body_idle: Duration,
}

/// An endpoint's answer.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every answer is the large one, and a box would cost each of them an allocation"
)]
pub(super) enum Answered {
    /// To be passed on.
    Streamed(Response<pool::ResponseBody>, BodyLimits),
    /// 101.
    Switched(Box<Switched>),
}

/// An endpoint that agreed to switch protocols.
#[derive(Debug)]
pub(super) struct Switched {
    pub(super) response: Response<pool::ResponseBody>,
    pub(super) client: OnUpgrade,
    pub(super) idle: Option<Duration>,
    pub(super) end: Option<Instant>,
}

/// Whether the client wants to switch to a protocol this route passes on. Only WebSocket is passed on; other upgrades
/// are ignored, as RFC 9110 section 7.8 allows. HTTP/2 has no upgrade, so such a request is refused for a cluster that
/// speaks only HTTP/2.
pub(super) fn wanted_upgrade(head: &Parts, route: &Route, target: Option<&WorkerCluster>) -> Result<bool, Error> {
    let websocket =
        head.headers.get(header::UPGRADE).is_some_and(|hints| hints.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let asked = head.version == Version::HTTP_11 && websocket && head.method == Method::GET;
    let passed = route.websocket && target.is_none_or(WorkerCluster::may_switch);
    if asked && !passed {
        return Err(Error::UpgradeRefused);
    }
    Ok(asked)
}

/// A request on its way to an endpoint.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) view: Rc<View>,
    pub(super) route: RouteId,
    matched: usize,
    listener: ListenerId,
    cluster: ClusterId,
    pub(super) request: Option<Request<RequestBody>>,
    pub(super) upgrade: Option<OnUpgrade>,
    hash: Option<u64>,
    /// The client waits for a 100 before it sends its body.
    expected: bool,
    body_idle: Duration,
    /// HTTP version of the client.
    pub(super) version: Version,
}

impl Outgoing {
    /// Settings of its route.
    pub(super) fn settings(&self) -> Result<&Route, Error> {
        self.view.route(self.route).ok_or(Error::Internal)
    }
}

/// Sends the request to an endpoint and prepares its answer for the client.
pub(super) async fn forward(exchange: &mut Exchange, outgoing: &mut Outgoing) -> Result<Answered, Error> {
    if exchange.fault.is_some() {
        let timeout = outgoing.settings()?.timeout;
        Box::pin(fault::hold(exchange, timeout)).await?;
    }
    if outgoing.settings()?.mirror.is_some() {
        mirror::start(exchange, outgoing);
    }
    if outgoing.expected && outgoing.version == Version::HTTP_2 {
        Box::pin(unasked(exchange, outgoing)).await?;
    }
    let view = &outgoing.view;
    let route = view.route(outgoing.route).ok_or(Error::Internal)?;
    let deadline = route.timeout.map(|limit| exchange.started + limit);
    let target = view.target(outgoing.cluster).ok_or(Error::Internal)?;
    let mut rng = exchange.worker.fork_rng();
    let kind = kind(exchange, outgoing, target);
    exchange.admission = target.admit(kind, exchange.started, &mut rng)?;
    let waited = exchange.admission.waits();
    if waited {
        let (held, begun) = (&mut exchange.admission, exchange.started);
        Box::pin(target.wait(held, begun, deadline, &mut rng)).await?;
    }
    if let Some(request) = outgoing.request.as_mut().filter(|_| !outgoing.expected) {
        // A client that waits for our 100 gets it when an endpoint asks for the body.
        request.body_mut().prime().await;
        if let Some(error) = exchange.flow.failure() {
            return Err(error);
        }
    }
    let upgrade = outgoing.upgrade.is_some();
    let delayed = exchange.is_delayed();
    let plan = upstream::AttemptPlan {
        target,
        hash: outgoing.hash,
        kind,
        head_timeout: head_timeout(route, &exchange.method, upgrade),
        // A delayed exchange is cancelled from outside, because its timeout is not the endpoint's.
        deadline: deadline.filter(|_| !delayed),
        now: exchange.started,
        flow: &exchange.flow,
        host: &route.upstream_host,
        upgrade,
        method: &exchange.method,
        retries: &route.retries,
        at_once: !(delayed || waited || outgoing.expected) && exchange.flow.client_time().is_zero(),
    };
    let (slot, attempts) = (&mut outgoing.request, &mut exchange.attempts);
    let sent = match deadline.filter(|_| delayed) {
        None => upstream::send(&plan, slot, attempts, &mut rng).await,
        Some(deadline) => {
            let sending = Box::pin(upstream::send(&plan, slot, attempts, &mut rng));
            let sent = timeout_at(deadline, sending).await;
            sent.unwrap_or(Err(Error::FaultDelay))
        }
    };
    let status = sent.as_ref().map(|answer| answer.response.status());
    target.settle(&mut exchange.admission, status);
    let answer = sent?;
    exchange.in_flight = Some(answer.in_flight);
    exchange.upstream_status = Some(answer.response.status().as_u16());
    let upgrade = outgoing.upgrade.take();
    let limits = (deadline, outgoing.body_idle);
    let response = (answer.response, answer.at);
    let place = LocationContext {
        route,
        target,
        listener: view.public_url(outgoing.listener),
        paths: view.snapshot.paths.get(outgoing.route, outgoing.matched),
    };
    receive(exchange, &place, response, upgrade, limits)
}

/// Waits for a body whose client expects a 100. Over HTTP/2 hyper cannot send one. Most clients send their body after a
/// while anyway (RFC 9110 section 10.1.1). A client that does not gets 417, and no endpoint receives the request.
async fn unasked(exchange: &Exchange, outgoing: &mut Outgoing) -> Result<(), Error> {
    let patience = outgoing.body_idle.min(UNASKED);
    let body = outgoing.request.as_mut().map(Request::body_mut);
    let come = match body {
        Some(body) => body.arrives(patience).await,
        None => true,
    };
    match exchange.flow.failure() {
        Some(error) => Err(error),
        None if come => Ok(()),
        None => Err(Error::UnmetExpectation),
    }
}

/// Whether the request counts as a stream, as far as its head says so.
fn kind(exchange: &Exchange, outgoing: &Outgoing, target: &WorkerCluster) -> Kind {
    if !target.is_guarded() {
        return Kind::Request;
    }
    let fields = outgoing.request.as_ref().map(Request::headers);
    let accepted = fields.and_then(|fields| fields.get(header::ACCEPT));
    // A client that accepts a stream among other types gets one only sometimes.
    let only = accepted.filter(|accepted| !accepted.as_bytes().contains(&b','));
    if exchange.grpc || outgoing.upgrade.is_some() || is_event_stream(only) { Kind::Stream } else { Kind::Request }
}

/// Builds the endpoint's request from the client's, and takes the upgrade of the client's connection out of it.
pub(super) fn outgoing(
    exchange: &mut Exchange,
    view: Rc<View>,
    plan: ForwardPlan,
    mut head: Parts,
    body: Upload,
) -> Result<Outgoing, Error> {
    let route = view.route(plan.route).ok_or(Error::Internal)?;
    let target = view.target(plan.cluster).ok_or(Error::Internal)?;
    let hash = target.hash(&head.headers, exchange.client);
    let upgrade = if plan.upgrade { head.extensions.remove::<OnUpgrade>() } else { None };
    if let Some(faults) = &route.fault {
        fault::draw(exchange, &view, plan.route, faults, &mut head.headers);
    }
    let known = Known {
        seen: plan.seen,
        upgrade: upgrade.is_some(),
        listener: view.public_url(plan.listener),
        paths: view.snapshot.paths.get(plan.route, plan.matched),
    };
    let mut rng = exchange.worker.fork_rng();
    prepare(exchange, &mut head, route, known, &mut rng);
    let flow = Rc::clone(&exchange.flow);
    let body = RequestBody::new(body, plan.body_limit, plan.body_idle, flow);
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = plan.target.map_or_else(|| origin_form(head.uri), Uri::from);
    *request.headers_mut() = head.headers;
    Ok(Outgoing {
        route: plan.route,
        matched: plan.matched,
        listener: plan.listener,
        cluster: plan.cluster,
        request: Some(request),
        upgrade,
        hash,
        expected: plan.seen.expect,
        body_idle: plan.body_idle,
        version: head.version,
        view,
    })
}

/// How long an endpoint may take to its response head, per try.
fn head_timeout(route: &Route, method: &Method, upgrade: bool) -> Option<Duration> {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let per_try = match &route.retries {
        RetryPolicy::By(retries) => retries.per_try_timeout,
        RetryPolicy::Default | RetryPolicy::Off => None,
    };
    match (route.response_head_timeout, per_try) {
        (HeadLimit::After(limit), Some(per_try)) => Some(limit.min(per_try)),
        (HeadLimit::After(limit), None) => Some(limit),
        (HeadLimit::Default | HeadLimit::Off, Some(per_try)) => Some(per_try),
        (HeadLimit::Default, None) => (safe && !upgrade).then_some(HeadLimit::OF_SAFE),
        (HeadLimit::Off, None) => None,
    }
}

/// The endpoint's answer as the client shall see it.
fn receive(
    exchange: &mut Exchange,
    place: &LocationContext<'_>,
    (mut response, at): (Response<pool::ResponseBody>, Instant),
    upgrade: Option<OnUpgrade>,
    (deadline, body_idle): (Option<Instant>, Duration),
) -> Result<Answered, Error> {
    let LocationContext { route, target, .. } = *place;
    // The version is that of the connection, not the endpoint's (RFC 9112 section 2.3).
    *response.version_mut() = Version::HTTP_11;
    let found = Found::of(response.headers());
    check_answer(&response, &found)?;
    let seen = found.seen;
    let events = events(found.content_type);
    let stream = events.is_some();
    let grpc = matches!(events, Some(Events::Messages));
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let client = match (switched, upgrade) {
        (true, Some(client)) => Some(client),
        (true, None) => return Err(Error::UpstreamInvalid("unrequested 101", None)),
        (false, _) => None,
    };
    exchange.answered(response.status().as_u16(), at);
    exchange.first_byte = exchange.time_to_head;
    if grpc {
        exchange.grpc_answer(response.headers());
    }
    let fields = response.headers_mut();
    let accepted = if seen.upgrade { fields.get(header::UPGRADE).cloned() } else { None };
    headers::strip_hop_by_hop(fields, seen);
    if seen.location {
        locations::map(exchange, place, fields);
    }
    if let Some(fault) = &mut exchange.fault {
        fault.meet(events.filter(|_| client.is_none()), fields);
    }
    depart(exchange, Some(&route.response_headers), fields);
    let life = route.streaming.max_duration;
    let stream_end = life.map(|limit| exchange.started + limit);
    if let Some(cookie) = exchange.set_cookie.take() {
        fields.append(header::SET_COOKIE, cookie);
    }
    if let Some(client) = client {
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        fields.insert(header::UPGRADE, accepted.unwrap_or(HeaderValue::from_static("websocket")));
        return Ok(Answered::Switched(Box::new(Switched {
            response,
            client,
            idle: route.streaming.idle_timeout,
            end: stream_end,
        })));
    }
    if stream {
        if let Some(in_flight) = &mut exchange.in_flight {
            target.becomes_stream(&mut exchange.admission, in_flight)?;
        }
        exchange.streams();
        exchange.single = grpc;
    }
    exchange.flow.answered(stream);
    let end = if stream { stream_end } else { deadline };
    Ok(Answered::Streamed(
        response,
        BodyLimits { idle: route.streaming.idle_timeout, end, stream, grpc, taken: body_idle },
    ))
}

/// How an answer that is a stream is divided.
fn events(content_type: Option<&HeaderValue>) -> Option<Events> {
    if is_event_stream(content_type) {
        return Some(Events::Lines);
    }
    is_grpc(content_type).then_some(Events::Messages)
}

/// Answers that hyper's client accepts and the gateway does not pass on.
fn check_answer(response: &Response<pool::ResponseBody>, found: &Found<'_>) -> Result<(), Error> {
    let headers = response.headers();
    let seen = found.seen;
    if response.status().as_u16() >= 600 {
        return Err(Error::UpstreamInvalid("status code out of range", None));
    }
    if seen.transfer_encoding {
        let mut encodings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !encodings.next().is_some_and(chunked) || encodings.next().is_some() {
            return Err(Error::UpstreamInvalid("unknown transfer coding", None));
        }
        if seen.content_length {
            return Err(Error::UpstreamInvalid("two body lengths", None));
        }
    }
    if let Some(length) = found.content_length {
        // hyper looks at the length only where a body follows, and takes a list.
        let digits = length.as_bytes().iter().all(u8::is_ascii_digit);
        if !digits || seen.several_lengths && !hygiene::lengths_agree(headers) {
            return Err(Error::UpstreamInvalid("body length", None));
        }
    }
    Ok(())
}

/// Facts of a request besides its fields.
#[derive(Clone, Copy)]
struct Known<'a> {
    seen: Seen,
    upgrade: bool,
    /// Public URL of the listener.
    listener: Option<&'a PublicUrl>,
    paths: &'a PathMapping,
}

/// Header fields as the endpoint shall see them.
fn prepare(exchange: &mut Exchange, head: &mut Parts, route: &Route, known: Known<'_>, rng: &mut fastrand::Rng) {
    // HTTP/2 and absolute targets name the host in the target.
    let named = |authority: &Authority| HeaderValue::from_str(authority.as_str()).ok();
    let host = match head.uri.authority().and_then(named) {
        Some(host) => {
            head.headers.insert(header::HOST, host.clone());
            Some(host)
        }
        None => exchange.host.clone(),
    };
    let fields = &mut head.headers;
    // Otherwise the map grows twice on the way.
    fields.reserve(ADDED_FIELDS);
    let trailers = headers::strip_hop_by_hop(fields, known.seen);
    if known.seen.attempts {
        fields.remove(upstream::ATTEMPTS);
    }
    if trailers {
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    let options = match (known.upgrade, trailers) {
        (true, true) => Some("upgrade, te"),
        (true, false) => Some("upgrade"),
        (false, true) => Some("te"),
        (false, false) => None,
    };
    if let Some(options) = options {
        // RFC 9110 sections 7.8 and 10.1.4: what holds for one connection is named there. HTTP/2 takes it out again.
        fields.insert(header::CONNECTION, HeaderValue::from_static(options));
    }
    if known.upgrade {
        fields.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    }
    let sources = public::sources(exchange, known.listener, Some(route));
    let facts = Forwarded {
        connection: &exchange.connection,
        client: exchange.client,
        trusted: exchange.trusted,
        shown: public::shown(exchange, &sources, known.paths, host),
    };
    headers::set_forwarded(fields, known.seen, facts);
    if known.seen.cookie && head.version == Version::HTTP_2 {
        headers::join_cookies(fields);
    }
    headers::append_via(fields, head.version);
    if head.method == Method::OPTIONS {
        headers::count_down(fields);
    }
    if let Some(id) = &exchange.request_id {
        fields.insert(REQUEST_ID, id.clone());
    }
    exchange.trace_id = Some(propagate(fields, known.seen.trace, rng).trace_id());
    headers::apply(fields, &route.request_headers, false);
    if let UpstreamHost::Fixed(host) = &route.upstream_host {
        fields.insert(header::HOST, host.clone());
    }
}

fn origin_form(uri: Uri) -> Uri {
    if uri.authority().is_none() {
        return uri;
    }
    uri.into_parts().path_and_query.map_or_else(Uri::default, Uri::from)
}

/// How long a client of HTTP/2 may wait for a 100 that does not come; those we know wait 5 s at the most.
const UNASKED: Duration = Duration::from_secs(8);
/// Name of the header a request goes by.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Fields every forwarded request gets.
const ADDED_FIELDS: usize = 10;
