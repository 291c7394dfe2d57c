//! `routes.X.mirror`: where a route sends copies of its requests, and of which.

use std::time::Duration;

use http::Method;

use super::{Bytes, Count, Many, Millis, Percentage, Verb, section};
use crate::config::types::ClusterId;
use crate::config::units::bytes;

section! {
    #[derive()]
    /// Copies of requests for another cluster. Its answers are dropped, and nothing about them reaches the client.
    pub struct Mirror {
        /// The cluster that gets them. Required.
        cluster: Option<String>,
        /// Share of the requests.
        percentage: Percentage = "100%",
        /// Methods. Default: GET, HEAD and OPTIONS; with `unsafe: true` all.
        methods: Option<Vec<Method>> as Many<Verb>,
        /// Copy requests that change something, too. They are carried out twice.
        allow_unsafe: bool = false [serde(rename = "unsafe")],
        /// Size of a body that is copied; requests with a larger one are not mirrored. Up to 16MiB.
        max_body_bytes: u64 as Bytes<1, { 16 << 20 }> = 256KiB,
        /// Copies under way at once, on this route; more are not sent.
        max_active: usize as Count<1, 100_000> = 100,
        /// Time for a copy, from its last byte to the end of its answer, up to 10m.
        timeout: Duration as Millis<1, 600_000> = 30s,
    }
}

impl Mirror {
    /// Whether requests with this method are copied.
    #[must_use]
    pub fn copies(&self, method: &Method) -> bool {
        match &self.methods {
            Some(given) => given.contains(method),
            None => self.allow_unsafe || SAFE.contains(method),
        }
    }

    /// What becomes of requests with this method, in words.
    #[must_use]
    pub fn copy_of(&self, method: &Method) -> String {
        let to = self.cluster.as_deref().unwrap_or("-");
        if !self.copies(method) {
            return format!("none to {to}: {method} is not copied");
        }
        let (share, size, most) = (self.percentage, bytes(self.max_body_bytes), self.max_active);
        format!("{share} to {to}, bodies up to {size}, at most {most} at once")
    }
}

/// A mirror and the cluster that it names.
#[derive(Clone, Debug)]
pub struct MirrorTo {
    /// The cluster.
    pub cluster: ClusterId,
    /// What is copied and how.
    pub settings: Mirror,
}

/// What changes nothing (RFC 9110 section 9.2.1) and is served.
pub(in crate::config) const SAFE: [Method; 3] = [Method::GET, Method::HEAD, Method::OPTIONS];
