//! Behaviour of the gateway, seen from outside: a real gateway in this process, backends that do as they are told,
//! plain clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may fail loudly"
)]
#![allow(clippy::large_futures, reason = "a test's future is polled in place and lives on a stack of its own")]
#![allow(
    clippy::too_many_lines,
    clippy::type_complexity,
    reason = "a table of cases is as long and as wide as it has to be"
)]
#![allow(missing_docs, missing_debug_implementations, reason = "nothing here is public")]
mod support;

mod access_log;
mod acme;
mod adaptive_concurrency;
mod addresses;
mod admin;
mod admin_live;
mod admin_views;
mod agent_cards;
mod agent_cards_grpc;
mod agent_cards_signed;
mod agent_continuity;
mod agent_faults;
mod agent_metrics;
mod agent_streams;
mod agent_wire;
mod attempts;
mod audit_log;
mod auth_failures;
mod auth_servers;
mod authentication;
mod authorization;
mod authorization_paths;
mod authorization_principals;
mod balancing;
mod bindings;
mod blame;
mod bodies;
mod browsers;
mod call_limits;
mod card_security;
mod catalog;
mod chaos;
mod circuit_breaker;
mod client_certificates;
mod comings_and_goings;
mod continuity_places;
mod documents;
mod drains;
mod early_answers;
mod ejection;
mod endpoints;
mod equal_calls;
mod external_auth;
mod faults;
mod fields;
mod grpc;
mod guards;
mod health;
mod http_versions;
mod jwt;
mod jwt_claims;
mod leaving;
mod lifecycle;
mod lifecycle_regressions;
mod limits;
mod logs;
mod metrics;
mod mirroring;
mod names;
mod observing;
mod oldest_generation;
mod outcomes;
mod own_answers;
mod ownership;
mod passwords;
mod pem;
mod preferences;
mod preset;
mod pressure;
mod proxy_protocol;
mod public_address;
mod rate_limits;
mod readiness;
mod reload;
mod reload_mishaps;
mod reload_under_load;
mod resource_metadata;
mod retries;
mod routing;
mod screening;
mod security;
mod splits;
mod streams;
mod tasks;
mod tasks_lookup;
mod tenants;
mod tls;
mod tls_clients;
mod tls_defaults;
mod tls_files;
mod tower_service;
mod trace_bounds;
mod traces;
mod transports;
mod upgrade;
mod upstream_tls;
mod upstreams_regressions;
mod vanished;
mod verdicts;
mod versions;
