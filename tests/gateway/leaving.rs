//! Clients that leave while nobody reads from them: the endpoint has stopped taking their upload, or they sent more
//! than one request. A client that is merely slow is none of them.

use std::net::SocketAddr;
use std::time::Duration;

use http::Response;
use http_body_util::BodyExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use crate::support::{Backend, Ca, Gw, RawBackend, Tls, channel, full, pass, post, promised, request, soon, within};

const TO_ONE: &str = "routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }";
const TLS_TO_ONE: &str = "
    listeners: { https: { address: '127.0.0.1:0', tls: { certificates: [{ {1} }] } } }
    routes: { all: { endpoints: ['{0}'], maxBodyBytes: off } }
";
const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n";

/// An agent that reads the head of a request and no more, and says when its connection was closed. Its small buffer
/// keeps the number of writes small that fill what lies between it and a client.
fn deaf() -> (RawBackend, mpsc::Receiver<()>) {
    let (left, leavings) = mpsc::channel(1);
    let agent = RawBackend::script_of_small_buffer(move |mut connection| {
        let left = left.clone();
        async move {
            connection.read_head().await;
            connection.left().await;
            left.send(()).await.ok();
        }
    });
    (agent, leavings)
}

trait Talk: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Talk for T {}

/// A client that knows what of its bytes the gateway has not read.
struct Uploader {
    talk: Box<dyn Talk>,
    /// The gateway's port and ours.
    ports: (u16, u16),
}

#[derive(Clone, Copy, Debug)]
enum Leave {
    Fin,
    Reset,
}

impl Uploader {
    /// Connects, perhaps over TLS; with [`Leave::Reset`] dropping it resets the connection.
    async fn connect(address: SocketAddr, tls: Option<&Tls>, leave: Leave) -> Self {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        if let Leave::Reset = leave {
            tcp.set_zero_linger().unwrap();
        }
        let ports = (address.port(), tcp.local_addr().unwrap().port());
        let talk: Box<dyn Talk> = match tls {
            None => Box::new(tcp),
            Some(tls) => Box::new(tls.stream(tcp, "localhost").await.unwrap()),
        };
        Self { talk, ports }
    }

    async fn write(&mut self, bytes: &[u8]) {
        within("the gateway takes bytes", self.talk.write_all(bytes)).await.unwrap();
        self.talk.flush().await.unwrap();
    }

    /// Uploads until the gateway leaves bytes unread. All of them have arrived at it then: what is still in our own
    /// kernel would hold a FIN back.
    async fn upload_until_blocked(&mut self) {
        self.write(HEAD.as_bytes()).await;
        while self.settled().await == 0 {
            // Fewer than fit into a socket that was read empty.
            self.write(&[b'x'; 48 * 1024]).await;
        }
    }

    /// How many bytes the gateway leaves unread.
    async fn settled(&self) -> u64 {
        let (mut last, mut since) = (self.unread().await, Instant::now());
        while last > 0 && since.elapsed() < Duration::from_millis(500) {
            sleep(Duration::from_millis(1)).await;
            let now = self.unread().await;
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        last
    }

    /// The receive queue of the gateway's side, as Linux tells it. Linux hands the table out in pieces, and leaves out
    /// a line now and then where sockets come and go in between: then it is read again, a moment later.
    async fn unread(&self) -> u64 {
        let (theirs, ours) = (format!(":{:04X}", self.ports.0), format!(":{:04X}", self.ports.1));
        soon("the table of sockets has the connection", || async { receive_queue(&theirs, &ours) }).await
    }
}

/// Bytes that wait to be read at the socket with these ends, if the table of sockets has it.
fn receive_queue(local: &str, remote: &str) -> Option<u64> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    // Other tests leave thousands of lines, few of which are worth taking apart.
    table.lines().filter(|line| line.contains(remote)).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let ends = columns.get(1)?.ends_with(local) && columns.get(2)?.ends_with(remote);
        let (_, unread) = ends.then(|| columns.get(4)?.split_once(':')).flatten()?;
        Some(u64::from_str_radix(unread, 16).unwrap())
    })
}

/// The exchange was the client's doing and nobody else's.
async fn assert_left(gw: &Gw) {
    let record = gw.record().await;
    assert_eq!(record["reason"], "client_gone", "{record}");
    assert_eq!(record["flags"], "DC", "{record}");
    let metrics = gw.metrics().await;
    let errors: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("attache_errors_total{") && !line.ends_with(" 0")).collect();
    assert!(matches!(errors.as_slice(), [one] if one.contains("client_gone")), "{errors:?}");
}

#[tokio::test]
async fn a_client_that_leaves_a_blocked_upload_is_noticed() {
    let ca = Ca::new();
    let tls = Tls::new(&ca, &["http/1.1"]);
    for over_tls in [false, true] {
        for leave in [Leave::Fin, Leave::Reset] {
            let (agent, mut leavings) = deaf();
            let identity = ca.issue(&["localhost"]);
            let template = if over_tls { TLS_TO_ONE } else { TO_ONE };
            let gw = Gw::with(template, &[&agent, &identity]).await;
            let tls = over_tls.then_some(&tls);
            let mut client = Uploader::connect(gw.address(), tls, leave).await;
            client.upload_until_blocked().await;
            let left = Instant::now();
            drop(client);
            within("the agent is let go", leavings.recv()).await;
            promised("an upload's end", left.elapsed(), Duration::from_secs(1));
            assert_left(&gw).await;
        }
    }
}

#[tokio::test]
async fn half_an_upload_and_no_more_to_come_is_a_client_that_left() {
    let (agent, mut leavings) = deaf();
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    let mut client = Uploader::connect(gw.address(), None, Leave::Fin).await;
    client.upload_until_blocked().await;
    client.talk.shutdown().await.unwrap();
    within("the agent is let go", leavings.recv()).await;
    assert_left(&gw).await;
    let rest = client.talk.read(&mut [0]).await;
    assert!(!matches!(rest, Ok(1..)), "nothing is answered: {rest:?}");
}

#[tokio::test]
async fn a_client_that_leaves_before_its_body_was_asked_for_is_noticed() {
    let (agent, mut leavings) = deaf();
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    let mut client = Uploader::connect(gw.address(), None, Leave::Fin).await;
    let head = HEAD.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    client.write(head.as_bytes()).await;
    soon("the agent has the head", || async {
        agent.received().iter().any(|bytes| bytes.contains("\r\n\r\n")).then_some(())
    })
    .await;
    drop(client);
    within("the agent is let go", leavings.recv()).await;
    assert_left(&gw).await;
}

#[tokio::test]
async fn a_client_that_sent_two_requests_and_leaves_is_noticed() {
    let (agent, mut leavings) = deaf();
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    let mut client = Uploader::connect(gw.address(), None, Leave::Fin).await;
    let one = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    client.write([one, one].concat().as_bytes()).await;
    soon("the agent has the head", || async { (!agent.received().is_empty()).then_some(()) }).await;
    drop(client);
    within("the agent is let go", leavings.recv()).await;
    assert_left(&gw).await;
}

#[tokio::test]
async fn a_client_that_leaves_a_blocked_upload_over_http2_is_noticed() {
    let (agent, mut leavings) = deaf();
    let gw = Gw::with(TO_ONE, &[&agent]).await;
    let client = gw.h2().await;
    let (sender, body) = channel();
    let pouring = tokio::spawn(async move { while sender.send_patiently(vec![b'x'; 16 * 1024]).await {} });
    let mut handle = client.fork();
    let upload = tokio::spawn(async move { handle.send_patiently(request("POST", "/", body)).await });
    soon("the agent has the head", || async { (!agent.received().is_empty()).then_some(()) }).await;
    // Long enough for every window to fill.
    pass(Duration::from_millis(500)).await;
    upload.abort();
    client.leave();
    pouring.abort();
    within("the agent is let go", leavings.recv()).await;
    assert_left(&gw).await;
}

/// The agent reads nothing for several looks of the watchdog, then everything.
#[tokio::test]
async fn a_client_whose_upload_is_slow_is_not_cut() {
    let ca = Ca::new();
    let tls = Tls::new(&ca, &["http/1.1"]);
    for over_tls in [false, true] {
        let (go, wait) = tokio::sync::watch::channel(false);
        let agent = Backend::handling(move |request| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|go| *go).await.unwrap();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Response::new(full(body.len().to_string()))
            }
        })
        .await;
        let identity = ca.issue(&["localhost"]);
        let template = if over_tls { TLS_TO_ONE } else { TO_ONE };
        let gw = Gw::with(template, &[&agent, &identity]).await;
        let mut client = if over_tls { gw.tls(&tls, "localhost").await.unwrap() } else { gw.h1().await };
        let size = 16 << 20;
        let (answer, ()) = tokio::join!(client.reply(post("/", vec![b'x'; size])), async {
            pass(Duration::from_secs(1)).await;
            go.send(true).unwrap();
        });
        assert_eq!((answer.status, answer.text()), (200, size.to_string().as_str()));
    }
}

/// A client that is through with its requests and still reads, as `nc -N` is.
#[tokio::test]
async fn a_client_that_closes_its_direction_gets_its_answer() {
    let agent = Backend::handling(|request| async {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        pass(Duration::from_millis(50)).await;
        Response::new(full(body.len().to_string()))
    })
    .await;
    let ca = Ca::new();
    let tls = Tls::new(&ca, &["http/1.1"]);
    let identity = ca.issue(&["localhost"]);
    let get = "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let sent = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello";
    let (template, limits) = (TLS_TO_ONE, "limits: { halfCloseTimeout: 10s }");
    let over_tls = template.replace("'127.0.0.1:0',", &format!("'127.0.0.1:0', {limits},"));
    let plain = format!("listeners: {{ http: {{ address: '127.0.0.1:0', {limits} }} }}\n{TO_ONE}");
    for template in [&plain, &over_tls] {
        let gw = Gw::with(template, &[&agent, &identity]).await;
        let tls = (template == &over_tls).then_some(&tls);
        let requests = [(get, 1), (sent, 1), (&[get, sent, get].concat(), 3)];
        for (requests, count) in requests {
            let mut client = Uploader::connect(gw.address(), tls, Leave::Fin).await;
            client.write(requests.as_bytes()).await;
            client.talk.shutdown().await.unwrap();
            let mut answer = String::new();
            within("the answer", client.talk.read_to_string(&mut answer)).await.unwrap();
            assert_eq!(answer.matches("HTTP/1.1 200").count(), count, "{answer:?}");
        }
        for record in gw.records(5).await {
            assert_eq!(record["flags"], "-", "{record}");
        }
    }
}

#[tokio::test]
async fn a_client_that_closes_its_direction_and_is_not_answered_has_left() {
    for limit in ["300ms", "off"] {
        let (agent, mut leavings) = deaf();
        let template = format!(
            "listeners: {{ http: {{ address: '127.0.0.1:0', limits: {{ halfCloseTimeout: {limit} }} }} }}\n{TO_ONE}"
        );
        let gw = Gw::with(&template, &[&agent]).await;
        let mut client = gw.raw().await;
        let begun = Instant::now();
        client.write("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        soon("the agent has the head", || async {
            let received = agent.received();
            let whole = received.iter().any(|bytes| bytes.contains("\r\n\r\n"));
            whole.then_some(())
        })
        .await;
        client.finish().await;
        within("the agent is let go", leavings.recv()).await;
        assert!(limit == "off" || begun.elapsed() >= Duration::from_millis(300));
        assert_eq!(client.rest().await, "", "nothing is answered");
        assert_left(&gw).await;
    }
}
