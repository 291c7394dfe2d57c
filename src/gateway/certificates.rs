//! Certificates are looked at again every few seconds, so that a renewed file is served without a reload.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use crate::listener::Shared;
use crate::observe::metrics::Metrics;

/// Looks at the certificates' files for ever.
pub(super) async fn watch(listeners: Vec<(String, Arc<Shared>)>, metrics: Arc<Metrics>) {
    publish(&listeners, &metrics);
    loop {
        sleep(INTERVAL).await;
        refresh(&listeners, &metrics).await;
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
        for (file, not_after) in tls.expiries() {
            metrics.certificate_not_after(name, &file.display().to_string()).set(not_after);
        }
    }
}

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
