//! The whole room over real sockets, with a trivial service.

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

use crate::config::model::{ClientAuth, HttpVersion, Limits, Listener, ListenerId, ListenerTls, PathPolicy, TlsVersion, UnknownSni};
use crate::context::{Connection, Refusal};
use crate::listener::certificates::tests::{Authority, Files};
use crate::listener::{ConnectionEnd, Expiry, HandshakeEnd, Report, Running, Settings, Shared, Watchdog, bind, start};

/// What a listener reported, without what borrows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Accepted,
    AtCeiling,
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
        https_redirect: None,
        tls: None,
        limits,
        proxy_protocol: Vec::new(),
        paths: PathPolicy { merge_slashes: true, allow_encoded_slash: false },
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
        let mut buffer = [0; 4096];
        let count = timeout(Duration::from_secs(5), stream.read(&mut buffer)).await.expect("answers in time").unwrap();
        assert!(count > 0, "closed after {text:?}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

#[tokio::test(flavor = "local")]
async fn requests_and_pipelining_over_http1() {
    let front = open(&listener(limits()));
    let text = front
        .converse(
            b"POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabcPOST /b HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
              5;x=y\r\nabcde\r\n0\r\ntrailer: 1\r\n\r\nGET /c HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 3, "{text}");
    let bodies: Vec<_> = text.match_indices("got ").map(|(at, _)| &text[at..at + 5]).collect();
    assert_eq!(bodies, ["got 3", "got 5", "got 0"]);
    front.eventually(Seen::Ended(ConnectionEnd::Closed)).await;
    assert_eq!(front.shared.open(), 0, "the permit was given back");
}

#[tokio::test(flavor = "local")]
async fn what_the_scanner_finds_the_service_refuses_after_answering_what_came_before() {
    let front = open(&listener(limits()));
    let text = front
        .converse(
            b"GET /a HTTP/1.1\r\nhost: a\r\n\r\nPOST /b HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n\
              0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n",
        )
        .await;
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1 400").count(), 1, "{text}");
    assert_eq!(text.matches("HTTP/1.1").count(), 2, "nothing after the refused head is parsed: {text}");
    assert!(text.ends_with("length_and_encoding"), "{text}");
}

#[tokio::test(flavor = "local")]
async fn broken_heads_get_400_and_the_connection_closes() {
    let front = open(&listener(limits()));
    let cases: [&[u8]; 14] = [
        b"GET / HTTP/1.1\nhost: a\n\n",
        b"GET / HTTP/1.1\r\nhost: a\nx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\rx: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nx: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n host: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: a\r\nnocolon\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\r\n\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\r\n\r\n",
    ];
    for case in cases {
        let text = front.converse(case).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{:?}: {text}", String::from_utf8_lossy(case));
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{text}");
    }
    front.eventually(Seen::Ended(ConnectionEnd::Refused(StatusCode::BAD_REQUEST))).await;
}

#[tokio::test(flavor = "local")]
async fn heads_over_the_limits_get_414_or_431() {
    let front = open(&listener(Limits { max_header_bytes: 4096, max_headers: 10, max_target_bytes: 100, ..limits() }));
    let long = front.converse(format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(100)).as_bytes()).await;
    assert!(long.starts_with("HTTP/1.1 414"), "{long}");
    let large = front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(4096)).as_bytes()).await;
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let endless = front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "x".repeat(9000)).as_bytes()).await;
    assert!(endless.starts_with("HTTP/1.1 431"), "{endless}");
    let many = front.converse(format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: y\r\n".repeat(10)).as_bytes()).await;
    assert!(many.starts_with("HTTP/1.1 431"), "{many}");
    front.eventually(Seen::Ended(ConnectionEnd::Refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE))).await;
}

#[tokio::test(flavor = "local")]
async fn a_broken_chunk_fails_the_body_and_nothing_follows() {
    let front = open(&listener(limits()));
    for chunks in ["5\nabcde\r\n0\r\n\r\n", "5 \r\nabcde\r\n0\r\n\r\n", "+5\r\nabcde\r\n0\r\n\r\n", "5;\x01\r\nabcde\r\n0\r\n\r\n", "5\r\nabcdeX\r\n"] {
        let text = front
            .converse(
                format!("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{chunks}GET /next HTTP/1.1\r\nhost: a\r\n\r\n")
                    .as_bytes(),
            )
            .await;
        assert!(text.starts_with("HTTP/1.1 400"), "{chunks:?}: {text}");
        assert_eq!(text.matches("HTTP/1.").count(), 1, "{chunks:?}: {text}");
    }
}

#[tokio::test(flavor = "local")]
async fn an_answer_that_comes_before_the_body_is_read_arrives() {
    let front = open(&listener(limits()));
    let mut stream = front.connect().await;
    stream.write_all(b"POST /unread HTTP/1.1\r\nhost: a\r\ncontent-length: 900000\r\n\r\n").await.unwrap();
    let (mut read, mut write) = stream.split();
    let upload = async {
        for _ in 0..9 {
            write.write_all(&[b'x'; 100_000]).await?;
        }
        write.shutdown().await
    };
    let mut text = String::new();
    let (uploaded, read) = tokio::join!(upload, timeout(Duration::from_secs(5), read.read_to_string(&mut text)));
    uploaded.unwrap();
    read.unwrap().unwrap();
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
}

#[tokio::test(flavor = "local")]
async fn silent_slow_and_deaf_clients_are_cut() {
    let front = open(&listener(hasty()));
    let cases: [(&[u8], Expiry); 4] = [
        (b"", Expiry::Idle),
        (b"GET / HTTP/1.1\r\nhos", Expiry::Head),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nabc", Expiry::Body),
        (b"GET /big HTTP/1.1\r\nhost: a\r\n\r\n", Expiry::Write),
    ];
    for (bytes, expiry) in cases {
        let mut stream = front.connect().await;
        stream.write_all(bytes).await.unwrap();
        front.eventually(Seen::Ended(ConnectionEnd::Expired(expiry))).await;
        front.seen.borrow_mut().clear();
        if expiry != Expiry::Write {
            assert_eq!(read_all(&mut stream).await, "", "{expiry:?}");
        }
    }
}

#[tokio::test(flavor = "local")]
async fn keep_alive_ends_when_idle_and_a_trickled_head_does_not_extend_its_time() {
    let front = open(&listener(hasty()));
    let mut stream = front.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    assert!(read_all(&mut stream).await.ends_with("got 0"));
    front.eventually(Seen::Ended(ConnectionEnd::Expired(Expiry::Idle))).await;

    let mut stream = front.connect().await;
    let trickle = async {
        for byte in b"GET / HTTP/1.1\r\nhost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".iter().cycle() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            if stream.write_all(&[*byte]).await.is_err() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(5), trickle).await.expect("cut in time");
    assert!(front.seen.borrow().contains(&Seen::Ended(ConnectionEnd::Expired(Expiry::Head))), "{:?}", front.seen.borrow());
}

#[tokio::test(flavor = "local")]
async fn prior_knowledge_h2_is_recognised_and_a_half_preface_is_cut() {
    let mut listener = listener(hasty());
    listener.protocols = vec![HttpVersion::Http1, HttpVersion::H2];
    let front = open(&listener);
    let (mut send, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(front.connect().await)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::post("http://a/x").body(Full::<Bytes>::from("abcd")).unwrap();
    let response = send.send_request(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "got 4");
    drop(send);
    driver.await.unwrap().unwrap();

    let text = front.converse(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.ends_with("got 0"), "HTTP/1 still works: {text}");
    let text = front.converse(b"PRI / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.ends_with("got 0"), "what only begins alike is HTTP/1: {text}");

    let mut stream = front.connect().await;
    stream.write_all(b"PRI * ").await.unwrap();
    assert_eq!(read_all(&mut stream).await, "");
    front.eventually(Seen::Ended(ConnectionEnd::Expired(Expiry::Head))).await;
}

fn tls_listener(authority: &Authority, files: &Files, limits: Limits) -> Listener {
    let mut listener = listener(limits);
    listener.protocols = vec![HttpVersion::H2, HttpVersion::Http1];
    listener.tls = Some(ListenerTls {
        min_version: TlsVersion::V12,
        certificates: vec![files.issue(authority, "one", &["one.test"])],
        unknown_sni: UnknownSni::Reject,
        client_auth: ClientAuth::None,
    });
    listener
}

#[tokio::test(flavor = "local")]
async fn tls_speaks_what_alpn_agrees_on() {
    let (authority, files) = (Authority::new(), Files::new());
    let front = open(&tls_listener(&authority, &files, limits()));
    let name = ServerName::try_from("one.test").unwrap();

    let connector = authority.connector(&[b"h2"]);
    let stream = connector.connect(name.clone(), front.connect().await).await.unwrap();
    let (mut send, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = Request::get("https://one.test/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(send.send_request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes(), "got 0");
    drop(send);
    driver.await.unwrap().unwrap();

    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        let mut stream = authority.connector(alpn).connect(name.clone(), front.connect().await).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert!(text.ends_with("got 0"), "{text}");
    }
    assert!(authority.connector(&[b"spdy/3"]).connect(name, front.connect().await).await.is_err(), "nothing in common");
    let unknown = ServerName::try_from("two.test").unwrap();
    let error = authority.connector(&[]).connect(unknown, front.connect().await).await.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("unrecogni"), "{error}");
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::UnknownName)).await;
}

#[tokio::test(flavor = "local")]
async fn silence_is_cut_before_in_and_after_a_tls_handshake() {
    let (authority, files) = (Authority::new(), Files::new());
    let front = open(&tls_listener(&authority, &files, hasty()));
    let mut stream = front.connect().await;
    assert_eq!(read_all(&mut stream).await, "");
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::Timeout)).await;
    let name = ServerName::try_from("one.test").unwrap();
    for (alpn, expiry) in [(&b"http/1.1"[..], Expiry::Idle), (&b"h2"[..], Expiry::Head)] {
        let mut stream = authority.connector(&[alpn]).connect(name.clone(), front.connect().await).await.unwrap();
        let mut bytes = Vec::new();
        // The end of the stream, with or without a close_notify before it.
        let read = timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await.expect("cut in time");
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof));
        front.eventually(Seen::Ended(ConnectionEnd::Expired(expiry))).await;
    }
}

#[tokio::test(flavor = "local")]
async fn an_idle_h2_connection_is_told_to_go() {
    let mut listener = listener(hasty());
    listener.protocols = vec![HttpVersion::H2];
    let front = open(&listener);
    let (send, connection) =
        hyper::client::conn::http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(front.connect().await)).await.unwrap();
    timeout(Duration::from_secs(5), connection).await.expect("ends in time").expect("GOAWAY without an error");
    drop(send);
    front.eventually(Seen::Ended(ConnectionEnd::Closed)).await;
}

#[tokio::test(flavor = "local")]
async fn proxy_headers_are_required_from_those_on_the_list_only() {
    let mut trusting = listener(hasty());
    trusting.proxy_protocol = vec!["127.0.0.0/8".parse().unwrap()];
    trusting.limits.max_connections_per_ip = Some(1);
    let front = open(&trusting);
    let request = "GET /peer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let text = front.converse(format!("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n{request}").as_bytes()).await;
    assert!(text.ends_with("192.0.2.7:4711"), "{text}");
    front.refuses(request.as_bytes()).await;
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::ProxyHeader)).await;
    front.refuses(b"").await;
    front.eventually(Seen::HandshakeFailed(HandshakeEnd::Timeout)).await;

    let held = format!("PROXY TCP4 192.0.2.8 10.0.0.1 1 443\r\n{}", request.replace("connection: close\r\n", ""));
    let mut first = front.connect().await;
    first.write_all(held.as_bytes()).await.unwrap();
    read_until(&mut first, "192.0.2.8:1").await;
    front.refuses(held.as_bytes()).await;
    front.eventually(Seen::OverClientCeiling).await;

    let front = open(&listener(limits()));
    let text = front.converse(format!("PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n{request}").as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 400"), "a stranger's header is no HTTP: {text}");
}

#[tokio::test(flavor = "local")]
async fn ceilings_hold_and_are_given_back() {
    let front = open(&listener(Limits { max_connections: 2, ..limits() }));
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut first = front.connect().await;
    let second = front.connect().await;
    front.eventually(Seen::AtCeiling).await;
    let mut third = front.connect().await;
    third.write_all(request).await.unwrap();
    first.write_all(request).await.unwrap();
    read_until(&mut first, "got 0").await;
    assert_eq!(front.shared.open(), 2, "the third waits in the kernel's queue");
    drop(second);
    read_until(&mut third, "got 0").await;

    let front = open(&listener(Limits { max_connections_per_ip: Some(1), ..limits() }));
    let mut first = front.connect().await;
    first.write_all(request).await.unwrap();
    read_until(&mut first, "got 0").await;
    front.refuses(request).await;
    front.eventually(Seen::OverClientCeiling).await;
    drop(first);
    front.eventually(Seen::Ended(ConnectionEnd::Closed)).await;
    let mut again = front.connect().await;
    again.write_all(request).await.unwrap();
    read_until(&mut again, "got 0").await;
}

#[tokio::test(flavor = "local")]
async fn draining_answers_what_is_under_way_and_what_is_queued_then_closes() {
    let front = open(&listener(limits()));
    let mut busy = front.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await.unwrap();
    let mut idle = front.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "got 0").await;
    let mut silent = front.connect().await;
    while front.running.open() < 3 {
        tokio::task::yield_now().await;
    }
    // In the kernel's queue: nothing is awaited before the drain.
    let mut queued = std::net::TcpStream::connect(front.address).unwrap();
    std::io::Write::write_all(&mut queued, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    front.running.drain();
    queued.set_nonblocking(true).unwrap();
    let mut queued = TcpStream::from_std(queued).unwrap();
    assert_eq!(read_all(&mut idle).await, "");
    assert_eq!(read_all(&mut silent).await, "");
    assert!(read_all(&mut queued).await.ends_with("got 0"), "who had a connection is answered");
    assert_eq!(front.running.open(), 1);
    busy.write_all(b"bc").await.unwrap();
    let text = read_all(&mut busy).await;
    assert!(text.contains("connection: close") && text.ends_with("got 3"), "{text}");
    timeout(Duration::from_secs(5), front.running.finished()).await.expect("ends");
    assert!(TcpStream::connect(front.address).await.is_err(), "the socket is closed");
    assert_eq!(front.running.abort(), 0, "nothing was left to cut");
}

#[tokio::test(flavor = "local")]
async fn aborting_cuts_what_is_left_and_counts_it() {
    let front = open(&listener(limits()));
    let mut busy = front.connect().await;
    busy.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\na").await.unwrap();
    while front.running.open() < 1 {
        tokio::task::yield_now().await;
    }
    front.running.drain();
    assert_eq!(front.running.abort(), 1);
    timeout(Duration::from_secs(5), front.running.finished()).await.expect("ends");
    assert_eq!(front.running.open(), 0);
    assert_eq!(front.shared.open(), 0);
}

#[tokio::test(flavor = "local")]
async fn settings_are_replaced_without_rebinding() {
    let front = open(&listener(limits()));
    let mut changed = listener(limits());
    changed.limits.max_target_bytes = 3;
    front.shared.replace(Settings::load(ListenerId(0), &changed, Some(&front.shared.settings())).unwrap());
    let text = front.converse(b"GET /long HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 414"), "{text}");
}
