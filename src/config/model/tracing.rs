//! Tracing: which requests leave spans, and where those go.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderMap;

use super::{FollowParent, Keep, OtlpProtocol, Percentage, Propagation, WebUrl};

/// How requests are traced.
#[derive(Clone, Debug)]
pub struct Tracing {
    /// Where spans go; `None`: nowhere, only the context is passed on.
    pub otlp: Option<Otlp>,
    /// Share of the traces that begin here and are exported.
    pub sampling: Percentage,
    /// Whose decision counts for others.
    pub follow_parent: FollowParent,
    /// What is exported whatever was decided.
    pub keep: Keep,
    /// What carries the context.
    pub propagation: Vec<Propagation>,
    /// Name of the gateway as a service.
    pub service_name: String,
    /// Further attributes of the gateway.
    pub attributes: Vec<(String, String)>,
}

/// A collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otlp {
    /// Its address.
    pub url: WebUrl,
    /// How it is spoken to.
    pub protocol: OtlpProtocol,
    /// Fields it is sent; their values are secrets.
    pub headers: HeaderMap,
    /// Authorities that vouch for it; `None` are the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one delivery may take.
    pub timeout: Duration,
}

/// What a route says of its traces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteTracing {
    /// They are as all others.
    #[default]
    Default,
    /// It has no spans.
    Off,
    /// Its traces are exported in this share.
    Share(Percentage),
}
