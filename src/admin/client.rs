//! The other end of the admin API, for the verbs of the command line.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config::model::AdminAddress;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token cannot be read, or could not stand in a header.
    #[error("the token of {0} cannot be used")]
    Token(String, #[source] io::Error),
    /// No process listens there.
    #[error("could not connect to {0}")]
    Connect(String, #[source] io::Error),
    /// What answered does not speak HTTP.
    #[error("no HTTP answer")]
    Http(#[source] hyper::Error),
    /// The answer broke off, or is too large.
    #[error("the answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too slow.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// An admin API to ask.
#[derive(Debug)]
pub struct Client {
    address: AdminAddress,
    token: Option<HeaderValue>,
}

impl Client {
    /// For the API at `address`, with the token of a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn new(address: AdminAddress, token_file: Option<&Path>) -> Result<Self, Error> {
        let read = |path: &Path| {
            let failed = |error| Error::Token(path.display().to_string(), error);
            let text = std::fs::read_to_string(path).map_err(failed)?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", text.trim()))
                .map_err(|error| failed(io::Error::other(error)))?;
            value.set_sensitive(true);
            Ok(value)
        };
        Ok(Self { address, token: token_file.map(read).transpose()? })
    }

    /// Sends the request and waits at most `limit`. Dropping the future closes the connection, but the gateway may
    /// still carry out the request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn ask(&self, method: Method, path: &str, limit: Duration) -> Result<(StatusCode, Bytes), Error> {
        let asked = self.exchange(method, path);
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(Error::Timeout(limit)))
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<(StatusCode, Bytes), Error> {
        let unreachable = |error| Error::Connect(self.address.to_string(), error);
        match &self.address {
            AdminAddress::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                self.over(stream, &address.to_string(), method, path).await
            }
            AdminAddress::Unix(socket) => {
                let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
                self.over(stream, "localhost", method, path).await
            }
        }
    }

    async fn over(
        &self,
        io: impl AsyncRead + AsyncWrite + Unpin,
        host: &str,
        method: Method,
        path: &str,
    ) -> Result<(StatusCode, Bytes), Error> {
        let mut request =
            Request::builder().method(method).uri(path).header(HOST, host).header(CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| Error::Body(error.into()))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(Error::Http)?;
        let answer = async {
            let answer = sender.send_request(request).await.map_err(Error::Http)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(Error::Body)?.to_bytes()))
        };
        tokio::pin!(answer);
        // The connection is driven here, beside the request, instead of in a task of its own.
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            ended = connection => match ended {
                Ok(()) => answer.await,
                Err(error) => Err(Error::Http(error)),
            },
        }
    }
}

/// The whole configuration of a large gateway fits.
const MAX_ANSWER: usize = 64 << 20;
