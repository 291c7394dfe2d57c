//! A connection for one request, outside of every pool: opened, used and closed. It may be used on any thread. Its
//! request is not traffic: no metric counts it.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::connect::secure;
use super::{ClientTls, Version};

/// How to connect for a question.
#[derive(Clone, Debug)]
pub struct Dialer {
    /// HTTP version spoken.
    pub version: Version,
    /// TLS settings, if connections use it.
    pub tls: Option<ClientTls>,
}

/// A connection that nothing was asked on yet. Dropped, it closes.
#[derive(Debug)]
pub struct UnusedConnection {
    socket: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    http2: bool,
}

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
    /// No TLS on it.
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    /// The host cannot be used.
    #[error("not a host to ask for")]
    Host,
    /// No HTTP/1.1 answer.
    #[error("no HTTP answer")]
    Http1(#[from] hyper::Error),
    /// No HTTP/2 answer.
    #[error("no HTTP/2 answer")]
    Http2(#[from] h2::Error),
}

impl Dialer {
    /// Connects to `address`, called `host` (for TLS; without a port). Has no deadline of its own.
    ///
    /// # Errors
    /// No connection, or no TLS on it.
    pub async fn connect(&self, address: SocketAddr, host: &str) -> Result<UnusedConnection, DialError> {
        let tcp = TcpStream::connect(address).await.map_err(DialError::Connect)?;
        tcp.set_nodelay(true).map_err(DialError::Connect)?;
        let Some(tls) = &self.tls else {
            return Ok(UnusedConnection { socket: Either::Left(tcp), http2: self.version == Version::Http2 });
        };
        let (stream, http2) = secure(tcp, host, tls, self.version).await.map_err(DialError::Tls)?;
        Ok(UnusedConnection { socket: Either::Right(Box::new(stream)), http2 })
    }
}

impl UnusedConnection {
    /// Asks and reads the answer, at most `limit` bytes of its body. Has no deadline of its own; dropped, it closes the
    /// connection.
    ///
    /// # Errors
    /// When no whole answer comes, or what comes is not HTTP.
    pub async fn ask(self, question: Question, limit: usize) -> Result<DialedResponse, DialError> {
        if self.http2 {
            Box::pin(self.ask_http2(question, limit)).await
        } else {
            Box::pin(self.ask_http1(question, limit)).await
        }
    }

    async fn ask_http1(self, question: Question, limit: usize) -> Result<DialedResponse, DialError> {
        let mut request = Request::new(Full::new(question.body));
        *request.method_mut() = question.method;
        *request.uri_mut() = Uri::from(question.target);
        request.headers_mut().insert(header::HOST, question.host);
        request.headers_mut().extend(question.headers);
        let (mut sender, connection) =
            http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(self.socket)).await?;
        let mut answer = pin!(async {
            let response = sender.send_request(request).await?;
            read_http1(response, limit).await
        });
        // Driven here, beside the question, instead of in a task of its own.
        tokio::select! {
            biased;
            answer = &mut answer => Ok(answer?),
            ended = connection => {
                ended?;
                Ok(answer.await?)
            }
        }
    }

    async fn ask_http2(self, question: Question, limit: usize) -> Result<DialedResponse, DialError> {
        let https = matches!(self.socket, Either::Right(_));
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
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
        let mut answer = pin!(async {
            let mut sender = sender.ready().await?;
            let (response, mut sending) = sender.send_request(request, body.is_empty())?;
            if !body.is_empty() {
                sending.send_data(body, true)?;
            }
            read_http2(response.await?, limit).await
        });
        tokio::select! {
            biased;
            answer = &mut answer => Ok(answer?),
            ended = connection => {
                ended?;
                Ok(answer.await?)
            }
        }
    }
}

async fn read_http1(response: http::Response<Incoming>, limit: usize) -> Result<DialedResponse, hyper::Error> {
    let (mut answer, mut body) = begin(response);
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        match frame?.into_data() {
            Ok(data) => answer.is_whole = take(&mut collected, &data, limit),
            Err(frame) => answer.trailers = frame.into_trailers().unwrap_or_default(),
        }
        if !answer.is_whole {
            break;
        }
    }
    answer.body = collected.freeze();
    Ok(answer)
}

async fn read_http2(response: http::Response<h2::RecvStream>, limit: usize) -> Result<DialedResponse, h2::Error> {
    let (mut answer, mut body) = begin(response);
    let mut collected = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        answer.is_whole = take(&mut collected, &data, limit);
        if !answer.is_whole {
            answer.body = collected.freeze();
            return Ok(answer);
        }
    }
    answer.trailers = body.trailers().await?.unwrap_or_default();
    answer.body = collected.freeze();
    Ok(answer)
}

fn begin<B>(response: http::Response<B>) -> (DialedResponse, B) {
    let (head, body) = response.into_parts();
    let answer = DialedResponse {
        status: head.status,
        headers: head.headers,
        body: Bytes::new(),
        is_whole: true,
        trailers: HeaderMap::new(),
    };
    (answer, body)
}

/// Adds as much as there is room for; false when that is not all.
fn take(collected: &mut BytesMut, data: &Bytes, limit: usize) -> bool {
    let room = limit.saturating_sub(collected.len());
    collected.extend_from_slice(data.get(..room).unwrap_or(data));
    data.len() <= room
}

/// An answer's head may be this large.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEAD_LIST: u32 = 64 * 1024;
