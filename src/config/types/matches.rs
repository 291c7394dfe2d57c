//! Conditions on requests, and changes to them.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

/// How a path is matched.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Whole segments from the start: `/v2` matches `/v2` and `/v2/x`, not `/v2example`. Kept without a trailing slash,
    /// `/` as the empty string.
    Prefix(String),
    /// The whole path, by a linear-time regular expression (anchored at both ends).
    Regex(regex::Regex),
}

impl PathMatch {
    /// Whether it holds for a path. Both are in the spelling in which requests are matched.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => wanted == path,
            Self::Prefix(prefix) => after_prefix(path, prefix).is_some(),
            Self::Regex(regex) => regex.is_match(path),
        }
    }

    /// The path under which the agents of a route are reached, as far as this says.
    #[must_use]
    pub fn base(&self) -> &str {
        match self {
            Self::Prefix(prefix) => prefix,
            Self::Exact(_) | Self::Regex(_) => "",
        }
    }
}

/// What follows `prefix` in `path` when it ends at a segment's end: nothing, or a slash and more.
#[must_use]
pub fn after_prefix<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let rest = path.strip_prefix(prefix)?;
    let is_whole = rest.starts_with('/') || (rest.is_empty() && !prefix.is_empty());
    is_whole.then_some(rest)
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "exact path {path}"),
            Self::Prefix(prefix) if prefix.is_empty() => f.write_str("any path"),
            Self::Prefix(prefix) => write!(f, "path prefix {prefix}"),
            Self::Regex(regex) => write!(f, "path expression {regex}"),
        }
    }
}

/// A header condition.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// The field.
    pub name: HeaderName,
    /// Its value.
    pub value: ValueMatch,
}

impl HeaderMatch {
    /// Whether it holds. A field may come on several lines; one that matches is enough.
    #[must_use]
    pub fn holds(&self, headers: &HeaderMap) -> bool {
        headers.get_all(&self.name).iter().any(|value| self.value.fits(value.as_bytes()))
    }
}

/// A condition on the tenant.
#[derive(Clone, Debug)]
pub struct TenantMatch {
    /// The header that names it. Where it says nothing, the path of an A2A call does.
    pub header: Option<HeaderName>,
    /// The tenant.
    pub value: ValueMatch,
}

/// A query parameter condition.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The parameter, percent-decoded.
    pub name: String,
    /// Its value.
    pub value: ValueMatch,
}

/// A condition on one value.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Equal.
    Exact(String),
    /// Starts with.
    Prefix(String),
    /// Whole value, anchored.
    Regex(regex::Regex),
    /// There at all.
    Present,
}

impl ValueMatch {
    /// Whether it holds for a value.
    #[must_use]
    pub fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
            Self::Present => true,
        }
    }
}

/// A change of the path before forwarding.
#[derive(Clone, Debug)]
pub enum Rewrite {
    /// Replace the matched prefix (with an exact match: the whole path).
    Prefix(String),
    /// Replace the whole path.
    Path(String),
    /// Replace by regular expression with capture groups (`$1`).
    Regex {
        /// What is looked for.
        pattern: regex::Regex,
        /// What it is replaced with.
        replacement: String,
    },
}

/// The Host header (or `:authority`) towards upstreams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamHost {
    /// The client's.
    Preserve,
    /// The endpoint's name and port as written in the configuration.
    Endpoint,
    /// This one.
    Fixed(HeaderValue),
}

impl UpstreamHost {
    /// What is sent, in words, where the client asked for the host `asked`.
    #[must_use]
    pub fn sent(&self, asked: &str) -> String {
        match self {
            Self::Preserve => format!("{asked} (the client's)"),
            Self::Endpoint => "the endpoint's name and port".to_owned(),
            Self::Fixed(value) => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        }
    }
}
