//! Routes: what they match and what they do.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{
    A2a, AgentCard, AuthorizationPolicyId, ClusterId, ConcurrencyLimit, Cors, Csrf, Fault, HeaderMatch, HostPattern,
    IpAccess, Limits, ListenerId, MirrorTo, PathMatch, PublicUrl, QueryMatch, RateLimitId, Redirect, RequestFact,
    RetryPolicy, Rewrite, RouteAuth, RouteTracing, ScreeningId, Split, Streaming, TenantMatch, UpstreamHost,
};
use crate::a2a::Operation;
use crate::jose::Key;

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// Its name in the file.
    pub name: String,
    /// Listeners it is reachable through (those that redirect to HTTPS are never among them).
    pub listeners: Vec<ListenerId>,
    /// Where clients see what its listeners serve under `/`; `None` means as the listener says.
    pub public_url: Option<Box<PublicUrl>>,
    /// Hosts it serves; empty means every host.
    pub hosts: Vec<HostPattern>,
    /// Alternatives, at least one: the route matches when any does.
    pub matches: Vec<Match>,
    /// What happens to a request that matches.
    pub action: Action,
    /// Changes to the request before it is forwarded.
    pub rewrite: Option<Rewrite>,
    /// Whether an agent's `Location` is brought into the form clients use. Default true.
    pub map_location: bool,
    /// Header changes towards the upstream.
    pub request_headers: HeaderChanges,
    /// Header changes towards the client.
    pub response_headers: HeaderChanges,
    /// The Host header towards upstreams.
    pub upstream_host: UpstreamHost,
    /// Total time of an ordinary exchange; for event and gRPC streams it ends at the response head. Default none.
    pub timeout: Option<Duration>,
    /// Time from a request sent to its response head, per try.
    pub response_head_timeout: HeadLimit,
    /// Whether a try that failed is repeated.
    pub retries: RetryPolicy,
    /// Limits of event and gRPC streams.
    pub streaming: Streaming,
    /// Whether `Upgrade: websocket` is passed on. Default false.
    pub websocket: bool,
    /// Overrides [`Limits::max_body_bytes`](super::Limits::max_body_bytes); `u64::MAX` switches the ceiling off.
    pub max_body_bytes: Option<u64>,
    /// Who may come in; `None` asks nobody.
    pub auth: Option<Box<RouteAuth>>,
    /// Who may do what, each at most once; none of them let everybody pass.
    pub authorization: Vec<AuthorizationPolicyId>,
    /// What its requests are searched for.
    pub screening: Option<ScreeningId>,
    /// Rate limits a request must pass, each at most once.
    pub rate_limits: Vec<RateLimitId>,
    /// What one client may have open at a time. Default no limit.
    pub concurrency: Option<ConcurrencyLimit>,
    /// Requests that write no access record.
    pub access_log: bool,
    /// What of its requests is traced.
    pub tracing: RouteTracing,
    /// What is done for agents that speak A2A; `None` means nothing.
    pub a2a: Option<A2a>,
    /// What cards are signed with.
    pub card_key: Option<Arc<Key>>,
    /// What holds for single operations of A2A, each once.
    pub calls: Vec<CallPolicy>,
    /// Faults injected on purpose.
    pub fault: Option<Box<Fault>>,
    /// Which addresses of clients are served, beside what the listener says; `None` means all.
    pub ip_access: Option<Box<IpAccess>>,
    /// Which pages of other origins may use it.
    pub cors: Option<Box<Cors>>,
    /// The guard against requests for foreign pages.
    pub csrf: Option<Box<Csrf>>,
    /// Copies of requests for another cluster.
    pub mirror: Option<Box<MirrorTo>>,
}

/// What holds for the calls of one operation, beside what holds for their route.
#[derive(Clone, Debug)]
pub struct CallPolicy {
    /// The operation.
    pub operation: Operation,
    /// Rate limits a call must pass, each at most once.
    pub rate_limits: Vec<RateLimitId>,
    /// What one client may have open at a time. Default no limit.
    pub concurrency: Option<ConcurrencyLimit>,
    /// What all clients together may have open at a time. Default no limit.
    pub max_concurrent: Option<NonZeroU32>,
    /// Total time of a call; for a stream it ends at the response head. `None`: as the route says.
    pub timeout: Option<Duration>,
}

impl CallPolicy {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let is_limited = self.concurrency.is_some() || self.max_concurrent.is_some();
        self.rate_limits.is_empty() && !is_limited && self.timeout.is_none()
    }
}

impl Route {
    /// Whether calls of agents are recognised here before they are sent on. What a route answers by itself is looked
    /// into by nobody.
    #[must_use]
    pub fn sees_calls(&self) -> bool {
        self.action.forwards() && self.a2a.is_some()
    }

    /// Bytes of a request's body, where the listener has these limits; none is no limit.
    #[must_use]
    pub fn body_limit(&self, listener: &Limits) -> Option<u64> {
        self.max_body_bytes.or(listener.max_body_bytes)
    }

    /// How long an endpoint may take to its response head, per try. `is_read`: the request changes nothing. `has_time`:
    /// an agent works on it or streams, and may take as long as it likes; only a limit on heads holds for it.
    #[must_use]
    pub fn head_limit(&self, is_read: bool, has_time: bool) -> Option<Duration> {
        let per_try = match &self.retries {
            RetryPolicy::By(retries) if !has_time => retries.per_try_timeout,
            RetryPolicy::By(_) | RetryPolicy::Default | RetryPolicy::Off => None,
        };
        match (self.response_head_timeout, per_try) {
            (HeadLimit::After(limit), Some(per_try)) => Some(limit.min(per_try)),
            (HeadLimit::After(limit), None) => Some(limit),
            (HeadLimit::Default | HeadLimit::Off, Some(per_try)) => Some(per_try),
            (HeadLimit::Default, None) => (is_read && !has_time).then_some(HeadLimit::OF_SAFE),
            (HeadLimit::Off, None) => None,
        }
    }

    /// Whether what is behind it are agents, as far as the file says.
    #[must_use]
    pub fn leads_to_agents(&self) -> bool {
        self.a2a.is_some() && !self.action.clusters().is_empty()
    }

    /// How the cards of its agents are mapped, if they are.
    #[must_use]
    pub fn agent_card(&self) -> Option<&AgentCard> {
        self.a2a.as_ref()?.agent_card.as_ref()
    }
}

/// How long an endpoint may take to its response head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadLimit {
    /// The default: 30 s for GET and HEAD, else no limit.
    Default,
    /// No limit (`off`).
    Off,
    /// This long.
    After(Duration),
}

impl HeadLimit {
    /// The default for GET and HEAD. A POST may be an agent at work.
    pub const OF_SAFE: Duration = Duration::from_secs(30);
}

/// One alternative of a route's match: all parts must hold.
#[derive(Clone, Debug)]
pub struct Match {
    /// The path. Default: prefix `/`.
    pub path: PathMatch,
    /// Methods; empty means all.
    pub methods: Vec<Method>,
    /// Headers that must be there.
    pub headers: Vec<HeaderMatch>,
    /// Query parameters that must be there (decoded, case-sensitive, first occurrence).
    pub query: Vec<QueryMatch>,
    /// The tenant it must be for.
    pub tenant: Option<Box<TenantMatch>>,
}

/// What a route does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Forward to a cluster.
    Forward(ClusterId),
    /// Forward to one of several clusters.
    Split(Box<Split>),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer at once.
    Respond(Respond),
}

impl Action {
    /// Whether requests go on to a cluster.
    #[must_use]
    pub fn forwards(&self) -> bool {
        match self {
            Self::Forward(_) | Self::Split(_) => true,
            Self::Redirect(_) | Self::Respond(_) => false,
        }
    }

    /// The clusters it forwards to.
    #[must_use]
    pub fn clusters(&self) -> Vec<ClusterId> {
        match self {
            Self::Forward(id) => vec![*id],
            Self::Split(split) => split.parts.iter().map(|part| part.cluster).collect(),
            Self::Redirect(_) | Self::Respond(_) => Vec::new(),
        }
    }
}

impl Redirect {
    /// The status for a request with this method.
    #[must_use]
    pub fn status_for(&self, method: &Method) -> StatusCode {
        let is_safe = matches!(*method, Method::GET | Method::HEAD);
        self.status.unwrap_or(if is_safe { StatusCode::FOUND } else { StatusCode::TEMPORARY_REDIRECT })
    }
}

/// What is changed in the location.
impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            self.scheme.map(|part| format!("scheme {part}")),
            self.host.as_ref().map(|part| format!("host {part}")),
            self.port.map(|part| format!("port {part}")),
            self.path.as_ref().map(|part| format!("path {part}")),
            self.prefix.as_ref().map(|part| format!("prefix {part}")),
        ];
        f.write_str(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

/// A direct answer.
#[derive(Clone, Debug)]
pub struct Respond {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
    /// Content type. Default `text/plain; charset=utf-8`, or `application/json` when the body is a JSON object or list.
    pub content_type: HeaderValue,
}

/// Header changes, applied in the order remove, set, tell, add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Fields taken out.
    pub remove: Vec<HeaderName>,
    /// Fields replaced.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Fields that tell what is known of the request. Where nothing is known they are taken out, so that nobody else
    /// can say it.
    pub tell: Vec<(HeaderName, RequestFact)>,
    /// Fields added beside those there.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// `strict-transport-security`, where clients use HTTPS.
    pub hsts: Option<HeaderValue>,
}
