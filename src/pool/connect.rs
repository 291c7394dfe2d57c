//! Opening a connection: TCP, TLS where configured, then the HTTP handshake. Each step has its own deadline.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::io::UpstreamIo;
use super::quota::{ConnectionPermits, Quotas};
use super::{ClientTls, Transport, Version, h1, h2, tcp as socket};
use crate::error::{CONNECTING, Error, HANDSHAKE};

/// A new connection, ready for a request.
#[derive(Debug)]
pub(super) enum Opened {
    /// HTTP/1.1.
    H1(h1::Connection),
    /// HTTP/2, with a place for one stream taken.
    H2(h2::Lease),
}

/// Limits of a new connection.
#[derive(Debug)]
pub(super) struct NewConnectionPermit {
    /// Its places.
    pub(super) places: ConnectionPermits,
    /// The ceilings they are under.
    pub(super) quotas: Quotas,
}

/// A failure to connect, for the other requests that waited for the connection: errors cannot be cloned.
#[derive(Debug)]
pub(super) enum Failure {
    Refused(io::ErrorKind, String),
    TimedOut(&'static str),
    Tls(io::ErrorKind, String),
}

impl Failure {
    /// The part of `error` that holds for every request that wants a connection now.
    pub(super) fn of(error: &Error) -> Option<Self> {
        match error {
            Error::ConnectFailed(source) => Some(Self::Refused(source.kind(), source.to_string())),
            Error::ConnectTimeout(what) => Some(Self::TimedOut(what)),
            Error::UpstreamTls(source) => Some(Self::Tls(source.kind(), source.to_string())),
            _ => None,
        }
    }

    /// The error for one more of them.
    pub(super) fn again(&self) -> Error {
        match self {
            Self::Refused(kind, text) => Error::ConnectFailed(io::Error::new(*kind, text.as_str())),
            Self::TimedOut(what) => Error::ConnectTimeout(what),
            Self::Tls(kind, text) => Error::UpstreamTls(io::Error::new(*kind, text.as_str())),
        }
    }
}

/// Opens one connection; with `http1` HTTP/2 is not offered.
pub(super) async fn open(
    address: SocketAddr,
    host: &str,
    transport: &Transport,
    http1: bool,
    permit: NewConnectionPermit,
) -> Result<Opened, Error> {
    let connected = connect(address, host, transport, http1).await;
    if let Err(error) = &connected {
        transport.handles.upstream_connects.count(error.reason());
    }
    let (io, http2) = connected?;
    let io = io.holding(permit.places);
    if http2 {
        let terms = h2::ConnectionSettings {
            https: transport.tls.is_some(),
            max_requests: transport.max_requests,
            quotas: permit.quotas,
            pings: transport.http2_keepalive,
        };
        h2::Shared::handshake(io, terms).await.map(Opened::H2)
    } else {
        h1::Connection::handshake(io).await.map(Opened::H1)
    }
}

/// TCP and TLS; also says whether the connection speaks HTTP/2.
async fn connect(
    address: SocketAddr,
    host: &str,
    transport: &Transport,
    http1: bool,
) -> Result<(UpstreamIo, bool), Error> {
    let tcp = timeout(transport.connect_timeout, TcpStream::connect(address))
        .await
        .map_err(|_elapsed| Error::ConnectTimeout(CONNECTING))?
        .map_err(Error::ConnectFailed)?;
    tcp.set_nodelay(true).map_err(Error::ConnectFailed)?;
    socket::watch(&tcp, transport.tcp_keepalive.as_ref(), Duration::ZERO);
    match &transport.tls {
        None => Ok((UpstreamIo::plain(tcp, transport.handles.connected()), transport.version == Version::Http2)),
        Some(tls) => {
            let version = if http1 { Version::Http1 } else { transport.version };
            let handshake = secure(tcp, host, tls, version);
            let (stream, http2) = timeout(transport.handshake_timeout, handshake)
                .await
                .map_err(|_elapsed| Error::ConnectTimeout(HANDSHAKE))?
                .map_err(Error::UpstreamTls)?;
            Ok((UpstreamIo::tls(stream, transport.handles.connected()), http2))
        }
    }
}

/// TLS over a connected socket; also says whether both sides agreed on HTTP/2.
pub(super) async fn secure(
    tcp: TcpStream,
    host: &str,
    tls: &ClientTls,
    version: Version,
) -> io::Result<(TlsStream<TcpStream>, bool)> {
    let http1 = version == Version::Http1;
    let stream = tls.handshake(tcp, host, http1).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    if version == Version::Http2 && !http2 {
        return Err(io::Error::other("the endpoint does not speak HTTP/2 over TLS"));
    }
    Ok((stream, http2))
}
