//! One check of one endpoint: the request, and whether its answer passes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::time::timeout;

use super::{card, grpc};
use crate::cluster::Endpoint;
use crate::config::model::{HealthCheck, ProbeKind};
use crate::host::{of_place, without_port};
use crate::pool::{DialError, DialedResponse, Dialer, Peer, Question, UnusedConnection};

/// Why a check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Not done in time.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// No connection, or no answer on it.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A status that was not expected.
    #[error("status {0}")]
    Status(StatusCode),
    /// An answer that is larger than any of its kind.
    #[error("the answer is too large")]
    TooLarge,
    /// The call failed; without a code it is no gRPC.
    #[error("gRPC status {}", .0.map_or_else(|| "missing".to_owned(), |code| code.to_string()))]
    Grpc(Option<u32>),
    /// The answer is not a message of the health service.
    #[error("not a gRPC health answer")]
    NotHealth,
    /// The service says that it is not serving.
    #[error("the service is {0}")]
    NotServing(&'static str),
    /// The answer is not an agent card.
    #[error("not an agent card")]
    NoCard(#[from] card::NoCard),
}

impl Failure {
    /// The label of the metric.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::TimedOut(_) | Self::Dial(DialError::TimedOut(..)) => "timeout",
            Self::Dial(DialError::Connect(_)) => "connect_failed",
            Self::Dial(DialError::Tls(_)) => "tls_failed",
            Self::Dial(_) => "no_answer",
            Self::Status(_) => "status",
            Self::Grpc(_) | Self::NotHealth | Self::NotServing(_) => "not_serving",
            Self::NoCard(_) | Self::TooLarge => "no_card",
        }
    }
}

/// Checks `endpoint` once, and says what its card holds where that is what is asked for. Takes no longer than the
/// check's time limit; dropped, it closes its connection.
pub(super) async fn run(
    endpoint: &Endpoint,
    check: &HealthCheck,
    dialer: &Dialer,
) -> Result<Option<card::Seen>, Failure> {
    let (mut address, name) = endpoint.place(check.kind == ProbeKind::Grpc);
    if let Some(port) = check.port {
        address.set_port(port);
    }
    let asked = async {
        let link = dialer.connect(Peer::Address(address, of_place(name))).await?;
        ask(link, check, || host(name, address)).await
    };
    // One limit for all steps together.
    timeout(check.limit(), asked).await.unwrap_or(Err(Failure::TimedOut(check.limit())))
}

async fn ask(
    link: UnusedConnection,
    check: &HealthCheck,
    host: impl FnOnce() -> Result<HeaderValue, DialError>,
) -> Result<Option<card::Seen>, Failure> {
    let host = || check.host.clone().map_or_else(host, Ok);
    match check.kind {
        ProbeKind::Tcp => Ok(None),
        ProbeKind::Http => {
            let question = question(&check.method, check.target(), host()?, check);
            // A page of any size will do, but one that breaks off will not.
            let answer = link.ask(question, MAX_PAGE).await?;
            let status = answer.status.as_u16();
            if check.expected_statuses.iter().any(|range| range.contains(&status)) {
                Ok(None)
            } else {
                Err(Failure::Status(answer.status))
            }
        }
        ProbeKind::AgentCard => {
            let mut question = question(&Method::GET, check.target(), host()?, check);
            let accept = HeaderValue::from_static("application/json");
            question.headers.entry(header::ACCEPT).or_insert(accept);
            let answer = link.ask(question, MAX_CARD).await?;
            if answer.status != StatusCode::OK {
                return Err(Failure::Status(answer.status));
            }
            if !answer.is_whole {
                return Err(Failure::TooLarge);
            }
            Ok(Some(card::check(&answer.body)?))
        }
        ProbeKind::Grpc => {
            let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
            let mut question = question(&Method::POST, path, host()?, check);
            let fixed = [(header::CONTENT_TYPE, "application/grpc"), (header::TE, "trailers")];
            question.headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
            question.body = grpc::request(check.service.as_deref().unwrap_or_default());
            serving(&link.ask(question, MAX_MESSAGE).await?).map(|()| None)
        }
    }
}

fn question(method: &Method, target: PathAndQuery, host: HeaderValue, check: &HealthCheck) -> Question {
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    headers.extend(check.headers.clone());
    Question { method: method.clone(), target, host, headers, body: Bytes::new() }
}

/// The endpoint's name with the port that is asked.
fn host(name: &str, address: SocketAddr) -> Result<HeaderValue, DialError> {
    HeaderValue::try_from(format!("{}:{}", without_port(name), address.port())).map_err(|_illegal| DialError::Host)
}

/// A failed call may say so in its head, without body and trailers.
fn serving(answer: &DialedResponse) -> Result<(), Failure> {
    if answer.status != StatusCode::OK {
        return Err(Failure::Status(answer.status));
    }
    let code = answer
        .trailers
        .get(GRPC_STATUS)
        .or_else(|| answer.headers.get(GRPC_STATUS))
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if code != Some(0) {
        return Err(Failure::Grpc(code));
    }
    match grpc::status(&answer.body) {
        Some(1) => Ok(()),
        Some(0) => Err(Failure::NotServing("unknown")),
        Some(2) => Err(Failure::NotServing("not serving")),
        Some(3) => Err(Failure::NotServing("not known there")),
        Some(_) | None => Err(Failure::NotHealth),
    }
}

/// The result of a check that found the endpoint well.
pub(super) const PASSED: &str = "ok";
/// Every result a check can have, for metrics.
pub const RESULTS: [&str; 8] =
    [PASSED, "timeout", "connect_failed", "tls_failed", "no_answer", "status", "not_serving", "no_card"];
/// The `user-agent` of checks.
const USER_AGENT: &str = concat!("attache-health/", env!("CARGO_PKG_VERSION"));
const GRPC_STATUS: &str = "grpc-status";
/// Bytes of a page that are read; its status is all that counts.
const MAX_PAGE: usize = 64 * 1024;
/// Bytes an agent card may have.
const MAX_CARD: usize = 512 * 1024;
/// Bytes the answer of a gRPC health check may have.
const MAX_MESSAGE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::error::chain;

    fn answer(status: u16, head: Option<&'static str>, trailer: Option<&'static str>) -> DialedResponse {
        let fields = |value: Option<&'static str>| {
            value
                .map(|value| (header::HeaderName::from_static(GRPC_STATUS), HeaderValue::from_static(value)))
                .into_iter()
                .collect()
        };
        DialedResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers: fields(head),
            body: Bytes::new(),
            is_whole: true,
            trailers: fields(trailer),
        }
    }

    #[test]
    fn outcomes_of_a_grpc_check() {
        for (status, head, trailer, message, expected) in [
            (200, None, Some("0"), &[8, 1][..], "ok"),
            (200, None, Some("0"), &[8, 2], "the service is not serving"),
            (200, None, Some("0"), &[8, 3], "the service is not known there"),
            (200, None, Some("0"), &[], "the service is unknown"),
            (200, None, Some("0"), &[8, 9], "not a gRPC health answer"),
            (200, Some("12"), None, &[], "gRPC status 12"),
            (200, None, Some("14"), &[8, 1], "gRPC status 14"),
            (200, None, None, &[8, 1], "gRPC status missing"),
            (200, None, Some("x\"y"), &[8, 1], "gRPC status missing"),
            (503, None, Some("0"), &[8, 1], "status 503 Service Unavailable"),
        ] {
            let mut answer = answer(status, head, trailer);
            let length = u8::try_from(message.len()).unwrap();
            answer.body = [&[0, 0, 0, 0, length], message].concat().into();
            let outcome = serving(&answer).map_or_else(|error| chain(&error), |()| "ok".to_owned());
            assert_eq!(outcome, expected);
        }
    }

    #[test]
    fn the_host_is_the_name_with_the_port_that_is_asked() {
        for (name, expected) in
            [("agent.local:80", "agent.local:9000"), ("10.0.0.1:80", "10.0.0.1:9000"), ("[::1]:80", "[::1]:9000")]
        {
            let address = SocketAddr::from(([10, 0, 0, 1], 80));
            let endpoint = Endpoint::new(address, name, 1, BTreeMap::new());
            let asked = SocketAddr::from(([10, 0, 0, 1], 9000));
            assert_eq!(host(&endpoint.name, asked).unwrap(), expected);
        }
    }

    #[test]
    fn every_result_is_known_to_the_metrics() {
        let io = || std::io::Error::other("x");
        for failure in [
            Failure::TimedOut(Duration::ZERO),
            DialError::Connect(io()).into(),
            DialError::Tls(io()).into(),
            DialError::Host.into(),
            DialError::TimedOut("no answer", Duration::ZERO).into(),
            Failure::Status(StatusCode::OK),
            Failure::TooLarge,
            Failure::Grpc(None),
            Failure::NotHealth,
            Failure::NotServing("x"),
            card::NoCard::Nowhere.into(),
        ] {
            assert!(RESULTS.contains(&failure.word()), "{failure:?}");
        }
    }

    #[test]
    fn a_reason_has_its_causes_and_a_bound() {
        let refused = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "refused");
        let failure = Failure::from(DialError::Connect(refused));
        assert_eq!((&*chain(&failure), failure.word()), ("could not connect: refused", "connect_failed"));
        let text = format!("\"{}\"", "x".repeat(10_000));
        let failure = Failure::from(card::check(text.as_bytes()).unwrap_err());
        let told = chain(&failure);
        assert!(told.starts_with("not an agent card: invalid type"), "{told}");
        assert!(told.chars().count() <= 200);
    }
}
