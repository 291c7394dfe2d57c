//! The other end of the admin API, for the verbs of the command line.

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::time::timeout;

use crate::config::model::AdminAddress;
use crate::pool::{DialError, DialLimits, Dialer, Peer, Question, UnusedConnection};

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
    Http(#[source] DialError),
    /// This cannot be asked for.
    #[error("not a path to ask for")]
    Path(#[source] http::Error),
    /// The answer is larger than any of its kind.
    #[error("the answer is larger than 64 MiB")]
    TooLarge,
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
        let asked = async {
            let (connection, question) = self.begin(method, path, DialLimits::each(limit)).await?;
            let answer = connection.ask(question, MAX_ANSWER).await.map_err(|error| self.failed(error))?;
            if answer.is_whole { Ok((answer.status, answer.body)) } else { Err(Error::TooLarge) }
        };
        // One limit for all steps together.
        timeout(limit, asked).await.unwrap_or(Err(Error::Timeout(limit)))
    }

    /// Reads an answer that goes on, of server-sent events: shows the name and the data of each to `see` until that has
    /// enough, and says so with `false`, or the gateway ends it. Gives the status, and what came that was no event.
    ///
    /// # Errors
    /// When there is no answer, or it breaks off.
    pub async fn follow(
        &self,
        path: &str,
        mut see: impl FnMut(&str, &str) -> bool,
    ) -> Result<(StatusCode, String), Error> {
        let limits = DialLimits { body: FOLLOWED, ..DialLimits::each(BEGIN) };
        let (connection, question) = self.begin(Method::GET, path, limits).await?;
        let (mut come, mut is_too_large) = (Vec::new(), false);
        let look = |piece: &Bytes| {
            come.extend_from_slice(piece);
            while let Some(end) = memchr::memmem::find(&come, b"\n\n") {
                let event: Vec<u8> = come.drain(..end + 2).collect();
                let event = String::from_utf8_lossy(&event);
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                let (name, data) = (field("event: "), field("data: "));
                if !name.is_empty() && !see(name, data) {
                    return false;
                }
            }
            is_too_large = come.len() > MAX_ANSWER;
            !is_too_large
        };
        let answer = connection.watch(question, look).await.map_err(|error| self.failed(error))?;
        if is_too_large {
            return Err(Error::TooLarge);
        }
        Ok((answer.status, String::from_utf8_lossy(&come).into_owned()))
    }

    async fn begin(
        &self,
        method: Method,
        path: &str,
        limits: DialLimits,
    ) -> Result<(UnusedConnection, Question), Error> {
        let (peer, host) = match &self.address {
            AdminAddress::Tcp(address) => (Peer::Address(*address, ""), address.to_string()),
            AdminAddress::Unix(socket) => (Peer::Path(socket), "localhost".to_owned()),
        };
        let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.extend(self.token.clone().map(|token| (AUTHORIZATION, token)));
        let question = Question {
            method,
            target: PathAndQuery::try_from(path).map_err(|error| Error::Path(error.into()))?,
            host: HeaderValue::try_from(host).map_err(|error| Error::Path(error.into()))?,
            headers,
            body: Bytes::new(),
        };
        let connection = Dialer::plain(limits).connect(peer).await.map_err(|error| self.failed(error))?;
        Ok((connection, question))
    }

    fn failed(&self, error: DialError) -> Error {
        match error {
            DialError::Connect(error) => Error::Connect(self.address.to_string(), error),
            DialError::TimedOut(_, limit) => Error::Timeout(limit),
            error => Error::Http(error),
        }
    }
}

/// Time for the beginning of an answer that goes on.
const BEGIN: Duration = Duration::from_secs(10);
/// How long such an answer may go on; the gateway ends it before.
const FOLLOWED: Duration = Duration::from_secs(24 * 3600);
/// The whole configuration of a large gateway fits.
const MAX_ANSWER: usize = 64 << 20;
