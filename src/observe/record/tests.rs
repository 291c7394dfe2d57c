//! What `record.rs` does, held to its promises.

use std::net::Ipv4Addr;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::text::USER_AGENT_BYTES;
use super::*;
use crate::config::model::{AccessLog, RecordField, TlsVersion};
use crate::observe::clock::Clock;
use crate::observe::trace::TraceContext;

/// A record of a request that went well.
pub(in crate::observe) fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: Duration::from_millis(1_795_199_401_123),
        request_id: b"id-1",
        trace_id: None,
        span_id: None,
        client_ip: Ipv4Addr::new(192, 0, 2, 10).into(),
        principal: None,
        auth: None,
        tenant: None,
        operation: None,
        agent: None,
        method: "POST",
        authority: "agents.example.com",
        path: "/a2a",
        proto: Version::HTTP_11,
        status: 200,
        flags: "-",
        reason: None,
        rule: None,
        screened: None,
        names: None,
        endpoint: None,
        attempts: 1,
        bytes_received: 17,
        bytes_sent: u64::MAX,
        duration: Duration::from_micros(12_045),
        time_to_head: None,
        user_agent: None,
        tls: None,
        stream: false,
        upstream_status: None,
        grpc_status: None,
        upstream_error: None,
        request_fields: &[],
        response_fields: &[],
    }
}

/// What the logs of a configuration make of records.
pub(in crate::observe) fn plans(access_log: &str) -> RecordPlans {
    RecordPlans::new(&settings(access_log), &[])
}

/// The logs of a configuration.
pub(super) fn settings(access_log: &str) -> Vec<AccessLog> {
    let text = format!(
        "listeners: {{ a: {{ address: '127.0.0.1:80' }} }}
routes: {{ billing: {{ respond: {{}} }}, search: {{ hosts: [search.test], respond: {{}} }} }}
accessLog: {access_log}"
    );
    let env = crate::config::Environment::empty(std::time::UNIX_EPOCH);
    let loaded = crate::config::parse(&text, "test.yaml", &env).unwrap_or_else(|report| panic!("{report}"));
    loaded.config.access_log
}

fn json_of(record: &AccessRecord<'_>) -> (String, Value) {
    let mut out = Vec::new();
    write_json(record, &mut Clock::default(), &mut out);
    let line = String::from_utf8(out).unwrap();
    let value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    (line, value)
}

fn text_of(record: &AccessRecord<'_>, color: bool) -> String {
    let mut out = Vec::new();
    write_text(record, &mut Clock::default(), color, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_least_a_line_says() {
    assert_eq!(
        json_of(&record()).0,
        "{\"timestamp\":\"2026-11-20T18:30:01.123Z\",\"request_id\":\"id-1\",\"client_ip\":\"192.0.2.10\",\"method\":\"POST\",\
         \"authority\":\"agents.example.com\",\"path\":\"/a2a\",\"proto\":\"HTTP/1.1\",\"status\":200,\"flags\":\"-\",\
         \"attempts\":1,\"bytes_received\":17,\"bytes_sent\":18446744073709551615,\"duration_ms\":12.045}\n"
    );
}

#[test]
fn the_most_a_line_says() {
    let trace = TraceContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let names = RecordNames::new("agents", "agents-v2".into());
    let full = AccessRecord {
        trace_id: Some(trace.trace_id()),
        client_ip: "2001:db8::7".parse().unwrap(),
        principal: Some("ann\"e"),
        tenant: Some("north"),
        operation: Some("SendMessage"),
        reason: Some("connect_failed"),
        flags: "UF",
        status: 502,
        names: Some(&names),
        endpoint: Some("192.0.2.1:8080"),
        attempts: 3,
        time_to_head: Some(Duration::from_millis(3)),
        user_agent: Some(b"a2a-sdk/1.0"),
        tls: Some(TlsVersion::V13),
        stream: true,
        upstream_status: Some(200),
        grpc_status: Some(14),
        upstream_error: Some("said \u{1b}\""),
        proto: Version::HTTP_2,
        ..record()
    };
    let (_, value) = json_of(&full);
    for (key, expected) in [
        ("trace_id", json!("4bf92f3577b34da6a3ce929d0e0e4736")),
        ("client_ip", json!("2001:db8::7")),
        ("principal", json!("ann\"e")),
        ("tenant", json!("north")),
        ("operation", json!("SendMessage")),
        ("reason", json!("connect_failed")),
        ("flags", json!("UF")),
        ("status", json!(502)),
        ("route", json!("agents")),
        ("cluster", json!("agents-v2")),
        ("endpoint", json!("192.0.2.1:8080")),
        ("attempts", json!(3)),
        ("ttfb_ms", json!(3.0)),
        ("user_agent", json!("a2a-sdk/1.0")),
        ("tls", json!("TLSv1.3")),
        ("stream", json!(true)),
        ("upstream_status", json!(200)),
        ("grpc_status", json!(14)),
        ("upstream_error", json!("said \u{1b}\"")),
        ("proto", json!("HTTP/2")),
    ] {
        assert_eq!(value[key], expected, "{key}");
    }
    assert_eq!(
        text_of(&full, false),
        "18:30:01.123 502 POST agents.example.com/a2a 12.045ms 18446744073709551615B stream \
         -> agents-v2/192.0.2.1:8080 attempts=3 connect_failed upstream_error=\"said \\u001b\\\"\" 2001:db8::7 id-1\n"
    );
}

/// A record that has every field.
fn full(names: &RecordNames) -> AccessRecord<'_> {
    let trace = TraceContext::parse(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    AccessRecord {
        trace_id: Some(trace.trace_id()),
        span_id: Some(trace.span_id()),
        principal: Some("ann"),
        auth: Some("keys"),
        tenant: Some("north"),
        operation: Some("SendMessage"),
        agent: Some(AgentFacts {
            transport: "jsonrpc",
            version: "1.0",
            task: Some("task-1"),
            context: Some("context-1"),
            fault: Some("error"),
            code: Some(-32603),
            continued: 2,
            first_event: Some(Duration::from_millis(2)),
        }),
        reason: Some("connect_failed"),
        rule: Some("staff/read"),
        screened: Some("keys"),
        names: Some(names),
        endpoint: Some("192.0.2.1:8080"),
        upstream_status: Some(502),
        grpc_status: Some(14),
        upstream_error: Some("connection refused"),
        time_to_head: Some(Duration::from_millis(3)),
        user_agent: Some(b"sdk/1"),
        tls: Some(TlsVersion::V13),
        stream: true,
        ..record()
    }
}

#[test]
fn every_field_by_itself_is_as_it_is_among_all() {
    let names = RecordNames::new("agents", "agents-v2".into());
    let full = full(&names);
    let (line, all) = json_of(&full);
    let words: Vec<&str> = RecordField::ALL.iter().map(|field| field.word()).collect();
    let mut keys: Vec<&str> = all.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_by_key(|key| line.find(&format!("\"{key}\":")));
    assert_eq!(keys, words, "every field, in the order in which they are declared");
    for word in &words {
        let plans = plans(&format!("{{ fields: {word} }}"));
        let mut out = Vec::new();
        write_json_as(plans.of(0).unwrap(), &full, &mut Clock::default(), &mut out);
        let one: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(one, json!({ *word: all[word] }), "{word}");
        assert!(
            line.contains(String::from_utf8(out).unwrap().trim_end().trim_matches(['{', '}'])),
            "{word} is the same bytes"
        );
    }
    let (mut everything, mut nothing) = (Vec::new(), Vec::new());
    write_json_as(plans("{}").of(0).unwrap(), &full, &mut Clock::default(), &mut everything);
    assert_eq!(String::from_utf8(everything).unwrap(), line);
    write_json_as(plans("{ fields: task }").of(0).unwrap(), &record(), &mut Clock::default(), &mut nothing);
    assert_eq!(nothing, b"{}\n", "fields that have no value are left out");
}

#[test]
fn colour_only_when_asked() {
    assert!(!text_of(&record(), false).contains('\x1b'));
    for (status, color) in [(200, "\x1b[32m200\x1b[0m"), (404, "\x1b[33m404"), (503, "\x1b[31m503")] {
        let line = text_of(&AccessRecord { status, ..record() }, true);
        assert!(line.contains(color), "{line:?}");
    }
}

#[test]
fn query_values_are_masked() {
    for (path, expected) in [
        ("/a", "/a"),
        ("/a?", "/a?"),
        ("/a?k=v", "/a?k=*"),
        ("/a?k=v&token=s=e=c&x=", "/a?k=*&token=*&x=*"),
        ("/a?secret", "/a?*"),
        ("/a?a=1&&b=2&", "/a?a=*&&b=*&"),
        ("/a?b=?c=d", "/a?b=*"),
    ] {
        assert_eq!(json_of(&AccessRecord { path, ..record() }).1["path"], expected, "{path}");
    }
}

#[test]
fn a_long_user_agent_is_cut_without_breaking_the_line() {
    let long = "é".repeat(200);
    let odd = format!("x{long}");
    for agent in [&long, &odd] {
        let (_, value) = json_of(&AccessRecord { user_agent: Some(agent.as_bytes()), ..record() });
        let kept = value["user_agent"].as_str().unwrap();
        assert!(kept.trim_end_matches('\u{fffd}').len() <= USER_AGENT_BYTES, "{kept}");
        assert!(agent.starts_with(kept.trim_end_matches('\u{fffd}')), "{kept}");
    }
}

fn assert_one_clean_line(line: &str) -> Result<(), TestCaseError> {
    let inside = line.strip_suffix('\n').unwrap_or_default();
    let dirty = inside.chars().find(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}'));
    prop_assert_eq!(dirty, None, "{:?}", line);
    Ok(())
}

proptest! {
    #[test]
    fn any_text_comes_back_from_one_clean_line(
        id in any::<String>(), authority in any::<String>(), method in any::<String>(), path in "[^?]*",
        route in any::<String>(), agent in proptest::collection::vec(any::<u8>(), 0..USER_AGENT_BYTES),
    ) {
        let names = RecordNames::new(&route, authority.as_str().into());
        let record = AccessRecord {
            request_id: id.as_bytes(), authority: &authority, method: &method, path: &path, names: Some(&names),
            endpoint: Some(&id), user_agent: Some(&agent), ..record()
        };
        let (line, value) = json_of(&record);
        assert_one_clean_line(&line)?;
        prop_assert_eq!(&value["request_id"], &id);
        prop_assert_eq!(&value["authority"], &authority);
        prop_assert_eq!(&value["method"], &method);
        prop_assert_eq!(&value["path"], &path);
        prop_assert_eq!(&value["route"], &route);
        prop_assert_eq!(&value["user_agent"], &*String::from_utf8_lossy(&agent));
        assert_one_clean_line(&text_of(&record, false))?;
        let referrer = [NotedField { name: http::header::REFERER, value: agent.clone().into() }];
        let record = AccessRecord { principal: Some(&id), request_fields: &referrer, ..record };
        let plans = plans("{ requestHeaders: referer }");
        let plan = plans.of(0).unwrap();
        let (mut clock, mut common, mut combined, mut json) = (Clock::default(), Vec::new(), Vec::new(), Vec::new());
        write_common(&record, &mut clock, &mut common);
        write_combined(plan, &record, &mut clock, &mut combined);
        write_json_as(plan, &record, &mut clock, &mut json);
        prop_assert!(serde_json::from_slice::<Value>(&json).is_ok());
        for line in [common, combined, json] {
            assert_one_clean_line(&String::from_utf8(line).unwrap())?;
        }
    }

    #[test]
    fn a_duration_is_written_to_the_microsecond(micros in 0..u64::from(u32::MAX)) {
        let (line, _) = json_of(&AccessRecord { duration: Duration::from_micros(micros), ..record() });
        let expected = format!("\"duration_ms\":{}.{:03}}}", micros / 1000, micros % 1000);
        prop_assert!(line.contains(&expected), "{}", line);
    }
}
