//! Requests whose head the parser refused: hyper answered by itself, so there was no exchange. Each still gets one
//! record, with as much as can be read of its first line.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::uri::Uri;
use http::{Method, StatusCode, Version};

use super::Worker;
use super::facts::without_userinfo;
use crate::context::{Connection, PLAIN_ON_TLS, TLS_ON_CLEARTEXT};
use crate::observe::record::AccessRecord;

/// The refused request, and the reason word.
#[derive(Debug, PartialEq, Eq)]
struct Unparsed<'a> {
    method: &'a str,
    authority: &'a str,
    path: &'a str,
    version: Version,
    reason: &'static str,
}

/// Writes the record of a head that hyper refused with `status` on `connection`, and says the word for why.
pub fn unparsed(worker: &Worker, connection: &Connection, status: StatusCode) -> &'static str {
    let line = connection.refused.take().unwrap_or_default();
    let line = String::from_utf8_lossy(&line);
    let mut known = Unparsed::of(&line, status);
    if connection.plain_on_tls.get() {
        known.reason = PLAIN_ON_TLS;
    }
    if worker.has_access_log() {
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let record = AccessRecord {
            time: time.unwrap_or_default(),
            request_id: b"-",
            trace_id: None,
            span_id: None,
            client_ip: connection.peer_ip(),
            principal: None,
            auth: None,
            tenant: None,
            operation: None,
            agent: None,
            method: known.method,
            authority: known.authority,
            path: known.path,
            proto: known.version,
            status: status.as_u16(),
            flags: "DPE",
            reason: Some(known.reason),
            rule: None,
            screened: None,
            names: None,
            endpoint: None,
            attempts: 0,
            bytes_received: 0,
            bytes_sent: 0,
            duration: Duration::ZERO,
            time_to_head: None,
            user_agent: None,
            tls: connection.tls.as_ref().map(|tls| tls.version),
            stream: false,
            upstream_status: None,
            grpc_status: None,
            upstream_error: None,
            request_fields: &[],
            response_fields: &[],
        };
        worker.write_down(&record, known.path);
    }
    known.reason
}

impl<'a> Unparsed<'a> {
    fn of(line: &'a str, status: StatusCode) -> Self {
        let mut known = Self {
            method: "-",
            authority: "-",
            path: "-",
            version: Version::HTTP_11,
            reason: match status {
                StatusCode::URI_TOO_LONG => "target_too_long",
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "head_too_large",
                _ if line.starts_with("\u{16}\u{3}") => TLS_ON_CLEARTEXT,
                _ => "not_http",
            },
        };
        let Some((method, rest)) = line.split_once(' ') else {
            return known;
        };
        // Bytes that do not begin as a request may be anything, even a password.
        let first = rest.split(' ').next().unwrap_or_default();
        if !first.starts_with('/') && !first.contains("://") && first != "*"
            || Method::from_bytes(method.as_bytes()).is_err()
        {
            return known;
        }
        let target = match rest.rsplit_once(' ') {
            Some((target, version)) if version.starts_with("HTTP/") => {
                match version {
                    "HTTP/1.0" => known.version = Version::HTTP_10,
                    "HTTP/2.0" => known.version = Version::HTTP_2,
                    _ => {}
                }
                target
            }
            _ => rest,
        };
        known.method = method;
        let target = target.split_once('#').map_or(target, |(target, _)| target);
        known.path = match target.split_once("://") {
            Some((_scheme, rest)) if !target.starts_with('/') => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
                known.authority = without_userinfo(authority);
                path
            }
            _ => target,
        };
        if known.reason == "not_http" && target.parse::<Uri>().is_err() {
            known.reason = "target_invalid";
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_of_a_refused_head() {
        for (line, status, expected) in [
            ("GET /a<b?t=1 HTTP/1.1", 400, ("GET", "-", "/a<b?t=1", "target_invalid")),
            ("GET /a HTTP/1.0", 400, ("GET", "-", "/a", "not_http")),
            ("GET /aaa", 431, ("GET", "-", "/aaa", "head_too_large")),
            ("GET http://ann:secret@a.test:8080/x<y#f HTTP/1.1", 400, ("GET", "a.test:8080", "/x<y", "target_invalid")),
            ("GET http://a:b@c@d<", 400, ("GET", "d<", "", "target_invalid")),
            ("not http at all", 400, ("-", "-", "-", "not_http")),
            ("password: hunter2 secret", 400, ("-", "-", "-", "not_http")),
            ("G\u{fffd}T / HTTP/1.1", 400, ("-", "-", "-", "not_http")),
            ("", 400, ("-", "-", "-", "not_http")),
            ("\u{16}\u{3}\u{1}\u{2} hello", 400, ("-", "-", "-", "tls_on_cleartext_port")),
            ("PRI * HTTP/2.0", 400, ("PRI", "-", "*", "not_http")),
        ] {
            let known = Unparsed::of(line, StatusCode::from_u16(status).unwrap());
            let found = (known.method, known.authority, known.path, known.reason);
            assert_eq!(found, expected, "{line}");
        }
    }
}
