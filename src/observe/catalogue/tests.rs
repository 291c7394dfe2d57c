//! The table of the metrics beside its documentation.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::{env, fs};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;

use super::*;
use crate::observe::aliases::{ABSENT, ALIASES};

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let mut names = BTreeSet::new();
    for family in FAMILIES.iter().chain(ALIASES.iter().map(|alias| &alias.family)) {
        let Family { name, kind, labels, help, only } = family;
        assert!(names.insert(name), "{name} twice");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}: snake case");
        assert_eq!(name.ends_with("_total"), *kind == Kind::Counter, "{name}: counters end in _total");
        assert!(*kind != Kind::Histogram || name.ends_with("_seconds"), "{name}: a unit");
        assert!(help.ends_with('.') && !help.contains('|'), "{name}: a sentence that fits a table");
        let named = labels.iter().filter(|label| family.object(label).is_some()).count();
        assert!(only.is_none() || named == 1, "{name}: `while` is said of one object");
    }
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    for Family { name, kind, labels, help, .. } in FAMILIES {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{name}` | {} | {} | {help} |", kind.word(), labels.join(", ")).unwrap();
    }
    text.push_str(ALIAS_HEAD);
    for Family { name, kind, labels, help, .. } in ALIASES.iter().map(|alias| &alias.family) {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        writeln!(text, "| `{name}` | {} | {} | {help} |", kind.word(), labels.join(", ")).unwrap();
    }
    text.push_str(ABSENT_HEAD);
    for (name, reason) in ABSENT {
        writeln!(text, "| `{}` | {reason} |", if name.ends_with('_') { format!("{name}*") } else { name.to_string() })
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
    An endpoint has series of its own (`attache_endpoint_*`) from the first request to its cluster until it is neither in\n\
    the configuration nor in the answer for its name and its last stream has ended. `metrics.endpointSeries` says how many\n\
    endpoints may have some: 200, about 25 lines each. Those beyond it share the series of cluster `-`, endpoint `other`,\n\
    until there is room and the configuration is loaded again. `off` takes them away.\n\n\
    `http_request_duration_seconds` is the whole time of an exchange, of a stream too. How fast agents begin to answer is\n\
    in `attache_time_to_first_byte_seconds`, how long streams last in `attache_stream_duration_seconds`.\n\n\
    | Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
const ALIAS_HEAD: &str = "\n## Names of other systems\n\n\
    Dashboards, rules and autoscalers that were written for agents look for these names. They are made from the families\n\
    above when somebody scrapes, and cost requests nothing. A sum keeps what routes had counted that are gone; what is\n\
    shown by route or cluster goes with that. `agent_id`, `recipient` and `message_type` are a cluster, a route and a\n\
    method: what a client says is never a label, so there is no `sender`, `capability` or `workflow_type`.\n\
    `metrics.compatibility: false` leaves these names out.\n\n\
    | Name | Type | Labels | Meaning |\n|---|---|---|---|\n";
const ABSENT_HEAD: &str = "\nRules select by `job`, which is the name that Prometheus scrapes by: give the gateway's `scrape_configs` entry the\n\
    `job_name` that the rules use. These names are not given:\n\n| Name | Why |\n|---|---|\n";
const PROCESS_HEAD: &str =
    "\n## The process\n\nThe usual figures of a process, on Linux.\n\n| Name | Meaning |\n|---|---|\n";
