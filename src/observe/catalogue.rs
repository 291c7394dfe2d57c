//! Every metric family the gateway has, in one table: the struct of live families and `docs/metrics.md` both come from it, so a
//! metric that is not documented cannot exist. Label values come from the configuration or from fixed words, never from traffic,
//! so the number of series is bounded.

use prometheus::{
    GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
};

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

// The crate hashes label values one after the other without a separator, so ("ab", "c") and ("a", "bc") would share a series.
// Two names from the configuration therefore never stand side by side: an upper-case method word separates route and cluster.
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
    config_hash: Gauge "attache_config_hash_info" ["hash"]
        "Always 1; the label is the hash of the configuration in use.";
    config_reloads: Counter "attache_config_reloads_total" ["result"]
        "Configuration reloads: ok or failed.";
    config_reload_ok: Gauge "attache_config_last_reload_successful" []
        "1 when the last configuration load was accepted, 0 when it was refused.";
    config_reload_time: Gauge "attache_config_last_reload_success_timestamp_seconds" []
        "Unix time of the last accepted configuration load.";
    certificate_not_after: Gauge "attache_certificate_not_after_seconds" ["listener", "subject"]
        "Unix time at which a served certificate expires.";
    certificate_reloads: Counter "attache_certificate_reloads_total" ["listener", "result"]
        "Certificate files read again after a change: ok or failed.";
    dns_refreshes: Counter "attache_dns_refreshes_total" ["cluster", "result"]
        "Name resolutions: ok, or what failed. A failure keeps the last good addresses.";
    rollout_weight: FloatGauge "attache_rollout_weight_percent" ["route"]
        "Share of a route's traffic that its rollout's canary gets.";
    rollout_step: Gauge "attache_rollout_step" ["route"]
        "Step a rollout is at, counted from 0; the number of steps when it is through.";
    rollout_phase: Gauge "attache_rollout_phase" ["route", "phase"]
        "1 for what a rollout is doing: progressing, paused, promoted or rolled-back.";
    rollout_events: Counter "attache_rollout_events_total" ["route", "event"]
        "What happened to a rollout: weight, measurement-passed, measurement-failed, inconclusive, rolled-back, promoted, ...";
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
    fn declare(
        family: &Family,
        registry: &Registry,
        buckets: &[f64],
    ) -> Result<Self, prometheus::Error>;
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
    fn declare(
        family: &Family,
        registry: &Registry,
        buckets: &[f64],
    ) -> Result<Self, prometheus::Error> {
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
            let Family {
                name,
                kind,
                labels,
                help,
            } = family;
            assert!(names.insert(name), "{name} twice");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}: snake case"
            );
            assert_eq!(
                name.ends_with("_total"),
                *kind == Kind::Counter,
                "{name}: counters end in _total"
            );
            assert!(
                *kind != Kind::Histogram || name.ends_with("_seconds"),
                "{name}: a unit"
            );
            assert!(
                help.ends_with('.') && !help.contains('|'),
                "{name}: a sentence that fits a table"
            );
            assert!(
                !labels.windows(2).any(|pair| pair == ["route", "cluster"]),
                "{name}: see the note on the table"
            );
        }
    }

    fn document() -> String {
        let mut text = HEAD.to_owned();
        for Family {
            name,
            kind,
            labels,
            help,
        } in FAMILIES
        {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(
                text,
                "| `{name}` | {} | {} | {help} |",
                kind.word(),
                labels.join(", ")
            )
            .unwrap();
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
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, document()).unwrap();
        }
        let written = fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == document(),
            "docs/metrics.md is out of date: run UPDATE_DOCS=1 cargo test --lib documentation"
        );
    }

    const HEAD: &str = "# Metrics\n\n\
        <!-- Generated from src/observe/catalogue.rs: UPDATE_DOCS=1 cargo test --lib documentation -->\n\n\
        Served as `/metrics` (and `/stats/prometheus`) in the Prometheus text format, on the metrics listener.\n\
        Label values come from the configuration or from fixed words, so the number of series is bounded: methods outside\n\
        `GET HEAD POST PUT DELETE OPTIONS PATCH` are counted as `OTHER`, and a route that answers by itself has the\n\
        cluster `-`. Series of routes, clusters and listeners that a reload removes disappear. A family without series is\n\
        not shown.\n\n\
        | Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
    const PROCESS_HEAD: &str = "\n## The process\n\nThe usual figures of a process, on Linux.\n\n| Name | Meaning |\n|---|---|\n";
}
