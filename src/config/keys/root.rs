//! The whole file. Every field may be absent, and `null` is the same as absent; what is required is judged when
//! everything is read, so that one problem does not hide the next.

use std::num::NonZeroUsize;

use schemars::JsonSchema;
use serde::Deserialize;

use super::abuse::{AuditLog, AuthFailures, BlockList};
use super::access_log::AccessLog;
use super::auth::AuthProvider;
use super::authorization::AuthorizationPolicy;
use super::limits::RateLimit;
use super::operation::{Admin, ClientIp, Dns, Logging, Metrics, Readiness, Reload, Shutdown, State, Tenants};
use super::tracing::Tracing;
use super::{Cluster, Count, Listener, Many, Named, OrOff, Route, section};

section! {
    #[derive()]
    /// Configuration of an attache gateway. Keys that begin with `x-` are left alone: a place for anchors.
    pub(in crate::config) struct Root [schemars(extend("patternProperties" = { "^x-": true }))] {
        /// Version of this language: 1.
        version: u64 = 1 [schemars(range(min = 1, max = 1))],
        /// More files, relative to this one; `*` stands for any part of a name. A name defined twice is an error.
        include: Option<Many<String>>,
        /// Worker threads. Default: the cores of the cgroup.
        workers: Option<NonZeroUsize> as Count<1, 1024>; restart,
        /// Zone this gateway runs in, whose endpoints are preferred. Default: the environment variable `ATTACHE_ZONE`,
        /// or none.
        zone: Option<String>,
        /// Entry points, by name.
        listeners: Vec<(String, Listener)> as Named<Listener> = {},
        /// What happens to requests, by name. Order does not matter.
        routes: Vec<(String, Route)> as Named<Route> = {},
        /// Upstreams, by name.
        clusters: Vec<(String, Cluster)> as Named<Cluster> = {},
        /// Rate limits that routes share, by name: every route that names one counts in the same buckets.
        rate_limits: Vec<(String, RateLimit)> as Named<RateLimit> = {},
        /// What proves who clients are, by name; routes say under `auth` whom they ask.
        auth_providers: Vec<(String, AuthProvider)> as Named<AuthProvider> = {},
        /// Who may do what: policies that routes share, by name.
        authorization_policies: Vec<(String, AuthorizationPolicy)> as Named<AuthorizationPolicy> = {},
        /// Merged under every route and cluster.
        defaults: Option<Defaults>,
        /// Whose word on the client's address is believed.
        client_ip: ClientIp = {},
        /// On whose behalf requests are made: tenants of agents.
        tenants: Tenants = {},
        /// Clients that are not served by any listener.
        block_list: BlockList = {},
        /// Slow down, then block, clients that fail to authenticate again and again.
        auth_failures: Option<AuthFailures> as OrOff<AuthFailures> = off,
        /// One line for each finished exchange; a list of logs writes several.
        access_log: Vec<AccessLog> as Many<AccessLog> = {}; restart inside,
        /// One line for each decision that refused or blocked somebody, or changed something.
        audit_log: AuditLog = {}; restart inside,
        /// Spans of requests, and the context that goes with them; `off` makes none.
        tracing: Option<Tracing> as OrOff<Tracing> = off,
        /// The listener for `/metrics`, `/health`, `/ready` and `/startup`.
        metrics: Metrics = {}; restart inside,
        /// What `/ready` depends on beside the gateway itself.
        readiness: Readiness = {},
        /// How the gateway ends.
        shutdown: Shutdown = {},
        /// Logging of the gateway's own life, to standard error.
        logging: Logging = {}; restart inside,
        /// What survives a restart.
        state: State = {},
        /// DNS resolution of endpoints.
        dns: Dns = {},
        /// Taking a changed configuration while running.
        reload: Reload = {},
        /// The listener that operators ask and command.
        admin: Option<Admin>; restart inside,
    }
}

/// Values for whatever does not say otherwise.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Defaults {
    /// Merged under every route.
    #[expect(dead_code, reason = "merged on the tree")]
    pub(in crate::config) route: Option<Route>,
    /// Merged under every cluster.
    #[expect(dead_code, reason = "merged on the tree")]
    pub(in crate::config) cluster: Option<Cluster>,
}
