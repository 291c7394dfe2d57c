//! The metrics of one gateway: its own registry (tests run many gateways in one process), the rare events that are counted by
//! name, and the text Prometheus scrapes. The request path uses `handles` instead.

use std::collections::HashMap;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounter, Registry, TextEncoder};

use super::catalogue::Families;
use super::process::Usage;

/// All metrics of one gateway. Shared by every worker and the control thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(super) families: Families,
    received: IntCounter,
    sent: IntCounter,
    pub(super) access_log_dropped: IntCounter,
    usage: Usage,
}

impl Metrics {
    /// A fresh registry with every family. Fails when `latency_buckets` is not ascending.
    pub fn new(latency_buckets: &[f64]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let families = Families::register(&registry, latency_buckets)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        families.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        families.draining.with_label_values::<&str>(&[]).set(0);
        let bytes = |direction| families.bytes.with_label_values(&[direction]);
        Ok(Self {
            received: bytes("received_from_client"),
            sent: bytes("sent_to_client"),
            access_log_dropped: families.access_log_dropped.with_label_values::<&str>(&[]),
            usage: Usage::default(),
            registry,
            families,
        })
    }

    /// The exposition text of every series, ordered by family and labels.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        if let Some(sample) = self.usage.sample() {
            let families = &self.families;
            families.memory_usage.with_label_values::<&str>(&[]).set(sample.resident_bytes);
            families.cpu_usage.with_label_values::<&str>(&[]).set(sample.cpu_percent);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// Counts body bytes of a finished exchange.
    pub fn count_bytes(&self, received_from_client: u64, sent_to_client: u64) {
        self.received.inc_by(received_from_client);
        self.sent.inc_by(sent_to_client);
    }

    /// Counts access log lines that were lost.
    pub fn access_log_dropped(&self, lines: u64) {
        self.access_log_dropped.inc_by(lines);
    }

    /// Says which configuration is in use from `unix_seconds` on.
    pub fn config_accepted(&self, hash: &str, unix_seconds: i64) {
        let families = &self.families;
        families.config_hash.reset();
        families.config_hash.with_label_values(&[hash]).set(1);
        families.config_reload_ok.with_label_values::<&str>(&[]).set(1);
        families.config_reload_time.with_label_values::<&str>(&[]).set(unix_seconds);
    }

    /// Counts a reload that took effect; [`Self::config_accepted`] says to what.
    pub fn config_reloaded(&self) {
        self.families.config_reloads.with_label_values(&["ok"]).inc();
    }

    /// Counts a reload that was refused; the old configuration stays.
    pub fn config_refused(&self) {
        self.families.config_reloads.with_label_values(&["failed"]).inc();
        self.families.config_reload_ok.with_label_values::<&str>(&[]).set(0);
    }

    /// Says when a served certificate expires.
    pub fn certificate(&self, listener: &str, subject: &str, not_after_unix_seconds: i64) {
        self.families.certificate_not_after.with_label_values(&[listener, subject]).set(not_after_unix_seconds);
    }

    /// Drops what was said about the certificates of `listener`, before they are said anew.
    pub fn forget_certificates(&self, listener: &str) {
        retain_series(&self.families.certificate_not_after, "listener", &|name| name != listener);
    }

    /// Counts a certificate file read again.
    pub fn certificate_reloaded(&self, listener: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.families.certificate_reloads.with_label_values(&[listener, result]).inc();
    }

    /// Counts a name resolution; `result` is `ok` or a word for what failed.
    pub fn dns_refreshed(&self, cluster: &str, result: &'static str) {
        self.families.dns_refreshes.with_label_values(&[cluster, result]).inc();
    }

    /// Says whether the gateway is shutting down.
    pub fn set_draining(&self, draining: bool) {
        self.families.draining.with_label_values::<&str>(&[]).set(draining.into());
    }

    /// Drops the series of routes `keep` does not know. Called once a new configuration is in use: a request that
    /// still runs on the old one finishes into a series nobody reads.
    pub fn retain_routes(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.requests, "route", &keep);
        retain_series(&families.duration, "route", &keep);
        retain_series(&families.in_flight, "route", &keep);
        retain_series(&families.streams, "route", &keep);
    }

    /// Drops the series of clusters `keep` does not know; those of their routes are [`Self::retain_routes`]'s business.
    pub fn retain_clusters(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.attempts, "cluster", &keep);
        retain_series(&families.retries, "cluster", &keep);
        retain_series(&families.upstream_connections, "cluster", &keep);
        retain_series(&families.upstream_connects, "cluster", &keep);
        retain_series(&families.dns_refreshes, "cluster", &keep);
    }

    /// Drops the series of listeners `keep` does not know.
    pub fn retain_listeners(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.downstream_connections, "listener", &keep);
        retain_series(&families.connections, "listener", &keep);
        retain_series(&families.connections_refused, "listener", &keep);
        retain_series(&families.handshake_failures, "listener", &keep);
        retain_series(&families.malformed, "listener", &keep);
        retain_series(&families.certificate_not_after, "listener", &keep);
        retain_series(&families.certificate_reloads, "listener", &keep);
    }
}

/// Removes the series whose `label` has a value that `keep` does not know.
fn retain_series<T: MetricVecBuilder>(family: &MetricVec<T>, label: &str, keep: &dyn Fn(&str) -> bool) {
    for collected in family.collect() {
        for series in collected.get_metric() {
            let labels: HashMap<&str, &str> = series.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if labels.get(label).is_some_and(|value| !keep(value)) {
                // The only failure is that another thread removed it first.
                drop(family.remove(&labels));
            }
        }
    }
}
