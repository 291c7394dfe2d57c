//! What a route does with a request: send it on, or answer it.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

use super::{ClusterId, Redirect, Split};

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

    /// The answer of the gateway's own to a request with this method, in words.
    #[must_use]
    pub fn answer(&self, method: &Method) -> Option<String> {
        match self {
            Self::Forward(_) | Self::Split(_) => None,
            Self::Redirect(to) => Some(format!("{}, redirect with {to}", to.status_for(method).as_u16())),
            Self::Respond(Respond { status, body, .. }) => {
                Some(format!("{} with {} bytes, no upstream", status.as_u16(), body.len()))
            }
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
