//! Where clients of a route get tokens: the metadata of protected resources (RFC 9728), served by the gateway and named
//! in what refused clients are told.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use serde_json::{Map, Value};

use super::exchange::Exchange;
use super::public;
use super::stage::{Entry, Passage, ServedRoute};
use crate::body::Body;
use crate::config::model::{Listener, PathMatch, ResourceMetadata, Route};
use crate::error::Error;
use crate::policy::auth::RouteAuth;
use crate::route::public::{Face, Origin, Sources};

/// Answers where the metadata of a route is asked for. It is for everybody, and so needs no credentials.
pub(super) fn answer(exchange: &Exchange, entry: &Entry) -> Result<Passage, Error> {
    let request = &exchange.request;
    let Some(below) = request.path().strip_prefix(WELL_KNOWN) else {
        return Ok(Passage::On);
    };
    let served_by = exchange.route.served_by;
    let listener = served_by.and_then(|id| Some((id, entry.config().listeners.get(id.0)?)));
    let (Some((id, listener)), &Method::GET | &Method::HEAD) = (listener, &request.method) else {
        return Ok(Passage::On);
    };
    let routes = entry.config().routes.iter().filter(|route| route.listeners.contains(&id) && is_for(route, exchange));
    let mut resources = routes.filter_map(|route| Resource::of(exchange, listener, route));
    match resources.find(|resource| resource.is_below(below)) {
        Some(resource) => resource.document().map(Passage::Answer),
        None => Ok(Passage::On),
    }
}

/// The values of `WWW-Authenticate`: those of the route, and where its metadata is (RFC 9728 section 5.1).
pub(super) fn challenges(
    exchange: &Exchange,
    route: &ServedRoute<'_>,
    auth: &RouteAuth,
    refused: Option<usize>,
) -> Arc<[HeaderValue]> {
    let plain = auth.challenges(refused);
    let Some(resource) = Resource::of(exchange, route.listener, route.settings()) else { return plain };
    let pointer = format!("resource_metadata=\"{}\"", resource.metadata_url());
    let is_bearer = |value: &HeaderValue| value.as_bytes().starts_with(b"Bearer ");
    let with_pointer = |value: &HeaderValue| {
        let text = value.to_str().ok().filter(|_| is_bearer(value))?;
        HeaderValue::try_from(format!("{text}, {pointer}")).ok()
    };
    let alone = (!plain.iter().any(is_bearer)).then(|| HeaderValue::try_from(format!("Bearer {pointer}")).ok());
    let pointed = plain.iter().map(|value| with_pointer(value).unwrap_or_else(|| value.clone()));
    pointed.chain(alone.flatten()).collect()
}

/// A route that says where its clients get tokens.
struct Resource<'a> {
    metadata: &'a ResourceMetadata,
    face: Face<'a>,
    /// Behind the face.
    path: &'a str,
}

impl<'a> Resource<'a> {
    fn of(exchange: &'a Exchange, listener: &'a Listener, route: &'a Route) -> Option<Self> {
        let metadata = route.auth.as_ref()?.resource_metadata.as_deref()?;
        let sources = public::sources(exchange, listener.public_url.as_deref(), Some(route));
        let own = metadata.resource.as_deref();
        let face = Sources { route: own.or(sources.route), ..sources }.face();
        let path = if own.is_some() { "" } else { path_of(route)? };
        (!face.host().is_empty()).then_some(Self { metadata, face, path })
    }

    /// Whether this is what stands behind the well-known name, with the prefix that a proxy takes away or without.
    fn is_below(&self, below: &str) -> bool {
        let below = below.trim_end_matches('/');
        let whole = below.strip_prefix(self.face.prefix()).is_some_and(|rest| rest == self.path);
        whole || (self.metadata.resource.is_none() && below == self.path)
    }

    /// The identifier of the resource, without a slash at its end.
    fn url(&self) -> String {
        self.face.join(self.path)
    }

    /// The well-known name stands between the host and the path (RFC 9728 section 3.1).
    fn metadata_url(&self) -> String {
        format!("{}{WELL_KNOWN}{}{}", self.face.origin(), self.face.prefix(), self.path)
    }

    fn document(&self) -> Result<Box<Response<super::ResponseBody>>, Error> {
        let text = |text: &str| Value::from(text);
        let list = |list: &[String]| Value::from(list.to_vec());
        let ResourceMetadata { authorization_servers, scopes, name, documentation, .. } = self.metadata;
        let members = [
            ("resource", Some(Value::from(self.url()))),
            ("authorization_servers", Some(list(authorization_servers)).filter(|_| !authorization_servers.is_empty())),
            ("scopes_supported", Some(list(scopes)).filter(|_| !scopes.is_empty())),
            ("bearer_methods_supported", Some(Value::from(vec!["header"]))),
            ("resource_name", name.as_deref().map(text)),
            ("resource_documentation", documentation.as_deref().map(text)),
        ];
        let members = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let body = Value::Object(members.collect::<Map<_, _>>()).to_string();
        let mut response = Response::new(Body::Empty);
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let is_fixed = self.face.host_is_from() == Origin::Url;
        let kept = if is_fixed { "max-age=300" } else { "private, max-age=300" };
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static(kept));
        if !is_fixed {
            fields.insert(header::VARY, HeaderValue::from_static("Host"));
        }
        *response.body_mut() = Body::full(Bytes::from(body));
        Ok(Box::new(response))
    }
}

/// The path under which clients reach the route, as far as it has one.
fn path_of(route: &Route) -> Option<&str> {
    match route.matches.first().map(|alternative| &alternative.path) {
        None => Some(""),
        Some(PathMatch::Prefix(path) | PathMatch::Exact(path)) => Some(path.trim_end_matches('/')),
        Some(PathMatch::Regex(_)) => None,
    }
}

/// Whether a route serves the host that is asked for.
fn is_for(route: &Route, exchange: &Exchange) -> bool {
    let host = exchange.request.host();
    route.hosts.is_empty() || route.hosts.iter().any(|pattern| pattern.fits(host))
}

/// Where metadata is (RFC 9728 section 3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
