//! The metrics of one gateway: its own registry (tests run many gateways in one process), the rare events that are
//! counted by name, and the text Prometheus scrapes. The request path uses `handles` instead.

use std::collections::HashMap;
use std::time::Duration;

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
    log_lines_lost: IntCounter,
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
            log_lines_lost: families.log_lines_lost.with_label_values::<&str>(&[]),
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

    /// Counts lines of the gateway's own log that were lost.
    #[must_use]
    pub fn log_lines_lost(&self) -> IntCounter {
        self.log_lines_lost.clone()
    }

    /// Creates the series of a task with the value zero.
    pub fn task_known(&self, task: &str) {
        drop(self.families.task_ends.with_label_values(&[task]));
    }

    /// Counts a task of the gateway that broke.
    pub fn task_ended(&self, task: &str) {
        self.families.task_ends.with_label_values(&[task]).inc();
    }

    /// Says which configuration is in use from `unix_seconds` on.
    pub fn config_accepted(&self, hash: &str, unix_seconds: i64) {
        let families = &self.families;
        families.config_hash.reset();
        families.config_hash.with_label_values(&[hash]).set(1);
        families.config_reload_ok.with_label_values::<&str>(&[]).set(1);
        families.config_reload_time.with_label_values::<&str>(&[]).set(unix_seconds);
    }

    /// Where a rollout stands: the canary's share in percent, and one of the phases at 1.
    pub fn rollout(&self, route: &str, phase: &str, step: usize, percent: f64) {
        let families = &self.families;
        let step = i64::try_from(step).unwrap_or(i64::MAX);
        families.rollout_weight.with_label_values(&[route]).set(percent);
        families.rollout_step.with_label_values(&[route]).set(step);
        for word in ["progressing", "paused", "promoted", "rolled_back"] {
            families.rollout_phase.with_label_values(&[route, word]).set(i64::from(word == phase));
        }
    }

    /// Counts something that happened to a rollout.
    pub fn rollout_event(&self, route: &str, event: &str) {
        self.families.rollout_events.with_label_values(&[route, event]).inc();
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

    /// Says that the files hold the configuration in force again, after they did not.
    pub fn config_unchanged(&self) {
        self.families.config_reload_ok.with_label_values::<&str>(&[]).set(1);
    }

    /// Says how long a reload took.
    pub fn config_reload_took(&self, time: Duration) {
        self.families.config_reload_duration.with_label_values::<&str>(&[]).set(time.as_secs_f64());
    }

    /// Says how many configurations are in memory.
    pub fn config_snapshots(&self, count: usize) {
        self.families.config_snapshots.with_label_values::<&str>(&[]).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Says whether the configuration in force stands in for a broken one.
    pub fn config_from_last_good(&self, stands_in: bool) {
        self.families.config_last_good.with_label_values::<&str>(&[]).set(stands_in.into());
    }

    /// Says when a served certificate expires.
    pub fn certificate(&self, listener: &str, file: &str, not_after_unix_seconds: i64) {
        self.families.certificate_not_after.with_label_values(&[listener, file]).set(not_after_unix_seconds);
    }

    /// Drops the series of the certificates of `listener`, before they are set anew.
    pub fn forget_certificates(&self, listener: &str) {
        retain_series(&self.families.certificate_not_after, "listener", &|name| name != listener);
    }

    /// Counts a certificate file read again.
    pub fn certificate_reloaded(&self, listener: &str, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.families.certificate_reloads.with_label_values(&[listener, result]).inc();
    }

    /// Counts a request to the admin API that was not let in.
    pub fn admin_refused(&self, status: &str) {
        self.families.admin_refused.with_label_values(&[status]).inc();
    }

    /// Counts a name resolution; `result` is `ok` or the word of the failure.
    pub fn dns_refreshed(&self, cluster: &str, result: &'static str) {
        self.families.dns_refreshes.with_label_values(&[cluster, result]).inc();
    }

    /// Sets how many clients a rate limit knows, and counts requests of clients for which it had no room.
    pub fn rate_limit_clients(&self, limit: &str, clients: usize, overflowed: u64) {
        let families = &self.families;
        families.rate_limit_clients.with_label_values(&[limit]).set(i64::try_from(clients).unwrap_or(i64::MAX));
        families.rate_limit_overflow.with_label_values(&[limit]).inc_by(overflowed);
    }

    /// Counts an ejection that no single request led to.
    pub fn ejected(&self, cluster: &str, cause: &'static str) {
        let ejections = &self.families.ejections;
        ejections.with_label_values(&[cluster, cause]).inc();
    }

    /// Says how many endpoints of a cluster can be used.
    pub fn surveyed(&self, cluster: &str, usable: usize, ejected: usize, panic: bool) {
        let families = &self.families;
        for (gauge, value) in [
            (&families.endpoints_usable, usable),
            (&families.endpoints_ejected, ejected),
            (&families.panic, usize::from(panic)),
        ] {
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauge.with_label_values(&[cluster]).set(value);
        }
    }

    /// Says how many endpoints were found that a cluster has no room for.
    pub fn endpoints_left_out(&self, cluster: &str, left_out: usize) {
        let left_out = i64::try_from(left_out).unwrap_or(i64::MAX);
        self.families.endpoints_left_out.with_label_values(&[cluster]).set(left_out);
    }

    /// Says whether the gateway is shutting down.
    pub fn set_draining(&self, draining: bool) {
        self.families.draining.with_label_values::<&str>(&[]).set(draining.into());
    }

    /// Drops the series of routes that `keep` does not know. Called when a new configuration is in use: a request that
    /// still runs on the old one finishes into a series that is not exported.
    pub fn retain_routes(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.requests, "route", &keep);
        retain_series(&families.duration, "route", &keep);
        retain_series(&families.in_flight, "route", &keep);
        retain_series(&families.streams, "route", &keep);
        retain_series(&families.faults, "route", &keep);
        retain_series(&families.faults_ignored, "route", &keep);
        retain_series(&families.faults_active, "route", &keep);
        retain_series(&families.mirrors, "route", &keep);
        retain_series(&families.mirrors_active, "route", &keep);
        retain_series(&families.concurrency_limited, "route", &keep);
        retain_series(&families.rollout_events, "route", &keep);
    }

    /// Drops the rollout series of routes that `keep` does not know: removed routes, and routes without a rollout now.
    pub fn retain_rollouts(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.rollout_weight, "route", &keep);
        retain_series(&families.rollout_step, "route", &keep);
        retain_series(&families.rollout_phase, "route", &keep);
    }

    /// Drops the series of rate limits `keep` does not know.
    pub fn retain_rate_limits(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.rate_limited, "limit", &keep);
        retain_series(&families.rate_limit_clients, "limit", &keep);
        retain_series(&families.rate_limit_overflow, "limit", &keep);
    }

    /// Drops the series of clusters that `keep` does not know, also on routes that stay and use another cluster now.
    pub fn retain_clusters(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.requests, "cluster", &keep);
        retain_series(&families.duration, "cluster", &keep);
        retain_series(&families.attempts, "cluster", &keep);
        retain_series(&families.retries, "cluster", &keep);
        retain_series(&families.retries_stopped, "cluster", &keep);
        retain_series(&families.hedges, "cluster", &keep);
        retain_series(&families.upstream_connections, "cluster", &keep);
        retain_series(&families.upstream_connects, "cluster", &keep);
        retain_series(&families.ceilings_reached, "cluster", &keep);
        retain_series(&families.circuit_rejected, "cluster", &keep);
        retain_series(&families.pending, "cluster", &keep);
        retain_series(&families.dns_refreshes, "cluster", &keep);
        retain_series(&families.endpoints_usable, "cluster", &keep);
        retain_series(&families.endpoints_ejected, "cluster", &keep);
        retain_series(&families.endpoints_left_out, "cluster", &keep);
        retain_series(&families.ejections, "cluster", &keep);
        retain_series(&families.panic, "cluster", &keep);
    }

    /// Drops the health series of clusters that `keep` does not know: removed clusters, and clusters without a check
    /// now.
    pub fn retain_health(&self, keep: impl Fn(&str) -> bool) {
        let families = &self.families;
        retain_series(&families.health_checks, "cluster", &keep);
        retain_series(&families.health_endpoints, "cluster", &keep);
        retain_series(&families.agent_health, "agent_id", &keep);
    }

    /// Drops the states of breakers that `keep` does not know.
    pub fn retain_breakers(&self, keep: impl Fn(&str) -> bool) {
        retain_series(&self.families.breaker_state, "cluster", &keep);
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
            let labels: HashMap<&str, &str> =
                series.get_label().iter().map(|pair| (pair.name(), pair.value())).collect();
            if labels.get(label).is_some_and(|value| !keep(value)) {
                // The only failure is that another thread removed it first.
                drop(family.remove(&labels));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::config::model::LimitMode;
    use crate::error::LimitHit;
    use crate::observe::catalogue::FAMILIES;
    use crate::observe::exposition::Exposition;
    use crate::observe::handles::{ClusterHandles, ErrorHandles, HealthHandles, ListenerHandles, RouteHandles};
    use crate::observe::limited::{ConcurrencyHandles, RateLimitHandles};

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[0.01, 0.1, 1.0]).unwrap())
    }

    fn scrape(metrics: &Metrics) -> Exposition {
        Exposition::parse(&metrics.render().unwrap())
    }

    /// Puts something into every family.
    fn everything(metrics: &Arc<Metrics>) {
        let route = RouteHandles::new(Arc::clone(metrics), "agents", "v1");
        drop((route.in_flight(), route.stream()));
        route.finished(&Method::POST, 200, Duration::from_millis(50));
        drop((route.faults().active(), route.mirrors().active()));
        route.faults().injected("delay");
        route.faults().ignored("not_allowed");
        route.mirrors().ended("answered");
        ErrorHandles::new(metrics).count("no_route");
        let cluster = ClusterHandles::new(metrics, "v1");
        cluster.attempt();
        cluster.retry("connect_failed");
        cluster.retry_stopped("no_time");
        cluster.hedge("sent");
        cluster.connect_failed("connect_timeout");
        drop(cluster.connected());
        cluster.ceiling_reached(LimitHit::Requests);
        cluster.circuit_rejected(LimitHit::Breaker);
        cluster.breaker(2);
        drop(cluster.pending());
        let listener = ListenerHandles::new(metrics, "web");
        listener.accepted();
        listener.note_open(1);
        listener.refused("max_connections");
        listener.handshake_failed();
        listener.malformed("bad_host");
        metrics.count_bytes(10, 20);
        metrics.access_log_dropped(1);
        metrics.task_ended("dns");
        metrics.config_accepted("abc", 1_795_199_401);
        metrics.config_reloaded();
        metrics.config_reload_took(Duration::from_millis(4));
        metrics.config_snapshots(1);
        metrics.config_from_last_good(false);
        metrics.certificate("web", "a \"quoted\" \\ name", 1_800_000_000);
        metrics.certificate_reloaded("web", true);
        metrics.admin_refused("401");
        metrics.dns_refreshed("v1", "ok");
        let health = HealthHandles::new(metrics, "v1", &["ok"]);
        health.checked("ok");
        health.note(1, 2, 3);
        metrics.ejected("v1", "success_rate");
        metrics.surveyed("v1", 2, 1, false);
        metrics.rollout("research", "progressing", 1, 10.0);
        metrics.rollout_event("research", "weight");
        metrics.set_draining(true);
        metrics.endpoints_left_out("c", 1);
        RateLimitHandles::new(metrics, "edge", LimitMode::Shadow).limited();
        metrics.rate_limit_clients("edge", 1, 1);
        ConcurrencyHandles::new(metrics, "agents").limited();
    }

    #[test]
    fn every_family_renders_with_its_type() {
        let metrics = metrics();
        everything(&metrics);
        let scrape = scrape(&metrics);
        for family in FAMILIES {
            assert_eq!(scrape.kind(family.name), Some(family.kind.word()), "{}", family.name);
        }
        assert_eq!(scrape.kind("process_resident_memory_bytes"), Some("gauge"));
        let ours = [("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(scrape.value("attache_build_info", &ours), Some(1.0));
        assert!(scrape.value("memory_usage_bytes", &[]) > Some(100_000.0));
        let file = [("listener", "web"), ("file", "a \"quoted\" \\ name")];
        assert_eq!(scrape.value("attache_certificate_not_after_seconds", &file), Some(1_800_000_000.0));
        assert_eq!(scrape.value("attache_bytes_total", &[("direction", "sent_to_client")]), Some(20.0));
        assert_eq!(scrape.value("attache_draining", &[]), Some(1.0));
    }

    #[test]
    fn a_fresh_gateway_shows_zeros_where_alerts_look() {
        let scrape = scrape(&metrics());
        assert_eq!(scrape.value("attache_draining", &[]), Some(0.0));
        assert_eq!(scrape.value("attache_access_log_dropped_total", &[]), Some(0.0));
        assert_eq!(scrape.value("attache_log_lines_lost_total", &[]), Some(0.0));
    }

    #[test]
    fn two_gateways_in_one_process_do_not_share_series() {
        let (one, other) = (metrics(), metrics());
        one.count_bytes(5, 0);
        let received = [("direction", "received_from_client")];
        assert_eq!(scrape(&one).value("attache_bytes_total", &received), Some(5.0));
        assert_eq!(scrape(&other).value("attache_bytes_total", &received), Some(0.0));
    }

    #[test]
    fn a_refused_configuration_leaves_the_hash_alone() {
        let metrics = metrics();
        metrics.config_accepted("one", 10);
        metrics.config_accepted("two", 20);
        metrics.config_refused();
        let scrape = scrape(&metrics);
        assert_eq!(scrape.value("attache_config_hash_info", &[("hash", "one")]), None);
        assert_eq!(scrape.value("attache_config_hash_info", &[("hash", "two")]), Some(1.0));
        assert_eq!(scrape.value("attache_config_last_reload_successful", &[]), Some(0.0));
        assert_eq!(scrape.value("attache_config_last_reload_success_timestamp_seconds", &[]), Some(20.0));
        assert_eq!(scrape.value("attache_config_reloads_total", &[("result", "failed")]), Some(1.0));
    }

    #[test]
    fn what_a_reload_removed_disappears() {
        let metrics = metrics();
        everything(&metrics);
        let kept = RouteHandles::new(Arc::clone(&metrics), "kept", "v1");
        kept.finished(&Method::GET, 200, Duration::ZERO);
        let _open = kept.in_flight();
        metrics.retain_routes(|name| name == "kept");
        metrics.retain_rollouts(|_| false);
        metrics.retain_clusters(|_| false);
        metrics.retain_health(|_| false);
        metrics.retain_rate_limits(|_| false);
        metrics.retain_breakers(|_| false);
        metrics.retain_listeners(|_| false);
        let text = metrics.render().unwrap();
        assert!(!text.contains("\"agents\"") && !text.contains("\"edge\"") && !text.contains("\"web\""), "{text}");
        assert_eq!(scrape(&metrics).value("attache_requests_in_flight", &[("route", "kept")]), Some(1.0));
        assert!(!text.contains("attache_attempts_total"), "{text}");
        assert!(!text.contains("_health"), "{text}");
        assert!(!text.contains("\"v1\""), "a cluster is in no series: {text}");
        assert!(!text.contains("attache_rollout_phase"), "{text}");
    }

    #[test]
    fn certificates_are_forgotten_by_listener() {
        let metrics = metrics();
        metrics.certificate("web", "old", 1);
        metrics.certificate("api", "old", 2);
        metrics.forget_certificates("web");
        let scrape = scrape(&metrics);
        let not_after = |listener| {
            scrape.value("attache_certificate_not_after_seconds", &[("listener", listener), ("file", "old")])
        };
        assert_eq!((not_after("web"), not_after("api")), (None, Some(2.0)));
    }

    #[test]
    fn buckets_out_of_order_are_refused() {
        assert!(Metrics::new(&[1.0, 0.5]).is_err());
    }
}
