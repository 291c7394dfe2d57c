//! From an accepted socket to a connection that carries HTTP: the PROXY header, then TLS, both under one deadline, then
//! [`serve`](super::serve).

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use rustls::server::ClientHello;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::acme::PROTOCOL;
use crate::config::model::{HttpVersion, TlsVersion};
use crate::context::{ClientCertificate, Connection, TlsFacts};
use crate::listener::ceiling::Permit;
use crate::listener::connection_handle::ConnectionHandle;
use crate::listener::io::{Io, Socket, Stream};
use crate::listener::proxy_protocol;
use crate::listener::serve::{ConnectionEnd, ServeSettings, Serves, Speaks, refuse_plain, serve};
use crate::listener::settings::Settings;
use crate::listener::tls::Tls;

/// How a connection ended that never got as far as HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeEnd {
    /// The TLS handshake or the PROXY header took too long.
    Timeout,
    /// The peer closed or spoke no TLS, or the parties agreed on nothing.
    Tls,
    /// The peer spoke HTTP where TLS is spoken, and was told so.
    PlainHttp,
    /// No certificate for the client's server name.
    UnknownName,
    /// No or an invalid PROXY header from a peer that must send one.
    ProxyHeader,
    /// The client a PROXY header told of has too many connections.
    OverClientCeiling,
    /// The socket failed.
    Socket,
    /// An authority looked at a challenge of a certificate that is ordered, and nothing failed.
    Challenge,
    /// The listener was stopped.
    Stopped,
}

/// Takes a connection from its first byte to its end. `make` is told the connection's facts and gives its service. When
/// the future is dropped the socket is closed.
pub(crate) async fn converse<S>(
    stream: TcpStream,
    settings: &Settings,
    permit: Permit,
    handle: Rc<ConnectionHandle>,
    make: impl FnOnce(Rc<Connection>) -> (Rc<Connection>, S),
) -> Result<ConnectionEnd, HandshakeEnd>
where
    S: Serves,
{
    let deadline = Instant::now() + settings.limits.handshake_timeout;
    let mut stream = stream;
    let mut facts = socket_facts(&stream, settings).map_err(|_gone| HandshakeEnd::Socket)?;
    let mut permit = permit;
    if settings.believes(facts.peer.ip()) {
        let header = proxy_protocol::read(&mut stream);
        let header = Box::pin(within(deadline, HandshakeEnd::ProxyHeader, header)).await?;
        if let Some(proxied) = header {
            (facts.peer, facts.local) = (proxied.source, proxied.destination);
        }
        if let Some(maximum) = settings.limits.max_connections_per_ip {
            permit = permit.for_client(facts.peer.ip(), maximum).map_err(|_over| HandshakeEnd::OverClientCeiling)?;
        }
    }
    if settings.tls.is_some() && Box::pin(is_plain_http(&stream, deadline)).await? {
        return Box::pin(turn_away(stream, facts, settings, permit, handle, make)).await;
    }
    let socket = Socket::new(stream, Arc::clone(handle.progress()));
    let (stream, speaks) = match &settings.tls {
        None => (Stream::Plain(socket), speaks_without_tls(&settings.protocols)),
        Some(tls) => {
            let stream = Box::pin(handshake(tls, socket, deadline)).await?;
            let session = stream.get_ref().1;
            let speaks = speaks_with_tls(session.alpn_protocol(), &settings.protocols);
            facts.tls = Some(tls_facts(session));
            (Stream::Tls(stream), speaks)
        }
    };
    let io = Io::new(stream, Arc::clone(handle.progress()), permit);
    let (connection, service) = make(Rc::new(facts));
    let serve_settings = ServeSettings { limits: &settings.limits, pings: settings.http2_keepalive };
    Ok(serve(io, speaks, connection, service, handle, serve_settings).await)
}

/// Whether a peer that should begin a handshake begins a request: with a letter, as no TLS record does. Takes nothing.
async fn is_plain_http(stream: &TcpStream, deadline: Instant) -> Result<bool, HandshakeEnd> {
    let mut first = [0];
    let seen = within(deadline, HandshakeEnd::Tls, stream.peek(&mut first)).await?;
    Ok(seen > 0 && first.iter().all(u8::is_ascii_uppercase))
}

/// Answers a client that speaks HTTP on a TLS port, with a refusal that it can read. Its request goes nowhere.
async fn turn_away<S>(
    stream: TcpStream,
    facts: Connection,
    settings: &Settings,
    permit: Permit,
    handle: Rc<ConnectionHandle>,
    make: impl FnOnce(Rc<Connection>) -> (Rc<Connection>, S),
) -> Result<ConnectionEnd, HandshakeEnd>
where
    S: Serves,
{
    let socket = Socket::new(stream, Arc::clone(handle.progress()));
    let io = Io::new(Stream::Plain(socket), Arc::clone(handle.progress()), permit);
    let (connection, service) = make(Rc::new(facts));
    Ok(refuse_plain(io, connection, service, handle, &settings.limits).await)
}

fn socket_facts(stream: &TcpStream, settings: &Settings) -> io::Result<Connection> {
    Ok(Connection::new(settings.id, stream.peer_addr()?, stream.local_addr()?, None))
}

async fn handshake(tls: &Tls, socket: Socket, deadline: Instant) -> Result<Box<TlsStream<Socket>>, HandshakeEnd> {
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), socket);
    let mut start = within(deadline, HandshakeEnd::Tls, hello).await?;
    if let Some(challenge) = challenge(tls, &start.client_hello()) {
        within(deadline, HandshakeEnd::Tls, start.into_stream(challenge)).await?;
        return Err(HandshakeEnd::Challenge);
    }
    if !tls.serves(start.client_hello().server_name()) {
        // rustls would send `access_denied`; this alert tells the client what is wrong.
        let alert = start.io.write_all(UNRECOGNIZED_NAME);
        within(deadline, HandshakeEnd::UnknownName, alert).await?;
        return Err(HandshakeEnd::UnknownName);
    }
    let config = tls.server_config(start.client_hello().cipher_suites());
    within(deadline, HandshakeEnd::Tls, start.into_stream(config)).await.map(Box::new)
}

/// How to answer a client that looks at a challenge and wants nothing else (RFC 8737 section 3).
fn challenge(tls: &Tls, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
    let mut offered = hello.alpn()?;
    let is_challenge = offered.next() == Some(PROTOCOL) && offered.next().is_none();
    tls.challenges().handshake(hello.server_name().filter(|_| is_challenge)?)
}

async fn within<T>(
    deadline: Instant,
    end: HandshakeEnd,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, HandshakeEnd> {
    match timeout_at(deadline, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            tracing::debug!(%error, ?end, "handshake failed");
            Err(end)
        }
        Err(_) => Err(HandshakeEnd::Timeout),
    }
}

fn tls_facts(session: &ServerConnection) -> TlsFacts {
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    TlsFacts {
        server_name: session.server_name().map(|name| name.to_ascii_lowercase().into_boxed_str()),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => TlsVersion::V12,
            _ => TlsVersion::V13,
        },
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        client_verified: leaf.is_some(),
        certificate: leaf.and_then(|leaf| ClientCertificate::read(leaf)).map(Arc::new),
    }
}

/// A client without ALPN speaks HTTP/1, as long as that is served.
fn speaks_with_tls(agreed: Option<&[u8]>, protocols: &[HttpVersion]) -> Speaks {
    match agreed {
        Some(b"h2") => Speaks::Agreed(HttpVersion::H2),
        Some(_) => Speaks::Agreed(HttpVersion::Http1),
        None if protocols.contains(&HttpVersion::Http1) => Speaks::Agreed(HttpVersion::Http1),
        None => Speaks::Agreed(HttpVersion::H2),
    }
}

fn speaks_without_tls(protocols: &[HttpVersion]) -> Speaks {
    match (protocols.contains(&HttpVersion::Http1), protocols.contains(&HttpVersion::H2)) {
        (true, true) => Speaks::Unknown,
        (false, true) => Speaks::Agreed(HttpVersion::H2),
        (_, false) => Speaks::Agreed(HttpVersion::Http1),
    }
}

/// A TLS record with the fatal alert 112 (RFC 6066 section 3).
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken() {
        use HttpVersion::{H2, Http1};
        let both = [H2, Http1];
        assert_eq!(speaks_with_tls(Some(b"h2"), &both), Speaks::Agreed(H2));
        assert_eq!(speaks_with_tls(Some(b"http/1.1"), &both), Speaks::Agreed(Http1));
        assert_eq!(speaks_with_tls(None, &both), Speaks::Agreed(Http1), "no ALPN");
        assert_eq!(speaks_with_tls(None, &[H2]), Speaks::Agreed(H2));
        assert_eq!(speaks_without_tls(&both), Speaks::Unknown);
        assert_eq!(speaks_without_tls(&[Http1]), Speaks::Agreed(Http1));
        assert_eq!(speaks_without_tls(&[H2]), Speaks::Agreed(H2));
    }
}
