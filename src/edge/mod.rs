//! The conductor: takes one request through the rooms, in order, and hands back its answer.

mod depart;
mod exchange;
mod fault;
mod forward;
pub mod headers;
mod https_redirect;
pub mod hygiene;
mod identify;
mod limits;
mod locations;
mod mirror;
pub(crate) mod public;
mod reply;
pub mod seen;
mod split;
mod stall_detector;
mod tracked_body;
mod tunnel;
mod unparsed;
mod worker;

use std::convert::Infallible;
use std::rc::Rc;

use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::body::{Body, Upload};
use crate::config::model::{
    Action, ClientAuth, ClusterId, ListenerId, ListenerTls, PathMatch, Redirect, Respond, Route, RouteId,
};
use crate::context::{Connection, TlsFacts};
use crate::error::Error;
use crate::route::public::Face;
use crate::route::{self, Facts};
use exchange::Exchange;
use hygiene::Target;
use seen::Found;
use worker::View;

pub use tracked_body::TrackedBody;
pub use unparsed::unparsed;
pub use worker::Worker;

/// Body of an answer.
pub type ResponseBody = Body<TrackedBody>;

/// Answers one request. `listener` is the name of the listener its connection came in through. Dropping the future
/// cancels what is under way upstream; the exchange is then recorded as left by the client.
///
/// # Errors
/// None: every failure is an answer.
pub fn handle(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    listener: &str,
    request: Request<Incoming>,
) -> impl Future<Output = Result<Response<ResponseBody>, Infallible>> + use<> {
    // Steps that never wait run before the future exists, so that the future stays small: it is moved.
    let begun = begin(worker, connection, listener, request);
    async move {
        let (mut exchange, mut outgoing) = match begun {
            Begun::Answered(response) => return Ok(*response),
            Begun::Forward(exchange, outgoing) => (exchange, outgoing),
        };
        let answer = forward::forward(&mut exchange, &mut outgoing).await;
        Ok(match answer {
            Ok(forward::Answered::Streamed(response, limits)) => {
                response.map(|body| Body::Stream(TrackedBody::new(body, exchange, limits)))
            }
            Ok(forward::Answered::Switched(switched)) => tunnel::start(exchange, *switched),
            Err(error) => reply::refusal(exchange, &outgoing.view, outgoing.version, &error),
        })
    }
}

/// How far a request came without waiting.
#[allow(
    clippy::large_enum_variant,
    reason = "nearly every request is the large one, and a box would cost each of them an allocation"
)]
enum Begun {
    Answered(Box<Response<ResponseBody>>),
    Forward(Box<Exchange>, forward::Outgoing),
}

fn begin(worker: Rc<Worker>, connection: Rc<Connection>, listener: &str, request: Request<Incoming>) -> Begun {
    let (head, body) = request.into_parts();
    let version = head.version;
    let found = Found::of(&head.headers);
    let mut exchange = Exchange::begin(worker, connection, &head, &found);
    let body = Upload::new(body, &exchange.connection, &exchange.flow);
    let (view, id) = exchange.worker.view_for(listener);
    let step = check(&mut exchange, &view, id, &head, &found);
    let outgoing = match step {
        Ok(Step::Forward(plan)) => forward::outgoing(&mut exchange, Rc::clone(&view), plan, head, body),
        Ok(Step::Answered(response)) => {
            return Begun::Answered(Box::new(reply::own(exchange, &view, response)));
        }
        Err(error) => Err(error),
    };
    match outgoing {
        Ok(outgoing) => Begun::Forward(exchange, outgoing),
        Err(error) => Begun::Answered(Box::new(reply::refusal(exchange, &view, version, &error))),
    }
}

/// The edge behind one connection as a tower service: what listeners serve, and what tests can call without a socket.
pub fn service(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    listener: Rc<str>,
) -> impl tower::Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future = impl Future<Output = Result<Response<ResponseBody>, Infallible>>,
> + Clone {
    tower::service_fn(move |request| handle(Rc::clone(&worker), Rc::clone(&connection), &listener, request))
}

/// What to do with a request that passed the checks.
#[allow(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and a box would cost each request an allocation"
)]
enum Step {
    Forward(forward::ForwardPlan),
    Answered(Response<ResponseBody>),
}

/// Everything that can be decided from the head alone.
fn check(
    exchange: &mut Exchange,
    view: &View,
    id: Option<ListenerId>,
    head: &Parts,
    found: &Found<'_>,
) -> Result<Step, Error> {
    let config = &view.snapshot.config;
    exchange.handles = Some(view.unrouted().clone());
    let id = id.ok_or(Error::NoRoute)?;
    let settings = config.listeners.get(id.0).ok_or(Error::NoRoute)?;
    identify::identify(exchange, &config.client_ip, head, found.seen);
    hygiene::verdict(&exchange.connection)?;
    let target = hygiene::check(head, found, &settings.limits, settings.paths)?;
    let served = match https_redirect::step(exchange, settings, id, head)? {
        https_redirect::Step::Redirect(status, location) => {
            return redirect_to(status, &location).map(Step::Answered);
        }
        https_redirect::Step::Serve(served) => served,
    };
    check_certificate(exchange, view, (id, served), &target)?;
    if target.path == "*" || headers::ends_here(head) {
        return Ok(Step::Answered(reply::about_us()));
    }
    let facts = Facts {
        host: &target.host,
        path: &target.path,
        query: head.uri.query(),
        method: &head.method,
        headers: &head.headers,
    };
    let chosen = view.snapshot.table.find(served, &facts).ok_or(Error::NoRoute)?;
    let route = config.routes.get(chosen.route.0).ok_or(Error::Internal)?;
    exchange.route = Some(chosen.route);
    let listener = settings.public_url.as_deref();
    exchange.https = public::is_https(exchange, listener, route);
    let placed = enter(exchange, view, chosen.route, (route, &target.path), head)?;
    let matched = route.matches.get(chosen.matched).map_or(&ANY_PATH, |matched| &matched.path);
    let cluster = match &route.action {
        Action::Respond(respond) => return Ok(Step::Answered(respond_with(respond, head))),
        Action::Redirect(to) => {
            let face = public::sources(exchange, listener, Some(route)).face();
            return route_redirect(to, matched, &face, head, &target).map(Step::Answered);
        }
        Action::Forward(cluster) => *cluster,
        Action::Split(_) => placed.ok_or(Error::Internal)?,
    };
    let limit = route.max_body_bytes.or(settings.limits.max_body_bytes);
    check_length(target.length, limit)?;
    Ok(Step::Forward(forward::ForwardPlan {
        route: chosen.route,
        matched: chosen.matched,
        listener: id,
        cluster,
        seen: found.seen,
        target: rewritten(route, matched, head, &target)?,
        upgrade: found.seen.upgrade && forward::wanted_upgrade(head, route, view.target(cluster))?,
        body_limit: limit,
        body_idle: settings.limits.body_idle_timeout,
    }))
}

/// Puts the request on its route: counts it, if the route's limits allow it, and chooses the cluster of a split.
fn enter(
    exchange: &mut Exchange,
    view: &View,
    id: RouteId,
    (route, path): (&Route, &str),
    head: &Parts,
) -> Result<Option<ClusterId>, Error> {
    let excluded = &view.snapshot.config.access_log.exclude;
    let logged = route.access_log && !excluded.iter().any(|excluded| *excluded == *path);
    let placed = limits::admit(exchange, view, id, head).and_then(|()| match &route.action {
        Action::Split(split) => split::place(exchange, view, (id, split), head).map(Some),
        Action::Forward(_) | Action::Redirect(_) | Action::Respond(_) => Ok(None),
    });
    match &placed {
        // Each version has series of its own.
        Ok(Some((_, handles))) => exchange.routed(handles, logged),
        Ok(None) | Err(_) => exchange.routed(view.handles(id), logged),
    }
    placed.map(|placed| placed.map(|(cluster, _)| cluster))
}

/// A request for a host with another certificate policy than this connection's must come on a connection of its own
/// (RFC 9110 section 15.5.20). A connection from before a reload must meet the present policy. When a listener serves
/// the routes of another one, because a proxy in front ended TLS, no client has shown a certificate that the other
/// listener requires.
fn check_certificate(
    exchange: &Exchange,
    view: &View,
    (id, served): (ListenerId, ListenerId),
    target: &Target<'_>,
) -> Result<(), Error> {
    let listeners = &view.snapshot.config.listeners;
    let tls = |id: ListenerId| listeners.get(id.0)?.tls.as_ref();
    let asks = |tls: &ListenerTls| tls.client_auth != ClientAuth::None;
    if id != served && tls(served).is_some_and(asks) {
        return Err(Error::Misdirected);
    }
    let Some(settings) = tls(id) else {
        return Ok(());
    };
    let proven = |tls: &&TlsFacts| tls.client_verified || !matches!(settings.client_auth, ClientAuth::Require { .. });
    let Some(tls) = exchange.connection.tls.as_ref().filter(proven) else {
        exchange.connection.spent.set(true);
        return Err(Error::Misdirected);
    };
    let asked = tls.server_name.as_deref();
    if settings.client_auth != ClientAuth::None && asked.is_some_and(|asked| asked != &*target.host) {
        return Err(Error::Misdirected);
    }
    Ok(())
}

fn route_redirect(
    to: &Redirect,
    matched: &PathMatch,
    face: &Face<'_>,
    head: &Parts,
    target: &Target<'_>,
) -> Result<Response<ResponseBody>, Error> {
    let location = route::redirect(to, matched, face, &target.path, head.uri.query());
    let safe = matches!(head.method, Method::GET | Method::HEAD);
    let usual = if safe { StatusCode::FOUND } else { StatusCode::TEMPORARY_REDIRECT };
    redirect_to(to.status.unwrap_or(usual), &location.ok_or(Error::BadRequest("redirect_target"))?)
}

fn redirect_to(status: StatusCode, location: &str) -> Result<Response<ResponseBody>, Error> {
    let location = HeaderValue::from_str(location).map_err(|_illegal| Error::BadRequest("redirect_target"))?;
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    response.headers_mut().insert(header::LOCATION, location);
    Ok(response)
}

fn respond_with(respond: &Respond, head: &Parts) -> Response<ResponseBody> {
    let mut response = Response::new(Body::full(respond.body.clone()));
    *response.status_mut() = respond.status;
    if !respond.body.is_empty() {
        response.headers_mut().insert(header::CONTENT_TYPE, respond.content_type.clone());
    }
    if head.method == Method::HEAD {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(respond.body.len()));
        *response.body_mut() = Body::Empty;
    }
    response
}

/// A body announced too large is refused before anything is read or sent.
fn check_length(announced: Option<u64>, limit: Option<u64>) -> Result<(), Error> {
    match (announced, limit) {
        (Some(announced), Some(limit)) if announced > limit => Err(Error::BodyTooLarge),
        _ => Ok(()),
    }
}

/// The target towards the endpoint; `None` when it equals the client's.
fn rewritten(
    route: &Route,
    matched: &PathMatch,
    head: &Parts,
    target: &Target<'_>,
) -> Result<Option<PathAndQuery>, Error> {
    let query = head.uri.query();
    if let Some(rewrite) = &route.rewrite {
        return route::rewrite(rewrite, matched, &target.path, query).map(Some).map_err(Error::BadRequest);
    }
    if matches!(target.path, std::borrow::Cow::Borrowed(_)) {
        return Ok(None);
    }
    let text = match query {
        Some(query) => format!("{}?{query}", target.path),
        None => target.path.to_string(),
    };
    PathAndQuery::try_from(text).map(Some).map_err(|_invalid| Error::BadRequest("path"))
}

static ANY_PATH: PathMatch = PathMatch::Prefix(String::new());

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_future_of_a_request_is_small() {
        let size = future_size(handle);
        assert!(size <= 2048, "{size} bytes are moved for every request");
    }
}
