//! `accessLog`: which exchanges are written down, how, and where to.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::health::Statuses;
use super::operation::ExactPath;
use super::retries::FieldName;
use super::tracing::Otlp;
use super::{Limit, Many, OrOff, Percentage, choice, section, text_value};
use crate::config::de::with_hint;
use crate::config::suggest;

section! {
    #[derive()]
    /// The access log: one line for each finished exchange.
    pub(in crate::config) struct AccessLog {
        /// `stdout`, `stderr`, `off`, the path of a file, relative to this one, which `USR1` opens again, `syslog`,
        /// `syslog:/run/log`, `syslog:udp://HOST:514`, `syslog:tcp://HOST:601`, or `otlp`.
        output: Option<LogOutput> as OrOff<LogOutput> = stdout; restart,
        /// `auto` is text on a terminal and JSON elsewhere. Over OTLP every record is JSON.
        format: RecordFormat = json; restart,
        /// The collector, with `output: otlp`.
        otlp: Option<Otlp>,
        /// Fields of a JSON record, in this order. Default: all.
        fields: Option<Vec<RecordField>> as Many<RecordField>,
        /// Header fields of requests that a JSON record has besides.
        request_headers: Vec<HeaderName> as Many<FieldName> = [],
        /// Header fields of answers that a JSON record has besides.
        response_headers: Vec<HeaderName> as Many<FieldName> = [],
        /// Header fields of which a record says no more than that they were there, as `*`, besides `authorization`,
        /// `proxy-authorization`, `cookie`, `set-cookie` and `x-api-key`.
        redact_headers: Vec<HeaderName> as Many<FieldName> = [],
        /// Facts that are written as `*`, and of an address the network alone.
        redact: Vec<Redacted> as Many<Redacted> = [],
        /// Share of the exchanges that are written.
        sample: RecordSample = {},
        /// Which exchanges are written at all.
        only: RecordFilter = {},
        /// Exact paths that are not written.
        exclude: Vec<String> as Many<ExactPath> = [],
    }

    #[derive(PartialEq, Eq)]
    /// Share of the exchanges that are written, by how they ended.
    pub struct RecordSample {
        /// Of those that went well.
        success: Percentage = "100%",
        /// Of those with a reason word, a status of 400 or more, a gRPC status that is not 0, or an agent's failure
        /// inside its answer.
        error: Percentage = "100%",
        /// Those that took so long are written whatever the shares are.
        slow: Option<Duration> as OrOff<Limit> = off,
    }

    #[derive(PartialEq, Eq)]
    /// Which exchanges are written: all of these must hold.
    pub(in crate::config) struct RecordFilter {
        /// Those with one of these statuses: single ones or ranges. Default: any.
        statuses: Vec<RangeInclusive<u16>> as Many<Statuses>; empty,
        /// Those that took at least so long. Default: however long.
        min_duration: Option<Duration> as Limit,
        /// Those of these routes. Default: of all, and of none.
        routes: Vec<String> as Many<String>; empty,
    }
}

choice! {
    /// Format of an access log.
    pub enum RecordFormat {
        /// One JSON object per line.
        Json = ["json"],
        /// Text for people.
        Text = ["text"],
        /// Common Log Format, as NCSA's and Apache's servers write it.
        Common = ["common", "clf"],
        /// The same with the referring page and the client's program.
        Combined = ["combined", "ncsa"],
        /// Text on a terminal, JSON elsewhere.
        Auto = ["auto"],
    }

    /// A fact that can be hidden.
    pub enum Redacted {
        /// The client's address: what is left is its network, /24 of IPv4 and /48 of IPv6.
        ClientIp = ["client_ip"],
        /// Who the client proved to be.
        Principal = ["principal"],
        /// On whose behalf it acts.
        Tenant = ["tenant"],
        /// The task.
        Task = ["task"],
        /// The context.
        Context = ["context"],
        /// The host.
        Authority = ["authority"],
        /// The path.
        Path = ["path"],
        /// The client's program.
        UserAgent = ["user_agent"],
    }

    /// A field of a record; docs/access-log.md says what each means.
    pub enum RecordField {
        /// When the head had arrived.
        Timestamp = ["timestamp"],
        /// `x-request-id`.
        RequestId = ["request_id"],
        /// The trace.
        TraceId = ["trace_id"],
        /// The exported span.
        SpanId = ["span_id"],
        /// The client's address.
        ClientIp = ["client_ip"],
        /// Who it proved to be.
        Principal = ["principal"],
        /// Which provider knows it.
        Auth = ["auth"],
        /// On whose behalf.
        Tenant = ["tenant"],
        /// What is asked of an agent.
        Operation = ["operation"],
        /// How that is carried.
        A2aTransport = ["a2a_transport"],
        /// The generation.
        A2aVersion = ["a2a_version"],
        /// The task.
        Task = ["task"],
        /// The context.
        Context = ["context"],
        /// How it failed inside the answer.
        A2aOutcome = ["a2a_outcome"],
        /// The code of the agent's error.
        A2aError = ["a2a_error"],
        /// How often its stream was continued.
        A2aContinued = ["a2a_continued"],
        /// Time to the first event.
        FirstEventMs = ["first_event_ms"],
        /// The method.
        Method = ["method"],
        /// The host.
        Authority = ["authority"],
        /// Path and query.
        Path = ["path"],
        /// The HTTP version.
        Proto = ["proto"],
        /// The status.
        Status = ["status"],
        /// Response flags.
        Flags = ["flags"],
        /// The reason word.
        Reason = ["reason"],
        /// The rule that decided.
        Rule = ["rule"],
        /// The pattern that was found.
        Screened = ["screened"],
        /// The route.
        Route = ["route"],
        /// The cluster.
        Cluster = ["cluster"],
        /// The endpoint.
        Endpoint = ["endpoint"],
        /// Tries.
        Attempts = ["attempts"],
        /// The endpoint's status.
        UpstreamStatus = ["upstream_status"],
        /// The status of gRPC.
        GrpcStatus = ["grpc_status"],
        /// The cause of a failed try.
        UpstreamError = ["upstream_error"],
        /// Bytes from the client.
        BytesReceived = ["bytes_received"],
        /// Bytes to the client.
        BytesSent = ["bytes_sent"],
        /// From the head to the end.
        DurationMs = ["duration_ms"],
        /// From the head to the answer's head.
        TtfbMs = ["ttfb_ms"],
        /// The client's program.
        UserAgent = ["user_agent"],
        /// The TLS version.
        Tls = ["tls"],
        /// Whether it was a stream.
        Stream = ["stream"],
    }
}

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
    /// A server of syslog (RFC 5424).
    Syslog(SyslogServer),
    /// A collector.
    Otlp,
}

/// Where a server of syslog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogServer {
    /// A socket for datagrams.
    Local(PathBuf),
    /// A port for datagrams, at a name or an address.
    Udp(Box<str>),
    /// A port for connections (RFC 6587), at a name or an address.
    Tcp(Box<str>),
}

text_value!(LogOutput, log_output, "`stdout`, `stderr`, `off`, `syslog`, `otlp` or the path of a file", {
    "type": "string"
});

fn log_output(text: &str) -> Result<LogOutput, String> {
    match text {
        "stdout" => Ok(LogOutput::Stdout),
        "stderr" => Ok(LogOutput::Stderr),
        "otlp" => Ok(LogOutput::Otlp),
        "syslog" => Ok(LogOutput::Syslog(SyslogServer::Local(LOCAL_SYSLOG.into()))),
        server if server.starts_with("syslog:") => syslog(server).map(LogOutput::Syslog),
        path if path.contains(['/', '.']) => Ok(LogOutput::File(path.into())),
        word => Err(with_hint(
            format!("`{word}` is not an output"),
            suggest::closest(word, ["stdout", "stderr", "off", "syslog", "otlp"])
                .map_or_else(|| format!("write `./{word}` for a file"), |word| format!("did you mean `{word}`?")),
        )),
    }
}

fn syslog(text: &str) -> Result<SyslogServer, String> {
    let place = text.trim_start_matches("syslog:");
    let wrong = || {
        let hint = "write `syslog:udp://logs.example.com:514`, `syslog:tcp://10.0.0.5:601` or `syslog:/run/log`";
        with_hint(format!("`{text}` is not a server of syslog"), hint)
    };
    let is_port = |place: &str| {
        let parts = place.rsplit_once(':');
        place.parse::<SocketAddr>().is_ok()
            || parts.is_some_and(|(host, port)| {
                !host.is_empty() && !host.contains(['/', ':', ' ']) && port.parse::<u16>().is_ok_and(|port| port > 0)
            })
    };
    match place.split_once("://") {
        Some(("udp", place)) if is_port(place) => Ok(SyslogServer::Udp(place.into())),
        Some(("tcp", place)) if is_port(place) => Ok(SyslogServer::Tcp(place.into())),
        // The kernel's limit, with its final zero.
        None if place.starts_with('/') && place.len() < 108 => Ok(SyslogServer::Local(place.into())),
        _ => Err(wrong()),
    }
}

/// Where the server of syslog of a machine listens.
const LOCAL_SYSLOG: &str = "/dev/log";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs() {
        for (text, expected) in [
            ("stdout", Ok(LogOutput::Stdout)),
            ("logs/access.log", Ok(LogOutput::File("logs/access.log".into()))),
            ("otlp", Ok(LogOutput::Otlp)),
            ("syslog", Ok(LogOutput::Syslog(SyslogServer::Local("/dev/log".into())))),
            ("syslog:/run/log", Ok(LogOutput::Syslog(SyslogServer::Local("/run/log".into())))),
            ("syslog:udp://logs:514", Ok(LogOutput::Syslog(SyslogServer::Udp("logs:514".into())))),
            ("syslog:tcp://[::1]:601", Ok(LogOutput::Syslog(SyslogServer::Tcp("[::1]:601".into())))),
            ("syslog:tcp://logs", Err("is not a server of syslog")),
            ("syslog:tls://logs:6514", Err("is not a server of syslog")),
            ("syslog:udp://logs:0", Err("is not a server of syslog")),
            ("syslog:log", Err("is not a server of syslog")),
            ("stdot", Err("`stdot` is not an output")),
        ] {
            match (log_output(text), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }
}
