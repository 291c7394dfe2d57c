//! Asks the agents of a route for their card, for a catalog. It is a question of the gateway's own: nothing of a client
//! goes with it, because all clients get what comes of it. A few are under way at a time, each with a limit on time and
//! bytes.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::a2a::card::{Listed, MAX_CARD, NAMES};
use crate::a2a::{Generation, VERSION};
use crate::cluster::Kind;
use crate::config::model::{Catalog, PathMatch, Route, UpstreamHost};
use crate::context::Identity;
use crate::edge::agent_card::is_readable;
use crate::edge::collect::{Collected, collect};
use crate::edge::headers::{self, ChangeFacts};
use crate::edge::worker_route::WorkerRoute;
use crate::pool::ResponseBody;
use crate::route;
use crate::snapshot::{Asking, CardFault};
use crate::upstream::{AskPlan, WorkerEndpoint, ask};

/// The card's targets at the agents, under both names.
pub(super) type Targets = Box<[PathAndQuery]>;

/// Whom to ask for what.
pub(super) struct Place {
    pub(super) route: Rc<WorkerRoute>,
    pub(super) targets: Targets,
    pub(super) host: Option<HeaderValue>,
}

/// What the path of a card is towards the agents, and that of its other name.
pub(super) fn targets(settings: &Route, matched: &PathMatch, path: &str) -> Option<Targets> {
    let base = NAMES.iter().find_map(|name| path.strip_suffix(name))?;
    let target = |path: &str| match &settings.rewrite {
        Some(rewrite) => route::rewrite(rewrite, matched, path, None).ok(),
        None => PathAndQuery::try_from(path).ok(),
    };
    let first = target(path)?;
    let others = NAMES.iter().map(|name| format!("{base}{name}")).filter(|other| other != path);
    let others = others.filter_map(|other| target(&other));
    Some(std::iter::once(first).chain(others).collect())
}

/// Asks for the card, once there is room for the question, and remembers what comes of it.
pub(super) async fn fetch(place: Place, places: Arc<Semaphore>, asking: Asking, catalog: Catalog) {
    // Closed only with the process.
    let Ok(_room) = places.acquire().await else { return };
    let found = place.look(Instant::now() + catalog.timeout).await;
    place.route.handles.cards().catalog_cards.count(found.as_ref().map_or_else(|fault| fault.word(), |_| "read"));
    if let Err(fault) = &found {
        tracing::debug!(route = place.route.name(), reason = fault.word(), "no card for the catalog");
    }
    asking.end(found, Instant::now() + catalog.ttl);
}

impl Place {
    /// Asks the endpoints one after the other, a few at most, until one has a card.
    async fn look(&self, end: Instant) -> Result<Listed, CardFault> {
        let mut fault = CardFault::Unreachable;
        let endpoints: Vec<_> = self.route.clusters().flat_map(|cluster| cluster.askable()).collect();
        let tries = endpoints.len().clamp(1, TRIES);
        for (at, endpoint) in endpoints.into_iter().take(tries).enumerate() {
            let now = Instant::now();
            let left = u32::try_from(tries - at).unwrap_or(1);
            let own_end = now + end.saturating_duration_since(now) / left;
            fault = match timeout_at(own_end, self.ask(&endpoint, own_end)).await {
                Ok(Ok(card)) => return Ok(card),
                Ok(Err(fault)) => fault,
                Err(_late) => CardFault::TimedOut,
            };
        }
        Err(fault)
    }

    /// Asks one endpoint, under the other name where it does not know the first.
    async fn ask(&self, endpoint: &Rc<WorkerEndpoint>, end: Instant) -> Result<Listed, CardFault> {
        for target in &self.targets {
            let head = self.head(target).ok_or(CardFault::Unreachable)?;
            let plan = AskPlan {
                head: &head,
                body: &Bytes::new(),
                host: &self.route.settings().upstream_host,
                grpc: false,
                deadline: end,
                kind: Kind::Request,
            };
            let asked = ask(&plan, Rc::clone(endpoint)).await.map_err(|_error| CardFault::Unreachable)?;
            match asked.response.status() {
                StatusCode::OK => return read(asked.response, end).await,
                StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::METHOD_NOT_ALLOWED => {}
                status if status.is_server_error() => return Err(CardFault::Unreachable),
                _ => return Err(CardFault::Refused),
            }
        }
        Err(CardFault::NoCard)
    }

    fn head(&self, target: &PathAndQuery) -> Option<Parts> {
        let (mut head, ()) = Request::get(Uri::from(target.clone())).body(()).ok()?.into_parts();
        let fields = &mut head.headers;
        fields.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers::ask_uncoded(fields, false);
        fields.insert(&VERSION, HeaderValue::from_static(Generation::V1_0.name()));
        let settings = self.route.settings();
        let fixed = match &settings.upstream_host {
            UpstreamHost::Fixed(host) => Some(host),
            UpstreamHost::Preserve | UpstreamHost::Endpoint => None,
        };
        if let Some(host) = fixed.or(self.host.as_ref()) {
            fields.insert(header::HOST, host.clone());
        }
        let nobody = Identity::default();
        let facts = ChangeFacts { https: false, identity: &nobody, operation: None, call: None };
        headers::apply(fields, &settings.request_headers, facts);
        Some(head)
    }
}

async fn read(response: Response<ResponseBody>, end: Instant) -> Result<Listed, CardFault> {
    if !is_readable(response.headers()) {
        return Err(CardFault::Invalid);
    }
    match collect(response.into_body(), MAX_CARD, end).await {
        Ok(Collected::Whole(card)) => Listed::of(&card).ok_or(CardFault::Invalid),
        Ok(Collected::TooLarge(..)) => Err(CardFault::TooLarge),
        Err(_broken) => Err(CardFault::Unreachable),
    }
}

/// Endpoints that are asked for one card.
const TRIES: usize = 3;
