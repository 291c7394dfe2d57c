//! `routes.X.cors` and `routes.X.csrf`: what pages in browsers may do with a route.

use std::time::Duration;

use http::{HeaderName, Method};

use super::limits::LimitMode;
use super::retries::FieldName;
use super::{Many, Time, Verb, section};
use crate::config::types::OriginPattern;

section! {
    #[derive()]
    /// Which pages of other origins may use the route (Fetch standard, CORS protocol). Preflights are answered by the
    /// gateway, and what an agent says of this itself is replaced.
    pub(in crate::config) struct Cors {
        /// Origins of such pages: `https://app.example.com`, `https://*.example.com`, `null`, `*` for all, or
        /// `{ regex: .. }`. Required.
        allow_origins: Vec<OriginPattern> as Many<OriginPattern> = [],
        /// Methods they may use.
        allow_methods: Vec<Method> as Many<Verb> = [GET, POST, DELETE],
        /// Fields they may send. The defaults are those of A2A clients.
        allow_headers: Vec<HeaderName> as Many<FieldName>
            = [accept, authorization, "content-type", "a2a-version", "a2a-extensions", "last-event-id", "x-api-key",
               "x-request-id", traceparent, tracestate],
        /// Fields of answers they may read.
        expose_headers: Vec<HeaderName> as Many<FieldName>
            = ["a2a-version", "a2a-extensions", "www-authenticate", "retry-after", ratelimit, "ratelimit-policy",
               "x-request-id", "x-attache-reason"],
        /// Send cookies and client certificates along.
        allow_credentials: bool = false,
        /// How long a browser need not ask again; browsers have bounds of their own, of 2 h or 24 h.
        max_age: Duration as Time = 10m,
        /// Let pages of the internet use the route where its address is in a private network.
        allow_private_network: bool = false,
    }

    #[derive()]
    /// A guard against requests that a browser sends for a foreign page.
    pub(in crate::config) struct Csrf {
        /// Other origins whose pages may send what changes something, beside the gateway's own and those of `cors`, `*`
        /// excepted.
        allow_origins: Vec<OriginPattern> as Many<OriginPattern> = [],
        /// Refuse a request with cookies that does not say which page sends it; browsers do.
        cookies_need_origin: bool = false,
        /// `enforce` refuses, `shadow` only counts in the metrics.
        mode: LimitMode = enforce,
    }
}
