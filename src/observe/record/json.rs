//! A record as one JSON object.

use http::{HeaderName, Version};

use super::text::{address, clean, masked_path, milliseconds, number, optional, shortened, string};
use super::{AccessRecord, AgentFacts, NotedField, RecordNames, RecordPlan};
use crate::config::model::{RecordField as Field, TlsVersion};
use crate::observe::clock::Clock;

/// Appends `record` to `out` as one JSON object with every field that has a value, and a newline.
pub fn write_json(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    let start = out.len();
    every_member(record, clock, out);
    close(start, out);
}

/// The same with the fields that `plan` wants.
pub fn write_json_as(plan: &RecordPlan, record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    let start = out.len();
    match plan.fields() {
        None => every_member(record, clock, out),
        Some(fields) => fields.iter().for_each(|field| member(*field, record, clock, out)),
    }
    noted(out, ",\"request_headers\":", plan.request_headers(), record.request_fields, plan);
    noted(out, ",\"response_headers\":", plan.response_headers(), record.response_fields, plan);
    close(start, out);
}

/// Ends an object whose members each began with a comma.
fn close(start: usize, out: &mut Vec<u8>) {
    match out.get_mut(start) {
        Some(first) => *first = b'{',
        None => out.push(b'{'),
    }
    out.extend_from_slice(b"}\n");
}

/// Every field. Each call is made for its field, so that nothing is looked up for the record of every request.
fn every_member(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    macro_rules! members {
        ($($field:ident),+ $(,)?) => {
            $(member(Field::$field, record, clock, out);)+
        };
    }
    members!(
        Timestamp, RequestId, TraceId, SpanId, ClientIp, Principal, Auth, Tenant, Operation, A2aTransport, A2aVersion,
        Task, Context, A2aOutcome, A2aError, A2aContinued, FirstEventMs, Method, Authority, Path, Proto, Status, Flags,
        Reason, Rule, Screened, Route, Cluster, Endpoint, Attempts, UpstreamStatus, GrpcStatus, UpstreamError,
        BytesReceived, BytesSent, DurationMs, TtfbMs, UserAgent, Tls, Stream,
    );
}

/// One field with its value, if it has one.
#[inline(always)]
fn member(field: Field, record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    match field {
        Field::Timestamp => clean(out, ",\"timestamp\":", clock.stamp(record.time)),
        Field::RequestId => string(out, ",\"request_id\":", record.request_id),
        Field::TraceId => known(record.trace_id, |id| clean(out, ",\"trace_id\":", &id.hex())),
        Field::SpanId => known(record.span_id, |id| clean(out, ",\"span_id\":", &id.hex())),
        Field::ClientIp => {
            out.extend_from_slice(b",\"client_ip\":\"");
            address(out, record.client_ip);
            out.push(b'"');
        }
        Field::Principal => optional(out, ",\"principal\":", record.principal),
        Field::Auth => optional(out, ",\"auth\":", record.auth),
        Field::Tenant => optional(out, ",\"tenant\":", record.tenant),
        Field::Operation => optional(out, ",\"operation\":", record.operation),
        Field::A2aTransport
        | Field::A2aVersion
        | Field::Task
        | Field::Context
        | Field::A2aOutcome
        | Field::A2aError
        | Field::A2aContinued
        | Field::FirstEventMs => known(record.agent.as_ref(), |agent| of_agent(field, agent, out)),
        Field::Method => string(out, ",\"method\":", record.method.as_bytes()),
        Field::Authority => string(out, ",\"authority\":", record.authority.as_bytes()),
        Field::Path => {
            out.extend_from_slice(b",\"path\":\"");
            masked_path(out, record.path);
            out.push(b'"');
        }
        Field::Proto => clean(out, ",\"proto\":", protocol(record.proto).as_bytes()),
        Field::Status => number(out, ",\"status\":", record.status),
        Field::Flags => clean(out, ",\"flags\":", record.flags.as_bytes()),
        Field::Reason => optional(out, ",\"reason\":", record.reason),
        Field::Rule => optional(out, ",\"rule\":", record.rule),
        Field::Screened => optional(out, ",\"screened\":", record.screened),
        Field::Route => out.extend_from_slice(record.names.map_or(b"", RecordNames::route_in_json)),
        Field::Cluster => out.extend_from_slice(record.names.map_or(b"", RecordNames::cluster_in_json)),
        Field::Endpoint => optional(out, ",\"endpoint\":", record.endpoint),
        Field::Attempts => number(out, ",\"attempts\":", record.attempts),
        Field::UpstreamStatus => known(record.upstream_status, |status| number(out, ",\"upstream_status\":", status)),
        Field::GrpcStatus => known(record.grpc_status, |status| number(out, ",\"grpc_status\":", status)),
        Field::UpstreamError => optional(out, ",\"upstream_error\":", record.upstream_error),
        Field::BytesReceived => number(out, ",\"bytes_received\":", record.bytes_received),
        Field::BytesSent => number(out, ",\"bytes_sent\":", record.bytes_sent),
        Field::DurationMs => milliseconds(out, ",\"duration_ms\":", record.duration),
        Field::TtfbMs => known(record.time_to_head, |time| milliseconds(out, ",\"ttfb_ms\":", time)),
        Field::UserAgent => known(record.user_agent, |agent| string(out, ",\"user_agent\":", shortened(agent))),
        Field::Tls => known(record.tls, |version| clean(out, ",\"tls\":", tls_version(version).as_bytes())),
        Field::Stream if record.stream => out.extend_from_slice(b",\"stream\":true"),
        Field::Stream => {}
    }
}

/// One of the fields that only calls of agents have.
#[inline(always)]
fn of_agent(field: Field, agent: &AgentFacts<'_>, out: &mut Vec<u8>) {
    match field {
        Field::A2aTransport => clean(out, ",\"a2a_transport\":", agent.transport.as_bytes()),
        Field::A2aVersion => clean(out, ",\"a2a_version\":", agent.version.as_bytes()),
        Field::Task => optional(out, ",\"task\":", agent.task),
        Field::Context => optional(out, ",\"context\":", agent.context),
        Field::A2aOutcome => optional(out, ",\"a2a_outcome\":", agent.fault),
        Field::A2aError => known(agent.code, |code| number(out, ",\"a2a_error\":", code)),
        Field::A2aContinued if agent.continued > 0 => number(out, ",\"a2a_continued\":", agent.continued),
        Field::FirstEventMs => known(agent.first_event, |time| milliseconds(out, ",\"first_event_ms\":", time)),
        _ => {}
    }
}

fn known<T>(value: Option<T>, write: impl FnOnce(T)) {
    if let Some(value) = value {
        write(value);
    }
}

/// Header fields by their names, those that were there.
fn noted(out: &mut Vec<u8>, key: &str, wanted: &[HeaderName], noted: &[NotedField], plan: &RecordPlan) {
    let mut found = noted.iter().filter(|field| wanted.contains(&field.name)).peekable();
    if found.peek().is_none() {
        return;
    }
    out.extend_from_slice(key.as_bytes());
    let mut before = b'{';
    for field in found {
        out.push(before);
        before = b',';
        out.push(b'"');
        out.extend_from_slice(field.name.as_str().as_bytes());
        out.extend_from_slice(b"\":\"");
        plan.write_value(field, out);
        out.push(b'"');
    }
    out.push(b'}');
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}

fn tls_version(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    }
}
