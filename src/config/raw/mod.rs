//! The file's own shape: what serde reads and the schema describes. Every field may be absent, and `null` is the same
//! as absent; what is required is judged when everything is read, so that one problem does not hide the next. Never
//! leaves this room: `resolve` turns it into the model.

pub(super) mod cluster;
pub(super) mod fault;
pub(super) mod forms;
pub(super) mod health;
pub(super) mod limits;
pub(super) mod listener;
pub(super) mod mirror;
pub(super) mod names;
pub(super) mod operating;
pub(super) mod outlier;
pub(super) mod percentage;
pub(super) mod public;
pub(super) mod retries;
pub(super) mod route;
pub(super) mod settings;
pub(super) mod split;
pub(super) mod timestamp;
pub(super) mod values;
pub(super) mod wire;
pub(super) mod words;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use cluster::Cluster;
pub(super) use fault::Fault;
pub(super) use forms::{Many, Named, OrOff};
pub(super) use listener::Listener;
pub(super) use mirror::Mirror;
pub(super) use route::Route;

/// Configuration of an attache gateway. Keys that begin with `x-` are left alone: a place for anchors.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("patternProperties" = { "^x-": true }))]
pub(super) struct Root {
    /// Version of this language: 1.
    #[schemars(range(min = 1, max = 1))]
    pub(super) version: Option<u64>,
    /// More files, relative to this one; `*` stands for any part of a name. A name defined twice is an error.
    #[expect(dead_code, reason = "followed on the tree, before it is read into types")]
    pub(super) include: Option<Vec<String>>,
    /// Worker threads. Default: the cores of the cgroup.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) workers: Option<u64>,
    /// Zone this gateway runs in, whose endpoints are preferred. Default: the environment variable `ATTACHE_ZONE`, or
    /// none.
    pub(super) zone: Option<String>,
    /// Entry points, by name.
    pub(super) listeners: Option<Named<Listener>>,
    /// What happens to requests, by name. Order does not matter.
    pub(super) routes: Option<Named<Route>>,
    /// Upstreams, by name.
    pub(super) clusters: Option<Named<Cluster>>,
    /// Rate limits that routes share, by name: every route that names one counts in the same buckets.
    pub(super) rate_limits: Option<Named<limits::RateLimit>>,
    /// Merged under every route and cluster.
    #[expect(dead_code, reason = "merged on the tree, before it is read into types for good")]
    pub(super) defaults: Option<Defaults>,
    /// Whose word on the client's address is believed.
    pub(super) client_ip: Option<settings::ClientIp>,
    /// One line for each finished exchange.
    pub(super) access_log: Option<settings::AccessLog>,
    /// The listener for `/metrics`, `/health`, `/ready` and `/startup`.
    pub(super) metrics: Option<settings::Metrics>,
    /// What `/ready` depends on beside the gateway itself.
    pub(super) readiness: Option<operating::Readiness>,
    /// How the gateway ends.
    pub(super) shutdown: Option<settings::Shutdown>,
    /// Logging of the gateway's own life, to standard error.
    pub(super) logging: Option<settings::Logging>,
    /// What survives a restart.
    pub(super) state: Option<settings::State>,
    /// DNS resolution of endpoints.
    pub(super) dns: Option<settings::Dns>,
    /// Taking a changed configuration while running.
    pub(super) reload: Option<operating::Reload>,
    /// The listener that operators ask and command.
    pub(super) admin: Option<operating::Admin>,
}

/// Values for whatever does not say otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Defaults {
    /// Merged under every route.
    #[expect(dead_code, reason = "merged on the tree")]
    pub(super) route: Option<Route>,
    /// Merged under every cluster.
    #[expect(dead_code, reason = "merged on the tree")]
    pub(super) cluster: Option<Cluster>,
}
