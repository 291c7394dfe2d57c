//! What pages in browsers may do with a route, with the fields for them made once.

use http::HeaderValue;

use super::{LimitMode, OriginPattern};

/// Which pages of other origins may use a route.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Their origins, at least one.
    pub origins: Vec<OriginPattern>,
    /// Whether the answer is the same for every origin: `*`.
    pub is_open: bool,
    /// Whether cookies may come along. Never where every origin may use it.
    pub credentials: bool,
    /// `Access-Control-Allow-Methods`.
    pub methods: HeaderValue,
    /// `Access-Control-Allow-Headers`; `None` where there are none.
    pub headers: Option<HeaderValue>,
    /// `Access-Control-Expose-Headers`; `None` where there are none.
    pub exposed: Option<HeaderValue>,
    /// `Access-Control-Max-Age`, in seconds.
    pub max_age: HeaderValue,
    /// Whether pages of the internet may use a route in a private network.
    pub private_network: bool,
}

/// The guard against requests that a browser sends for a foreign page.
#[derive(Clone, Debug)]
pub struct Csrf {
    /// Other origins whose pages may send what changes something, beside those of [`Cors`].
    pub origins: Vec<OriginPattern>,
    /// Whether a request with cookies must say which page sends it.
    pub cookies_need_origin: bool,
    /// Whether it refuses.
    pub mode: LimitMode,
}
