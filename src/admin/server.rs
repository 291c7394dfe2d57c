//! The server behind the metrics listener.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::observe::metrics::Metrics;

/// Serves until `shutdown`; then open answers get a moment to finish. Runs on the control runtime.
pub async fn serve(listener: TcpListener, metrics: Arc<Metrics>, health: Arc<Health>, shutdown: CancellationToken) {
    todo!()
}
