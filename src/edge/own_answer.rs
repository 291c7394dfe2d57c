//! Answers that a listener or route gives by itself: nothing goes wrong, and no agent hears of it.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header};

use super::exchange::Exchange;
use super::stage::{Passage, ServedRoute};
use super::{ResponseBody, public};
use crate::body::Body;
use crate::config::model::{Action, PathMatch, Redirect, Respond, Route};
use crate::error::Error;
use crate::jose::Key;
use crate::route;

/// Answers where the route says how.
pub(super) fn answer(exchange: &mut Exchange, route: &ServedRoute<'_>) -> Result<Passage, Error> {
    match &route.settings().action {
        Action::Forward(_) | Action::Split(_) => Ok(match &route.settings().card_key {
            Some(key) if serves_keys(exchange, route.settings()) => keys(key),
            Some(_) | None => Passage::On,
        }),
        Action::Respond(respond) => Ok(respond_with(respond, &exchange.request.method)),
        Action::Redirect(to) => lead_on(exchange, route, to),
    }
}

/// Whether the gateway answers by itself.
pub(super) fn is_own(exchange: &Exchange, route: &ServedRoute<'_>) -> bool {
    let settings = route.settings();
    !settings.action.forwards() || settings.card_key.is_some() && serves_keys(exchange, settings)
}

/// Whether the key is asked for that the route signs cards with.
fn serves_keys(exchange: &Exchange, route: &Route) -> bool {
    let signing = route.agent_card().and_then(|card| card.signing.as_ref());
    signing.is_some_and(|signing| signing.jwks)
        && matches!(exchange.request.method, Method::GET | Method::HEAD)
        && exchange.request.path().ends_with(JWKS)
}

/// The public half of a key. Clients ask again before a new key has been in use for long.
fn keys(key: &Key) -> Passage {
    let mut response = empty(StatusCode::OK);
    let body = Bytes::copy_from_slice(key.jwks().as_bytes());
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=300"));
    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    *response.body_mut() = Body::full(body);
    Passage::Answer(response)
}

fn lead_on(exchange: &Exchange, route: &ServedRoute<'_>, to: &Redirect) -> Result<Passage, Error> {
    let (request, settings) = (&exchange.request, route.settings());
    let face = public::sources(exchange, route.listener.public_url.as_deref(), Some(settings)).face();
    let matched = matched(exchange, route);
    let location = route::redirect(to, matched, &face, request.path(), request.uri.query());
    redirect_to(to.status_for(&request.method), &location.ok_or(Error::BadRequest("redirect_target"))?)
}

/// The path of the alternative that matched.
pub(super) fn matched<'r>(exchange: &Exchange, route: &'r ServedRoute<'_>) -> &'r PathMatch {
    route.settings().matches.get(exchange.route.matched).map_or(&ANY_PATH, |matched| &matched.path)
}

/// Leads the client elsewhere.
pub(super) fn redirect_to(status: StatusCode, location: &str) -> Result<Passage, Error> {
    let location = HeaderValue::from_str(location).map_err(|_illegal| Error::BadRequest("redirect_target"))?;
    let mut response = empty(status);
    response.headers_mut().insert(header::LOCATION, location);
    Ok(Passage::Answer(response))
}

/// The answer to `OPTIONS *`, which asks about the server as a whole and so about nobody behind it (RFC 9110 section
/// 9.3.7), and to `OPTIONS` that may go no further.
pub(super) fn about_us() -> Passage {
    let mut response = empty(StatusCode::NO_CONTENT);
    response.headers_mut().insert(header::ALLOW, METHODS);
    Passage::Answer(response)
}

fn respond_with(respond: &Respond, method: &Method) -> Passage {
    let mut response = empty(respond.status);
    let fields = response.headers_mut();
    if !respond.body.is_empty() {
        fields.insert(header::CONTENT_TYPE, respond.content_type.clone());
    }
    if *method == Method::HEAD {
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(respond.body.len()));
    } else {
        *response.body_mut() = Body::full(respond.body.clone());
    }
    Passage::Answer(response)
}

fn empty(status: StatusCode) -> Box<Response<ResponseBody>> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    Box::new(response)
}

/// Where a route shows the key that it signs cards with, below its own path.
pub(super) const JWKS: &str = "/.well-known/jwks.json";
static ANY_PATH: PathMatch = PathMatch::Prefix(String::new());
/// What agents are asked by; others pass too.
pub(super) const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
