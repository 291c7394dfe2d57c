//! The client for the gateway's own requests (health checks, the verbs of the command line, the demo's traffic): one
//! connection for one request, outside of every pool, opened, used and closed. It may be used on any thread. Its
//! requests are not traffic: no metric counts them. Every step has a time limit, and every answer a size limit.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::connect::secure;
use super::h2::{CLOSED, NO_HTTP2, is_close, is_nonsense};
use super::{ClientTls, Version};

/// How to connect for a question.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// HTTP version spoken.
    pub version: Version,
    /// TLS settings, if connections use it.
    pub tls: Option<ClientTls>,
    /// How long each step may take.
    pub limits: DialLimits,
}

/// How long the steps of a question may take.
#[derive(Clone, Copy, Debug)]
pub struct DialLimits {
    /// Until there is a connection, with TLS if it uses that.
    pub connect: Duration,
    /// Until the head of the answer is there.
    pub head: Duration,
    /// From then on, until the answer has ended.
    pub body: Duration,
}

impl DialLimits {
    /// The same for each step.
    #[must_use]
    pub const fn each(limit: Duration) -> Self {
        Self { connect: limit, head: limit, body: limit }
    }
}

/// Whom to ask.
#[derive(Clone, Copy, Debug)]
pub enum Peer<'a> {
    /// This address; the name, without a port, is for TLS.
    Address(SocketAddr, &'a str),
    /// This name and port. The system resolves it.
    Name(&'a str, u16),
    /// Who listens at this path of the file system. Without TLS.
    Path(&'a Path),
}

/// A connection that nothing was asked on yet. Dropped, it closes.
#[derive(Debug)]
pub struct UnusedConnection {
    socket: Socket,
    https: bool,
    http2: bool,
    limits: DialLimits,
}

/// The half of an HTTP/1.1 connection that has to be polled.
pub(super) type Http1 = http1::Connection<TokioIo<Socket>, Full<Bytes>>;

type Socket = Either<TcpStream, Either<UnixStream, Box<TlsStream<TcpStream>>>>;

/// A request of our own.
#[derive(Clone, Debug)]
pub struct Question {
    /// Method.
    pub method: Method,
    /// Path and query.
    pub target: PathAndQuery,
    /// Host and port.
    pub host: HeaderValue,
    /// The other fields.
    pub headers: HeaderMap,
    /// Body; a small one.
    pub body: Bytes,
}

impl Question {
    pub(super) fn in_http1(self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body));
        *request.method_mut() = self.method;
        *request.uri_mut() = Uri::from(self.target);
        request.headers_mut().insert(header::HOST, self.host);
        request.headers_mut().extend(self.headers);
        request
    }
}

/// The response.
#[derive(Clone, Debug)]
pub struct DialedResponse {
    /// Status.
    pub status: StatusCode,
    /// Fields.
    pub headers: HeaderMap,
    /// The body, or its beginning.
    pub body: Bytes,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// Fields after the body.
    pub trailers: HeaderMap,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// No connection.
    #[error("could not connect")]
    Connect(#[source] io::Error),
    /// A step took longer than it may.
    #[error("{0} within {1:?}")]
    TimedOut(&'static str, Duration),
    /// No TLS on it.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The host cannot be used.
    #[error("not a host to ask for")]
    Host,
    /// No HTTP/1.1 answer.
    #[error("no HTTP answer")]
    Http1(#[source] hyper::Error),
    /// Something else than HTTP/1.1.
    #[error("no HTTP/1.1 answer; an endpoint that speaks HTTP/2 only needs `protocol: h2c`, or `h2` with TLS")]
    NotHttp1(#[source] hyper::Error),
    /// No HTTP/2 answer.
    #[error("no HTTP/2 answer")]
    Http2(#[source] h2::Error),
    /// The end.
    #[error("no HTTP/2 answer: {}", CLOSED)]
    Closed(#[source] h2::Error),
    /// Something else than HTTP/2.
    #[error("{}", NO_HTTP2)]
    NotHttp2(#[source] h2::Error),
}

impl From<hyper::Error> for DialError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() && !error.is_parse_too_large() { Self::NotHttp1(error) } else { Self::Http1(error) }
    }
}

impl From<h2::Error> for DialError {
    fn from(error: h2::Error) -> Self {
        if is_nonsense(&error) {
            Self::NotHttp2(error)
        } else if is_close(&error) {
            Self::Closed(error)
        } else {
            Self::Http2(error)
        }
    }
}

impl Dialer {
    /// For questions in the clear, in HTTP/1.1.
    #[must_use]
    pub fn plain(limits: DialLimits) -> Self {
        Self { version: Version::Http1, tls: None, limits }
    }

    /// Connects. Dropped, it gives up.
    ///
    /// # Errors
    /// No connection in time, or no TLS on it.
    pub fn connect(&self, peer: Peer<'_>) -> impl Future<Output = Result<UnusedConnection, DialError>> {
        self.connect_within(peer, self.limits.connect)
    }

    /// As [`Self::connect`], with a limit of its own.
    pub(super) async fn connect_within(&self, peer: Peer<'_>, limit: Duration) -> Result<UnusedConnection, DialError> {
        let connected = timeout(limit, self.open(peer)).await;
        connected.unwrap_or(Err(DialError::TimedOut("no connection", limit)))
    }

    async fn open(&self, peer: Peer<'_>) -> Result<UnusedConnection, DialError> {
        let unused = |socket, https, http2| UnusedConnection { socket, https, http2, limits: self.limits };
        let (tcp, name) = match peer {
            Peer::Path(path) => {
                let socket = UnixStream::connect(path).await.map_err(DialError::Connect)?;
                return Ok(unused(Either::Right(Either::Left(socket)), false, self.version == Version::Http2));
            }
            Peer::Address(address, name) => (TcpStream::connect(address).await, name),
            Peer::Name(name, port) => (TcpStream::connect((name, port)).await, name),
        };
        let tcp = tcp.map_err(DialError::Connect)?;
        tcp.set_nodelay(true).map_err(DialError::Connect)?;
        let Some(tls) = &self.tls else {
            return Ok(unused(Either::Left(tcp), false, self.version == Version::Http2));
        };
        let (stream, http2) = secure(tcp, name, tls, self.version).await.map_err(DialError::Tls)?;
        Ok(unused(Either::Right(Either::Right(Box::new(stream))), true, http2))
    }
}

impl UnusedConnection {
    /// Asks and reads the answer, at most `most` bytes of its body; with none, no more than the head is waited for.
    /// Dropped, it closes the connection.
    ///
    /// # Errors
    /// When no whole answer comes in time, or what comes is not HTTP.
    pub async fn ask(self, question: Question, most: usize) -> Result<DialedResponse, DialError> {
        let mut collected = BytesMut::new();
        let take = |data: &Bytes| {
            let room = most.saturating_sub(collected.len());
            collected.extend_from_slice(data.get(..room).unwrap_or(data));
            data.len() <= room
        };
        let mut answer = self.ask_for(question, most == 0, take).await?;
        answer.body = collected.freeze();
        Ok(answer)
    }

    /// Asks and shows each piece of the answer's body to `look`, until that has enough and says so with `false`.
    /// Otherwise as [`Self::ask`].
    ///
    /// # Errors
    /// When no whole answer comes in time, or what comes is not HTTP.
    pub async fn watch(
        self,
        question: Question,
        look: impl FnMut(&Bytes) -> bool,
    ) -> Result<DialedResponse, DialError> {
        self.ask_for(question, false, look).await
    }

    async fn ask_for(
        self,
        question: Question,
        head_only: bool,
        look: impl FnMut(&Bytes) -> bool,
    ) -> Result<DialedResponse, DialError> {
        if self.http2 {
            Box::pin(self.ask_http2(question, head_only, look)).await
        } else {
            Box::pin(self.ask_http1(question, head_only, look)).await
        }
    }

    async fn ask_http1(
        self,
        question: Question,
        head_only: bool,
        look: impl FnMut(&Bytes) -> bool,
    ) -> Result<DialedResponse, DialError> {
        let limits = self.limits;
        let (mut sender, connection) = self.into_http1().await?;
        let answer = async {
            let response = in_time(NO_HEAD, limits.head, sender.send_request(question.in_http1())).await?;
            if head_only {
                return Ok(begin(response).0);
            }
            in_time(NO_END, limits.body, read_http1(response, look)).await
        };
        beside(connection, answer).await
    }

    /// The connection as one of HTTP/1.1, on which several questions can be asked.
    pub(super) async fn into_http1(self) -> Result<(SendRequest<Full<Bytes>>, Http1), DialError> {
        Ok(http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(self.socket)).await?)
    }

    async fn ask_http2(
        self,
        question: Question,
        head_only: bool,
        look: impl FnMut(&Bytes) -> bool,
    ) -> Result<DialedResponse, DialError> {
        let limits = self.limits;
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if self.https { Scheme::HTTPS } else { Scheme::HTTP });
        parts.authority = Some(Authority::from_maybe_shared(question.host).map_err(|_illegal| DialError::Host)?);
        parts.path_and_query = Some(question.target);
        let mut request = Request::new(());
        *request.method_mut() = question.method;
        *request.version_mut() = http::Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_illegal| DialError::Host)?;
        *request.headers_mut() = question.headers;
        let body = question.body;
        let (sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(MAX_HEAD_LIST)
            .handshake::<_, Bytes>(self.socket)
            .await?;
        let answer = async {
            let head = async {
                let mut sender = sender.ready().await?;
                let (response, mut sending) = sender.send_request(request, body.is_empty())?;
                if !body.is_empty() {
                    sending.send_data(body, true)?;
                }
                Ok::<_, h2::Error>((response.await?, sender, sending))
            };
            let (response, _sender, _sending) = in_time(NO_HEAD, limits.head, head).await?;
            if head_only {
                return Ok(begin(response).0);
            }
            in_time(NO_END, limits.body, read_http2(response, look)).await
        };
        beside(connection, answer).await
    }
}

/// Drives a connection beside the question that is asked on it, instead of in a task of its own.
async fn beside<E>(
    connection: impl Future<Output = Result<(), E>>,
    answer: impl Future<Output = Result<DialedResponse, DialError>>,
) -> Result<DialedResponse, DialError>
where
    DialError: From<E>,
{
    let mut answer = pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        ended = connection => {
            ended?;
            answer.await
        }
    }
}

/// What comes of `step`, or that it did not within `limit`.
async fn in_time<T, E>(
    missing: &'static str,
    limit: Duration,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, DialError>
where
    DialError: From<E>,
{
    match timeout(limit, step).await {
        Ok(outcome) => Ok(outcome?),
        Err(_elapsed) => Err(DialError::TimedOut(missing, limit)),
    }
}

async fn read_http1(
    response: http::Response<Incoming>,
    mut look: impl FnMut(&Bytes) -> bool,
) -> Result<DialedResponse, hyper::Error> {
    let (mut answer, mut body) = begin(response);
    answer.is_whole = true;
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => answer.is_whole = look(&data),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
        if !answer.is_whole {
            break;
        }
    }
    Ok(answer)
}

async fn read_http2(
    response: http::Response<h2::RecvStream>,
    mut look: impl FnMut(&Bytes) -> bool,
) -> Result<DialedResponse, h2::Error> {
    let (mut answer, mut body) = begin(response);
    answer.is_whole = true;
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.is_whole = look(&data);
        if !answer.is_whole {
            return Ok(answer);
        }
    }
    answer.trailers = body.trailers().await?.unwrap_or_default();
    Ok(answer)
}

/// An answer of which nothing but the head is there.
fn begin<B>(response: http::Response<B>) -> (DialedResponse, B) {
    let (head, body) = response.into_parts();
    let answer = DialedResponse {
        status: head.status,
        headers: head.headers,
        body: Bytes::new(),
        is_whole: false,
        trailers: HeaderMap::new(),
    };
    (answer, body)
}

const NO_HEAD: &str = "no answer";
const NO_END: &str = "no end of the answer";
/// An answer's head may be this large.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEAD_LIST: u32 = 64 * 1024;

#[cfg(test)]
mod tests;
