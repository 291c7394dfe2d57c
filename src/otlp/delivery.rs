//! One delivery to a collector: a request over gRPC or HTTP, on a connection of its own, and whether it is worth
//! another try (OTLP specification, "Failures").

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::time::timeout;

use super::retry_info::asked_wait;
use crate::config::model::{Otlp, OtlpProtocol, Scheme, UpstreamProtocol, UpstreamTls, WebUrl};
use crate::error::chain;
use crate::grpc_status::GrpcStatus;
use crate::head::retry_after;
use crate::pool::{ClientTls, ClientTlsError, DialError, DialLimits, DialedResponse, Dialer, Peer, Question, Version};

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
    /// Of one delivery as a whole.
    limit: Duration,
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
        Ok(Self { dialer, url: otlp.url.clone(), target, headers, is_grpc, limit: otlp.timeout })
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
        let late = |_elapsed| Err(DialError::TimedOut("no whole answer", self.limit));
        let answer = timeout(self.limit, asked).await.unwrap_or_else(late);
        let answer = answer.map_err(|error| Failure { what: chain(&error), is_passing: true, wait: None })?;
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
            let details = answer.trailers.get(GRPC_DETAILS).or_else(|| answer.headers.get(GRPC_DETAILS));
            let wait = details.and_then(|details| asked_wait(details.as_bytes()));
            // It may be short of room for a while, or the message be larger than it ever takes.
            let is_passing = PASSING.contains(&code) || code == RESOURCE_EXHAUSTED && wait.is_some();
            Err(Failure { what: format!("it answered {name}"), is_passing, wait })
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
const GRPC_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");
/// Codes after which the same may be sent again: CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE and
/// DATA_LOSS.
const PASSING: [u8; 6] = [1, 4, 10, 11, 14, 15];
/// After this one only where the server says when.
const RESOURCE_EXHAUSTED: u8 = 8;
const USER_AGENT: &str = concat!("attache/", env!("CARGO_PKG_VERSION"));
/// Bytes before a message of gRPC.
const FRAME: usize = 5;
/// Bytes of an answer that are read.
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
pub(super) mod tests;
