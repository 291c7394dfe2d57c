//! Routes: what they match and what they do.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::{
    A2a, Action, AgentCard, AuthorizationPolicyId, ConcurrencyLimit, Cors, Csrf, Fault, HeaderChanges, HeaderMatch,
    HostPattern, IpAccess, Limits, ListenerId, MirrorTo, PathMatch, PublicUrl, QueryMatch, RateLimitId, RetryPolicy,
    Rewrite, RouteAuth, RouteTracing, ScreeningId, Streaming, TenantMatch, UpstreamHost,
};
use crate::a2a::Operation;
use crate::config::units::{bytes, time, time_or_none};
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
        self.max_body_bytes.or(listener.max_body_bytes).filter(|limit| *limit != u64::MAX)
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

    /// Sizes of a request here, in words, where the listener has these limits.
    #[must_use]
    pub fn sizes(&self, listener: &Limits) -> String {
        let body = self.body_limit(listener).map_or_else(|| "unlimited".to_owned(), bytes);
        let head = bytes(u64::try_from(listener.max_header_bytes).unwrap_or(u64::MAX));
        let target = bytes(u64::try_from(listener.max_target_bytes).unwrap_or(u64::MAX));
        let websocket = if self.websocket { "allowed" } else { "refused" };
        let fields = listener.max_headers;
        format!("body {body}, head {head} in {fields} fields, target {target}, websocket {websocket}")
    }

    /// How long a request with this method and its answer may take, in words.
    #[must_use]
    pub fn times(&self, method: &Method) -> String {
        let head = time_or_none(self.head_limit(matches!(*method, Method::GET | Method::HEAD), false));
        let of_all = |limit| format!("{} (of a stream only its head)", time(limit));
        let whole = self.timeout.map_or_else(|| "none".to_owned(), of_all);
        format!("response head {head}, whole {whole}, {}", self.streaming)
    }

    /// Why a request with this host and method is its own, in words; `matched` is the alternative that holds.
    #[must_use]
    pub fn reasons(&self, host: &str, method: &Method, matched: usize) -> String {
        let host = if self.hosts.is_empty() { "any host".to_owned() } else { format!("host {host}") };
        let parts = self.matches.get(matched).into_iter().flat_map(|alternative| alternative.parts(method));
        std::iter::once(host).chain(parts).collect::<Vec<_>>().join(", ")
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

impl Match {
    /// What it asks for, in words, of a request with this method.
    fn parts(&self, method: &Method) -> impl Iterator<Item = String> {
        let method = (!self.methods.is_empty()).then(|| format!("method {method}"));
        let headers = self.headers.iter().map(|header| format!("header {}", header.name));
        let query = self.query.iter().map(|query| format!("query {}", query.name));
        std::iter::once(self.path.to_string()).chain(method).chain(headers).chain(query)
    }
}
