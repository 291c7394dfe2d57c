//! `routes.X.mirror`.

use std::time::Duration;

use http::Method;

use super::forms::Many;
use super::percentage::Percentage;
use super::values::Verb;
use crate::config::keys::{Bytes, Count, Millis, section};
use crate::config::model;

section! {
    #[derive()]
    /// Copies of requests for another cluster. Its answers are dropped, and nothing about them reaches the client.
    pub(in crate::config) struct Mirror {
        /// The cluster that gets them. Required.
        cluster: Option<String>,
        /// Share of the requests.
        percentage: model::Percentage as Percentage = "100%",
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
