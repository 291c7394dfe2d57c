//! Copies of requests for another cluster.

use std::time::Duration;

use http::Method;

use super::{ClusterId, Percentage};

/// Where a route sends copies of its requests, and of which.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// The cluster that gets them.
    pub cluster: ClusterId,
    /// How many. Default all.
    pub percentage: Percentage,
    /// Methods that are copied; empty means every method. Default GET, HEAD and OPTIONS.
    pub methods: Vec<Method>,
    /// Bytes of a body that are kept for the copy. Default 256 KiB.
    pub max_body_bytes: u64,
    /// Copies under way at once. Default 100.
    pub max_active: usize,
    /// Time for a copy, from its last byte to the end of its answer. Default 30 s.
    pub timeout: Duration,
}
