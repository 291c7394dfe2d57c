//! The validated configuration: every value here is legal by construction and every reference resolved. Built only by
//! this room from the raw YAML types; the rest of the gateway reads nothing else.

mod cluster;
mod listener;
mod operation;
mod route;
mod split;

use std::num::NonZeroUsize;
use std::path::PathBuf;

pub use cluster::{
    Cluster, HashKey, LoadBalancer, Member, MemberAddress, UpstreamProtocol, UpstreamTls,
};
pub use listener::{
    Certificate, ClientAuth, HostPattern, HttpVersion, HttpsRedirect, Limits, Listener,
    ListenerTls, PathPolicy, TlsVersion, UnknownSni,
};
pub use operation::{AccessLog, ClientIp, Dns, LogFormat, LogOutput, Logging, Metrics, Shutdown};
pub use route::{
    Action, HeaderChanges, HeaderMatch, Match, PathMatch, QueryMatch, Redirect, Respond, Rewrite,
    Route, Streaming, UpstreamHost, ValueMatch,
};

pub use split::{
    Analysis, Comparison, Condition, Losing, Measure, Metric, OnFailure, Part, Rollout, Split,
    Step, Threshold,
};

/// The whole configuration of one gateway.
#[derive(Clone, Debug)]
pub struct Config {
    /// Worker threads; `None` means the cores of the cgroup.
    pub workers: Option<NonZeroUsize>,
    /// Entry points, in name order. A [`ListenerId`] indexes this list.
    pub listeners: Vec<Listener>,
    /// Routes, in name order. A [`RouteId`] indexes this list.
    pub routes: Vec<Route>,
    /// Upstream clusters, in name order. A [`ClusterId`] indexes this list.
    pub clusters: Vec<Cluster>,
    /// Whose forwarding headers are believed.
    pub client_ip: ClientIp,
    /// The access log.
    pub access_log: AccessLog,
    /// The listener for `/metrics`, `/health`, `/ready` and `/startup`.
    pub metrics: Metrics,
    /// How the gateway ends.
    pub shutdown: Shutdown,
    /// Lifecycle logging.
    pub logging: Logging,
    /// Where the progress of rollouts is kept over a restart. Default: nowhere.
    pub state_file: Option<PathBuf>,
    /// DNS settings shared by every cluster.
    pub dns: Dns,
    /// Hash of the configuration's content (all files, after includes), hexadecimal.
    pub hash: String,
}

/// Index into [`Config::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Index into [`Config::routes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// Index into [`Config::clusters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub usize);
