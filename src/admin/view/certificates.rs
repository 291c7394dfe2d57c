//! Certificates that are served, and how long they last.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Serialize;

use super::moment;
use crate::observe::metrics::Metrics;

/// Served certificates.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::admin) struct Certificates {
    certificates: Vec<CertificateView>,
}

/// One certificate.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct CertificateView {
    listener: String,
    file: String,
    /// When it expires.
    not_after: String,
    /// Whole days until then; below zero when it has expired.
    days_left: i64,
}

/// All of them.
pub(in crate::admin) fn list(metrics: &Metrics, now: SystemTime) -> Certificates {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let certificates = metrics.certificates().into_iter().map(|(listener, file, end)| CertificateView {
        listener: listener.into(),
        file: file.into(),
        not_after: moment(Duration::from_secs(u64::try_from(end).unwrap_or(0))),
        days_left: end.saturating_sub(now).div_euclid(DAY),
    });
    Certificates { certificates: certificates.collect() }
}

const DAY: i64 = 86_400;
