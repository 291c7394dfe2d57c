//! What a card is mapped by: the public address, the paths of its route, the addresses of its agent, and where gRPC
//! calls go.

use std::rc::Rc;

use http::{HeaderMap, HeaderValue, Method, header};
use xxhash_rust::xxh3::xxh3_64;

use crate::a2a::card::{self, Mapping, NoCard, Outcome, Place, Verdict, weak_tag};
use crate::cluster::Endpoint;
use crate::config::model::{CardSecurity, HttpVersion, PathMatch};
use crate::edge::exchange::Exchange;
use crate::edge::own_answer::{JWKS, matched};
use crate::edge::public;
use crate::edge::stage::{Entry, ServedRoute};
use crate::edge::worker_route::WorkerRoute;
use crate::error::Error;
use crate::host::is_itself;
use crate::jose::Key;
use crate::route::card::{CardMap, GrpcAt};
use crate::route::public::{Face, Origin, Sources};
use crate::route::{BodyTenant, Facts, host_of};
use crate::upstream::WorkerCluster;

/// A card after its mapping.
#[derive(Debug)]
pub(super) struct Mapped {
    /// The card, where it changed.
    pub(super) card: Option<Changed>,
    /// Whether it names an address that the client chose.
    pub(super) is_private: bool,
}

/// A card that changed.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) card: Vec<u8>,
    /// What it is known by: the same for the same card, however often it is signed.
    pub(super) tag: Option<HeaderValue>,
}

/// Maps a card, counts what came of it, and warns of one that leads past the gateway.
pub(super) fn map(
    exchange: &Exchange,
    entry: &Entry,
    route: &ServedRoute<'_>,
    cluster: &Rc<WorkerCluster>,
    (document, place): (&[u8], Place),
) -> Result<Mapped, Error> {
    let settings = route.settings().agent_card().ok_or(Error::Internal)?;
    let face = face(exchange, route);
    let agent = Agent { exchange, entry, route, cluster };
    let by = CardMap {
        face,
        hosts: &route.settings().hosts,
        paths: &route.paths,
        matched: exchange.route.matched,
        is_agent: |host: &str, port| agent.is_at(host, port),
        grpc: |host: &str, port| agent.grpc_at(host, port),
    };
    let filled = settings.security_schemes == CardSecurity::Providers;
    let security = route.auth.as_ref().filter(|_| filled).map(|auth| auth.card_security());
    let verdict = |transport, url: &str| by.verdict(transport, url);
    let found = card::map_with(document, place, settings.signed_cards, security.as_ref(), verdict);
    if !matches!(found, Err(NoCard::NoResult)) {
        route.handles.cards().agent_cards.count(word(&found));
    }
    let is_private = face.host_is_from() != Origin::Url;
    let Ok(mapping) = found else {
        return Ok(Mapped { card: None, is_private });
    };
    warn(route, document, &mapping);
    match mapping.outcome {
        Outcome::Changed(card) => {
            let key = route.settings().card_key.as_deref().filter(|_| mapping.is_stripped);
            let card = match key {
                Some(key) => signed(&card, place, key, found_at(exchange, route, &face).as_deref()),
                None => None,
            }
            .unwrap_or_else(|| Changed { tag: weak_tag(&card), card });
            Ok(Mapped { card: Some(card), is_private })
        }
        Outcome::Unchanged | Outcome::LeftSigned => Ok(Mapped { card: None, is_private }),
        Outcome::Refused => Err(Error::SignedCard),
    }
}

/// The card with the signature of the gateway; `None` where it cannot have one.
fn signed(card: &[u8], place: Place, key: &Key, found_at: Option<&str>) -> Option<Changed> {
    let signed = card::signed(card, place, key, found_at).ok()??;
    Some(Changed { tag: weak_tag(&[card, key.id().as_bytes()].concat()), card: signed })
}

/// Where clients find the key of the route's signatures.
fn found_at(exchange: &Exchange, route: &ServedRoute<'_>, face: &Face<'_>) -> Option<String> {
    let settings = route.settings().agent_card()?.signing.as_ref()?;
    if !settings.jwks || face.host().is_empty() {
        return None;
    }
    let base = match matched(exchange, route) {
        PathMatch::Prefix(prefix) => prefix.trim_end_matches('/'),
        PathMatch::Exact(_) | PathMatch::Regex(_) => "",
    };
    Some(face.join(&format!("{base}{JWKS}")))
}

/// Counts a card of gRPC that cannot be read, and says so once.
pub(super) fn unreadable(route: &ServedRoute<'_>) {
    route.handles.cards().agent_cards.count("invalid");
    if route.cards_told.is_new(UNREADABLE) {
        tracing::warn!(
            route = route.name(),
            "an agent card that came by gRPC is compressed or broken, so it was left alone"
        );
    }
}

/// Where the card says that clients see the gateway.
fn face<'a>(exchange: &'a Exchange, route: &'a ServedRoute<'_>) -> Face<'a> {
    let settings = route.settings();
    let sources = public::sources(exchange, route.listener.public_url.as_deref(), Some(settings));
    let own = settings.agent_card().and_then(|card| card.public_url.as_deref());
    Sources { route: own.or(sources.route), ..sources }.face()
}

/// The word a card is counted by.
fn word(found: &Result<Mapping, NoCard>) -> &'static str {
    let Ok(mapping) = found else {
        return "invalid";
    };
    match (&mapping.outcome, &mapping.left) {
        (Outcome::LeftSigned | Outcome::Refused, _) => "signed",
        (_, Some((_, Verdict::UnknownPath))) => "unknown_path",
        (_, Some(_)) => "unknown_host",
        (Outcome::Changed(_), None) => "mapped",
        (Outcome::Unchanged, None) => "unchanged",
    }
}

/// Says once of each card that clients go past the gateway, and why.
fn warn(route: &ServedRoute<'_>, document: &[u8], mapping: &Mapping) {
    let is_signed = matches!(mapping.outcome, Outcome::LeftSigned | Outcome::Refused);
    if !(is_signed || mapping.left.is_some()) || !route.cards_told.is_new(xxh3_64(document)) {
        return;
    }
    let name = route.name();
    match (&mapping.outcome, &mapping.left) {
        (Outcome::LeftSigned, _) => tracing::warn!(
            route = name,
            "an agent card leads clients past the gateway and is signed, so it was left alone: sign it with the \
             public URL, or set `a2a.agentCard.signedCards`"
        ),
        (Outcome::Refused, _) => tracing::warn!(
            route = name,
            "an agent card leads clients past the gateway and is signed, so it was refused: sign it with the public URL"
        ),
        (_, Some((url, Verdict::UnknownPath))) => tracing::warn!(
            route = name,
            url,
            "an agent card names a path of the agent that the route does not lead to, so the URL was left alone"
        ),
        (_, Some((url, _))) => tracing::warn!(
            route = name,
            url,
            "an agent card names an address that is neither public nor an endpoint of the route, so the URL was left \
             alone"
        ),
        (_, None) => {}
    }
}

/// The agent that the card came from.
struct Agent<'a> {
    exchange: &'a Exchange,
    entry: &'a Entry,
    route: &'a ServedRoute<'a>,
    cluster: &'a Rc<WorkerCluster>,
}

impl Agent<'_> {
    fn endpoint(&self) -> Option<&Endpoint> {
        self.exchange.guards.in_flight.as_ref().map(|in_flight| in_flight.handle().endpoint())
    }

    /// Whether this is an address of the agent: an endpoint of its cluster, or what an agent calls itself by where it
    /// does not know its address.
    fn is_at(&self, host: &str, port: u16) -> bool {
        self.cluster.is_at(host, port) || self.endpoint().is_some_and(|endpoint| endpoint.means_itself(host, port))
    }

    /// Where gRPC calls for this address go that come to the host of this request.
    fn grpc_at(&self, host: &str, port: u16) -> GrpcAt {
        let speaks_http2 = self.route.listener.protocols.contains(&HttpVersion::H2);
        let is_own = self.is_at(host, port);
        let serves = |call: &&str| {
            let route = self.route_of(call);
            route.is_some_and(|route| is_own && self.is_same(&route) || self.leads_to(&route, host, port))
        };
        if speaks_http2 && GRPC_CALLS.iter().any(serves) {
            GrpcAt::Served
        } else if is_own {
            GrpcAt::NotServed
        } else {
            GrpcAt::Elsewhere
        }
    }

    fn is_same(&self, route: &WorkerRoute) -> bool {
        std::ptr::eq(route.settings(), self.route.settings())
    }

    /// Whether a route leads to the endpoint at this address. Where the agent speaks of itself, it is the machine that
    /// answers.
    fn leads_to(&self, route: &WorkerRoute, host: &str, port: u16) -> bool {
        let parts = route.split.iter().flat_map(|split| (0..).map_while(|at| Some(&split.part(at)?.cluster)));
        let mut clusters = route.cluster.iter().chain(parts);
        let Some(endpoint) = self.endpoint().filter(|_| is_itself(host)) else {
            return clusters.any(|cluster| cluster.is_at(host, port));
        };
        let (address, name) = (endpoint.address.ip().to_string(), host_of(&endpoint.name));
        clusters
            .any(|cluster| cluster.is_at(&address, port) || name.as_ref().is_ok_and(|name| cluster.is_at(name, port)))
    }

    /// The route of a gRPC call.
    fn route_of(&self, call: &str) -> Option<Rc<WorkerRoute>> {
        let mut headers = HeaderMap::with_capacity(1);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        let host = self.exchange.request.host();
        let facts = Facts {
            host,
            path: call,
            query: None,
            method: &Method::POST,
            headers: &headers,
            body_tenant: BodyTenant::default(),
        };
        let found = self.entry.view.snapshot.table.find(self.exchange.route.served_by?, &facts)?;
        self.entry.view.route(found.route).cloned()
    }
}

/// Stands for all cards that cannot be read.
const UNREADABLE: u64 = 0;
/// Paths of gRPC calls, since 1.0 and before.
const GRPC_CALLS: [&str; 2] = ["/lf.a2a.v1.A2AService/SendMessage", "/a2a.v1.A2AService/SendMessage"];
