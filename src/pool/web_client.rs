//! Questions to a web server that is no endpoint: an issuer of tokens, a server that decides who may come in. Redirects
//! are not followed. There is one connection for each question, as [`Dialer`] has it; [`super::KeptClient`] keeps them.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::timeout;

use super::Version;
use super::addresses::Addresses;
use super::dial::{DialError, DialLimits, DialedResponse, Dialer, Peer, Question, UnusedConnection};
use super::tls::{ClientTls, ClientTlsError};
use crate::config::model::{Scheme, UpstreamProtocol, UpstreamTls, WebUrl};

/// How to ask one server.
#[derive(Clone, Debug)]
pub struct WebClient {
    url: WebUrl,
    dialer: Dialer,
    limit: Duration,
}

impl WebClient {
    /// For the server at `url`, which authorities in `ca_file` (or the system's) vouch for. An answer may take `limit`,
    /// from the look-up of the name to its last byte.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn build(url: &WebUrl, ca_file: Option<&Path>, limit: Duration) -> Result<Self, ClientTlsError> {
        let settings = UpstreamTls { ca_file: ca_file.map(Path::to_owned), ..UpstreamTls::default() };
        let tls = match url.scheme {
            Scheme::Https => Some(ClientTls::build(&settings, UpstreamProtocol::Http1)?),
            Scheme::Http => None,
        };
        let dialer = Dialer { version: Version::Http1, tls, limits: DialLimits::each(limit) };
        Ok(Self { url: url.clone(), dialer, limit })
    }

    /// Asks with `GET` and reads at most `most` bytes of the answer. Dropped, it closes the connection.
    ///
    /// # Errors
    /// When no whole answer comes in time.
    pub async fn get(&self, headers: HeaderMap, most: usize) -> Result<DialedResponse, DialError> {
        self.in_time(async { self.connect().await?.ask(self.question(headers), most).await }).await
    }

    async fn connect(&self) -> Result<UnusedConnection, DialError> {
        self.dialer.connect(Peer::Name(&self.url.host, self.url.port)).await
    }

    /// What each of so many connections may take of the time of a question.
    pub(super) fn share(&self, connections: usize) -> Duration {
        self.limit / u32::try_from(connections.max(1)).unwrap_or(u32::MAX)
    }

    pub(super) async fn connect_to(&self, address: SocketAddr, limit: Duration) -> Result<UnusedConnection, DialError> {
        self.dialer.connect_within(Peer::Address(address, &self.url.host), limit).await
    }

    pub(super) fn addresses(&self) -> Arc<Addresses> {
        Addresses::new(&self.url.host, self.url.port)
    }

    pub(super) fn question(&self, headers: HeaderMap) -> Question {
        Question {
            method: Method::GET,
            target: self.url.target.clone(),
            host: self.url.authority.clone(),
            headers,
            body: Bytes::new(),
        }
    }

    pub(super) async fn in_time<T>(&self, asked: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
        timeout(self.limit, asked).await.unwrap_or(Err(DialError::TimedOut("no answer", self.limit)))
    }
}
