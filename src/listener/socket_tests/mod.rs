//! The whole room over real sockets, with a trivial service.

mod http1;
mod limits;
mod stop;
mod tls;

use std::cell::RefCell;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::model::{
    ClientAuth, HeaderChanges, HttpVersion, Limits, Listener, ListenerId, ListenerTls, PathPolicy, TlsVersion,
    UnknownSni,
};
use crate::context::{Connection, Refusal};
use crate::listener::certificates::tests::{Authority, Files};
use crate::listener::{ConnectionEnd, Expiry, HandshakeEnd, Report, Running, Settings, Shared, Watchdog, bind, start};

/// What a listener reported, without what borrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Accepted,
    AtCeiling,
    OverCeiling,
    OverClientCeiling,
    AcceptFailed,
    HandshakeFailed(HandshakeEnd),
    Ended(ConnectionEnd),
}

struct Front {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Running,
    seen: Rc<RefCell<Vec<Seen>>>,
}

fn limits() -> Limits {
    Limits {
        max_connections: 100,
        max_connections_per_ip: None,
        max_header_bytes: 64 * 1024,
        max_headers: 100,
        max_target_bytes: 16 * 1024,
        max_body_bytes: None,
        header_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(75),
        body_idle_timeout: Duration::from_secs(30),
        half_close_timeout: Duration::from_millis(500),
        handshake_timeout: Duration::from_secs(10),
        max_concurrent_streams: 100,
    }
}

/// Limits that run out while a test waits.
fn hasty() -> Limits {
    let soon = Duration::from_millis(200);
    Limits { header_timeout: soon, idle_timeout: soon, body_idle_timeout: soon, handshake_timeout: soon, ..limits() }
}

fn listener(limits: Limits) -> Listener {
    Listener {
        name: "test".into(),
        address: "127.0.0.1:0".parse().unwrap(),
        protocols: vec![HttpVersion::Http1],
        public_url: None,
        https_redirect: None,
        tls: None,
        limits,
        tcp_keepalive: None,
        http2_keepalive: None,
        proxy_protocol: Vec::new(),
        paths: PathPolicy { merge_slashes: true, allow_encoded_slash: false },
        catalog: None,
        ip_access: None,
        unrouted_headers: HeaderChanges::default(),
    }
}

/// Answers with what it knows: the body's length, or the refusal.
async fn answer(connection: Rc<Connection>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let exchange = connection.begin();
    let mut response = Response::new(Full::default());
    if let Some(verdict) = connection.verdict.get() {
        *response.status_mut() = match verdict.refusal {
            Refusal::BadRequest => StatusCode::BAD_REQUEST,
            Refusal::TargetTooLong => StatusCode::URI_TOO_LONG,
            Refusal::HeadTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        };
        *response.body_mut() = Full::from(verdict.reason);
        return Ok(response);
    }
    if request.uri().path() == "/unread" {
        *response.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return Ok(response);
    }
    if request.uri().path() == "/big" {
        *response.body_mut() = Full::from(vec![b'x'; 64 * 1024 * 1024]);
        // Until the end of the connection, as the body's guard would in the edge.
        std::mem::forget(exchange);
        return Ok(response);
    }
    assert_ne!(request.uri().path(), "/panic", "on purpose");
    if request.uri().path() == "/peer" {
        *response.body_mut() = Full::from(connection.peer.to_string());
        return Ok(response);
    }
    match request.into_body().collect().await {
        Ok(body) => *response.body_mut() = Full::from(format!("got {}", body.to_bytes().len())),
        Err(_) => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

fn open(listener: &Listener) -> Front {
    let shared = Shared::new(Settings::load(ListenerId(0), listener, None).unwrap());
    let socket = bind(listener.address, 1).unwrap().pop().unwrap();
    let address = socket.local_addr().unwrap();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&seen);
    let service = |connection: &Rc<Connection>| {
        let connection = Rc::clone(connection);
        service_fn(move |request| answer(Rc::clone(&connection), request))
    };
    let report = move |report: &Report<'_>| {
        log.borrow_mut().push(match report {
            Report::Accepted => Seen::Accepted,
            Report::AtCeiling => Seen::AtCeiling,
            Report::OverCeiling => Seen::OverCeiling,
            Report::OverClientCeiling => Seen::OverClientCeiling,
            Report::AcceptFailed(_) => Seen::AcceptFailed,
            Report::HandshakeFailed(end) => Seen::HandshakeFailed(*end),
            Report::Ended(_, end) => Seen::Ended(*end),
        });
    };
    let running = start(&Watchdog::start(), socket, Arc::clone(&shared), service, report).unwrap();
    Front { address, shared, running, seen }
}

impl Front {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Everything the listener sends for these bytes, until it closes.
    async fn converse(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_all(&mut stream).await
    }

    /// The listener closes without a word, whatever is sent.
    async fn refuses(&self, bytes: &[u8]) {
        let mut stream = self.connect().await;
        // The write loses the race against the close, or not; and what is unread at the close makes it a reset.
        drop(stream.write_all(bytes).await);
        let mut text = Vec::new();
        let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut text)).await.expect("closes in time");
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));
        assert!(text.is_empty(), "{text:?}");
    }

    async fn eventually(&self, what: Seen) {
        for _ in 0..500 {
            if self.seen.borrow().contains(&what) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what:?} did not happen, but {:?}", self.seen.borrow());
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut text)).await.expect("closes in time").unwrap();
    String::from_utf8(text).unwrap()
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.contains(end) {
        let mut buffer = [0; 1024];
        let count = timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect("answers in time").unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}
