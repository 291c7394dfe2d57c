//! Asks the directory's server: one connection for one request, verified, with a limit on time and size. Remembers when
//! the server asked to be left alone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use crate::config::model::{Acme, UpstreamProtocol, UpstreamTls};
use crate::head::retry_after;
use crate::pool::{ClientTls, ClientTlsError, DialError, DialLimits, Dialer, Peer, Question, Version};

/// A client of one directory. A clone is the same one.
#[derive(Clone, Debug)]
pub(super) struct Client {
    dialer: Dialer,
    wait: Arc<Mutex<Option<Duration>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("`{0}` is no HTTPS URL")]
    Url(http::Uri),
    #[error("{0} cannot be asked")]
    Dial(String, #[source] DialError),
    #[error("{0} answered {1} and said nothing about it")]
    Status(String, StatusCode),
    #[error("the answer of {0} is too long")]
    Long(String),
}

impl Client {
    pub(super) fn new(acme: &Acme) -> Result<Self, ClientTlsError> {
        let settings = UpstreamTls { ca_file: acme.ca_file.clone(), ..UpstreamTls::default() };
        let tls = ClientTls::build(&settings, UpstreamProtocol::Http1)?;
        let dialer = Dialer { version: Version::Http1, tls: Some(tls), limits: DialLimits::each(LIMIT) };
        Ok(Self { dialer, wait: Arc::default() })
    }

    /// How long the server asked to be left alone, when it last refused a request.
    pub(super) fn asked_to_wait(&self) -> Option<Duration> {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, Failure> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let authority = head.uri.authority().filter(|_| head.uri.scheme_str() == Some("https"));
        let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let (Some(authority), Some(host)) = (authority, host) else { return Err(Failure::Url(head.uri.clone())) };
        let name = authority.host().trim_start_matches('[').trim_end_matches(']');
        let question = Question {
            method: head.method,
            target: head.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
            host,
            headers: head.headers,
            body: body.to_bytes(),
        };
        let dial = |error| Failure::Dial(authority.to_string(), error);
        let connection = self.dialer.connect(Peer::Name(name, authority.port_u16().unwrap_or(443))).await;
        let answer = connection.map_err(dial)?.ask(question, MAX_ANSWER).await.map_err(dial)?;
        if !answer.is_whole {
            return Err(Failure::Long(authority.to_string()));
        }
        if matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.wait.lock().unwrap_or_else(PoisonError::into_inner) =
                retry_after(&answer.headers, SystemTime::now()).filter(|wait| !wait.is_zero());
        }
        if !answer.status.is_success() && !is_json(&answer.headers) {
            return Err(Failure::Status(authority.to_string(), answer.status));
        }
        let mut response = Response::new(Full::new(answer.body));
        (*response.status_mut(), *response.headers_mut()) = (answer.status, answer.headers);
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let asking = self.clone().ask(request);
        Box::pin(async move { asking.await.map_err(|failure| instant_acme::Error::Other(Box::new(failure))) })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json")
}

/// Time of each step of a request.
const LIMIT: Duration = Duration::from_secs(30);
/// Size of an answer; a chain of certificates is the longest.
const MAX_ANSWER: usize = 1 << 20;
