//! Rate limits, and the clients they refuse most.

use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::observe::clock::rfc3339;
use crate::observe::metrics::Metrics;
use crate::snapshot::Snapshot;

/// Rate limits.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct Limits {
    limits: Vec<LimitView>,
    /// How many more there are.
    left_out: usize,
}

/// One rate limit.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LimitView {
    name: String,
    /// In words: its key and how much it lets through.
    about: String,
    /// `enforce` or `shadow`.
    mode: &'static str,
    /// Clients with a bucket of their own.
    clients: usize,
    /// How many there may be.
    max_clients: usize,
    /// Requests that shared the bucket of those without room.
    overflowed: u64,
    /// Requests over the limit.
    limited: u64,
    /// Who is refused most.
    top: Vec<LimitedView>,
}

/// A client that was refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct LimitedView {
    /// Its address, or the beginning of its network.
    client: String,
    /// How often, approximately.
    refused: u64,
    last: String,
}

/// At most `most` limits.
pub(in crate::admin) fn list(snapshot: &Snapshot, metrics: &Metrics, most: usize) -> Limits {
    let now = (Instant::now(), SystemTime::now());
    let all = snapshot.limits.each().count();
    let limits = snapshot.limits.each().take(most).map(|(settings, limiter)| {
        let (name, mode) = (settings.scope.to_string(), settings.mode.word());
        let top = limiter.most_limited().into_iter().take(TOP).map(|one| LimitedView {
            client: one.client.to_string(),
            refused: one.refused,
            last: rfc3339(now.1.checked_sub(now.0.saturating_duration_since(one.last)).unwrap_or(now.1)),
        });
        LimitView {
            about: settings.to_string(),
            mode,
            clients: limiter.clients(),
            max_clients: settings.buckets.max_keys,
            overflowed: metrics.rate_limit_overflow(&name).get(),
            limited: metrics.rate_limited(&name, mode).get(),
            top: top.collect(),
            name,
        }
    });
    Limits { limits: limits.collect(), left_out: all.saturating_sub(most) }
}

/// Clients that are shown of one limit.
const TOP: usize = 10;
