//! Clients: HTTP/1.1 and HTTP/2, in the clear and over TLS, one connection each.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Body, Ca, Identity, empty, full, within};

/// A request for `path` at host `localhost`.
pub(crate) fn get(path: &str) -> Request<Body> {
    request("GET", path, empty())
}

/// A request with a body of known length.
pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    request("POST", path, full(body))
}

pub(crate) fn delete(path: &str) -> Request<Body> {
    request("DELETE", path, empty())
}

pub(crate) fn request(method: &str, path: &str, body: Body) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Request::builder().method(method).uri(path).header(header::HOST, "localhost").body(body).unwrap()
}

/// The same request for another host.
pub(crate) fn at_host(host: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(header::HOST, host.parse().unwrap());
    request
}

/// The same request with another field.
pub(crate) fn with_field(name: &'static str, value: &str, mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

/// A request for a tunnel.
pub(crate) fn websocket(path: &str) -> Request<Body> {
    let fields = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    let add = |request, (name, value)| with_field(name, value, request);
    fields.into_iter().fold(get(path), add)
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    /// Reads an answer to its end.
    pub(crate) async fn read(response: Response<Incoming>) -> Result<Self, hyper::Error> {
        let (head, body) = response.into_parts();
        let body = within("the rest of an answer", body.collect()).await?;
        let trailers = body.trailers().cloned();
        Ok(Self {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            body: body.to_bytes(),
            trailers,
        })
    }

    /// A field's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Its status, and the gateway's word where that refused or failed.
    pub(crate) fn outcome(&self) -> (u16, &str) {
        (self.status, self.reason())
    }

    /// The gateway's word for a failure.
    pub(crate) fn reason(&self) -> &str {
        self.header("x-attache-reason")
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    sender: Sender,
    task: JoinHandle<()>,
    tasks: Tasks,
    /// The peer's certificate chain, over TLS.
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    /// Whether the TLS session was resumed.
    pub(crate) resumed: bool,
}

#[derive(Debug)]
enum Sender {
    H1(http1::SendRequest<Body>),
    H2(http2::SendRequest<Body>),
}

impl Client {
    pub(crate) async fn h1(address: SocketAddr) -> Self {
        Self::over(connect(address).await.unwrap(), false).await
    }

    pub(crate) async fn h2c(address: SocketAddr) -> Self {
        Self::over(connect(address).await.unwrap(), true).await
    }

    /// HTTP on a connected stream.
    pub(crate) async fn over<T>(io: T, http2: bool) -> Self
    where
        T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(io);
        let tasks = Tasks::default();
        let (sender, task) = if http2 {
            let (sender, driver) = within("an HTTP/2 handshake", http2::handshake(tasks.clone(), io)).await.unwrap();
            (Sender::H2(sender), tokio::spawn(async move { drop(driver.await) }))
        } else {
            let (sender, driver) = within("an HTTP/1 handshake", http1::handshake(io)).await.unwrap();
            (Sender::H1(sender), tokio::spawn(async move { drop(driver.with_upgrades().await) }))
        };
        Self { sender, task, tasks, certificates: Vec::new(), resumed: false }
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        within("the head of an answer", self.send_patiently(request)).await
    }

    /// As `send`, for as long as it takes.
    pub(crate) async fn send_patiently(&mut self, request: Request<Body>) -> Result<Response<Incoming>, hyper::Error> {
        match &mut self.sender {
            Sender::H1(sender) => {
                within("the connection is free", sender.ready()).await?;
                sender.send_request(request).await
            }
            Sender::H2(sender) => {
                within("the connection is free", sender.ready()).await?;
                sender.send_request(absolute(request)).await
            }
        }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn reply(&mut self, request: Request<Body>) -> Reply {
        Reply::read(self.send(request).await.unwrap()).await.unwrap()
    }

    /// Another handle to the same HTTP/2 connection.
    pub(crate) fn fork(&self) -> Self {
        let Sender::H2(sender) = &self.sender else { panic!("only HTTP/2 connections are shared") };
        let task = tokio::spawn(async {});
        Self {
            sender: Sender::H2(sender.clone()),
            task,
            tasks: self.tasks.clone(),
            certificates: Vec::new(),
            resumed: false,
        }
    }

    /// Ends when the connection has ended.
    pub(crate) async fn closed(&mut self) {
        within("the connection is closed", &mut self.task).await.ok();
    }

    /// Closes the connection at once.
    pub(crate) fn leave(self) {
        self.task.abort();
        for task in self.tasks.0.lock().unwrap().drain(..) {
            task.abort();
        }
    }
}

/// Runs what hyper wants to run beside a connection, and can end it: otherwise the socket would outlive its client.
#[derive(Clone, Debug, Default)]
struct Tasks(Arc<Mutex<Vec<AbortHandle>>>);

impl<F> Executor<F> for Tasks
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        let task = tokio::spawn(future);
        self.0.lock().unwrap().push(task.abort_handle());
    }
}

/// A connection that does not wait for more to send.
async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = within("connect", TcpStream::connect(address)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// HTTP/2 wants the host in the target.
fn absolute(mut request: Request<Body>) -> Request<Body> {
    if request.uri().authority().is_none() {
        let host = request.headers_mut().remove(header::HOST).unwrap();
        let path = request.uri().path_and_query().unwrap().as_str();
        *request.uri_mut() = format!("http://{}{path}", host.to_str().unwrap()).parse::<Uri>().unwrap();
    }
    request
}

/// How a client speaks TLS. Clones share their sessions.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Trusts `ca` and offers these protocols.
    pub(crate) fn new(ca: &Ca, alpn: &[&str]) -> Self {
        Self::build(ca, alpn, None)
    }

    /// Presents a certificate besides.
    pub(crate) fn with_identity(ca: &Ca, alpn: &[&str], identity: &Identity) -> Self {
        Self::build(ca, alpn, Some(identity))
    }

    fn build(ca: &Ca, alpn: &[&str], identity: Option<&Identity>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(ca.roots());
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.load();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Self { config: Arc::new(config) }
    }

    /// The same with other settings.
    pub(crate) fn changed(&self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        change(&mut config);
        Self { config: Arc::new(config) }
    }

    /// Connects and asks for `name`.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Client> {
        self.over(connect(address).await?, name).await
    }

    /// A connected socket after a handshake for `name`, without HTTP.
    pub(crate) async fn stream(&self, tcp: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::clone(&self.config));
        within("a TLS handshake", connector.connect(name, tcp)).await
    }

    /// A client on a connected socket, after a handshake for `name`.
    pub(crate) async fn over(&self, tcp: TcpStream, name: &str) -> std::io::Result<Client> {
        let stream = self.stream(tcp, name).await?;
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2");
        let certificates = session.peer_certificates().unwrap_or_default().to_vec();
        let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        let client = Client::over(stream, http2).await;
        Ok(Client { certificates, resumed, ..client })
    }
}
