//! Values that the file and the gateway have in common. Knows nothing of how they are written.

mod matches;
mod networks;
mod origin;
mod public;
mod spiffe;
mod text_pattern;
mod upstream;
mod web_url;

use std::fmt;

pub use matches::{HeaderMatch, PathMatch, QueryMatch, Rewrite, TenantMatch, UpstreamHost, ValueMatch, after_prefix};
pub use networks::Networks;
pub use origin::{NULL, OriginPattern, is_among, serialised};
pub use public::{Authority, PublicUrl, Scheme};
pub(in crate::config) use spiffe::is_trust_domain;
pub use spiffe::trust_domain;
pub use text_pattern::TextPattern;
pub use upstream::{BindingPlace, HashKey, LoadBalancer, Member, MemberAddress};
pub use web_url::WebUrl;

/// A host to match, lower case and without port or trailing dot.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// One name or address; IPv6 addresses in brackets.
    Exact(String),
    /// `*.example.com` holds `example.com`: one or more labels before it (Gateway API).
    Wildcard(String),
}

impl HostPattern {
    /// Whether it stands for this host, which is in the same spelling.
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => name == host,
            Self::Wildcard(parent) => host
                .strip_suffix(parent.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Index into the listeners of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId(pub usize);

/// Index into the routes of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RouteId(pub usize);

/// Index into the clusters of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterId(pub usize);
