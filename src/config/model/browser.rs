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

impl Cors {
    /// Whose pages may use the route, and what they may send.
    #[must_use]
    pub fn facts(&self) -> [String; 2] {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let credentials = if self.credentials { "with" } else { "without" };
        let fields = self.headers.as_ref().map_or_else(|| "no fields of their own".to_owned(), text);
        [
            format!("pages of {}, {credentials} credentials", names(&self.origins)),
            format!("methods {}; fields {fields}", text(&self.methods)),
        ]
    }
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

impl Csrf {
    /// Whose pages may change something where `cors` holds, and what becomes of others.
    #[must_use]
    pub fn guard(&self, cors: Option<&Cors>) -> String {
        let origins = self.origins.iter().chain(cors.iter().flat_map(|cors| &cors.origins));
        let others = names(origins.filter(|origin| !origin.is_everybody()));
        let pages = if others.is_empty() { "its own".to_owned() } else { format!("its own and {others}") };
        let cookies = if self.cookies_need_origin { "; with cookies a page must be named" } else { "" };
        format!("changes for pages of {pages}, {}{cookies}", self.mode.of_others())
    }
}

fn names<'a>(origins: impl IntoIterator<Item = &'a OriginPattern>) -> String {
    origins.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
