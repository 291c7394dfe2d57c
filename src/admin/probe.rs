//! What `attache healthcheck` asks, so that an image without a shell or curl can probe itself.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};
use tokio::time;

use crate::host::bare;
use crate::pool::{DialError, DialLimits, Dialer, Peer, Question};

/// Why a probe got no status.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a plain `http://` URL.
    #[error("not a plain http:// URL: {0}")]
    Url(String),
    /// No process listens there.
    #[error("could not connect to {1}")]
    Connect(#[source] io::Error, String),
    /// What answered does not speak HTTP.
    #[error("no HTTP answer")]
    Http(#[source] DialError),
    /// Too slow.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Status that `url` answers a GET with, within `timeout`. Dropping the future ends the connection.
pub async fn probe(url: &str, timeout: Duration) -> Result<u16, Error> {
    let target = ProbeAddress::parse(url)?;
    time::timeout(timeout, target.get(DialLimits::each(timeout))).await.unwrap_or(Err(Error::Timeout(timeout)))
}

#[derive(Debug)]
struct ProbeAddress {
    /// Name or address, without the brackets of an IPv6 literal.
    host: String,
    port: u16,
    question: Question,
}

impl ProbeAddress {
    fn parse(url: &str) -> Result<Self, Error> {
        let refused = || Error::Url(url.to_owned());
        let uri: Uri = url.parse().ok().ok_or_else(refused)?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refused)?;
        if uri.scheme_str() != Some("http") {
            return Err(refused());
        }
        let question = Question {
            method: Method::GET,
            target: uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")),
            host: HeaderValue::from_str(authority.as_str()).ok().ok_or_else(refused)?,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        let host = bare(authority.host()).to_owned();
        Ok(Self { host, port: authority.port_u16().unwrap_or(80), question })
    }

    async fn get(self, limits: DialLimits) -> Result<u16, Error> {
        let Self { host, port, question } = self;
        let failed = |error| match error {
            DialError::Connect(error) => Error::Connect(error, format!("{host}:{port}")),
            DialError::TimedOut(_, limit) => Error::Timeout(limit),
            error => Error::Http(error),
        };
        let connection = Dialer::plain(limits).connect(Peer::Name(&host, port)).await.map_err(failed)?;
        let answer = connection.ask(question, STATUS_ONLY).await.map_err(failed)?;
        Ok(answer.status.as_u16())
    }
}

/// Nothing is read of the body.
const STATUS_ONLY: usize = 0;

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Answers one connection with `answer`, keeps it open if `open`, and hands back what it read.
    async fn backend(answer: &'static [u8], open: bool) -> (String, impl Future<Output = String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serve = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(answer).await.unwrap();
            if open {
                assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "the client closes");
            }
            String::from_utf8(head).unwrap()
        };
        (url, serve)
    }

    #[tokio::test]
    async fn reads_the_status() {
        for (answer, expected) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..], 200),
            (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 1000\r\n\r\n", 503),
        ] {
            for open in [true, false] {
                let (url, serve) = backend(answer, open).await;
                let ready = format!("{url}/ready?x=1");
                let (status, head) = tokio::join!(probe(&ready, PATIENCE), serve);
                assert_eq!(status.unwrap(), expected, "open: {open}");
                assert!(head.starts_with("GET /ready?x=1 HTTP/1.1\r\n"), "{head}");
                let authority = url.trim_start_matches("http://");
                assert!(head.contains(&format!("host: {authority}\r\n")), "{head}");
            }
        }
    }

    #[tokio::test]
    async fn says_what_went_wrong() {
        let (url, serve) = backend(b"SSH-2.0-x\r\n", false).await;
        let (outcome, _) = tokio::join!(probe(&url, PATIENCE), serve);
        assert!(matches!(outcome, Err(Error::Http(_))), "{outcome:?}");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let outcome = probe(&url, Duration::from_millis(1)).await;
        assert!(matches!(outcome, Err(Error::Timeout(_))), "{outcome:?}");
        drop(listener);
        let outcome = probe(&url, PATIENCE).await;
        assert!(matches!(outcome, Err(Error::Connect(..))), "{outcome:?}");
    }

    #[test]
    fn urls() {
        for (url, host, port) in [
            ("http://127.0.0.1:9090/ready", "127.0.0.1", 9090),
            ("http://localhost", "localhost", 80),
            ("http://[::1]:9090/", "::1", 9090),
        ] {
            let target = ProbeAddress::parse(url).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
        }
        for url in ["https://localhost/", "localhost:9090", "/ready", "http://user@localhost/", "http://", ""] {
            assert!(matches!(ProbeAddress::parse(url), Err(Error::Url(_))), "{url}");
        }
    }
}
