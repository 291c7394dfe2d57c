//! Every metric family the gateway has, in one table. A row is all there is to write: from it come the live family, its
//! registration, the way to it (a field of the handles of its section, or a method of `Families` by its name), when its
//! series go, and its line in `docs/metrics.md`. Label values come from the configuration or from fixed words, never
//! from traffic, so the number of series is bounded.
//!
//! The word after the field says what there is one of:
//!
//! - `Counter`, `Gauge`, `FloatGauge`: one number;
//! - `Counters`: one counter for each of the fixed words of the label that is not in the head of its section;
//! - `Classes`: one counter for each class of codes;
//! - `TimeCounter`: seconds that add up;
//! - `Latency`: a histogram with the configured buckets;
//! - `Life`: one with buckets for what lasts;
//! - `LateCounter`, `LateGauge`, `LateLife`: what is shown once it was asked for.
//!
//! Series go with the route, cluster, listener or limit a label names. `while` says what more that has to have for them
//! to stay.

use std::sync::Arc;

use prometheus::Registry;
use prometheus::proto::MetricFamily;

use super::family::{Family, Kind, Object};
use super::handle::{Classes, Handle, Late, Names, Words};
use super::series::{Bounds, Counter, FloatGauge, Gauge, Histogram, SeriesOf, TimeCounter};

macro_rules! families {
    (@series Counter) => { Counter };
    (@series Counters) => { Counter };
    (@series Gauge) => { Gauge };
    (@series Classes) => { Counter };
    (@series LateGauge) => { Gauge };
    (@series LateCounter) => { Counter };
    (@series FloatGauge) => { FloatGauge };
    (@series TimeCounter) => { TimeCounter };
    (@series Latency) => { Histogram };
    (@series Life) => { Histogram };
    (@series LateLife) => { Histogram };
    (@handle Counters) => { Words };
    (@handle Classes) => { Classes };
    (@handle LateGauge) => { Late<Gauge> };
    (@handle LateCounter) => { Late<Counter> };
    (@handle LateLife) => { Late<Histogram> };
    (@handle $kind:ident) => { families!(@series $kind) };
    (@kind Counter) => { Kind::Counter };
    (@kind Counters) => { Kind::Counter };
    (@kind Classes) => { Kind::Counter };
    (@kind LateCounter) => { Kind::Counter };
    (@kind TimeCounter) => { Kind::Counter };
    (@kind Gauge) => { Kind::Gauge };
    (@kind LateGauge) => { Kind::Gauge };
    (@kind FloatGauge) => { Kind::Gauge };
    (@kind Latency) => { Kind::Histogram };
    (@kind Life) => { Kind::Histogram };
    (@kind LateLife) => { Kind::Histogram };
    (@bounds Latency $buckets:ident) => { Arc::clone(&$buckets.latency) };
    (@bounds Life $buckets:ident) => { Arc::clone(&$buckets.life) };
    (@bounds LateLife $buckets:ident) => { Arc::clone(&$buckets.life) };
    (@bounds $kind:ident $buckets:ident) => { Arc::default() };
    (@only) => { None };
    (@only $object:ident) => { Some(Object::$object) };
    (@family $kind:ident $name:literal [$($label:ident),*] ($($object:ident)?) $help:literal) => {
        Family {
            name: $name,
            kind: families!(@kind $kind),
            labels: &[$(stringify!($label)),*],
            help: $help,
            only: families!(@only $($object)?),
        }
    };

    // Handles of one section.
    (@handles by name { $($rows:tt)* }) => {};
    (
        @handles $(#[$doc:meta])* struct $handles:ident($($own:ident),*) {
            $($field:ident: $kind:ident $name:literal [$($label:ident),*] $(while $object:ident)? $help:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $handles {
            $(#[doc = $help] pub $field: families!(@handle $kind),)*
        }

        impl $handles {
            /// Handles to its series.
            #[must_use]
            pub fn new(families: &Families, $($own: &str),*) -> Self {
                let names = Names::new(&[$((stringify!($own), $own)),*]);
                Self { $($field: Handle::take(&families.$field, &names)),* }
            }
        }
    };

    ($(
        $(#[$doc:meta])*
        $by:ident $handles:ident $(($($own:ident),*))? {
            $($field:ident: $kind:ident $name:literal [$($label:ident),*] $(while $object:ident)? $help:literal;)*
        }
    )*) => {
        /// Every family, in the order of the documentation.
        pub static FAMILIES: &[Family] = &[
            $($(families!(@family $kind $name [$($label),*] ($($object)?) $help)),*),*
        ];

        /// The live families of one gateway.
        #[derive(Debug)]
        pub struct Families {
            $($(pub(super) $field: SeriesOf<families!(@series $kind)>,)*)*
        }

        impl Families {
            pub(super) fn register(registry: &Registry, buckets: &Buckets) -> Result<Self, prometheus::Error> {
                Ok(Self {
                    $($($field: {
                        static FAMILY: Family = families!(@family $kind $name [$($label),*] ($($object)?) $help);
                        let series = SeriesOf::new(&FAMILY, families!(@bounds $kind buckets))?;
                        registry.register(Box::new(series.clone()))?;
                        series
                    },)*)*
                })
            }

            /// Drops the series that carry the name of something that does not live any more, and gives what they
            /// showed.
            pub(super) fn retain(&self, lives: &dyn Fn(Object, &str) -> bool) -> Vec<MetricFamily> {
                vec![$($(self.$field.retain_living(lives)),*),*]
            }
        }

        /// Series by their names, for what is counted rarely.
        impl Families {
            $($(
                #[doc = $help]
                #[must_use]
                pub fn $field(&self, $($label: &str),*) -> families!(@series $kind) {
                    self.$field.with(&[$($label),*])
                }
            )*)*
        }

        $(families! {
            @handles $(#[$doc])* $by $handles $(($($own),*))? {
                $($field: $kind $name [$($label),*] $(while $object)? $help;)*
            }
        })*
    };
}

/// Buckets of histograms, by what they measure.
pub(super) struct Buckets {
    pub(super) latency: Arc<Bounds>,
    pub(super) life: Arc<Bounds>,
}

families! {
    // A finished request is found with one look-up for all it is counted in: see `RouteHandles`.
    by name {
        requests: Counter "http_requests_total" [route, method, cluster, code, status_code]
            "Finished requests. code and status_code carry the same value.";
        duration: Latency "http_request_duration_seconds" [route, method, cluster]
            "Time from the request head to the end of the response body.";
        first_byte: Latency "attache_time_to_first_byte_seconds" [route, method, cluster]
            "Time from the request head to the head of an endpoint's answer, streams included.";
        in_flight: Gauge "attache_requests_in_flight" [route]
            "Requests whose response body has not ended yet, streams included.";
        streams: Gauge "attache_streams_open" [route]
            "Open event streams, gRPC streams and upgraded connections.";
    }
    /// How exchanges of one route towards one cluster ended.
    struct EndHandles(route, cluster) {
        errors: Counters "attache_errors_total" [route, reason, cluster]
            "Exchanges the gateway refused, failed or cut, by the word of x-attache-reason.";
        grpc_responses: Counters "attache_grpc_responses_total" [route, grpc_status, cluster]
            "Answers of endpoints to gRPC calls, by the number in grpc-status: 0 to 16, other, or none where it did not come.";
        stream_duration: LateLife "attache_stream_duration_seconds" [route, cluster]
            "Time from the request head to the end of a stream, in buckets from 1 s to 12 h.";
    }
    by name {
        agent_calls: Counter "a2a_requests_total" [route, method, transport, version, outcome]
            "Finished calls of agents: method by its A2A 1.0 name, transport jsonrpc, rest or grpc, version of the wire, outcome ok, error (the agent refused it), internal, unreadable, truncated, failed (no good answer came), refused (by the gateway) or left (by the client).";
        agent_call_duration: Latency "a2a_request_duration_seconds" [route, cluster, method]
            "Time from the request head to the end of the answer of a call of an agent, streams included.";
        first_event: Latency "attache_a2a_first_event_seconds" [route, method, transport]
            "Time from the request head to the first event of a call that is answered by a stream.";
        agent_streams: Gauge "attache_a2a_streams_open" [route, method, transport]
            "Open streams of calls that are answered by one.";
        truncated_streams: Counter "attache_a2a_streams_truncated_total" [route, method, transport]
            "Streams of agents that ended before their task did, or broke off.";
        agent_task_ends: Counter "attache_a2a_tasks_ended_total" [route, state]
            "Tasks whose end an answer told of, once for each task that was seen before or began with this call: completed, failed, canceled or rejected.";
        agent_task_duration: Life "attache_a2a_task_duration_seconds" [route, state]
            "Time from the call that began a task, else from when it was first seen, to the answer that told of its end, in buckets from 1 s to 12 h.";
    }
    /// What one provider said of requests; `-` for what is for none.
    struct AuthHandles(provider) {
        results: Counters "attache_auth_total" [provider, result]
            "Requests that a provider looked at: ok, invalid (refused with 401), denied (403), unavailable (503), or open (let in while its server failed, because onFailure says so). Without credentials the provider is -, and the result missing (401) or anonymous.";
    }
    /// What is done for the calls of agents of one route.
    struct AgentHandles(route) {
        unread: Counters "attache_a2a_unread_bodies_total" [route, reason]
            "Bodies that may be calls of agents and passed without being read: too_long, late, no_room, or coded (compressed).";
        calls_refused: Counters "attache_a2a_refused_total" [route, reason]
            "Calls of agents that a guard refused: method_denied, push_url_refused, file_url_refused, batch, ambiguous_call, incomplete_call, invalid_call, invalid_params, version_refused, not_owner, list_refused, unread_call, no_room, or, by the limits of its operation, rate_limited or too_many_open.";
        continued: Counters "attache_a2a_streams_continued_total" [route, result]
            "Streams that an agent broke off before their task was over and that were to go on: continued, ended (the task was over, and its end is told), refused (no agent lets anybody have the rest) or failed (none answered in time).";
        shared_calls: Counters "attache_a2a_shared_calls_total" [route, result]
            "Calls of agents that an equal one came before: joined (got its answer), refused (that answer is for its caller alone); or full (sent by itself, because no more can be shared).";
        tasks_begun: LateCounter "attache_a2a_tasks_begun_total" [route]
            "Tasks that calls began: an answer named a task to a call that sent a message and named none.";
        lookups: Counters "attache_a2a_lookups_total" [route, result]
            "Searches for the endpoint that holds a task or context: found, unknown (no endpoint has it), failed (none has it, and not all answered) or limited (too many at once: nobody was asked).";
    }
    /// Series of one cluster, for one worker.
    struct ClusterHandles(cluster) {
        attempts: Counter "attache_attempts_total" [cluster]
            "Requests sent to an endpoint or tried to, first tries and retries alike.";
        retries: Counters "attache_retries_total" [cluster, reason]
            "Attempts after the first, by what made the attempt before it fail.";
        retries_stopped: Counters "attache_retries_stopped_total" [cluster, reason]
            "Tries after which another was wanted and not made: attempts_used, budget_exhausted, max_retries, circuit_open, body_not_kept, no_time or retry_after.";
        hedges: Counters "attache_hedges_total" [cluster, result]
            "Tries made beside one that took too long (sent), and those of them whose answer counted (won).";
        ceilings_reached: Counters "attache_circuit_breaker_ceilings_reached_total" [cluster, ceiling]
            "Times a ceiling of a cluster or of one of its endpoints was met: connections, requests, streams or retries.";
        circuit_rejected: Counters "attache_circuit_breaker_rejections_total" [cluster, ceiling]
            "Requests (with retries: further attempts) refused, by the ceiling, or breaker, or adaptive (the limit that is found out).";
        breaker_state: LateGauge "attache_circuit_breaker_state" [cluster] while Breaker
            "The half-open breaker of a cluster: 0 closed, 1 half-open, 2 open.";
        adaptive_limit: LateGauge "attache_adaptive_concurrency_limit" [cluster] while Adaptive
            "How many requests a cluster carries at once, as found out from how long its answers take.";
        pending: Gauge "attache_pending_requests" [cluster]
            "Requests that wait at a ceiling.";
        ejections: Counters "attache_ejections_total" [cluster, cause]
            "Endpoints ejected by outlier detection, by what was one failure too many.";
        upstream_connections: Gauge "attache_upstream_connections" [cluster]
            "Open connections to the endpoints of a cluster.";
        upstream_connects: Counters "attache_upstream_connects_total" [cluster, result]
            "Connections opened to endpoints: ok, or the reason word of the failure.";
    }
    /// Tries at one endpoint, for one worker.
    struct EndpointHandles(cluster, endpoint) {
        endpoint_requests: Classes "attache_endpoint_requests_total" [cluster, endpoint, code_class]
            "Tries at an endpoint, each counted once: 1xx to 5xx by the status of the answer, failed without one, or cancelled.";
        endpoint_response: Latency "attache_endpoint_response_seconds" [cluster, endpoint]
            "Time from the start of a try to the head of the endpoint's answer, without the time in which it waited for the client.";
    }
    /// Requests of one tenant, for one worker.
    struct TenantHandles(tenant) {
        tenant_requests: Classes "attache_tenant_requests_total" [tenant, code_class]
            "Finished requests of the tenants that tenants.series names, by the class of the status; of all others that name a tenant as other.";
    }
    // Looked at when somebody scrapes.
    by name {
        endpoint_in_flight: Gauge "attache_endpoint_requests_in_flight" [cluster, endpoint]
            "Requests and copies at an endpoint whose answer has not ended yet, streams included.";
        endpoint_tasks: Gauge "attache_endpoint_active_tasks" [cluster, endpoint]
            "Tasks at an endpoint that go on, as far as this gateway knows, as of the last second; from its first task on.";
        endpoints_without_series: Gauge "attache_endpoints_without_series" []
            "Endpoints beyond metrics.endpointSeries, which share the series of cluster -, endpoint other.";
    }
    /// Faults of one route.
    struct FaultHandles(route) {
        faults: Counters "attache_faults_total" [route, kind]
            "Faults injected on purpose: delay, abort or stream.";
        faults_ignored: Counters "attache_faults_ignored_total" [route, reason]
            "Faults that were asked for or drawn and not injected: not_allowed, invalid, share, ended or max_active.";
        faults_active: Gauge "attache_faults_active" [route]
            "Requests held back and streams disturbed at this moment.";
    }
    /// What browsers asked of one route, and sent to it for foreign pages.
    struct BrowserHandles(route) {
        preflights: Counters "attache_cors_preflights_total" [route, result]
            "Preflights answered for routes with cors: granted, or refused because the page's origin may not use the route.";
        foreign: Counters "attache_csrf_total" [route, mode]
            "Requests that a browser sent for a foreign page: refused (enforce), or only counted (shadow).";
    }
    /// Requests for one route that were not served because of who their clients are or what those did before.
    struct AddressHandles(route) {
        refused: Counters "attache_address_refused_total" [route, mode]
            "Requests from addresses that ipAccess does not serve: refused (enforce), or only counted (shadow). The route is - where the listener decides.";
        slowed: Counters "attache_auth_slowed_total" [route, mode]
            "Requests of clients that failed to authenticate too often: refused for the time being (enforce), or only counted (shadow).";
    }
    /// Requests that no listener serves.
    struct BlockHandles() {
        blocked: Counters "attache_blocked_total" [by]
            "Requests of clients that are blocked: by configuration (blockList), by an operator, or for their failures to authenticate.";
        auth_failures: Counters "attache_auth_failures_total" [result]
            "Failures to authenticate that were counted for their clients (authFailures), by what they came to: counted, slowed or blocked.";
    }
    /// Mirrored requests of one route.
    struct MirrorHandles(route) {
        mirrors: Counters "attache_mirrors_total" [route, result]
            "Requests chosen to be mirrored, by what became of the copy: answered, failed, timed_out, body_too_large, incomplete or max_active.";
        mirrors_active: Gauge "attache_mirrors_active" [route]
            "Copies under way.";
    }
    /// Agent cards of one route.
    struct CardHandles(route) {
        agent_cards: Counters "attache_agent_cards_total" [route, result]
            "Agent cards that were asked for, by what became of them: mapped, unchanged, unknown_host or unknown_path (a URL leads past the gateway), signed, too_large or invalid.";
        catalog_cards: Counters "attache_catalog_cards_total" [route, result]
            "Agent cards that the gateway asked for by itself, for a catalog, by what came of it: read, no_card, unreachable, timed_out, refused, invalid or too_large.";
    }
    /// Decisions of one rule of one route; `-` where no rule is about a request.
    struct AuthorizationHandles(route, rule) {
        decisions: Counters "attache_authorization_total" [route, rule, result]
            "Decisions of authorization rules: allowed or denied by this rule (- where none is about the request), or shadow_allowed and shadow_denied by a policy that only counts.";
    }
    /// One pattern that the requests of one route are searched for; `unread` for what could not be searched.
    struct ScreeningHandles(route, pattern) {
        screened: Counters "attache_screening_total" [route, pattern, result]
            "Requests with a pattern that their route looks for (unread where the body could not be searched): refused, or shadow where that is only counted.";
    }
    /// Series of one rate limit.
    struct RateLimitHandles(limit, mode) {
        rate_limited: Counter "attache_rate_limited_total" [limit, mode]
            "Requests over a rate limit: refused (enforce), or only counted (shadow).";
    }
    /// Series of one route's limit on what a client has open.
    struct ConcurrencyHandles(route) {
        concurrency_limited: Counter "attache_concurrency_limited_total" [route]
            "Requests refused because their client had maxConcurrentPerClient of the route, or of the operation, open.";
    }
    /// Series of one listener, for one worker.
    struct ListenerHandles(listener) {
        downstream_connections: Gauge "attache_downstream_connections" [listener]
            "Open client connections.";
        connections: Counter "attache_connections_total" [listener]
            "Client connections accepted.";
        connections_refused: Counters "attache_connections_refused_total" [listener, reason]
            "Client connections closed before a request was read.";
        handshake_failures: Counter "attache_handshake_failures_total" [listener]
            "TLS handshakes with clients that failed or took too long.";
        malformed: Counters "attache_malformed_requests_total" [listener, reason]
            "Requests refused because they break HTTP or an edge rule.";
    }
    /// Series of one worker, by its number from 0.
    struct WorkerHandles(worker) {
        worker_busy: TimeCounter "attache_worker_busy_seconds_total" [worker]
            "Time that a worker was not waiting for anything: at one second for each second it is what limits the gateway.";
        worker_connections: Gauge "attache_worker_connections" [worker]
            "Open client connections of a worker.";
        worker_exchanges: Gauge "attache_worker_exchanges" [worker]
            "Requests that a worker has under way, open streams among them.";
    }
    // Counted where they happen, which is rarely.
    by name {
        endpoints_known: Gauge "attache_endpoints" [cluster]
            "Endpoints of a cluster, usable or not.";
        endpoints_usable: Gauge "attache_endpoints_usable" [cluster]
            "Endpoints that may get new requests and do not fail all of them.";
        endpoints_ejected: Gauge "attache_endpoints_ejected" [cluster]
            "Endpoints that outlier detection keeps out.";
        endpoints_left_out: Gauge "attache_endpoints_left_out" [cluster]
            "Endpoints that were found and not taken, because a cluster has 4096 at most.";
        panic: Gauge "attache_cluster_panic" [cluster]
            "1 while so few endpoints are usable that requests go to all of them, or are refused.";
        blocks: Gauge "attache_block_list_entries" [by]
            "Networks that are blocked: by configuration (blockList) or by an operator; and clients that are blocked for their failures to authenticate.";
        auth_failures_overflowed: Counter "attache_auth_failures_overflowed_total" []
            "Failures to authenticate of clients that found no place in the table of authFailures, and wait with others.";
        auth_failing_clients: Gauge "attache_auth_failing_clients" []
            "Clients whose failures to authenticate are remembered.";
        audit_log_dropped: Counter "attache_audit_log_dropped_total" []
            "Audit log lines lost because the writer fell behind or could not write.";
        bytes: Counter "attache_bytes_total" [direction]
            "Body bytes: received_from_client and sent_to_client.";
        spans_exported: Counter "attache_spans_exported_total" []
            "Spans that a collector took.";
        spans_dropped: Counter "attache_spans_dropped_total" [reason]
            "Spans that were lost: queue_full (the collector is too slow), unreachable (no delivery, after several tries), rejected (by the collector) or internal (a defect of the gateway).";
        access_log_dropped: Counter "attache_access_log_dropped_total" []
            "Access log lines lost because the writer fell behind or could not write.";
        log_lines_lost: Counter "attache_log_lines_lost_total" []
            "Lines of the gateway's own log lost because standard error was full, gone or not read.";
        task_ends: Counter "attache_task_ends_total" [task]
            "Tasks of the gateway that broke. They are started again, but for worker and reload: then the gateway drains and ends.";
        config_hash: Gauge "attache_config_hash_info" [hash]
            "Always 1; the label is the hash of the configuration in use.";
        config_reloads: Counter "attache_config_reloads_total" [result]
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
        certificate_not_after: Gauge "attache_certificate_not_after_seconds" [listener, file]
            "Unix time at which a served certificate expires, by its certFile.";
        certificate_reloads: Counter "attache_certificate_reloads_total" [listener, result]
            "Certificate files read again after a change: ok or failed.";
        acme_orders: Counter "attache_acme_orders_total" [listener, result]
            "Certificates that were ordered: ok, failed, or rate_limited by the authority.";
        acme_last: Gauge "attache_acme_last_order_successful" [listener, domain]
            "1 when the last order of a certificate for this name was, 0 when it failed.";
        jwks_fetches: Counter "attache_jwks_fetches_total" [provider, result]
            "Fetches of the keys that an issuer of tokens publishes: ok, timeout, connect_failed, tls_failed, no_answer, status, too_large or no_keys (what came is no set of usable keys).";
        auth_remembered: Gauge "attache_auth_remembered" [provider]
            "Verified tokens, passwords and answers of external servers that a provider remembers, at most 16 MiB of them.";
        auth_waiting: Gauge "attache_auth_waiting" [provider]
            "Requests that wait until a provider knows: for keys of an issuer, the hash of a password, or the answer of an external server.";
        jwks_fetched: Gauge "attache_jwks_fetched_timestamp_seconds" [provider]
            "Unix time at which the keys of an issuer of tokens were last fetched.";
        admin_refused: Counter "attache_admin_requests_refused_total" [code]
            "Requests to the admin API that were not let in, by status.";
        dns_refreshes: Counter "attache_dns_refreshes_total" [cluster, result]
            "Name resolutions: ok, or what failed. A failure keeps the last good addresses.";
        health_checks: Counter "attache_health_checks_total" [cluster, result] while HealthCheck
            "Health checks of the endpoints of a cluster: ok, or what was wrong.";
        health_endpoints: Gauge "attache_health_endpoints" [cluster, state] while HealthCheck
            "Endpoints of a cluster with a health check: healthy, unhealthy, or unchecked as yet.";
        agent_health: Gauge "a2a_agent_health" [agent_id] while HealthCheck
            "1 while a cluster with a health check has an endpoint that is not unhealthy, else 0; agent_id is the cluster.";
        affinity_ids: Gauge "attache_affinity_ids" []
            "Tasks, contexts and sessions whose endpoint is known, as of the last second.";
        active_tasks: Gauge "a2a_active_tasks" [cluster]
            "Tasks of agents that go on, as far as this gateway knows, as of the last second; from the first task of the cluster on.";
        tasks_cut: Counter "attache_drained_tasks_cut_total" [cluster]
            "Tasks that went on at an endpoint when its drain was over (drainTasks), or when it was removed and did not answer.";
        rate_limit_clients: Gauge "attache_rate_limit_clients" [limit]
            "Clients a rate limit keeps a bucket for, as of the last second.";
        rate_limit_overflow: Counter "attache_rate_limit_overflow_total" [limit]
            "Requests counted in the bucket that is shared by the clients for whom a limit has no room (maxKeys).";
        rollout_weight: FloatGauge "attache_rollout_weight_percent" [route] while Rollout
            "Share of a route's traffic that its rollout's canary gets.";
        rollout_step: Gauge "attache_rollout_step" [route] while Rollout
            "Step a rollout is at, counted from 0; the number of steps when it is through.";
        rollout_phase: Gauge "attache_rollout_phase" [route, phase] while Rollout
            "1 for what a rollout is doing: progressing, paused, promoted or rolled_back.";
        rollout_events: Counter "attache_rollout_events_total" [route, event]
            "What happened to a rollout: weight, measurement_passed, measurement_failed, inconclusive, rolled_back, promoted, ...";
        draining: Gauge "attache_draining" []
            "1 while the gateway is shutting down.";
        build_info: Gauge "attache_build_info" [version]
            "Always 1; the label is the version running.";
        memory_usage: Gauge "memory_usage_bytes" []
            "Resident memory of the process.";
        cpu_usage: FloatGauge "cpu_usage_percent" []
            "CPU time used since the scrape before, in percent of the cores the process may use.";
    }
}

#[cfg(test)]
mod tests;
