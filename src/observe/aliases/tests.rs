//! What aliases come to, by what was counted under other names.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::observe::catalogue::FAMILIES;
use crate::observe::exposition::Exposition;
use crate::observe::metrics::Metrics;

fn scrape(metrics: &Metrics) -> Exposition {
    Exposition::parse(&metrics.render().unwrap())
}

#[test]
fn aliases_are_made_of_families_that_are_there_and_of_their_labels() {
    let mut names: BTreeSet<_> = FAMILIES.iter().map(|family| family.name).collect();
    for Alias { family, takes, from, how } in ALIASES {
        assert!(names.insert(family.name), "{} twice", family.name);
        assert_eq!(takes.len(), family.labels.len(), "{}", family.name);
        assert_eq!(from.len() == 2, family.name.contains("_seconds") && from.len() == 2 || *how != How::Sum);
        for (source, _) in *from {
            let source = FAMILIES.iter().find(|family| family.name == *source);
            let source = source.unwrap_or_else(|| panic!("{} has a source that is none", family.name));
            assert_eq!(source.kind, family.kind, "{}", family.name);
            assert!(takes.iter().all(|label| source.labels.contains(label)), "{}", family.name);
        }
    }
}

#[test]
fn calls_are_shown_by_the_labels_of_the_alias() {
    let metrics = Metrics::new(&[0.1, 1.0]).unwrap();
    let call = |route, method, outcome| metrics.agent_calls(route, method, "rest", "1.0", outcome).inc();
    call("a", "SendMessage", "ok");
    call("b", "SendMessage", "ok");
    call("b", "SendMessage", "refused");
    call("b", "GetAgentCard", "error");
    let scrape = scrape(&metrics);
    for (name, labels, expected) in [
        ("a2a_messages_total", &[("method", "SendMessage"), ("status", "ok")][..], Some(2.0)),
        ("a2a_messages_total", &[("method", "SendMessage"), ("status", "refused")], Some(1.0)),
        ("a2a_messages_received_total", &[("message_type", "SendMessage")], Some(3.0)),
        ("a2a_messages_sent_total", &[("message_type", "SendMessage"), ("recipient", "b")], Some(1.0)),
        ("agent_discovery_requests_total", &[("status", "error")], Some(1.0)),
        ("agent_discovery_requests_total", &[("status", "ok")], None),
    ] {
        assert_eq!(scrape.value(name, labels), expected, "{name} {labels:?}");
    }
}

#[test]
fn latency_is_that_of_answers_and_of_first_events() {
    let metrics = Metrics::new(&[0.1, 1.0]).unwrap();
    let ended = |method, millis| {
        metrics.agent_call_duration("a", "c", method).observe(Duration::from_millis(millis));
    };
    ended("SendMessage", 50);
    ended("GetTask", 500);
    ended("SendStreamingMessage", 60_000);
    metrics.first_event("a", "SendStreamingMessage", "grpc").observe(Duration::from_millis(20));
    metrics.first_event("b", "SendStreamingMessage", "rest").observe(Duration::from_millis(30));
    let scrape = scrape(&metrics);
    let of = |name: &str, labels: &[(&str, &str)]| scrape.value(&format!("a2a_{name}"), labels);
    assert_eq!(of("message_latency_seconds_count", &[("message_type", "SendStreamingMessage")]), Some(2.0));
    assert_eq!(of("message_latency_seconds_sum", &[("message_type", "SendStreamingMessage")]), Some(0.05));
    assert_eq!(of("message_latency_seconds_bucket", &[("message_type", "GetTask"), ("le", "0.1")]), Some(0.0));
    assert_eq!(of("response_time_seconds_count", &[]), Some(4.0));
    assert_eq!(of("response_time_seconds_bucket", &[("le", "0.1")]), Some(3.0));
    assert_eq!(of("response_time_seconds_bucket", &[("le", "+Inf")]), Some(4.0));
}

#[test]
fn availability_is_a_share_and_health_is_that_of_the_worst() {
    let metrics = Metrics::new(&[1.0]).unwrap();
    let health = |metrics: &Metrics| scrape(metrics).value("a2a_system_health", &[]);
    assert_eq!(health(&metrics), Some(1.0), "nothing is wrong where there is nothing");
    for (cluster, all, usable, expected) in [("a", 4, 3, 1.0), ("b", 2, 0, 0.0), ("b", 2, 1, 1.0)] {
        metrics.surveyed(cluster, all, usable, 0, false);
        assert_eq!(health(&metrics), Some(expected), "{cluster} {usable}");
    }
    metrics.surveyed("empty", 0, 0, 0, false);
    let scraped = scrape(&metrics);
    for (cluster, expected) in [("a", Some(75.0)), ("b", Some(50.0)), ("empty", None)] {
        assert_eq!(scraped.value("a2a_agent_availability", &[("agent_id", cluster)]), expected, "{cluster}");
    }
    metrics.surveyed("empty", 1, 1, 0, false);
    metrics.draining().set(1);
    assert_eq!(health(&metrics), Some(0.0), "it shuts down");
}

#[test]
fn what_rules_and_autoscalers_look_at_is_shown_from_the_start() {
    let scrape = scrape(&Metrics::new(&[1.0]).unwrap());
    for name in ["active_workflows", "a2a_tasks_total"] {
        assert_eq!(scrape.value(name, &[]), Some(0.0), "{name}");
    }
    assert_eq!(scrape.value("a2a_memory_usage_bytes", &[]), scrape.value("memory_usage_bytes", &[]));
    assert_eq!(scrape.kind("workflow_executions_total"), None);
}

#[test]
fn sums_do_not_go_back_when_a_route_is_removed() {
    let metrics = Metrics::new(&[0.1, 1.0]).unwrap();
    let count = |route| {
        metrics.agent_calls(route, "SendMessage", "rest", "1.0", "ok").inc();
        metrics.agent_call_duration(route, "c", "SendMessage").observe(Duration::from_millis(500));
        metrics.errors(route, "timeout", "c").inc();
        metrics.tasks_begun(route).inc();
    };
    let sums = |expected: f64| {
        let scrape = scrape(&metrics);
        for (name, labels) in [
            ("a2a_messages_total", &[("method", "SendMessage"), ("status", "ok")][..]),
            ("a2a_response_time_seconds_count", &[]),
            ("a2a_response_time_seconds_bucket", &[("le", "1")]),
            ("errors_total", &[("reason", "timeout")]),
            ("a2a_tasks_total", &[]),
        ] {
            assert_eq!(scrape.value(name, labels), Some(expected), "{name} {labels:?}");
        }
        let of_route = |route| [("message_type", "SendMessage"), ("recipient", route)];
        ["a", "b"].map(|route| scrape.value("a2a_messages_sent_total", &of_route(route)))
    };
    count("a");
    count("b");
    metrics.show_active_tasks("c", 3);
    assert_eq!(sums(2.0), [Some(1.0), Some(1.0)]);
    metrics.retain(|_, name| name == "a");
    assert_eq!(sums(2.0), [Some(1.0), None], "what is shown by route goes with the route");
    assert_eq!(
        scrape(&metrics).value("active_workflows", &[]),
        Some(0.0),
        "what goes up and down is that of the moment"
    );
    metrics.retain(|_, _| false);
    assert_eq!(sums(2.0), [None, None], "nothing is counted twice");
    count("b");
    assert_eq!(sums(3.0), [None, Some(1.0)], "it came back");
}
