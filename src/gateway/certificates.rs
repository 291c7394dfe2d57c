//! Certificates are looked at again every few seconds, so that a renewed file is served without a reload.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::expiry::{ExpiryWarnings, Notice, days_left};
use crate::listener::Shared;
use crate::listener::certificates::Validity;
use crate::observe::metrics::Metrics;

/// What was said of certificates. It outlives reloads, so that nothing is said twice.
pub(super) type Said = Arc<Mutex<ExpiryWarnings>>;

/// Looks at the certificates' files for ever.
pub(super) async fn watch(listeners: Vec<(String, Arc<Shared>)>, metrics: Arc<Metrics>, said: Said) {
    publish(&listeners, &metrics);
    loop {
        warn(&listeners, &said, SystemTime::now());
        sleep(INTERVAL).await;
        refresh(&listeners, &metrics).await;
    }
}

/// Says which certificates are served, and which expire soon.
fn warn(listeners: &[(String, Arc<Shared>)], said: &Said, now: SystemTime) {
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let mut there = Vec::new();
    for (name, shared) in listeners {
        let settings = shared.settings();
        for (file, validity) in settings.tls.iter().flat_map(|tls| tls.validities()) {
            if let Some(notice) = said.look(name, &file, validity, now) {
                tell(name, &file, validity, notice, now);
            }
            there.push((name.as_str(), file));
        }
    }
    said.retain(|listener, file| there.iter().any(|(name, known)| *name == listener && known == file));
}

fn tell(listener: &str, file: &Path, validity: Validity, notice: Notice, now: i64) {
    let (file, days) = (file.display(), days_left(validity, now));
    match notice {
        Notice::Served => tracing::info!(listener, %file, days, "certificate served, with so many days left"),
        Notice::Soon(1) => tracing::error!(listener, %file, days, "certificate expires within 1 day, renew it now"),
        Notice::Soon(within) => {
            tracing::warn!(listener, %file, days, "certificate expires within {within} days, renew it");
        }
        Notice::Expired => tracing::error!(listener, %file, "certificate has expired, clients refuse it"),
    }
}

/// Reads certificates again whose files changed. A pair that cannot be used leaves the old one in place.
pub(super) async fn refresh(listeners: &[(String, Arc<Shared>)], metrics: &Arc<Metrics>) {
    let (listeners, metrics) = (listeners.to_vec(), Arc::clone(metrics));
    let read = tokio::task::spawn_blocking(move || {
        for (name, shared) in &listeners {
            let Some(tls) = shared.settings().tls.clone() else {
                continue;
            };
            let (changed, errors) = tls.refresh();
            for error in &errors {
                tracing::error!(listener = %name, error = error as &dyn std::error::Error, "certificate not taken, the old one stays");
            }
            if !errors.is_empty() {
                metrics.certificate_reloads(name, "failed").inc();
            } else if changed {
                tracing::info!(listener = %name, "certificate renewed");
                metrics.certificate_reloads(name, "ok").inc();
            }
        }
        publish(&listeners, &metrics);
    });
    if read.await.is_err() {
        tracing::error!("reading certificates failed");
    }
}

fn publish(listeners: &[(String, Arc<Shared>)], metrics: &Metrics) {
    for (name, shared) in listeners {
        metrics.forget_certificates(name);
        let Some(tls) = shared.settings().tls.clone() else {
            continue;
        };
        for (file, validity) in tls.validities() {
            metrics.certificate_not_after(name, &file.display().to_string()).set(validity.not_after);
        }
    }
}

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
