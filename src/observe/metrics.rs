//! The metrics of one gateway: its own registry (tests run many gateways in one process), what is said about the
//! gateway as a whole, and the text Prometheus scrapes. The request path uses `handles` instead. Its methods that give
//! one series by its names come from the table in `catalogue`.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus::process_collector::ProcessCollector;
use prometheus::{Registry, TextEncoder};

use super::aliases::{self, Gone};
use super::catalogue::{Buckets, Families};
use super::endpoints::{EndpointNow, Endpoints, ListedEndpoint};
use super::family::Object;
use super::process::Usage;
use super::series::{Bounds, Counter};

/// All metrics of one gateway. Shared by every worker and the control thread.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(super) families: Families,
    received: Counter,
    sent: Counter,
    endpoints: Endpoints,
    usage: Usage,
    /// What the sums of the aliases keep.
    gone: Mutex<Gone>,
    /// Whether the aliases are shown.
    compatibility: AtomicBool,
}

impl Metrics {
    /// A fresh registry with every family. Fails when `latency_buckets` is not ascending.
    pub fn new(latency_buckets: &[f64]) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let buckets = Buckets { latency: Bounds::new(latency_buckets)?, life: Bounds::new(LIFE)? };
        let families = Families::register(&registry, &buckets)?;
        registry.register(Box::new(ProcessCollector::for_self()))?;
        let bytes = |direction| families.bytes.with(&[direction]);
        let (received, sent) = (bytes("received_from_client"), bytes("sent_to_client"));
        let endpoints = Endpoints::new(&families);
        let (usage, gone, compatibility) = (Usage::default(), Mutex::default(), AtomicBool::new(true));
        let metrics = Self { received, sent, endpoints, usage, gone, compatibility, registry, families };
        metrics.build_info(env!("CARGO_PKG_VERSION")).set(1);
        metrics.draining().set(0);
        // Shown from the start, because alerts look at them.
        drop((metrics.access_log_dropped(), metrics.audit_log_dropped(), metrics.log_lines_lost()));
        Ok(metrics)
    }

    /// The exposition text of every series, ordered by family and labels.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        if let Some(sample) = self.usage.sample() {
            self.memory_usage().set(sample.resident_bytes);
            self.cpu_usage().set(sample.cpu_percent);
        }
        self.endpoints_without_series().set_count(self.endpoints.look());
        // Locked over both, so that no scrape comes between a series that goes and the sums that keep what it counted.
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gathered = self.registry.gather();
        if self.compatibility.load(Ordering::Relaxed) {
            aliases::add(&mut gathered, &gone);
        }
        drop(gone);
        TextEncoder::new().encode_to_string(&gathered)
    }

    /// Says how many endpoints may have series of their own from now on; none has with 0.
    pub fn limit_endpoints(&self, limit: usize) {
        self.endpoints.set_limit(limit);
    }

    /// Says whether the names of other systems are shown from now on. They are at first.
    pub fn show_compatibility(&self, shown: bool) {
        self.compatibility.store(shown, Ordering::Relaxed);
    }

    /// Whether endpoints have series.
    #[must_use]
    pub fn lists_endpoints(&self) -> bool {
        self.endpoints.limit() > 0
    }

    /// Shows the series of an endpoint, by its cluster and address, for as long as what is returned lives; `None` where
    /// endpoints have none. `id` tells it from others that were at that address before.
    #[must_use]
    pub fn list_endpoint(&self, place: (&str, &str), id: u64, now: EndpointNow) -> Option<ListedEndpoint> {
        self.endpoints.list(place, (id, now))
    }

    /// Counts body bytes of a finished exchange.
    pub fn count_bytes(&self, received_from_client: u64, sent_to_client: u64) {
        self.received.inc_by(received_from_client);
        self.sent.inc_by(sent_to_client);
    }

    /// Says which configuration is in use from `unix_seconds` on.
    pub fn config_accepted(&self, hash: &str, unix_seconds: i64) {
        self.families.config_hash.clear();
        self.config_hash(hash).set(1);
        self.config_reload_ok().set(1);
        self.config_reload_time().set(unix_seconds);
    }

    /// Where a rollout stands: the canary's share in percent, and one of the phases at 1.
    pub fn rollout(&self, route: &str, phase: &str, step: usize, percent: f64) {
        self.rollout_weight(route).set(percent);
        self.rollout_step(route).set_count(step);
        for word in ["progressing", "paused", "promoted", "rolled_back"] {
            self.rollout_phase(route, word).set(i64::from(word == phase));
        }
    }

    /// Counts a reload that was refused; the old configuration stays.
    pub fn config_refused(&self) {
        self.config_reloads("failed").inc();
        self.config_reload_ok().set(0);
    }

    /// Says how long a reload took.
    pub fn config_reload_took(&self, time: Duration) {
        self.config_reload_duration().set(time.as_secs_f64());
    }

    /// Drops the series of the certificates of `listener`, before they are set anew.
    pub fn forget_certificates(&self, listener: &str) {
        self.families.certificate_not_after.remove_beginning_with(&[listener]);
    }

    /// Drops the series of names for which no certificate is ordered any more.
    pub fn keep_ordered(&self, is_ordered: impl Fn(&str, &str) -> bool) {
        self.families.acme_last.keep(|values| matches!(values, [listener, domain] if is_ordered(listener, domain)));
    }

    /// Counts a certificate that was ordered for `domain`.
    pub fn acme_ordered(&self, listener: &str, domain: &str, result: &'static str) {
        self.acme_orders(listener, result).inc();
        self.acme_last(listener, domain).set(i64::from(result == "ok"));
    }

    /// Says how many endpoints of a cluster can be used.
    pub fn surveyed(&self, cluster: &str, all: usize, usable: usize, ejected: usize, panic: bool) {
        self.endpoints_known(cluster).set_count(all);
        self.endpoints_usable(cluster).set_count(usable);
        self.endpoints_ejected(cluster).set_count(ejected);
        self.panic(cluster).set(panic.into());
    }

    /// Says how many tasks of a cluster's agents go on. A cluster that never had any is not shown.
    pub fn show_active_tasks(&self, cluster: &str, count: usize) {
        self.families.active_tasks.show(&[cluster], count);
    }

    /// Drops the series with a name in them of something that does not live any more. Called once a new configuration
    /// is in use: a request that still runs on the old one finishes into a series nobody reads.
    pub fn retain(&self, lives: impl Fn(Object, &str) -> bool) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.note(&self.families.retain(&lives));
    }
}

/// Its families, so that a series is reached by its name.
impl Deref for Metrics {
    type Target = Families;

    fn deref(&self) -> &Families {
        &self.families
    }
}

/// Upper bounds in seconds for what lasts: a second to twelve hours.
const LIFE: &[f64] = &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 43_200.0];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::a2a::{Binding, Generation, Operation};
    use crate::error::LimitHit;
    use crate::observe::calls::{CallEnd, FinishedCall};
    use crate::observe::catalogue::FAMILIES;
    use crate::observe::endpoints::{EndpointSeries, Work};
    use crate::observe::exposition::Exposition;
    use crate::observe::handle::CodeClass;
    use crate::observe::handles::{
        AuthHandles, AuthorizationHandles, BlockHandles, ClusterHandles, ConcurrencyHandles, GaugeGuard, HealthHandles,
        ListenerHandles, RateLimitHandles, RouteHandles, ScreeningHandles, WorkerHandles,
    };
    use crate::observe::tenants::TenantSeries;

    fn metrics() -> Arc<Metrics> {
        Arc::new(Metrics::new(&[0.01, 0.1, 1.0]).unwrap())
    }

    fn scrape(metrics: &Metrics) -> Exposition {
        Exposition::parse(&metrics.render().unwrap())
    }

    /// Puts something into every family about calls of agents.
    fn calls_of_agents(route: &RouteHandles) {
        route.agent().unread.count("too_long");
        route.agent().calls_refused.count("batch");
        route.agent().lookups.count("found");
        route.agent().continued.count("continued");
        route.agent().shared_calls.count("joined");
        let (operation, binding, generation) = (Operation::GetTask, Binding::Rest, Generation::V1_0);
        let call = FinishedCall { operation, binding, generation, end: CallEnd::Ok };
        route.called(call, Duration::from_millis(50));
        let stream = route.call_stream(Operation::SubscribeToTask, Binding::Grpc);
        stream.first_event.observe(Duration::from_millis(5));
        drop(GaugeGuard::of(&stream.open));
        stream.truncated.inc();
        route.agent().tasks_begun.get().inc();
        route.task_ended("completed", Duration::from_secs(2));
    }

    fn abuse(metrics: &Metrics, route: &RouteHandles) {
        route.addresses().refused.count("enforce");
        route.addresses().slowed.count("shadow");
        route.browsers().preflights.count("granted");
        route.browsers().foreign.count("enforce");
        let blocks = BlockHandles::new(metrics);
        blocks.blocked.count("operator");
        blocks.auth_failures.count("slowed");
        metrics.blocks("operator").set(1);
        metrics.auth_failures_overflowed().inc();
        metrics.auth_failing_clients().set(1);
        metrics.audit_log_dropped().inc();
        metrics.spans_exported().inc();
        metrics.spans_dropped("queue_full").inc();
    }

    /// Who clients are, and what they may.
    fn about_clients(metrics: &Arc<Metrics>) {
        AuthHandles::new(metrics, "keys").results.count("ok");
        metrics.jwks_fetches("corp", "ok").inc();
        metrics.auth_remembered("corp").set(1);
        metrics.auth_waiting("corp").set(1);
        metrics.jwks_fetched("corp").set(1_795_199_401);
        AuthorizationHandles::new(metrics, "agents", "admins").decisions.count("denied");
        ScreeningHandles::new(metrics, "agents", "jndi").screened.count("refused");
    }

    /// Puts something into every family.
    fn everything(metrics: &Arc<Metrics>) -> ListedEndpoint {
        let route = RouteHandles::new(Arc::clone(metrics), "agents", "v1");
        drop((route.in_flight(), route.stream()));
        route.finished(&Method::POST, 200, Duration::from_millis(50), Some(Duration::from_millis(5)));
        route.ends().grpc_responses.count("0");
        route.ends().stream_duration.get().observe(Duration::from_secs(5));
        drop((GaugeGuard::of(&route.faults().faults_active), GaugeGuard::of(&route.mirrors().mirrors_active)));
        route.faults().faults.count("delay");
        route.faults().faults_ignored.count("not_allowed");
        route.mirrors().mirrors.count("answered");
        abuse(metrics, &route);
        route.cards().agent_cards.count("mapped");
        route.cards().catalog_cards.count("read");
        about_clients(metrics);
        calls_of_agents(&route);
        route.ends().errors.count("no_route");
        let cluster = ClusterHandles::new(metrics, "v1");
        cluster.attempts.inc();
        cluster.retries.count("connect_failed");
        cluster.retries_stopped.count("no_time");
        cluster.hedges.count("sent");
        cluster.upstream_connects.count("connect_timeout");
        drop(cluster.connected());
        cluster.ceiling_reached(LimitHit::Requests);
        cluster.circuit_rejected(LimitHit::Breaker);
        cluster.breaker(2);
        cluster.adaptive_limit.get().set(20);
        cluster.pending.set(0);
        let listener = ListenerHandles::new(metrics, "web");
        listener.connections.inc();
        listener.downstream_connections.set_count(1);
        listener.connections_refused.count("max_connections");
        listener.handshake_failures.inc();
        listener.malformed.count("bad_host");
        WorkerHandles::new(metrics, "0").worker_busy.set(Duration::from_millis(1_500));
        metrics.count_bytes(10, 20);
        metrics.access_log_dropped().inc();
        metrics.task_ends("dns").inc();
        metrics.config_accepted("abc", 1_795_199_401);
        metrics.config_reloads("ok").inc();
        metrics.config_reload_took(Duration::from_millis(4));
        metrics.config_snapshots().set(1);
        metrics.config_last_good().set(0);
        metrics.certificate_not_after("web", "a \"quoted\" \\ name").set(1_800_000_000);
        metrics.certificate_reloads("web", "ok").inc();
        metrics.acme_ordered("web", "a.example", "ok");
        metrics.admin_refused("401").inc();
        metrics.dns_refreshes("v1", "ok").inc();
        let health = HealthHandles::new(metrics, "v1", &["ok"]);
        health.checked("ok");
        health.note(1, 2, 3);
        metrics.ejections("v1", "success_rate").inc();
        metrics.surveyed("v1", 3, 2, 1, false);
        metrics.endpoints_left_out("v1").set(1);
        metrics.rollout("research", "progressing", 1, 10.0);
        metrics.rollout_events("research", "weight").inc();
        metrics.draining().set(1);
        RateLimitHandles::new(metrics, "edge", "shadow").rate_limited.inc();
        metrics.affinity_ids().set(1);
        metrics.show_active_tasks("v1", 1);
        metrics.tasks_cut("v1").inc();
        metrics.rate_limit_clients("edge").set(1);
        metrics.rate_limit_overflow("edge").inc();
        ConcurrencyHandles::new(metrics, "agents").concurrency_limited.inc();
        TenantSeries::new(&["north".to_owned()], metrics).unwrap().count("north", 200);
        metrics.limit_endpoints(1);
        let endpoint = metrics
            .list_endpoint(("v1", "10.0.0.1:80"), 1, Arc::new(|| Some(Work { in_flight: 0, tasks: 1 })))
            .unwrap();
        EndpointSeries::new(metrics, &endpoint).tried(CodeClass::Success, Some(Duration::from_millis(5)));
        endpoint
    }

    #[test]
    fn every_family_renders_with_its_type() {
        let metrics = metrics();
        let _endpoint = everything(&metrics);
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
        drop(everything(&metrics));
        let kept = RouteHandles::new(Arc::clone(&metrics), "kept", "v1");
        kept.finished(&Method::GET, 200, Duration::ZERO, None);
        let _open = kept.in_flight();
        metrics.retain(|object, name| object == Object::Route && name == "kept");
        let text = metrics.render().unwrap();
        assert!(!text.contains("\"agents\"") && !text.contains("\"edge\"") && !text.contains("\"web\""), "{text}");
        assert_eq!(scrape(&metrics).value("attache_requests_in_flight", &[("route", "kept")]), Some(1.0));
        assert!(!text.contains("attache_attempts_total"), "{text}");
        assert!(!text.contains("attache_health") && !text.contains("a2a_agent_health"), "{text}");
        assert!(!text.contains("\"v1\""), "a cluster is in no series: {text}");
        assert!(!text.contains("attache_rollout_phase"), "{text}");
    }

    #[test]
    fn certificates_are_forgotten_by_listener() {
        let metrics = metrics();
        metrics.certificate_not_after("web", "old").set(1);
        metrics.certificate_not_after("api", "old").set(2);
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
