//! One delivery to a collector: a request over gRPC or HTTP, on a connection of its own, and whether it is worth
//! another try (OTLP specification, "Failures").

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::config::model::{Otlp, OtlpProtocol, Scheme, UpstreamProtocol, UpstreamTls, WebUrl};
use crate::error::chain;
use crate::grpc_status::GrpcStatus;
use crate::head::retry_after;
use crate::pool::{ClientTls, ClientTlsError, DialLimits, DialedResponse, Dialer, Peer, Question, Version};

/// The two names that a signal is delivered under.
#[derive(Clone, Copy, Debug)]
pub struct Paths {
    /// The method of gRPC.
    pub grpc: &'static str,
    /// The path of HTTP.
    pub http: &'static str,
}

/// A client of one collector.
#[derive(Debug)]
pub(super) struct Client {
    dialer: Dialer,
    url: WebUrl,
    target: PathAndQuery,
    headers: HeaderMap,
    is_grpc: bool,
}

/// Why a delivery failed.
#[derive(Debug)]
pub(super) struct Failure {
    what: String,
    /// Whether it may be better the next time.
    pub(super) is_passing: bool,
    /// How long the collector asks to be left alone.
    pub(super) wait: Option<Duration>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Client {
    pub(super) fn build(otlp: &Otlp, paths: Paths) -> Result<Self, ClientTlsError> {
        let is_grpc = otlp.protocol == OtlpProtocol::Grpc;
        let settings = UpstreamTls { ca_file: otlp.ca_file.clone(), ..UpstreamTls::default() };
        let protocol = if is_grpc { UpstreamProtocol::H2 } else { UpstreamProtocol::Http1 };
        let tls = match otlp.url.scheme {
            Scheme::Https => Some(ClientTls::build(&settings, protocol)?),
            Scheme::Http => None,
        };
        let version = if is_grpc { Version::Http2 } else { Version::Http1 };
        let mut headers = otlp.headers.clone();
        let kind = if is_grpc { "application/grpc" } else { "application/x-protobuf" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        if is_grpc {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        let target = if is_grpc { PathAndQuery::from_static(paths.grpc) } else { of_signal(&otlp.url.target, paths) };
        let dialer = Dialer { version, tls, limits: DialLimits::each(otlp.timeout) };
        Ok(Self { dialer, url: otlp.url.clone(), target, headers, is_grpc })
    }

    /// Sends `message` and returns the message of the answer.
    pub(super) async fn deliver(&self, message: &Bytes) -> Result<Bytes, Failure> {
        let mut headers = self.headers.clone();
        let body = if self.is_grpc { framed(message) } else { message.clone() };
        if !self.is_grpc {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let question = Question {
            method: Method::POST,
            target: self.target.clone(),
            host: self.url.authority.clone(),
            headers,
            body,
        };
        let asked = async {
            let connection = self.dialer.connect(Peer::Name(&self.url.host, self.url.port)).await?;
            connection.ask(question, MAX_ANSWER).await
        };
        let answer = asked.await.map_err(|error| Failure { what: chain(&error), is_passing: true, wait: None })?;
        if self.is_grpc { of_grpc(&answer) } else { of_http(answer) }
    }
}

/// The URL is that of the collector, or already that of the signal.
fn of_signal(target: &PathAndQuery, paths: Paths) -> PathAndQuery {
    let path = target.path().trim_end_matches('/');
    if path.ends_with(paths.http) {
        return target.clone();
    }
    // Both parts are paths.
    PathAndQuery::try_from(format!("{path}{}", paths.http)).unwrap_or_else(|_illegal| target.clone())
}

/// A message of gRPC: not compressed, its length, itself.
fn framed(message: &Bytes) -> Bytes {
    let mut body = BytesMut::with_capacity(FRAME + message.len());
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    body.extend_from_slice(message);
    body.freeze()
}

fn of_http(answer: DialedResponse) -> Result<Bytes, Failure> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let is_passing = matches!(
        answer.status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    let wait = retry_after(&answer.headers, SystemTime::now());
    Err(Failure { what: format!("it answered {}", answer.status), is_passing, wait })
}

fn of_grpc(answer: &DialedResponse) -> Result<Bytes, Failure> {
    // A call that fails at once has its status in the head.
    let status = answer.trailers.get(GRPC_STATUS).or_else(|| answer.headers.get(GRPC_STATUS));
    let code = status.and_then(|code| code.to_str().ok()?.parse::<u8>().ok());
    match code {
        Some(0) => Ok(answer.body.get(FRAME..).map(|message| answer.body.slice_ref(message)).unwrap_or_default()),
        Some(code) => {
            let name = GrpcStatus::from_code(code).map_or("an unknown status", GrpcStatus::name);
            Err(Failure { what: format!("it answered {name}"), is_passing: PASSING.contains(&code), wait: None })
        }
        None => {
            let is_passing = answer.status.is_server_error() || answer.status == StatusCode::TOO_MANY_REQUESTS;
            Err(Failure {
                what: format!("it answered {} without a status of gRPC", answer.status),
                is_passing,
                wait: None,
            })
        }
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Codes after which the same may be sent again: CANCELLED, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED,
/// OUT_OF_RANGE, UNAVAILABLE and DATA_LOSS.
const PASSING: [u8; 7] = [1, 4, 8, 10, 11, 14, 15];
const USER_AGENT: &str = concat!("attache/", env!("CARGO_PKG_VERSION"));
/// Bytes before a message of gRPC.
const FRAME: usize = 5;
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: Paths = Paths { grpc: "/a.B/Export", http: "/v1/traces" };

    fn answer(
        status: u16,
        headers: &[(&'static str, &'static str)],
        trailers: &[(&'static str, &'static str)],
    ) -> DialedResponse {
        let fields = |pairs: &[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
        };
        DialedResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields(headers),
            body: Bytes::from_static(b"\0\0\0\0\x02ok"),
            is_whole: true,
            trailers: fields(trailers),
        }
    }

    #[test]
    fn the_path_of_the_signal_is_added_once() {
        for (given, expected) in [
            ("/", "/v1/traces"),
            ("/otlp", "/otlp/v1/traces"),
            ("/otlp/", "/otlp/v1/traces"),
            ("/v1/traces", "/v1/traces"),
            ("/x/v1/traces?key=1", "/x/v1/traces?key=1"),
        ] {
            assert_eq!(of_signal(&PathAndQuery::from_static(given), PATHS), expected, "{given}");
        }
    }

    #[test]
    fn which_answers_are_worth_another_try() {
        for (status, passing) in [(400, false), (401, false), (404, false), (413, false), (429, true), (500, false)] {
            let failure = of_http(answer(status, &[], &[])).unwrap_err();
            assert_eq!(failure.is_passing, passing, "{status}");
        }
        for status in [502, 503, 504] {
            let failure = of_http(answer(status, &[("retry-after", "7")], &[])).unwrap_err();
            assert_eq!((failure.is_passing, failure.wait), (true, Some(Duration::from_secs(7))), "{status}");
        }
        assert!(of_http(answer(200, &[], &[])).is_ok());
        assert_eq!(of_grpc(&answer(200, &[], &[("grpc-status", "0")])).unwrap(), "ok");
        for (code, passing) in [("14", true), ("8", true), ("3", false), ("16", false), ("99", false)] {
            let in_head = of_grpc(&answer(200, &[("grpc-status", code)], &[])).unwrap_err();
            let behind = of_grpc(&answer(200, &[], &[("grpc-status", code)])).unwrap_err();
            assert_eq!((in_head.is_passing, behind.is_passing), (passing, passing), "{code}");
        }
        assert!(of_grpc(&answer(503, &[], &[])).unwrap_err().is_passing);
        assert!(!of_grpc(&answer(404, &[], &[])).unwrap_err().is_passing);
    }
}
