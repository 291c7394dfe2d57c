//! The audit log: one line of JSON for each decision that refused or blocked somebody, or changed something. Who, what,
//! by which rule, and the names by which the line is found in the access log. Values of queries are masked and
//! credentials are not among its facts, so that it holds no secrets.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::live::WorkerLive;
use super::log::{Sink, Writer};
use super::outbox::Tray;
use super::record::{address, clean, masked_path, number, optional, string};
use super::span::Span;
use super::trace::TraceId;
use crate::config::model::{AuditKind, AuditLog};

/// A decision. Absent facts are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct AuditEvent<'a> {
    /// When, since the Unix epoch.
    pub time: Duration,
    /// What it is about.
    pub kind: AuditKind,
    /// What was decided.
    pub decision: AuditDecision,
    /// Why, in the reason word of the access log, or what was changed.
    pub reason: &'a str,
    /// The rule that decided.
    pub rule: Option<&'a str>,
    /// The request it is about.
    pub request: Option<AuditedRequest<'a>>,
    /// The client's address, or the network it is about.
    pub client: Option<AuditedClient>,
    /// Who did it, where that was no request: an operator, as far as it is known, or what made the gateway do it.
    pub by: Option<&'a str>,
    /// More, for people.
    pub detail: Option<&'a str>,
}

/// Whom a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditedClient {
    /// A client.
    Address(IpAddr),
    /// Clients of a network.
    Network(ipnet::IpNet),
}

/// The request a decision is about.
#[derive(Clone, Copy, Debug)]
pub struct AuditedRequest<'a> {
    /// Its `x-request-id`.
    pub id: &'a [u8],
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Who the client proved to be.
    pub principal: Option<&'a str>,
    /// The provider that says so.
    pub auth: Option<&'a str>,
    /// On whose behalf.
    pub tenant: Option<&'a str>,
    /// The listener it came in through.
    pub listener: Option<&'a str>,
    /// Its route.
    pub route: Option<&'a str>,
    /// What it asks of an agent.
    pub operation: Option<&'static str>,
    /// Method as received.
    pub method: &'a str,
    /// Host it asked for.
    pub authority: &'a str,
    /// Path and query as received.
    pub path: &'a str,
    /// Status the client got; `None` where it goes on.
    pub status: Option<u16>,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditDecision {
    /// A request was refused.
    Refused,
    /// It would have been refused, if the rule were enforced.
    Shadow,
    /// A client is blocked from now on.
    Blocked,
    /// Something was changed.
    Changed,
}

impl AuditDecision {
    fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Shadow => "shadow",
            Self::Blocked => "blocked",
            Self::Changed => "changed",
        }
    }
}

impl<'a> AuditEvent<'a> {
    /// An event of this moment without further facts.
    #[must_use]
    pub fn now(kind: AuditKind, decision: AuditDecision, reason: &'a str) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { time, kind, decision, reason, rule: None, request: None, client: None, by: None, detail: None }
    }

    fn write(&self, stamp: &[u8], out: &mut Vec<u8>) {
        clean(out, "{\"timestamp\":", stamp);
        clean(out, ",\"event\":", self.kind.word().as_bytes());
        clean(out, ",\"decision\":", self.decision.word().as_bytes());
        string(out, ",\"reason\":", self.reason.as_bytes());
        optional(out, ",\"rule\":", self.rule);
        match self.client {
            Some(AuditedClient::Address(client)) => {
                out.extend_from_slice(b",\"client_ip\":\"");
                address(out, client);
                out.push(b'"');
            }
            Some(AuditedClient::Network(network)) => clean(out, ",\"network\":", network.to_string().as_bytes()),
            None => {}
        }
        if let Some(request) = &self.request {
            request.write(out);
        }
        optional(out, ",\"by\":", self.by);
        optional(out, ",\"detail\":", self.detail.map(shortened));
        out.extend_from_slice(b"}\n");
    }
}

impl AuditedRequest<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        string(out, ",\"request_id\":", self.id);
        if let Some(trace_id) = self.trace_id {
            clean(out, ",\"trace_id\":", &trace_id.hex());
        }
        optional(out, ",\"principal\":", self.principal);
        optional(out, ",\"auth\":", self.auth);
        optional(out, ",\"tenant\":", self.tenant);
        optional(out, ",\"listener\":", self.listener);
        optional(out, ",\"route\":", self.route);
        optional(out, ",\"operation\":", self.operation);
        string(out, ",\"method\":", self.method.as_bytes());
        string(out, ",\"authority\":", self.authority.as_bytes());
        out.extend_from_slice(b",\"path\":\"");
        masked_path(out, self.path);
        out.push(b'"');
        if let Some(status) = self.status {
            number(out, ",\"status\":", status);
        }
    }
}

/// The beginning of what may be long.
fn shortened(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_DETAIL)).unwrap_or(text)
}

/// One worker's side of the logs and of tracing, as far as there are any.
#[derive(Debug, Default)]
pub struct Sinks {
    /// Of the access logs, by their position.
    pub access: Vec<Option<Sink>>,
    /// Of the audit log.
    pub audit: Option<AuditSink>,
    /// Of spans.
    pub spans: Option<Tray<Span>>,
    /// Of what operators look at.
    pub live: WorkerLive,
}

/// One thread's side of the audit log. Dropping it flushes.
#[derive(Debug)]
pub struct AuditSink(Sink);

impl AuditSink {
    /// A place for one thread to write to.
    #[must_use]
    pub fn of(log: &Writer) -> Self {
        Self(log.sink())
    }

    /// Writes one event, unless its kind is left out.
    pub fn tell(&self, settings: &AuditLog, event: &AuditEvent<'_>) {
        if !settings.exclude.contains(&event.kind) {
            self.0.append(|clock, out| event.write(clock.stamp(event.time), out));
        }
    }

    /// Hands over the collected lines.
    pub fn flush(&self) {
        self.0.flush();
    }
}

/// The audit log for what happens beside the traffic, which is rare. Absent, it writes nothing.
#[derive(Debug, Default)]
pub struct Auditor {
    sink: Option<Mutex<AuditSink>>,
}

impl Auditor {
    /// One that writes to `log`, if there is one.
    #[must_use]
    pub fn new(log: Option<&Writer>) -> Self {
        Self { sink: log.map(|log| Mutex::new(AuditSink::of(log))) }
    }

    /// Writes one event at once, unless its kind is left out.
    pub fn tell(&self, settings: &AuditLog, event: &AuditEvent<'_>) {
        if let Some(sink) = &self.sink {
            let sink = sink.lock().unwrap_or_else(PoisonError::into_inner);
            sink.tell(settings, event);
            sink.flush();
        }
    }
}

/// Bytes of a detail that are written.
const MAX_DETAIL: usize = 2048;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(event: &AuditEvent<'_>) -> Value {
        let mut out = Vec::new();
        event.write(b"2026-12-01T02:00:00.000Z", &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    #[test]
    fn a_refusal_says_who_what_and_by_which_rule_and_no_secret() {
        let request = AuditedRequest {
            id: b"7f",
            trace_id: None,
            principal: Some("ann\"\n"),
            auth: Some("keys"),
            tenant: None,
            listener: Some("https"),
            route: Some("research"),
            operation: Some("SendMessage"),
            method: "POST",
            authority: "agents.example.com",
            path: "/a2a?token=secret",
            status: Some(403),
        };
        let event = AuditEvent {
            rule: Some("research.0"),
            request: Some(request),
            client: Some(AuditedClient::Address([192, 0, 2, 1].into())),
            ..AuditEvent::now(AuditKind::Authorization, AuditDecision::Refused, "denied")
        };
        let expected = json!({
            "timestamp": "2026-12-01T02:00:00.000Z", "event": "authorization", "decision": "refused",
            "reason": "denied", "rule": "research.0", "client_ip": "192.0.2.1", "request_id": "7f",
            "principal": "ann\"\n", "auth": "keys", "listener": "https", "route": "research",
            "operation": "SendMessage", "method": "POST", "authority": "agents.example.com",
            "path": "/a2a?token=*", "status": 403,
        });
        assert_eq!(written(&event), expected);
    }

    #[test]
    fn what_operators_write_is_escaped_and_cut() {
        let detail = "\u{202e}x\n".repeat(10_000);
        let event = AuditEvent {
            by: Some("ann\nbob"),
            client: Some(AuditedClient::Network("10.0.0.0/8".parse().unwrap())),
            detail: Some(&detail),
            ..AuditEvent::now(AuditKind::Operator, AuditDecision::Changed, "block")
        };
        let event = written(&event);
        assert_eq!((&event["by"], &event["network"]), (&json!("ann\nbob"), &json!("10.0.0.0/8")));
        assert!(event["detail"].as_str().is_some_and(|detail| (1..=MAX_DETAIL).contains(&detail.len())));
    }
}
