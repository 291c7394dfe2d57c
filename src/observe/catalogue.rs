//! Every metric family the gateway has, in one table: the struct of live families and `docs/metrics.md` both come from
//! it, so a metric that is not documented cannot exist. Label values come from the configuration or from fixed words,
//! never from traffic, so the number of series is bounded.

use prometheus::{GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry};

/// One metric family as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name on the wire.
    pub name: &'static str,
    /// Its Prometheus type.
    pub kind: Kind,
    /// Label names, in the order values are given.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// Prometheus type of a [`Family`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers that only grow.
    Counter,
    /// Whole numbers that go up and down.
    Gauge,
    /// A gauge with fractions.
    FloatGauge,
    /// A distribution, with the configured buckets.
    Histogram,
}

impl Kind {
    /// The word Prometheus uses.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge | Self::FloatGauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! families {
    (@vec Counter) => { IntCounterVec };
    (@vec Gauge) => { IntGaugeVec };
    (@vec FloatGauge) => { GaugeVec };
    (@vec Histogram) => { HistogramVec };
    ($($field:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// Every family, in the order of the documentation.
        pub const FAMILIES: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help }),*
        ];

        /// The live families of one gateway.
        #[derive(Debug)]
        pub(super) struct Families { $(pub(super) $field: families!(@vec $kind)),* }

        impl Families {
            pub(super) fn register(registry: &Registry, buckets: &[f64]) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($field: <families!(@vec $kind)>::declare(
                        &Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help },
                        registry,
                        buckets,
                    )?),*
                })
            }
        }
    };
}

// The crate hashes label values one after the other without a separator, so ("ab", "c") and ("a", "bc") would share a
// series. Two names from the configuration therefore never stand side by side: an upper-case method word separates
// route and cluster.
families! {
    requests: Counter "http_requests_total" ["route", "method", "cluster", "code", "status_code"]
        "Finished requests. code and status_code carry the same value.";
    duration: Histogram "http_request_duration_seconds" ["route", "method", "cluster"]
        "Time from the request head to the end of the response body.";
    in_flight: Gauge "attache_requests_in_flight" ["route"]
        "Requests whose response body has not ended yet, streams included.";
    streams: Gauge "attache_streams_open" ["route"]
        "Open event streams, gRPC streams and upgraded connections.";
    errors: Counter "attache_errors_total" ["reason"]
        "Exchanges the gateway refused, failed or cut, by the word of x-attache-reason.";
    errors_alias: Counter "errors_total" ["reason"]
        "The same as attache_errors_total, under the name existing dashboards use.";
    attempts: Counter "attache_attempts_total" ["cluster"]
        "Requests sent to an endpoint or tried to, first tries and retries alike.";
    retries: Counter "attache_retries_total" ["cluster", "reason"]
        "Attempts after the first, by what made the attempt before it fail.";
    faults: Counter "attache_faults_total" ["route", "kind"]
        "Faults injected on purpose: delay, abort or stream.";
    faults_ignored: Counter "attache_faults_ignored_total" ["route", "reason"]
        "Faults that were asked for or drawn and not injected: not_allowed, invalid, share, ended or max_active.";
    faults_active: Gauge "attache_faults_active" ["route"]
        "Requests held back and streams disturbed at this moment.";
    mirrors: Counter "attache_mirrors_total" ["route", "result"]
        "Requests chosen to be mirrored, by what became of the copy: answered, failed, timed_out, body_too_large, incomplete or max_active.";
    mirrors_active: Gauge "attache_mirrors_active" ["route"]
        "Copies under way.";
    retries_stopped: Counter "attache_retries_stopped_total" ["cluster", "reason"]
        "Tries after which another was wanted and not made: attempts_used, budget_exhausted, max_retries, circuit_open, body_not_kept, no_time or retry_after.";
    hedges: Counter "attache_hedges_total" ["cluster", "result"]
        "Tries made beside one that took too long (sent), and those of them whose answer counted (won).";
    ceilings_reached: Counter "attache_circuit_breaker_ceilings_reached_total" ["cluster", "ceiling"]
        "Times a ceiling of a cluster or of one of its endpoints was met: connections, requests, streams or retries.";
    circuit_rejected: Counter "attache_circuit_breaker_rejections_total" ["cluster", "ceiling"]
        "Requests (with retries: further attempts) refused, by the ceiling, or breaker.";
    breaker_state: Gauge "attache_circuit_breaker_state" ["cluster"]
        "The half-open breaker of a cluster: 0 closed, 1 half-open, 2 open.";
    pending: Gauge "attache_pending_requests" ["cluster"]
        "Requests that wait at a ceiling.";
    endpoints_usable: Gauge "attache_endpoints_usable" ["cluster"]
        "Endpoints that may get new requests and do not fail all of them.";
    endpoints_ejected: Gauge "attache_endpoints_ejected" ["cluster"]
        "Endpoints that outlier detection keeps out.";
    endpoints_left_out: Gauge "attache_endpoints_left_out" ["cluster"]
        "Endpoints that were found and not taken, because a cluster has 4096 at most.";
    ejections: Counter "attache_ejections_total" ["cluster", "cause"]
        "Endpoints ejected by outlier detection, by what was one failure too many.";
    panic: Gauge "attache_cluster_panic" ["cluster"]
        "1 while so few endpoints are usable that requests go to all of them, or are refused.";
    upstream_connections: Gauge "attache_upstream_connections" ["cluster"]
        "Open connections to the endpoints of a cluster.";
    upstream_connects: Counter "attache_upstream_connects_total" ["cluster", "result"]
        "Connections opened to endpoints: ok, or the reason word of the failure.";
    downstream_connections: Gauge "attache_downstream_connections" ["listener"]
        "Open client connections.";
    connections: Counter "attache_connections_total" ["listener"]
        "Client connections accepted.";
    connections_refused: Counter "attache_connections_refused_total" ["listener", "reason"]
        "Client connections closed before a request was read.";
    handshake_failures: Counter "attache_handshake_failures_total" ["listener"]
        "TLS handshakes with clients that failed or took too long.";
    malformed: Counter "attache_malformed_requests_total" ["listener", "reason"]
        "Requests refused because they break HTTP or an edge rule.";
    bytes: Counter "attache_bytes_total" ["direction"]
        "Body bytes: received_from_client and sent_to_client.";
    access_log_dropped: Counter "attache_access_log_dropped_total" []
        "Access log lines lost because the writer fell behind or could not write.";
    log_lines_lost: Counter "attache_log_lines_lost_total" []
        "Lines of the gateway's own log lost because standard error was full, gone or not read.";
    task_ends: Counter "attache_task_ends_total" ["task"]
        "Tasks of the gateway that broke. They are started again, but for worker and reload: then the gateway drains and ends.";
    config_hash: Gauge "attache_config_hash_info" ["hash"]
        "Always 1; the label is the hash of the configuration in use.";
    config_reloads: Counter "attache_config_reloads_total" ["result"]
        "Configuration reloads: ok or failed.";
    config_reload_ok: Gauge "attache_config_last_reload_successful" []
        "1 when the last configuration load was accepted, 0 when it was refused.";
    config_reload_time: Gauge "attache_config_last_reload_success_timestamp_seconds" []
        "Unix time of the last accepted configuration load.";
    config_reload_duration: FloatGauge "attache_config_last_reload_duration_seconds" []
        "Time from the beginning of the last reload to its end, accepted or refused.";
    config_snapshots: Gauge "attache_config_snapshots" []
        "Configurations in memory: the one in force, and older ones whose last requests are not answered yet.";
    config_last_good: Gauge "attache_config_from_last_good_file" []
        "1 while the configuration in force is that of reload.lastGoodFile because the gateway's own was broken at its start.";
    certificate_not_after: Gauge "attache_certificate_not_after_seconds" ["listener", "file"]
        "Unix time at which a served certificate expires, by its certFile.";
    certificate_reloads: Counter "attache_certificate_reloads_total" ["listener", "result"]
        "Certificate files read again after a change: ok or failed.";
    admin_refused: Counter "attache_admin_requests_refused_total" ["code"]
        "Requests to the admin API that were not let in, by status.";
    dns_refreshes: Counter "attache_dns_refreshes_total" ["cluster", "result"]
        "Name resolutions: ok, or what failed. A failure keeps the last good addresses.";
    health_checks: Counter "attache_health_checks_total" ["cluster", "result"]
        "Health checks of the endpoints of a cluster: ok, or what was wrong.";
    health_endpoints: Gauge "attache_health_endpoints" ["cluster", "state"]
        "Endpoints of a cluster with a health check: healthy, unhealthy, or unchecked as yet.";
    agent_health: Gauge "a2a_agent_health" ["agent_id"]
        "1 while a cluster with a health check has an endpoint that is not unhealthy, else 0; agent_id is the cluster.";
    rate_limited: Counter "attache_rate_limited_total" ["limit", "mode"]
        "Requests over a rate limit: refused (enforce), or only counted (shadow).";
    rate_limit_clients: Gauge "attache_rate_limit_clients" ["limit"]
        "Clients a rate limit keeps a bucket for, as of the last second.";
    rate_limit_overflow: Counter "attache_rate_limit_overflow_total" ["limit"]
        "Requests counted in the bucket that is shared by the clients for whom a limit has no room (maxKeys).";
    concurrency_limited: Counter "attache_concurrency_limited_total" ["route"]
        "Requests refused because their client had maxConcurrentPerClient open.";
    rollout_weight: FloatGauge "attache_rollout_weight_percent" ["route"]
        "Share of a route's traffic that its rollout's canary gets.";
    rollout_step: Gauge "attache_rollout_step" ["route"]
        "Step a rollout is at, counted from 0; the number of steps when it is through.";
    rollout_phase: Gauge "attache_rollout_phase" ["route", "phase"]
        "1 for what a rollout is doing: progressing, paused, promoted or rolled_back.";
    rollout_events: Counter "attache_rollout_events_total" ["route", "event"]
        "What happened to a rollout: weight, measurement_passed, measurement_failed, inconclusive, rolled_back, promoted, ...";
    draining: Gauge "attache_draining" []
        "1 while the gateway is shutting down.";
    build_info: Gauge "attache_build_info" ["version"]
        "Always 1; the label is the version running.";
    memory_usage: Gauge "memory_usage_bytes" []
        "Resident memory of the process.";
    cpu_usage: FloatGauge "cpu_usage_percent" []
        "CPU time used since the scrape before, in percent of the cores the process may use.";
}

/// A family type that can be made and registered from its declaration.
trait Declare: Sized {
    fn declare(family: &Family, registry: &Registry, buckets: &[f64]) -> Result<Self, prometheus::Error>;
}

macro_rules! declare {
    ($($vec:ty),*) => {$(
        impl Declare for $vec {
            fn declare(family: &Family, registry: &Registry, _: &[f64]) -> Result<Self, prometheus::Error> {
                let vec = Self::new(Opts::new(family.name, family.help), family.labels)?;
                registry.register(Box::new(vec.clone()))?;
                Ok(vec)
            }
        }
    )*};
}

declare!(IntCounterVec, IntGaugeVec, GaugeVec);

impl Declare for HistogramVec {
    fn declare(family: &Family, registry: &Registry, buckets: &[f64]) -> Result<Self, prometheus::Error> {
        let opts = HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec());
        // The family itself looks at its buckets only when the first series is made, which is too late to refuse them.
        drop(Histogram::with_opts(opts.clone())?);
        let vec = Self::new(opts, family.labels)?;
        registry.register(Box::new(vec.clone()))?;
        Ok(vec)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write;
    use std::{env, fs};

    use prometheus::core::Collector;
    use prometheus::process_collector::ProcessCollector;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let mut names = BTreeSet::new();
        for family in FAMILIES {
            let Family { name, kind, labels, help } = family;
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'),
                "{name}: snake case"
            );
            assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: counters end in _total");
            assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}: a unit");
            assert!(help.ends_with('.') && !help.contains('|'), "{name}: a sentence that fits a table");
            assert!(!labels.windows(2).any(|pair| pair == ["route", "cluster"]), "{name}: see the note on the table");
        }
    }

    fn document() -> String {
        let mut text = HEAD.to_owned();
        for Family { name, kind, labels, help } in FAMILIES {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(text, "| `{name}` | {} | {} | {help} |", kind.word(), labels.join(", ")).unwrap();
        }
        text.push_str(PROCESS_HEAD);
        for desc in ProcessCollector::for_self().desc() {
            writeln!(text, "| `{}` | {} |", desc.fq_name, desc.help).unwrap();
        }
        text
    }

    #[test]
    fn the_documentation_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md");
        if env::var_os("ATTACHE_UPDATE").is_some() {
            fs::write(path, document()).unwrap();
        }
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(written == document(), "docs/metrics.md is out of date: run `just update`");
    }

    const HEAD: &str = "# Metrics\n\n\
        <!-- Generated from src/observe/catalogue.rs by `just update` -->\n\n\
        Served as `/metrics` (and `/stats/prometheus`) in the Prometheus text format, on the metrics listener.\n\
        Label values come from the configuration or from fixed words, so the number of series is bounded: methods outside\n\
        `GET HEAD POST PUT DELETE OPTIONS PATCH` are counted as `OTHER`, and a route that answers by itself has the\n\
        cluster `-`. Series of routes, clusters and listeners that a reload removes disappear. A family without series is\n\
        not shown.\n\n\
        | Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
    const PROCESS_HEAD: &str =
        "\n## The process\n\nThe usual figures of a process, on Linux.\n\n| Name | Meaning |\n|---|---|\n";
}
