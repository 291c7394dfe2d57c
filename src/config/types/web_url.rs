//! An address of another server that the gateway itself asks.

use std::fmt;

use http::HeaderValue;
use http::uri::PathAndQuery;

use super::Scheme;
use crate::host::is_itself;

/// A URL with `http` or `https`, in parts as a request needs them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl {
    /// Whether TLS is used.
    pub scheme: Scheme,
    /// The host without a port; IPv6 without brackets.
    pub host: Box<str>,
    /// The port, given or the scheme's.
    pub port: u16,
    /// Host and port for the `Host` field; the scheme's port is left out.
    pub authority: HeaderValue,
    /// Path and query.
    pub target: PathAndQuery,
}

impl WebUrl {
    /// Whether the server is this machine: what is said there in the clear is heard by nobody else.
    #[must_use]
    pub fn is_local(&self) -> bool {
        is_itself(&self.host)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = String::from_utf8_lossy(self.authority.as_bytes());
        write!(f, "{}://{authority}{}", self.scheme, self.target)
    }
}
