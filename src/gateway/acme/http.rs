//! Asks the directory's server: one connection for one request, verified, with a limit on time and size. Remembers when
//! the server asked to be left alone.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};

use super::schedule::WEEK;
use super::store::on_disk;
use crate::config::model::{Acme, UpstreamProtocol, UpstreamTls};
use crate::head::retry_after;
use crate::host::bare;
use crate::pool::{ClientTls, ClientTlsError, DialError, DialLimits, Dialer, Peer, Question, Version};

/// A client of one directory. A clone is the same one.
#[derive(Clone, Debug)]
pub(super) struct Client {
    dialer: Dialer,
    wait: Arc<Mutex<Option<Duration>>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
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
    pub(super) async fn build(acme: &Acme) -> Result<Self, ClientTlsError> {
        let settings = UpstreamTls { ca_file: acme.ca_file.clone(), ..UpstreamTls::default() };
        let tls = on_disk(move || ClientTls::build(&settings, UpstreamProtocol::Http1)).await?;
        let dialer = Dialer { version: Version::Http1, tls: Some(tls), limits: DialLimits::each(LIMIT) };
        Ok(Self { dialer, wait: Arc::default() })
    }

    /// How long the server asked to be left alone, when it last refused a request.
    pub(super) fn asked_to_wait(&self) -> Option<Duration> {
        *self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn ask(self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, NoAnswer> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        let authority = head.uri.authority().filter(|_| head.uri.scheme_str() == Some("https"));
        let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
        let (Some(authority), Some(host)) = (authority, host) else { return Err(NoAnswer::Url(head.uri.clone())) };
        let name = bare(authority.host());
        let question = Question {
            method: head.method,
            target: head.uri.path_and_query().cloned().unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")),
            host,
            headers: head.headers,
            body: body.to_bytes(),
        };
        let dial = |error| NoAnswer::Dial(authority.to_string(), error);
        let connection = self.dialer.connect(Peer::Name(name, authority.port_u16().unwrap_or(443))).await;
        let answer = connection.map_err(dial)?.ask(question, MAX_ANSWER).await.map_err(dial)?;
        if !answer.is_whole {
            return Err(NoAnswer::Long(authority.to_string()));
        }
        if matches!(answer.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            *self.wait.lock().unwrap_or_else(PoisonError::into_inner) = asked_wait(&answer.headers, SystemTime::now());
        }
        if !answer.status.is_success() && !is_json(&answer.headers) {
            return Err(NoAnswer::Status(authority.to_string(), answer.status));
        }
        let headers = with_bounded_wait(answer.headers, SystemTime::now());
        let mut response = Response::new(Full::new(answer.body));
        (*response.status_mut(), *response.headers_mut()) = (answer.status, headers);
        Ok(BytesResponse::from(response))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        let asking = self.clone().ask(request);
        Box::pin(async move { asking.await.map_err(|why| instant_acme::Error::Other(Box::new(why))) })
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    kind.starts_with(b"application/problem+json") || kind.starts_with(b"application/json")
}

/// How long the server asks to be left alone, a week at most.
fn asked_wait(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    retry_after(headers, now).map(|wait| wait.min(Duration::from_secs(WEEK.unsigned_abs())))
}

/// With a `Retry-After` that is safe to add to a clock, which `instant-acme` does without looking, or with none.
fn with_bounded_wait(mut headers: HeaderMap, now: SystemTime) -> HeaderMap {
    let wait = asked_wait(&headers, now);
    headers.remove(header::RETRY_AFTER);
    if let Some(wait) = wait {
        headers.insert(header::RETRY_AFTER, wait.as_secs().into());
    }
    headers
}

/// Time of each step of a request.
const LIMIT: Duration = Duration::from_secs(30);
/// Size of an answer; a chain of certificates is the longest.
const MAX_ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_bounded_by_a_week() {
        let now = httpdate::parse_http_date("Fri, 31 Dec 1999 23:59:00 GMT").unwrap();
        for (text, expected) in [
            ("120", Some(Duration::from_secs(120))),
            ("Fri, 31 Dec 1999 23:59:59 GMT", Some(Duration::from_secs(59))),
            ("Fri, 31 Dec 1999 23:58:00 GMT", Some(Duration::ZERO)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(Duration::from_secs(7 * 86_400))),
            ("18446744073709551615", Some(Duration::from_secs(7 * 86_400))),
            ("99999999999999999999999999", Some(Duration::from_secs(7 * 86_400))),
            ("", None),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(asked_wait(&headers, now), expected, "{text}");
            let kept = with_bounded_wait(headers, now);
            let kept = kept.get(header::RETRY_AFTER).map(|kept| kept.to_str().unwrap().to_owned());
            assert_eq!(kept, expected.map(|wait| wait.as_secs().to_string()), "{text}");
        }
    }
}
