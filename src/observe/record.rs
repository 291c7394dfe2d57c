//! One line of the access log: the facts of a finished exchange, and how they are written. Written by hand because it
//! happens for every request: one pass over each value, no allocation, no formatting machinery.

mod names;

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

use http::Version;

use super::clock::Clock;
use super::mask::mask_path;
use super::trace::{SpanId, TraceId};
use crate::config::model::TlsVersion;
use crate::visible::{is_hidden, write_out};

pub use names::RecordNames;

/// A finished exchange. Absent facts are left out of the line.
#[derive(Clone, Copy, Debug)]
pub struct AccessRecord<'a> {
    /// When its head had arrived, since the Unix epoch.
    pub time: Duration,
    /// Its `x-request-id`.
    pub request_id: &'a [u8],
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// Its span, where that is exported.
    pub span_id: Option<SpanId>,
    /// The client, as forwarding headers of trusted proxies say.
    pub client_ip: IpAddr,
    /// Who the client proved to be.
    pub principal: Option<&'a str>,
    /// The provider that knows it.
    pub auth: Option<&'a str>,
    /// On whose behalf.
    pub tenant: Option<&'a str>,
    /// What it asks of an agent.
    pub operation: Option<&'static str>,
    /// What is known of it as a call of an agent.
    pub agent: Option<AgentFacts<'a>>,
    /// Method as received.
    pub method: &'a str,
    /// Host it asked for.
    pub authority: &'a str,
    /// Path and query as received. Values of the query are masked when written: `?page=*&token=*`.
    pub path: &'a str,
    /// HTTP version of the client.
    pub proto: Version,
    /// Status the client saw, or would have seen.
    pub status: u16,
    /// Envoy's response flag, `-` if none.
    pub flags: &'static str,
    /// Reason word of the gateway's own answer, or why an answer was passed on that should have been tried again
    /// (`URX`).
    pub reason: Option<&'static str>,
    /// The rule that decided whether the client may do this; `-` where none was about it.
    pub rule: Option<&'a str>,
    /// The pattern that was found in the request.
    pub screened: Option<&'a str>,
    /// Names of the route and the cluster.
    pub names: Option<&'a RecordNames>,
    /// Endpoint that answered, or was tried last.
    pub endpoint: Option<&'a str>,
    /// Times an endpoint was tried.
    pub attempts: u32,
    /// Body bytes from the client.
    pub bytes_received: u64,
    /// Body bytes to the client.
    pub bytes_sent: u64,
    /// From the request head to the end.
    pub duration: Duration,
    /// From the request head to the response head.
    pub time_to_head: Option<Duration>,
    /// The client's `User-Agent`; at most 256 bytes are written.
    pub user_agent: Option<&'a [u8]>,
    /// TLS version of the client's connection.
    pub tls: Option<TlsVersion>,
    /// Whether it was an event stream, a gRPC stream or an upgraded connection.
    pub stream: bool,
    /// Status of the endpoint, where there was one.
    pub upstream_status: Option<u16>,
    /// The gRPC status the call ended with.
    pub grpc_status: Option<u8>,
    /// The cause of the last failed try.
    pub upstream_error: Option<&'a str>,
}

impl AccessRecord<'_> {
    /// Whether something went wrong: the gateway or an agent failed, or the request was refused or cut.
    #[must_use]
    pub fn is_error(&self) -> bool {
        went_wrong(self.reason, self.status, self.agent.is_some_and(|agent| agent.fault.is_some()))
    }
}

/// Whether an exchange that ended so is an error: for this reason word, with this status, and with or without a fault
/// inside the answer of an agent.
#[must_use]
pub fn went_wrong(reason: Option<&str>, status: u16, has_fault: bool) -> bool {
    reason.is_some() || status >= 500 || has_fault
}

/// A call of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentFacts<'a> {
    /// `jsonrpc`, `rest` or `grpc`.
    pub transport: &'static str,
    /// The generation of the wire: `0.1`, `0.3` or `1.0`.
    pub version: &'static str,
    /// The task it is about, or that it began.
    pub task: Option<&'a str>,
    /// The context that the client named.
    pub context: Option<&'a str>,
    /// How it failed inside its answer: `error`, `internal`, `unreadable` or `truncated`.
    pub fault: Option<&'static str>,
    /// The code of the agent's error.
    pub code: Option<i32>,
    /// How often its stream was continued; events may be missing in between.
    pub continued: u32,
    /// From the request head to the first event of its stream.
    pub first_event: Option<Duration>,
}

/// Appends `record` to `out` as one JSON object and a newline.
pub fn write_json(record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(clock.stamp(record.time));
    out.push(b'"');
    string(out, ",\"request_id\":", record.request_id);
    if let Some(trace_id) = record.trace_id {
        clean(out, ",\"trace_id\":", &trace_id.hex());
    }
    if let Some(span_id) = record.span_id {
        clean(out, ",\"span_id\":", &span_id.hex());
    }
    out.extend_from_slice(b",\"client_ip\":\"");
    address(out, record.client_ip);
    out.push(b'"');
    optional(out, ",\"principal\":", record.principal);
    optional(out, ",\"auth\":", record.auth);
    optional(out, ",\"tenant\":", record.tenant);
    optional(out, ",\"operation\":", record.operation);
    if let Some(agent) = &record.agent {
        agent_facts(out, agent);
    }
    string(out, ",\"method\":", record.method.as_bytes());
    string(out, ",\"authority\":", record.authority.as_bytes());
    out.extend_from_slice(b",\"path\":\"");
    masked_path(out, record.path);
    out.push(b'"');
    clean(out, ",\"proto\":", protocol(record.proto).as_bytes());
    number(out, ",\"status\":", record.status);
    clean(out, ",\"flags\":", record.flags.as_bytes());
    optional(out, ",\"reason\":", record.reason);
    optional(out, ",\"rule\":", record.rule);
    optional(out, ",\"screened\":", record.screened);
    out.extend_from_slice(record.names.map_or(b"", RecordNames::json));
    optional(out, ",\"endpoint\":", record.endpoint);
    number(out, ",\"attempts\":", record.attempts);
    if let Some(status) = record.upstream_status {
        number(out, ",\"upstream_status\":", status);
    }
    if let Some(status) = record.grpc_status {
        number(out, ",\"grpc_status\":", status);
    }
    optional(out, ",\"upstream_error\":", record.upstream_error);
    number(out, ",\"bytes_received\":", record.bytes_received);
    number(out, ",\"bytes_sent\":", record.bytes_sent);
    out.extend_from_slice(b",\"duration_ms\":");
    milliseconds(out, record.duration);
    if let Some(time_to_head) = record.time_to_head {
        out.extend_from_slice(b",\"ttfb_ms\":");
        milliseconds(out, time_to_head);
    }
    if let Some(user_agent) = record.user_agent {
        string(out, ",\"user_agent\":", shortened(user_agent));
    }
    if let Some(version) = record.tls {
        clean(out, ",\"tls\":", tls_version(version).as_bytes());
    }
    if record.stream {
        out.extend_from_slice(b",\"stream\":true");
    }
    out.extend_from_slice(b"}\n");
}

/// Appends `record` to `out` as one line for people, with colour if asked.
pub fn write_text(record: &AccessRecord<'_>, clock: &mut Clock, color: bool, out: &mut Vec<u8>) {
    let (paint, dim, plain) = if color { (status_color(record.status), "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let time_of_day = clock.stamp(record.time).get(11..23).unwrap_or_default();
    words(out, &[dim.as_bytes(), time_of_day, plain.as_bytes(), b" ", paint.as_bytes()]);
    out.extend_from_slice(itoa::Buffer::new().format(record.status).as_bytes());
    words(out, &[plain.as_bytes(), b" "]);
    escape(out, record.method.as_bytes());
    out.push(b' ');
    escape(out, record.authority.as_bytes());
    masked_path(out, record.path);
    out.push(b' ');
    milliseconds(out, record.duration);
    out.extend_from_slice(b"ms ");
    out.extend_from_slice(itoa::Buffer::new().format(record.bytes_sent).as_bytes());
    out.push(b'B');
    if record.stream {
        out.extend_from_slice(b" stream");
    }
    if let Some(endpoint) = record.endpoint {
        out.extend_from_slice(b" -> ");
        escape(out, record.names.map_or("", RecordNames::cluster).as_bytes());
        out.push(b'/');
        escape(out, endpoint.as_bytes());
    }
    if record.attempts > 1 {
        number(out, " attempts=", record.attempts);
    }
    if let Some(reason) = record.reason {
        words(out, &[b" ", paint.as_bytes(), reason.as_bytes(), plain.as_bytes()]);
    }
    if let Some(error) = record.upstream_error {
        string(out, " upstream_error=", error.as_bytes());
    }
    words(out, &[b" ", dim.as_bytes()]);
    address(out, record.client_ip);
    out.push(b' ');
    escape(out, record.request_id);
    words(out, &[plain.as_bytes(), b"\n"]);
}

fn agent_facts(out: &mut Vec<u8>, agent: &AgentFacts<'_>) {
    clean(out, ",\"a2a_transport\":", agent.transport.as_bytes());
    clean(out, ",\"a2a_version\":", agent.version.as_bytes());
    optional(out, ",\"task\":", agent.task);
    optional(out, ",\"context\":", agent.context);
    optional(out, ",\"a2a_outcome\":", agent.fault);
    if let Some(code) = agent.code {
        number(out, ",\"a2a_error\":", code);
    }
    if agent.continued > 0 {
        number(out, ",\"a2a_continued\":", agent.continued);
    }
    if let Some(time) = agent.first_event {
        out.extend_from_slice(b",\"first_event_ms\":");
        milliseconds(out, time);
    }
}

fn words(out: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

pub(super) fn string(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    escape(out, value);
    out.push(b'"');
}

/// A value that holds nothing to escape: ours, or one that HTTP allows no such bytes in.
pub(super) fn clean(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    out.extend_from_slice(key.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value);
    out.push(b'"');
}

pub(super) fn optional(out: &mut Vec<u8>, key: &str, value: Option<&str>) {
    if let Some(value) = value {
        string(out, key, value.as_bytes());
    }
}

pub(super) fn number(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Milliseconds with three decimals.
fn milliseconds(out: &mut Vec<u8>, duration: Duration) {
    let whole = duration.as_secs().saturating_mul(1000).saturating_add(u64::from(duration.subsec_millis()));
    number(out, "", whole);
    let rest = duration.subsec_micros() % 1000;
    let digit = |place: u32| b'0' + u8::try_from(rest / place % 10).unwrap_or(0);
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

/// IPv4 by hand: the standard formatting costs as much as half a line.
pub(super) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                if octet >= 100 {
                    out.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector cannot fail.
            drop(write!(out, "{address}"));
        }
    }
}

/// The path with every query value replaced by `*`.
pub(super) fn masked_path(out: &mut Vec<u8>, path: &str) {
    mask_path(path, |piece| escape(out, piece.as_bytes()));
}

/// A user agent is as long as its sender likes; a cut in the middle of a character is repaired by `escape`.
#[must_use]
pub fn shortened(user_agent: &[u8]) -> &[u8] {
    user_agent.get(..USER_AGENT_BYTES).unwrap_or(user_agent)
}

/// Appends `text` as the inside of a JSON string. Characters that end a line, steer a terminal or turn text are
/// escaped; bytes that are not UTF-8 become U+FFFD.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    if is_clean(text) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            escape_character(out, character);
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

/// Whether nothing in it is to be escaped, as in nearly every value. Looks at eight bytes at once; the last eight may
/// overlap those before.
fn is_clean(text: &[u8]) -> bool {
    let (words, _) = text.as_chunks::<8>();
    match (text.last_chunk::<8>(), text.first_chunk::<4>(), text.last_chunk::<4>()) {
        (Some(last), ..) => words.iter().fold(0, |found, word| found | unclean(*word)) | unclean(*last) == 0,
        (None, Some(first), Some(last)) => {
            let [a, b, c, d] = *first;
            let [e, f, g, h] = *last;
            unclean([a, b, c, d, e, f, g, h]) == 0
        }
        (None, ..) => text.iter().all(|byte| unclean([*byte; 8]) == 0),
    }
}

/// Not zero where one of the bytes is a quote, a backslash, a control character or not ASCII.
fn unclean(bytes: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(bytes);
    // Takes one from each byte, or adds one: where that changes its highest bit, the byte was too small, or too large.
    // A borrow or a carry can only come from a byte that is found anyway.
    let below = |limit: u8, word: u64| word.wrapping_sub(repeated(limit)) & !word;
    let control = below(b' ', word);
    let quote = below(1, word ^ repeated(b'"'));
    let backslash = below(1, word ^ repeated(b'\\'));
    let above = word.wrapping_add(repeated(1)) | word;
    (control | quote | backslash | above) & repeated(0x80)
}

const fn repeated(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

fn escape_character(out: &mut Vec<u8>, character: char) {
    match character {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        hidden if is_hidden(hidden) => {
            let mut text = String::new();
            write_out(&mut text, hidden);
            out.extend_from_slice(text.as_bytes());
        }
        plain => out.extend_from_slice(plain.encode_utf8(&mut [0; 4]).as_bytes()),
    }
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

fn status_color(status: u16) -> &'static str {
    match status {
        0..400 => "\x1b[32m",
        400..500 => "\x1b[33m",
        _ => "\x1b[31m",
    }
}

/// Bytes of a user agent that are written.
const USER_AGENT_BYTES: usize = 256;

#[cfg(test)]
pub(super) mod tests;
