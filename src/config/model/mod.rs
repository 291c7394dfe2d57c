//! The validated configuration: every value here is legal by construction and every reference resolved. Built only by
//! this room from the sections of the file; the rest of the gateway reads nothing else.

mod abuse;
mod access_log;
mod action;
mod auth;
mod authorization;
mod basic;
mod browser;
mod cluster;
mod external;
mod header_changes;
mod jwt;
mod limits;
mod listener;
mod route;
mod screening;
mod split;
mod tracing;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use super::effective::Effective;

pub use super::forms::percentage::Percentage;
pub use super::keys::a2a::{
    A2a, Affinity, AgentCard, CardSecurity, HeldBy, LargeBodies, OnLoss, Ownership, Signing, UnknownMaker,
};
pub use super::keys::abuse::{AuditKind, AuditLog, AuthFailures};
pub use super::keys::access_log::{LogOutput, RecordField, RecordFormat, RecordSample, Redacted, SyslogServer};
pub use super::keys::acme::{Acme, AcmeChallenge, ExternalAccount};
pub use super::keys::adaptive::AdaptiveConcurrency;
pub use super::keys::auth::{Credentials, IdentityHeaders, ResourceMetadata};
pub use super::keys::authorization::{AuthorizationRule, PolicyMode, PrincipalPattern, RuleAction, SPIFFE};
pub use super::keys::calls::{Methods, UrlGuard};
pub use super::keys::circuit_breaker::{CircuitBreaker, EndpointCeilings, HalfOpen};
pub use super::keys::client_certificate::{CertificateName, ClientCertificates};
pub use super::keys::cluster::{Tls as UpstreamTls, UpstreamProtocol};
pub use super::keys::external::{CacheScope, OnAuthFailure};
pub use super::keys::fault::{AbortAnswer, AbortFault, DelayFault, Disturbance, Fault, FaultByHeader, StreamFault};
pub use super::keys::health::{HealthCheck, Kind as ProbeKind};
pub use super::keys::limits::{LimitKey, LimitMode};
pub use super::keys::listener::{
    AuthMode, Catalog, Certificate, ClientAuth, HttpVersion, Limits, PathPolicy, Tls as ListenerTls, TlsVersion,
    UnknownSni,
};
pub use super::keys::mirror::{Mirror, MirrorTo};
pub use super::keys::operation::{
    AdminAddress, ClientIp, Dns, LogFormat, Logging, Metrics, Readiness, Reload, Shutdown, Tenants, Writes,
};
pub use super::keys::outlier::{FailurePercentage, MaxFails, OutlierDetection, Panic, PanicAction, SuccessRate};
pub use super::keys::retries::{Backoff, Failure, Retries, RetryBudget, RetryOn, RetryPolicy};
pub use super::keys::route::{Redirect, RequestFact, Streaming};
pub use super::keys::screening::{PatternSet, ScreenedPart};
pub use super::keys::split::{
    Analysis, Comparison, Condition, Losing, Measure, Metric, OnFailure, Rollout as RolloutSettings, Threshold, Unit,
};
pub use super::keys::tracing::{FollowParent, Keep, OtlpProtocol, Propagation};
pub use super::types::{
    Authority, BindingPlace, ClusterId, HashKey, HeaderMatch, HostPattern, ListenerId, LoadBalancer, Member,
    MemberAddress, NULL, Networks, OriginPattern, PathMatch, PublicUrl, QueryMatch, Rewrite, RouteId, Scheme,
    TenantMatch, TextPattern, UpstreamHost, ValueMatch, WebUrl, after_prefix, is_among, serialised, trust_domain,
};
pub use abuse::{BlockList, IpAccess, IpRule};
pub use access_log::AccessLog;
pub use action::{Action, Respond};
pub use auth::{
    ApiKeys, AuthException, AuthKind, AuthProvider, AuthProviderId, KeyCarrier, KnownKey, Needed, RouteAuth,
};
pub use authorization::{AUTHENTICATED, AuthorizationPolicy, AuthorizationPolicyId, EVERYBODY};
pub use basic::{Argon2Variant, BasicUsers, KnownUser, PasswordHash};
pub use browser::{Cors, Csrf};
pub use cluster::Cluster;
pub use external::ExternalAuth;
pub use header_changes::HeaderChanges;
pub use jwt::{Jwt, JwtKeys, RemoteJwks};
pub use limits::{Buckets, ConcurrencyLimit, LimitScope, Quota, RateLimit, RateLimitId};
pub use listener::{HttpsRedirect, Listener};
pub use route::{CallPolicy, HeadLimit, Match, Route};
pub use screening::{Screening, ScreeningId, Search, UNREAD};
pub use split::{CookieKey, Part, Rollout, Split, Step};
pub use tracing::{Otlp, RouteTracing, Tracing};

pub use super::keys::wire::{Http2Keepalive, TcpKeepalive};

/// The whole configuration of one gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` means the cores of the cgroup.
    pub workers: Option<NonZeroUsize>,
    /// Entry points, in name order. A [`ListenerId`] indexes this list.
    pub listeners: Vec<Listener>,
    /// Routes, in name order. A [`RouteId`] indexes this list.
    pub routes: Vec<Arc<Route>>,
    /// Upstream clusters, in name order. A [`ClusterId`] indexes this list.
    pub clusters: Vec<Cluster>,
    /// Rate limits: the shared ones in name order, then those of routes. A [`RateLimitId`] indexes this list.
    pub rate_limits: Vec<RateLimit>,
    /// What proves who clients are, in name order. An [`AuthProviderId`] indexes this list.
    pub auth_providers: Vec<Arc<AuthProvider>>,
    /// Who may do what: the shared policies in name order, then those of routes. An [`AuthorizationPolicyId`] indexes
    /// this list.
    pub authorization_policies: Vec<AuthorizationPolicy>,
    /// What requests are searched for. A [`ScreeningId`] indexes this list.
    pub screenings: Vec<Arc<Screening>>,
    /// What the cookies of splits are made with that have no key of their own: from the private keys of the listeners,
    /// where there are any.
    pub cookie_key: Option<CookieKey>,
    /// Whose forwarding headers are believed.
    pub client_ip: ClientIp,
    /// How tenants are known and counted.
    pub tenants: Tenants,
    /// Clients that are not served.
    pub block_list: BlockList,
    /// What becomes of clients that fail to authenticate again and again; `None` means nothing.
    pub auth_failures: Option<Arc<AuthFailures>>,
    /// The access logs, in the order of the file.
    pub access_log: Vec<AccessLog>,
    /// The audit log.
    pub audit_log: AuditLog,
    /// How requests are traced; `None` means they carry their context on and leave no spans.
    pub tracing: Option<Arc<Tracing>>,
    /// The listener for `/metrics`, `/health`, `/ready` and `/startup`.
    pub metrics: Metrics,
    /// What readiness depends on beside the gateway itself.
    pub readiness: Readiness,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// Lifecycle logging.
    pub logging: Logging,
    /// Where the progress of rollouts is kept over a restart. Default: nowhere.
    pub state_file: Option<PathBuf>,
    /// DNS settings shared by every cluster.
    pub dns: Dns,
    /// Taking a changed configuration while running.
    pub reload: Reload,
    /// The listener that operators ask and command; `None` means there is none.
    pub admin: Option<Admin>,
    /// Hash of the configuration's content (all files, after includes, with the certificates and secrets they name),
    /// hexadecimal.
    pub hash: String,
    /// Each key that cannot change while running, with its value as text.
    pub(in crate::config) restart_required: BTreeMap<String, String>,
    /// What is configured, without secrets, to compare with what comes next.
    pub effective: Arc<Effective>,
}

impl Config {
    /// Whether a route leads to more than one endpoint, or may: a name can stand for several.
    #[must_use]
    pub fn has_replicas(&self, route: &Route) -> bool {
        let mut members = self.clusters_of(route).flat_map(|cluster| &cluster.members);
        let is_name =
            |address: &MemberAddress| matches!(address, MemberAddress::Name { host, .. } if host != "localhost");
        members.next().is_some_and(|first| is_name(&first.address) || members.next().is_some())
    }

    /// The clusters that a route forwards to; none where it answers by itself.
    pub fn clusters_of<'c>(&'c self, route: &Route) -> impl Iterator<Item = &'c Cluster> + use<'c> {
        route.action.clusters().into_iter().filter_map(|id| self.clusters.get(id.0))
    }

    /// The same in memory of the calling thread, down to the texts. What was read lies among what is thrown away.
    #[must_use]
    pub fn compact(self) -> Self {
        Self { effective: Arc::new(Effective::clone(&self.effective)), ..self.clone() }
    }
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it is.
    pub address: AdminAddress,
    /// File with the token; present when the address is not local.
    pub token_file: Option<PathBuf>,
    /// What may be changed through it.
    pub writes: Writes,
}
