//! `routes.X.mirror`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::forms::Many;
use super::percentage::Percentage;
use super::values::{Size, Time, Verb};

/// Copies of requests for another cluster. Its answers are dropped, and nothing about them reaches the client.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::config) struct Mirror {
    /// The cluster that gets them. Required.
    pub(in crate::config) cluster: Option<String>,
    /// Share of the requests. Default: 100%.
    pub(in crate::config) percentage: Option<Percentage>,
    /// Methods. Default: GET, HEAD and OPTIONS; with `unsafe: true` all.
    pub(in crate::config) methods: Option<Many<Verb>>,
    /// Copy requests that change something, too. They are carried out twice. Default: false.
    #[serde(rename = "unsafe")]
    pub(in crate::config) allow_unsafe: Option<bool>,
    /// Size of a body that is copied; requests with a larger one are not mirrored. Up to 16MiB. Default: 256KiB.
    pub(in crate::config) max_body_bytes: Option<Size>,
    /// Copies under way at once, on this route; more are not sent. Default: 100.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config) max_active: Option<u64>,
    /// Time for a copy, from its last byte to the end of its answer, up to 10m. Default: 30s.
    pub(in crate::config) timeout: Option<Time>,
}
